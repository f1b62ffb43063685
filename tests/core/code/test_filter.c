/*
 * Filters that few rows pass, one in 10,000: as many hits as there are rows, or
 * as are wanted; and what the memory of an index by label grows with.
 */
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/code/partition_internal.h"

#define ROWS  100000
#define RARE  10000 /* rows between two with the rare label */
#define BITS  64
#define LEN   (BITS / 8)
#define FEW   (ROWS / RARE)
#define USUAL 4 /* labels of the others */

/* Labels: one of USUAL, and the rare one; or a list of two. */
#define RARE_LABEL 77
#define SIDE_LABEL 78 /* beside a usual one, of as few */

static uint8_t codes[ROWS * LEN];
static uint32_t labels[2 * ROWS], first[ROWS + 1];

static bool is_rare(uint64_t row)
{
    return row % RARE == 1234;
}

static bool is_side(uint64_t row)
{
    return row % RARE == 321 + row / RARE % 2;
}

static struct ak_index *make_index(void)
{
    static struct ak_id ids[ROWS];
    struct ak_index *ix = NULL;
    struct ak_rng rng;
    uint32_t n = 0;

    ak_rng_init(&rng, 5);
    for (uint32_t i = 0; i < ROWS; i++) {
        uint64_t code = (uint64_t)(i % 50) * UINT64_C(0x9e3779b97f4a7c15);

        code ^= ak_rng_u64(&rng) & ak_rng_u64(&rng) & ak_rng_u64(&rng) &
                ak_rng_u64(&rng);
        memcpy(codes + (size_t)i * LEN, &code, LEN);
        ids[i].number = i;
        first[i] = n;
        labels[n++] = is_rare(i) ? RARE_LABEL : i % USUAL;
        if (is_side(i))
            labels[n++] = SIDE_LABEL;
    }
    first[ROWS] = n;
    assert_status(ak_index_create(BITS, AK_ID_INTEGER, &ix, NULL), AK_OK);
    assert_status(ak_index_append(ix,
                                  &(struct ak_index_batch){.n = ROWS,
                                                           .ids = ids,
                                                           .labels = labels,
                                                           .first = first,
                                                           .codes = codes},
                                  NULL),
                  AK_OK);
    assert_status(ak_index_commit(ix, NULL), AK_OK);
    return ix;
}

static void partition(struct ak_index *ix)
{
    const struct ak_partition_params params = {.n_buckets = 64, .forced = true};
    struct ak_snapshot *s = ak_index_snapshot(ix);
    struct ak_partition_build *build = NULL;
    bool done = false;

    assert_status(ak_partition_build_create_with(s, &params, &build, NULL),
                  AK_OK);
    while (!done)
        assert_status(ak_partition_build_step(build, &done, NULL), AK_OK);
    assert_status(ak_index_partition(ix, build, NULL), AK_OK);
    ak_partition_build_destroy(build);
    ak_snapshot_drop(s);
}

