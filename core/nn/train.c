#include "core/nn/train.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/mem.h"
#include "core/nn/loss.h"
#include "core/nn/weights.h"

#define VERSION 1

static const char magic[8] = {'A', 'K', 'I', 'N', 'T', 'R', 'N', '\n'};

struct ak_trainer {
    const struct ak_graph *g;
    struct ak_pictures data;
    struct ak_train_params params;
    struct ak_train_state state;
    double loss_sum; /* of the epoch so far */
    uint64_t right, seen;
    struct ak_exec *exec;
    struct ak_optim *optim;
    struct ak_byte_table table;
    uint32_t *order; /* (data.n) of the epoch at work */
    uint32_t order_epoch;
    uint32_t *labels; /* (batch) */
    float *values, *grads;
    float *x, *y; /* (batch, c, h, w), and of the largest layer with a loss */
    float *dy[AK_TRAIN_LOSSES];
    float *scores; /* of the teacher */
};

void ak_train_defaults(struct ak_train_params *p)
{
    *p = (struct ak_train_params){
        .threads = 1,
        .batch = 128,
        .epochs = 10,
        .augment = {.pad = 4, .mirror = true},
        .optim = {.kind = AK_OPTIM_NESTEROV,
                  .momentum = 0.9,
                  .second = 0.999,
                  .tiny = 1e-8,
                  .groups = {{1u << AK_PARAM_WEIGHT, NULL, 1, 5e-4},
                             {0, NULL, 1, 0}},
                  .n_groups = 2},
        .schedule = {.kind = AK_SCHEDULE_TRIANGULAR,
                     .rate = 0.2,
                     .factor = 0.1,
                     .marks = {0.2},
                     .n_marks = 1},
        .losses = {{.kind = AK_TRAIN_CROSS_ENTROPY, .weight = 1}},
        .n_losses = 1,
    };
}

/* ---- making ------------------------------------------------------------------ */

static uint32_t layer_of(const struct ak_trainer *t,
                         const struct ak_train_loss *loss)
{
    return loss->kind == AK_TRAIN_CODE ? loss->layer : t->g->output;
}

static enum ak_status check_loss(const struct ak_graph *g,
                                 const struct ak_train_loss *l,
                                 struct ak_err *err)
{
    if (!(l->weight > 0 && l->weight <= 1e6))
        return ak_fail(err, AK_EINVAL,
                       "weight of a loss is %g, must be above 0, to 1e6",
                       l->weight);
    if (!(l->smoothing >= 0 && l->smoothing < 1))
        return ak_fail(err, AK_EINVAL,
                       "label smoothing is %g, must be 0 to below 1",
                       l->smoothing);
    if (l->kind == AK_TRAIN_DISTILL &&
        !(l->temperature > 0 && l->temperature <= 1000))
        return ak_fail(err, AK_EINVAL,
                       "temperature is %g, must be above 0, to 1000",
                       l->temperature);
    if (l->kind == AK_TRAIN_CODE &&
        (l->layer >= g->n_layers || l->codes == NULL))
        return ak_fail(err, AK_EINVAL, "the code loss needs codes and a layer");
    if (l->kind == AK_TRAIN_DISTILL &&
        (l->teacher == NULL || l->teacher_graph == NULL ||
         ak_layer_size(&l->teacher_graph->layers[0]) !=
             ak_layer_size(&g->layers[0]) ||
         ak_layer_size(&l->teacher_graph->layers[l->teacher_graph->output]) !=
             ak_layer_size(&g->layers[g->output])))
        return ak_fail(err, AK_EINVAL,
                       "distillation needs a teacher of the same input and "
                       "output");
    return AK_OK;
}

