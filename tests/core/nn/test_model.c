/* model.c: a file gives back what was written, or an error. */
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/mem.h"
#include "core/nn/model.h"
#include "core/nn/weights.h"
#include "core/nn/zoo.h"

static char notes[] = "arch: tiny\ntop1: 0.5\n";

static struct ak_writer write_tiny(void)
{
    struct ak_model m = {.notes = notes};
    struct ak_writer w = {0};
    struct ak_err err = {0};

    assert_status(ak_arch_graph("tiny", 0, &m.g, &err), AK_OK);
    m.values = ak_array_new(m.g->n_values, sizeof(*m.values));
    assert_non_null(m.values);
    ak_weights_init(m.g, 4, m.values);
    assert_status(ak_model_write(&m, &w, &err), AK_OK);
    m.notes = NULL;
    ak_model_clear(&m);
    return w;
}

/* So that the checksum is right, and what is behind it is looked at. */
static void sign(struct ak_writer *w)
{
    uint32_t crc = ak_crc32(w->data, w->len - 4);

    memcpy(w->data + w->len - 4, &crc, sizeof(crc));
}

static void a_written_model_is_read_back(void **state)
{
    struct ak_writer w = write_tiny(), again = {0};
    struct ak_model m;
    struct ak_err err = {0};
    float *values;

    (void)state;
    assert_status(ak_model_read(w.data, w.len, &m, &err), AK_OK);
    assert_string_equal(m.notes, notes);
    values = ak_array_new(m.g->n_values, sizeof(*values));
    assert_non_null(values);
    ak_weights_init(m.g, 4, values);
    assert_memory_equal(m.values, values, m.g->n_values * sizeof(*values));
    assert_status(ak_model_write(&m, &again, &err), AK_OK);
    assert_int_equal(again.len, w.len);
    assert_memory_equal(again.data, w.data, w.len);
    ak_array_free(values);
    ak_model_clear(&m);
    ak_writer_clear(&again);
    ak_writer_clear(&w);
}

static void every_changed_byte_is_seen(void **state)
{
    struct ak_writer w = write_tiny();
    struct ak_model m;

    (void)state;
    for (size_t i = 0; i < w.len; i += i < 600 ? 1 : 97) {
        w.data[i] ^= 0x10;
        assert_int_not_equal(ak_model_read(w.data, w.len, &m, NULL), AK_OK);
        w.data[i] ^= 0x10;
    }
    for (size_t len = 0; len < w.len; len += len < 600 ? 1 : 97)
        assert_int_not_equal(ak_model_read(w.data, len, &m, NULL), AK_OK);
    ak_writer_clear(&w);
}

static void what_is_wrong_is_said(void **state)
{
    struct ak_writer w = write_tiny();
    struct ak_model m;
    struct ak_err err = {0};
    float nan = NAN;

    (void)state;
    assert_status(ak_model_read("AKINNET", 7, &m, &err), AK_EINVAL);
    assert_string_equal(err.text, "not a model file of akin");
    assert_status(ak_model_read(w.data, 14, &m, &err), AK_ECORRUPT);
    assert_string_equal(err.text, "ends after 14 bytes");
    w.data[8] = 2;
    assert_status(ak_model_read(w.data, w.len, &m, &err), AK_EUNSUPPORTED);
    assert_string_equal(err.text, "a model file of version 2, must be 1");
    w.data[8] = 1;
    w.len -= 4;
    sign(&w);
    assert_status(ak_model_read(w.data, w.len, &m, &err), AK_ECORRUPT);
    assert_string_equal(err.text, "6532 bytes of values, the graph has 6536");
    w.len += 4;
    memcpy(w.data + w.len - 8, &nan, sizeof(nan));
    sign(&w);
    assert_status(ak_model_read(w.data, w.len, &m, &err), AK_ECORRUPT);
    assert_string_equal(err.text, "linear.bias: value 9 is nan");
    w.data[16] = 0;
    sign(&w);
    assert_status(ak_model_read(w.data, w.len, &m, &err), AK_ECORRUPT);
    ak_writer_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_written_model_is_read_back),
        cmocka_unit_test(every_changed_byte_is_seen),
        cmocka_unit_test(what_is_wrong_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
