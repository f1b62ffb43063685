/*
 * job_train.c -- the program `train`: a network from nothing, or on.
 *
 *     load      job.json, images, values to begin with
 *     train     steps; a checkpoint at each end of an epoch and every 30 s
 *     evaluate  the search part, and the test part where there is one
 *     gate      job_gate.h
 *     finish    model.akx and result.json
 *
 * What a phase does follows from job.json and the checkpoint, so that a process
 * that is killed in any of them comes to the same bytes when it is started
 * again.  The one exception is the budget of seconds: what they end is where it
 * was, and is evaluated as it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/nn/evaluate.h"
#include "core/nn/train.h"
#include "core/nn/zoo.h"
#include "server/worker/job_classes.h"
#include "server/worker/job_gate.h"
#include "server/worker/job_hash.h"

#define CHECKPOINT    "checkpoint"
#define MODEL         "model.akx"
#define CHECKPOINT_NS UINT64_C(30000000000)
#define EPOCH_NS      UINT64_C(1000000000)
#define BATCH         64 /* images recognised at once */

static const char magic[8] = "AKTRAIN";

struct train {
    struct ak_job *job;
    struct ak_job_compute compute;
    struct ak_model model;
    struct ak_job_data data;
    struct ak_job_hash hash;
    struct ak_trainer *trainer;
    struct ak_exec *exec; /* that recognises */
    uint32_t batch;
    uint64_t saved_ns;
    uint64_t first_step, first_ns; /* of this process */
    char epoch[160];               /* how the last one went; "": it was told */
    uint64_t epoch_ns;             /* when one was told; 0: none was */
    bool out_of_time;
    struct ak_evaluation search, test;
};

/* ---- what was asked --------------------------------------------------------- */

static void read_compute(struct train *t)
{
    const char *type = ak_job_text(t->job, "params", "type");
    struct ak_job_compute *c = &t->compute;

    c->engine = ak_job_text(t->job, "params", "engine");
    c->threads = (uint32_t)ak_job_number(t->job, "budget", "threads", 1);
    if (type != NULL)
        c->type = strcmp(type, "bf16") == 0 ? AK_EXEC_BF16 : AK_EXEC_F32;
    else
        c->type = ak_exec_can(c->engine != NULL ? c->engine : ak_exec_engine(0),
                              AK_EXEC_BF16)
                      ? AK_EXEC_BF16
                      : AK_EXEC_F32;
}

static enum ak_status read_params(struct train *t, struct ak_train_params *p,
                                  struct ak_err *err)
{
    const struct ak_job *job = t->job;
    const char *schedule = ak_job_text(job, "params", "schedule");

    ak_train_defaults(p);
    p->engine = t->compute.engine;
    p->type = t->compute.type;
    p->threads = t->compute.threads;
    p->batch = (uint32_t)ak_job_number(job, "params", "batch", p->batch);
    p->epochs = (uint32_t)ak_job_number(job, "params", "epochs", 10);
    p->seed = (uint64_t)json_integer_value(ak_job_get(job, "params", "seed"));
    p->optim.groups[0].decay =
        ak_job_number(job, "params", "decay", p->optim.groups[0].decay);
    p->losses[0].smoothing = ak_job_number(job, "params", "smoothing", 0);
    return ak_schedule_named(schedule != NULL ? schedule : "triangular",
                             ak_job_number(job, "params", "rate", 0.2),
                             &p->schedule, err);
}

/* ---- loading ---------------------------------------------------------------- */

/* With as many outputs as there are classes. */
static enum ak_status load_new(struct train *t, const char *arch,
                               struct ak_err *err)
{
    enum ak_status status = ak_arch_graph(arch, 0, &t->model.g, err);
    uint32_t classes;

    if (status == AK_OK)
        status =
            ak_job_data_load(t->job, &t->model.g->layers[0], &t->data, err);
    if (status != AK_OK)
        return status;
    classes = t->data.set.n_classes;
    if (classes == t->model.g->layers[t->model.g->output].c)
        return AK_OK;
    ak_model_clear(&t->model);
    return ak_arch_graph(arch, classes, &t->model.g, err);
}