static enum ak_status check(const struct ak_graph *g,
                            const struct ak_pictures *data,
                            const struct ak_train_params *p, struct ak_err *err)
{
    uint32_t classes = g->layers[g->output].c;

    if (p->batch < 1 || p->batch > data->n)
        return ak_fail(err, AK_EINVAL, "batch is %u, must be 1..%zu images",
                       p->batch, data->n);
    if (data->n > UINT32_MAX)
        return ak_fail(err, AK_ELIMIT, "%zu images, at most %u", data->n,
                       UINT32_MAX);
    if (p->epochs < 1 || p->epochs > 100000)
        return ak_fail(err, AK_EINVAL, "epochs is %u, must be 1..100000",
                       p->epochs);
    if (p->augment.pad > g->layers[0].h || p->augment.pad > g->layers[0].w)
        return ak_fail(err, AK_EINVAL, "crop by %u, must be 0..%u",
                       p->augment.pad, g->layers[0].h);
    if (p->n_losses < 1 || p->n_losses > AK_TRAIN_LOSSES)
        return ak_fail(err, AK_EINVAL, "%u losses, must be 1..%d", p->n_losses,
                       AK_TRAIN_LOSSES);
    for (uint32_t i = 0; i < p->n_losses; i++) {
        enum ak_status status = check_loss(g, &p->losses[i], err);

        if (status != AK_OK)
            return status;
    }
    for (size_t i = 0; i < data->n; i++)
        if (data->labels[i] >= classes)
            return ak_fail(err, AK_EINVAL,
                           "image %zu has label %u, the network %u classes", i,
                           data->labels[i], classes);
    return ak_schedule_check(&p->schedule, err);
}

static enum ak_status make_arrays(struct ak_trainer *t, struct ak_err *err)
{
    const struct ak_graph *g = t->g;
    size_t batch = t->params.batch;
    size_t most = ak_layer_size(&g->layers[g->output]);
    bool ok = true;

    for (uint32_t i = 0; i < t->params.n_losses; i++) {
        size_t size =
            ak_layer_size(&g->layers[layer_of(t, &t->params.losses[i])]);

        t->dy[i] = ak_array_new(batch * size, sizeof(float));
        ok = ok && t->dy[i] != NULL;
        most = size > most ? size : most;
    }
    t->order = ak_array_new(t->data.n, sizeof(*t->order));
    t->labels = ak_array_new(batch, sizeof(*t->labels));
    t->values = ak_array_new(g->n_values, sizeof(float));
    t->grads = ak_array_new(g->n_values, sizeof(float));
    t->x = ak_array_new(batch * ak_layer_size(&g->layers[0]), sizeof(float));
    t->y = ak_array_new(batch * most, sizeof(float));
    t->scores = ak_array_new(batch * ak_layer_size(&g->layers[g->output]),
                             sizeof(float));
    if (!ok || t->order == NULL || t->labels == NULL || t->values == NULL ||
        t->grads == NULL || t->x == NULL || t->y == NULL || t->scores == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a training");
    return AK_OK;
}

static enum ak_status make_exec(struct ak_trainer *t, struct ak_err *err)
{
    uint32_t keep[AK_TRAIN_LOSSES];
    struct ak_exec_params params = {.batch = t->params.batch,
                                    .train = true,
                                    .type = t->params.type,
                                    .threads = t->params.threads,
                                    .keep = keep,
                                    .n_keep = t->params.n_losses};

    for (uint32_t i = 0; i < t->params.n_losses; i++)
        keep[i] = layer_of(t, &t->params.losses[i]);
    return ak_exec_create(t->params.engine, t->g, &params, &t->exec, err);
}

enum ak_status ak_trainer_create(const struct ak_graph *g,
                                 const struct ak_pictures *data,
                                 const struct ak_train_params *params,
                                 const float *values, struct ak_trainer **out,
                                 struct ak_err *err)
{
    struct ak_trainer *t;
    enum ak_status status = check(g, data, params, err);

