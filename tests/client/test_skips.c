/* test_skips.c -- which pictures of a batch are left out. */
#include <stdio.h>
#include <string.h>

#include "client/skips.h"
#include "tests/test.h"

#define N 40

struct fixture {
    struct skips skips;
    struct akin_error err;
    struct skip found[AKIN_MAX_FIELD_ERRORS];
    size_t n_found;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state == NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    skips_clear(&f->skips);
    free(f);
    return 0;
}

static void refuse(struct fixture *f, const char *pointer, const char *code)
{
    struct akin_field_error *field = &f->err.fields[f->err.n_fields++];

    snprintf(field->pointer, sizeof(field->pointer), "%s", pointer);
    snprintf(field->code, sizeof(field->code), "%s", code);
}

static void refuse_item(struct fixture *f, size_t item)
{
    char pointer[64];

    snprintf(pointer, sizeof(pointer), "/meta/items/%zu/image", item);
    refuse(f, pointer, "image-undecodable");
}

static bool take(struct fixture *f)
{
    bool took = skips_take(&f->skips, N, &f->err, f->found, &f->n_found);

    f->err.n_fields = 0;
    return took;
}

static void a_picture_that_is_refused_twice_is_left_out(void **state)
{
    struct fixture *f = *state;

    refuse_item(f, 7);
    refuse_item(f, 9);
    assert_true(take(f));
    assert_int_equal(f->n_found, 0);
    refuse_item(f, 9);
    assert_true(take(f));
    assert_int_equal(f->n_found, 1);
    assert_int_equal(f->found[0].place, 9);
    assert_true(f->skips.left_out[9]);
    assert_false(f->skips.left_out[7]);
}

/* The body has fewer rows each time: item 5 of it is another picture. */
static void items_are_counted_without_those_that_are_left_out(void **state)
{
    struct fixture *f = *state;
    bool bad[N] = {false}, out[N] = {false};
    size_t n_bad = 0, n_out = 0, rounds = 0;

    for (size_t i = 0; i < N; i++) {
        bad[i] = i % 5 != 3 || i > 30;
        n_bad += bad[i];
    }
    while (n_out < n_bad) {
        size_t item = 0;

        assert_true(rounds++ < 2 * N);
        for (size_t i = 0; i < N && f->err.n_fields < 3; i++) {
            if (bad[i] && !out[i])
                refuse_item(f, item);
            item += !out[i];
        }
        assert_true(take(f));
        for (size_t i = 0; i < f->n_found; i++) {
            assert_true(bad[f->found[i].place] && !out[f->found[i].place]);
            out[f->found[i].place] = true;
            n_out++;
        }
    }
    assert_memory_equal(out, bad, sizeof(out));
    assert_memory_equal(out, f->skips.left_out, sizeof(out));
}

static void what_is_not_of_a_picture_alone_changes_nothing(void **state)
{
    static const struct {
        const char *pointer, *code;
    } others[] = {{"/meta/items/3/labels", "validation-failed"},
                  {"/meta/items/3/image", "unsupported-option"},
                  {"/meta/items/3/image/x", "image-undecodable"},
                  {"/items/3/image", "image-undecodable"},
                  {"/meta/items/40/image", "image-undecodable"},
                  {"", "image-undecodable"}};
    struct fixture *f = *state;

    assert_false(take(f)); /* no field at all */
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        refuse_item(f, 3);
        refuse(f, others[i].pointer, others[i].code);
        assert_false(take(f));
    }
    refuse_item(f, 3);
    assert_true(take(f));
    assert_int_equal(f->n_found, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_picture_that_is_refused_twice_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(
            items_are_counted_without_those_that_are_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_is_not_of_a_picture_alone_changes_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
