/* routes_stats.c -- how good a collection's codes are, and how they use their
   bits. */
#include "server/routes.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "server/bits.h"
#include "server/json_stats.h"
#include "server/op.h"
#include "server/series.h"

#define DEFAULT_LABELS 256

/* Codes of all rows are counted up to this many, then of every second, third
   ...: a share of a million has an error of at most 0.0005. */
#define COUNTED_ROWS 1000000

/* Rows that are compared: correlation and flips.  Flips need vectors, which are
   read in runs of rows. */
#define SAMPLE_ROWS 4096
#define FLIP_ROWS   4096
#define RUN_ROWS    128

/* ----------------------------------------------------------------- versions */

struct versions {
    uint64_t *at_seqs, *numbers; /* owned */
    size_t n, cap;
    uint64_t previous; /* 0: there is none but version 0 */
    bool has_previous;
};

static void versions_clear(struct versions *v)
{
    free(v->at_seqs);
    free(v->numbers);
}

static enum ak_status add_version(void *arg, const struct ak_version *v,
                                  struct ak_err *err)
{
    struct versions *all = arg;

    if (all->n == all->cap) {
        size_t cap = 2 * all->cap + 16;
        uint64_t *seqs = realloc(all->at_seqs, cap * sizeof(*seqs));
        uint64_t *numbers;

        if (seqs == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory for versions");
        all->at_seqs = seqs;
        numbers = realloc(all->numbers, cap * sizeof(*numbers));
        if (numbers == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory for versions");
        all->numbers = numbers;
        all->cap = cap;
    }
    all->at_seqs[all->n] = v->at_seq;
    all->numbers[all->n++] = v->version;
    if (v->state == AK_VERSION_PREVIOUS) {
        all->previous = v->version;
        all->has_previous = true;
    }
    return AK_OK;
}

/* Number of the version of a publish record; null while it is on its way. */
static json_t *version_of(const struct versions *all, uint64_t at_seq)
{
    for (size_t i = all->n; i-- > 0;)
        if (all->at_seqs[i] == at_seq)
            return json_integer((json_int_t)all->numbers[i]);
    return json_null();
}

/* ------------------------------------------------------------------ quality */

static json_t *labels_json(struct ak_collection *c,
                           const struct ak_quality_report *r, uint64_t limit)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->n_labels && i < limit; i++) {
        const struct ak_label_quality *l = &r->labels[i];
        const char *name = ak_collection_label(c, l->label);

        /* A label whose row is not visible yet has no name here. */
        if (name == NULL)
            continue;
        json_array_append_new(list,
                              json_pack("{s:s, s:I, s:o, s:o}", "label", name,
                                        "queries", (json_int_t)l->queries,
                                        "served", ak_json_score(&l->served),
                                        "live", ak_json_score(&l->live)));
    }
    return list;
}

static json_t *mean_json(uint32_t queries, float map)
{
    return queries == 0 ? json_null() : json_real((double)map);
}

static json_t *history_json(const struct ak_quality_report *r,
                            const struct versions *versions)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->n_points; i++) {
        const struct ak_quality_point *p = &r->points[i];
        char time[AK_TIME_TEXT];

        json_array_append_new(
            list, json_pack("{s:I, s:s, s:I, s:o, s:o, s:o}", "seq",
                            (json_int_t)p->seq, "time",
                            ak_time_format(p->time_ms, time), "samples",
                            (json_int_t)p->samples, "version",
                            version_of(versions, p->model_seq), "served",
                            mean_json(p->served_queries, p->served), "live",
                            mean_json(p->live_queries, p->live)));
    }
    return list;
}

static json_t *quality_json(struct ak_op *op, const struct ak_quality_report *r,
                            const struct versions *versions,
                            const struct ak_collection_status *now,
                            uint64_t limit)
{
    return json_pack(
        "{s:i, s:I, s:I, s:{s:I, s:I, s:I}, s:{s:o, s:I, s:I}, s:o, s:o, s:I,"
        " s:o, s:o, s:o, s:o}",
        "window", AK_SERIES_WINDOW, "map_depth",
        (json_int_t)op->settings.quality_depth, "database_rows",
        (json_int_t)r->panel_rows, "queries", "ranked", (json_int_t)r->asked,
        "duplicates", (json_int_t)r->duplicates, "without_relevant",
        (json_int_t)r->lonely, "model_versions", "measured",
        version_of(versions, r->published_seq), "published",
        (json_int_t)now->published, "live_samples",
        (json_int_t)now->live_samples, "served", ak_json_quality(&r->served),
        "live", ak_json_quality(&r->live), "n_labels", (json_int_t)r->n_labels,
        "labels", labels_json(op->c, r, limit), "history",
        history_json(r, versions), "drift", ak_json_drift(&r->drift), "gate",
        ak_json_gate(&r->gate));
}

