#include "tests/test.h"

#include <string.h>

#include "core/code/index.h"
#include "core/code/partition_internal.h"

/* Appends one row of a 16-bit index with integer ids and commits nothing. */
static enum ak_status append_one(struct ak_index *ix, uint64_t id,
                                 uint32_t label, uint16_t code)
{
    const struct ak_id ids[] = {{.number = id}};
    const uint32_t first[] = {0, 1};
    uint8_t bytes[2];

    memcpy(bytes, &code, sizeof(bytes));
    return ak_index_append(ix,
                           &(struct ak_index_batch){.n = 1,
                                                    .ids = ids,
                                                    .labels = &label,
                                                    .first = first,
                                                    .codes = bytes},
                           NULL);
}

static struct ak_index *new_index(void)
{
    struct ak_index *ix = NULL;
    struct ak_err err = {0};

    assert_status(ak_index_create(16, AK_ID_INTEGER, &ix, &err), AK_OK);
    return ix;
}

static void changes_show_after_the_commit_only(void **state)
{
    struct ak_index *ix = new_index();
    struct ak_snapshot *before, *after;
    const uint32_t *labels;
    const uint32_t two[] = {8, 9};

    (void)state;
    assert_status(append_one(ix, 5, 7, 0), AK_OK);
    before = ak_index_snapshot(ix);
    assert_int_equal(ak_snapshot_rows(before), 0);
    ak_snapshot_drop(before);
    assert_status(ak_index_commit(ix, NULL), AK_OK);

    before = ak_index_snapshot(ix);
    assert_int_equal(ak_snapshot_rows(before), 1);
    assert_status(ak_index_relabel(ix, 0, two, 2, NULL), AK_OK);
    assert_status(ak_index_kill(ix, 0, NULL), AK_OK);
    assert_status(append_one(ix, 6, 1, 3), AK_OK);
    assert_status(ak_index_commit(ix, NULL), AK_OK);
    after = ak_index_snapshot(ix);

    assert_int_equal(ak_snapshot_rows(before), 1);
    assert_int_equal(ak_snapshot_live(before), 1);
    assert_true(ak_snapshot_alive(before, 0));
    assert_int_equal(ak_snapshot_labels(before, 0, &labels), 1);
    assert_int_equal(labels[0], 7);
    assert_int_equal(ak_snapshot_next(before, 0, NULL), 0);
    assert_int_equal(ak_snapshot_next(before, 1, NULL), 1);

    assert_int_equal(ak_snapshot_rows(after), 2);
    assert_int_equal(ak_snapshot_live(after), 1);
    assert_false(ak_snapshot_alive(after, 0));
    assert_int_equal(ak_snapshot_labels(after, 0, &labels), 2);
    assert_int_equal(labels[1], 9);
    assert_int_equal(ak_snapshot_next(after, 0, NULL), 1);
    ak_snapshot_drop(before);
    ak_snapshot_drop(after);
    ak_index_destroy(ix);
}

/* In order, within 32 bits of each other, and neither. */
static uint64_t some_id(int kind, uint64_t i)
{
    uint64_t mixed = (i * 2654435761u) % 4294967291u;

    return kind == 0   ? (UINT64_C(1) << 40) + i
           : kind == 1 ? (UINT64_C(1) << 50) + mixed
                       : mixed << 30;
}

