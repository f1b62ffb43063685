#include "tests/core/code/world.h"

#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/code/hamming_kernels.h"
#include "core/code/partition_internal.h"

#define MAX_CONDITIONS 2
#define MAX_NAMES      40 /* of labels or ordinals in a condition */

static size_t below(struct world *w, uint64_t n)
{
    return (size_t)ak_rng_below(&w->rng, n);
}

void world_init(struct world *w, uint64_t seed, uint32_t bits,
                enum ak_id_kind ids, uint32_t n_centres)
{
    struct ak_err err = {0};

    memset(w, 0, sizeof(*w));
    ak_rng_init(&w->rng, seed);
    w->bits = bits;
    w->ids = ids;
    w->n_centres = n_centres;
    assert_status(ak_index_create(bits, ids, &w->ix, &err), AK_OK);
}

void world_clear(struct world *w)
{
    ak_index_destroy(w->ix);
    free(w->rows);
}

void world_code(struct world *w, uint8_t *code)
{
    size_t len = ak_code_bytes(w->bits);
    struct ak_rng centre;

    if (w->n_centres == 0) {
        for (size_t b = 0; b < len; b++)
            code[b] = (uint8_t)ak_rng_u64(&w->rng);
        return;
    }
    ak_rng_init(&centre, ak_rng_below(&w->rng, w->n_centres));
    for (size_t b = 0; b < len; b++)
        code[b] = (uint8_t)ak_rng_u64(&centre);
    for (size_t flips = below(w, 4); flips > 0; flips--) {
        size_t bit = below(w, w->bits);

        code[bit / 8] = (uint8_t)(code[bit / 8] ^ 0x80u >> bit % 8);
    }
}

/* Few, so that they meet, and at both ends of the numbers there are. */
uint32_t world_label(struct world *w)
{
    static const uint32_t high[] = {0x7fffffff, 0x80000000, 0xfffffffe,
                                    0xffffffff};

    return below(w, 8) == 0 ? high[below(w, 4)] : (uint32_t)below(w, 12);
}

static void draw_labels(struct world *w, struct world_row *row)
{
    row->n_labels = below(w, 3) == 0 ? below(w, WORLD_LABELS + 1) : 1;
    for (size_t i = 0; i < row->n_labels; i++)
        row->labels[i] = world_label(w);
}

static struct world_row *add_row(struct world *w)
{
    if (w->n == w->cap) {
        w->cap = 2 * w->cap + 16;
        w->rows = realloc(w->rows, w->cap * sizeof(*w->rows));
        assert_non_null(w->rows);
    }
    memset(&w->rows[w->n], 0, sizeof(w->rows[w->n]));
    return &w->rows[w->n++];
}

/* The last `n` rows of the array become a batch. */
static void append_last(struct world *w, size_t n)
{
    const struct world_row *rows = w->rows + w->n - n;
    size_t len = ak_code_bytes(w->bits);
    struct ak_id *ids = calloc(n + 1, sizeof(*ids));
    uint32_t *labels = calloc(n + 1, WORLD_LABELS * sizeof(*labels));
    uint32_t *first = calloc(n + 1, sizeof(*first));
    uint8_t *codes = calloc(n + 1, len);
    bool *dead = calloc(n + 1, sizeof(*dead));
    bool any_dead = false;
    struct ak_err err = {0};

    for (size_t i = 0; i < n; i++) {
        ids[i] = (struct ak_id){.number = rows[i].number,
                                .text = rows[i].text,
                                .len = strlen(rows[i].text)};
        memcpy(labels + first[i], rows[i].labels,
               rows[i].n_labels * sizeof(*labels));
        first[i + 1] = first[i] + (uint32_t)rows[i].n_labels;
        memcpy(codes + i * len, rows[i].code, len);
        dead[i] = rows[i].dead;
        any_dead = any_dead || dead[i];
    }
    assert_status(ak_index_append(
                      w->ix,
                      &(struct ak_index_batch){.n = n,
                                               .ids = ids,
                                               .labels = labels,
                                               .first = first,
                                               .codes = codes,
                                               .dead = any_dead ? dead : NULL},
                      &err),
                  AK_OK);
    assert_int_equal(ak_index_rows(w->ix), w->n);
    free(ids);
    free(labels);
    free(first);
    free(codes);
    free(dead);
}

