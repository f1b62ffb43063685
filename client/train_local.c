/* train_local.c -- a network trained on this side. */
#include "config.h"

#include "client/train.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/extractor.h"
#include "client/pictures.h"
#include "client/progress.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/hash/hcdh_head.h"
#include "core/hash/hcdh_network.h"
#include "core/nn/evaluate.h"
#include "core/nn/train.h"
#include "core/nn/zoo.h"

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

struct training {
    struct tool *tool;
    const struct train_options *o;
    double rate, backbone_rate; /* as said, or what they are else */
    struct ak_model model; /* values: where it begins, then what was learnt */
    struct ak_hcdh_network network; /* with --hash: its codes */
    struct ak_picture_set pictures;
    struct ak_pictures test; /* may be empty */
    struct ak_trainer *trainer;
    struct ak_exec *exec; /* of the evaluation */
    struct progress progress;
    uint64_t start_ns, saved_ns;
    uint64_t first_step; /* of this run */
    struct ak_evaluation last;
};

static enum ak_exec_type type_of(const struct training *t)
{
    return strcmp(t->o->type, "bf16") == 0 ? AK_EXEC_BF16 : AK_EXEC_F32;
}

static struct ak_train_params params_of(const struct training *t)
{
    struct ak_train_params p;
    enum ak_status status;

    ak_train_defaults(&p);
    p.engine = t->o->engine;
    p.type = type_of(t);
    p.threads = (uint32_t)t->o->threads;
    p.batch = (uint32_t)t->o->batch;
    p.epochs = (uint32_t)t->o->epochs;
    p.seed = t->o->seed;
    p.optim.groups[0].decay = t->o->decay;
    p.losses[0].smoothing = t->o->smoothing;
    if (t->o->hash != NULL)
        ak_hcdh_network_losses(&t->network, t->o->code_weight, t->backbone_rate,
                               t->o->decay, &p);
    /* The option takes no other name. */
    status = ak_schedule_named(t->o->schedule, t->rate, &p.schedule, NULL);
    (void)status;
    return p;
}

/* ---- checkpoints ------------------------------------------------------------- */

static int save_checkpoint(struct training *t)
{
    struct ak_writer w = {0};
    struct ak_err err = {0};
    int code = EXIT_OK;

    t->saved_ns = ak_clock_ns();
    if (t->o->checkpoint == NULL)
        return EXIT_OK;
    if (ak_trainer_save(t->trainer, &w, &err) != AK_OK)
        code = tool_usage("%s: %s", t->o->checkpoint, err.text);
    if (code == EXIT_OK)
        code = tool_write_file(t->o->checkpoint, w.data, w.len);
    ak_writer_clear(&w);
    return code;
}

static int load_checkpoint(struct training *t)
{
    struct ak_err err = {0};
    void *bytes = NULL;
    size_t len;
    int code;

    if (t->o->checkpoint == NULL || access(t->o->checkpoint, F_OK) != 0)
        return EXIT_OK;
    code = tool_read_file(t->o->checkpoint, &bytes, &len);
    if (code == EXIT_OK &&
        ak_trainer_load(t->trainer, bytes, len, &err) != AK_OK)
        code = tool_usage("%s: %s", t->o->checkpoint, err.text);
    free(bytes);
    if (code == EXIT_OK)
        tool_note(t->tool, "going on from step %llu",
                  (unsigned long long)ak_trainer_state(t->trainer)->step);
    return code;
}

/* ---- what is said -------------------------------------------------------------- */

static void show(struct training *t, bool last)
{
    const struct ak_train_state *s = ak_trainer_state(t->trainer);
    char what[96];
    struct progress_state state = {
        .verb = "train",
        .what = what,
        .rows = s->step - t->first_step,
        .total = s->steps - t->first_step,
        .seconds = (double)(ak_clock_ns() - t->start_ns) / 1e9,
        .live = -1,
        .served = -1,
    };

    snprintf(what, sizeof(what),
             "epoch %u of %u, loss %.4f, %.2f %% of the images", s->epoch + 1,
             s->epochs, s->loss, 100 * s->accuracy);
    progress_show(&t->progress, &state, last);
}