static void show_quality(struct ak_op *op)
{
    const uint64_t *limit = op->arg;
    struct ak_quality_report none = {.depth = 0}, *report = NULL;
    struct versions versions = {0};
    struct ak_collection_status now;
    struct ak_err err = {0};
    struct ak_view *view = NULL;
    json_t *o = NULL;
    enum ak_status status = ak_collection_quality(op->c, &report, &err);

    /* A kind that does not learn has figures of nothing. */
    if (status == AK_ENOTFOUND)
        status = AK_OK;
    if (status == AK_OK)
        status = ak_collection_borrow(op->c, &view, &err);
    if (status == AK_OK)
        status = ak_view_versions(view, add_version, &versions, &err);
    if (view != NULL)
        ak_collection_return(op->c, view);
    ak_collection_status(op->c, &now);
    if (status == AK_OK)
        o = quality_json(op, report != NULL ? report : &none, &versions, &now,
                         *limit);
    versions_clear(&versions);
    free(report);
    if (status != AK_OK) {
        ak_op_fail(op, status, &err);
        return;
    }
    ak_op_headers(op, now.published, now.visible_seq);
    ak_reply_json(op->rq, 200, o);
}

static void get_quality(struct ak_request *rq)
{
    static const char *const names[] = {"limit"};
    struct ak_op *op = ak_op_begin(rq, AK_OP_READS, names, AK_COUNT(names));
    uint64_t limit;

    if (op == NULL ||
        !ak_op_query_number(op, "limit", 0, UINT32_MAX, DEFAULT_LABELS, &limit))
        return;
    op->arg = ak_arena_array(&op->arena, 1, sizeof(limit));
    if (op->arg == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    *(uint64_t *)op->arg = limit;
    ak_op_run(op, show_quality);
}

/* --------------------------------------------------------------------- bits */

enum { WITH_FLIPS = 1 << 0, WITH_CORRELATION = 1 << 1 };

/* A request for bits. */
struct asked {
    unsigned with;
    struct ak_snapshot *s;
    uint32_t bits;
    uint64_t rows; /* counted */
    uint64_t ones[AK_CODE_MAX_BITS];
    uint8_t *sample; /* (n_sample, bits / 8), of living rows, evenly apart */
    size_t n_sample;
};

static void asked_clear(struct asked *a)
{
    ak_snapshot_drop(a->s);
    ak_array_free(a->sample);
}

/* How far apart at most `most` of n are taken. */
static uint64_t every(uint64_t n, uint64_t most)
{
    return n > most ? (n + most - 1) / most : 1;
}

/* Ones over the published codes, and a sample of the codes. */
static enum ak_status count_codes(struct asked *a, struct ak_err *err)
{
    size_t bytes = ak_code_bytes(a->bits);
    uint64_t n = ak_snapshot_rows(a->s);
    uint64_t step = every(n, COUNTED_ROWS), apart = every(n, SAMPLE_ROWS);
    uint8_t some[RUN_ROWS * AK_CODE_MAX_BITS / 8];
    size_t held = 0;

    a->sample = ak_array_new(SAMPLE_ROWS, bytes);
    if (a->sample == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a sample of codes");
    for (uint64_t i = 0; i < n; i += step) {
        if (!ak_snapshot_alive(a->s, i))
            continue;
        ak_snapshot_code(a->s, i, some + held++ * bytes);
        a->rows++;
        if (held < RUN_ROWS)
            continue;
        ak_bits_count(some, held, a->bits, a->ones);
        held = 0;
    }
    ak_bits_count(some, held, a->bits, a->ones);
    for (uint64_t i = 0; i < n && a->n_sample < SAMPLE_ROWS; i += apart)
        if (ak_snapshot_alive(a->s, i))
            ak_snapshot_code(a->s, i, a->sample + a->n_sample++ * bytes);
    return AK_OK;
}

static json_t *bits_json(const struct asked *a, uint64_t version)
{
    json_t *ones = json_array(), *entropy = json_array();
    double sum = 0, entropies = 0, least = 1, most = 0;

    for (uint32_t j = 0; j < a->bits && a->rows > 0; j++) {
        double p = (double)a->ones[j] / (double)a->rows;

        json_array_append_new(ones, json_real(p));
        json_array_append_new(entropy, json_real(ak_bit_entropy(p)));
        sum += p;
        entropies += ak_bit_entropy(p);
        least = fmin(least, p);
        most = fmax(most, p);
    }
    if (a->rows == 0)
        return json_pack("{s:I, s:I, s:I, s:o, s:o, s:n, s:n}", "model_version",
                         (json_int_t)version, "bits", (json_int_t)a->bits,
                         "rows", (json_int_t)0, "ones", ones, "entropy",
                         entropy, "ones_ratio", "entropy_ratio");
    return json_pack("{s:I, s:I, s:I, s:o, s:o, s:{s:f, s:f, s:f}, s:f}",
                     "model_version", (json_int_t)version, "bits",
                     (json_int_t)a->bits, "rows", (json_int_t)a->rows, "ones",
                     ones, "entropy", entropy, "ones_ratio", "min", least,
                     "mean", sum / a->bits, "max", most, "entropy_ratio",
                     entropies / a->bits);
}

static json_t *correlation_json(const struct asked *a)
{
    struct ak_bits_correlation c;

    if (ak_bits_correlate(a->sample, a->n_sample, a->bits, &c, NULL) != AK_OK)
        return NULL;
    if (c.pairs == 0)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:f, s:f, s:[I, I]}", "rows",
                     (json_int_t)a->n_sample, "pairs", (json_int_t)c.pairs,
                     "constant_bits", (json_int_t)c.constant, "mean_abs",
                     c.mean_abs, "max_abs", c.max_abs, "max_pair",
                     (json_int_t)c.max_a, (json_int_t)c.max_b);
}

