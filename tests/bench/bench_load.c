/*
 * bench_load -- how long a collection takes from its file into memory, by the
 * table of rows and by packed rows: one line of JSON a case.
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
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "server/engine_internal.h"
#include "server/log.h"

enum { REPEATS = 3, MOST_BATCH = 4096, LABELS = 10, PATH_LEN = 256 };

#define NAME "codes"

static const struct load_case {
    const char *name;
    size_t batch;
    bool mixed;
} cases[] = {
    {"plain", 4096, false}, {"short", 50, false}, {"mixed", 4096, true}};

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
    struct ak_settings_error why = {0};
    struct ak_settings settings;
    struct ak_engine *e;
    json_t *text =
        json_pack("{s:{s:s}, s:i}", "model", "kind", "external", "bits", 64);

    (void)arg;
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

static void run_case(const struct making *m)
{
    char command[128];

    snprintf(dir, sizeof(dir), "bench_load.XXXXXX");
    if (mkdtemp(dir) == NULL)
        fail("cannot make a folder", dir);
    apart(create, NULL);
    apart(fill, (void *)(uintptr_t)m);
    measure(m, false);
    apart(pack, (void *)(uintptr_t)m);
    measure(m, true);
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
