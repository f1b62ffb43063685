/*
 * spaces.c -- the spaces of a collection: which extractor each is of.
 *
 * Vectors lie in the space of the extractor that they come from, and a version
 * takes those of one space.  A generation with another extractor has a space of
 * its own; its settings, which the file keeps, say which extractor that is.
 *
 * A row's vector in a space in which it did not come, and where the job that made
 * the generation did not put it, is computed of its image whenever it is read: of
 * rows that arrived while one version took over from the other, and of those
 * after it when a version before it serves again.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "server/engine_internal.h"
#include "server/extractors.h"
#include "server/log.h"
#include "server/picture.h"

/* ----------------------------------------------------------------- the list */

/* Under the lock; NULL: there is none of that number. */
static struct ak_settings *find(struct ak_collection *c, uint64_t space)
{
    for (size_t i = 0; i < c->n_spaces; i++)
        if (c->spaces[i].space == space)
            return &c->spaces[i];
    return NULL;
}

enum ak_status ak_collection_add_space(struct ak_collection *c,
                                       const struct ak_settings *s,
                                       struct ak_err *err)
{
    struct ak_settings *all, *there;
    bool memory = true;

    pthread_mutex_lock(&c->lock);
    there = find(c, s->space);
    if (there != NULL) {
        ak_settings_take_extractor(there, s);
    } else {
        all = realloc(c->spaces, (c->n_spaces + 1) * sizeof(*all));
        memory = all != NULL;
        if (memory) {
            c->spaces = all;
            c->spaces[c->n_spaces++] = *s;
        }
    }
    c->settings.images_only = c->n_spaces > 1;
    pthread_mutex_unlock(&c->lock);
    return memory ? AK_OK : ak_fail(err, AK_ENOMEM, "no memory for a space");
}

void ak_collection_keep_spaces(struct ak_collection *c)
{
    uint64_t now;
    size_t n = 0;

    pthread_mutex_lock(&c->lock);
    now = c->settings.space;
    /* Numbers grow: what comes after the space of now was only begun. */
    for (size_t i = 0; i < c->n_spaces; i++)
        if (c->spaces[i].space <= now)
            c->spaces[n++] = c->spaces[i];
    c->n_spaces = n;
    c->spaces_due = true;
    c->settings.images_only = n > 1;
    pthread_mutex_unlock(&c->lock);
}

bool ak_collection_settings_in(struct ak_collection *c, uint64_t space,
                               struct ak_settings *out)
{
    const struct ak_settings *s;

    pthread_mutex_lock(&c->lock);
    *out = c->settings;
    s = find(c, space);
    if (s != NULL)
        ak_settings_take_extractor(out, s);
    pthread_mutex_unlock(&c->lock);
    return s != NULL;
}

bool ak_collection_uses(struct ak_collection *c, const char *extractor)
{
    bool uses;

    pthread_mutex_lock(&c->lock);
    uses = strcmp(c->settings.extractor, extractor) == 0;
    for (size_t i = 0; i < c->n_spaces && !uses; i++)
        uses = strcmp(c->spaces[i].extractor, extractor) == 0;
    pthread_mutex_unlock(&c->lock);
    return uses;
}

size_t ak_collection_networks(struct ak_collection *c, struct ak_network *out,
                              size_t cap)
{
    size_t n = 0;

    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i <= c->n_spaces; i++) {
        const struct ak_settings *s = i == 0 ? &c->settings : &c->spaces[i - 1];
        bool there = !ak_settings_has_network(s);

        for (size_t k = 0; k < n && k < cap && !there; k++)
            there = out[k].version == s->extractor_version &&
                    strcmp(out[k].name, s->extractor) == 0;
        if (there)
            continue;
        if (n < cap) {
            memcpy(out[n].name, s->extractor, sizeof(out[n].name));
            out[n].version = s->extractor_version;
        }
        n++;
    }
    pthread_mutex_unlock(&c->lock);
    return n;
}

/* ------------------------------------------------------------------ versions */

enum ak_status ak_collection_note_version(struct ak_collection *c,
                                          uint64_t version, uint64_t space,
                                          struct ak_err *err)
{
    enum ak_status status = AK_OK;
    size_t n = (size_t)version + 1;
    uint64_t *all;