static void ids_of_full_segments_take_less_and_stay(void **state)
{
    static const double most[] = {8, 12, 16}; /* bytes a row, with its code */

    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct ak_index *ix = new_index();
        struct ak_snapshot *before = NULL, *s;
        size_t rows = 4 * AK_SEGMENT_ROWS;

        for (uint64_t i = 0; i < rows + 1; i++) {
            assert_status(append_one(ix, some_id(kind, i), 1, 0), AK_OK);
            if (i + 2 != AK_SEGMENT_ROWS)
                continue;
            assert_status(ak_index_commit(ix, NULL), AK_OK);
            before = ak_index_snapshot(ix);
        }
        assert_status(ak_index_commit(ix, NULL), AK_OK);
        s = ak_index_snapshot(ix);
        for (uint64_t i = 0; i < rows + 1; i++)
            assert_int_equal(ak_snapshot_id(s, i).number, some_id(kind, i));
        for (uint64_t i = 0; i < ak_snapshot_rows(before); i++)
            assert_int_equal(ak_snapshot_id(before, i).number,
                             some_id(kind, i));
        /* The segment behind the full ones, and labels. */
        assert_true((double)ak_snapshot_bytes(s) <
                    (most[kind] + 4) * (double)rows + 28.0 * AK_SEGMENT_ROWS +
                        8192);
        assert_true((double)ak_snapshot_bytes(s) >
                    (most[kind] + 4) * (double)rows);
        ak_snapshot_drop(before);
        ak_snapshot_drop(s);
        ak_index_destroy(ix);
    }
}

static void what_is_not_there_cannot_be_changed(void **state)
{
    struct ak_index *ix = new_index();
    struct ak_err err = {0};

    (void)state;
    assert_status(ak_index_kill(ix, 0, &err), AK_ENOTFOUND);
    assert_string_equal(err.text, "row is 0, must be below 0");
    assert_status(ak_index_relabel(ix, 3, NULL, 0, &err), AK_ENOTFOUND);
    assert_status(append_one(ix, 1, 1, 1), AK_OK);
    assert_status(ak_index_kill(ix, 0, &err), AK_OK);
    assert_status(ak_index_kill(ix, 0, &err), AK_ENOTFOUND);
    assert_string_equal(err.text, "row 0 is dead already");
    ak_index_destroy(ix);
}

static void a_column_needs_exactly_all_rows(void **state)
{
    const uint8_t codes[] = {1, 2, 3, 4, 5, 6};
    struct ak_index *ix = new_index();
    struct ak_column *column = NULL, *other = NULL;
    struct ak_snapshot *before, *after;
    struct ak_err err = {0};
    uint8_t code[2];

    (void)state;
    assert_status(append_one(ix, 1, 1, 0), AK_OK);
    assert_status(append_one(ix, 2, 1, 0), AK_OK);
    assert_status(ak_index_commit(ix, NULL), AK_OK);
    before = ak_index_snapshot(ix);
    assert_status(ak_column_create(16, &column, &err), AK_OK);
    assert_status(ak_column_append(column, codes, 1, &err), AK_OK);
    assert_status(ak_index_install(ix, column, NULL, 4, &err), AK_EINVAL);
    assert_string_equal(err.text, "codes of 1 rows, must be of 2");
    assert_status(ak_column_append(column, codes + 2, 2, &err), AK_OK);
    assert_status(ak_index_install(ix, column, NULL, 4, &err), AK_EINVAL);
    assert_string_equal(err.text, "codes of 3 rows, must be of 2");

    assert_status(ak_column_create(24, &other, &err), AK_OK);
    assert_status(ak_column_append(other, codes, 2, &err), AK_OK);
    assert_status(ak_index_install(ix, other, NULL, 4, &err), AK_EINVAL);
    assert_string_equal(err.text, "codes have 24 bits, must have 16");
    ak_column_destroy(other);

    assert_status(append_one(ix, 3, 1, 0), AK_OK);
    assert_status(ak_index_install(ix, column, NULL, 4, &err), AK_OK);
    after = ak_index_snapshot(ix);
    assert_int_equal(ak_snapshot_version(after), 4);
    assert_int_equal(ak_snapshot_rows(after), 3);
    ak_snapshot_code(after, 2, code);
    assert_memory_equal(code, codes + 4, 2);
    assert_int_equal(ak_snapshot_version(before), 0);
    assert_int_equal(ak_snapshot_rows(before), 2);
    ak_snapshot_code(before, 1, code);
    assert_memory_equal(code, "\0\0", 2);
    ak_snapshot_drop(before);
    ak_snapshot_drop(after);
    ak_index_destroy(ix);
}