void world_append(struct world *w, size_t n)
{
    bool some_dead = below(w, 4) == 0;

    for (size_t i = 0; i < n; i++) {
        struct world_row *row = add_row(w);

        row->number = ak_rng_u64(&w->rng);
        if (w->ids == AK_ID_STRING && below(w, 20) > 0)
            snprintf(row->text, sizeof(row->text), "%.*llx",
                     (int)below(w, 20) + 1, (unsigned long long)row->number);
        draw_labels(w, row);
        row->dead = some_dead && below(w, 5) == 0;
        world_code(w, row->code);
    }
    append_last(w, n);
}

static struct world_row *pick(struct world *w, bool alive)
{
    for (int tries = 0; tries < 20 && w->n > 0; tries++) {
        struct world_row *row = &w->rows[below(w, w->n)];

        if (!alive || !row->dead)
            return row;
    }
    return NULL;
}

void world_kill(struct world *w)
{
    struct world_row *row = pick(w, true);
    struct ak_err err = {0};

    if (row == NULL)
        return;
    row->dead = true;
    assert_status(ak_index_kill(w->ix, (uint64_t)(row - w->rows), &err), AK_OK);
    assert_status(ak_index_kill(w->ix, (uint64_t)(row - w->rows), &err),
                  AK_ENOTFOUND);
}

void world_kill_segment(struct world *w)
{
    size_t n = w->n / AK_SEGMENT_ROWS;
    size_t first = n > 0 ? below(w, n) * AK_SEGMENT_ROWS : 0;
    struct ak_err err = {0};

    for (size_t i = first; n > 0 && i < first + AK_SEGMENT_ROWS; i++) {
        if (!w->rows[i].dead)
            assert_status(ak_index_kill(w->ix, i, &err), AK_OK);
        w->rows[i].dead = true;
    }
}

/* Full segment `i` has dead rows only. */
static bool is_all_dead(const struct world *w, size_t i)
{
    size_t row = i * AK_SEGMENT_ROWS, end = row + AK_SEGMENT_ROWS;

    if (end > w->n)
        return false;
    while (row < end && w->rows[row].dead)
        row++;
    return row == end;
}

void world_relabel(struct world *w)
{
    struct world_row *row = pick(w, false);
    struct ak_err err = {0};

    if (row == NULL)
        return;
    draw_labels(w, row);
    assert_status(ak_index_relabel(w->ix, (uint64_t)(row - w->rows),
                                   row->labels, row->n_labels, &err),
                  AK_OK);
}

void world_upsert(struct world *w)
{
    struct world_row *row = pick(w, true), copy;
    struct ak_err err = {0};

    if (row == NULL)
        return;
    copy = *row;
    row->dead = true;
    assert_status(ak_index_kill(w->ix, (uint64_t)(row - w->rows), &err), AK_OK);
    world_code(w, copy.code);
    *add_row(w) = copy;
    append_last(w, 1);
}

void world_install(struct world *w)
{
    size_t len = ak_code_bytes(w->bits), from = 0;
    uint8_t *codes = malloc(w->n * len + 1);
    struct ak_column *column = NULL;
    struct ak_err err = {0};

    assert_status(ak_column_create(w->bits, &column, &err), AK_OK);
    for (size_t i = 0; i < w->n; i++) {
        world_code(w, w->rows[i].code);
        memcpy(codes + i * len, w->rows[i].code, len);
    }
    while (from < w->n) {
        size_t n = 1 + below(w, w->n - from), i = from / AK_SEGMENT_ROWS;

        assert_int_equal(ak_index_all_dead(w->ix, i), is_all_dead(w, i));
        if (from % AK_SEGMENT_ROWS == 0 && is_all_dead(w, i) &&
            below(w, 4) > 0) {
            assert_status(ak_column_append_dead(column, &err), AK_OK);
            from += AK_SEGMENT_ROWS;
            continue;
        }
        if (below(w, 2) == 0 && n > AK_SEGMENT_ROWS - from % AK_SEGMENT_ROWS)
            n = AK_SEGMENT_ROWS - from % AK_SEGMENT_ROWS;
        assert_status(ak_column_append(column, codes + from * len, n, &err),
                      AK_OK);
        from += n;
        assert_int_equal(ak_column_rows(column), from);
    }
    assert_status(ak_index_install(w->ix, column, NULL, ++w->version, &err),
                  AK_OK);
    free(codes);
}

