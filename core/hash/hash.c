#include "core/hash/hash.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/code/code.h"
#include "core/hash/hash_ops.h"

#define MAX_DIM    65536
#define MAX_LABELS 65536

static const struct ak_hash_ops *const methods[] = {
    &ak_hash_hmoh, &ak_hash_fcoh, &ak_hash_sdoh,
    &ak_hash_hcdh, &ak_hash_hcoh, &ak_hash_lsh,
};

/* What constants have of a feature map, or in place of one. */
enum { MAP_NONE, MAP_FIXED, MODEL_TAKEN };

#define N_METHODS (sizeof(methods) / sizeof(methods[0]))

const struct ak_hash_method *ak_hash_method(size_t i)
{
    return i < N_METHODS ? &methods[i]->about : NULL;
}

static const struct ak_hash_ops *find_ops(const char *name)
{
    for (size_t i = 0; i < N_METHODS; i++)
        if (strcmp(methods[i]->about.name, name) == 0)
            return methods[i];
    return NULL;
}

const struct ak_hash_method *ak_hash_find(const char *name)
{
    const struct ak_hash_ops *ops = find_ops(name);

    return ops ? &ops->about : NULL;
}

static enum ak_status check_params(const struct ak_hash_params *p,
                                   struct ak_err *err)
{
    if (p->dim < 1 || p->dim > MAX_DIM)
        return ak_fail(err, AK_EINVAL, "dim is %u, must be 1..%d", p->dim,
                       MAX_DIM);
    if (p->bits < AK_CODE_MIN_BITS || p->bits > AK_CODE_MAX_BITS ||
        p->bits % 8 != 0)
        return ak_fail(err, AK_EINVAL,
                       "bits is %u, must be %d..%d and a multiple of 8",
                       p->bits, AK_CODE_MIN_BITS, AK_CODE_MAX_BITS);
    if (p->max_labels < 1 || p->max_labels > MAX_LABELS)
        return ak_fail(err, AK_EINVAL, "max_labels is %u, must be 1..%d",
                       p->max_labels, MAX_LABELS);
    return AK_OK;
}

enum ak_status ak_hash_check_options(const struct ak_hash_method *about,
                                     const double *given, double *options,
                                     struct ak_err *err)
{
    for (size_t i = 0; i < about->n_options; i++) {
        const struct ak_hash_option *o = &about->options[i];
        double value = given ? given[i] : o->initial;

        if (!(value >= o->min && value <= o->max))
            return ak_fail(err, AK_EINVAL, "%s.%s is %g, must be %g..%g",
                           about->name, o->name, value, o->min, o->max);
        if (o->integer && value != floor(value))
            return ak_fail(err, AK_EINVAL,
                           "%s.%s is %g, must be a whole number", about->name,
                           o->name, value);
        options[i] = value;
    }
    return AK_OK;
}

/* Fit the planned map and let the method make its weights, or change nothing. */
static enum ak_status fix_with(struct ak_hash *h, const float *x, size_t n,
                               struct ak_err *err)
{
    enum ak_status status = ak_feature_map_fit(&h->plan, h->params.dim, x, n,
                                               h->params.seed, &h->map, err);

    if (status == AK_OK && h->ops->fix != NULL)
        status = h->ops->fix(h, err);
    if (status != AK_OK) {
        ak_feature_map_drop(h->map);
        h->map = NULL;
    }
    return status;
}

enum ak_status ak_hash_create(const char *method,
                              const struct ak_hash_params *params,
                              const double *options, struct ak_hash **out,
                              struct ak_err *err)
{
    const struct ak_hash_ops *ops = find_ops(method);
    struct ak_hash *h;
    enum ak_status status;

    if (ops == NULL)
        return ak_fail(err, AK_ENOTFOUND, "no hash method \"%s\"", method);
    status = check_params(params, err);
    if (status != AK_OK)
        return status;
    h = ak_array_new(1, ops->size);
    if (h == NULL)
        return ak_fail(err, AK_ENOMEM, "%s: no memory for a learner", method);
    h->ops = ops;
    h->params = *params;
    status = ak_hash_check_options(&ops->about, options, h->options, err);
    if (status == AK_OK && ops->create != NULL)
        status = ops->create(h, err);
    if (status == AK_OK && ak_feature_map_wanted(&h->plan) == 0)
        status = fix_with(h, NULL, 0, err);
    if (status != AK_OK) {
        ak_hash_destroy(h);
        return status;
    }
    *out = h;
    return AK_OK;
}