static int end_epoch(struct training *t)
{
    const struct ak_train_state *s = ak_trainer_state(t->trainer);
    uint64_t epoch = s->step / (s->steps / s->epochs);
    bool evaluated =
        t->test.n > 0 && (epoch % t->o->evaluate == 0 || s->step == s->steps);
    double seconds = (double)(ak_clock_ns() - t->start_ns) / 1e9;
    struct ak_err err = {0};
    json_t *line;

    if (evaluated) {
        if (ak_exec_load(t->exec, ak_trainer_values(t->trainer), &err) !=
                AK_OK ||
            ak_evaluate(t->exec, t->model.g, &t->test, 64, NULL, NULL, NULL,
                        &t->last, &err) != AK_OK)
            return tool_usage("%s", err.text);
    }
    line = json_pack("{s:I, s:f, s:f, s:f, s:f}", "epoch", (json_int_t)epoch,
                     "loss", s->loss, "accuracy", s->accuracy, "rate", s->rate,
                     "seconds", seconds);
    if (evaluated)
        json_object_set_new(
            line, "top1", json_real((double)t->last.top1 / (double)t->last.n));
    progress_pause(&t->progress);
    if (t->tool->json)
        tool_print_json(line);
    else if (evaluated)
        printf("epoch %llu: loss %.4f, %.2f %% of the training images, "
               "%.2f %% of %zu test images\n",
               (unsigned long long)epoch, s->loss, 100 * s->accuracy,
               100 * (double)t->last.top1 / (double)t->last.n, t->last.n);
    else
        printf("epoch %llu: loss %.4f, %.2f %% of the training images\n",
               (unsigned long long)epoch, s->loss, 100 * s->accuracy);
    fflush(stdout);
    json_decref(line);
    return EXIT_OK;
}

/* ---- the training ----------------------------------------------------------------- */

static int run_steps(struct training *t)
{
    const struct ak_train_state *s = ak_trainer_state(t->trainer);
    uint64_t per_epoch = s->steps / s->epochs;
    struct ak_err err = {0};
    int code = EXIT_OK;

    t->start_ns = t->saved_ns = ak_clock_ns();
    t->first_step = s->step;
    progress_init(&t->progress, t->tool);
    while (code == EXIT_OK && s->step < s->steps && !interrupted) {
        if (ak_trainer_step(t->trainer, &err) != AK_OK)
            return tool_usage("%s", err.text);
        show(t, s->step == s->steps);
        if (s->step % per_epoch == 0)
            code = end_epoch(t);
        if (code == EXIT_OK &&
            ak_clock_ns() - t->saved_ns >= t->o->every * (uint64_t)1000000000)
            code = save_checkpoint(t);
    }
    if (code == EXIT_OK)
        code = save_checkpoint(t);
    if (code == EXIT_OK && interrupted && s->step < s->steps)
        code = EXIT_INTERRUPTED;
    return code;
}

/* The hash model of what was learnt, into a file; a note says which. */
static int save_hash(struct training *t, char note[AK_HCDH_NOTES])
{
    const struct ak_train_state *s = ak_trainer_state(t->trainer);
    struct ak_encoder *e = NULL;
    struct ak_writer w = {0};
    struct ak_err err = {0};
    int code = EXIT_OK;

    if (ak_hcdh_head_encoder(t->model.g, ak_trainer_values(t->trainer),
                             s->steps * t->o->batch, &e, &err) != AK_OK ||
        ak_encoder_save(e, &w, &err) != AK_OK ||
        ak_hcdh_head_notes(e, t->o->code_weight, t->backbone_rate, note,
                           &err) != AK_OK)
        code = tool_usage("the hash model: %s", err.text);
    if (code == EXIT_OK && t->o->hash_output != NULL)
        code = tool_write_file(t->o->hash_output, w.data, w.len);
    ak_writer_clear(&w);
    if (e != NULL)
        ak_ref_drop(ak_encoder_ref(e));
    return code;
}

