/* test_space.c -- vectors of one row in several spaces. */
#include "tests/storage/fixture.h"

#include <stdlib.h>
#include <string.h>

#include "tests/storage/older.h"

#define WIDE 24 /* bytes of a row in the other space */
#define ROWS 20

/* What a row has in the other space. */
static void fill(uint8_t *block, uint64_t first, size_t n)
{
    for (size_t i = 0; i < n * WIDE; i++)
        block[i] = (uint8_t)((first * WIDE + i) * 7 + 3);
}

static enum ak_status put(struct fixture *f, const struct ak_space *space,
                          uint64_t first, size_t n)
{
    uint8_t *block = calloc(n + 1, WIDE);
    enum ak_status status;

    assert_non_null(block);
    fill(block, first, n);
    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    status = ak_store_put_vectors(f->store, space, first, n, block, &f->err);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    free(block);
    return status;
}

static struct ak_space add(struct fixture *f)
{
    struct ak_space space;

    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(ak_store_add_space(f->store, WIDE, &space, &f->err), AK_OK);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    assert_int_equal(space.row_bytes, WIDE);
    return space;
}

/* Of `n` rows wanted from `first` on `expected` are there, and right. */
static void assert_got(struct fixture *f, const struct ak_space *space,
                       uint64_t first, size_t n, size_t expected)
{
    uint8_t block[ROWS * WIDE], right[ROWS * WIDE];
    size_t got = 99;

    assert_status(
        ak_view_vectors(f->view, space, first, n, block, &got, &f->err), AK_OK);
    assert_int_equal(got, expected);
    fill(right, first, expected);
    assert_memory_equal(block, right, expected * WIDE);
}

static void rows_have_vectors_in_two_spaces(void **state)
{
    struct fixture *f = *state;
    struct ak_space space;

    put_rows(f, ROWS, NULL, 0);
    space = add(f);
    assert_int_equal(space.number, 1);
    assert_got(f, &space, 0, ROWS, 0);
    assert_status(put(f, &space, 0, 5), AK_OK);
    assert_status(put(f, &space, 9, 3), AK_OK);
    assert_got(f, &space, 0, ROWS, 5);
    assert_got(f, &space, 3, 2, 2);
    assert_got(f, &space, 5, ROWS - 5, 0);
    assert_got(f, &space, 10, ROWS - 10, 2);
    assert_status(put(f, &space, 5, 4), AK_OK);
    assert_got(f, &space, 0, ROWS, 12);
    assert_block(f->view, 0, ROWS, 0);
    /* The block that was read last is of one space. */
    assert_block(f->view, 3, 2, 3);
    assert_got(f, &space, 3, 2, 2);
    close_all(f);
    open_all(f);
    assert_got(f, &space, 0, ROWS, 12);
}

static void new_rows_may_come_in_a_later_space(void **state)
{
    struct fixture *f = *state;
    uint8_t block[3 * WIDE];
    struct ak_receipt receipt;
    struct ak_space space;
    struct ak_change change = {.kind = AK_RECORD_BATCH,
                               .rows = {.n = 3, .block = block}};
    uint8_t out[ROWS * ROW_BYTES];
    size_t got;

    put_rows(f, 2, NULL, 0);
    space = add(f);
    fill(block, 2, 3);
    change.rows.space = space;
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.first_ordinal, 2);
    assert_got(f, &space, 2, 3, 3);
    assert_got(f, &space, 0, 5, 0);
    assert_status(ak_view_vectors(f->view, &(struct ak_space){0, ROW_BYTES}, 0,
                                  5, out, &got, &f->err),
                  AK_OK);
    assert_int_equal(got, 2);
    assert_status(ak_view_block(f->view, &first_space, 0, 5, out, &f->err),
                  AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "row 2 is in no block"));
}

