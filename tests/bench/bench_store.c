/*
 * bench_store.c -- rows per second into a collection's file, each batch
 * committed (synchronous=FULL), beside plain SQLite inserts of the same bytes.
 *
 * The plain one is what a careful program would write without us: a row with
 * id, label and vector, one prepared statement, one transaction a batch, WAL.
 * The two take turns, so that a disk that wanders meets both.  `rows_per_s` is
 * up to the last commit; `close_ms` is what copying the log then takes.
 *
 * usage: bench_store [DIR]
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "storage/collection.h"

#define DIM       784
#define ROW_BYTES (DIM * 4)
#define MAX_BATCH 4096
#define REPEATS   3

static const struct {
    size_t batch, rows;
} cases[] = {{1, 500}, {64, 16384}, {256, 60000}, {4096, 60000}};

static uint8_t *block;                   /* MAX_BATCH rows */
static struct ak_bytes names[MAX_BATCH]; /* a label each */
static uint32_t label_first[MAX_BATCH + 1];

static void fail(const char *what, const char *text)
{
    fprintf(stderr, "bench_store: %s: %s\n", what, text);
    exit(1);
}

static void check(enum ak_status status, const struct ak_err *err)
{
    if (status != AK_OK)
        fail(ak_status_name(status), err->text);
}

static void check_sqlite(int rc, sqlite3 *db)
{
    if (rc != SQLITE_OK && rc != SQLITE_DONE)
        fail("sqlite", sqlite3_errmsg(db));
}

struct timing {
    double rows_per_s, close_ms;
};

static double seconds_since(uint64_t from)
{
    return (double)(ak_clock_ns() - from) / 1e9;
}

static struct timing run_store(const char *path, size_t batch, size_t rows)
{
    const struct ak_store_shape shape = {false, ROW_BYTES, 8};
    struct ak_store *store;
    struct ak_err err = {0};
    struct timing timing;
    uint64_t start;

    check(
        ak_store_create(path, &shape, (struct ak_bytes){"{}", 2}, &store, &err),
        &err);
    start = ak_clock_ns();
    for (size_t done = 0; done < rows; done += batch) {
        struct ak_change change = {
            .kind = AK_RECORD_BATCH,
            .rows = {.n = rows - done < batch ? rows - done : batch,
                     .block = block,
                     .labels = names,
                     .label_first = label_first},
        };
        struct ak_receipt receipt;

        check(ak_store_begin(store, &err), &err);
        check(ak_store_apply(store, &change, &receipt, &err), &err);
        check(ak_store_commit(store, &err), &err);
    }
    timing.rows_per_s = (double)rows / seconds_since(start);
    start = ak_clock_ns();
    ak_store_close(store);
    timing.close_ms = seconds_since(start) * 1e3;
    check(ak_store_remove(path, &err), &err);
    return timing;
}

static void exec(sqlite3 *db, const char *sql)
{
    check_sqlite(sqlite3_exec(db, sql, NULL, NULL, NULL), db);
}

static struct timing run_plain(const char *path, size_t batch, size_t rows)
{
    struct ak_err err = {0};
    struct timing timing;
    sqlite3_stmt *insert;
    uint64_t start;
    sqlite3 *db;

    check_sqlite(sqlite3_open(path, &db), db);
    exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
             "PRAGMA cache_size=-16384;"
             "CREATE TABLE items(id INTEGER PRIMARY KEY, label TEXT,"
             " vector BLOB)");
    check_sqlite(sqlite3_prepare_v2(db, "INSERT INTO items VALUES (?, ?, ?)",
                                    -1, &insert, NULL),
                 db);
    start = ak_clock_ns();
    for (size_t done = 0; done < rows; done += batch) {
        size_t n = rows - done < batch ? rows - done : batch;

        exec(db, "BEGIN");
        for (size_t i = 0; i < n; i++) {
            sqlite3_bind_int64(insert, 1, (sqlite3_int64)(done + i));
            sqlite3_bind_text(insert, 2, names[i].data, (int)names[i].len,
                              SQLITE_STATIC);
            sqlite3_bind_blob(insert, 3, block + i * ROW_BYTES, ROW_BYTES,
                              SQLITE_STATIC);
            check_sqlite(sqlite3_step(insert), db);
            sqlite3_reset(insert);
        }
        exec(db, "COMMIT");
    }
    timing.rows_per_s = (double)rows / seconds_since(start);
    start = ak_clock_ns();
    sqlite3_finalize(insert);
    sqlite3_close(db);
    timing.close_ms = seconds_since(start) * 1e3;
    check(ak_store_remove(path, &err), &err);
    return timing;
}

static int by_rate(const void *a, const void *b)
{
    const struct timing *x = a, *y = b;

    return (x->rows_per_s > y->rows_per_s) - (x->rows_per_s < y->rows_per_s);
}

static void print(const char *what, size_t batch, size_t rows,
                  struct timing timings[REPEATS])
{
    qsort(timings, REPEATS, sizeof(timings[0]), by_rate);
    printf("{\"bench\":\"store\",\"case\":\"%s\",\"batch\":%zu,\"rows\":%zu,"
           "\"row_bytes\":%d,\"rows_per_s\":%.0f,\"min\":%.0f,\"max\":%.0f,"
           "\"close_ms\":%.0f}\n",
           what, batch, rows, ROW_BYTES, timings[REPEATS / 2].rows_per_s,
           timings[0].rows_per_s, timings[REPEATS - 1].rows_per_s,
           timings[REPEATS / 2].close_ms);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const char *const classes[] = {
        "boot",   "coat",    "bag",     "shirt",    "dress",
        "sandal", "sneaker", "trouser", "pullover", "t-shirt"};
    char dir[256], path[300];
    struct ak_rng rng;

    snprintf(dir, sizeof(dir), "%s/akin-bench-XXXXXX",
             argc > 1 ? argv[1] : ".");
    if (mkdtemp(dir) == NULL)
        fail("cannot make a folder", dir);
    snprintf(path, sizeof(path), "%s/1.db", dir);
    block = ak_array_new(MAX_BATCH, ROW_BYTES);
    if (block == NULL)
        fail("memory", "too little");
    ak_rng_init(&rng, 1);
    for (size_t i = 0; i < (size_t)MAX_BATCH * DIM; i++) {
        float value = (float)ak_rng_unit(&rng);

        memcpy(block + i * sizeof(value), &value, sizeof(value));
    }
    for (size_t i = 0; i < MAX_BATCH; i++) {
        const char *name = classes[ak_rng_below(&rng, 10)];

        names[i] = (struct ak_bytes){name, strlen(name)};
        label_first[i + 1] = label_first[i] + 1;
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct timing ours[REPEATS], plain[REPEATS];

        for (size_t r = 0; r < REPEATS; r++) {
            ours[r] = run_store(path, cases[i].batch, cases[i].rows);
            plain[r] = run_plain(path, cases[i].batch, cases[i].rows);
        }
        print("ak_store_apply", cases[i].batch, cases[i].rows, ours);
        print("plain", cases[i].batch, cases[i].rows, plain);
    }
    ak_array_free(block);
    rmdir(dir);
    return 0;
}
