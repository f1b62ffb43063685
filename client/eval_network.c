#include "config.h"

#include "client/eval_network.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/hash/hcdh_head.h"
#include "core/hash/hcdh_network.h"

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Images and labels of the stream, in its order. */
struct stream {
    struct ak_pictures view;
    uint8_t *pixels;
    uint32_t *labels;
};

static void stream_clear(struct stream *s)
{
    ak_array_free(s->pixels);
    ak_array_free(s->labels);
}

static enum ak_status stream_init(struct stream *s,
                                  const struct eval_data *data,
                                  const struct ak_split *split,
                                  struct ak_err *err)
{
    const struct eval_images *images = &data->images;
    size_t size = (size_t)images->channels * images->side * images->side;
    size_t n = split->n_stream;

    s->pixels = ak_array_raw(n, size);
    s->labels = ak_array_new(n, sizeof(*s->labels));
    if (s->pixels == NULL || s->labels == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu images", n);
    for (size_t i = 0; i < n; i++) {
        memcpy(s->pixels + i * size, images->pixels + split->stream[i] * size,
               size);
        s->labels[i] = data->labels[split->stream[i]];
    }
    s->view = (struct ak_pictures){s->pixels, size, s->labels, n};
    return AK_OK;
}

/* Told in images: those of all epochs, and then those that are coded. */
struct told {
    const struct ak_eval_run *run;
    size_t before, total;
};

static bool tell(void *context, size_t done, size_t n)
{
    const struct told *t = context;

    (void)n;
    return t->run->progress == NULL ||
           t->run->progress(t->run->context, t->before + done, t->total);
}

static enum ak_status train(struct ak_trainer *t, size_t batch,
                            const struct told *told, struct ak_err *err)
{
    const struct ak_train_state *s = ak_trainer_state(t);
    enum ak_status status = AK_OK;

    while (status == AK_OK && s->step < s->steps) {
        status = ak_trainer_step(t, err);
        if (status == AK_OK && !tell((void *)(uintptr_t)told,
                                     (size_t)s->step * batch, told->total))
            status = ak_fail(err, AK_ECANCELED, "cancelled after %llu steps",
                             (unsigned long long)s->step);
    }
    return status;
}

/* The labels must be classes of the codebook: 0 .. n_classes - 1. */
static enum ak_status check_labels(const struct eval_data *data,
                                   struct ak_err *err)
{
    for (size_t i = 0; i < data->set.n; i++)
        if (data->labels[i] >= data->n_classes)
            return ak_fail(err, AK_EINVAL,
                           "image %zu has label %u of %u classes", i,
                           data->labels[i], data->n_classes);
    return AK_OK;
}

/* Features of all images by the values trained, coded and ranked. */
static enum ak_status rank(const struct eval_data *data, enum ak_exec_type type,
                           const struct ak_split *split,
                           const struct ak_eval_run *run,
                           const struct ak_graph *g, const float *values,
                           uint64_t samples, struct told *told,
                           struct ak_eval_outcome *out, struct ak_err *err)
{
    struct ak_eval_set set = data->set;
    float *x = ak_array_raw(set.n * set.dim, sizeof(*x));
    struct ak_encoder *e = NULL;
    enum ak_status status;

    if (x == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu features", set.n);
    set.x = x;
    status = ak_hcdh_head_encoder(g, values, samples, &e, err);
    if (status == AK_OK)
        status =
            eval_features(g, values, type, &data->images, tell, told, x, err);
    if (status == AK_OK)
        status = ak_eval_encoder(&set, split, run, e, out, err);
    if (e != NULL)
        ak_ref_drop(ak_encoder_ref(e));
    ak_array_free(x);
    return status;
}

enum ak_status eval_network(const struct eval_data *data,
                            enum ak_exec_type type,
                            const struct ak_split *split,
                            const struct ak_eval_run *run,
                            struct ak_eval_outcome *out, struct ak_err *err)
{
    struct told told = {.run = run};
    struct ak_hcdh_network network = {0};
    struct stream stream = {0};
    struct ak_trainer *trainer = NULL;
    struct ak_train_params params;
    double start, seconds = 0;
    size_t bytes = 0;
    enum ak_status status = check_labels(data, err);

    if (status == AK_OK)
        status = ak_hcdh_network_init(&network, data->extractor.g,
                                      data->extractor.values, run->bits,
                                      data->n_classes, run->seed, err);
    if (status == AK_OK)
        status = stream_init(&stream, data, split, err);
    if (status != AK_OK)
        goto out;
    ak_hcdh_network_params(&network, run->options, run->seed, &params);
    params.type = type;
    told.total = params.epochs * stream.view.n + data->set.n;
    start = now();
    status = ak_trainer_create(network.g, &stream.view, &params, network.values,
                               &trainer, err);
    if (status == AK_OK)
        status = train(trainer, params.batch, &told, err);
    if (status != AK_OK)
        goto out;
    seconds = now() - start;
    bytes = ak_trainer_bytes(trainer);
    told.before = params.epochs * stream.view.n;
    status =
        rank(data, type, split, run, network.g, ak_trainer_values(trainer),
             ak_trainer_state(trainer)->steps * params.batch, &told, out, err);
    if (status == AK_OK) {
        out->train_seconds = seconds;
        out->learner_bytes = bytes;
    }

out:
    ak_trainer_destroy(trainer);
    stream_clear(&stream);
    ak_hcdh_network_clear(&network);
    return status;
}
