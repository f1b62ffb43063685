/*
 * bench_load -- how long a collection takes from its file into memory, by the
 * table of rows and by packed rows, and what memory a publish takes: one line of
 * JSON a case.
 *
 *     bench_load [N [CASE]]
 *
 * Makes a collection of kind external with N (one million) codes of 64 bits in
 * the present folder, past the engine; opens an engine on it, once to warm the
 * cache of the system, then REPEATS times, each in a process of its own; then
 * packs the rows and does the same again.
 *
 * cases   `plain`: ids in order, no labels, records of 4,096 rows; `short`: the
 *         same in records of 50; `mixed`: random ids, one of ten labels each, one
 *         row in a hundred deleted
 * seconds median from the opening of the engine until it is ready
 * bytes_per_code of the process's resident memory, beside what it had before
 *
 * `publish` is another case: vectors around 100 centres, ids in order, kind hmoh,
 * of which the first 4,096 are learnt.  When all is loaded and the partition is
 * built, a version is published, so that all rows are encoded again; the end is
 * when it serves and has its partition.  peak_bytes_per_code: the most that was
 * resident from the publish to the end; SQLite's caches, the learner and all
 * else of the process are in it.  serving_seconds and seconds: until it serves,
 * and until the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/code/partition.h"
#include "server/engine_internal.h"
#include "server/log.h"

enum {
    REPEATS = 3,
    MOST_BATCH = 4096,
    LABELS = 10,
    PATH_LEN = 256,
    DIM = 16,      /* of `publish` */
    CENTRES = 100, /* of its vectors */
    PATIENCE_S = 3600
};

#define NAME "codes"

static const struct load_case {
    const char *name;
    size_t batch;
    bool mixed, publish;
} cases[] = {{"plain", 4096, false, false},
             {"short", 50, false, false},
             {"mixed", 4096, true, false},
             {"publish", 4096, false, true}};

static char dir[64];

static void fail(const char *what, const char *text)
{
    fprintf(stderr, "bench_load: %s: %s\n", what, text);
    exit(1);
}

static void check(enum ak_status status, const struct ak_err *err)
{
    if (status != AK_OK)
        fail(ak_status_name(status), err->text);
}

/* Runs `work` in a child, which has all that it took given back at its end. */
static void apart(void (*work)(void *arg), void *arg)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        work(arg);
        exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        fail("a process", "failed");
}

/* ---------------------------------------------------------------- the file */

struct making {
    const struct load_case *of;
    uint64_t n;
    int out; /* where `publish` tells */
};

static void open_engine(struct ak_engine **e)
{
    const struct ak_engine_params params = {.data_dir = dir,
                                            .threads = 2,
                                            .queue_bytes = 64 << 20,
                                            .collection_queue_bytes = 32 << 20};
    struct ak_engine_progress progress;
    struct ak_err err = {0};

    check(ak_engine_open(&params, e, &err), &err);
    do {
        usleep(100);
        ak_engine_progress(*e, &progress);
    } while (!progress.ready);
    if (progress.failed > 0)
        fail("the collection", "was not loaded");
}

struct made {
    pthread_mutex_t lock;
    pthread_cond_t there;
    bool done;
};

static void created(void *arg, enum ak_status status, bool is_new,
                    struct ak_collection *c, const struct ak_err *err)
{
    struct made *m = arg;

    (void)is_new;
    check(status, err);
    ak_collection_drop(c);
    pthread_mutex_lock(&m->lock);
    m->done = true;
    pthread_cond_signal(&m->there);
    pthread_mutex_unlock(&m->lock);
}

static void create(void *arg)
{
    struct made m = {.lock = PTHREAD_MUTEX_INITIALIZER,
                     .there = PTHREAD_COND_INITIALIZER};
    struct ak_fault why = {0};
    struct ak_settings settings;
    struct ak_engine *e;
    const struct making *making = arg;
    json_t *text = making->of->publish
                       ? json_pack("{s:{s:s, s:{s:i}}, s:i, s:{s:i}}", "model",
                                   "kind", "hmoh", "params", "kernel_anchors",
                                   0, "bits", 64, "features", "dim", DIM)
                       : json_pack("{s:{s:s}, s:i}", "model", "kind",
                                   "external", "bits", 64);

    if (ak_settings_parse(NAME, text, &settings, &why) != AK_OK)
        fail(why.pointer, why.detail);
    json_decref(text);
    open_engine(&e);
    ak_engine_create(e, &settings, created, &m);
    pthread_mutex_lock(&m.lock);
    while (!m.done)
        pthread_cond_wait(&m.there, &m.lock);
    pthread_mutex_unlock(&m.lock);
    ak_engine_close(e);
}