void world_commit(struct world *w)
{
    struct ak_err err = {0};

    assert_status(ak_index_commit(w->ix, &err), AK_OK);
}

/* Of few buckets and many, and used even where it is of no use. */
struct ak_partition_build *world_build(struct world *w)
{
    struct ak_snapshot *s = ak_index_snapshot(w->ix);
    const struct ak_partition_params params = {
        .n_buckets = 1 + below(w, below(w, 4) > 0 ? 5 : 40),
        .n_sample = 50,
        .seed = ak_rng_u64(&w->rng),
        .forced = true};
    struct ak_partition_build *build = NULL;
    struct ak_err err = {0};
    bool done = false;

    assert_status(ak_partition_build_create_with(s, &params, &build, &err),
                  AK_OK);
    ak_snapshot_drop(s);
    while (!done)
        assert_status(ak_partition_build_step(build, &done, &err), AK_OK);
    return build;
}

void world_partition(struct world *w)
{
    struct ak_partition_build *build = world_build(w);
    struct ak_err err = {0};

    assert_status(ak_index_partition(w->ix, build, &err), AK_OK);
    ak_partition_build_destroy(build);
}

void world_copy(const struct world *w, struct world *copy)
{
    *copy = *w;
    copy->ix = NULL;
    copy->rows = malloc((w->n + 1) * sizeof(*copy->rows));
    assert_non_null(copy->rows);
    if (w->n > 0)
        memcpy(copy->rows, w->rows, w->n * sizeof(*copy->rows));
}

void world_check_rows(const struct world *w, const struct ak_snapshot *s)
{
    uint64_t live = 0;

    assert_int_equal(ak_snapshot_rows(s), w->n);
    assert_int_equal(ak_snapshot_version(s), w->version);
    for (size_t i = 0; i < w->n; i++) {
        const struct world_row *row = &w->rows[i];
        struct ak_id id = ak_snapshot_id(s, i);
        uint8_t code[AK_CODE_MAX_BITS / 8];
        const uint32_t *labels = NULL;

        live += !row->dead;
        assert_int_equal(ak_snapshot_alive(s, i), !row->dead);
        if (is_all_dead(w, i / AK_SEGMENT_ROWS))
            continue;
        if (w->ids == AK_ID_INTEGER) {
            assert_int_equal(id.number, row->number);
        } else {
            assert_int_equal(id.len, strlen(row->text));
            assert_memory_equal(id.text, row->text, id.len);
        }
        assert_int_equal(ak_snapshot_labels(s, i, &labels), row->n_labels);
        if (row->n_labels > 0)
            assert_memory_equal(labels, row->labels,
                                row->n_labels * sizeof(*labels));
        ak_snapshot_code(s, i, code);
        assert_memory_equal(code, row->code, ak_code_bytes(w->bits));
    }
    assert_int_equal(ak_snapshot_live(s), live);
}

/* -------------------------------------------------------------- brute force */

