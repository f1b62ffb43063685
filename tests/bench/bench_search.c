/*
 * bench_search -- exact search beside its limits and beside other libraries.
 *
 *     bench_search [--OPTION LIST]...
 *
 * Every combination of the options' values is a case; `--help` lists them.  All
 * cases of one set of codes are measured in turns, as a machine that is shared
 * with others drifts, together with the limits of search_limits.h and with peers
 * (search_peer.h).  One line of JSON a case:
 *
 * - path: "scan" goes through all rows, "partition" as partition.h says, which is
 *   the same if the index found it to be of no use (`kept` is false then);
 * - ms_per_query: the median of the repeats, of which ratios are; ms_best: the
 *   shortest.  With one thread it is that thread's time on a processor, with more
 *   the time on the wall;
 * - limit_ms: of a scan;
 * - for each peer, its median, and the share of the distances that it found.
 *
 * `--table FILE` writes a Markdown table of the same.
 */
#include "config.h"

#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/code/hamming_kernels.h"
#include "core/code/index.h"
#include "core/code/pages.h"
#include "core/code/partition.h"
#include "tests/bench/search_data.h"
#include "tests/bench/search_limits.h"
#include "tests/bench/search_peer.h"

#define MAX_LIST    16
#define MAX_REPEATS 101
#define MAX_THREADS 16
#define MAX_CASES   256
#define MAX_PEERS   4
#define QUERIES     256
#define CHUNK       10000
#define MIN_NS      30000000 /* of one measurement: calls are repeated to it */
#define WARM_NS \
    100000000 /* before it: a cache keeps a part of a larger set
                                 that is read again and again, but not at once */

struct options {
    size_t n[MAX_LIST], bits[MAX_LIST], k[MAX_LIST], batch[MAX_LIST];
    size_t threads[MAX_LIST];
    size_t n_n, n_bits, n_k, n_batch, n_threads;
    const char *data[MAX_LIST], *isa[MAX_LIST], *peers[MAX_LIST];
    size_t n_data, n_isa, n_peers;
    size_t repeats;
    FILE *table;
};

/* What is measured side by side: times in ms, of a query or of a call. */
struct series {
    double ms[MAX_REPEATS];
    double median, best;
};

struct bench_case {
    size_t k, batch, threads;
    const char *isa;
    bool partition;
    struct series time;
    struct series peer[MAX_PEERS];
    double recall[MAX_PEERS];
};

struct bench {
    const struct options *o;
    const char *data;
    size_t n, bits;
    uint8_t *codes, *queries;
    struct ak_snapshot *scan, *partition;
    struct ak_partition_info info;
    double build_ms;
    struct peer *peers[MAX_PEERS];
    uint64_t *bytes; /* as many as the codes, to be read */
    size_t len;
    struct series read[MAX_THREADS + 1], compare[MAX_LIST];
    struct bench_case cases[MAX_CASES];
    size_t n_cases;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_search: %s\n", what);
    exit(1);
}

/* ------------------------------------------------------------------- threads */

/* Threads that wait for work, as a server has them. */
typedef void work_fn(void *context, size_t part);
static struct {
    pthread_mutex_t lock;
    pthread_cond_t begin, end;
    work_fn *work;
    void *context;
    size_t next, n, running;
    size_t n_threads;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .begin = PTHREAD_COND_INITIALIZER,
          .end = PTHREAD_COND_INITIALIZER};

/* Takes parts until there are none; holds the lock in between. */
static void take_parts(void)
{
    while (pool.next < pool.n) {
        size_t part = pool.next++;

        pool.running++;
        pthread_mutex_unlock(&pool.lock);
        pool.work(pool.context, part);
        pthread_mutex_lock(&pool.lock);
        pool.running--;
    }
}

static void *serve(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        take_parts();
        if (pool.running == 0)
            pthread_cond_signal(&pool.end);
        pthread_cond_wait(&pool.begin, &pool.lock);
    }
    return NULL;
}

