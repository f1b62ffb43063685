/*
 * job_duplicates.c -- the job `duplicates`: items whose codes are near one
 * another, and on request their features as well.
 *
 * The living items that pass `params.filter` are taken as they were when the job
 * began, with the codes of the version that served then; the snapshot is let go
 * once they are copied.  What is looked for, and how, is in
 * core/code/duplicates.h: the clusters are those of all pairs, of which the
 * nearest are listed.  Ids are read at the end, from the file, which keeps those
 * of items that were deleted meanwhile.
 *
 * It has no checkpoint: after a restart it begins again, with what serves then.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/code/duplicates.h"
#include "server/engine_internal.h"
#include "server/id_json.h"
#include "server/job_features.h"
#include "server/job_kinds.h"
#include "server/lookup.h"

#define SLICE_NS    UINT64_C(10000000)
#define COPY_ROWS   4096 /* between two looks at the clock */
#define LIMIT       100  /* unless told */
#define MAX_LIMIT   1000
#define MOST_IDS    100 /* that are listed of a cluster */
#define IDS_A_LIMIT 10  /* and of all clusters, times the limit */

enum phase { CODES, FEATURES, PAIRS, RESULT };

/* Of two or more items. */
struct cluster {
    uint32_t lowest, size;
    uint32_t first, listed; /* of the ids that are listed */
};

struct duplicates {
    enum phase phase;
    struct ak_settings settings;
    struct ak_lookup lookup; /* while items are copied */
    struct ak_arena arena;
    const struct ak_filter *filter;
    uint64_t version, at;
    uint32_t max_distance;
    size_t limit, words;

    size_t n; /* items */
    uint64_t *codes;
    uint64_t *ordinals;
    struct ak_job_features *features; /* NULL: by codes alone */
    bool similar;
    struct ak_duplicates *search;

    struct ak_duplicates_result found;
    struct ak_view *view;     /* for the ids */
    struct cluster *clusters; /* largest first */
    size_t n_clusters, n_in_clusters, n_shown;
    uint32_t *members; /* of those that are shown, one after another */
    size_t n_members;
    size_t told; /* pairs, then clusters, that are in: */
    json_t *pairs, *groups;
};

/* -------------------------------------------------------------- what is asked */

/* A parameter that is a number from `low` to `high`; absent is right. */
static bool number_in(const json_t *params, const char *key, bool integer,
                      double low, double high, struct ak_fault *fault)
{
    const json_t *value = json_object_get(params, key);
    char pointer[64];

    if (value == NULL ||
        ((integer ? json_is_integer(value) : json_is_number(value)) &&
         json_number_value(value) >= low && json_number_value(value) <= high))
        return true;
    snprintf(pointer, sizeof(pointer), "/params/%s", key);
    ak_fault_set(fault, pointer, "validation-failed", "must be %s, %g..%g",
                 integer ? "an integer" : "a number", low, high);
    return false;
}

static enum ak_status check_filter(const json_t *filter,
                                   const struct ak_settings *settings,
                                   struct ak_fault *fault)
{
    struct ak_faults faults = {.n = 0};
    struct ak_arena arena = {0};
    struct ak_filter_text *text;
    enum ak_status status = ak_filter_read(filter, "/params/filter", settings,
                                           &arena, &text, &faults);

    ak_arena_clear(&arena);
    if (status == AK_EINVAL && faults.n > 0)
        return ak_fault_set(fault, faults.list[0].pointer, faults.list[0].code,
                            "%s", faults.list[0].detail);
    return status;
}

static enum ak_status check_features(const struct ak_run_check *check,
                                     const struct ak_settings *settings,
                                     struct ak_fault *fault)
{
    const json_t *far = json_object_get(check->params, "feature_distance");
    const json_t *similar = json_object_get(check->params, "min_similarity");
    const char *pointer =
        far != NULL ? "/params/feature_distance" : "/params/min_similarity";

    if (far == NULL && similar == NULL)
        return AK_OK;
    if (far != NULL && similar != NULL)
        return ak_fault_set(fault, pointer, "validation-failed",
                            "is given beside min_similarity, there can be one");
    if (settings->dim == 0)
        return ak_fault_set(fault, pointer, "unsupported-option",
                            "the collection has no features");
    return AK_OK;
}