/* A filter with the memory that it lends. */
struct random_filter {
    struct ak_filter filter;
    struct ak_condition conditions[3][MAX_CONDITIONS];
    uint32_t labels[3][MAX_CONDITIONS][MAX_NAMES];
    uint64_t ordinals[3][MAX_CONDITIONS][MAX_NAMES];
};

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static size_t draw_conditions(struct world *w, struct random_filter *f,
                              size_t kind, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct ak_condition *c = &f->conditions[kind][i];
        size_t what = below(w, 4);

        *c = (struct ak_condition){.labels = f->labels[kind][i],
                                   .ordinals = f->ordinals[kind][i]};
        if (what != 0) /* a few, or so many that they are searched */
            c->n_labels = below(w, 5) == 0 ? below(w, MAX_NAMES) : below(w, 4);
        if (what == 0 || what == 1)
            c->n_ordinals = below(w, MAX_NAMES);
        for (size_t l = 0; l < c->n_labels; l++)
            f->labels[kind][i][l] = world_label(w);
        for (size_t o = 0; o < c->n_ordinals; o++)
            f->ordinals[kind][i][o] = ak_rng_below(&w->rng, w->n + 3);
        qsort(f->ordinals[kind][i], c->n_ordinals, sizeof(uint64_t),
              compare_u64);
    }
    return n;
}

static void draw_filter(struct world *w, struct random_filter *f)
{
    f->filter.must = f->conditions[0];
    f->filter.should = f->conditions[1];
    f->filter.must_not = f->conditions[2];
    f->filter.n_must =
        draw_conditions(w, f, 0, below(w, 3) == 0 ? below(w, 3) : below(w, 2));
    f->filter.n_should = draw_conditions(w, f, 1, below(w, 3) == 0 ? 2 : 0);
    f->filter.n_must_not = draw_conditions(w, f, 2, below(w, 3) == 0 ? 1 : 0);
}

static bool holds(const struct world *w, const struct ak_condition *c, size_t i)
{
    for (size_t o = 0; o < c->n_ordinals; o++)
        if (c->ordinals[o] == i)
            return true;
    for (size_t l = 0; l < c->n_labels; l++)
        for (size_t m = 0; m < w->rows[i].n_labels; m++)
            if (c->labels[l] == w->rows[i].labels[m])
                return true;
    return false;
}

static bool passes(const struct world *w, const struct ak_filter *f, size_t i)
{
    bool should = false;

    if (w->rows[i].dead)
        return false;
    if (f == NULL)
        return true;
    for (size_t c = 0; c < f->n_must; c++)
        if (!holds(w, &f->must[c], i))
            return false;
    for (size_t c = 0; c < f->n_must_not; c++)
        if (holds(w, &f->must_not[c], i))
            return false;
    for (size_t c = 0; c < f->n_should; c++)
        should = should || holds(w, &f->should[c], i);
    return should || f->n_should == 0;
}

/* By a table of bytes, which is obvious enough, and not too slow. */
static uint32_t distance(const uint8_t *a, const uint8_t *b, size_t len)
{
    static uint8_t ones[256];
    uint32_t sum = 0;

    if (ones[1] == 0)
        for (size_t i = 1; i < 256; i++)
            ones[i] = (uint8_t)(ones[i / 2] + i % 2);
    for (size_t i = 0; i < len; i++)
        sum += ones[a[i] ^ b[i]];
    return sum;
}