/* ------------------------------------------------------------------- flips */

/* What is needed to encode stored rows with another model. */
struct other {
    struct ak_settings settings; /* of its version */
    struct ak_encoder *encoder;
    void *block, *scratch;
    float *x;
    uint8_t *codes, *theirs; /* of a run, under what serves and under this */
};

static void other_clear(struct other *o)
{
    ak_ref_drop((struct ak_ref *)o->encoder);
    free(o->block);
    ak_array_free(o->scratch);
    ak_array_free(o->x);
    ak_array_free(o->codes);
    ak_array_free(o->theirs);
}

static enum ak_status other_init(struct ak_op *op, struct ak_view *view,
                                 uint64_t version, struct other *o,
                                 struct ak_err *err)
{
    struct ak_bytes model;
    size_t bytes = ak_code_bytes(op->settings.bits);
    enum ak_status status = ak_view_model(view, version, &model, err);

    if (status == AK_OK)
        status = ak_encoder_load(model.data, model.len, &o->encoder, err);
    if (status != AK_OK)
        return status;
    ak_collection_settings_of(op->c, version, &o->settings);
    o->block = calloc(RUN_ROWS, ak_settings_row_bytes(&o->settings));
    o->scratch = ak_array_new(1, ak_encoder_scratch(o->encoder));
    o->x = ak_array_new(RUN_ROWS, o->settings.dim * sizeof(*o->x));
    o->codes = ak_array_new(RUN_ROWS, bytes);
    o->theirs = ak_array_new(RUN_ROWS, bytes);
    if (o->block == NULL || o->scratch == NULL || o->x == NULL ||
        o->codes == NULL || o->theirs == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to compare codes");
    return AK_OK;
}

/* A run of rows: the codes of those that live, under both. */
static enum ak_status compare_run(const struct asked *a, struct ak_view *view,
                                  struct other *o, uint64_t first, size_t n,
                                  uint64_t *flips, uint64_t *rows,
                                  struct ak_err *err)
{
    const struct ak_space space = ak_settings_space(&o->settings);
    size_t bytes = ak_code_bytes(a->bits), live = 0;
    enum ak_status status =
        ak_view_block(view, &space, first, n, o->block, err);