void ak_hash_destroy(struct ak_hash *h)
{
    if (h == NULL)
        return;
    if (h->ops->clear != NULL)
        h->ops->clear(h);
    ak_feature_map_drop(h->map);
    ak_label_map_clear(&h->labels);
    ak_ref_drop((struct ak_ref *)h->taken);
    ak_array_free(h);
}

static enum ak_status check_finite(const struct ak_hash *h, const float *x,
                                   size_t n, struct ak_err *err)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < h->params.dim; k++) {
            float value = x[i * h->params.dim + k];

            if (!isfinite(value))
                return ak_fail(err, AK_ENUMERIC,
                               "row %zu: feature %zu is %g, must be finite", i,
                               k, (double)value);
        }
    return AK_OK;
}

size_t ak_hash_block_rows(const struct ak_hash *h)
{
    return h->ops->block_rows != NULL ? h->ops->block_rows(h) : 1;
}

size_t ak_hash_warmup_rows(const struct ak_hash *h)
{
    return h->map == NULL && h->taken == NULL ? ak_feature_map_wanted(&h->plan)
                                              : 0;
}

enum ak_status ak_hash_fix(struct ak_hash *h, const float *x, size_t n,
                           struct ak_err *err)
{
    enum ak_status status;

    if (h->map != NULL)
        return ak_fail(err, AK_EINVAL, "%s: the feature map is fixed already",
                       h->ops->about.name);
    if (n == 0)
        return ak_fail(err, AK_EINVAL,
                       "%s: the feature map needs 1 row or more, there are 0",
                       h->ops->about.name);
    status = check_finite(h, x, n, err);
    if (status != AK_OK)
        return status;
    return fix_with(h, x, n, err);
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/*
 * The classes of all rows, new labels entered; `classes` has room for all
 * labels of the batch and `first` for n + 1.
 */
static void give_classes(struct ak_hash *h, const struct ak_hash_batch *batch,
                         uint32_t *classes, uint32_t *first, size_t *learnt)
{
    uint32_t n = 0;

    *learnt = 0;
    first[0] = 0;
    for (size_t i = 0; i < batch->n; i++) {
        uint32_t start = n;

        for (uint32_t l = batch->first[i]; l < batch->first[i + 1]; l++) {
            uint32_t label = batch->labels[l];
            uint32_t c = ak_label_map_find(&h->labels, label);

            if (c == AK_NO_CLASS && h->labels.n < h->params.max_labels)
                c = ak_label_map_add(&h->labels, label);
            if (c != AK_NO_CLASS)
                classes[n++] = c;
        }
        if (n - start > 1) {
            uint32_t unique = start + 1;

            qsort(classes + start, n - start, sizeof(*classes), by_number);
            for (uint32_t l = start + 1; l < n; l++)
                if (classes[l] != classes[unique - 1])
                    classes[unique++] = classes[l];
            n = unique;
        }
        *learnt += n > start;
        first[i + 1] = n;
    }
}

enum ak_status ak_hash_update(struct ak_hash *h,
                              const struct ak_hash_batch *batch,
                              struct ak_hash_loss *loss, struct ak_err *err)
{
    uint32_t classes_before = h->labels.n;
    uint32_t *classes = NULL, *first = NULL;
    struct ak_hash_loss told = {0};
    struct ak_hash_rows rows = {.x = batch->x, .n = batch->n};
    size_t n_labels = 0, room;
    double sum = 0;
    enum ak_status status;

