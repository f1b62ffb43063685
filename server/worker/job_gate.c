#include "server/worker/job_gate.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/eval/features.h"
#include "core/eval/paired.h"
#include "core/nn/evaluate.h"
#include "server/worker/job_classes.h"
#include "server/worker/job_hash.h"

#define BATCH   64
#define QUERIES 1000
#define PAIRS   30 /* that a gain takes, at least */

struct measure {
    bool has_accuracy, has_map;
    double accuracy, map;
    size_t queries;
    double ap[QUERIES]; /* of each */
};

struct work {
    struct ak_job *job;
    bool coded;         /* mAP is of the codes */
    size_t done, total; /* images recognised and queries ranked */
};

static bool on_progress(void *context, size_t done, size_t n)
{
    struct work *w = context;

    (void)n;
    ak_job_progress(w->job, "gate", w->done + done, w->total);
    return !ak_job_stops(w->job);
}

/*
 * The labels of the images as a network numbers its classes, by `map` (NULL: as
 * the data do), into `labels`; false when it has not all of them.
 */
static bool translate(const struct ak_pictures *images, const uint32_t *map,
                      uint32_t classes, uint32_t *labels)
{
    for (size_t i = 0; i < images->n; i++) {
        uint32_t label = images->labels[i];

        labels[i] = map != NULL ? map[label] : label;
        if (labels[i] >= classes) {
            memset(labels, 0, images->n * sizeof(*labels));
            return false;
        }
    }
    return true;
}

/*
 * Recognise and rank the images.  A network without some class of the data has
 * features all the same: its answers are compared with class 0 then and not used.
 * One without a hash layer has no codes to rank.
 */
static enum ak_status measure(struct work *w, const struct ak_model *model,
                              const struct ak_job_compute *compute,
                              const struct ak_pictures *images,
                              const uint32_t *map, struct measure *out,
                              struct ak_err *err)
{
    const struct ak_exec_params params = {
        .batch = BATCH, .type = compute->type, .threads = compute->threads};
    uint32_t dim =
        (uint32_t)ak_layer_size(&model->g->layers[model->g->feature]);
    uint32_t classes = model->g->layers[model->g->output].c;
    float *features = ak_array_new(images->n * dim, sizeof(*features));
    uint32_t *labels = ak_array_new(images->n, sizeof(*labels));
    struct ak_pictures known = *images;
    struct ak_evaluation e = {0};
    struct ak_feature_rank rank = {0};
    struct ak_exec *exec = NULL;
    bool ranks = !w->coded || ak_hcdh_head_bits(model->g) > 0;
    enum ak_status status = AK_OK;
    bool knows = false;

    if (features == NULL || labels == NULL)
        status =
            ak_fail(err, AK_ENOMEM, "no memory for %zu features", images->n);
    else
        knows = translate(images, map, classes, labels);
    known.labels = labels;
    if (status == AK_OK)
        status = ak_exec_create(compute->engine, model->g, &params, &exec, err);
    if (status == AK_OK)
        status = ak_exec_load(exec, model->values, err);
    if (status == AK_OK)
        status = ak_evaluate(exec, model->g, &known, BATCH, on_progress, w,
                             features, &e, err);
    w->done += images->n;
    if (status == AK_OK && w->coded && ranks)
        status = ak_job_hash_codes(model, images->n, &features, &dim, err);
    if (status == AK_OK && ranks)
        status = ak_eval_features(features, images->labels, images->n, dim,
                                  QUERIES, on_progress, w, out->ap, &rank, err);
    w->done += images->n < QUERIES ? images->n : QUERIES;
    ak_exec_destroy(exec);
    ak_array_free(features);
    ak_array_free(labels);
    if (status != AK_OK)
        return status;
    out->has_accuracy = knows;
    out->has_map = ranks;
    out->accuracy = (double)e.top1 / (double)e.n;
    out->map = rank.map;
    out->queries = rank.queries;
    return AK_OK;
}

/* The published version on the same images, at the size that it takes. */
static enum ak_status measure_published(struct work *w,
                                        const struct ak_job_data *data,
                                        const struct ak_model *model,
                                        const struct ak_job_compute *compute,
                                        struct measure *out, bool *there,
                                        struct ak_err *err)
{
    const struct ak_layer *mine = &model->g->layers[0], *its;
    uint32_t *map = NULL, known;
    struct ak_job_data own = {0};
    struct ak_model published = {0};
    struct ak_pictures images;
    uint8_t *bytes = NULL;
    size_t len = 0;
    enum ak_status status = ak_job_read("published.akx", &bytes, &len, err);

    *there = status != AK_ENOTFOUND;
    if (status != AK_OK)
        return status == AK_ENOTFOUND ? AK_OK : status;
    status = ak_model_read(bytes, len, &published, err);
    free(bytes);
    if (status != AK_OK) {
        ak_err_context(err, "the published version");
        return status;
    }
    its = &published.g->layers[0];
    if (its->c != mine->c || its->h != mine->h || its->w != mine->w)
        status = ak_job_data_load(w->job, its, &own, err);
    images = ak_job_data_gate(own.set.view.n > 0 ? &own : data);
    if (status == AK_OK && ak_job_classes(w->job) > 0)
        status = ak_job_classes_map(w->job, published.notes, &map, &known, err);
    if (status == AK_OK)
        status = measure(w, &published, compute, &images, map, out, err);
    ak_array_free(map);
    ak_job_data_clear(&own);
    ak_model_clear(&published);
    return status;
}

