#include "tests/test.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/code/hamming_kernels.h"
#include "tests/core/code/world.h"

#define WORLDS          250
#define SEARCHES        40 /* of a world: 10,000 in all */
#define CHANGES_BETWEEN 3

static uint32_t some_bits(struct ak_rng *rng)
{
    static const uint32_t usual[] = {8, 16, 32, 64, 64, 64, 96, 128, 256, 1024};

    if (ak_rng_below(rng, 3) == 0)
        return 8 + 8 * (uint32_t)ak_rng_below(rng, 128);
    return usual[ak_rng_below(rng, sizeof(usual) / sizeof(usual[0]))];
}

/* Mostly small, sometimes over several segments. */
static size_t some_rows(struct ak_rng *rng)
{
    uint64_t size = ak_rng_below(rng, 300);

    if (size == 0)
        return 4000 + (size_t)ak_rng_below(rng, 5000);
    return (size_t)ak_rng_below(rng, size < 200 ? 12 : 100);
}

static void change(struct world *w, struct ak_rng *rng)
{
    switch (ak_rng_below(rng, 15)) {
    case 0:
    case 1:
    case 2:
        world_append(w, some_rows(rng));
        break;
    case 3:
    case 4:
    case 5:
        world_kill(w);
        break;
    case 6:
    case 7:
    case 8:
        world_relabel(w);
        break;
    case 9:
    case 10:
        world_upsert(w);
        break;
    case 11:
    case 12:
        world_partition(w);
        break;
    case 13:
        world_kill_segment(w);
        break;
    default:
        world_install(w);
        break;
    }
}

static void search_equals_brute_force_in_10000_random_cases(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 20);
    for (uint64_t seed = 0; seed < WORLDS; seed += test_stride()) {
        struct ak_snapshot *held = NULL;
        struct world w, then;

        world_init(&w, seed, some_bits(&rng),
                   seed % 3 == 0 ? AK_ID_STRING : AK_ID_INTEGER,
                   (uint32_t)ak_rng_below(&rng, 6));
        world_append(&w, some_rows(&rng));
        for (int round = 0; round < SEARCHES; round++) {
            struct ak_snapshot *s;

            for (int i = 0; i < CHANGES_BETWEEN; i++)
                change(&w, &rng);
            world_commit(&w);
            s = ak_index_snapshot(w.ix);
            if (round % 10 == 0) {
                world_check_rows(&w, s);
                world_check_next(&w, s);
            }
            world_check_search(&w, s);
            /* One from the middle, to see whether it stays as it is. */
            if (round == SEARCHES / 2) {
                held = s;
                world_copy(&w, &then);
            } else {
                ak_snapshot_drop(s);
            }
        }
        ak_index_destroy(w.ix);
        w.ix = NULL;
        world_check_rows(&then, held);
        world_check_search(&then, held);
        ak_snapshot_drop(held);
        world_clear(&then);
        world_clear(&w);
    }
    ak_hamming_pin(NULL);
}

static void every_kernel_gives_the_same_bytes(void **state)
{
    enum { N_QUERIES = 50, LIMIT = 100 };
    struct ak_hit *first = malloc(N_QUERIES * LIMIT * sizeof(*first));
    struct ak_hit *hits = malloc(N_QUERIES * LIMIT * sizeof(*hits));
    struct ak_search_result results[N_QUERIES];
    uint8_t queries[N_QUERIES * 16];
    struct ak_snapshot *s;
    struct ak_err err = {0};
    struct world w;

    (void)state;
    world_init(&w, 7, 128, AK_ID_INTEGER, 3);
    world_append(&w, 3 * AK_SEGMENT_ROWS + 5);
    world_commit(&w);
    s = ak_index_snapshot(w.ix);
    for (size_t i = 0; i < N_QUERIES; i++)
        world_code(&w, queries + i * 16);
    memset(hits, 0, N_QUERIES * LIMIT * sizeof(*hits));
    for (size_t k = ak_hamming_n_kernels(); k-- > 0;) {
        const struct ak_search search = {.codes = queries,
                                         .n = N_QUERIES,
                                         .limit = LIMIT,
                                         .max_distance = UINT32_MAX};

        if (ak_hamming_kernel_at(k) == NULL)
            continue;
        ak_hamming_pin(ak_hamming_kernel_at(k));
        assert_status(ak_snapshot_search(s, &search, hits, results, &err),
                      AK_OK);
        if (k == ak_hamming_n_kernels() - 1)
            memcpy(first, hits, N_QUERIES * LIMIT * sizeof(*hits));
        for (size_t i = 0; i < N_QUERIES; i++) {
            assert_int_equal(results[i].n_hits, LIMIT);
            for (size_t h = 0; h < LIMIT; h++) {
                const struct ak_hit *a = &hits[i * LIMIT + h];
                const struct ak_hit *b = &first[i * LIMIT + h];

                assert_int_equal(a->ordinal, b->ordinal);
                assert_int_equal(a->distance, b->distance);
            }
        }
    }
    ak_hamming_pin(NULL);
    ak_snapshot_drop(s);
    world_clear(&w);
    free(first);
    free(hits);
}

