#include "tests/test.h"

#include <string.h>

#include "core/base/rng.h"
#include "core/hash/label_map.h"

enum { N = 3000 };

/* Different labels, far apart and side by side. */
static uint32_t label_of(uint32_t i)
{
    return i % 2 ? i : i * 2654435761u;
}

static void labels_are_found_in_order_of_first_sight(void **state)
{
    struct ak_label_map m = {0};
    uint32_t n = 0;

    (void)state;
    assert_int_equal(ak_label_map_find(&m, 5), AK_NO_CLASS);
    for (uint32_t i = 0; i < N; i++) {
        assert_status(ak_label_map_reserve(&m, n + 1, NULL), AK_OK);
        if (ak_label_map_find(&m, label_of(i)) == AK_NO_CLASS)
            assert_int_equal(ak_label_map_add(&m, label_of(i)), n++);
    }
    assert_int_equal(m.n, n);
    for (uint32_t c = 0; c < n; c++)
        assert_int_equal(ak_label_map_find(&m, m.labels[c]), c);
    assert_int_equal(ak_label_map_find(&m, 2), AK_NO_CLASS);
    ak_label_map_clear(&m);
}

static void truncation_forgets_the_last(void **state)
{
    struct ak_label_map m = {0};

    (void)state;
    assert_status(ak_label_map_reserve(&m, 40, NULL), AK_OK);
    for (uint32_t i = 0; i < 40; i++)
        ak_label_map_add(&m, 16 * i);
    ak_label_map_truncate(&m, 7);
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(ak_label_map_find(&m, 16 * i),
                         i < 7 ? i : AK_NO_CLASS);
    assert_int_equal(ak_label_map_add(&m, 16 * 20), 7);
    ak_label_map_clear(&m);
}

static void a_saved_map_is_read_back_and_checked(void **state)
{
    struct ak_label_map m = {0}, back = {0};
    struct ak_writer w = {0};
    struct ak_reader r;
    struct ak_err err = {0};

    (void)state;
    assert_status(ak_label_map_reserve(&m, 3, NULL), AK_OK);
    for (uint32_t i = 0; i < 3; i++)
        ak_label_map_add(&m, UINT32_MAX - i);
    ak_label_map_write(&m, &w);
    ak_reader_init(&r, w.data, w.len);
    assert_status(ak_label_map_read(&back, 3, &r, &err), AK_OK);
    assert_int_equal(ak_label_map_find(&back, UINT32_MAX - 2), 2);

    ak_reader_init(&r, w.data, w.len);
    assert_status(ak_label_map_read(&back, 2, &r, &err), AK_ECORRUPT);
    assert_string_equal(err.text, "there are 3 labels in 12 bytes, at most 2");
    ak_reader_init(&r, w.data, w.len - 1);
    assert_status(ak_label_map_read(&back, 3, &r, &err), AK_ECORRUPT);
    memcpy(w.data + 8, w.data + 4, 4);
    ak_reader_init(&r, w.data, w.len);
    assert_status(ak_label_map_read(&back, 3, &r, &err), AK_ECORRUPT);
    assert_string_equal(err.text, "label 4294967295 is there twice");
    ak_writer_clear(&w);
    ak_label_map_clear(&m);
    ak_label_map_clear(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_found_in_order_of_first_sight),
        cmocka_unit_test(truncation_forgets_the_last),
        cmocka_unit_test(a_saved_map_is_read_back_and_checked),
    };

    return cmocka_run_group_tests_name("label map", tests, NULL, NULL);
}
