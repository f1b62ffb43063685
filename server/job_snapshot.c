/*
 * job_snapshot.c -- the job `snapshot`: a copy of a collection's file, while
 * everything goes on.
 *
 * The writer copies some pages between two groups of changes (store_copy.c), so
 * that what is asked of the collection waits for a millisecond at most.  What it
 * has copied is synced here, now and then, and read once more for its checksum.
 * A job that was interrupted begins anew: what it had is worth nothing without
 * the connection that wrote it.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/moment.h"
#include "server/ask.h"
#include "server/backup.h"
#include "server/extractors.h"
#include "server/job_kinds.h"
#include "server/pace.h"

#define PAGES_AT_ONCE 256
#define SYNC_BYTES    ((uint64_t)64 << 20)
#define PIECE         ((size_t)1 << 20)
#define SLICE_NS      UINT64_C(10000000)

enum where { COPY, HASH, NETS, FINISH, DONE };

struct copy_ask {
    struct ak_ask ask; /* first */
    enum { BEGIN_COPY, COPY_MORE, END_COPY } what;
    char path[AK_BACKUP_PATH];
    struct ak_store_copy copy;
};

struct snapshot {
    enum where where;
    char path[AK_BACKUP_PATH]; /* of the copy */
    bool made;                 /* its folder is there */
    bool copying;              /* the store has a copy under way */
    struct ak_pace pace;
    struct copy_ask *ask; /* under way; NULL: none */
    struct ak_store_copy copy;
    uint64_t synced;
    int fd;
    struct ak_sha256_sum *sum;
    uint64_t at;
    void *piece;
    struct ak_backup backup;
    size_t n_added; /* of its networks */
};

/* --------------------------------------------------------------------- asking */

static enum ak_status snapshot_check(struct ak_run_check *check,
                                     struct ak_fault *fault)
{
    static const char *const known[] = {"name"};
    const json_t *name = json_object_get(check->params, "name");

    if (ak_fault_keys(fault, check->params, "/params", known, 1,
                      "is not known here") != AK_OK)
        return AK_EINVAL;
    if (name != NULL && (!json_is_string(name) ||
                         !ak_settings_good_name(json_string_value(name))))
        return ak_fault_set(fault, "/params/name", "validation-failed",
                            "must be a name: ^[a-z0-9][a-z0-9_-]{0,62}$");
    return ak_pace_check(check, fault);
}

/* "shoes-17": the collection and the job, unless another was asked for. */
static void name_it(struct ak_run *run, struct ak_backup *b)
{
    const char *asked =
        json_string_value(json_object_get(ak_run_params(run), "name"));
    char number[24];
    int n;

    if (asked != NULL) {
        snprintf(b->name, sizeof(b->name), "%s", asked);
        return;
    }
    n = snprintf(number, sizeof(number), "-%llu",
                 (unsigned long long)ak_run_id(run));
    snprintf(b->name, sizeof(b->name), "%.*s%s", (int)sizeof(b->name) - 1 - n,
             b->collection, number);
}

/* Whether this job had made it before the daemon ended. */
static bool is_mine(struct ak_run *run, const struct ak_backup *wanted,
                    struct ak_backup *found)
{
    char created[AK_TIME_TEXT];

    ak_time_format(ak_run_created_ms(run), created);
    return ak_backup_read(ak_run_engine(run)->params.data_dir, wanted->name,
                          found, NULL) == AK_OK &&
           found->job == ak_run_id(run) &&
           strcmp(found->collection, wanted->collection) == 0 &&
           strcmp(found->created, created) >= 0;
}

/*
 * Those of the collection that are not known yet, and that of now first.  A
 * promotion may end while the file is copied, so this is asked before and after.
 */
static enum ak_status note_nets(struct ak_collection *c, struct ak_backup *b,
                                struct ak_err *err)
{
    struct ak_network found[AK_BACKUP_NETS];
    size_t n = ak_collection_networks(c, found, AK_BACKUP_NETS);
    struct ak_settings now;

    for (size_t i = 0; i < n && n <= AK_BACKUP_NETS; i++) {
        size_t k = 0;

        while (k < b->n_nets && (b->nets[k].version != found[i].version ||
                                 strcmp(b->nets[k].name, found[i].name) != 0))
            k++;
        if (k < b->n_nets)
            continue;
        if (k == AK_BACKUP_NETS) {
            n = AK_BACKUP_NETS + 1;
            break;
        }
        memcpy(b->nets[k].name, found[i].name, sizeof(b->nets[k].name));
        b->nets[k].version = found[i].version;
        b->n_nets++;
    }
    if (n > AK_BACKUP_NETS)
        return ak_fail(err, AK_ELIMIT,
                       "its versions need more than %d extractors, which a "
                       "snapshot cannot hold",
                       AK_BACKUP_NETS);
    ak_collection_settings(c, &now);
    b->has_net = ak_settings_has_network(&now);
    for (size_t k = 1; k < b->n_nets && b->has_net; k++)
        if (b->nets[k].version == now.extractor_version &&
            strcmp(b->nets[k].name, now.extractor) == 0) {
            struct ak_backup_net first = b->nets[0];

            b->nets[0] = b->nets[k];
            b->nets[k] = first;
        }
    return AK_OK;
}