static enum ak_status least(const struct ak_job *job, const char *name,
                            const char *what, double found, struct ak_err *err)
{
    double wanted = ak_job_number(job, "gate", name, 0);

    return found >= wanted
               ? AK_OK
               : ak_fail(err, AK_ELIMIT,
                         "the gate: %s is %.4f, must be at least %.4f", what,
                         found, wanted);
}

static enum ak_status loss(const struct ak_job *job, const char *name,
                           const char *what, double found, double published,
                           struct ak_err *err)
{
    double allowed = ak_job_number(job, "gate", name, 2);

    return published - found <= allowed
               ? AK_OK
               : ak_fail(err, AK_ELIMIT,
                         "the gate: %s is %.4f, %.4f below the published "
                         "version's, at most %.4f is allowed",
                         what, found, published - found, allowed);
}

/* The AP of the same queries under both; `gain` is new less published. */
static void compare(const struct measure *m, const struct measure *published,
                    struct ak_paired *gain)
{
    double differences[QUERIES];

    /* Of the same images the same queries have another one of their class. */
    for (size_t i = 0; i < m->queries; i++)
        differences[i] = m->ap[i] - published->ap[i];
    ak_paired_bounds(differences, m->queries, gain);
}

static enum ak_status beats(const struct ak_job *job, const struct measure *m,
                            const struct ak_paired *gain, struct ak_err *err)
{
    double wanted = ak_job_number(job, "gate", "min_map_gain", -1);

    if (wanted <= -1)
        return AK_OK;
    if (m->queries < PAIRS)
        return ak_fail(err, AK_ELIMIT,
                       "the gate: %zu queries do not tell whether mAP has "
                       "grown, at least %d are needed",
                       m->queries, PAIRS);
    return gain->lower > wanted
               ? AK_OK
               : ak_fail(err, AK_ELIMIT,
                         "the gate: mAP has grown by %.4f, with 95 %% "
                         "confidence by more than %.4f, must be more than "
                         "%.4f",
                         gain->mean, gain->lower, wanted);
}

static enum ak_status decide(const struct ak_job *job, const struct measure *m,
                             const struct measure *published,
                             const struct ak_paired *gain, struct ak_err *err)
{
    enum ak_status status = AK_OK;

    if (!json_is_object(json_object_get(job->root, "gate")))
        return AK_OK;
    status = least(job, "min_accuracy", "accuracy", m->accuracy, err);
    if (status == AK_OK)
        status = least(job, "min_map", "mAP", m->map, err);
    if (status == AK_OK && published != NULL && published->has_accuracy)
        status = loss(job, "max_accuracy_loss", "accuracy", m->accuracy,
                      published->accuracy, err);
    if (status == AK_OK && published != NULL && published->has_map)
        status = loss(job, "max_map_loss", "mAP", m->map, published->map, err);
    if (status == AK_OK && published != NULL && published->has_map)
        status = beats(job, m, gain, err);
    return status;
}

static json_t *report_of(const struct measure *m, size_t images,
                         const struct measure *published,
                         const struct ak_paired *gain)
{
    json_t *report = json_pack(
        "{s:I, s:I, s:f, s:f}", "images", (json_int_t)images, "queries",
        (json_int_t)m->queries, "accuracy", m->accuracy, "map", m->map);

    if (published == NULL)
        json_object_set_new(report, "published", json_null());
    else
        json_object_set_new(
            report, "published",
            json_pack(
                "{s:o, s:o, s:o}", "accuracy",
                published->has_accuracy ? json_real(published->accuracy)
                                        : json_null(),
                "map",
                published->has_map ? json_real(published->map) : json_null(),
                "map_gain",
                published->has_map ? json_pack("{s:f, s:f}", "mean", gain->mean,
                                               "lower", gain->lower)
                                   : json_null()));
    return report;
}

enum ak_status ak_job_gate(struct ak_job *job, const struct ak_job_data *data,
                           const struct ak_model *model,
                           const struct ak_job_compute *compute,
                           json_t **report, struct ak_err *err)
{
    struct ak_pictures images = ak_job_data_gate(data);
    size_t ranked = images.n < QUERIES ? images.n : QUERIES;
    struct work w = {.job = job,
                     .coded = ak_job_hash_wanted(job),
                     .total = 2 * (images.n + ranked)};
    struct measure m = {.map = 0}, published = {.map = 0};
    struct ak_paired gain = {.mean = 0};
    bool there = false;
    enum ak_status status;

    *report = json_null();
    if (images.n == 0)
        return json_is_object(json_object_get(job->root, "gate"))
                   ? ak_fail(err, AK_EINVAL,
                             "the gate has no images: its share is 0, or the "
                             "classes are too small")
                   : AK_OK;
    status = measure(&w, model, compute, &images, NULL, &m, err);
    if (status == AK_OK)
        status = measure_published(&w, data, model, compute, &published, &there,
                                   err);
    if (status != AK_OK)
        return status;
    ak_job_metric(job, "gate_accuracy", m.accuracy);
    ak_job_metric(job, "gate_map", m.map);
    ak_job_progress(job, "gate", w.total, w.total);
    if (there && published.has_map) {
        compare(&m, &published, &gain);
        ak_job_metric(job, "gate_map_gain", gain.mean);
    }
    status = decide(job, &m, there ? &published : NULL, &gain, err);
    if (status == AK_OK) {
        json_decref(*report);
        *report = report_of(&m, images.n, there ? &published : NULL, &gain);
    }
    return status;
}
