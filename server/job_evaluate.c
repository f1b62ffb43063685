/*
 * job_evaluate.c -- the job `evaluate`: how good the codes are that serve now.
 *
 * The metrics of the papers (core/eval/metrics.h) on the living labelled items
 * of a collection, with the codes of the published version as it was when the
 * job began: some items, drawn by `params.seed`, are held out as queries, and
 * each ranks all the others.  Items without a label are left out, since nobody
 * knows what they are.  The model may have learnt the queries, which the codes
 * of a held-out test set would not have; `akin score` measures with images that
 * the collection has not seen.
 *
 * It keeps one snapshot until the codes are copied.  It has no checkpoint: after
 * a restart it begins again, with what serves then.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/eval/metrics.h"
#include "server/engine_internal.h"
#include "server/job_kinds.h"

#define SLICE_NS    UINT64_C(10000000)
#define COPY_ROWS   4096 /* between two looks at the clock */
#define QUERIES     1000 /* unless told */
#define MAX_QUERIES 10000
#define MAX_LABELS  1000 /* told one by one */

static const uint32_t at_k[] = {1, 10, 100};
#define N_K (sizeof(at_k) / sizeof(at_k[0]))

/* Means of the queries so far, as sums. */
struct sums {
    size_t queries, with_relevant, empty;
    double map, map_ordered, map_at, in_radius, precision[N_K];
};

struct query {
    uint32_t label; /* its first */
    size_t item;
};

struct evaluate {
    struct ak_snapshot *snapshot; /* while its rows are copied */
    uint64_t version, at, unlabelled;
    size_t code_bytes;
    uint32_t bits;
    struct ak_rng rng;

    /* Labelled items; once they are copied, those that are no queries. */
    uint8_t *codes;
    struct ak_writer labels; /* u32 each */
    uint32_t *first;
    size_t n;

    struct query *queries; /* drawn; sorted by label when all are known */
    size_t n_queries, n_wanted, done;
    uint8_t *query_codes;
    struct ak_writer query_labels;
    uint32_t *query_first;

    struct sums all, label; /* of the label that is ranked now */
    json_t *by_label;
};

/* ------------------------------------------------------------- what is asked */

static enum ak_status evaluate_check(struct ak_run_check *check,
                                     struct ak_fault *fault)
{
    static const char *const known[] = {"queries", "seed"};
    const json_t *queries = json_object_get(check->params, "queries");
    const json_t *seed = json_object_get(check->params, "seed");
    struct ak_settings settings;

    if (ak_fault_keys(fault, check->params, "/params", known, 2,
                      "no such parameter; there are queries and seed") != AK_OK)
        return AK_EINVAL;
    if (queries != NULL &&
        (!json_is_integer(queries) || json_integer_value(queries) < 1 ||
         json_integer_value(queries) > MAX_QUERIES))
        return ak_fault_set(fault, "/params/queries", "validation-failed",
                            "must be an integer, 1..%d", MAX_QUERIES);
    if (seed != NULL &&
        (!json_is_integer(seed) || json_integer_value(seed) < 0))
        return ak_fault_set(fault, "/params/seed", "validation-failed",
                            "must be an integer, 0 or more");
    if (json_object_size(check->budget) > 0)
        return ak_fault_set(fault, "/budget", "unknown-field",
                            "an evaluation takes no budget");
    if (json_object_size(check->gate) > 0)
        return ak_fault_set(fault, "/gate", "unknown-field",
                            "an evaluation has no gate");
    ak_collection_settings(check->c, &settings);
    if (queries == NULL)
        json_object_set_new(check->params, "queries", json_integer(QUERIES));
    if (seed == NULL)
        json_object_set_new(
            check->params, "seed",
            json_integer((json_int_t)(settings.seed & INT64_MAX)));
    return AK_OK;
}

/* -------------------------------------------------------------------- life */