/* The network to begin with gets the classes of the data. */
static enum ak_status fit_head(struct train *t, struct ak_err *err)
{
    uint32_t n = ak_job_classes(t->job), known, *from = NULL;
    enum ak_status status =
        ak_job_classes_map(t->job, t->model.notes, &from, &known, err);

    if (status == AK_OK)
        status = ak_model_set_classes(
            &t->model, n, from,
            (uint64_t)json_integer_value(ak_job_get(t->job, "params", "seed")),
            err);
    ak_array_free(from);
    if (status == AK_OK)
        ak_job_log(t->job, "info", "%u classes, of which it had %u", n, known);
    return status;
}

static enum ak_status load_old(struct train *t, struct ak_err *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    enum ak_status status = ak_job_read("from.akx", &bytes, &len, err);
    uint32_t classes;

    if (status != AK_OK)
        return status;
    status = ak_model_read(bytes, len, &t->model, err);
    free(bytes);
    if (status == AK_OK)
        status =
            ak_job_data_load(t->job, &t->model.g->layers[0], &t->data, err);
    if (status != AK_OK)
        return status;
    if (ak_job_classes(t->job) > 0 && !ak_job_hash_wanted(t->job))
        return fit_head(t, err);
    classes = t->model.g->layers[t->model.g->output].c;
    /* A hash layer has a classifier of its own. */
    return t->data.set.n_classes <= classes || ak_job_hash_wanted(t->job)
               ? AK_OK
               : ak_fail(err, AK_EINVAL,
                         "the network to begin with has %u classes, the data "
                         "%u",
                         classes, t->data.set.n_classes);
}

static enum ak_status load_checkpoint(struct train *t, struct ak_err *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct ak_reader r;
    const uint8_t *head;
    enum ak_status status = ak_job_read(CHECKPOINT, &bytes, &len, err);

    if (status != AK_OK)
        return status == AK_ENOTFOUND ? AK_OK : status;
    ak_reader_init(&r, bytes, len);
    head = ak_read_span(&r, sizeof(magic));
    t->job->before = ak_read_f64(&r);
    t->out_of_time = ak_read_u8(&r) != 0;
    if (r.status != AK_OK || memcmp(head, magic, sizeof(magic)) != 0)
        status = ak_fail(err, AK_ECORRUPT, "not a checkpoint of this program");
    else
        status = ak_trainer_load(t->trainer, r.at, ak_reader_left(&r), err);
    free(bytes);
    if (status != AK_OK) {
        ak_err_context(err, "the checkpoint");
        return status;
    }
    ak_job_log(t->job, "info", "going on from step %llu",
               (unsigned long long)ak_trainer_state(t->trainer)->step);
    return AK_OK;
}

static enum ak_status load(struct train *t, struct ak_err *err)
{
    const char *arch = ak_job_text(t->job, "params", "arch");
    const struct ak_exec_params recognise = {
        .batch = BATCH, .type = t->compute.type, .threads = t->compute.threads};
    struct ak_train_params params;
    struct ak_pictures images;
    enum ak_status status = read_params(t, &params, err);

    if (status == AK_OK)
        status = arch != NULL ? load_new(t, arch, err) : load_old(t, err);
    if (status == AK_OK)
        status = ak_job_hash_add(t->job, t->data.set.n_classes, &t->model,
                                 &t->hash, err);
    if (status != AK_OK)
        return status;
    ak_job_hash_losses(&t->hash, &params);
    images = ak_job_data_train(&t->data);
    if (params.batch > images.n)
        params.batch = (uint32_t)images.n;
    t->batch = params.batch;
    status = ak_trainer_create(t->model.g, &images, &params, t->model.values,
                               &t->trainer, err);
    if (status == AK_OK)
        status = ak_exec_create(t->compute.engine, t->model.g, &recognise,
                                &t->exec, err);
    if (status == AK_OK && t->model.values == NULL) {
        t->model.values = ak_array_new(t->model.g->n_values, sizeof(float));
        if (t->model.values == NULL)
            status = ak_fail(err, AK_ENOMEM, "no memory for a network");
    }
    return status == AK_OK ? load_checkpoint(t, err) : status;
}