/* The first queries find many rows at once, which tells nothing about those that
   follow. */
static void queries_unlike_the_first_find_all_the_same(void **state)
{
    enum { ROWS = 5000, N = 70, LIMIT = 20 };
    uint8_t *codes = calloc(ROWS, 8), queries[N * 8] = {0};
    struct ak_id *ids = calloc(ROWS, sizeof(*ids));
    const struct ak_index_batch batch = {.n = ROWS, .ids = ids, .codes = codes};
    struct ak_hit *together = malloc(N * LIMIT * sizeof(*together));
    struct ak_search_result results[N];
    struct ak_search search = {
        .codes = queries, .n = N, .limit = LIMIT, .max_distance = UINT32_MAX};
    struct ak_err err = {0};
    struct ak_index *ix;
    struct ak_snapshot *s;
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 12);
    for (size_t i = 8 * LIMIT; i < (size_t)8 * ROWS; i++)
        codes[i] = (uint8_t)ak_rng_u64(&rng);
    for (size_t i = sizeof(queries) / 2; i < sizeof(queries); i++)
        queries[i] = (uint8_t)ak_rng_u64(&rng);
    assert_status(ak_index_create(64, AK_ID_INTEGER, &ix, &err), AK_OK);
    assert_status(ak_index_append(ix, &batch, &err), AK_OK);
    assert_status(ak_index_commit(ix, &err), AK_OK);
    s = ak_index_snapshot(ix);
    assert_status(ak_snapshot_search(s, &search, together, results, &err),
                  AK_OK);
    search.n = 1;
    for (size_t i = 0; i < N; i++, search.codes += 8) {
        struct ak_hit alone[LIMIT];
        struct ak_search_result result;

        assert_status(ak_snapshot_search(s, &search, alone, &result, &err),
                      AK_OK);
        assert_int_equal(results[i].n_hits, LIMIT);
        assert_int_equal(results[i].searched, ROWS);
        for (size_t h = 0; h < LIMIT; h++) {
            assert_int_equal(together[i * LIMIT + h].ordinal, alone[h].ordinal);
            assert_int_equal(together[i * LIMIT + h].distance,
                             alone[h].distance);
        }
    }
    ak_snapshot_drop(s);
    ak_index_destroy(ix);
    free(together);
    free(ids);
    free(codes);
}