static void what_does_not_fit_is_refused(void **state)
{
    struct fixture *f = *state;
    struct ak_space space, other;
    size_t got;
    uint8_t out[WIDE];

    put_rows(f, ROWS, NULL, 0);
    space = add(f);
    assert_status(put(f, &space, 4, 4), AK_OK);
    assert_status(put(f, &space, 7, 1), AK_EEXISTS);
    assert_status(put(f, &space, 3, 2), AK_EEXISTS);
    assert_status(put(f, &space, 0, ROWS), AK_EEXISTS);
    assert_status(put(f, &space, ROWS - 1, 2), AK_ENOTFOUND);
    assert_status(put(f, &space, UINT64_MAX, 2), AK_ENOTFOUND);
    other = (struct ak_space){space.number, WIDE - 1};
    assert_status(put(f, &other, 0, 1), AK_ENOTFOUND);
    assert_status(ak_view_vectors(f->view, &other, 4, 1, out, &got, &f->err),
                  AK_ECORRUPT);
    other.number = 9;
    assert_status(put(f, &other, 0, 1), AK_ENOTFOUND);
    assert_status(ak_view_vectors(f->view, &space, ROWS, 1, out, &got, &f->err),
                  AK_ENOTFOUND);
    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(ak_store_add_space(f->store, 0, &other, &f->err), AK_EINVAL);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    assert_got(f, &space, 4, 10, 4);
}

/* ------------------------------------------------------------------- dropping */

static enum ak_status count(void *arg, const struct ak_space *space,
                            struct ak_err *err)
{
    unsigned *sum = arg;

    (void)err;
    *sum += 1000 + (unsigned)space->number;
    return AK_OK;
}

static unsigned spaces(struct fixture *f)
{
    unsigned sum = 0;

    assert_status(ak_view_spaces(f->view, count, &sum, &f->err), AK_OK);
    return sum;
}

static enum ak_status drop(struct fixture *f, uint64_t number)
{
    enum ak_status status = AK_OK;
    bool more = true;

    while (more && status == AK_OK) {
        assert_status(ak_store_begin(f->store, &f->err), AK_OK);
        status = ak_store_drop_space(f->store, number, &more, &f->err);
        assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    }
    return status;
}

static uint64_t unused(struct fixture *f)
{
    uint64_t number = 99;
    bool found;

    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(ak_store_unused_space(f->store, &number, &found, &f->err),
                  AK_OK);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    return found ? number : UINT64_MAX;
}

static void a_space_that_nobody_takes_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct ak_space space, next;

    put_rows(f, 300, NULL, 0);
    space = add(f);
    for (uint64_t i = 0; i < 200; i++)
        assert_status(put(f, &space, i, 1), AK_OK);
    assert_int_equal(spaces(f), 2001);
    assert_int_equal(unused(f), space.number);
    assert_status(drop(f, space.number), AK_OK);
    assert_int_equal(unused(f), UINT64_MAX);
    assert_int_equal(spaces(f), 1000);
    next = add(f);
    assert_int_equal(next.number, 2); /* never again 1 */
    assert_got(f, &next, 0, ROWS, 0);
    assert_status(put(f, &space, 0, 1), AK_ENOTFOUND);
    assert_block(f->view, 0, ROWS, 0);
}

static uint64_t freeze(struct fixture *f, uint64_t at_seq, uint64_t space)
{
    struct ak_version version = {.at_seq = at_seq, .space = space};
    uint64_t number;

    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(ak_store_put_version(f->store, &version, bytes_of("model"),
                                       &number, &f->err),
                  AK_OK);
    assert_status(ak_store_flip(f->store, number, 0, &f->err), AK_OK);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    return number;
}

static void install(struct fixture *f, uint64_t space)
{
    struct ak_generation g = {.settings = bytes_of("{}"), .space = space};
    uint64_t number, seq, before, at;

    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(ak_store_begin_generation(f->store, &g, bytes_of("{}"),
                                            &number, &f->err),
                  AK_OK);
    assert_status(ak_store_install(f->store, number, (struct ak_bytes){NULL, 0},
                                   1, &seq, &f->err),
                  AK_OK);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    assert_status(ak_view_generation(f->view, number, &g, &f->err), AK_OK);
    assert_int_equal(g.space, space);
    assert_status(ak_view_generation_at(f->view, seq - 1, &before, &f->err),
                  AK_OK);
    assert_int_equal(before, number - 1);
    assert_status(ak_view_generation_at(f->view, seq, &at, &f->err), AK_OK);
    assert_int_equal(at, number);
}

static enum ak_status find(void *arg, const struct ak_version *v,
                           struct ak_err *err)
{
    uint64_t *spaces_of = arg;