    if (h->map == NULL && h->taken == NULL)
        return ak_fail(err, AK_EINVAL,
                       "%s: the feature map is not fixed, it wants %zu rows",
                       h->ops->about.name, ak_hash_warmup_rows(h));
    status = check_finite(h, batch->x, batch->n, err);
    if (status != AK_OK)
        return status;
    if (batch->n > 0)
        n_labels = batch->first[batch->n] - batch->first[0];
    if (h->ops->update == NULL || h->taken != NULL) {
        for (size_t i = 0; i < batch->n; i++)
            told.skipped += batch->first[i] == batch->first[i + 1];
        goto out;
    }

    room = h->labels.n + n_labels;
    if (room > h->params.max_labels)
        room = h->params.max_labels;
    status = ak_label_map_reserve(&h->labels, room, err);
    if (status != AK_OK)
        goto out;
    classes = ak_array_new(n_labels, sizeof(*classes));
    first = ak_array_new(batch->n + 1, sizeof(*first));
    if (classes == NULL || first == NULL) {
        status = ak_fail(err, AK_ENOMEM, "no memory for the labels of %zu rows",
                         batch->n);
        goto out;
    }
    give_classes(h, batch, classes, first, &rows.learnt);
    rows.classes = classes;
    rows.first = first;
    if (rows.learnt > 0)
        status = h->ops->update(h, &rows, &sum, err);
    if (status != AK_OK) {
        ak_label_map_truncate(&h->labels, classes_before);
        goto out;
    }
    h->samples += rows.learnt;
    told.learnt = rows.learnt;
    told.skipped = batch->n - rows.learnt;
    if (rows.learnt > 0)
        told.loss = sum / ((double)rows.learnt * h->params.bits);

out:
    ak_array_free(first);
    ak_array_free(classes);
    if (status == AK_OK && loss != NULL)
        *loss = told;
    return status;
}

uint32_t ak_hash_epochs(const struct ak_hash *h)
{
    return h->ops->epochs != NULL ? h->ops->epochs(h) : 0;
}

void ak_hash_pass(struct ak_hash *h, uint32_t pass)
{
    assert(pass <= ak_hash_epochs(h));
    if (h->ops->pass != NULL)
        h->ops->pass(h, pass);
}

void ak_hash_pass_order(const struct ak_hash *h, uint32_t pass, uint32_t n,
                        uint32_t *order)
{
    struct ak_rng rng;

    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    ak_rng_init(&rng, ak_rng_derive(h->params.seed, "passes") + pass);
    ak_rng_shuffle(&rng, order, n);
}

/* A block of a set, gathered by the order of a pass. */
struct gathered {
    float *x;
    uint32_t *labels, *first, *order;
};

static void gather(const struct ak_hash_batch *set, const uint32_t *order,
                   size_t n, size_t dim, struct gathered *to)
{
    uint32_t at = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t from = set->first[order[i]];
        uint32_t mentions = set->first[order[i] + 1] - from;

        memcpy(to->x + i * dim, set->x + (size_t)order[i] * dim,
               dim * sizeof(*to->x));
        memcpy(to->labels + at, set->labels + from,
               mentions * sizeof(*to->labels));
        to->first[i] = at;
        at += mentions;
    }
    to->first[n] = at;
}

/* One pass; rows without a label are in the order too and are skipped. */
static enum ak_status run_pass(struct ak_hash *h, uint32_t pass,
                               const struct ak_hash_batch *set,
                               struct gathered *to, struct ak_hash_loss *loss,
                               struct ak_err *err)
{
    size_t block = ak_hash_block_rows(h);
    struct ak_hash_loss sum = {0};

    ak_hash_pass(h, pass);
    ak_hash_pass_order(h, pass, (uint32_t)set->n, to->order);
    for (size_t i = 0; i < set->n; i += block) {
        size_t n = set->n - i < block ? set->n - i : block;
        const struct ak_hash_batch batch = {to->x, to->labels, to->first, n};
        struct ak_hash_loss one = {0};
        enum ak_status status;

        gather(set, to->order + i, n, h->params.dim, to);
        status = ak_hash_update(h, &batch, &one, err);
        if (status != AK_OK)
            return status;
        sum.loss += one.loss * (double)one.learnt;
        sum.learnt += one.learnt;
        sum.skipped += one.skipped;
    }
    if (sum.learnt > 0)
        sum.loss /= (double)sum.learnt;
    *loss = sum;
    return AK_OK;
}