static enum ak_status duplicates_check(struct ak_run_check *check,
                                       struct ak_fault *fault)
{
    static const char *const known[] = {"max_distance", "feature_distance",
                                        "min_similarity", "limit", "filter"};
    struct ak_settings settings;
    enum ak_status status;

    if (ak_fault_keys(fault, check->params, "/params", known, 5,
                      "no such parameter; there are max_distance, "
                      "feature_distance, min_similarity, limit and filter") !=
        AK_OK)
        return AK_EINVAL;
    if (json_object_size(check->budget) > 0)
        return ak_fault_set(fault, "/budget", "unknown-field",
                            "a search for duplicates takes no budget");
    if (json_object_size(check->gate) > 0)
        return ak_fault_set(fault, "/gate", "unknown-field",
                            "a search for duplicates has no gate");
    ak_collection_settings(check->c, &settings);
    if (!number_in(check->params, "max_distance", true, 0, settings.bits,
                   fault) ||
        !number_in(check->params, "limit", true, 1, MAX_LIMIT, fault) ||
        !number_in(check->params, "feature_distance", false, 0, 1e30, fault) ||
        !number_in(check->params, "min_similarity", false, -1, 1, fault))
        return AK_EINVAL;
    status = check_features(check, &settings, fault);
    if (status == AK_OK)
        status = check_filter(json_object_get(check->params, "filter"),
                              &settings, fault);
    if (status != AK_OK)
        return status;
    if (json_object_get(check->params, "max_distance") == NULL)
        json_object_set_new(check->params, "max_distance",
                            json_integer(settings.bits / 16));
    if (json_object_get(check->params, "limit") == NULL)
        json_object_set_new(check->params, "limit", json_integer(LIMIT));
    return AK_OK;
}

/* -------------------------------------------------------------------- life */

static void duplicates_end(struct ak_run *run, enum ak_run_state why)
{
    struct duplicates *d = *ak_run_data(run);

    (void)why;
    if (d == NULL)
        return;
    ak_lookup_clear(&d->lookup);
    ak_arena_clear(&d->arena);
    ak_duplicates_destroy(d->search);
    ak_job_features_destroy(d->features);
    if (d->view != NULL)
        ak_collection_return(ak_run_collection(run), d->view);
    ak_array_free(d->codes);
    ak_array_free(d->ordinals);
    ak_array_free(d->clusters);
    ak_array_free(d->members);
    json_decref(d->pairs);
    json_decref(d->groups);
    free(d);
    *ak_run_data(run) = NULL;
}

static void duplicates_save(struct ak_run *run)
{
    (void)run;
}

/* The filter as of the snapshot. */
static enum ak_status bind_filter(struct duplicates *d, const json_t *filter,
                                  struct ak_err *err)
{
    struct ak_filter_names names = ak_lookup_names(&d->lookup);
    struct ak_faults faults = {.n = 0};
    struct ak_filter_text *text;
    enum ak_status status = ak_filter_read(
        filter, "/params/filter", &d->settings, &d->arena, &text, &faults);

    if (status != AK_OK)
        return ak_fail(err, status, "the filter cannot be read any more");
    return ak_filter_bind(text, &names, &d->arena, &d->filter, err);
}

static enum ak_status duplicates_begin(struct ak_run *run, struct ak_err *err)
{
    struct ak_collection *c = ak_run_collection(run);
    const json_t *params = ak_run_params(run);
    struct duplicates *d = calloc(1, sizeof(*d));
    size_t live;

