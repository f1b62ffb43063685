#include "tests/test.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/code/index.h"

/*
 * The linker sends the calls of ak_array_new() and ak_array_raw() here (--wrap),
 * so that each of them can fail in turn.
 */
static long allowed = -1; /* -1: all */

static bool take_one(void)
{
    if (allowed == 0)
        return false;
    if (allowed > 0)
        allowed--;
    return true;
}

void *__real_ak_array_new(size_t n, size_t size);
void *__wrap_ak_array_new(size_t n, size_t size);
void *__wrap_ak_array_new(size_t n, size_t size)
{
    return take_one() ? __real_ak_array_new(n, size) : NULL;
}

void *__real_ak_array_raw(size_t n, size_t size);
void *__wrap_ak_array_raw(size_t n, size_t size);
void *__wrap_ak_array_raw(size_t n, size_t size)
{
    return take_one() ? __real_ak_array_raw(n, size) : NULL;
}

#define BITS 72
#define LEN  (BITS / 8)
#define N    300 /* rows of a batch, over the edge of a segment */

/* A batch with all there is: strings, lists of labels, tombstones. */
struct batch {
    struct ak_id ids[N];
    uint32_t labels[2 * N], first[N + 1];
    uint8_t codes[N * LEN];
    bool dead[N];
    struct ak_index_batch batch;
};

static void make_batch(struct batch *b, uint64_t from)
{
    memset(b, 0, sizeof(*b));
    for (size_t i = 0; i < N; i++) {
        b->ids[i] = (struct ak_id){.text = "abcdefgh", .len = (from + i) % 9};
        b->labels[2 * i] = (uint32_t)(from + i) % 10;
        b->labels[2 * i + 1] = 100;
        b->first[i + 1] = (uint32_t)(2 * i) + 2;
        for (size_t j = 0; j < LEN; j++)
            b->codes[i * LEN + j] = (uint8_t)((from + i) * (j + 7));
        b->dead[i] = i % 50 == 1;
    }
    b->batch = (struct ak_index_batch){N,        b->ids,   b->labels,
                                       b->first, b->codes, b->dead};
}

/* A digest of all that a snapshot shows. */
static uint64_t digest(const struct ak_snapshot *s)
{
    uint64_t sum = ak_snapshot_rows(s) + 31 * ak_snapshot_live(s) +
                   77 * ak_snapshot_version(s);

    for (uint64_t i = 0; i < ak_snapshot_rows(s); i++) {
        struct ak_id id = ak_snapshot_id(s, i);
        const uint32_t *labels;
        size_t n = ak_snapshot_labels(s, i, &labels);
        uint8_t code[LEN];

        ak_snapshot_code(s, i, code);
        for (size_t j = 0; j < LEN; j++)
            sum = sum * 0x100000001b3u ^ code[j];
        for (size_t j = 0; j < id.len; j++)
            sum = sum * 0x100000001b3u ^ (uint8_t)id.text[j];
        for (size_t j = 0; j < n; j++)
            sum = sum * 0x100000001b3u ^ labels[j];
        sum = sum * 0x100000001b3u ^ (ak_snapshot_alive(s, i) ? 1 : 0);
    }
    return sum;
}

static uint64_t digest_of(struct ak_index *ix)
{
    struct ak_snapshot *s = ak_index_snapshot(ix);
    uint64_t sum = digest(s);

    ak_snapshot_drop(s);
    return sum;
}

static struct ak_index *filled(size_t batches)
{
    struct ak_index *ix = NULL;
    static struct batch b;

    assert_status(ak_index_create(BITS, AK_ID_STRING, &ix, NULL), AK_OK);
    for (size_t i = 0; i < batches; i++) {
        make_batch(&b, i * N);
        assert_status(ak_index_append(ix, &b.batch, NULL), AK_OK);
    }
    assert_status(ak_index_commit(ix, NULL), AK_OK);
    return ix;
}

typedef enum ak_status change_fn(struct ak_index *ix, struct ak_err *err);

static enum ak_status append(struct ak_index *ix, struct ak_err *err)
{
    static struct batch b;

    make_batch(&b, ak_index_rows(ix));
    return ak_index_append(ix, &b.batch, err);
}