static int compare_hits(const void *a, const void *b)
{
    const struct ak_hit *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

/* All hits of a query in order, without the limit; `hits` has room for all. */
static size_t brute_force(const struct world *w, const struct ak_search *search,
                          const uint8_t *query, const bool *pass,
                          struct ak_hit *hits)
{
    const struct ak_hit after = {search->after_ordinal, search->after_distance};
    size_t n = 0;

    for (size_t i = 0; i < w->n; i++) {
        struct ak_hit hit = {i, 0};

        if (!pass[i])
            continue;
        hit.distance = distance(query, w->rows[i].code, ak_code_bytes(w->bits));
        if (hit.distance > search->max_distance)
            continue;
        if (search->paging && compare_hits(&hit, &after) <= 0)
            continue;
        hits[n++] = hit;
    }
    qsort(hits, n, sizeof(*hits), compare_hits);
    return n;
}

static void pin_some_kernel(struct world *w)
{
    const struct ak_hamming_kernel *kernel;

    do
        kernel = ak_hamming_kernel_at(below(w, ak_hamming_n_kernels()));
    while (kernel == NULL);
    ak_hamming_pin(kernel);
}

/* In one go, or in parts in any order. */
static void run_search(struct world *w, const struct ak_snapshot *s,
                       const struct ak_search *search, struct ak_hit *hits,
                       struct ak_search_result *results)
{
    enum { MAX_PARTS = 5 };
    size_t n_parts = 1 + below(w, MAX_PARTS), first = below(w, n_parts);
    struct ak_search_job *job = NULL;
    struct ak_err err = {0};

    if (below(w, 2) == 0) {
        assert_status(ak_snapshot_search(s, search, hits, results, &err),
                      AK_OK);
        return;
    }
    assert_status(ak_search_job_create(s, search, n_parts, &job, &err), AK_OK);
    for (size_t i = 0; i < n_parts; i++)
        ak_search_job_run(job, (first + i) % n_parts);
    ak_search_job_finish(job, hits, results);
    ak_search_job_destroy(job);
}

void world_check_search(struct world *w, const struct ak_snapshot *s)
{
    static const size_t batches[] = {1, 1, 1, 1, 2, 3, 7, 40};
    size_t len = ak_code_bytes(w->bits);
    struct random_filter f;
    struct ak_search search = {.n = batches[below(w, 8)],
                               .max_distance = UINT32_MAX};
    uint8_t *queries = malloc(search.n * len);
    struct ak_hit *hits, *expected = malloc((w->n + 1) * sizeof(*expected));
    struct ak_search_result results[40];
    bool *pass = malloc(w->n + 1);
    uint64_t n_pass = 0;

    search.codes = queries;
    search.limit =
        1 + (below(w, 4) == 0 ? below(w, 2 * w->n + 1) : below(w, 12));
    for (size_t i = 0; i < search.n; i++)
        world_code(w, queries + i * len);
    if (below(w, 3) == 0)
        search.max_distance = (uint32_t)below(w, w->bits + 2);
    if (below(w, 3) == 0) {
        search.paging = true;
        search.after_distance = (uint32_t)below(w, w->bits / 2 + 1);
        search.after_ordinal = below(w, w->n + 2);
    }
    if (below(w, 2) == 0) {
        draw_filter(w, &f);
        search.filter = &f.filter;
    }
    pin_some_kernel(w);
    hits = malloc(search.n * search.limit * sizeof(*hits));
    run_search(w, s, &search, hits, results);
    for (size_t i = 0; i < w->n; i++) {
        pass[i] = passes(w, search.filter, i);
        n_pass += pass[i];
    }
    for (size_t i = 0; i < search.n; i++) {
        size_t n = brute_force(w, &search, queries + i * len, pass, expected);

        if (n > search.limit)
            n = search.limit;
        assert_true(results[i].complete);
        assert_int_equal(results[i].searched, n_pass);
        assert_int_equal(results[i].n_hits, n);
        for (size_t h = 0; h < n; h++) {
            assert_int_equal(hits[i * search.limit + h].ordinal,
                             expected[h].ordinal);
            assert_int_equal(hits[i * search.limit + h].distance,
                             expected[h].distance);
        }
    }
    free(pass);
    free(hits);
    free(expected);
    free(queries);
}

void world_check_next(struct world *w, const struct ak_snapshot *s)
{
    const struct ak_filter *filter = NULL;
    struct random_filter f;
    uint64_t at = 0;

    if (below(w, 4) > 0) {
        draw_filter(w, &f);
        filter = &f.filter;
    }
    for (size_t i = 0; i < w->n; i++) {
        if (!passes(w, filter, i))
            continue;
        at = ak_snapshot_next(s, at, filter);
        assert_int_equal(at, i);
        at++;
    }
    assert_int_equal(ak_snapshot_next(s, at, filter), w->n);
    assert_int_equal(ak_snapshot_next(s, w->n, filter), w->n);
}