static const char *file_path(void)
{
    static char path[PATH_LEN];

    snprintf(path, sizeof(path), "%s/collections/1.db", dir);
    return path;
}

static void put(struct ak_store *store, const struct ak_change *change)
{
    struct ak_receipt receipt;
    struct ak_err err = {0};

    check(ak_store_apply(store, change, &receipt, &err), &err);
}

static void fill_batch(struct ak_store *store, const struct making *m,
                       uint64_t first, size_t n, struct ak_rng *rng)
{
    static const char *const classes[LABELS] = {"0", "1", "2", "3", "4",
                                                "5", "6", "7", "8", "9"};
    static uint64_t codes[MOST_BATCH], gone[MOST_BATCH];
    static struct ak_row_id ids[MOST_BATCH];
    static struct ak_bytes labels[MOST_BATCH];
    static uint32_t label_first[MOST_BATCH + 1];
    struct ak_change change = {.kind = AK_RECORD_UPSERT,
                               .rows = {.n = n, .block = codes}};
    struct ak_change ended = {.kind = AK_RECORD_DELETE, .ordinals = gone};

    for (size_t i = 0; i < n; i++) {
        codes[i] = ak_rng_u64(rng);
        /* An odd factor: different numbers, all below 2^32. */
        ids[i].number = (first + i) * UINT64_C(2654435761) & UINT32_MAX;
        labels[i] = (struct ak_bytes){classes[ak_rng_below(rng, LABELS)], 1};
        label_first[i + 1] = (uint32_t)i + 1;
        if (ak_rng_below(rng, 100) == 0)
            gone[ended.n_ordinals++] = first + i;
    }
    if (m->of->mixed) {
        change.rows.ids = ids;
        change.rows.labels = labels;
        change.rows.label_first = label_first;
    }
    put(store, &change);
    if (m->of->mixed)
        put(store, &ended);
}

/* Vectors around centres; of the first batch with the centre as label. */
static void fill_vectors(struct ak_store *store, uint64_t first, size_t n,
                         struct ak_rng *rng)
{
    static float centres[CENTRES][DIM], x[MOST_BATCH][DIM];
    static char names[CENTRES][8];
    static struct ak_bytes labels[MOST_BATCH];
    static uint32_t label_first[MOST_BATCH + 1];
    struct ak_change change = {.kind = AK_RECORD_UPSERT,
                               .rows = {.n = n, .block = x}};

    for (size_t i = 0; i < CENTRES && first == 0; i++) {
        snprintf(names[i], sizeof(names[i]), "%zu", i);
        for (size_t d = 0; d < DIM; d++)
            centres[i][d] = (float)ak_rng_normal(rng);
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = ak_rng_below(rng, CENTRES);

        for (size_t d = 0; d < DIM; d++)
            x[i][d] = centres[at][d] + 0.2f * (float)ak_rng_normal(rng);
        labels[i] = (struct ak_bytes){names[at], strlen(names[at])};
        label_first[i + 1] = (uint32_t)i + 1;
    }
    if (first == 0) {
        change.kind = AK_RECORD_BATCH;
        change.rows.labels = labels;
        change.rows.label_first = label_first;
    }
    put(store, &change);
}

static void fill(void *arg)
{
    const struct making *m = arg;
    struct ak_err err = {0};
    struct ak_store *store;
    struct ak_rng rng;

    ak_rng_init(&rng, 1);
    check(ak_store_open(file_path(), false, &store, &err), &err);
    for (uint64_t first = 0; first < m->n;) {
        /* A transaction is 64k rows: what is measured is not this. */
        check(ak_store_begin(store, &err), &err);
        for (size_t rows = 0; rows < 65536 && first < m->n;) {
            size_t n = m->n - first < m->of->batch ? (size_t)(m->n - first)
                                                   : m->of->batch;

            if (m->of->publish)
                fill_vectors(store, first, n, &rng);
            else
                fill_batch(store, m, first, n, &rng);
            first += n;
            rows += n;
        }
        check(ak_store_commit(store, &err), &err);
    }
    ak_store_close(store);
}