/* A segment with all there is. */
static enum ak_status append_segment(struct ak_index *ix, struct ak_err *err)
{
    static const char text[AK_SEGMENT_ROWS];
    static const uint32_t text_first[AK_SEGMENT_ROWS + 1] = {0, 1, 3};
    static const uint32_t labels[] = {7, 8, 9};
    static const uint32_t label_first[AK_SEGMENT_ROWS + 1] = {0, 2, 3};
    static const uint64_t dead[AK_SEGMENT_ROWS / 64] = {4};
    static uint8_t codes[AK_SEGMENT_ROWS * LEN];
    uint32_t ends[2][AK_SEGMENT_ROWS + 1];
    const struct ak_index_segment segment = {.text = text,
                                             .text_first = ends[0],
                                             .labels = labels,
                                             .label_first = ends[1],
                                             .dead = dead,
                                             .codes = codes};

    for (size_t i = 0; i <= AK_SEGMENT_ROWS; i++) {
        ends[0][i] = i < 3 ? text_first[i] : 3;
        ends[1][i] = i < 3 ? label_first[i] : 3;
    }
    codes[5] = 0xa5;
    return ak_index_append_segment(ix, &segment, err);
}

static enum ak_status kill_one(struct ak_index *ix, struct ak_err *err)
{
    return ak_index_kill(ix, 7, err);
}

static enum ak_status relabel(struct ak_index *ix, struct ak_err *err)
{
    const uint32_t labels[] = {1, 2, 3, 4};

    return ak_index_relabel(ix, 7, labels, 4, err);
}

/* One `change` that fails at its n-th allocation; false if there is none. */
static bool fails_at(change_fn *change, struct ak_index *ix, long n)
{
    uint64_t before = digest_of(ix), rows = ak_index_rows(ix);
    struct ak_err err = {0};
    enum ak_status status;

    allowed = n;
    status = change(ix, &err);
    allowed = -1;
    if (status == AK_OK)
        return false;
    assert_status(status, AK_ENOMEM);
    assert_status(err.status, AK_ENOMEM);
    assert_true(strncmp(err.text, "no memory", 9) == 0);
    assert_int_equal(ak_index_rows(ix), rows);
    assert_status(ak_index_commit(ix, NULL), AK_OK);
    assert_true(digest_of(ix) == before);
    return true;
}

/*
 * Failures at each of the allocations of a change, `at_least` so many: nothing
 * is changed by them, and the change that is made then is as if they had not
 * been.
 */
static void check(change_fn *change, size_t batches, long at_least)
{
    struct ak_index *same = filled(batches);
    uint64_t before = digest_of(same), after;
    long n = 0;

    assert_status(change(same, NULL), AK_OK);
    allowed = 0;
    assert_status(ak_index_commit(same, NULL), AK_ENOMEM);
    allowed = -1;
    assert_true(digest_of(same) == before);
    assert_status(ak_index_commit(same, NULL), AK_OK);
    after = digest_of(same);
    assert_true(after != before);
    ak_index_destroy(same);
    for (bool failed = true; failed; n++) {
        struct ak_index *ix = filled(batches);

        failed = fails_at(change, ix, n);
        if (failed)
            assert_status(change(ix, NULL), AK_OK);
        assert_status(ak_index_commit(ix, NULL), AK_OK);
        assert_true(digest_of(ix) == after);
        ak_index_destroy(ix);
    }
    assert_true(n - 1 >= at_least);
}

static void an_append_without_memory_changes_nothing(void **state)
{
    (void)state;
    /* The array; a segment with codes and ids, text, labels, tombstones. */
    check(append, 0, 1 + 3 + 3);
    /* A segment of its own, and the three parts that grow in it. */
    check(append, 1, 1 + 3);
    /* A copy and a new one, over the edge of a segment. */
    check(append, AK_SEGMENT_ROWS / N, 1 + 1 + 3 + 3);
}

static void a_segment_without_memory_changes_nothing(void **state)
{
    (void)state;
    /* The array; the segment with codes (from a slab), ids, labels and
       tombstones. */
    check(append_segment, 0, 1 + 6);
}

static void a_kill_without_memory_changes_nothing(void **state)
{
    (void)state;
    check(kill_one, 1, 2); /* the segment, its tombstones */
}

/* To give memory back needs some: without it all stays as it is. */
static void a_segment_dies_without_memory(void **state)
{
    struct ak_index *ix = filled(AK_SEGMENT_ROWS / N + 1);
    struct ak_snapshot *s = ak_index_snapshot(ix);
    uint64_t last = 0;

    (void)state;
    for (uint64_t i = 0; i < AK_SEGMENT_ROWS; i++)
        last = ak_snapshot_alive(s, i) ? i : last;
    for (uint64_t i = 0; i < last; i++)
        if (ak_snapshot_alive(s, i))
            assert_status(ak_index_kill(ix, i, NULL), AK_OK);
    ak_snapshot_drop(s);
    allowed = 0;
    assert_status(ak_index_kill(ix, last, NULL), AK_OK);
    allowed = -1;
    assert_false(ak_index_all_dead(ix, 0));
    assert_status(ak_index_commit(ix, NULL), AK_OK);
    s = ak_index_snapshot(ix);
    assert_int_equal(ak_snapshot_next(s, 0, NULL), AK_SEGMENT_ROWS);
    ak_snapshot_drop(s);
    ak_index_destroy(ix);
}