    if (d == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to look for duplicates");
    *ak_run_data(run) = d;
    ak_collection_settings(c, &d->settings);
    ak_lookup_init(&d->lookup, c, &d->settings);
    d->version = ak_snapshot_version(d->lookup.snapshot);
    d->words = ak_code_words(d->settings.bits);
    d->max_distance =
        (uint32_t)json_integer_value(json_object_get(params, "max_distance"));
    d->limit = (size_t)json_integer_value(json_object_get(params, "limit"));
    live = (size_t)ak_snapshot_live(d->lookup.snapshot);
    if (live >= UINT32_MAX)
        return ak_fail(err, AK_EINVAL,
                       "there are %zu items, at most %u can be compared", live,
                       UINT32_MAX - 1);
    d->codes = ak_array_new(live, d->words * sizeof(*d->codes));
    d->ordinals = ak_array_new(live, sizeof(*d->ordinals));
    d->pairs = json_array();
    d->groups = json_array();
    if (d->codes == NULL || d->ordinals == NULL || d->pairs == NULL ||
        d->groups == NULL)
        return ak_fail(err, AK_ENOMEM,
                       "no memory to look for duplicates among %zu items",
                       live);
    return bind_filter(d, json_object_get(params, "filter"), err);
}

/* ------------------------------------------------------------------- copying */

static enum ak_status begin_search(struct ak_run *run, struct duplicates *d,
                                   struct ak_err *err)
{
    struct ak_duplicates_params params = {.bits = d->settings.bits,
                                          .max_distance = d->max_distance,
                                          .n = d->n,
                                          .codes = d->codes,
                                          .limit = d->limit,
                                          .seed = d->settings.seed};

    (void)run;
    if (d->features != NULL)
        params.features = ak_job_features_get(d->features);
    d->phase = PAIRS;
    return ak_duplicates_create(&params, &d->search, err);
}

static enum ak_status end_copy(struct ak_run *run, struct duplicates *d,
                               struct ak_err *err)
{
    const json_t *params = ak_run_params(run);
    const json_t *far = json_object_get(params, "feature_distance");
    const json_t *similar = json_object_get(params, "min_similarity");
    struct ak_job_features_params features = {
        .c = ak_run_collection(run),
        .ordinals = d->ordinals,
        .n = d->n,
        .similar = similar != NULL,
        .threshold = json_number_value(similar != NULL ? similar : far),
        .seed = d->settings.seed};

    ak_lookup_clear(&d->lookup);
    ak_arena_clear(&d->arena);
    if (similar == NULL && far == NULL)
        return begin_search(run, d, err);
    d->similar = similar != NULL;
    d->phase = FEATURES;
    return ak_job_features_create(&features, &d->features, err);
}

/* Until the slice is over, or all is copied. */
static enum ak_status copy(struct ak_run *run, struct duplicates *d,
                           struct ak_err *err)
{
    const struct ak_snapshot *s = d->lookup.snapshot;
    uint64_t rows = ak_snapshot_rows(s), start = ak_clock_ns();
    uint8_t code[AK_CODE_MAX_BITS / 8];

    while (d->at < rows && ak_clock_ns() - start < SLICE_NS)
        for (uint64_t end = d->at + COPY_ROWS; d->at < rows && d->at < end;) {
            uint64_t row = ak_snapshot_next(s, d->at, d->filter);

            d->at = row < rows ? row + 1 : rows;
            if (row == rows)
                break;
            ak_snapshot_code(s, row, code);
            ak_code_load(code, d->settings.bits, d->codes + d->n * d->words);
            d->ordinals[d->n++] = row;
        }
    ak_run_progress(run, "codes", d->at, rows);
    return d->at < rows ? AK_OK : end_copy(run, d, err);
}

static enum ak_status read_features(struct ak_run *run, struct duplicates *d,
                                    struct ak_err *err)
{
    size_t at = 0;
    enum ak_status status = ak_job_features_read(d->features, &at, err);