    pthread_mutex_lock(&c->lock);
    if (n > c->n_version_spaces) {
        all = realloc(c->version_spaces, n * sizeof(*all));
        if (all == NULL) {
            status = ak_fail(err, AK_ENOMEM, "no memory for a version");
        } else {
            memset(all + c->n_version_spaces, 0,
                   (n - c->n_version_spaces) * sizeof(*all));
            c->version_spaces = all;
            c->n_version_spaces = n;
        }
    }
    if (status == AK_OK)
        c->version_spaces[version] = space;
    pthread_mutex_unlock(&c->lock);
    return status;
}

uint64_t ak_collection_space_of(struct ak_collection *c, uint64_t version)
{
    uint64_t space = 0;

    pthread_mutex_lock(&c->lock);
    if (version < c->n_version_spaces)
        space = c->version_spaces[version];
    pthread_mutex_unlock(&c->lock);
    return space;
}

void ak_collection_settings_of(struct ak_collection *c, uint64_t version,
                               struct ak_settings *out)
{
    /* A version that is known has a space that is. */
    ak_collection_settings_in(c, ak_collection_space_of(c, version), out);
}

void ak_collection_served_settings(struct ak_collection *c,
                                   struct ak_settings *out)
{
    struct ak_snapshot *s;
    bool several;

    pthread_mutex_lock(&c->lock);
    *out = c->settings;
    several = c->n_spaces > 1;
    pthread_mutex_unlock(&c->lock);
    if (!several)
        return;
    s = ak_collection_snapshot(c);
    ak_collection_settings_of(c, ak_snapshot_version(s), out);
    ak_snapshot_drop(s);
}

/* ------------------------------------------------------------------- loading */

static enum ak_status note(void *arg, const struct ak_version *v,
                           struct ak_err *err)
{
    return ak_collection_note_version(arg, v->version, v->space, err);
}

static enum ak_status count(void *arg, const struct ak_space *space,
                            struct ak_err *err)
{
    (void)space;
    (void)err;
    ++*(size_t *)arg;
    return AK_OK;
}

/* The spaces of all generations, or of the collection's first settings. */
static enum ak_status load_generations(struct ak_collection *c,
                                       struct ak_view *view, struct ak_err *err)
{
    struct ak_settings now, then;
    uint64_t installed, begun, last;
    enum ak_status status = ak_view_generations(view, &installed, &begun, err);

    ak_collection_settings(c, &now);
    last = begun > installed ? begun : installed;
    for (uint64_t i = 0; i <= last && status == AK_OK; i++) {
        status = ak_generation_settings(view, i, &now, &then, err);
        if (status == AK_OK)
            status = ak_collection_add_space(c, &then, err);
        else if (status == AK_ENOTFOUND)
            status = AK_OK;
    }
    return status;
}

enum ak_status ak_collection_load_spaces(struct ak_collection *c,
                                         struct ak_view *view,
                                         struct ak_err *err)
{
    size_t n = 0;
    enum ak_status status = load_generations(c, view, err);

    if (status == AK_OK)
        status = ak_view_spaces(view, count, &n, err);
    c->spaces_due = n > 1; /* one may be of what a crash ended */
    if (status == AK_OK)
        status = ak_view_versions(view, note, c, err);
    return status;
}

void ak_collection_clear_spaces(struct ak_collection *c)
{
    free(c->spaces);
    free(c->version_spaces);
}

/* ------------------------------------------------------------------- filling */

/* The image was decoded when it came, so a decoder that died or was too slow is
   tried again; one that cannot be started is waited for, as memory is. */
#define TRIES 3

static enum ak_status feature(const struct ak_extractor *e,
                              struct ak_bytes image, float *x,
                              struct ak_err *err)
{
    enum ak_status status = AK_ECORRUPT;

    for (int i = 0; i < TRIES && status == AK_ECORRUPT; i++)
        status = ak_picture_feature(e, image, x, NULL, err);
    return status == AK_EBUSY ? AK_ENOMEM : status;
}

/* What the extractor has nothing to say of is a vector of zeroes, as a row is
   that was erased. */
static bool is_of_image(enum ak_status status)
{
    return status == AK_EINVAL || status == AK_ECORRUPT ||
           status == AK_EUNSUPPORTED || status == AK_ELIMIT ||
           status == AK_ENUMERIC;
}