    if (status != AK_OK)
        return status;
    t = ak_array_new(1, sizeof(*t));
    if (t == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a training");
    t->g = g;
    t->data = *data;
    t->params = *params;
    t->order_epoch = UINT32_MAX;
    t->state.epochs = params->epochs;
    t->state.steps = (uint64_t)params->epochs * (data->n / params->batch);
    ak_byte_table_init(&t->table, g);
    status = make_arrays(t, err);
    if (status == AK_OK)
        status = ak_optim_create(g, &params->optim, &t->optim, err);
    if (status == AK_OK)
        status = make_exec(t, err);
    if (status != AK_OK) {
        ak_trainer_destroy(t);
        return status;
    }
    if (values != NULL)
        memcpy(t->values, values, g->n_values * sizeof(*values));
    else
        ak_weights_init(g, params->seed, t->values);
    *out = t;
    return AK_OK;
}

void ak_trainer_destroy(struct ak_trainer *t)
{
    if (t == NULL)
        return;
    ak_exec_destroy(t->exec);
    ak_optim_destroy(t->optim);
    for (uint32_t i = 0; i < AK_TRAIN_LOSSES; i++)
        ak_array_free(t->dy[i]);
    ak_array_free(t->order);
    ak_array_free(t->labels);
    ak_array_free(t->values);
    ak_array_free(t->grads);
    ak_array_free(t->x);
    ak_array_free(t->y);
    ak_array_free(t->scores);
    ak_array_free(t);
}

/* ---- steps -------------------------------------------------------------------- */

/* A generator for one use in one step or epoch, whatever came before. */
static struct ak_rng rng_of(const struct ak_trainer *t, const char *use,
                            uint64_t number)
{
    char name[64];
    struct ak_rng rng;

    snprintf(name, sizeof(name), "%s %llu", use, (unsigned long long)number);
    ak_rng_init(&rng, ak_rng_derive(t->params.seed, name));
    return rng;
}

static void order_epoch(struct ak_trainer *t, uint32_t epoch)
{
    struct ak_rng rng = rng_of(t, "order", epoch);

    if (t->order_epoch == epoch)
        return;
    for (uint32_t i = 0; i < t->data.n; i++)
        t->order[i] = i;
    ak_rng_shuffle(&rng, t->order, (uint32_t)t->data.n);
    t->order_epoch = epoch;
}

static void take_batch(struct ak_trainer *t)
{
    uint64_t per_epoch = t->data.n / t->params.batch;
    size_t size = ak_layer_size(&t->g->layers[0]);
    struct ak_rng rng = rng_of(t, "augment", t->state.step);

    t->state.epoch = (uint32_t)(t->state.step / per_epoch);
    if (t->state.step % per_epoch == 0) {
        t->loss_sum = 0;
        t->right = t->seen = 0;
    }
    order_epoch(t, t->state.epoch);
    for (uint32_t i = 0; i < t->params.batch; i++) {
        uint32_t row =
            t->order[(t->state.step % per_epoch) * t->params.batch + i];

        ak_augment_image(&t->params.augment, t->g, &t->table,
                         ak_picture(&t->data, row), &rng, t->x + i * size);
        t->labels[i] = t->data.labels[row];
    }
}

static void count_right(struct ak_trainer *t, const float *z, size_t classes)
{
    for (uint32_t i = 0; i < t->params.batch; i++) {
        size_t best = 0;

        for (size_t c = 1; c < classes; c++)
            if (z[i * classes + c] > z[i * classes + best])
                best = c;
        t->right += best == t->labels[i];
    }
    t->seen += t->params.batch;
}

static enum ak_status one_loss(struct ak_trainer *t, uint32_t i, double *loss,
                               struct ak_err *err)
{
    const struct ak_train_loss *l = &t->params.losses[i];
    uint32_t layer = layer_of(t, l), n = t->params.batch;
    size_t size = ak_layer_size(&t->g->layers[layer]);
    enum ak_status status = ak_exec_output(t->exec, layer, t->y, err);

    if (status != AK_OK)
        return status;
    memset(t->dy[i], 0, n * size * sizeof(float));
    switch (l->kind) {
    case AK_TRAIN_CROSS_ENTROPY:
        *loss += ak_loss_cross_entropy(l->weight, t->y, t->labels, n, size,
                                       l->smoothing, t->dy[i]);
        break;
    case AK_TRAIN_CODE:
        *loss += ak_loss_code(l->weight, t->y, t->labels, l->codes, n, size,
                              t->dy[i]);
        break;
    case AK_TRAIN_DISTILL:
        status = ak_exec_forward(l->teacher, t->x, n, 0, err);
        if (status == AK_OK)
            status = ak_exec_output(l->teacher, l->teacher_graph->output,
                                    t->scores, err);
        if (status == AK_OK)
            *loss += ak_loss_distill(l->weight, t->y, t->scores, n, size,
                                     l->temperature, t->dy[i]);
    }
    return status;
}

enum ak_status ak_trainer_step(struct ak_trainer *t, struct ak_err *err)
{
    struct ak_exec_start starts[AK_TRAIN_LOSSES];
    struct ak_rng rng = rng_of(t, "dropout", t->state.step);
    double loss = 0;
    enum ak_status status;