static int compare_hits(const void *a, const void *b)
{
    const struct ak_hit *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

/* All rows for which `passes` says so, in the order of hits. */
static size_t slow(const uint8_t *query, bool (*passes)(uint64_t row),
                   struct ak_hit *hits)
{
    size_t n = 0;

    for (uint64_t i = 0; i < ROWS; i++) {
        uint64_t a, b;

        if (!passes(i))
            continue;
        memcpy(&a, query, LEN);
        memcpy(&b, codes + i * LEN, LEN);
        hits[n++] = (struct ak_hit){i, (uint32_t)__builtin_popcountll(a ^ b)};
    }
    qsort(hits, n, sizeof(*hits), compare_hits);
    return n;
}

static void check(const struct ak_snapshot *s, const struct ak_filter *filter,
                  bool (*passes)(uint64_t row))
{
    static struct ak_hit hits[2 * FEW], expected[ROWS];
    const size_t limits[] = {1, FEW - 1, FEW, 2 * FEW};
    struct ak_search_result result;

    for (size_t q = 0; q < 4; q++) {
        const uint8_t *query = codes + q * 19999 * LEN;
        size_t n = slow(query, passes, expected);

        assert_in_range(n, 1, 2 * FEW);
        for (size_t l = 0; l < 4; l++) {
            const struct ak_search search = {.codes = query,
                                             .n = 1,
                                             .limit = limits[l],
                                             .max_distance = UINT32_MAX,
                                             .filter = filter};

            assert_status(ak_snapshot_search(s, &search, hits, &result, NULL),
                          AK_OK);
            assert_int_equal(result.n_hits, n < limits[l] ? n : limits[l]);
            /* No row was compared that does not pass. */
            assert_int_equal(result.searched, n);
            for (size_t i = 0; i < result.n_hits; i++)
                assert_int_equal(compare_hits(&hits[i], &expected[i]), 0);
        }
    }
}

static bool rare_or_side(uint64_t row)
{
    return is_rare(row) || is_side(row);
}

static bool rare_among_ids(uint64_t row)
{
    return row == 1234 || row == 1234 + 3 * RARE;
}

static bool side_and_even(uint64_t row)
{
    return is_side(row) && row % USUAL % 2 == 0;
}

static void of_one_in_10000_rows_k_hits_come_when_k_exist(void **state)
{
    const uint32_t rare = RARE_LABEL, side = SIDE_LABEL;
    const uint32_t usual[] = {0, 1, 2, 3}, odd[] = {1, 3};
    const uint64_t ordinals[] = {7, 1234, 1234 + 3 * RARE, ROWS - 1};
    const struct ak_condition of_rare = {.labels = &rare, .n_labels = 1};
    const struct ak_condition of_side = {.labels = &side, .n_labels = 1};
    const struct ak_condition of_usual = {.labels = usual, .n_labels = 4};
    const struct ak_condition of_odd = {.labels = odd, .n_labels = 2};
    const struct ak_condition of_ids = {.ordinals = ordinals, .n_ordinals = 4};
    const struct ak_condition either[] = {of_rare, of_side};
    const struct ak_condition both[] = {of_rare, of_ids};
    struct ak_index *ix = make_index();

    (void)state;
    for (int round = 0; round < 2; round++) {
        struct ak_snapshot *s = ak_index_snapshot(ix);

        check(s, &(struct ak_filter){.must = &of_rare, .n_must = 1}, is_rare);
        check(s, &(struct ak_filter){.should = either, .n_should = 2},
              rare_or_side);
        check(s, &(struct ak_filter){.must_not = &of_usual, .n_must_not = 1},
              is_rare);
        check(s, &(struct ak_filter){.must = both, .n_must = 2},
              rare_among_ids);
        check(s,
              &(struct ak_filter){.must = &of_side,
                                  .n_must = 1,
                                  .must_not = &of_odd,
                                  .n_must_not = 1},
              side_and_even);
        ak_snapshot_drop(s);
        partition(ix);
    }
    ak_index_destroy(ix);
}

/* Bytes that an index of ROWS rows has more once it was searched by a label, a
   row having `per_row` labels of `n_labels`. */
static size_t index_bytes(uint32_t n_labels, uint32_t per_row)
{
    enum { N = 4 * AK_SEGMENT_ROWS };
    struct ak_id *ids = calloc(N, sizeof(*ids));
    uint32_t *own = calloc((size_t)N * per_row, sizeof(*own));
    uint32_t *begin = calloc(N + 1, sizeof(*begin));
    const struct ak_condition must = {.labels = own, .n_labels = 1};
    const struct ak_filter filter = {.must = &must, .n_must = 1};
    struct ak_search_result result;
    struct ak_index *ix = NULL;
    struct ak_snapshot *s;
    struct ak_hit hit;
    size_t before, after;

    for (uint32_t i = 0; i < N; i++) {
        ids[i].number = i;
        begin[i + 1] = (i + 1) * per_row;
        for (uint32_t k = 0; k < per_row; k++)
            own[i * per_row + k] = (i * 2654435761u + k) % n_labels;
    }
    assert_status(ak_index_create(BITS, AK_ID_INTEGER, &ix, NULL), AK_OK);
    assert_status(ak_index_append(ix,
                                  &(struct ak_index_batch){.n = N,
                                                           .ids = ids,
                                                           .labels = own,
                                                           .first = begin,
                                                           .codes = codes},
                                  NULL),
                  AK_OK);
    assert_status(ak_index_commit(ix, NULL), AK_OK);
    s = ak_index_snapshot(ix);
    before = ak_snapshot_bytes(s);
    assert_status(
        ak_snapshot_search(s,
                           &(struct ak_search){.codes = codes,
                                               .n = 1,
                                               .limit = 1,
                                               .max_distance = UINT32_MAX,
                                               .filter = &filter},
                           &hit, &result, NULL),
        AK_OK);
    assert_int_equal(result.n_hits, 1);
    after = ak_snapshot_bytes(s);
    ak_snapshot_drop(s);
    ak_index_destroy(ix);
    free(begin);
    free(own);
    free(ids);
    assert_true(after > before);
    /* 2 for each label of a row and 8 for each that occurs in a segment. */
    assert_in_range(after - before, 1,
                    (size_t)N * per_row * 2 +
                        (size_t)4 * 8 *
                            (n_labels < AK_SEGMENT_ROWS * per_row
                                 ? n_labels
                                 : AK_SEGMENT_ROWS * per_row) +
                        (size_t)4 * 256);
    return after - before;
}

/* A bitmap for each label would be 1,000 times as much for 10,000 labels as for
   10. */
static void memory_by_label_does_not_grow_as_labels_times_rows(void **state)
{
    size_t few = index_bytes(10, 1), many = index_bytes(10000, 1);

    (void)state;
    assert_true(many < 10 * few);
    assert_true(index_bytes(10000, 4) < 5 * many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_one_in_10000_rows_k_hits_come_when_k_exist),
        cmocka_unit_test(memory_by_label_does_not_grow_as_labels_times_rows),
    };

    return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
