/*
 * What the bytes say is done to an index and to a plain array alike; searches
 * give what a loop over the array gives, whatever the kernel, parts and path.
 */
#include <string.h>

#include "core/code/hamming_kernels.h"
#include "core/code/index.h"
#include "core/code/partition_internal.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_ROWS = 400, MAX_LEN = 16, MAX_QUERIES = 5, MAX_STEPS = 64 };

struct row {
    uint8_t code[MAX_LEN];
    uint32_t label;
    bool dead;
};

struct world {
    const uint8_t *at, *end;
    uint32_t len; /* bytes of a code */
    struct ak_index *ix;
    struct row rows[MAX_ROWS], visible[MAX_ROWS];
    size_t n, n_visible;
};

static uint32_t next(struct world *w)
{
    return w->at < w->end ? *w->at++ : 0;
}

/* Few bits differ from zero or from one of few codes, so that ties are many. */
static void read_code(struct world *w, uint8_t *code)
{
    uint32_t form = next(w);

    memset(code, form % 4 == 0 ? 0x5a : 0, w->len);
    for (uint32_t i = 0; i < form / 4 % 8; i++)
        code[next(w) % w->len] ^= (uint8_t)next(w);
}

static void append(struct world *w)
{
    size_t n = next(w) + 1, from = w->n;
    struct ak_id ids[256] = {{0}};
    uint32_t labels[256], first[257] = {0};
    uint8_t codes[256 * MAX_LEN], one[MAX_LEN];

    if (n > MAX_ROWS - w->n)
        n = MAX_ROWS - w->n;
    read_code(w, one);
    for (size_t i = 0; i < n; i++) {
        struct row *row = &w->rows[w->n++];

        *row = (struct row){.label = (uint32_t)(from + i) % 5};
        /* A new one now and then; the input would be long else. */
        if (i % 16 == 0 && next(w) % 2 == 0)
            read_code(w, one);
        else
            one[i % w->len] ^= (uint8_t)(1u << i % 8);
        memcpy(row->code, one, w->len);
        memcpy(codes + i * w->len, one, w->len);
        labels[i] = row->label;
        first[i + 1] = (uint32_t)i + 1;
    }
    FUZZ_CHECK(ak_index_append(w->ix,
                               &(struct ak_index_batch){.n = n,
                                                        .ids = ids,
                                                        .labels = labels,
                                                        .first = first,
                                                        .codes = codes},
                               NULL) == AK_OK);
}

static void kill_row(struct world *w)
{
    size_t row = next(w) * 256 + next(w);

    if (w->n == 0)
        return;
    row %= w->n;
    FUZZ_CHECK(ak_index_kill(w->ix, row, NULL) ==
               (w->rows[row].dead ? AK_ENOTFOUND : AK_OK));
    w->rows[row].dead = true;
}

static void relabel(struct world *w)
{
    size_t row = next(w) * 256 + next(w);

    if (w->n == 0)
        return;
    row %= w->n;
    w->rows[row].label = next(w) % 5;
    FUZZ_CHECK(ak_index_relabel(w->ix, row, &w->rows[row].label, 1, NULL) ==
               AK_OK);
}

static void show(struct world *w)
{
    memcpy(w->visible, w->rows, w->n * sizeof(w->rows[0]));
    w->n_visible = w->n;
}

/* Changes may come between the build and its installation. */
static void partition(struct world *w)
{
    struct ak_snapshot *s = ak_index_snapshot(w->ix);
    const struct ak_partition_params params = {.n_buckets = 1 + next(w) % 20,
                                               .n_sample = 40,
                                               .seed = next(w),
                                               .forced = true};
    struct ak_partition_build *build = NULL;
    bool done = false;

    FUZZ_CHECK(ak_partition_build_create_with(s, &params, &build, NULL) ==
               AK_OK);
    ak_snapshot_drop(s);
    while (!done)
        FUZZ_CHECK(ak_partition_build_step(build, &done, NULL) == AK_OK);
    kill_row(w);
    FUZZ_CHECK(ak_index_partition(w->ix, build, NULL) == AK_OK);
    ak_partition_build_destroy(build);
    show(w);
}

static uint32_t distance(const struct world *w, const uint8_t *a,
                         const uint8_t *b)
{
    uint32_t sum = 0;

    for (uint32_t j = 0; j < 8 * w->len; j++)
        sum += (uint32_t)(a[j / 8] ^ b[j / 8]) >> (j % 8) & 1u;
    return sum;
}