static void evaluate_end(struct ak_run *run, enum ak_run_state why)
{
    struct evaluate *e = *ak_run_data(run);

    (void)why;
    if (e == NULL)
        return;
    ak_snapshot_drop(e->snapshot);
    ak_array_free(e->codes);
    ak_array_free(e->query_codes);
    ak_array_free(e->first);
    ak_array_free(e->query_first);
    ak_array_free(e->queries);
    ak_writer_clear(&e->labels);
    ak_writer_clear(&e->query_labels);
    json_decref(e->by_label);
    free(e);
    *ak_run_data(run) = NULL;
}

static void evaluate_save(struct ak_run *run)
{
    (void)run;
}

static enum ak_status evaluate_begin(struct ak_run *run, struct ak_err *err)
{
    struct ak_collection *c = ak_run_collection(run);
    const json_t *params = ak_run_params(run);
    struct evaluate *e = calloc(1, sizeof(*e));
    struct ak_settings settings;
    size_t live;

    if (e == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to evaluate");
    *ak_run_data(run) = e;
    ak_collection_settings(c, &settings);
    e->snapshot = ak_collection_snapshot(c);
    e->version = ak_snapshot_version(e->snapshot);
    e->bits = settings.bits;
    e->code_bytes = c->shape.code_bytes;
    e->n_wanted =
        (size_t)json_integer_value(json_object_get(params, "queries"));
    ak_rng_init(&e->rng,
                (uint64_t)json_integer_value(json_object_get(params, "seed")));
    live = (size_t)ak_snapshot_live(e->snapshot);
    e->codes = ak_array_new(live + 1, e->code_bytes);
    e->first = ak_array_new(live + 1, sizeof(*e->first));
    e->queries = ak_array_new(e->n_wanted, sizeof(*e->queries));
    e->by_label = json_array();
    if (e->codes == NULL || e->first == NULL || e->queries == NULL ||
        e->by_label == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to evaluate %zu items", live);
    e->first[0] = 0;
    return AK_OK;
}

/* ------------------------------------------------------- copying and drawing */

/* The i-th labelled item; which are queries is drawn uniformly as they come. */
static void draw(struct evaluate *e, uint32_t label)
{
    size_t i = e->n, place = i;

    if (i >= e->n_wanted)
        place = (size_t)ak_rng_below(&e->rng, i + 1);
    if (place >= e->n_wanted)
        return;
    e->queries[place] = (struct query){label, i};
    if (i < e->n_wanted)
        e->n_queries = i + 1;
}

static void copy_row(struct evaluate *e, uint64_t ordinal)
{
    const uint32_t *labels;
    size_t n;

    if (!ak_snapshot_alive(e->snapshot, ordinal))
        return;
    n = ak_snapshot_labels(e->snapshot, ordinal, &labels);
    if (n == 0) {
        e->unlabelled++;
        return;
    }
    ak_snapshot_code(e->snapshot, ordinal, e->codes + e->n * e->code_bytes);
    ak_write_bytes(&e->labels, labels, n * sizeof(*labels));
    draw(e, labels[0]);
    e->first[e->n + 1] = e->first[e->n] + (uint32_t)n;
    e->n++;
}

static int by_item(const void *a, const void *b)
{
    const struct query *x = a, *y = b;

    return (x->item > y->item) - (x->item < y->item);
}

static int by_label(const void *a, const void *b)
{
    const struct query *x = a, *y = b;

    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    return by_item(a, b);
}

static const uint32_t *labels_of(const struct evaluate *e, size_t item,
                                 size_t *n)
{
    *n = e->first[item + 1] - e->first[item];
    return (const uint32_t *)(const void *)e->labels.data + e->first[item];
}

/* The queries into arrays of their own, by label. */
static enum ak_status take_queries(struct evaluate *e, struct ak_err *err)
{
    e->query_codes = ak_array_new(e->n_queries, e->code_bytes);
    e->query_first = ak_array_new(e->n_queries + 1, sizeof(*e->query_first));
    if (e->query_codes == NULL || e->query_first == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu queries",
                       e->n_queries);
    qsort(e->queries, e->n_queries, sizeof(*e->queries), by_label);
    e->query_first[0] = 0;
    for (size_t i = 0; i < e->n_queries; i++) {
        size_t n, item = e->queries[i].item;
        const uint32_t *labels = labels_of(e, item, &n);

        memcpy(e->query_codes + i * e->code_bytes,
               e->codes + item * e->code_bytes, e->code_bytes);
        ak_write_bytes(&e->query_labels, labels, n * sizeof(*labels));
        e->query_first[i + 1] = e->query_first[i] + (uint32_t)n;
    }
    return e->query_labels.status == AK_OK
               ? AK_OK
               : ak_fail(err, AK_ENOMEM, "no memory for %zu queries",
                         e->n_queries);
}

/* The database is what is left, in order of arrival. */
static enum ak_status drop_queries(struct evaluate *e, struct ak_err *err)
{
    struct query *sorted = ak_array_new(e->n_queries, sizeof(*sorted));
    uint32_t *all = (uint32_t *)(void *)e->labels.data;
    size_t kept = 0, next = 0;

    if (sorted == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu queries",
                       e->n_queries);
    memcpy(sorted, e->queries, e->n_queries * sizeof(*sorted));
    qsort(sorted, e->n_queries, sizeof(*sorted), by_item);
    for (size_t i = 0; i < e->n; i++) {
        uint32_t begin = e->first[i], n = e->first[i + 1] - begin;

        if (next < e->n_queries && sorted[next].item == i) {
            next++;
            continue;
        }
        memmove(e->codes + kept * e->code_bytes, e->codes + i * e->code_bytes,
                e->code_bytes);
        memmove(all + e->first[kept], all + begin, n * sizeof(*all));
        e->first[kept + 1] = e->first[kept] + n;
        kept++;
    }
    e->n = kept;
    ak_array_free(sorted);
    return AK_OK;
}

static enum ak_status end_copy(struct evaluate *e, struct ak_err *err)
{
    enum ak_status status;

    ak_snapshot_drop(e->snapshot);
    e->snapshot = NULL;
    if (e->labels.status != AK_OK)
        return ak_fail(err, AK_ENOMEM, "no memory for labels");
    if (e->n < 2)
        return ak_fail(
            err, AK_EINVAL,
            "there are %zu items with a label, at least 2 are needed", e->n);
    /* Half of them at most: the queries need something to find. */
    if (e->n_queries > e->n / 2)
        e->n_queries = e->n / 2;
    status = take_queries(e, err);
    return status == AK_OK ? drop_queries(e, err) : status;
}

/* ------------------------------------------------------------------- ranking */

static void add(struct sums *s, const struct ak_eval_result *r, size_t n)
{
    s->queries += n;
    s->with_relevant += r->queries;
    s->empty += r->empty;
    s->map += r->map * (double)r->queries;
    s->map_ordered += r->map_ordered * (double)r->queries;
    s->map_at += r->map_at * (double)n;
    s->in_radius += r->precision_in_radius * (double)n;
    for (size_t i = 0; i < N_K; i++)
        s->precision[i] += r->precision[i] * (double)n;
}

/* null: no query had anything to find. */
static json_t *mean(double sum, size_t n)
{
    return n > 0 ? json_real(sum / (double)n) : json_null();
}

static void put_means(json_t *o, const struct sums *s)
{
    json_object_set_new(o, "queries", json_integer((json_int_t)s->queries));
    json_object_set_new(o, "map", mean(s->map, s->with_relevant));
    json_object_set_new(o, "p_at_100", mean(s->precision[2], s->queries));
}

static void end_label(struct ak_run *run, struct evaluate *e, uint32_t label)
{
    const char *name = ak_collection_label(ak_run_collection(run), label);
    json_t *o;

    if (json_array_size(e->by_label) < MAX_LABELS) {
        o = json_pack("{s:s}", "label", name != NULL ? name : "");
        put_means(o, &e->label);
        json_array_append_new(e->by_label, o);
    }
    e->label = (struct sums){0};
}

/* The next query, alone: its label's sums want it so. */
static enum ak_status rank_one(struct ak_run *run, struct evaluate *e,
                               struct ak_err *err)
{
    struct ak_eval_params params = {
        .bits = e->bits, .map_at = 1000, .radius = 2, .n_k = N_K};
    size_t i = e->done;
    uint32_t first[2] = {0, e->query_first[i + 1] - e->query_first[i]};
    struct ak_eval_items query = {
        .codes = e->query_codes + i * e->code_bytes,
        .labels = (const uint32_t *)(const void *)e->query_labels.data +
                  e->query_first[i],
        .first = first,
        .n = 1};
    struct ak_eval_items database = {
        .codes = e->codes,
        .labels = (const uint32_t *)(const void *)e->labels.data,
        .first = e->first,
        .n = e->n};
    struct ak_eval_result result;
    enum ak_status status;

    memcpy(params.k, at_k, sizeof(at_k));
    status = ak_eval_rank(&params, &query, &database, &result, err);
    if (status != AK_OK)
        return status;
    add(&e->all, &result, 1);
    add(&e->label, &result, 1);
    e->done++;
    if (e->done == e->n_queries ||
        e->queries[e->done].label != e->queries[i].label)
        end_label(run, e, e->queries[i].label);
    return AK_OK;
}

static enum ak_run_step tell(struct ak_run *run, struct evaluate *e)
{
    const struct sums *s = &e->all;
    json_t *o = json_object();

    json_object_set_new(o, "version", json_integer((json_int_t)e->version));
    json_object_set_new(o, "bits", json_integer(e->bits));
    json_object_set_new(o, "items", json_integer((json_int_t)e->n));
    json_object_set_new(o, "unlabelled",
                        json_integer((json_int_t)e->unlabelled));
    put_means(o, s);
    json_object_set_new(
        o, "without_relevant",
        json_integer((json_int_t)(s->queries - s->with_relevant)));
    json_object_set_new(o, "map_ordered",
                        mean(s->map_ordered, s->with_relevant));
    json_object_set_new(o, "map_at_1000", mean(s->map_at, s->queries));
    json_object_set_new(o, "p_at_h2", mean(s->in_radius, s->queries));
    json_object_set_new(o, "empty_at_h2", json_integer((json_int_t)s->empty));
    json_object_set_new(o, "p_at_1", mean(s->precision[0], s->queries));
    json_object_set_new(o, "p_at_10", mean(s->precision[1], s->queries));
    json_object_set(o, "labels", e->by_label);
    ak_run_result(run, o);
    return AK_STEP_DONE;
}

/* Until the slice is over, or all is copied. */
static enum ak_status copy(struct ak_run *run, struct evaluate *e,
                           uint64_t start, struct ak_err *err)
{
    uint64_t rows = ak_snapshot_rows(e->snapshot);

    while (e->at < rows && ak_clock_ns() - start < SLICE_NS)
        for (uint64_t end = e->at + COPY_ROWS; e->at < rows && e->at < end;)
            copy_row(e, e->at++);
    ak_run_progress(run, "codes", e->at, rows);
    return e->at < rows ? AK_OK : end_copy(e, err);
}

static enum ak_run_step evaluate_step(struct ak_run *run, struct ak_err *err)
{
    struct evaluate *e = *ak_run_data(run);
    uint64_t start = ak_clock_ns();
    enum ak_status status = AK_OK;

    if (e->snapshot != NULL)
        status = copy(run, e, start, err);
    else
        do
            status = rank_one(run, e, err);
        while (status == AK_OK && e->done < e->n_queries &&
               ak_clock_ns() - start < SLICE_NS);
    if (status != AK_OK)
        return AK_STEP_FAILED;
    if (e->snapshot != NULL || e->done == 0)
        return AK_STEP_MORE;
    ak_run_progress(run, "queries", e->done, e->n_queries);
    if (e->all.with_relevant > 0)
        ak_run_metric(run, "map", e->all.map / (double)e->all.with_relevant);
    return e->done < e->n_queries ? AK_STEP_MORE : tell(run, e);
}

const struct ak_run_kind ak_run_evaluate = {
    .name = "evaluate",
    .help = "measure the published codes on held-out items of the collection",
    .on_collection = true,
    .exclusive = "evaluate",
    .check = evaluate_check,
    .begin = evaluate_begin,
    .step = evaluate_step,
    .save = evaluate_save,
    .end = evaluate_end,
};