/* As the engine does when it has nothing else to do. */
static void pack(void *arg)
{
    struct ak_engine *e;
    struct ak_err err = {0};
    struct ak_view *view;
    struct ak_packed packed;
    const struct making *m = arg;
    uint64_t segments = m->n / AK_STORE_SEGMENT_ROWS;

    open_engine(&e);
    check(ak_view_open(file_path(), &view, &err), &err);
    for (uint64_t i = 0; i < segments; i++)
        while (ak_view_packed(view, i, &packed, &err) == AK_ENOTFOUND) {
            usleep(10000);
            ak_engine_tick(e);
        }
    ak_view_close(view);
    ak_engine_close(e);
}

/* ---------------------------------------------------------------- the load */

struct load {
    double seconds, resident, snapshot;
};

static double resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long size, resident = 0;

    if (f == NULL || fscanf(f, "%lu %lu", &size, &resident) != 2)
        fail("/proc/self/statm", "cannot be read");
    fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static void load(void *arg)
{
    const int *out = arg;
    double before = resident_bytes();
    uint64_t start = ak_clock_ns();
    struct ak_collection_status status;
    struct ak_collection *c;
    struct ak_engine *e;
    struct ak_err err = {0};
    struct load found;

    open_engine(&e);
    found.seconds = (double)(ak_clock_ns() - start) * 1e-9;
    found.resident = resident_bytes() - before;
    check(ak_engine_get(e, NAME, &c, &err), &err);
    ak_collection_status(c, &status);
    found.snapshot = (double)status.memory_bytes;
    ak_collection_drop(c);
    ak_engine_close(e);
    if (write(*out, &found, sizeof(found)) != sizeof(found))
        fail("a pipe", "broke");
}

static int by_seconds(const void *a, const void *b)
{
    double x = ((const struct load *)a)->seconds;
    double y = ((const struct load *)b)->seconds;

    return (x > y) - (x < y);
}

static void measure(const struct making *m, bool packed)
{
    struct load loads[REPEATS + 1];
    double n = (double)m->n;
    int ends[2];

    for (int i = 0; i <= REPEATS; i++) {
        if (pipe(ends) != 0)
            fail("a pipe", "cannot be made");
        apart(load, &ends[1]);
        if (read(ends[0], &loads[i], sizeof(loads[i])) != sizeof(loads[i]))
            fail("a pipe", "broke");
        close(ends[0]);
        close(ends[1]);
    }
    qsort(loads + 1, REPEATS, sizeof(loads[0]), by_seconds);
    printf("{\"bench\":\"load\",\"case\":\"%s\",\"n\":%.0f,\"bits\":64,"
           "\"packed\":%s,\"seconds\":%.3f,\"min\":%.3f,\"max\":%.3f,"
           "\"first_seconds\":%.3f,\"resident_bytes_per_code\":%.2f,"
           "\"index_bytes_per_code\":%.2f}\n",
           m->of->name, n, packed ? "true" : "false",
           loads[1 + REPEATS / 2].seconds, loads[1].seconds,
           loads[REPEATS].seconds, loads[0].seconds,
           loads[1 + REPEATS / 2].resident / n,
           loads[1 + REPEATS / 2].snapshot / n);
    fflush(stdout);
}

/* -------------------------------------------------------------- a publish */

struct published {
    double loaded, peak; /* bytes */
    double serving_s, all_s;
    double share; /* of the rows, that a search looks at; 1: no partition */
};

/* The most that was resident since the last call. */
static double peak_bytes(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    unsigned long kib = 0;
    char line[256];

    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "VmHWM: %lu", &kib) == 1)
            break;
    if (f == NULL || kib == 0)
        fail("/proc/self/status", "cannot be read");
    fclose(f);
    f = fopen("/proc/self/clear_refs", "we");
    if (f == NULL || fputs("5", f) < 0 || fclose(f) != 0)
        fail("/proc/self/clear_refs", "cannot be written");
    return (double)kib * 1024;
}