/* ---- training --------------------------------------------------------------- */

static enum ak_status save_checkpoint(struct train *t, struct ak_err *err)
{
    struct ak_writer w = {0};
    enum ak_status status;

    t->saved_ns = ak_clock_ns();
    ak_write_bytes(&w, magic, sizeof(magic));
    ak_write_f64(&w, ak_job_seconds(t->job));
    ak_write_u8(&w, t->out_of_time);
    status = ak_trainer_save(t->trainer, &w, err);
    if (status == AK_OK)
        status = ak_job_write(CHECKPOINT, w.data, w.len, err);
    ak_writer_clear(&w);
    if (status == AK_OK)
        ak_job_mark(t->job, ak_trainer_state(t->trainer)->step);
    ak_job_moment("checkpoint");
    return status;
}

struct watch {
    struct train *t;
    size_t before, total; /* of the phase; total 0: nothing is told */
};

static bool on_progress(void *context, size_t done, size_t n)
{
    struct watch *w = context;

    (void)n;
    if (w->total > 0)
        ak_job_progress(w->t->job, "evaluate", w->before + done, w->total);
    return !ak_job_stops(w->t->job);
}

static enum ak_status recognise(struct watch *w, const float *values,
                                const struct ak_pictures *images,
                                struct ak_evaluation *out, struct ak_err *err)
{
    struct train *t = w->t;
    enum ak_status status = AK_OK;

    *out = (struct ak_evaluation){0};
    if (images->n == 0)
        return AK_OK;
    status = ak_exec_load(t->exec, values, err);
    if (status == AK_OK)
        status = ak_evaluate(t->exec, t->model.g, images, BATCH, on_progress, w,
                             NULL, out, err);
    w->before += images->n;
    return status;
}

static double share(const struct ak_evaluation *e)
{
    return e->n > 0 ? (double)e->top1 / (double)e->n : 0;
}

static void tell_step(struct train *t)
{
    const struct ak_train_state *s = ak_trainer_state(t->trainer);
    double seconds = (double)(ak_clock_ns() - t->first_ns) / 1e9;

    ak_job_metric(t->job, "epoch", (double)s->epoch);
    ak_job_metric(t->job, "loss", s->loss);
    ak_job_metric(t->job, "accuracy", s->accuracy);
    ak_job_metric(t->job, "rate", s->rate);
    if (seconds > 0)
        ak_job_metric(t->job, "images_per_second",
                      (double)(s->step - t->first_step) * t->batch / seconds);
    ak_job_metric(t->job, "peak_bytes", (double)ak_job_peak_bytes());
    ak_job_progress(t->job, "train", s->step, s->steps);
}

static void tell_epoch(struct train *t)
{
    if (t->epoch[0] == '\0')
        return;
    ak_job_log(t->job, "info", "%s", t->epoch);
    t->epoch[0] = '\0';
    t->epoch_ns = ak_clock_ns();
}

/*
 * How the epoch went, on the images that choose.  Told are the first one, the
 * last one and between them one a second: what says more must find room among
 * the lines that akind takes.
 */
static enum ak_status end_epoch(struct train *t, struct ak_err *err)
{
    const struct ak_train_state *s = ak_trainer_state(t->trainer);
    struct ak_pictures images = ak_job_data_search(&t->data);
    unsigned long long epoch = s->step / (s->steps / s->epochs);
    struct watch w = {.t = t};
    enum ak_status status;
    char others[48];

    status =
        recognise(&w, ak_trainer_values(t->trainer), &images, &t->search, err);
    /* Told to stop while it was at it: the step is done, the loop stops. */
    if (status == AK_ECANCELED)
        return AK_OK;
    if (status != AK_OK)
        return status;
    if (images.n > 0)
        ak_job_metric(t->job, "search_accuracy", share(&t->search));
    snprintf(others, sizeof(others), ", %.2f %% of %zu others",
             100 * share(&t->search), images.n);
    snprintf(t->epoch, sizeof(t->epoch),
             "epoch %llu of %u: loss %.4f, %.2f %% of the training images%s",
             epoch, s->epochs, s->loss, 100 * s->accuracy,
             images.n > 0 ? others : "");
    if (t->epoch_ns == 0 || ak_clock_ns() - t->epoch_ns >= EPOCH_NS)
        tell_epoch(t);
    return AK_OK;
}