    if (status != AK_OK)
        return status;
    ak_collection_unpack(&o->settings, o->block, n, o->x);
    for (size_t i = 0; i < n; i++) {
        if (!ak_snapshot_alive(a->s, first + i))
            continue;
        ak_snapshot_code(a->s, first + i, o->codes + live * bytes);
        ak_encoder_encode(o->encoder, o->x + i * o->settings.dim, 1,
                          o->theirs + live++ * bytes, o->scratch);
    }
    ak_bits_count_flips(o->codes, o->theirs, live, a->bits, flips);
    *rows += live;
    return AK_OK;
}

static json_t *flips_json(const struct asked *a, uint64_t version,
                          const uint64_t *flips, uint64_t rows)
{
    json_t *list = json_array();
    double sum = 0, most = 0;

    if (rows == 0) {
        json_decref(list);
        return json_null();
    }
    for (uint32_t j = 0; j < a->bits; j++) {
        double share = (double)flips[j] / (double)rows;

        json_array_append_new(list, json_real(share));
        sum += share;
        most = fmax(most, share);
    }
    return json_pack("{s:I, s:I, s:f, s:f, s:o}", "version",
                     (json_int_t)version, "rows", (json_int_t)rows, "mean",
                     sum / a->bits, "max", most, "bits", list);
}

/* Against the version that served before, on runs of rows evenly apart. */
static enum ak_status compare_previous(struct ak_op *op, const struct asked *a,
                                       json_t **out, struct ak_err *err)
{
    uint64_t n = ak_snapshot_rows(a->s), rows = 0;
    uint64_t runs = (n + RUN_ROWS - 1) / RUN_ROWS;
    uint64_t apart = every(runs, FLIP_ROWS / RUN_ROWS);
    uint64_t flips[AK_CODE_MAX_BITS] = {0};
    struct versions versions = {0};
    struct other o = {0};
    struct ak_view *view = NULL;
    enum ak_status status = ak_collection_borrow(op->c, &view, err);

    *out = NULL;
    if (status == AK_OK)
        status = ak_view_versions(view, add_version, &versions, err);
    if (status == AK_OK && versions.has_previous) {
        status = other_init(op, view, versions.previous, &o, err);
        for (uint64_t run = 0; run < runs && status == AK_OK; run += apart) {
            uint64_t first = run * RUN_ROWS;
            uint64_t left = n - first;

            status = compare_run(a, view, &o, first,
                                 left < RUN_ROWS ? left : RUN_ROWS, flips,
                                 &rows, err);
        }
    }
    if (status == AK_OK)
        *out = flips_json(a, versions.previous, flips, rows);
    other_clear(&o);
    versions_clear(&versions);
    if (view != NULL)
        ak_collection_return(op->c, view);
    return status;
}

/* Against the live model, as the learner found it at its last measure. */
static json_t *live_flips_json(const struct ak_collection_status *now)
{
    if (now->bits.rows == 0)
        return json_null();
    return json_pack("{s:I, s:f}", "rows", (json_int_t)now->bits.rows, "mean",
                     now->bits.flips);
}

static void show_bits(struct ak_op *op)
{
    struct asked *a = op->arg;
    struct ak_collection_status now;
    struct ak_err err = {0};
    json_t *o = NULL, *previous = NULL;
    uint64_t version;
    enum ak_status status;

    ak_collection_status(op->c, &now);
    a->s = ak_collection_snapshot(op->c);
    a->bits = op->settings.bits;
    version = ak_snapshot_version(a->s);
    status = count_codes(a, &err);
    if (status == AK_OK)
        o = bits_json(a, version);
    if (status == AK_OK && a->with & WITH_CORRELATION &&
        json_object_set_new(o, "correlation", correlation_json(a)) != 0)
        status = ak_fail(&err, AK_ENOMEM, "no memory for a correlation");
    if (status == AK_OK && a->with & WITH_FLIPS) {
        if (ak_collection_model(a->s) != NULL)
            status = compare_previous(op, a, &previous, &err);
        else
            previous = json_null();
        if (status == AK_OK &&
            json_object_set_new(o, "flips",
                                json_pack("{s:o, s:o}", "previous", previous,
                                          "live", live_flips_json(&now))) != 0)
            status = ak_fail(&err, AK_ENOMEM, "no memory for flips");
    }
    asked_clear(a);
    if (status != AK_OK) {
        json_decref(o);
        ak_op_fail(op, status, &err);
        return;
    }
    ak_op_headers(op, version, now.visible_seq);
    ak_reply_json(op->rq, 200, o);
}

/* "flips,correlation"; false: something else is in it. */
static bool parse_with(const char *text, unsigned *out)
{
    static const char *const words[] = {"flips", "correlation"};

    *out = 0;
    while (text != NULL && *text != '\0') {
        size_t len = strcspn(text, ","), i = 0;

        while (i < AK_COUNT(words) &&
               (strlen(words[i]) != len || memcmp(words[i], text, len) != 0))
            i++;
        if (i == AK_COUNT(words))
            return false;
        *out |= 1u << i;
        text += len;
        text += *text == ',';
    }
    return true;
}

static void get_bits(struct ak_request *rq)
{
    static const char *const names[] = {"with"};
    struct ak_op *op = ak_op_begin(rq, AK_OP_READS, names, AK_COUNT(names));
    const char *with = ak_request_query(rq, "with");
    struct asked *a;

    if (op == NULL)
        return;
    a = op->arg = ak_arena_array(&op->arena, 1, sizeof(*a));
    if (a == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    memset(a, 0, sizeof(*a));
    if (parse_with(with, &a->with))
        ak_op_run(op, show_bits);
    else
        ak_reply_problem(rq, "unsupported-option",
                         "with is \"%.60s\", must be of: flips, correlation",
                         with);
}

const struct ak_route ak_routes_stats[] = {
    {"GET", "/v1/collections/{c}/stats/quality", get_quality, 0,
     "how good the codes are now, and were"},
    {"GET", "/v1/collections/{c}/stats/bits", get_bits, 0,
     "how well the codes use their bits"},
    {0},
};