/* Page after page is the same as all at once, with ties across the edges. */
static void pages_follow_each_other_without_gap(void **state)
{
    enum { ROWS = 5000, PAGE = 7 };
    struct ak_hit *all = malloc(ROWS * sizeof(*all)), page[PAGE];
    struct ak_search_result result;
    struct ak_err err = {0};
    struct ak_snapshot *s;
    uint8_t query[8];
    struct world w;
    size_t n = 0;

    (void)state;
    world_init(&w, 8, 64, AK_ID_INTEGER, 4);
    world_append(&w, ROWS);
    world_commit(&w);
    s = ak_index_snapshot(w.ix);
    world_code(&w, query);
    struct ak_search search = {
        .codes = query, .n = 1, .limit = ROWS, .max_distance = 5};
    assert_status(ak_snapshot_search(s, &search, all, &result, &err), AK_OK);
    n = result.n_hits;
    assert_true(n > 20 * PAGE && n < ROWS);
    search.limit = PAGE;
    for (size_t at = 0; at < n; at += PAGE) {
        size_t left = n - at < PAGE ? n - at : PAGE;

        assert_status(ak_snapshot_search(s, &search, page, &result, &err),
                      AK_OK);
        assert_int_equal(result.n_hits, left);
        for (size_t i = 0; i < left; i++) {
            assert_int_equal(page[i].ordinal, all[at + i].ordinal);
            assert_int_equal(page[i].distance, all[at + i].distance);
        }
        search.paging = true;
        search.after_distance = page[left - 1].distance;
        search.after_ordinal = page[left - 1].ordinal;
    }
    assert_status(ak_snapshot_search(s, &search, page, &result, &err), AK_OK);
    assert_int_equal(result.n_hits, 0);
    ak_snapshot_drop(s);
    world_clear(&w);
    free(all);
}

static void a_deadline_that_has_passed_says_so(void **state)
{
    struct ak_hit hits[10];
    struct ak_search_result result;
    struct ak_err err = {0};
    struct ak_snapshot *s;
    uint8_t query[8] = {0};
    struct world w;

    (void)state;
    world_init(&w, 9, 64, AK_ID_INTEGER, 0);
    world_append(&w, 2 * AK_SEGMENT_ROWS);
    world_commit(&w);
    s = ak_index_snapshot(w.ix);
    struct ak_search search = {.codes = query,
                               .n = 1,
                               .limit = 10,
                               .max_distance = UINT32_MAX,
                               .deadline_ns = 1};
    assert_status(ak_snapshot_search(s, &search, hits, &result, &err), AK_OK);
    assert_false(result.complete);
    assert_int_equal(result.searched, 0);
    assert_int_equal(result.n_hits, 0);
    search.deadline_ns = ak_clock_ns() + (uint64_t)3600 * 1000000000;
    assert_status(ak_snapshot_search(s, &search, hits, &result, &err), AK_OK);
    assert_true(result.complete);
    assert_int_equal(result.searched, ak_snapshot_live(s));
    ak_snapshot_drop(s);
    world_clear(&w);
}

/* The nearest of the living rows below `end`. */
static size_t nearest_below(const struct ak_snapshot *s, const uint8_t *query,
                            uint64_t end, size_t limit, struct ak_hit *hits)
{
    size_t n = 0;

    for (uint64_t row = 0; row < end; row++) {
        struct ak_hit hit = {row, 0};
        uint64_t a, b;
        uint8_t code[8];
        size_t at;

        if (!ak_snapshot_alive(s, row))
            continue;
        ak_snapshot_code(s, row, code);
        memcpy(&a, query, sizeof(a));
        memcpy(&b, code, sizeof(b));
        hit.distance = (uint32_t)__builtin_popcountll(a ^ b);
        for (at = n; at > 0 && hits[at - 1].distance > hit.distance; at--)
            if (at < limit)
                hits[at] = hits[at - 1];
        if (at < limit)
            hits[at] = hit;
        n += n < limit;
    }
    return n;
}

/* The first half of the rows in time, the second one not. */
static void what_was_searched_in_time_is_in_the_answer(void **state)
{
    enum { SEGMENTS = 4, LIMIT = 20 };
    struct ak_hit hits[LIMIT], expected[LIMIT];
    struct ak_search_job *job = NULL;
    struct ak_search_result result;
    struct ak_err err = {0};
    struct ak_snapshot *s;
    uint64_t half = SEGMENTS / 2 * AK_SEGMENT_ROWS, live = 0;
    uint8_t query[8] = {0};
    struct world w;

    (void)state;
    world_init(&w, 12, 64, AK_ID_INTEGER, 0);
    world_append(&w, SEGMENTS * AK_SEGMENT_ROWS);
    for (int i = 0; i < 50; i++)
        world_kill(&w);
    world_commit(&w);
    s = ak_index_snapshot(w.ix);
    const struct ak_search search = {.codes = query,
                                     .n = 1,
                                     .limit = LIMIT,
                                     .max_distance = UINT32_MAX,
                                     .deadline_ns = ak_clock_ns() + 500000000};
    assert_status(ak_search_job_create(s, &search, 2, &job, &err), AK_OK);
    ak_search_job_run(job, 0);
    while (ak_clock_ns() < search.deadline_ns)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    ak_search_job_run(job, 1);
    ak_search_job_finish(job, hits, &result);
    ak_search_job_destroy(job);
    for (uint64_t row = 0; row < half; row++)
        live += ak_snapshot_alive(s, row);
    assert_false(result.complete);
    assert_int_equal(result.searched, live);
    assert_int_equal(result.n_hits, LIMIT);
    assert_int_equal(nearest_below(s, query, half, LIMIT, expected), LIMIT);
    for (size_t i = 0; i < LIMIT; i++) {
        assert_int_equal(hits[i].ordinal, expected[i].ordinal);
        assert_int_equal(hits[i].distance, expected[i].distance);
    }
    ak_snapshot_drop(s);
    world_clear(&w);
}