    (void)err;
    spaces_of[v->version] = v->space;
    return AK_OK;
}

static void what_is_in_use_stays(void **state)
{
    struct fixture *f = *state;
    uint64_t spaces_of[3];
    struct ak_space space;

    put_rows(f, ROWS, NULL, 0);
    freeze(f, 1, 0);
    assert_status(drop(f, 0), AK_EINVAL);
    space = add(f);
    install(f, space.number);
    assert_status(drop(f, 0), AK_EINVAL); /* it serves */
    assert_status(drop(f, space.number), AK_EINVAL);
    freeze(f, 2, space.number);
    assert_status(drop(f, 0), AK_EINVAL); /* there is a way back */
    freeze(f, 3, space.number);
    assert_status(ak_view_versions(f->view, find, spaces_of, &f->err), AK_OK);
    assert_int_equal(spaces_of[0], 0);
    assert_int_equal(spaces_of[1], space.number);
    assert_int_equal(spaces_of[2], space.number);
    assert_status(drop(f, space.number), AK_EINVAL);
    assert_int_equal(unused(f), 0);
    assert_status(drop(f, 0), AK_OK);
    assert_int_equal(unused(f), UINT64_MAX);
    assert_int_equal(spaces(f), 1001);
}

/* -------------------------------------------------------------------- erasing */

static void erased_rows_are_zeroes_everywhere(void **state)
{
    static const uint8_t zero[WIDE];
    struct fixture *f = *state;
    struct ak_row_id id = {.number = 3};
    struct ak_change gone = {
        .kind = AK_RECORD_DELETE, .ids = &id, .n_ids = 1, .erase = true};
    struct ak_receipt receipt;
    struct ak_space space, later;
    uint8_t out[WIDE];
    uint64_t n;
    size_t got;

    put_rows(f, ROWS, NULL, 0);
    space = add(f);
    later = add(f);
    assert_status(put(f, &space, 0, 8), AK_OK);
    assert_status(apply_alone(f, &gone, &receipt), AK_OK);
    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(ak_store_erase(f->store, receipt.seq, &n, &f->err), AK_OK);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    assert_int_equal(n, 1);
    /* Also of one that had been computed before. */
    assert_status(put(f, &later, 0, 8), AK_OK);
    close_all(f);
    open_all(f);
    assert_status(ak_view_block(f->view, &first_space, 3, 1, out, &f->err),
                  AK_OK);
    assert_memory_equal(out, zero, ROW_BYTES);
    assert_status(ak_view_vectors(f->view, &space, 3, 1, out, &got, &f->err),
                  AK_OK);
    assert_memory_equal(out, zero, WIDE);
    assert_status(ak_view_vectors(f->view, &later, 3, 1, out, &got, &f->err),
                  AK_OK);
    assert_memory_equal(out, zero, WIDE);
    assert_got(f, &space, 0, 3, 3);
    assert_got(f, &space, 4, ROWS - 4, 4);
    assert_got(f, &later, 4, ROWS - 4, 4);
}

static void a_file_of_the_former_format_is_brought_up(void **state)
{
    struct fixture *f = *state;
    struct ak_space space;

    put_rows(f, ROWS, NULL, 0);
    put_rows(f, 3, NULL, ROWS);
    damage(f, OLDER_FINETUNE OLDER_SPACES);
    open_all(f);
    assert_block(f->view, 0, ROWS + 3, 0);
    assert_int_equal(spaces(f), 1000);
    space = add(f);
    assert_int_equal(space.number, 1);
    assert_status(put(f, &space, 0, 2), AK_OK);
    assert_got(f, &space, 0, 2, 2);
    put_rows(f, 2, NULL, ROWS + 3);
    assert_block(f->view, 0, ROWS + 5, 0);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_fixture, remove_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rows_have_vectors_in_two_spaces),
        TEST(new_rows_may_come_in_a_later_space),
        TEST(what_does_not_fit_is_refused),
        TEST(a_space_that_nobody_takes_is_dropped),
        TEST(what_is_in_use_stays),
        TEST(erased_rows_are_zeroes_everywhere),
        TEST(a_file_of_the_former_format_is_brought_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