    ak_run_progress(run, "features", at, d->n);
    if (status != AK_OK || at < d->n)
        return status;
    return begin_search(run, d, err);
}

/* ---------------------------------------------------------------- the result */

static int largest_first(const void *a, const void *b)
{
    const struct cluster *x = a, *y = b;

    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    return (x->lowest > y->lowest) - (x->lowest < y->lowest);
}

/* The members that are listed, of the clusters that are. */
static bool gather_members(struct duplicates *d)
{
    uint32_t *place = ak_array_new(d->n, sizeof(*place)); /* + 1; 0: none */
    size_t room = IDS_A_LIMIT * d->limit;

    d->n_shown = d->n_clusters < d->limit ? d->n_clusters : d->limit;
    d->members = ak_array_new(room, sizeof(*d->members));
    if (place == NULL || d->members == NULL) {
        ak_array_free(place);
        return false;
    }
    for (size_t i = 0; i < d->n_shown; i++) {
        struct cluster *c = &d->clusters[i];
        size_t listed = c->size < MOST_IDS ? c->size : MOST_IDS;

        if (listed > room - d->n_members)
            listed = room - d->n_members;
        c->first = (uint32_t)d->n_members;
        c->listed = 0;
        d->n_members += listed;
        place[c->lowest] = (uint32_t)i + 1;
    }
    for (size_t i = 0; i < d->n; i++) {
        uint32_t at = place[d->found.cluster[i]];
        struct cluster *c = at > 0 ? &d->clusters[at - 1] : NULL;
        size_t end = at < d->n_shown ? d->clusters[at].first : d->n_members;

        if (c != NULL && c->first + c->listed < end)
            d->members[c->first + c->listed++] = (uint32_t)i;
    }
    ak_array_free(place);
    return true;
}

static enum ak_status begin_result(struct ak_run *run, struct duplicates *d,
                                   struct ak_err *err)
{
    uint32_t *sizes = ak_array_new(d->n, sizeof(*sizes));
    enum ak_status status = AK_OK;
    size_t n = 0;

    d->phase = RESULT;
    ak_duplicates_result(d->search, &d->found);
    if (sizes == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for clusters");
    for (size_t i = 0; i < d->n; i++)
        n += ++sizes[d->found.cluster[i]] == 2;
    d->clusters = ak_array_new(n, sizeof(*d->clusters));
    for (size_t i = 0; i < d->n && d->clusters != NULL; i++)
        if (sizes[i] >= 2) {
            d->clusters[d->n_clusters++] =
                (struct cluster){.lowest = (uint32_t)i, .size = sizes[i]};
            d->n_in_clusters += sizes[i];
        }
    ak_array_free(sizes);
    if (d->clusters != NULL)
        qsort(d->clusters, n, sizeof(*d->clusters), largest_first);
    if (d->clusters == NULL || !gather_members(d))
        status = ak_fail(err, AK_ENOMEM, "no memory for %zu clusters", n);
    return status == AK_OK
               ? ak_collection_borrow(ak_run_collection(run), &d->view, err)
               : status;
}

struct id_walk {
    const struct duplicates *d;
    json_t *id;
};

static enum ak_status take_id(void *arg, const struct ak_row *row,
                              struct ak_err *err)
{
    struct id_walk *walk = arg;

    walk->id = ak_id_json(walk->d->settings.string_ids, row->id.number,
                          row->id.text, row->id.len);
    if (walk->id == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for an id");
    return AK_ECANCELED; /* one row is enough */
}

static enum ak_status id_of(struct duplicates *d, uint32_t item, json_t **out,
                            struct ak_err *err)
{
    struct id_walk walk = {.d = d};
    enum ak_status status =
        ak_view_rows(d->view, d->ordinals[item], take_id, &walk, err);

    if (status == AK_OK && walk.id == NULL)
        status = ak_fail(err, AK_ECORRUPT, "row %llu is not there",
                         (unsigned long long)d->ordinals[item]);
    *out = walk.id;
    return status;
}

static enum ak_status tell_pair(struct duplicates *d, const struct ak_pair *p,
                                struct ak_err *err)
{
    json_t *a = NULL, *b = NULL, *o = NULL;
    enum ak_status status = id_of(d, p->a, &a, err);