enum ak_status ak_collection_compute(struct ak_collection *c,
                                     const struct ak_settings *s,
                                     struct ak_bytes image, void *out,
                                     bool *good, struct ak_err *err)
{
    struct ak_extractor *e = NULL;
    struct ak_err why = {0};
    enum ak_status status;
    float *x;

    memset(out, 0, ak_settings_row_bytes(s));
    *good = false;
    if (image.data == NULL)
        return AK_OK;
    status = ak_extractors_of(c->engine->extractors, s, &e, err);
    if (status != AK_OK)
        return status;
    x = ak_array_new(s->dim, sizeof(*x));
    if (x == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for a vector");
    else
        status = feature(e, image, x, &why);
    *good = status == AK_OK;
    if (status == AK_OK)
        ak_collection_pack(s, x, 1, out);
    else if (x != NULL && is_of_image(status))
        status = AK_OK;
    else if (x != NULL && err != NULL)
        *err = why;
    ak_array_free(x);
    ak_extractor_unref(e);
    return status;
}

static enum ak_status fill(void *arg, const struct ak_space *space,
                           struct ak_bytes image, void *out, struct ak_err *err)
{
    struct ak_collection *c = arg;
    struct ak_settings s;
    bool good;

    if (!ak_collection_settings_in(c, space->number, &s) ||
        ak_settings_row_bytes(&s) != space->row_bytes)
        return ak_fail(err, AK_ECORRUPT, "there is no space %llu",
                       (unsigned long long)space->number);
    if (s.extractor[0] == '\0')
        return ak_fail(err, AK_ECORRUPT, "a row has no vector");
    return ak_collection_compute(c, &s, image, out, &good, err);
}

enum ak_status ak_collection_open_view(struct ak_collection *c,
                                       struct ak_view **out, struct ak_err *err)
{
    enum ak_status status = ak_view_open(c->path, out, err);

    if (status == AK_OK)
        ak_view_set_fill(*out, fill, c);
    return status;
}

/* ---------------------------------------------------------------- forgetting */

#define REST_NS UINT64_C(1000000000)

struct forget_job {
    struct ak_job job; /* first */
    struct ak_collection *c;
    bool more;
};

static enum ak_status forget_apply(struct ak_job *job, struct ak_store *store,
                                   struct ak_err *err)
{
    struct forget_job *j = (struct forget_job *)job;
    enum ak_status status;
    uint64_t number;
    bool found, more;

    status = ak_store_unused_space(store, &number, &found, err);
    j->more = found;
    if (status == AK_OK && found)
        status = ak_store_drop_space(store, number, &more, err);
    return status;
}

static void forget_done(struct ak_job *job, enum ak_status status,
                        const struct ak_err *err)
{
    struct forget_job *j = (struct forget_job *)job;

    if (status != AK_OK && status != AK_ENOTFOUND && status != AK_ECANCELED)
        ak_log_warn("engine", "vectors of a former extractor are still there",
                    AK_TEXT("collection", j->c->settings.name),
                    AK_TEXT("reason", err->text));
    pthread_mutex_lock(&j->c->lock);
    j->c->spaces_due = status == AK_OK && j->more;
    j->c->spaces_busy = false;
    j->c->spaces_ns = ak_clock_ns();
    pthread_mutex_unlock(&j->c->lock);
    ak_collection_drop(j->c);
    free(j);
}

void ak_collection_forget_spaces(struct ak_collection *c, uint64_t now_ns)
{
    struct forget_job *j;
    bool due;

    pthread_mutex_lock(&c->lock);
    due = c->spaces_due && !c->spaces_busy && c->state == AK_SERVING &&
          now_ns - c->spaces_ns > REST_NS;
    pthread_mutex_unlock(&c->lock);
    j = due ? calloc(1, sizeof(*j)) : NULL;
    if (j == NULL)
        return;
    j->job.apply = forget_apply;
    j->job.done = forget_done;
    j->c = ak_collection_ref(c);
    pthread_mutex_lock(&c->lock);
    c->spaces_busy = true;
    pthread_mutex_unlock(&c->lock);
    ak_writer_push(c->engine->writer, &c->lane, &j->job);
}