static int save_model(struct training *t)
{
    const struct ak_train_state *s = ak_trainer_state(t->trainer);
    char notes[1024];
    char top1[64] = "", hash[AK_HCDH_NOTES] = "";
    int code = EXIT_OK;

    if (t->o->hash != NULL)
        code = save_hash(t, hash);
    if (code != EXIT_OK)
        return code;
    if (t->last.n > 0)
        snprintf(top1, sizeof(top1), "test top-1: %zu of %zu\n", t->last.top1,
                 t->last.n);
    snprintf(notes, sizeof(notes),
             "arch: %s\ntrained on: %s, %u epochs, batch %llu, seed %llu, "
             "rate %g %s, decay %g, smoothing %g, %s\nloss: %.4f\n%s%s",
             t->o->arch != NULL ? t->o->arch : "that of the first values",
             t->o->dataset, s->epochs, (unsigned long long)t->o->batch,
             (unsigned long long)t->o->seed, t->rate, t->o->schedule,
             t->o->decay, t->o->smoothing, t->o->type, s->loss, top1, hash);
    free(t->model.notes);
    t->model.notes = strdup(notes);
    if (t->model.notes == NULL)
        return tool_no_memory();
    memcpy(t->model.values, ak_trainer_values(t->trainer),
           t->model.g->n_values * sizeof(float));
    return extractor_save(t->o->output, &t->model);
}

static int make_model(struct training *t)
{
    struct ak_err err = {0};

    if (t->o->from != NULL)
        return extractor_open(t->o->from, &t->model);
    if (ak_arch_graph(t->o->arch, 0, &t->model.g, &err) != AK_OK)
        return tool_usage("%s", err.text);
    return EXIT_OK;
}

/* The model becomes one with a hash layer, for as many classes as there are. */
static int add_hash_head(struct training *t)
{
    const struct ak_pictures *p = &t->pictures.view;
    uint32_t most = 0;
    struct ak_err err = {0};

    for (size_t i = 0; i < p->n; i++)
        most = p->labels[i] > most ? p->labels[i] : most;
    if (ak_hcdh_network_init(&t->network, t->model.g, t->model.values,
                             (uint32_t)t->o->bits, most + 1, t->o->seed,
                             &err) != AK_OK)
        return tool_usage("%s", err.text);
    ak_model_clear(&t->model);
    t->model.g = t->network.g;
    t->model.values = t->network.values;
    t->network.g = NULL;
    t->network.values = NULL;
    return EXIT_OK;
}

static int prepare(struct training *t)
{
    struct ak_train_params params;
    const struct ak_exec_params evaluation = {
        .batch = 64, .type = type_of(t), .threads = (uint32_t)t->o->threads};
    struct ak_pictures train;
    struct ak_err err = {0};
    int code = make_model(t);

    if (code == EXIT_OK)
        code = pictures_load(t->o->dataset, t->o->data, NULL, NULL,
                             &t->model.g->layers[0], &t->pictures);
    if (code == EXIT_OK && t->o->hash != NULL)
        code = add_hash_head(t);
    if (code != EXIT_OK)
        return code;
    params = params_of(t);
    train = t->test = t->pictures.view;
    if (t->pictures.has_parts)
        train.n = t->pictures.n_train;
    t->test.n -= train.n;
    t->test.labels += train.n;
    t->test.pixels += train.n * train.stride;
    if (ak_trainer_create(t->model.g, &train, &params, t->model.values,
                          &t->trainer, &err) != AK_OK ||
        ak_exec_create(t->o->engine, t->model.g, &evaluation, &t->exec, &err) !=
            AK_OK)
        return tool_usage("%s", err.text);
    if (t->model.values == NULL) {
        t->model.values = ak_array_new(t->model.g->n_values, sizeof(float));
        if (t->model.values == NULL)
            return tool_no_memory();
    }
    return load_checkpoint(t);
}

int train_local(struct tool *tool, const struct train_options *options)
{
    struct training t = {.tool = tool, .o = options};
    struct sigaction action = {.sa_handler = interrupt,
                               .sa_flags = (int)SA_RESETHAND};
    int code;

    t.rate = options->rate >= 0      ? options->rate
             : options->hash != NULL ? 0.1
                                     : 0.2;
    t.backbone_rate = options->backbone_rate >= 0 ? options->backbone_rate
                      : options->from != NULL     ? 0.1
                                                  : 1;
    code = prepare(&t);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (code == EXIT_OK)
        code = run_steps(&t);
    if (code == EXIT_OK)
        code = save_model(&t);
    ak_exec_destroy(t.exec);
    ak_trainer_destroy(t.trainer);
    ak_picture_set_clear(&t.pictures);
    ak_hcdh_network_clear(&t.network);
    ak_model_clear(&t.model);
    return code;
}