static bool is_over(struct train *t, double budget)
{
    const struct ak_train_state *s = ak_trainer_state(t->trainer);

    if (budget > 0 && s->step < s->steps && ak_job_seconds(t->job) >= budget)
        t->out_of_time = true;
    return t->out_of_time || s->step == s->steps;
}

static enum ak_status run_steps(struct train *t, struct ak_err *err)
{
    const struct ak_train_state *s = ak_trainer_state(t->trainer);
    uint64_t per_epoch = s->steps / s->epochs;
    double budget = ak_job_number(t->job, "budget", "seconds", 0);
    enum ak_status status = AK_OK;

    t->first_ns = t->saved_ns = ak_clock_ns();
    t->first_step = s->step;
    tell_step(t);
    while (status == AK_OK && !is_over(t, budget)) {
        if (ak_job_stops(t->job)) {
            status = save_checkpoint(t, err);
            return status == AK_OK ? ak_fail(err, AK_ECANCELED, "stopped")
                                   : status;
        }
        status = ak_trainer_step(t->trainer, err);
        if (status == AK_OK && s->step % per_epoch == 0)
            status = end_epoch(t, err);
        if (status != AK_OK)
            break;
        if (s->step % per_epoch == 0 ||
            ak_clock_ns() - t->saved_ns >= CHECKPOINT_NS)
            status = save_checkpoint(t, err);
        tell_step(t);
    }
    tell_epoch(t);
    if (status == AK_OK && t->out_of_time) {
        ak_job_log(t->job, "warn",
                   "the budget of %g s is over after step %llu of %llu", budget,
                   (unsigned long long)s->step, (unsigned long long)s->steps);
        status = save_checkpoint(t, err);
    }
    return status;
}

/* ---- measuring and finishing -------------------------------------------------- */

static enum ak_status evaluate(struct train *t, struct ak_err *err)
{
    struct ak_pictures search = ak_job_data_search(&t->data);
    struct ak_pictures test = ak_job_data_test(&t->data);
    struct watch w = {.t = t, .total = search.n + test.n};
    enum ak_status status;

    memcpy(t->model.values, ak_trainer_values(t->trainer),
           t->model.g->n_values * sizeof(float));
    ak_job_progress(t->job, "evaluate", 0, w.total);
    status = recognise(&w, t->model.values, &search, &t->search, err);
    if (status == AK_OK)
        status = recognise(&w, t->model.values, &test, &t->test, err);
    if (status == AK_OK && test.n > 0)
        ak_job_metric(t->job, "test_accuracy", share(&t->test));
    return status;
}

/* The architecture of the network that it began with, by its notes. */
static const char *arch_of_first(const struct train *t, char out[64])
{
    const char *at =
        t->model.notes != NULL ? strstr(t->model.notes, "arch: ") : NULL;

    if (at == NULL || sscanf(at, "arch: %63[^\n]", out) != 1)
        strcpy(out, "that of the first values");
    return out;
}

/* What the file says of where it comes from: nothing that differs between two
   runs of the same. */
static enum ak_status set_notes(struct train *t, struct ak_err *err)
{
    const struct ak_job *job = t->job;
    const struct ak_train_state *s = ak_trainer_state(t->trainer);
    const char *arch = ak_job_text(job, "params", "arch");
    const char *of = ak_job_text(job, "params", "dataset");
    char head[1024], test[96] = "", of_first[64], hash[AK_HCDH_NOTES];
    struct ak_writer notes = {0};
    uint64_t images = s->step * (uint64_t)t->batch;
    enum ak_status status =
        ak_job_hash_notes(&t->hash, &t->model, images, hash, err);