    assert(t->state.step < t->state.steps);
    take_batch(t);
    status = ak_exec_load(t->exec, t->values, err);
    if (status == AK_OK)
        status = ak_exec_forward(t->exec, t->x, t->params.batch,
                                 ak_rng_u64(&rng), err);
    for (uint32_t i = 0; status == AK_OK && i < t->params.n_losses; i++) {
        status = one_loss(t, i, &loss, err);
        starts[i] =
            (struct ak_exec_start){layer_of(t, &t->params.losses[i]), t->dy[i]};
    }
    if (status == AK_OK)
        status = ak_exec_output(t->exec, t->g->output, t->y, err);
    if (status == AK_OK && !isfinite(loss))
        status = ak_fail(err, AK_ENUMERIC, "step %llu: the loss is %g",
                         (unsigned long long)t->state.step, loss);
    if (status == AK_OK)
        status = ak_exec_backward(t->exec, starts, t->params.n_losses, t->grads,
                                  NULL, err);
    if (status != AK_OK)
        return status;
    count_right(t, t->y, ak_layer_size(&t->g->layers[t->g->output]));
    t->loss_sum += loss * t->params.batch;
    ak_exec_statistics(t->exec, t->values);
    t->state.rate = ak_schedule_rate(
        &t->params.schedule, (double)t->state.step / (double)t->state.steps);
    ak_optim_step(t->optim, t->state.rate, t->grads, t->values);
    t->state.step++;
    t->state.loss = t->loss_sum / (double)t->seen;
    t->state.accuracy = (double)t->right / (double)t->seen;
    return AK_OK;
}

const struct ak_train_state *ak_trainer_state(const struct ak_trainer *t)
{
    return &t->state;
}

const float *ak_trainer_values(const struct ak_trainer *t)
{
    return t->values;
}

size_t ak_trainer_bytes(const struct ak_trainer *t)
{
    size_t in = ak_layer_size(&t->g->layers[0]);

    return ak_exec_bytes(t->exec) + 4 * t->g->n_values * sizeof(float) +
           t->params.batch * in * sizeof(float);
}

/* ---- checkpoints ----------------------------------------------------------------- */

/* What decides the course of a training, as a checksum. */
static enum ak_status fingerprint(const struct ak_trainer *t, uint32_t *out,
                                  struct ak_err *err)
{
    const struct ak_train_params *p = &t->params;
    struct ak_writer w = {0};
    char *text;
    size_t len;
    enum ak_status status = ak_graph_write(t->g, &text, &len, err);

    if (status != AK_OK)
        return status;
    ak_write_bytes(&w, text, len);
    free(text);
    ak_write_u64(&w, t->data.n);
    ak_write_u32s(&w, t->data.labels, t->data.n);
    ak_write_u32(&w, p->batch);
    ak_write_u32(&w, p->epochs);
    ak_write_u64(&w, p->seed);
    ak_write_u32(&w, p->augment.pad);
    ak_write_u8(&w, p->augment.mirror);
    ak_write_u32(&w, p->optim.kind);
    ak_write_f64(&w, p->optim.momentum);
    ak_write_f64(&w, p->optim.second);
    ak_write_f64(&w, p->optim.tiny);
    for (uint32_t i = 0; i < p->optim.n_groups; i++) {
        const struct ak_optim_group *g = &p->optim.groups[i];

        ak_write_u32(&w, g->roles);
        ak_write_bytes(&w, g->prefix, g->prefix ? strlen(g->prefix) : 0);
        ak_write_f64(&w, g->rate);
        ak_write_f64(&w, g->decay);
    }
    ak_write_u32(&w, p->schedule.kind);
    ak_write_f64(&w, p->schedule.rate);
    ak_write_f64(&w, p->schedule.warmup);
    ak_write_f64(&w, p->schedule.factor);
    ak_write_f64s(&w, p->schedule.marks, p->schedule.n_marks);
    for (uint32_t i = 0; i < p->n_losses; i++) {
        const struct ak_train_loss *l = &p->losses[i];

        ak_write_u32(&w, l->kind);
        ak_write_f64(&w, l->weight);
        ak_write_f64(&w, l->smoothing);
        ak_write_f64(&w, l->temperature);
        ak_write_u32(&w, l->layer);
        if (l->kind == AK_TRAIN_CODE)
            ak_write_f32s(&w, l->codes,
                          t->g->layers[t->g->output].c *
                              ak_layer_size(&t->g->layers[l->layer]));
    }
    if (w.status == AK_OK)
        *out = ak_crc32(w.data, w.len);
    else
        status = ak_fail(err, AK_ENOMEM, "no memory for a checkpoint");
    ak_writer_clear(&w);
    return status;
}

enum ak_status ak_trainer_save(const struct ak_trainer *t, struct ak_writer *w,
                               struct ak_err *err)
{
    size_t from = w->len;
    uint32_t crc;
    enum ak_status status = fingerprint(t, &crc, err);