struct model {
    struct ak_ref ref;
    int *ended;
};

static void end_model(struct ak_ref *ref)
{
    ++*((struct model *)ref)->ended;
}

static void a_model_lives_as_long_as_its_last_snapshot(void **state)
{
    struct ak_index *ix = new_index();
    int ended[2] = {0};
    struct model one = {.ended = &ended[0]}, two = {.ended = &ended[1]};
    struct ak_snapshot *s;

    (void)state;
    ak_ref_init(&one.ref, end_model);
    ak_ref_init(&two.ref, end_model);
    assert_status(ak_index_install(ix, NULL, &one.ref, 1, NULL), AK_OK);
    ak_ref_drop(&one.ref);
    assert_int_equal(ended[0], 0);
    assert_status(append_one(ix, 1, 1, 1), AK_OK);
    assert_status(ak_index_commit(ix, NULL), AK_OK);
    s = ak_index_snapshot(ix);
    assert_ptr_equal(ak_snapshot_model(s), &one.ref);
    assert_int_equal(ak_snapshot_version(s), 1);
    assert_status(ak_index_install(ix, NULL, &two.ref, 2, NULL), AK_OK);
    ak_ref_drop(&two.ref);
    assert_int_equal(ended[0], 0);
    assert_ptr_equal(ak_snapshot_model(s), &one.ref);
    ak_snapshot_drop(s);
    assert_int_equal(ended[0], 1);

    s = ak_index_snapshot(ix);
    ak_index_destroy(ix);
    assert_int_equal(ended[1], 0);
    assert_int_equal(ak_snapshot_rows(s), 1);
    assert_ptr_equal(ak_snapshot_model(s), &two.ref);
    ak_snapshot_drop(s);
    assert_int_equal(ended[1], 1);
}

/* 64-bit codes, ids in order, one label each: what a code costs. */
static void memory_is_reported_and_small(void **state)
{
    enum { ROWS = 16 * AK_SEGMENT_ROWS };
    static struct ak_id ids[ROWS];
    static uint32_t labels[ROWS], first[ROWS + 1];
    static uint8_t codes[ROWS * 8];
    struct ak_index *ix = NULL;
    struct ak_err err = {0};
    struct ak_snapshot *s;
    size_t bytes;

    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        ids[i].number = i;
        labels[i] = (uint32_t)i % 10;
        first[i + 1] = (uint32_t)i + 1;
    }
    assert_status(ak_index_create(64, AK_ID_INTEGER, &ix, &err), AK_OK);
    assert_status(ak_index_append(ix,
                                  &(struct ak_index_batch){.n = ROWS,
                                                           .ids = ids,
                                                           .labels = labels,
                                                           .first = first,
                                                           .codes = codes},
                                  &err),
                  AK_OK);
    assert_status(ak_index_commit(ix, &err), AK_OK);
    s = ak_index_snapshot(ix);
    bytes = ak_snapshot_bytes(s);
    ak_snapshot_drop(s);
    /* 8 + 0 + 4, and what heads the parts. */
    assert_in_range(bytes, 12 * ROWS, 12 * ROWS + ROWS / 5);

    /* A relabelled row costs its list, a dead one a bitmap of its segment. */
    assert_status(ak_index_relabel(ix, 5, (const uint32_t[]){1, 2, 3}, 3, &err),
                  AK_OK);
    assert_status(ak_index_kill(ix, 5000, &err), AK_OK);
    assert_status(ak_index_commit(ix, &err), AK_OK);
    s = ak_index_snapshot(ix);
    assert_in_range(ak_snapshot_bytes(s), bytes + 16 + AK_SEGMENT_ROWS / 8,
                    bytes + 16 + AK_SEGMENT_ROWS / 8 + 128);
    ak_snapshot_drop(s);
    ak_index_destroy(ix);
}

/* Of what is being made of as many codes: the next column has them, a partition
   has them in another order, with the ordinal, bucket and distance of each. */
