/*
 * cmd_eval.c -- `akin eval`: the papers' protocols on a data set, without a
 * daemon.
 *
 * The main thread reads, prints and writes.  Worker threads take runs from one
 * list in its order; `lock` guards the list and all that is in it but the run
 * under way, which is its thread's alone.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/commands.h"
#include "client/eval_data.h"
#include "client/eval_lines.h"
#include "client/eval_network.h"
#include "client/eval_plan.h"
#include "client/eval_plot.h"
#include "client/eval_table.h"
#include "client/plot.h"
#include "client/progress.h"
#include "core/base/clock.h"

#define PAUSE_MS 100 /* between two looks at how far the runs are */

static struct {
    const char *dataset;
    const char *data;
    const char *extractor;
    const char *cache;
    const char *type;
    const char *method;
    const char *bits;
    uint64_t seeds;
    const char *protocol;
    struct text_list options;
    const char *scaling;
    bool validate;
    uint64_t queries;
    uint64_t stream;
    uint64_t points;
    uint64_t threads;
    const char *resume;
    const char *plot;
    struct text_list tables;
    const char *metric;
    bool markdown;
} o = {.type = "f32",
       .method = "all",
       .bits = "8,16,32,48,64,128",
       .seeds = 3,
       .protocol = "standard",
       .queries = 100,
       .points = 1,
       .threads = 1};

static const struct option options[] = {
    {"dataset", 'd', OPTION_CHOICE, "SET", "what is learnt and searched",
     &o.dataset, 0, 0, EVAL_DATASETS, NULL},
    {"data", 0, OPTION_FILE, "DIR", "its folder", &o.data, 0, 0, NULL, NULL},
    {"extractor", 0, OPTION_FILE, "FILE",
     "features by this network (.akx), of the images of cifar10", &o.extractor,
     0, 0, NULL, NULL},
    {"features-cache", 0, OPTION_FILE, "FILE",
     "keep its features there, and take them from there", &o.cache, 0, 0, NULL,
     NULL},
    {"type", 0, OPTION_CHOICE, "TYPE", "of its numbers (f32)", &o.type, 0, 0,
     "f32|bf16", NULL},
    {"method", 'm', OPTION_TEXT, "NAME,...", "methods or variants (all)",
     &o.method, 0, 0, NULL, NULL},
    {"bits", 'b', OPTION_TEXT, "N,...", "lengths of codes (8,16,32,48,64,128)",
     &o.bits, 0, 0, NULL, NULL},
    {"seeds", 0, OPTION_NUMBER, "N", "runs of each, with seeds 0, 1 ... (3)",
     &o.seeds, 1, 1000, NULL, NULL},
    {"protocol", 0, OPTION_CHOICE, "NAME", "how the set is split", &o.protocol,
     0, 0, "standard|zero-shot|incremental|train-test", NULL},
    {"option", 'o', OPTION_LIST, "M.NAME=VALUE", "set an option of method M",
     &o.options, 0, 0, NULL, NULL},
    {"scaling", 0, OPTION_CHOICE, "HOW",
     "take the mean off all features, and make them of length 1", &o.scaling, 0,
     0, "none|centre|unit", NULL},
    {"validate", 0, OPTION_FLAG, NULL,
     "ask other rows than the test queries: for choosing settings", &o.validate,
     0, 0, NULL, NULL},
    {"queries", 0, OPTION_NUMBER, "N", "of each class (100)", &o.queries, 1,
     100000, NULL, NULL},
    {"stream", 0, OPTION_NUMBER, "N",
     "rows to learn from, at most (20000; all of train-test)", &o.stream, 1, 0,
     NULL, NULL},
    {"curve", 0, OPTION_NUMBER, "N", "measure N times along the stream (1)",
     &o.points, 1, AK_EVAL_MAX_POINTS, NULL, NULL},
    {"threads", 0, OPTION_NUMBER, "N", "runs at a time (1)", &o.threads, 1,
     1024, NULL, NULL},
    {"resume", 0, OPTION_FILE, "FILE",
     "skip the runs whose lines FILE has, and add the others to it", &o.resume,
     0, 0, NULL, NULL},
    {"plot", 0, OPTION_FILE, "DIR", "draw plots there, as SVG, by gnuplot",
     &o.plot, 0, 0, NULL, NULL},
    {"table", 0, OPTION_FILES, "FILE",
     "run nothing: tables and plots of the lines of FILE", &o.tables, 0, 0,
     NULL, NULL},
    {"metric", 0, OPTION_CHOICE, "NAME",
     "a table of this, with a column a length of code", &o.metric, 0, 0,
     EVAL_METRICS, NULL},
    {"markdown", 0, OPTION_FLAG, NULL, "tables in Markdown", &o.markdown, 0, 0,
     NULL, NULL},
    {0},
};