/* Until all rows are shown under `version`, and have a partition. */
static struct ak_partition_info wait_for(struct ak_engine *e,
                                         struct ak_collection *c, uint64_t rows,
                                         uint64_t version, bool partition)
{
    uint64_t end = ak_clock_ns() + PATIENCE_S * UINT64_C(1000000000);
    struct ak_partition_info info;
    struct ak_snapshot *s;
    bool there;

    do {
        if (ak_clock_ns() > end)
            fail("the collection", "does not come so far");
        usleep(10000);
        ak_engine_tick(e);
        s = ak_collection_snapshot(c);
        ak_snapshot_partition_info(s, &info);
        there = ak_snapshot_rows(s) == rows &&
                ak_snapshot_version(s) >= version &&
                (!partition || info.rows > 0);
        ak_snapshot_drop(s);
    } while (!there);
    return info;
}

static void committed(struct ak_submission *s, enum ak_status status,
                      const struct ak_receipt *receipt,
                      const struct ak_err *err)
{
    (void)s;
    (void)receipt;
    check(status, err);
}

static void publish(void *arg)
{
    static struct ak_submission publish = {
        .change = {.kind = AK_RECORD_PUBLISH}, .bytes = 64, .done = committed};
    const struct making *m = arg;
    double before = resident_bytes();
    struct ak_partition_info info;
    struct published found;
    struct ak_collection *c;
    struct ak_engine *e;
    struct ak_err err = {0};
    struct ak_collection_status status;
    uint64_t start, version;

    open_engine(&e);
    check(ak_engine_get(e, NAME, &c, &err), &err);
    /* What was learnt is published at the start: not before that is over. */
    do {
        wait_for(e, c, m->n, 0, true);
        ak_collection_status(c, &status);
    } while (status.learned_seq < status.durable_seq ||
             status.queue_bytes > 0 || status.published == 0 ||
             strcmp(status.state, "ready") != 0);
    wait_for(e, c, m->n, status.published, true);
    version = status.published + 1;
    found.loaded = resident_bytes() - before;
    (void)peak_bytes();
    start = ak_clock_ns();
    ak_collection_submit(c, &publish);
    wait_for(e, c, m->n, version, false);
    found.serving_s = (double)(ak_clock_ns() - start) * 1e-9;
    info = wait_for(e, c, m->n, version, true);
    found.all_s = (double)(ak_clock_ns() - start) * 1e-9;
    found.peak = peak_bytes() - before;
    found.share = info.share;
    ak_collection_drop(c);
    ak_engine_close(e);
    if (write(m->out, &found, sizeof(found)) != sizeof(found))
        fail("a pipe", "broke");
}

static void measure_publish(struct making *m)
{
    struct published p;
    double n = (double)m->n;
    int ends[2];

    if (pipe(ends) != 0)
        fail("a pipe", "cannot be made");
    m->out = ends[1];
    apart(publish, m);
    if (read(ends[0], &p, sizeof(p)) != sizeof(p))
        fail("a pipe", "broke");
    close(ends[0]);
    close(ends[1]);
    printf("{\"bench\":\"load\",\"case\":\"publish\",\"n\":%.0f,\"bits\":64,"
           "\"dim\":%d,\"share\":%.3f,\"serving_seconds\":%.1f,"
           "\"seconds\":%.1f,\"resident_bytes_per_code\":%.1f,"
           "\"peak_bytes_per_code\":%.1f,\"peak_mib\":%.1f}\n",
           n, DIM, p.share, p.serving_s, p.all_s, p.loaded / n, p.peak / n,
           p.peak / (1 << 20));
    fflush(stdout);
}

static void run_case(struct making *m)
{
    char command[128];

    snprintf(dir, sizeof(dir), "bench_load.XXXXXX");
    if (mkdtemp(dir) == NULL)
        fail("cannot make a folder", dir);
    apart(create, m);
    apart(fill, m);
    if (m->of->publish) {
        measure_publish(m);
    } else {
        measure(m, false);
        apart(pack, m);
        measure(m, true);
    }
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    if (system(command) != 0)
        fail("a folder is left", dir);
}

int main(int argc, char **argv)
{
    struct making m = {.n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000};

    ak_log_set_level(AK_LOG_WARN);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        m.of = &cases[i];
        if (argc <= 2 || strcmp(argv[2], m.of->name) == 0)
            run_case(&m);
    }
    return 0;
}