static enum ak_status snapshot_begin(struct ak_run *run, struct ak_err *err)
{
    const char *dir = ak_run_engine(run)->params.data_dir;
    struct snapshot *s = calloc(1, sizeof(*s));
    struct ak_settings settings;
    struct ak_backup found;
    enum ak_status status;

    if (s == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a snapshot");
    *ak_run_data(run) = s;
    s->fd = -1;
    ak_collection_settings(ak_run_collection(run), &settings);
    strcpy(s->backup.collection, settings.name);
    name_it(run, &s->backup);
    s->backup.job = ak_run_id(run);
    snprintf(s->backup.akin, sizeof(s->backup.akin), "%s", PACKAGE_VERSION);
    ak_pace_begin(&s->pace, ak_run_budget(run), 0);
    status = note_nets(ak_run_collection(run), &s->backup, err);
    if (status == AK_OK)
        status = ak_backup_begin(dir, s->backup.name, s->path, err);
    s->made = status == AK_OK;
    if (status == AK_EEXISTS && is_mine(run, &s->backup, &found)) {
        s->backup = found;
        s->where = DONE;
        return AK_OK;
    }
    if (s->made)
        ak_moment(AK_AT_SNAPSHOT_BEGUN);
    return status;
}

/* -------------------------------------------------------------------- copying */

static enum ak_status copy_apply(struct ak_ask *ask, struct ak_store *store,
                                 struct ak_err *err)
{
    struct copy_ask *a = (struct copy_ask *)ask;
    enum ak_status status = AK_OK;

    switch (a->what) {
    case BEGIN_COPY:
        status = ak_store_begin_copy(store, a->path, err);
        break;
    case COPY_MORE:
        status = ak_store_copy(store, PAGES_AT_ONCE, &a->copy, err);
        break;
    case END_COPY:
        ak_store_end_copy(store);
        break;
    }
    return status;
}

static enum ak_status push(struct ak_run *run, struct snapshot *s,
                           struct ak_err *err)
{
    s->ask =
        ak_ask_create(sizeof(*s->ask), copy_apply, run, ak_run_collection(run));
    if (s->ask == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a snapshot");
    s->ask->what = s->copying ? COPY_MORE : BEGIN_COPY;
    memcpy(s->ask->path, s->path, sizeof(s->path));
    ak_ask_push(&s->ask->ask, ak_run_engine(run),
                &ak_run_collection(run)->lane);
    return AK_OK;
}

static enum ak_status sync_file(struct snapshot *s, struct ak_err *err)
{
    if (s->fd < 0)
        s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || fsync(s->fd) != 0)
        return ak_fail(err, AK_EIO, "the copy cannot be synced: %s",
                       strerror(errno));
    s->synced = s->copy.done;
    return AK_OK;
}

/* What the writer has done. */
static enum ak_status take(struct ak_run *run, struct snapshot *s,
                           struct ak_err *err)
{
    struct copy_ask *a = s->ask;
    enum ak_status status = a->ask.status;

    s->ask = NULL;
    if (status != AK_OK) {
        s->copying = s->copying && a->what == BEGIN_COPY;
        if (err != NULL)
            *err = a->ask.err;
    } else if (a->what == BEGIN_COPY) {
        s->copying = true;
    } else {
        s->copy = a->copy;
        s->copying = !a->copy.over;
        ak_run_progress(run, "copy", s->copy.done, s->copy.total);
        ak_moment(AK_AT_SNAPSHOT_COPIED);
    }
    ak_ask_drop(&a->ask);
    return status;
}

static enum ak_run_step copy(struct ak_run *run, struct snapshot *s,
                             struct ak_err *err)
{
    struct ak_backup *b = &s->backup;

    if (s->ask != NULL) {
        if (!ak_ask_over(&s->ask->ask))
            return AK_STEP_WAIT;
        if (take(run, s, err) != AK_OK)
            return AK_STEP_FAILED;
    }
    if (s->copy.done - s->synced >= SYNC_BYTES && sync_file(s, err) != AK_OK)
        return AK_STEP_FAILED;
    if (!s->copy.over) {
        if (!ak_pace_allows(&s->pace, s->copy.done))
            return AK_STEP_WAIT;
        return push(run, s, err) == AK_OK ? AK_STEP_WAIT : AK_STEP_FAILED;
    }
    b->seq = s->copy.last_seq;
    b->rows = s->copy.next_ordinal;
    b->items = s->copy.live_rows;
    b->model_version = s->copy.published;
    b->bytes = s->copy.total;
    ak_time_format(ak_time_ms(), b->created);
    s->piece = malloc(PIECE);
    if (s->piece == NULL) {
        ak_fail(err, AK_ENOMEM, "no memory for a snapshot");
        return AK_STEP_FAILED;
    }
    if (sync_file(s, err) != AK_OK || ak_sha256_create(&s->sum, err) != AK_OK)
        return AK_STEP_FAILED;
    s->where = HASH;
    return AK_STEP_MORE;
}

static enum ak_run_step hash(struct ak_run *run, struct snapshot *s,
                             struct ak_err *err)
{
    uint64_t start = ak_clock_ns();
    ssize_t n = 1;