/* ---- the runs ------------------------------------------------------------ */

struct task {
    const struct eval_variant *variant;
    uint32_t bits;
    uint64_t seed;
    json_t *line; /* owned by the main thread, filled by the worker's end */

    _Atomic(double) part; /* of the stream learnt, while it runs */
    bool running, ended, shown;
    struct ak_split split; /* counts and stages only, once it ended */
    struct ak_eval_run run;
    struct ak_eval_outcome outcome;
    enum ak_status status;
    struct ak_err err;
};

struct work {
    struct eval_data data;
    struct eval_plan plan;
    struct eval_frame frame;
    enum ak_exec_type type;
    struct task *tasks;
    size_t n, next, ended;
    size_t skipped; /* lines that were there before */
    pthread_mutex_t lock;
    pthread_cond_t news;
};

/* Set by a signal, read by every thread. */
static atomic_bool interrupted;

static void on_interrupt(int number)
{
    (void)number;
    atomic_store(&interrupted, true);
}

static void catch_interrupts(void)
{
    /* The second one ends the process. */
    struct sigaction action = {.sa_handler = on_interrupt,
                               .sa_flags = (int)SA_RESETHAND};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static bool on_progress(void *context, size_t done, size_t total)
{
    struct task *t = context;

    atomic_store(&t->part, total > 0 ? (double)done / (double)total : 0);
    return !interrupted;
}

static void run_task(const struct work *w, struct task *t)
{
    struct ak_split_params params = w->frame.split;

    params.seed = t->seed;
    t->run = (struct ak_eval_run){
        .method = t->variant->method->name,
        .options = t->variant->options,
        .bits = t->bits,
        .seed = t->seed,
        .mean = w->data.mean,
        .scaling = t->variant->scaling,
        .points = w->frame.points,
        .radius = 2,
        .map_at = 1000,
        .n_k = 13,
        .k = {1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 1000},
        .progress = on_progress,
        .context = t};
    t->status = ak_split_make(&params, w->data.labels, w->data.set.n, &t->split,
                              &t->err);
    if (t->status != AK_OK)
        return;
    t->status = t->variant->network
                    ? eval_network(&w->data, w->type, &t->split, &t->run,
                                   &t->outcome, &t->err)
                    : ak_eval_protocol(&w->data.set, &t->split, &t->run,
                                       &t->outcome, &t->err);
}

static void *serve(void *context)
{
    struct work *w = context;

    pthread_mutex_lock(&w->lock);
    while (w->next < w->n && !interrupted) {
        struct task *t = &w->tasks[w->next++];

        t->running = true;
        pthread_mutex_unlock(&w->lock);
        run_task(w, t);
        pthread_mutex_lock(&w->lock);
        t->running = false;
        t->ended = true;
        w->ended++;
        pthread_cond_signal(&w->news);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- the main thread ----------------------------------------------------- */

static void show(struct work *w, struct progress *p, double start, bool last)
{
    struct progress_state s = {.verb = "eval",
                               .total = 1000 * w->n,
                               .seconds = 1e-9 * (double)ak_clock_ns() - start,
                               .live = -1,
                               .served = -1};
    char what[CELL * 2];
    double done = 0;
    const struct task *now = NULL;

    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < w->n; i++) {
        struct task *t = &w->tasks[i];

        done += t->ended ? 1 : t->running ? atomic_load(&t->part) : 0;
        if (t->running && now == NULL)
            now = t;
    }
    snprintf(what, sizeof(what), "%zu/%zu runs%s%.24s", w->ended, w->n,
             now != NULL ? ": " : "", now != NULL ? now->variant->name : "");
    if (now != NULL)
        snprintf(what + strlen(what), sizeof(what) - strlen(what),
                 " %u bits, seed %llu", now->bits,
                 (unsigned long long)now->seed);
    pthread_mutex_unlock(&w->lock);
    s.rows = (uint64_t)(1000 * done);
    s.what = what;
    progress_show(p, &s, last);
}

/* The next that ended and was not shown; waits for a moment if none has. */
static struct task *next_ended(struct work *w, bool *over)
{
    struct task *found = NULL;
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += PAUSE_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&w->lock);
    for (int tries = 0; found == NULL && tries < 2; tries++) {
        bool busy = w->next < w->n && !interrupted;

        for (size_t i = 0; found == NULL && i < w->n; i++) {
            if (w->tasks[i].ended && !w->tasks[i].shown)
                found = &w->tasks[i];
            busy = busy || w->tasks[i].running;
        }
        *over = found == NULL && !busy;
        if (found != NULL || *over || tries > 0)
            break;
        pthread_cond_timedwait(&w->news, &w->lock, &until);
    }
    pthread_mutex_unlock(&w->lock);
    return found;
}

/* One run that ended: its line is told, kept, and written. */
static int take(const struct tool *tool, struct task *t, struct progress *p,
                json_t *lines)
{
    int code = EXIT_OK;

    t->shown = true;
    if (t->status == AK_ECANCELED)
        return EXIT_OK;
    if (t->status != AK_OK) {
        progress_pause(p);
        fprintf(stderr, "akin: %s, %u bits, seed %llu: %s\n", t->variant->name,
                t->bits, (unsigned long long)t->seed, t->err.text);
        return EXIT_NEGATIVE;
    }
    eval_line_finish(t->line, &t->split, &t->run, &t->outcome);
    ak_split_clear(&t->split);
    if (o.resume != NULL)
        code = eval_lines_append(o.resume, t->line);
    if (tool->json) {
        progress_pause(p);
        eval_line_print(t->line);
    }
    if (json_array_append(lines, t->line) != 0)
        return tool_no_memory();
    return code;
}

/* Run all tasks; what one of them fails by is said, and the others go on. */
static int run_all(const struct tool *tool, struct work *w, json_t *lines)
{
    size_t n_threads = o.threads < w->n ? o.threads : w->n, started = 0;
    pthread_t *threads = calloc(n_threads + 1, sizeof(*threads));
    double start = 1e-9 * (double)ak_clock_ns();
    struct progress progress;
    int code = EXIT_OK;
    bool over = false;

    if (threads == NULL)
        return tool_no_memory();
    progress_init(&progress, tool);
    while (started < n_threads &&
           pthread_create(&threads[started], NULL, serve, w) == 0)
        started++;
    if (started == 0)
        code = tool_usage("no thread: %s", strerror(errno));
    while (started > 0 && !over) {
        struct task *t = next_ended(w, &over);
        int took = t != NULL ? take(tool, t, &progress, lines) : EXIT_OK;

        code = code != EXIT_OK ? code : took;
        if (took != EXIT_OK && took != EXIT_NEGATIVE)
            atomic_store(&interrupted,
                         true); /* what cannot be kept need not be run */
        show(w, &progress, start, false);
    }
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    show(w, &progress, start, true);
    free(threads);
    return code;
}

static int make_tasks(struct work *w, const json_t *before, json_t *lines)
{
    const struct eval_plan *p = &w->plan;
    size_t most = p->n_variants * p->n_bits * o.seeds;

    w->tasks = calloc(most, sizeof(*w->tasks));
    if (w->tasks == NULL)
        return tool_no_memory();
    for (size_t v = 0; v < p->n_variants; v++)
        for (size_t b = 0; b < p->n_bits; b++)
            for (uint64_t seed = 0; seed < o.seeds; seed++) {
                struct task *t = &w->tasks[w->n];
                json_t *line = eval_line_identity(&w->frame, &p->variants[v],
                                                  p->bits[b], seed);
                const json_t *was = eval_lines_find(before, line);

                if (line == NULL)
                    return tool_no_memory();
                if (was != NULL) {
                    json_decref(line);
                    json_array_append(lines,
                                      (json_t *)(uintptr_t)(const void *)was);
                    w->skipped++;
                    continue;
                }
                *t = (struct task){.variant = &p->variants[v],
                                   .bits = p->bits[b],
                                   .seed = seed,
                                   .line = line};
                w->n++;
            }
    return EXIT_OK;
}

static enum ak_split_kind protocol_kind(const char *name)
{
    return strcmp(name, "zero-shot") == 0     ? AK_SPLIT_ZERO_SHOT
           : strcmp(name, "incremental") == 0 ? AK_SPLIT_INCREMENTAL
           : strcmp(name, "train-test") == 0  ? AK_SPLIT_PARTS
                                              : AK_SPLIT_STANDARD;
}

/* What the options say of the split; the number of training rows is not known
   yet. */
static void frame_split(struct ak_split_params *split)
{
    ak_split_defaults(split);
    split->kind = protocol_kind(o.protocol);
    split->validate = o.validate;
    split->queries = split->kind == AK_SPLIT_PARTS ? 0 : (uint32_t)o.queries;
    if (o.stream != 0)
        split->stream = o.stream;
}

/* What only makes sense together, before anything is read. */
static int check_together(const struct eval_plan *plan)
{
    if (o.cache != NULL && o.extractor == NULL)
        return tool_usage("--features-cache keeps what --extractor makes");
    for (size_t i = 0; i < plan->n_variants; i++) {
        const char *name = plan->variants[i].name;

        if (!plan->variants[i].network)
            continue;
        if (o.extractor == NULL)
            return tool_usage("%s needs --extractor, where its backbone is "
                              "from",
                              name);
        if (o.points != 1 || strcmp(o.protocol, "incremental") == 0)
            return tool_usage("%s learns all at once: it has no curve", name);
    }
    return EXIT_OK;
}

/* Read the data, plan, run; the lines of this command into `lines`. */
static int measure(const struct tool *tool, json_t *lines)
{
    struct work w = {.lock = PTHREAD_MUTEX_INITIALIZER,
                     .news = PTHREAD_COND_INITIALIZER};
    json_t *before = json_array();
    const struct eval_extractor extractor = {
        o.extractor, o.cache,
        strcmp(o.type, "bf16") == 0 ? AK_EXEC_BF16 : AK_EXEC_F32};
    struct ak_split probe = {0};
    struct ak_err err = {0};
    int code;

    frame_split(&w.frame.split);
    w.type = extractor.type;
    w.frame.protocol = o.protocol;
    w.frame.points = (uint32_t)o.points;
    w.frame.data = &w.data;
    code = eval_plan_make(o.method, o.bits, &o.options, o.scaling, &w.plan);
    if (code == EXIT_OK)
        code = check_together(&w.plan);
    if (code == EXIT_OK && o.plot != NULL)
        code = plot_check();
    if (code == EXIT_OK && o.resume != NULL)
        code = eval_lines_read(o.resume, true, before);
    if (code == EXIT_OK)
        code = eval_data_load(tool, o.dataset, o.data, &extractor, &w.data);
    w.frame.split.train = w.data.n_train;
    if (w.frame.split.kind == AK_SPLIT_PARTS && o.stream == 0)
        w.frame.split.stream = w.data.n_train;
    if (code == EXIT_OK && w.frame.split.kind == AK_SPLIT_PARTS &&
        w.data.n_train == 0)
        code = tool_usage("%s does not say which rows are for training and "
                          "which for tests",
                          o.dataset);
    if (code == EXIT_OK)
        code = eval_plan_fit(&w.plan, w.data.set.dim, w.data.n_classes);
    if (code == EXIT_OK && ak_split_make(&w.frame.split, w.data.labels,
                                         w.data.set.n, &probe, &err) != AK_OK)
        code = tool_usage("%s: %s", o.dataset, err.text);
    ak_split_clear(&probe);
    if (code == EXIT_OK)
        code = make_tasks(&w, before, lines);
    if (code == EXIT_OK && w.skipped > 0)
        tool_note(tool, "%zu runs were there before", w.skipped);
    if (code == EXIT_OK && w.n > 0) {
        catch_interrupts();
        code = run_all(tool, &w, lines);
    }
    if (interrupted)
        code = EXIT_INTERRUPTED;
    for (size_t i = 0; i < w.n; i++) {
        json_decref(w.tasks[i].line);
        ak_split_clear(&w.tasks[i].split);
    }
    free(w.tasks);
    eval_data_clear(&w.data);
    json_decref(before);
    return code;
}

static int run_eval(struct tool *tool, int argc, char **argv)
{
    json_t *lines = json_array();
    size_t n_plots = 0;
    int code = EXIT_OK, shown;

    (void)argc;
    (void)argv;
    if (o.tables.n > 0 && (o.dataset != NULL || o.resume != NULL))
        code = tool_usage("--table runs nothing, so it takes neither "
                          "--dataset nor --resume");
    else if (o.tables.n == 0 && o.dataset == NULL)
        code = tool_usage("--dataset is needed, one of %s", EVAL_DATASETS);
    for (size_t i = 0; code == EXIT_OK && i < o.tables.n; i++)
        code = eval_lines_read(o.tables.items[i], false, lines);
    if (code == EXIT_OK && o.tables.n == 0)
        code = measure(tool, lines);
    /* What was measured is shown, even if the rest was not. */
    if (!(tool->json && o.tables.n == 0) && json_array_size(lines) > 0) {
        shown = eval_table_print(lines, o.metric, o.markdown);
        code = code != EXIT_OK ? code : shown;
    }
    if (code == EXIT_OK && o.plot != NULL) {
        code = eval_plot(lines, o.plot, &n_plots);
        if (code == EXIT_OK)
            tool_note(tool, "%zu plots in %s", n_plots, o.plot);
    }
    json_decref(lines);
    text_list_clear(&o.options);
    text_list_clear(&o.tables);
    return code;
}

const struct command cmd_eval = {
    .name = "eval",
    .synopsis = "{--dataset SET | --table FILE} [OPTION]...",
    .summary = "the papers' protocols on a data set, without a daemon",
    .about =
        "Splits a data set by a seed into queries, a database and a stream of "
        "it; learns\nthe stream with each method, ranks the database for each "
        "query, and prints the\nmeans over the seeds: mAP (ties averaged), "
        "mAP@1000, precision within Hamming\nradius 2 and of the first K, "
        "seconds of one core, and bytes. With --json, a line\nan object for "
        "each run.\n\nData sets: mnist, fashion (Fashion-MNIST), cifar10 (its "
        "pixels, or what --extractor\nmakes of its images), and npy: any "
        "folder with features.npy and labels.npy. They\nare looked for in "
        "$AKIN_DATA, ../shared/data and /usr/share/datasets.\n\nVariants "
        "beside the methods of "
        "`akin methods`: hmoh+ and hmoh++, with options that\ngo beyond the "
        "paper; hcdh-linear, hcdh-hidden; lsh-centred, with the mean taken\n"
        "off; hmoh-paper and sdoh-paper, with the authors' settings. "
        "hcdh-network "
        "trains the\nextractor along, with a hash layer on its feature.\n",
    .examples =
        "  akin eval --dataset mnist --method hmoh,hmoh+,lsh --bits 16,32,64\n"
        "  akin eval -d fashion --resume fashion.jsonl --plot plots\n"
        "  akin eval -d mnist -m fcoh -b 32 --validate -o fcoh.rate=10\n"
        "  akin eval -d cifar10 --extractor resnet20.akx --protocol train-test "
        "\\\n    -m hcdh-network -b 16,32,48,64\n"
        "  akin eval --table fashion.jsonl --metric map --markdown\n",
    .options = options,
    .min_args = 0,
    .max_args = 0,
    .run = run_eval,
};