enum ak_status ak_hash_train(struct ak_hash *h, const struct ak_hash_batch *set,
                             struct ak_hash_loss *loss, struct ak_err *err)
{
    size_t block = ak_hash_block_rows(h);
    struct ak_hash_loss last = {0};
    struct gathered to = {0};
    enum ak_status status = AK_OK;

    if (!h->ops->about.by_epochs)
        return ak_hash_update(h, set, loss, err);
    if (set->n > UINT32_MAX)
        return ak_fail(err, AK_EINVAL, "a set of %zu rows, must be 0..%u",
                       set->n, UINT32_MAX);
    to.x = ak_array_new(block * h->params.dim, sizeof(*to.x));
    to.labels = ak_array_new(
        set->n > 0 ? set->first[set->n] - set->first[0] : 0, sizeof(uint32_t));
    to.first = ak_array_new(block + 1, sizeof(*to.first));
    to.order = ak_array_new(set->n, sizeof(*to.order));
    if (to.x == NULL || to.labels == NULL || to.first == NULL ||
        to.order == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for a pass over %zu rows",
                         set->n);
    for (uint32_t i = 0; status == AK_OK && i < ak_hash_epochs(h); i++)
        status = run_pass(h, i, set, &to, &last, err);
    if (status == AK_OK) {
        ak_hash_pass(h, ak_hash_epochs(h));
        if (loss != NULL)
            *loss = last;
    }
    ak_array_free(to.order);
    ak_array_free(to.first);
    ak_array_free(to.labels);
    ak_array_free(to.x);
    return status;
}

enum ak_status ak_hash_take(struct ak_hash *h, struct ak_encoder *e,
                            struct ak_err *err)
{
    struct ak_encoder_info info;

    ak_encoder_info(e, &info);
    if (info.dim != h->params.dim || info.bits != h->params.bits)
        return ak_fail(err, AK_EINVAL,
                       "%s: a model of %u floats to %u bits, must be of %u to "
                       "%u",
                       h->ops->about.name, info.dim, info.bits, h->params.dim,
                       h->params.bits);
    if (h->samples > 0)
        return ak_fail(err, AK_EINVAL, "%s: it has learnt already",
                       h->ops->about.name);
    ak_ref_take(ak_encoder_ref(e));
    h->taken = e;
    h->samples = info.samples > 0 ? info.samples : 1;
    return AK_OK;
}

bool ak_hash_has_taken(const struct ak_hash *h)
{
    return h->taken != NULL;
}

enum ak_status ak_hash_freeze(const struct ak_hash *h, struct ak_encoder **out,
                              struct ak_err *err)
{
    if (h->taken != NULL) {
        ak_ref_take(ak_encoder_ref(h->taken));
        *out = h->taken;
        return AK_OK;
    }
    if (h->samples == 0 && h->ops->about.learns)
        return ak_encoder_lsh(h->params.dim, h->params.bits, h->params.seed,
                              out, err);
    return h->ops->freeze(h, out, err);
}

uint64_t ak_hash_samples(const struct ak_hash *h)
{
    return h->samples;
}

uint32_t ak_hash_classes(const struct ak_hash *h)
{
    return h->labels.n;
}

bool ak_hash_knows(const struct ak_hash *h, uint32_t label)
{
    return ak_label_map_find(&h->labels, label) != AK_NO_CLASS;
}

size_t ak_hash_bytes(const struct ak_hash *h)
{
    size_t n = h->ops->size;

    n += h->labels.cap * sizeof(*h->labels.labels) +
         h->labels.n_slots * sizeof(*h->labels.slots);
    if (h->map != NULL)
        n += ak_feature_map_bytes(h->map);
    if (h->ops->bytes != NULL)
        n += h->ops->bytes(h);
    if (h->taken != NULL)
        n += ((size_t)h->params.dim + 1) * h->params.bits * sizeof(float);
    return n;
}