static void memory_of_what_is_being_made_is_reported(void **state)
{
    enum { ROWS = 16 * AK_SEGMENT_ROWS };
    const struct ak_partition_params params = {
        .n_buckets = 8, .n_sample = 100, .seed = 3, .forced = true};
    static struct ak_id ids[ROWS];
    static uint8_t codes[ROWS * 8];
    struct ak_index *ix = NULL;
    struct ak_column *column = NULL;
    struct ak_partition_build *build = NULL;
    struct ak_snapshot *s;
    size_t bytes, most = 0;
    bool done = false;

    (void)state;
    for (size_t i = 0; i < ROWS; i++)
        ids[i].number = i;
    assert_status(ak_column_create(64, &column, NULL), AK_OK);
    assert_in_range(ak_column_bytes(column), 1, 4096);
    assert_status(ak_column_append(column, codes, ROWS, NULL), AK_OK);
    assert_in_range(ak_column_bytes(column), 8 * ROWS, 9 * ROWS);
    ak_column_destroy(column);

    assert_status(ak_index_create(64, AK_ID_INTEGER, &ix, NULL), AK_OK);
    assert_status(
        ak_index_append(
            ix, &(struct ak_index_batch){.n = ROWS, .ids = ids, .codes = codes},
            NULL),
        AK_OK);
    assert_status(ak_index_commit(ix, NULL), AK_OK);
    s = ak_index_snapshot(ix);
    assert_status(ak_partition_build_create_with(s, &params, &build, NULL),
                  AK_OK);
    ak_snapshot_drop(s);
    while (!done) {
        assert_status(ak_partition_build_step(build, &done, NULL), AK_OK);
        bytes = ak_partition_build_bytes(build);
        most = bytes > most ? bytes : most;
    }
    assert_in_range(most, (8 + 4 + 2 + 2) * ROWS, 20 * ROWS);
    ak_partition_build_destroy(build);
    ak_index_destroy(ix);
}

/* Rows without labels, ids in order. */
static void append_plain(struct ak_index *ix, uint64_t from, size_t n,
                         const uint8_t *codes)
{
    static struct ak_id ids[2 * AK_SEGMENT_ROWS];

    for (size_t i = 0; i < n; i++)
        ids[i].number = from + i;
    assert_status(
        ak_index_append(
            ix, &(struct ak_index_batch){.n = n, .ids = ids, .codes = codes},
            NULL),
        AK_OK);
}

static size_t bytes_of(struct ak_index *ix)
{
    struct ak_snapshot *s;
    size_t bytes;

    assert_status(ak_index_commit(ix, NULL), AK_OK);
    s = ak_index_snapshot(ix);
    bytes = ak_snapshot_bytes(s);
    ak_snapshot_drop(s);
    return bytes;
}

static void a_segment_of_dead_rows_gives_its_memory_back(void **state)
{
    static uint8_t codes[2 * AK_SEGMENT_ROWS * 2];
    struct ak_index *ix = new_index();
    struct ak_snapshot *before, *after;
    const uint32_t label = 3;
    size_t full, rest;
    uint8_t code[2];

    (void)state;
    memset(codes, 0x5a, sizeof(codes));
    append_plain(ix, 100, 2 * AK_SEGMENT_ROWS, codes);
    full = bytes_of(ix);
    before = ak_index_snapshot(ix);
    for (uint64_t i = 1; i < AK_SEGMENT_ROWS; i++)
        assert_status(ak_index_kill(ix, i, NULL), AK_OK);
    assert_true(bytes_of(ix) > full); /* one is alive */
    assert_false(ak_index_all_dead(ix, 0));
    assert_status(ak_index_kill(ix, 0, NULL), AK_OK);
    rest = bytes_of(ix);
    assert_true(ak_index_all_dead(ix, 0));
    assert_false(ak_index_all_dead(ix, 1));
    assert_true(rest < full / 2 + 256);

    /* Still there, and as dead as before. */
    after = ak_index_snapshot(ix);
    assert_int_equal(ak_snapshot_rows(after), 2 * AK_SEGMENT_ROWS);
    assert_int_equal(ak_snapshot_live(after), AK_SEGMENT_ROWS);
    assert_false(ak_snapshot_alive(after, 7));
    assert_int_equal(ak_snapshot_next(after, 0, NULL), AK_SEGMENT_ROWS);
    assert_status(ak_index_kill(ix, 7, NULL), AK_ENOTFOUND);
    assert_status(ak_index_relabel(ix, 7, &label, 1, NULL), AK_OK);
    assert_int_equal(bytes_of(ix), rest);
    /* And for those who came before, alive. */
    assert_int_equal(ak_snapshot_live(before), 2 * AK_SEGMENT_ROWS);
    assert_int_equal(ak_snapshot_id(before, 7).number, 107);
    ak_snapshot_code(before, 7, code);
    assert_memory_equal(code, codes, 2);
    ak_snapshot_drop(before);
    ak_snapshot_drop(after);
    ak_index_destroy(ix);
}