/* Whether hit `b` comes behind `a`. */
static bool follows(const struct ak_hit *a, const struct ak_hit *b)
{
    return b->distance != a->distance ? b->distance > a->distance
                                      : b->ordinal > a->ordinal;
}

/* The hit behind `last` (NULL: the first); false when there is none. */
static bool next_hit(const struct world *w, const struct ak_search *q,
                     const uint8_t *query, const struct ak_hit *last,
                     struct ak_hit *out)
{
    bool found = false;

    for (size_t i = 0; i < w->n_visible; i++) {
        const struct row *row = &w->visible[i];
        struct ak_hit hit = {i, distance(w, row->code, query)};

        if (row->dead || hit.distance > q->max_distance ||
            (q->filter != NULL && row->label != q->filter->must[0].labels[0]) ||
            (last != NULL && !follows(last, &hit)) ||
            (found && !follows(&hit, out)))
            continue;
        *out = hit;
        found = true;
    }
    return found;
}

static void pin(uint32_t i)
{
    const struct ak_hamming_kernel *kernel =
        ak_hamming_kernel_at(i % ak_hamming_n_kernels());

    if (kernel != NULL)
        ak_hamming_pin(kernel);
}

static void search(struct world *w)
{
    static struct ak_hit hits[MAX_QUERIES * 256];
    struct ak_search_result results[MAX_QUERIES];
    uint8_t queries[MAX_QUERIES * MAX_LEN];
    uint32_t label;
    struct ak_condition must = {.labels = &label, .n_labels = 1};
    const struct ak_filter filter = {.must = &must, .n_must = 1};
    struct ak_search q = {.codes = queries, .max_distance = UINT32_MAX};
    struct ak_snapshot *s = ak_index_snapshot(w->ix);
    struct ak_search_job *job = NULL;
    struct ak_hit after = {0};
    uint32_t form = next(w);
    size_t n_parts = 1 + next(w) % 4;

    pin(form / 16);
    q.n = 1 + next(w) % MAX_QUERIES;
    q.limit = 1 + next(w) % 256;
    label = next(w) % 5;
    if (form & 1)
        q.filter = &filter;
    if (form & 2)
        q.max_distance = next(w) % 24;
    if (form & 4) {
        q.paging = true;
        q.after_distance = after.distance = next(w) % 24;
        q.after_ordinal = after.ordinal = next(w);
    }
    for (size_t i = 0; i < q.n; i++)
        read_code(w, queries + i * w->len);
    FUZZ_CHECK(ak_search_job_create(s, &q, n_parts, &job, NULL) == AK_OK);
    for (size_t i = n_parts; i-- > 0;)
        ak_search_job_run(job, i);
    ak_search_job_finish(job, hits, results);
    ak_search_job_destroy(job);
    for (size_t i = 0; i < q.n; i++) {
        struct ak_hit last = after, hit;
        bool begun = q.paging;

        for (size_t h = 0; h < q.limit; h++) {
            bool found = next_hit(w, &q, queries + i * w->len,
                                  begun ? &last : NULL, &hit);

            FUZZ_CHECK(found == (h < results[i].n_hits));
            if (!found)
                break;
            FUZZ_CHECK(hits[i * q.limit + h].ordinal == hit.ordinal);
            FUZZ_CHECK(hits[i * q.limit + h].distance == hit.distance);
            last = hit;
            begun = true;
        }
    }
    ak_snapshot_drop(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;

    memset(&w, 0, sizeof(w));
    w.at = data;
    w.end = data + size;
    w.len = 1 + next(&w) % MAX_LEN;
    FUZZ_CHECK(ak_index_create(8 * w.len, AK_ID_INTEGER, &w.ix, NULL) == AK_OK);
    for (int step = 0; step < MAX_STEPS && w.at < w.end; step++) {
        uint32_t what = next(&w) % 16;

        if (what < 4)
            append(&w);
        else if (what < 6)
            kill_row(&w);
        else if (what < 7)
            relabel(&w);
        else if (what < 9)
            partition(&w);
        else
            search(&w);
        if (what % 2 == 0) {
            FUZZ_CHECK(ak_index_commit(w.ix, NULL) == AK_OK);
            show(&w);
        }
    }
    ak_index_destroy(w.ix);
    ak_hamming_pin(NULL);
    return 0;
}