    while (n > 0 && ak_clock_ns() - start < SLICE_NS) {
        if (!ak_pace_allows(&s->pace, s->copy.total + s->at)) {
            ak_run_progress(run, "checksum", s->at, s->backup.bytes);
            return AK_STEP_WAIT;
        }
        n = pread(s->fd, s->piece, PIECE, (off_t)s->at);
        if (n > 0 &&
            ak_sha256_update(s->sum, s->piece, (size_t)n, err) != AK_OK)
            return AK_STEP_FAILED;
        s->at += n > 0 ? (uint64_t)n : 0;
    }
    ak_run_progress(run, "checksum", s->at, s->backup.bytes);
    if (n > 0)
        return AK_STEP_MORE;
    if (n < 0 || s->at != s->backup.bytes) {
        ak_fail(err, AK_EIO, "the copy has %llu bytes, must have %llu: %s",
                (unsigned long long)s->at, (unsigned long long)s->backup.bytes,
                n < 0 ? strerror(errno) : "it ends early");
        return AK_STEP_FAILED;
    }
    if (ak_sha256_finish(s->sum, s->backup.sha256, err) != AK_OK ||
        note_nets(ak_run_collection(run), &s->backup, err) != AK_OK)
        return AK_STEP_FAILED;
    s->where = NETS;
    return AK_STEP_MORE;
}

/* The networks that its images need: without them what is restored elsewhere could
   take none, or not go back to a version. */
static enum ak_run_step add_net(struct ak_run *run, struct snapshot *s,
                                struct ak_err *err)
{
    struct ak_engine *e = ak_run_engine(run);
    struct ak_backup *b = &s->backup;
    size_t i = s->n_added++;
    struct ak_backup_net *net = &b->nets[i];
    struct ak_extractor_version v;
    void *bytes = NULL;
    size_t len = 0;
    enum ak_status status;

    if (i == b->n_nets) {
        s->where = FINISH;
        return AK_STEP_MORE;
    }
    status =
        ak_extractors_find(e->extractors, net->name, net->version, &v, err);
    if (status == AK_OK)
        status = ak_extractors_read(e->extractors, net->name, net->version,
                                    &bytes, &len, err);
    if (status == AK_OK) {
        memcpy(net->sha256, v.sha256, sizeof(v.sha256));
        status = ak_backup_add_net(e->params.data_dir, b, i, bytes, len, err);
    }
    free(bytes);
    return status == AK_OK ? AK_STEP_MORE : AK_STEP_FAILED;
}

static enum ak_run_step snapshot_step(struct ak_run *run, struct ak_err *err)
{
    struct snapshot *s = *ak_run_data(run);

    switch (s->where) {
    case COPY:
        return copy(run, s, err);
    case HASH:
        return hash(run, s, err);
    case NETS:
        return add_net(run, s, err);
    case FINISH:
        if (!ak_run_no_return(run))
            return AK_STEP_MORE;
        if (ak_backup_finish(ak_run_engine(run)->params.data_dir, &s->backup,
                             err) != AK_OK)
            return AK_STEP_FAILED;
        s->made = false;
        s->where = DONE;
        break;
    case DONE:
        break;
    }
    ak_run_result(run, ak_backup_json(&s->backup));
    return AK_STEP_DONE;
}

static void snapshot_end(struct ak_run *run, enum ak_run_state why)
{
    struct snapshot *s = *ak_run_data(run);
    struct copy_ask *end;

    (void)why;
    if (s == NULL)
        return;
    if (s->copying || s->ask != NULL) {
        /* Behind the one that is under way.  Without memory for it, the next
           snapshot is refused until the collection is closed. */
        end = ak_ask_create(sizeof(*end), copy_apply, NULL,
                            ak_run_collection(run));
        if (end != NULL) {
            end->what = END_COPY;
            ak_ask_push(&end->ask, ak_run_engine(run),
                        &ak_run_collection(run)->lane);
            ak_ask_drop(&end->ask);
        }
    }
    ak_ask_drop(s->ask != NULL ? &s->ask->ask : NULL);
    if (s->fd >= 0)
        close(s->fd);
    ak_sha256_destroy(s->sum);
    if (s->made)
        ak_backup_abandon(ak_run_engine(run)->params.data_dir, s->backup.name);
    free(s->piece);
    free(s);
    *ak_run_data(run) = NULL;
}

const struct ak_run_kind ak_run_snapshot = {
    .name = "snapshot",
    .help = "copy a collection into the folder of snapshots",
    .on_collection = true,
    .exclusive = "snapshot",
    .check = snapshot_check,
    .begin = snapshot_begin,
    .step = snapshot_step,
    .end = snapshot_end,
};