    if (status == AK_OK)
        status = id_of(d, p->b, &b, err);
    if (status != AK_OK) {
        json_decref(a);
        return status;
    }
    o = json_pack("{s:[o,o], s:I}", "ids", a, b, "distance",
                  (json_int_t)p->distance);
    if (d->features != NULL)
        json_object_set_new(o, d->similar ? "similarity" : "feature_distance",
                            json_real(p->feature));
    return json_array_append_new(d->pairs, o) == 0
               ? AK_OK
               : ak_fail(err, AK_ENOMEM, "no memory for pairs");
}

static enum ak_status tell_cluster(struct duplicates *d,
                                   const struct cluster *c, struct ak_err *err)
{
    json_t *ids = json_array();
    json_t *o =
        json_pack("{s:I, s:o}", "size", (json_int_t)c->size, "ids", ids);

    for (uint32_t i = 0; i < c->listed; i++) {
        json_t *id;
        enum ak_status status = id_of(d, d->members[c->first + i], &id, err);

        if (status != AK_OK) {
            json_decref(o);
            return status;
        }
        json_array_append_new(ids, id);
    }
    return json_array_append_new(d->groups, o) == 0
               ? AK_OK
               : ak_fail(err, AK_ENOMEM, "no memory for clusters");
}

static void tell(struct ak_run *run, struct duplicates *d)
{
    const struct ak_duplicates_result *found = &d->found;
    uint64_t n = d->n, all = n % 2 == 0 ? n / 2 * (n - 1) : (n - 1) / 2 * n;
    size_t shown = 0;
    json_t *o;

    if (n == 0)
        all = 0;
    for (size_t i = 0; i < d->n_shown; i++)
        shown += d->clusters[i].size;
    o = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O, s:O, s:{s:b, s:b, s:b}, "
        "s:I, s:I}",
        "version", (json_int_t)d->version, "bits", (json_int_t)d->settings.bits,
        "max_distance", (json_int_t)d->max_distance, "items", (json_int_t)n,
        "n_clusters", (json_int_t)d->n_clusters, "in_clusters",
        (json_int_t)d->n_in_clusters, "all_pairs", (json_int_t)all, "clusters",
        d->groups, "pairs", d->pairs, "truncated", "pairs", found->truncated,
        "clusters", d->n_shown < d->n_clusters, "ids", d->n_members < shown,
        "compared", (json_int_t)found->compared, "verified",
        (json_int_t)found->verified);
    ak_run_result(run, o);
}

/* Until the slice is over, or all is told. */
static enum ak_status tell_some(struct ak_run *run, struct duplicates *d,
                                bool *done, struct ak_err *err)
{
    size_t pairs = d->found.n_pairs, all = pairs + d->n_shown;
    uint64_t start = ak_clock_ns();
    enum ak_status status = AK_OK;

    while (status == AK_OK && d->told < all &&
           ak_clock_ns() - start < SLICE_NS) {
        status = d->told < pairs
                     ? tell_pair(d, &d->found.pairs[d->told], err)
                     : tell_cluster(d, &d->clusters[d->told - pairs], err);
        d->told++;
    }
    ak_run_progress(run, "result", d->told, all);
    *done = d->told == all;
    if (status == AK_OK && *done)
        tell(run, d);
    return status;
}

/* --------------------------------------------------------------------- steps */

static enum ak_status search(struct ak_run *run, struct duplicates *d,
                             struct ak_err *err)
{
    bool done = false;
    enum ak_status status = ak_duplicates_step(d->search, &done, err);
    double ratio = ak_duplicates_ratio(d->search);

    ak_run_progress(run, "pairs", (uint64_t)floor(ratio * (double)d->n), d->n);
    return status == AK_OK && done ? begin_result(run, d, err) : status;
}

static enum ak_run_step duplicates_step(struct ak_run *run, struct ak_err *err)
{
    struct duplicates *d = *ak_run_data(run);
    enum ak_status status = AK_OK;
    bool done = false;

    switch (d->phase) {
    case CODES:
        status = copy(run, d, err);
        break;
    case FEATURES:
        status = read_features(run, d, err);
        break;
    case PAIRS:
        status = search(run, d, err);
        break;
    case RESULT:
        status = tell_some(run, d, &done, err);
        break;
    }
    if (status != AK_OK)
        return AK_STEP_FAILED;
    return done ? AK_STEP_DONE : AK_STEP_MORE;
}

const struct ak_run_kind ak_run_duplicates = {
    .name = "duplicates",
    .help = "find items whose codes, and perhaps features, are nearly the same",
    .on_collection = true,
    .exclusive = "duplicates",
    .check = duplicates_check,
    .begin = duplicates_begin,
    .step = duplicates_step,
    .save = duplicates_save,
    .end = duplicates_end,
};