/* Its length, and the model file of it. */
static void write_taken(const struct ak_hash *h, struct ak_writer *w)
{
    struct ak_writer file = {0};
    enum ak_status status = ak_encoder_save(h->taken, &file, NULL);

    ak_write_u64(w, file.len);
    ak_write_bytes(w, file.data, file.len);
    if (status != AK_OK)
        w->status = status;
    ak_writer_clear(&file);
}

/*
 * constants: format, then what create() was given, to notice a mix-up; whether
 * the map is fixed, and the map; the method's own.  Of one that has taken a
 * model only that, in place of the last three.
 */
enum ak_status ak_hash_save_constants(const struct ak_hash *h,
                                      struct ak_writer *w, struct ak_err *err)
{
    ak_write_u32(w, h->ops->format);
    ak_write_u32(w, h->params.dim);
    ak_write_u32(w, h->params.bits);
    ak_write_u32(w, h->params.max_labels);
    ak_write_u64(w, h->params.seed);
    ak_write_f64s(w, h->options, h->ops->about.n_options);
    if (h->taken != NULL) {
        ak_write_u8(w, MODEL_TAKEN);
        write_taken(h, w);
    } else {
        ak_write_u8(w, h->map != NULL ? MAP_FIXED : MAP_NONE);
        if (h->map != NULL)
            ak_feature_map_write(h->map, w);
        if (h->ops->save_constants != NULL)
            h->ops->save_constants(h, w);
    }
    if (w->status != AK_OK)
        return ak_fail(err, w->status, "%s: no memory to save the constants",
                       h->ops->about.name);
    return AK_OK;
}

/* state: format, rows learnt, labels in order of class; the method's own. */
enum ak_status ak_hash_save_state(const struct ak_hash *h, struct ak_writer *w,
                                  struct ak_err *err)
{
    ak_write_u32(w, h->ops->format);
    ak_write_u64(w, h->samples);
    ak_label_map_write(&h->labels, w);
    if (h->map != NULL && h->ops->save_state != NULL && h->taken == NULL)
        h->ops->save_state(h, w);
    if (w->status != AK_OK)
        return ak_fail(err, w->status, "%s: no memory to save the state",
                       h->ops->about.name);
    return AK_OK;
}

enum ak_status ak_hash_read_mean(const struct ak_hash *h,
                                 struct ak_running_mean *mean,
                                 struct ak_reader *r, struct ak_err *err)
{
    ak_running_mean_read(mean, r);
    if (r->status != AK_OK)
        return ak_fail(err, AK_ECORRUPT, "the mean is cut short");
    if (mean->n != h->samples)
        return ak_fail(
            err, AK_ECORRUPT, "a mean of %llu rows, %llu were learnt",
            (unsigned long long)mean->n, (unsigned long long)h->samples);
    for (uint32_t k = 0; k < mean->dim; k++)
        if (!isfinite(mean->sum[k]))
            return ak_fail(err, AK_ECORRUPT, "sum %u of the mean is %g", k,
                           mean->sum[k]);
    return AK_OK;
}

static enum ak_status load_taken(struct ak_hash *h, struct ak_reader *r,
                                 struct ak_err *err)
{
    uint64_t len = ak_read_u64(r);
    const uint8_t *file = ak_read_span(r, (size_t)len);
    struct ak_encoder *e = NULL;
    enum ak_status status;

    if (file == NULL || ak_reader_finish(r) != AK_OK)
        return ak_fail(err, AK_ECORRUPT, "constants of a wrong size");
    status = ak_encoder_load(file, (size_t)len, &e, err);
    /* What it holds already is the same one. */
    if (status == AK_OK && h->taken == NULL)
        status = ak_hash_take(h, e, err);
    if (e != NULL)
        ak_ref_drop(ak_encoder_ref(e));
    return status == AK_EINVAL ? AK_ECORRUPT : status;
}

static enum ak_status load_constants(struct ak_hash *h, struct ak_reader *r,
                                     struct ak_err *err)
{
    const struct ak_hash_method *about = &h->ops->about;
    uint32_t format = ak_read_u32(r);
    uint32_t dim = ak_read_u32(r);
    uint32_t bits = ak_read_u32(r);
    uint32_t max_labels = ak_read_u32(r);
    uint64_t seed = ak_read_u64(r);
    struct ak_feature_map *map = NULL;
    enum ak_status status = AK_OK;
    uint8_t part;