    if (status != AK_OK)
        return status;
    if (of == NULL)
        of = ak_job_text(job, "params", "collection");
    if (t->test.n > 0)
        snprintf(test, sizeof(test), "test top-1: %zu of %zu\n", t->test.top1,
                 t->test.n);
    snprintf(
        head, sizeof(head),
        "arch: %s\ntrained on: %s, %u epochs, %llu of %llu steps, %s\n"
        "loss: %.4f\n%s%s",
        arch != NULL ? arch : arch_of_first(t, of_first), of != NULL ? of : "",
        s->epochs, (unsigned long long)s->step, (unsigned long long)s->steps,
        t->compute.type == AK_EXEC_BF16 ? "bf16" : "f32", s->loss, test, hash);
    ak_write_bytes(&notes, head, strlen(head));
    ak_job_classes_write(job, &notes);
    ak_write_u8(&notes, 0);
    free(t->model.notes);
    t->model.notes = (char *)notes.data;
    return notes.status == AK_OK
               ? AK_OK
               : ak_fail(err, AK_ENOMEM, "no memory for the notes");
}

static json_t *evaluation_json(const struct ak_evaluation *e)
{
    if (e->n == 0)
        return json_null();
    return json_pack("{s:I, s:f, s:f}", "images", (json_int_t)e->n, "top1",
                     share(e), "top5", (double)e->top5 / (double)e->n);
}

/* `gate` is stolen. */
static json_t *result_of(const struct train *t, size_t bytes, json_t *gate)
{
    const struct ak_train_state *s = ak_trainer_state(t->trainer);

    json_t *result = json_pack(
        "{s:I, s:{s:I, s:I, s:I, s:I}, s:I, s:I, s:f, s:f, s:o, s:o, s:o, s:s, "
        "s:b, s:f, s:I, s:I, s:o}",
        "classes", (json_int_t)t->model.g->layers[t->model.g->output].c,
        "images", "train", (json_int_t)t->data.parts.n_train, "search",
        (json_int_t)t->data.parts.n_search, "gate",
        (json_int_t)t->data.parts.n_gate, "test", (json_int_t)t->data.n_test,
        "steps", (json_int_t)s->step, "steps_wanted", (json_int_t)s->steps,
        "loss", s->loss, "accuracy", s->accuracy, "search",
        evaluation_json(&t->search), "test", evaluation_json(&t->test), "gate",
        gate, "type", t->compute.type == AK_EXEC_BF16 ? "bf16" : "f32",
        "out_of_time", t->out_of_time, "seconds", ak_job_seconds(t->job),
        "peak_bytes", (json_int_t)ak_job_peak_bytes(), "bytes",
        (json_int_t)bytes, "hash", ak_job_hash_json(&t->hash));
    const json_t *labelled = ak_job_get(t->job, "data", "labelled");

    if (labelled != NULL)
        json_object_set(result, "labelled", (json_t *)(uintptr_t)labelled);
    return result;
}

static enum ak_status finish(struct train *t, json_t *gate, struct ak_err *err)
{
    struct ak_writer w = {0};
    enum ak_status status = set_notes(t, err);

    ak_job_progress(t->job, "finish", 0, 1);
    if (status == AK_OK)
        status = ak_model_write(&t->model, &w, err);
    if (status == AK_OK)
        status = ak_job_write(MODEL, w.data, w.len, err);
    if (status == AK_OK) {
        ak_job_progress(t->job, "finish", 1, 1);
        status =
            ak_job_finish(t->job, result_of(t, w.len, json_incref(gate)), err);
    }
    ak_writer_clear(&w);
    return status;
}

static enum ak_status train_run(struct ak_job *job, struct ak_err *err)
{
    struct train t = {.job = job};
    json_t *gate = NULL;
    enum ak_status status;

    read_compute(&t);
    status = load(&t, err);
    if (status == AK_OK)
        status = run_steps(&t, err);
    if (status == AK_OK)
        status = evaluate(&t, err);
    if (status == AK_OK)
        status = ak_job_gate(job, &t.data, &t.model, &t.compute, &gate, err);
    if (status == AK_OK)
        status = finish(&t, gate, err);
    json_decref(gate);
    ak_exec_destroy(t.exec);
    ak_trainer_destroy(t.trainer);
    ak_job_hash_clear(&t.hash);
    ak_job_data_clear(&t.data);
    ak_model_clear(&t.model);
    return status;
}

const struct ak_job_program ak_job_train = {
    .name = "train",
    .run = train_run,
};