static void a_relabel_without_memory_changes_nothing(void **state)
{
    (void)state;
    check(relabel, 1, 2); /* the segment, its labels */
}

static void a_column_without_memory_is_as_it_was(void **state)
{
    enum { BATCHES = AK_SEGMENT_ROWS / N + 1 };
    static uint8_t codes[BATCHES * N * LEN];
    struct ak_index *ix = filled(BATCHES);
    uint64_t before = digest_of(ix);
    struct ak_column *column = NULL;

    (void)state;
    allowed = 0;
    assert_status(ak_column_create(BITS, &column, NULL), AK_ENOMEM);
    /* The array and the first segment are kept from a failure to the next. */
    for (long n = 0; n < 2; n++) {
        allowed = 1;
        if (n == 0)
            assert_status(ak_column_create(BITS, &column, NULL), AK_OK);
        allowed = n;
        assert_status(ak_column_append(column, codes, BATCHES * N, NULL),
                      AK_ENOMEM);
        assert_int_equal(ak_column_rows(column), 0);
    }
    allowed = -1;
    assert_status(ak_column_append(column, codes, BATCHES * N, NULL), AK_OK);
    /* The array, two segments, the snapshot. */
    for (long n = 0; n < 4; n++) {
        allowed = n;
        assert_status(ak_index_install(ix, column, NULL, 9, NULL), AK_ENOMEM);
        allowed = -1;
        assert_true(digest_of(ix) == before);
        assert_status(ak_index_commit(ix, NULL), AK_OK);
        assert_true(digest_of(ix) == before);
    }
    assert_status(ak_index_install(ix, column, NULL, 9, NULL), AK_OK);
    assert_true(digest_of(ix) != before);
    ak_index_destroy(ix);
}

static void a_search_without_memory_says_so(void **state)
{
    const uint32_t label = 3;
    const struct ak_condition must = {.labels = &label, .n_labels = 1};
    const struct ak_filter filter = {.must = &must, .n_must = 1};
    struct ak_index *ix = filled(1);
    struct ak_snapshot *s = ak_index_snapshot(ix);
    const uint8_t query[LEN] = {0};
    const struct ak_search search = {.codes = query,
                                     .n = 1,
                                     .limit = 3,
                                     .max_distance = UINT32_MAX,
                                     .filter = &filter};
    struct ak_search_result result;
    struct ak_hit hits[3];
    long n = 0;

    (void)state;
    for (;; n++) {
        enum ak_status status;

        allowed = n;
        status = ak_snapshot_search(s, &search, hits, &result, NULL);
        allowed = -1;
        if (status == AK_OK)
            break;
        assert_status(status, AK_ENOMEM);
    }
    assert_int_equal(n, 2);
    assert_int_equal(result.n_hits, 3);
    ak_snapshot_drop(s);
    ak_index_destroy(ix);
}

static void an_index_without_memory_is_not_made(void **state)
{
    struct ak_index *ix = NULL;
    long n = 0;

    (void)state;
    for (;; n++) {
        enum ak_status status;

        allowed = n;
        status = ak_index_create(BITS, AK_ID_STRING, &ix, NULL);
        allowed = -1;
        if (status == AK_OK)
            break;
        assert_status(status, AK_ENOMEM);
        assert_null(ix);
    }
    assert_int_equal(n, 2);
    ak_index_destroy(ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_append_without_memory_changes_nothing),
        cmocka_unit_test(a_segment_without_memory_changes_nothing),
        cmocka_unit_test(a_kill_without_memory_changes_nothing),
        cmocka_unit_test(a_segment_dies_without_memory),
        cmocka_unit_test(a_relabel_without_memory_changes_nothing),
        cmocka_unit_test(a_column_without_memory_is_as_it_was),
        cmocka_unit_test(a_search_without_memory_says_so),
        cmocka_unit_test(an_index_without_memory_is_not_made),
    };

    return cmocka_run_group_tests_name("index_memory", tests, NULL, NULL);
}