    if (r->status == AK_OK && format != h->ops->format)
        return ak_fail(err, AK_ECORRUPT, "format is %u, must be %u", format,
                       h->ops->format);
    if (r->status == AK_OK &&
        (dim != h->params.dim || bits != h->params.bits ||
         max_labels != h->params.max_labels || seed != h->params.seed))
        return ak_fail(err, AK_ECORRUPT,
                       "saved with dim %u, bits %u, max_labels %u, seed %llu; "
                       "this learner has %u, %u, %u, %llu",
                       dim, bits, max_labels, (unsigned long long)seed,
                       h->params.dim, h->params.bits, h->params.max_labels,
                       (unsigned long long)h->params.seed);
    for (size_t i = 0; i < about->n_options; i++) {
        double value = ak_read_f64(r);

        if (r->status == AK_OK && value != h->options[i])
            return ak_fail(err, AK_ECORRUPT,
                           "saved with %s %g, this learner has %g",
                           about->options[i].name, value, h->options[i]);
    }
    part = ak_read_u8(r);
    if (part == MODEL_TAKEN)
        return load_taken(h, r, err);
    if (h->taken != NULL)
        return ak_fail(err, AK_ECORRUPT, "saved by a learner that learns");
    if (part != MAP_NONE)
        status = ak_feature_map_read(r, &map, err);
    if (status == AK_OK && map != NULL &&
        (ak_feature_map_dim(map) != h->params.dim ||
         ak_feature_map_kind(map) != h->plan.kind ||
         (h->plan.kind == AK_MAP_RBF &&
          ak_feature_map_width(map) > h->plan.anchors)))
        status = ak_fail(err, AK_ECORRUPT,
                         "the feature map is of kind %d for %u floats, must be "
                         "%d for %u",
                         (int)ak_feature_map_kind(map), ak_feature_map_dim(map),
                         (int)h->plan.kind, h->params.dim);
    if (status == AK_OK && h->ops->load_constants != NULL)
        status = h->ops->load_constants(h, r, err);
    if (status == AK_OK && ak_reader_finish(r) != AK_OK)
        status = ak_fail(err, AK_ECORRUPT, "constants of a wrong size");
    if (status == AK_OK && map != NULL) {
        bool first = h->map == NULL;

        ak_feature_map_drop(h->map);
        h->map = map;
        map = NULL;
        if (first && h->ops->fix != NULL)
            status = h->ops->fix(h, err);
    }
    ak_feature_map_drop(map);
    return status;
}

static enum ak_status load_state(struct ak_hash *h, struct ak_reader *r,
                                 struct ak_err *err)
{
    uint32_t format = ak_read_u32(r);
    enum ak_status status;

    if (r->status == AK_OK && format != h->ops->format)
        return ak_fail(err, AK_ECORRUPT, "format is %u, must be %u", format,
                       h->ops->format);
    h->samples = ak_read_u64(r);
    status = ak_label_map_read(&h->labels, h->params.max_labels, r, err);
    if (status == AK_OK && h->map == NULL && h->taken == NULL && h->samples > 0)
        status = ak_fail(err, AK_ECORRUPT,
                         "%llu rows were learnt without a feature map",
                         (unsigned long long)h->samples);
    if (status == AK_OK && h->map != NULL && h->taken == NULL &&
        h->ops->load_state != NULL)
        status = h->ops->load_state(h, r, err);
    if (status == AK_OK && ak_reader_finish(r) != AK_OK)
        status = ak_fail(err, AK_ECORRUPT, "a state of a wrong size");
    return status;
}

enum ak_status ak_hash_load(struct ak_hash *h, struct ak_reader *constants,
                            struct ak_reader *state, struct ak_err *err)
{
    enum ak_status status = load_constants(h, constants, err);

    if (status == AK_OK)
        status = load_state(h, state, err);
    if (status != AK_OK)
        ak_err_context(err, "%s learner", h->ops->about.name);
    return status;
}