/* Parts 0..n on this thread and others. */
static void run_parts(work_fn *work, void *context, size_t n)
{
    pthread_mutex_lock(&pool.lock);
    for (; pool.n_threads + 1 < n; pool.n_threads++) {
        pthread_t thread;

        must(pthread_create(&thread, NULL, serve, NULL) == 0, "no thread");
        pthread_detach(thread);
    }
    pool.work = work;
    pool.context = context;
    pool.next = 0;
    pool.n = n;
    if (n > 1)
        pthread_cond_broadcast(&pool.begin);
    take_parts();
    while (pool.running > 0)
        pthread_cond_wait(&pool.end, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

/* -------------------------------------------------------------- measurements */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void summarize(struct series *s, size_t n)
{
    qsort(s->ms, n, sizeof(s->ms[0]), compare_doubles);
    s->median = s->ms[n / 2];
    s->best = s->ms[0];
}

/* With one thread, its time on a processor: others may run there too. */
static uint64_t now_ns(size_t threads)
{
    struct timespec t;

    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static double ms_since(uint64_t start, size_t threads)
{
    return (double)(now_ns(threads) - start) * 1e-6;
}

struct reading {
    const uint64_t *bytes;
    size_t len, parts;
};

static void read_part(void *context, size_t part)
{
    const struct reading *r = context;
    size_t lines = r->len / 64, from = lines * part / r->parts;
    size_t to = lines * (part + 1) / r->parts;
    static _Thread_local volatile uint64_t digest;

    digest = limit_read(r->bytes + from * 8, (to - from) * 64);
    (void)digest;
}

static double read_ms(const struct bench *b, size_t threads)
{
    struct reading r = {b->bytes, b->len, threads};
    uint64_t start;
    size_t calls = 0;

    start = now_ns(threads);
    do
        run_parts(read_part, &r, threads);
    while (now_ns(threads) - start < WARM_NS);
    start = now_ns(threads);
    do {
        run_parts(read_part, &r, threads);
        calls++;
    } while (now_ns(threads) - start < MIN_NS);
    return ms_since(start, threads) / (double)calls;
}

/* To compare all words of the codes with one query, if the rest is free. */
static double compare_ms(const struct bench *b, const char *isa)
{
    static volatile uint64_t digest;
    const size_t words = 1 << 22;
    uint64_t start = now_ns(1);

    digest = limit_compare(isa, words);
    (void)digest;
    return ms_since(start, 1) / (4 * (double)words) * (double)b->len / 8;
}

static void run_part(void *context, size_t part)
{
    ak_search_job_run(context, part);
}

static void search(const struct ak_snapshot *s, const struct ak_search *q,
                   size_t threads, struct ak_hit *hits,
                   struct ak_search_result *results)
{
    struct ak_search_job *job = NULL;

    must(ak_search_job_create(s, q, ak_search_parts(s, q, threads), &job,
                              NULL) == AK_OK,
         "no memory to search");
    run_parts(run_part, job, ak_search_parts(s, q, threads));
    ak_search_job_finish(job, hits, results);
    ak_search_job_destroy(job);
}

/* Hits of all queries with one k, for comparison. */
static struct ak_hit *hits, *expected;
static struct ak_search_result results[QUERIES];

static void search_some(const struct bench *b, const struct bench_case *c,
                        size_t first)
{
    const struct ak_search q = {.codes = b->queries + first * (b->bits / 8),
                                .n = c->batch,
                                .limit = c->k,
                                .max_distance = UINT32_MAX};

    search(c->partition ? b->partition : b->scan, &q, c->threads, hits,
           results);
}

static double search_ms(const struct bench *b, const struct bench_case *c)
{
    size_t per_look = c->partition && c->batch == 1 ? QUERIES : 1;
    size_t at = 0, calls = 0;
    uint64_t start;

    start = now_ns(c->threads);
    do {
        search_some(b, c, at);
        at = at + 2 * c->batch <= QUERIES ? at + c->batch : 0;
    } while (now_ns(c->threads) - start < WARM_NS);
    at = 0;
    start = now_ns(c->threads);
    do {
        search_some(b, c, at);
        at = at + 2 * c->batch <= QUERIES ? at + c->batch : 0;
        calls++;
        /* To ask for the time costs as much as a part of a short search. */
    } while (calls % per_look != 0 || now_ns(c->threads) - start < MIN_NS);
    return ms_since(start, c->threads) / (double)(calls * c->batch);
}

static double peer_ms(const struct bench *b, const struct bench_case *c,
                      struct peer *p)
{
    static int32_t *distances;
    size_t len = b->bits / 8, at = 0, calls = 0;
    uint64_t start;

    distances = realloc(distances, QUERIES * c->k * sizeof(*distances));
    must(distances != NULL, "no memory");
    peer_search(p, b->queries, c->batch, c->k, (int)c->threads, distances);
    start = now_ns(c->threads);
    do {
        peer_search(p, b->queries + at * len, c->batch, c->k, (int)c->threads,
                    distances);
        at = at + 2 * c->batch <= QUERIES ? at + c->batch : 0;
        calls++;
    } while (now_ns(c->threads) - start < MIN_NS);
    return ms_since(start, c->threads) / (double)(calls * c->batch);
}

/* The share of the k smallest distances that a peer found. */
static double recall_of(const struct bench *b, const struct bench_case *c,
                        struct peer *p)
{
    int32_t *found = malloc(QUERIES * c->k * sizeof(*found));
    const struct ak_search q = {.codes = b->queries,
                                .n = QUERIES,
                                .limit = c->k,
                                .max_distance = UINT32_MAX};
    size_t good = 0, all = 0;

    must(found != NULL, "no memory");
    search(b->scan, &q, 1, expected, results);
    peer_search(p, b->queries, QUERIES, c->k, (int)c->threads, found);
    for (size_t i = 0; i < QUERIES; i++) {
        const struct ak_hit *ours = expected + i * c->k;
        uint32_t last = ours[results[i].n_hits - 1].distance;

        all += results[i].n_hits;
        for (size_t h = 0; h < c->k; h++)
            good += found[i * c->k + h] <= (int32_t)last;
    }
    free(found);
    return (double)good / (double)all;
}

/* Every path gives the same hits, or there is nothing to measure. */
static void check_paths(const struct bench *b, size_t k)
{
    const struct ak_search q = {.codes = b->queries,
                                .n = QUERIES,
                                .limit = k,
                                .max_distance = UINT32_MAX};

    search(b->scan, &q, 1, expected, results);
    search(b->partition, &q, 1, hits, results);
    for (size_t i = 0; i < QUERIES; i++)
        for (size_t h = i * k; h < i * k + results[i].n_hits; h++)
            must(hits[h].ordinal == expected[h].ordinal &&
                     hits[h].distance == expected[h].distance,
                 "the partition gives other hits than the scan");
}

/* ------------------------------------------------------------------ one index */

static struct ak_index *make_index(struct bench *b)
{
    size_t len = b->bits / 8;
    struct ak_id *ids = ak_array_new(CHUNK, sizeof(*ids));
    struct ak_index *ix = NULL;

    must(ids != NULL && ak_index_create((uint32_t)b->bits, AK_ID_INTEGER, &ix,
                                        NULL) == AK_OK,
         "no memory for an index");
    for (size_t from = 0; from < b->n; from += CHUNK) {
        const struct ak_index_batch batch = {
            .n = b->n - from < CHUNK ? b->n - from : CHUNK,
            .ids = ids,
            .codes = b->codes + from * len};

        for (size_t i = 0; i < batch.n; i++)
            ids[i].number = from + i;
        must(ak_index_append(ix, &batch, NULL) == AK_OK,
             "no memory for an index");
    }
    must(ak_index_commit(ix, NULL) == AK_OK, "no memory for an index");
    ak_array_free(ids);
    return ix;
}

static void make_partition(struct bench *b, struct ak_index *ix)
{
    struct ak_partition_build *build = NULL;
    uint64_t start = now_ns(1);
    bool done = false;

    must(ak_partition_build_create(b->scan, &build, NULL) == AK_OK,
         "no memory for a partition");
    while (!done)
        must(ak_partition_build_step(build, &done, NULL) == AK_OK,
             "no memory for a partition");
    b->build_ms = ms_since(start, 1);
    must(ak_index_partition(ix, build, NULL) == AK_OK,
         "no memory for a partition");
    ak_partition_build_destroy(build);
    b->partition = ak_index_snapshot(ix);
    ak_snapshot_partition_info(b->partition, &b->info);
}

static void list_cases(struct bench *b)
{
    const struct options *o = b->o;

    b->n_cases = 0;
    for (size_t i = 0; i < o->n_isa; i++)
        for (size_t k = 0; k < o->n_k; k++)
            for (size_t q = 0; q < o->n_batch; q++)
                for (size_t t = 0; t < o->n_threads; t++)
                    for (int p = 0; p < 2; p++) {
                        must(b->n_cases < MAX_CASES, "too many cases");
                        b->cases[b->n_cases++] =
                            (struct bench_case){.k = o->k[k],
                                                .batch = o->batch[q],
                                                .threads = o->threads[t],
                                                .isa = o->isa[i],
                                                .partition = p == 1};
                    }
}

static void pin(const char *isa)
{
    for (size_t i = 0; i < ak_hamming_n_kernels(); i++)
        if (ak_hamming_kernel_at(i) != NULL &&
            strcmp(ak_hamming_kernel_at(i)->isa, isa) == 0)
            ak_hamming_pin(ak_hamming_kernel_at(i));
}

static void measure(struct bench *b)
{
    const struct options *o = b->o;

    for (size_t r = 0; r < o->repeats; r++) {
        for (size_t t = 0; t < o->n_threads; t++)
            b->read[o->threads[t]].ms[r] = read_ms(b, o->threads[t]);
        for (size_t i = 0; i < o->n_isa; i++)
            b->compare[i].ms[r] = compare_ms(b, o->isa[i]);
        for (size_t i = 0; i < b->n_cases; i++) {
            struct bench_case *c = &b->cases[i];

            pin(c->isa);
            c->time.ms[r] = search_ms(b, c);
            for (size_t p = 0; p < MAX_PEERS; p++)
                if (b->peers[p] != NULL && !c->partition)
                    c->peer[p].ms[r] = peer_ms(b, c, b->peers[p]);
        }
    }
    for (size_t t = 0; t < o->n_threads; t++)
        summarize(&b->read[o->threads[t]], o->repeats);
    for (size_t i = 0; i < o->n_isa; i++)
        summarize(&b->compare[i], o->repeats);
    for (size_t i = 0; i < b->n_cases; i++) {
        struct bench_case *c = &b->cases[i];

        summarize(&c->time, o->repeats);
        for (size_t p = 0; p < MAX_PEERS; p++)
            if (b->peers[p] != NULL && !c->partition)
                summarize(&c->peer[p], o->repeats);
    }
}

/* ---------------------------------------------------------------------- output */

static double limit_ms(const struct bench *b, const struct bench_case *c)
{
    double read = b->read[c->threads].median / (double)c->batch, compare = 0;

    for (size_t i = 0; i < b->o->n_isa; i++)
        if (strcmp(b->o->isa[i], c->isa) == 0)
            compare = b->compare[i].median / (double)c->threads;
    return read > compare ? read : compare;
}

static void print_table_head(FILE *to)
{
    fprintf(to, "| data | n | bits | k | batch | threads | path | ms | limit "
                "ms | of limit | x scan |");
    for (size_t p = 0; peer_name(p) != NULL; p++)
        fprintf(to, " x %s (recall) |", peer_name(p));
    fprintf(to, "\n|---|---|---|---|---|---|---|---|---|---|---|");
    for (size_t p = 0; peer_name(p) != NULL; p++)
        fprintf(to, "---|");
    fputc('\n', to);
}

/* A case through a partition comes behind the same of a scan. */
static void print_row(FILE *to, const struct bench *b,
                      const struct bench_case *c)
{
    const struct bench_case *scan = c->partition ? c - 1 : c;
    double ms = c->time.median, limit = limit_ms(b, c);

    fprintf(to, "| %s | %zu | %zu | %zu | %zu | %zu | %s %s | %.5f | %.5f |",
            b->data, b->n, b->bits, c->k, c->batch, c->threads, c->isa,
            !c->partition      ? "scan"
            : b->info.rows > 0 ? "partition"
                               : "partition (not kept)",
            ms, limit);
    if (c->partition)
        fprintf(to, " | %.2f |", scan->time.median / ms);
    else
        fprintf(to, " %.2f | 1 |", limit / ms);
    for (size_t p = 0; peer_name(p) != NULL; p++) {
        if (b->peers[p] == NULL)
            fprintf(to, " |");
        else
            fprintf(to, " %.1f (%.2f) |", scan->peer[p].median / ms,
                    scan->recall[p]);
    }
    fputc('\n', to);
    fflush(to);
}

static void print_json(const struct bench *b, const struct bench_case *c)
{
    const struct bench_case *scan = c->partition ? c - 1 : c;

    printf("{\"data\":\"%s\",\"n\":%zu,\"bits\":%zu,\"k\":%zu,\"batch\":%zu,"
           "\"threads\":%zu,\"path\":\"%s\",\"isa\":\"%s\","
           "\"ms_per_query\":%.6f,\"ms_best\":%.6f,\"limit_ms\":%.6f",
           b->data, b->n, b->bits, c->k, c->batch, c->threads,
           c->partition ? "partition" : "scan", c->isa, c->time.median,
           c->time.best, limit_ms(b, c));
    if (c->partition)
        printf(",\"kept\":%s,\"share\":%.4f,\"build_ms\":%.0f,"
               "\"bytes_per_code\":%.1f",
               b->info.rows > 0 ? "true" : "false", b->info.share, b->build_ms,
               (double)ak_snapshot_bytes(b->partition) / (double)b->n);
    for (size_t p = 0; peer_name(p) != NULL; p++)
        if (b->peers[p] != NULL)
            printf(",\"%s_ms\":%.6f,\"%s_recall\":%.3f", peer_name(p),
                   scan->peer[p].median, peer_name(p), scan->recall[p]);
    printf("}\n");
    fflush(stdout);
}

static void run(const struct options *o, const char *data, size_t n,
                size_t bits)
{
    static struct bench b;
    struct ak_index *ix;

    memset(&b, 0, sizeof(b));
    b.o = o;
    b.data = data;
    b.n = n;
    b.bits = bits;
    b.codes = ak_pages_new(n * bits / 8);
    b.queries = ak_array_new(QUERIES, bits / 8);
    must(b.codes != NULL && b.queries != NULL, "no memory for codes");
    if (!bench_codes(data, (uint32_t)bits, n, b.codes, QUERIES, b.queries)) {
        fprintf(stderr, "bench_search: there is no %s here\n", data);
        goto out;
    }
    ix = make_index(&b);
    b.scan = ak_index_snapshot(ix);
    make_partition(&b, ix);
    b.len = (n + 7) / 8 * 64 * ((bits + 63) / 64);
    b.bytes = ak_pages_new(b.len);
    must(b.bytes != NULL, "no memory to read");
    memset(b.bytes, 1, b.len);
    list_cases(&b);
    for (size_t k = 0; k < o->n_k; k++)
        check_paths(&b, o->k[k]);
    for (size_t p = 0; peer_name(p) != NULL; p++)
        for (size_t i = 0; i < o->n_peers; i++)
            if (strcmp(o->peers[i], peer_name(p)) == 0)
                b.peers[p] = peer_create(p, (uint32_t)bits, n, b.codes);
    for (size_t i = 0; i < b.n_cases; i++)
        for (size_t p = 0; p < MAX_PEERS; p++)
            if (b.peers[p] != NULL && !b.cases[i].partition)
                b.cases[i].recall[p] = recall_of(&b, &b.cases[i], b.peers[p]);
    measure(&b);
    for (size_t i = 0; i < b.n_cases; i++) {
        print_json(&b, &b.cases[i]);
        if (o->table != NULL)
            print_row(o->table, &b, &b.cases[i]);
    }
    for (size_t p = 0; p < MAX_PEERS; p++)
        peer_destroy(b.peers[p]);
    ak_pages_free(b.bytes, b.len);
    ak_snapshot_drop(b.scan);
    ak_snapshot_drop(b.partition);
    ak_index_destroy(ix);
out:
    ak_array_free(b.queries);
    ak_pages_free(b.codes, n * bits / 8);
}

/* --------------------------------------------------------------------- options */

static size_t split_words(char *list, const char **words)
{
    size_t n = 0;

    for (char *w = strtok(list, ","); w != NULL; w = strtok(NULL, ",")) {
        must(n < MAX_LIST, "the list is too long");
        words[n++] = w;
    }
    return n;
}

static size_t split_numbers(char *list, size_t min, size_t max, size_t *numbers)
{
    const char *words[MAX_LIST];
    size_t n = split_words(list, words);

    for (size_t i = 0; i < n; i++) {
        char *end;
        unsigned long value = strtoul(words[i], &end, 10);

        if (*end != '\0' || value < min || value > max) {
            fprintf(stderr, "bench_search: %s must be %zu..%zu\n", words[i],
                    min, max);
            exit(2);
        }
        numbers[i] = value;
    }
    return n;
}

static void help(void)
{
    puts("usage: bench_search [--OPTION LIST]...\n"
         "  --data     random,clustered-P (per cent of bits flipped),\n"
         "             mnist-METHOD,fashion-METHOD\n"
         "  --n        codes\n"
         "  --bits     bits of a code\n"
         "  --k        hits wanted\n"
         "  --batch    queries of a search, 1..256\n"
         "  --threads  of a search\n"
         "  --isa      kernels; the best one if not given\n"
         "  --peers    what else to measure, or none:");
    for (size_t p = 0; peer_name(p) != NULL; p++)
        printf("             %s\n", peer_name(p));
    puts("  --repeats  of every measurement\n"
         "  --table    file for a Markdown table");
}

static char *copy_of(const char *text)
{
    char *copy = strdup(text);

    must(copy != NULL, "no memory");
    return copy;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"data", 1, NULL, 'd'},    {"n", 1, NULL, 'n'},
        {"bits", 1, NULL, 'b'},    {"k", 1, NULL, 'k'},
        {"batch", 1, NULL, 'q'},   {"threads", 1, NULL, 't'},
        {"isa", 1, NULL, 'i'},     {"peers", 1, NULL, 'p'},
        {"repeats", 1, NULL, 'r'}, {"table", 1, NULL, 'o'},
        {"help", 0, NULL, 'h'},    {NULL, 0, NULL, 0}};
    struct options o = {.repeats = 11};
    size_t max_k = 0, repeats[MAX_LIST];
    int c;

    o.n_data = split_words(copy_of("random,clustered-5"), o.data);
    o.n_n = split_numbers(copy_of("100000,1000000"), 1, SIZE_MAX, o.n);
    o.n_bits = split_numbers(copy_of("64,128,256"), 64, 1024, o.bits);
    o.n_k = split_numbers(copy_of("10"), 1, SIZE_MAX, o.k);
    o.n_batch = split_numbers(copy_of("1,256"), 1, QUERIES, o.batch);
    o.n_threads = split_numbers(copy_of("1"), 1, MAX_THREADS, o.threads);
    o.isa[o.n_isa++] = ak_hamming_kernel()->isa;
    if (peer_name(0) != NULL)
        o.peers[o.n_peers++] = peer_name(0);
    while ((c = getopt_long(argc, argv, "h", names, NULL)) != -1) {
        char *list = optarg != NULL ? copy_of(optarg) : NULL;

        if (c == 'd')
            o.n_data = split_words(list, o.data);
        else if (c == 'n')
            o.n_n = split_numbers(list, 1000, 1000000000, o.n);
        else if (c == 'b')
            o.n_bits = split_numbers(list, 8, 1024, o.bits);
        else if (c == 'k')
            o.n_k = split_numbers(list, 1, 10000, o.k);
        else if (c == 'q')
            o.n_batch = split_numbers(list, 1, QUERIES, o.batch);
        else if (c == 't')
            o.n_threads = split_numbers(list, 1, MAX_THREADS, o.threads);
        else if (c == 'i')
            o.n_isa = split_words(list, o.isa);
        else if (c == 'p')
            o.n_peers = split_words(list, o.peers);
        else if (c == 'r' && split_numbers(list, 1, MAX_REPEATS, repeats) == 1)
            o.repeats = repeats[0];
        else if (c == 'o')
            must((o.table = fopen(optarg, "w")) != NULL,
                 "the table cannot be written");
        else {
            help();
            return c == 'h' ? 0 : 2;
        }
    }
    for (size_t i = 0; i < o.n_k; i++)
        max_k = o.k[i] > max_k ? o.k[i] : max_k;
    hits = ak_array_new(QUERIES * max_k, sizeof(*hits));
    expected = ak_array_new(QUERIES * max_k, sizeof(*expected));
    must(hits != NULL && expected != NULL, "no memory for hits");
    if (o.table != NULL)
        print_table_head(o.table);
    for (size_t d = 0; d < o.n_data; d++)
        for (size_t n = 0; n < o.n_n; n++)
            for (size_t b = 0; b < o.n_bits; b++)
                run(&o, o.data[d], o.n[n], o.bits[b]);
    if (o.table != NULL)
        fclose(o.table);
    ak_array_free(hits);
    ak_array_free(expected);
    return 0;
}