/* As a start finds them, and as a column that was begun while they lived. */
static void segments_of_dead_rows_come_in_each_way(void **state)
{
    static uint8_t codes[2 * AK_SEGMENT_ROWS * 2];
    static uint64_t bits[AK_SEGMENT_ROWS / 64];
    static bool dead[AK_SEGMENT_ROWS];
    static struct ak_id ids[AK_SEGMENT_ROWS];
    const struct ak_index_segment whole = {.dead = bits, .codes = codes};
    struct ak_index *ix = new_index();
    struct ak_column *column = NULL;
    struct ak_err err = {0};

    (void)state;
    memset(bits, 0xff, sizeof(bits));
    memset(dead, true, sizeof(dead));
    assert_status(ak_index_append_segment(ix, &whole, NULL), AK_OK);
    assert_status(ak_index_append(ix,
                                  &(struct ak_index_batch){.n = AK_SEGMENT_ROWS,
                                                           .ids = ids,
                                                           .codes = codes,
                                                           .dead = dead},
                                  NULL),
                  AK_OK);
    append_plain(ix, 0, 2 * AK_SEGMENT_ROWS, codes);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(ak_index_all_dead(ix, i), i < 2);
    assert_status(ak_column_create(16, &column, NULL), AK_OK);
    assert_status(ak_column_append_dead(column, NULL), AK_OK);
    assert_status(ak_column_append(column, codes, 1, NULL), AK_OK);
    assert_status(ak_column_append_dead(column, &err), AK_EINVAL);
    assert_string_equal(err.text, "a segment behind 4097 rows");
    assert_status(
        ak_column_append(column, codes, 2 * AK_SEGMENT_ROWS - 1, NULL), AK_OK);
    assert_status(ak_column_append(column, codes, AK_SEGMENT_ROWS, NULL),
                  AK_OK);
    for (uint64_t i = 0; i < AK_SEGMENT_ROWS; i++)
        assert_status(ak_index_kill(ix, 2 * AK_SEGMENT_ROWS + i, NULL), AK_OK);
    assert_status(ak_index_install(ix, column, NULL, 1, NULL), AK_OK);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(ak_index_all_dead(ix, i), i < 3);
    assert_true(bytes_of(ix) < 10 * AK_SEGMENT_ROWS); /* 8 and some */
    ak_index_destroy(ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_show_after_the_commit_only),
        cmocka_unit_test(ids_of_full_segments_take_less_and_stay),
        cmocka_unit_test(what_is_not_there_cannot_be_changed),
        cmocka_unit_test(a_column_needs_exactly_all_rows),
        cmocka_unit_test(a_model_lives_as_long_as_its_last_snapshot),
        cmocka_unit_test(memory_is_reported_and_small),
        cmocka_unit_test(memory_of_what_is_being_made_is_reported),
        cmocka_unit_test(a_segment_of_dead_rows_gives_its_memory_back),
        cmocka_unit_test(segments_of_dead_rows_come_in_each_way),
    };

    return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