/* At deadlines before, within and after a search: of the rows that are said to be
   searched, every query has the nearest. */
static void what_a_batch_has_searched_each_query_has_searched(void **state)
{
    enum { ROWS = 40000, N = 70, LIMIT = 20 };
    uint8_t *codes = calloc(ROWS, 8), queries[N * 8] = {0};
    struct ak_id *ids = calloc(ROWS, sizeof(*ids));
    const struct ak_index_batch batch = {.n = ROWS, .ids = ids, .codes = codes};
    struct ak_hit *hits = malloc(N * LIMIT * sizeof(*hits));
    struct ak_search_result results[N];
    struct ak_search search = {
        .codes = queries, .n = N, .limit = LIMIT, .max_distance = UINT32_MAX};
    struct ak_index *ix;
    struct ak_snapshot *s;
    struct ak_rng rng;
    size_t cut_short = 0;

    (void)state;
    ak_rng_init(&rng, 13);
    for (size_t i = 8 * LIMIT; i < (size_t)8 * ROWS; i++)
        codes[i] = (uint8_t)ak_rng_u64(&rng);
    /* The first find their hits at once, the others are stragglers. */
    for (size_t i = sizeof(queries) / 2; i < sizeof(queries); i++)
        queries[i] = (uint8_t)ak_rng_u64(&rng);
    assert_status(ak_index_create(64, AK_ID_INTEGER, &ix, NULL), AK_OK);
    assert_status(ak_index_append(ix, &batch, NULL), AK_OK);
    assert_status(ak_index_commit(ix, NULL), AK_OK);
    s = ak_index_snapshot(ix);
    for (uint64_t us = 0; us < 1500; us += 10 * test_stride()) {
        search.deadline_ns = ak_clock_ns() + us * 1000 + 1;
        assert_status(ak_snapshot_search(s, &search, hits, results, NULL),
                      AK_OK);
        cut_short += !results[0].complete;
        for (size_t i = 0; i < N; i += 23) {
            const struct ak_hit *mine = hits + i * LIMIT;
            struct ak_hit expected[LIMIT];
            size_t n = nearest_below(s, queries + i * 8, results[i].searched,
                                     LIMIT, expected);

            assert_true(results[i].n_hits >= n);
            for (size_t h = 0; h < n; h++)
                assert_true(mine[h].distance <= expected[h].distance);
        }
    }
    assert_true(cut_short > 0);
    ak_snapshot_drop(s);
    ak_index_destroy(ix);
    free(hits);
    free(ids);
    free(codes);
}

/* With a partition, at deadlines before, within and after a search: whatever was
   found was searched, and an answer in time is the whole one. */