    if (status != AK_OK)
        return status;
    ak_write_bytes(w, magic, sizeof(magic));
    ak_write_u32(w, VERSION);
    ak_write_u32(w, crc);
    ak_write_u64(w, t->state.step);
    ak_write_f64(w, t->loss_sum);
    ak_write_u64(w, t->right);
    ak_write_u64(w, t->seen);
    ak_write_f32s(w, t->values, t->g->n_values);
    ak_optim_save(t->optim, w);
    if (w->status == AK_OK)
        ak_write_u32(w, ak_crc32(w->data + from, w->len - from));
    return w->status == AK_OK
               ? AK_OK
               : ak_fail(err, w->status, "no memory for a checkpoint");
}

static enum ak_status check_head(struct ak_reader *r, const uint8_t *bytes,
                                 size_t len, struct ak_err *err)
{
    const uint8_t *head;
    uint32_t version, crc;

    ak_reader_init(r, bytes, len);
    head = ak_read_span(r, sizeof(magic));
    version = ak_read_u32(r);
    if (r->status != AK_OK || memcmp(head, magic, sizeof(magic)) != 0 ||
        len < sizeof(magic) + 8)
        return ak_fail(err, AK_ECORRUPT, "not a checkpoint of a training");
    if (version != VERSION)
        return ak_fail(err, AK_EUNSUPPORTED,
                       "a checkpoint of version %u, must be %d", version,
                       VERSION);
    memcpy(&crc, bytes + len - 4, sizeof(crc));
    if (crc != ak_crc32(bytes, len - 4))
        return ak_fail(err, AK_ECORRUPT, "the checksum is wrong");
    r->end -= 4;
    return AK_OK;
}

enum ak_status ak_trainer_load(struct ak_trainer *t, const void *bytes,
                               size_t len, struct ak_err *err)
{
    struct ak_optim *optim = NULL;
    struct ak_reader r;
    struct ak_train_state state = t->state;
    uint32_t crc = 0;
    uint64_t right, seen;
    double loss;
    const uint8_t *values;
    enum ak_status status = check_head(&r, bytes, len, err);

    if (status == AK_OK)
        status = fingerprint(t, &crc, err);
    if (status == AK_OK && ak_read_u32(&r) != crc)
        status = ak_fail(err, AK_EINVAL,
                         "a checkpoint of other images or parameters");
    if (status == AK_OK)
        status = ak_optim_create(t->g, &t->params.optim, &optim, err);
    if (status != AK_OK)
        return status;
    state.step = ak_read_u64(&r);
    loss = ak_read_f64(&r);
    right = ak_read_u64(&r);
    seen = ak_read_u64(&r);
    values = ak_read_span(&r, t->g->n_values * sizeof(float));
    status = ak_optim_load(optim, &r, err);
    if (status == AK_OK &&
        (ak_reader_finish(&r) != AK_OK || state.step > state.steps))
        status = ak_fail(err, AK_ECORRUPT, "not as long as its parameters say");
    if (status != AK_OK) {
        ak_optim_destroy(optim);
        return status;
    }
    memcpy(t->values, values, t->g->n_values * sizeof(float));
    ak_optim_destroy(t->optim);
    t->optim = optim;
    t->loss_sum = loss;
    t->right = right;
    t->seen = seen;
    if (seen > 0) {
        state.loss = loss / (double)seen;
        state.accuracy = (double)right / (double)seen;
    }
    state.epoch = (uint32_t)(state.step / (t->data.n / t->params.batch));
    t->state = state;
    return AK_OK;
}