static void an_answer_out_of_time_counts_what_it_found(void **state)
{
    enum { ROWS = 30000, LIMIT = 100 };
    struct ak_hit all[LIMIT], hits[LIMIT];
    struct ak_search_result whole, result;
    struct ak_err err = {0};
    struct ak_snapshot *s;
    uint8_t query[32];
    struct world w;

    (void)state;
    world_init(&w, 13, 256, AK_ID_INTEGER, 5);
    world_append(&w, ROWS);
    world_commit(&w);
    world_partition(&w);
    s = ak_index_snapshot(w.ix);
    world_code(&w, query);
    struct ak_search search = {
        .codes = query, .n = 1, .limit = LIMIT, .max_distance = UINT32_MAX};
    assert_status(ak_snapshot_search(s, &search, all, &whole, &err), AK_OK);
    assert_int_equal(whole.searched, ak_snapshot_live(s));
    for (uint64_t i = 0; i < 400; i++) {
        search.deadline_ns = ak_clock_ns() + i * i * 5;
        assert_status(ak_snapshot_search(s, &search, hits, &result, &err),
                      AK_OK);
        assert_in_range(result.searched, result.n_hits, whole.searched);
        if (!result.complete)
            continue;
        assert_int_equal(result.searched, whole.searched);
        for (size_t h = 0; h < LIMIT; h++)
            assert_int_equal(hits[h].ordinal, all[h].ordinal);
    }
    ak_snapshot_drop(s);
    world_clear(&w);
}

/* k results come when k exist, however few pass. */
static void a_filter_of_few_finds_them_all(void **state)
{
    enum { ROWS = 5 * AK_SEGMENT_ROWS };
    const uint64_t ordinals[] = {3, 4095, 4096, 9000, ROWS - 1, ROWS + 7};
    const struct ak_condition must = {.ordinals = ordinals, .n_ordinals = 6};
    const struct ak_filter filter = {.must = &must, .n_must = 1};
    struct ak_hit hits[10];
    struct ak_search_result result;
    struct ak_err err = {0};
    struct ak_snapshot *s;
    uint8_t query[8] = {0};
    struct world w;
    uint64_t alive = 0, seen = 0;

    (void)state;
    world_init(&w, 10, 64, AK_ID_INTEGER, 0);
    world_append(&w, ROWS);
    world_commit(&w);
    s = ak_index_snapshot(w.ix);
    for (size_t i = 0; i < 5; i++)
        alive += ak_snapshot_alive(s, ordinals[i]);
    struct ak_search search = {.codes = query,
                               .n = 1,
                               .limit = 10,
                               .max_distance = UINT32_MAX,
                               .filter = &filter};
    assert_status(ak_snapshot_search(s, &search, hits, &result, &err), AK_OK);
    assert_int_equal(result.n_hits, alive);
    assert_int_equal(result.searched, alive);
    for (uint64_t at = 0; (at = ak_snapshot_next(s, at, &filter)) < ROWS; at++)
        seen++;
    assert_int_equal(seen, alive);
    ak_snapshot_drop(s);
    world_clear(&w);
}

static void an_empty_index_answers(void **state)
{
    struct ak_hit hits[2];
    struct ak_search_result results[2] = {{.n_hits = 9}, {.n_hits = 9}};
    uint8_t queries[2] = {0};
    struct ak_search search = {
        .codes = queries, .n = 2, .limit = 1, .max_distance = UINT32_MAX};
    struct ak_err err = {0};
    struct ak_snapshot *s;
    struct world w;

    (void)state;
    world_init(&w, 11, 8, AK_ID_STRING, 0);
    s = ak_index_snapshot(w.ix);
    assert_int_equal(ak_snapshot_next(s, 0, NULL), 0);
    assert_status(ak_snapshot_search(s, &search, hits, results, &err), AK_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(results[i].n_hits, 0);
        assert_int_equal(results[i].searched, 0);
        assert_true(results[i].complete);
    }
    ak_snapshot_drop(s);
    world_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(search_equals_brute_force_in_10000_random_cases),
        cmocka_unit_test(every_kernel_gives_the_same_bytes),
        cmocka_unit_test(pages_follow_each_other_without_gap),
        cmocka_unit_test(queries_unlike_the_first_find_all_the_same),
        cmocka_unit_test(a_deadline_that_has_passed_says_so),
        cmocka_unit_test(what_was_searched_in_time_is_in_the_answer),
        cmocka_unit_test(what_a_batch_has_searched_each_query_has_searched),
        cmocka_unit_test(an_answer_out_of_time_counts_what_it_found),
        cmocka_unit_test(a_filter_of_few_finds_them_all),
        cmocka_unit_test(an_empty_index_answers),
    };

    return cmocka_run_group_tests_name("search", tests, NULL, NULL);
}
