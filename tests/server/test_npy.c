#include "tests/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/npy.h"

#define ALL (AK_NPY_BIT(AK_NPY_DTYPES) - 1)

/* An array of version 1.0 with that header and `len` bytes of elements. */
static void build(struct ak_writer *w, const char *header, const void *data,
                  size_t len)
{
    size_t n = strlen(header);

    w->len = 0;
    ak_write_bytes(w, "\x93NUMPY\1\0", 8);
    ak_write_u8(w, (uint8_t)n);
    ak_write_u8(w, (uint8_t)(n >> 8));
    ak_write_bytes(w, header, n);
    ak_write_bytes(w, data, len);
    assert_status(w->status, AK_OK);
}

static void refuse(const struct ak_writer *w, unsigned accepted,
                   const char *text)
{
    struct ak_npy npy = {0};
    struct ak_err err = {0};

    assert_status(ak_npy_parse(w->data, w->len, accepted, &npy, &err),
                  AK_EINVAL);
    assert_string_equal(err.text, text);
    assert_null(npy.data);
}

/* What NumPy writes, byte for byte: np.save of [[1, 2, 3], [4, 5, 6]]. */
static void reads_what_numpy_writes(void **state)
{
    static const char header[] =
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
        "                                                          \n";
    const float data[6] = {1, 2, 3, 4, 5, 6};
    struct ak_writer w = {0};
    struct ak_npy npy = {0};
    float out[4];

    (void)state;
    build(&w, header, data, sizeof(data));
    assert_int_equal(w.len, 128 + 24);
    assert_status(ak_npy_parse(w.data, w.len, AK_NPY_FLOATS, &npy, NULL),
                  AK_OK);
    assert_int_equal(npy.dtype, AK_NPY_F32);
    assert_int_equal(npy.ndim, 2);
    assert_int_equal(npy.shape[0], 2);
    assert_int_equal(npy.shape[1], 3);
    assert_int_equal(npy.n, 6);
    assert_status(ak_npy_floats(&npy, 1, 4, out, NULL), AK_OK);
    assert_memory_equal(out, data + 1, sizeof(out));
    ak_writer_clear(&w);
}

static void the_writer_is_read_back(void **state)
{
    const uint64_t shape[2] = {UINT32_MAX, 3};

    (void)state;
    for (int dtype = 0; dtype < AK_NPY_DTYPES; dtype++)
        for (uint32_t ndim = 1; ndim <= 2; ndim++) {
            const uint64_t small[2] = {2, 3};
            struct ak_writer w = {0};
            struct ak_npy npy = {0};
            uint8_t data[48] = {0};
            size_t n = ndim == 2 ? 6 : 2;

            ak_npy_write_header(&w, (enum ak_npy_dtype)dtype, ndim, small);
            assert_int_equal(w.len % 64, 0);
            ak_write_bytes(&w, data, n * ak_npy_size((enum ak_npy_dtype)dtype));
            assert_status(ak_npy_parse(w.data, w.len, ALL, &npy, NULL), AK_OK);
            assert_int_equal(npy.dtype, dtype);
            assert_int_equal(npy.ndim, ndim);
            assert_int_equal(npy.n, n);
            ak_writer_clear(&w);
        }
    {
        struct ak_writer w = {0};

        ak_npy_write_header(&w, AK_NPY_U8, 2, shape);
        assert_int_equal(w.len, 128);
        assert_non_null(memmem(w.data, w.len, "(4294967295, 3), }", 18));
        ak_writer_clear(&w);
    }
}

static void key_order_quotes_and_blanks_are_free(void **state)
{
    static const char *const headers[] = {
        "{'shape': (2,), 'descr': '<u2', 'fortran_order': False}",
        "{\"descr\":\"<u2\",\"fortran_order\":False,\"shape\":(2,)}\n",
        "{ 'fortran_order' : False , 'shape' : ( 2 , ) , 'descr' : '<u2' , } ",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (1, 2)}",
        "{'descr': '<u2', 'fortran_order': False, 'shape': (2, 1,), }"};
    struct ak_writer w = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct ak_npy npy = {0};

        build(&w, headers[i], "\1\2\3\4", 4);
        assert_status(ak_npy_parse(w.data, w.len, ALL, &npy, NULL), AK_OK);
        assert_int_equal(npy.n, 2);
        assert_int_equal(ak_npy_integer(&npy, 0).magnitude, 0x0201);
    }
    ak_writer_clear(&w);
}

static void version_2_is_read(void **state)
{
    static const char header[] =
        "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }\n";
    struct ak_writer w = {0};
    struct ak_npy npy = {0};

    (void)state;
    ak_write_bytes(&w, "\x93NUMPY\2\0", 8);
    ak_write_u32(&w, sizeof(header) - 1);
    ak_write_bytes(&w, header, sizeof(header) - 1);
    ak_write_bytes(&w, "abc", 3);
    assert_status(ak_npy_parse(w.data, w.len, AK_NPY_CODES, &npy, NULL), AK_OK);
    assert_memory_equal(npy.data, "abc", 3);
    w.data[10] = 1; /* + 65536 */
    refuse(&w, ALL, "npy: the header has 65594 bytes, at most 65524");
    ak_writer_clear(&w);
}

static void integers_of_every_kind_are_exact(void **state)
{
    static const struct {
        const char *descr;
        const char *bytes;
        size_t len;
        uint64_t magnitude;
        int negative;
    } cases[] = {
        {"|u1", "\xff", 1, 255, 0},
        {"|i1", "\xff", 1, 1, 1},
        {"|i1", "\x80", 1, 128, 1},
        {"<u2", "\xfe\xff", 2, 65534, 0},
        {"<i2", "\x00\x80", 2, 32768, 1},
        {"<u4", "\x01\x00\x00\x80", 4, 2147483649u, 0},
        {"<i4", "\xff\xff\xff\xff", 4, 1, 1},
        {"<i4", "\xff\xff\xff\x7f", 4, 2147483647, 0},
        {"<u8", "\xff\xff\xff\xff\xff\xff\xff\xff", 8, UINT64_MAX, 0},
        {"<i8", "\xff\xff\xff\xff\xff\xff\xff\x7f", 8, INT64_MAX, 0},
        {"<i8", "\0\0\0\0\0\0\0\x80", 8, (uint64_t)1 << 63, 1},
    };
    struct ak_writer w = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char header[96];
        struct ak_npy npy;
        struct ak_npy_integer v;

        snprintf(header, sizeof(header),
                 "{'descr': '%s', 'fortran_order': False, 'shape': (1,), }",
                 cases[i].descr);
        build(&w, header, cases[i].bytes, cases[i].len);
        assert_status(ak_npy_parse(w.data, w.len, AK_NPY_INTEGERS, &npy, NULL),
                      AK_OK);
        assert_string_equal(ak_npy_descr(npy.dtype), cases[i].descr);
        v = ak_npy_integer(&npy, 0);
        assert_true(v.magnitude == cases[i].magnitude);
        assert_int_equal(v.negative, cases[i].negative);
    }
    ak_writer_clear(&w);
}

#define HEADER(descr, order, shape) \
    "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }"

static void says_what_is_wrong(void **state)
{
    static const struct {
        const char *header;
        size_t len;
        unsigned accepted;
        const char *text;
    } cases[] = {
        {HEADER("'<f8'", "False", "(2, 3)"), 48, AK_NPY_FLOATS,
         "npy: descr is \"<f8\", must be \"<f4\""},
        {HEADER("'<f4'", "False", "(2,)"), 8, AK_NPY_CODES,
         "npy: descr is \"<f4\", must be \"|u1\""},
        {HEADER("'>f4'", "False", "(2,)"), 8, AK_NPY_FLOATS,
         "npy: descr is \">f4\", must be \"<f4\""},
        {HEADER("'|O'", "False", "(2,)"), 8, AK_NPY_INTEGERS,
         "npy: descr is \"|O\", must be \"|u1\" or \"|i1\" or \"<u2\" or "
         "\"<i2\" or \"<u4\" or \"<i4\" or \"<u8\" or \"<i8\""},
        {HEADER("[('a', '<f4')]", "False", "(2,)"), 8, AK_NPY_FLOATS,
         "npy: in the header, descr is not a plain type such as '<f4'"},
        {HEADER("'<f4'", "True", "(2, 3)"), 24, AK_NPY_FLOATS,
         "npy: fortran_order is True, must be False"},
        {HEADER("'<f4'", "0", "(2, 3)"), 24, AK_NPY_FLOATS,
         "npy: in the header, fortran_order is neither True nor False"},
        {HEADER("'<f4'", "False", "()"), 4, AK_NPY_FLOATS,
         "npy: the array has 0 dimensions, must have 1 or 2"},
        {HEADER("'<f4'", "False", "(1, 1, 1)"), 4, AK_NPY_FLOATS,
         "npy: the array has 3 dimensions, must have 1 or 2"},
        {HEADER("'<f4'", "False", "(1)"), 4, AK_NPY_FLOATS,
         "npy: in the header, shape is not a tuple of sizes below 2^64"},
        {HEADER("'<f4'", "False", "(-1, 4)"), 4, AK_NPY_FLOATS,
         "npy: in the header, shape is not a tuple of sizes below 2^64"},
        {HEADER("'<f4'", "False", "(18446744073709551616,)"), 4, AK_NPY_FLOATS,
         "npy: in the header, shape is not a tuple of sizes below 2^64"},
        {HEADER("'<f4'", "False", "(4294967296, 4294967296)"), 0, AK_NPY_FLOATS,
         "npy: a shape of 4294967296 x 4294967296 is more than memory holds"},
        {HEADER("'<f4'", "False", "(4611686018427387905,)"), 4, AK_NPY_FLOATS,
         "npy: a shape of 4611686018427387905 x 1 is more than memory holds"},
        {HEADER("'<f4'", "False", "(1000, 784)"), 96, AK_NPY_FLOATS,
         "npy: truncated: needs 3136000 bytes, has 96"},
        {HEADER("'<f4'", "False", "(2, 3)"), 25, AK_NPY_FLOATS,
         "npy: needs 24 bytes, has 25"},
        {"{'descr': '<f4', 'shape': (1,)}", 4, AK_NPY_FLOATS,
         "npy: the header lacks fortran_order"},
        {"{}", 4, AK_NPY_FLOATS, "npy: the header lacks descr"},
        {"{'descr': '<f4', 'fortran_order': False}", 4, AK_NPY_FLOATS,
         "npy: the header lacks shape"},
        {"{'descr': '<f4', 'descr': '<f4'}", 4, AK_NPY_FLOATS,
         "npy: in the header, descr is there twice"},
        {"{'descr': '<f4', 'extra': False}", 4, AK_NPY_FLOATS,
         "npy: in the header, extra is none of descr, fortran_order and "
         "shape"},
        {"__import__('os').system('true')", 4, AK_NPY_FLOATS,
         "npy: the header is not understood at its byte 0"},
        {HEADER("'<f4'", "False", "(1,)") "x", 4, AK_NPY_FLOATS,
         "npy: the header is not understood at its byte 57"},
        {"{,}", 4, AK_NPY_FLOATS,
         "npy: the header is not understood at its byte 1"},
        {"{'descr': '<f4',, }", 4, AK_NPY_FLOATS,
         "npy: the header is not understood at its byte 16"},
        {"", 4, AK_NPY_FLOATS,
         "npy: the header is not understood at its byte 0"},
    };
    static const char zeros[128];
    struct ak_writer w = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        build(&w, cases[i].header, zeros, cases[i].len);
        refuse(&w, cases[i].accepted, cases[i].text);
    }
    w.len = 0;
    ak_write_bytes(&w, "PK\3\4", 4);
    refuse(&w, ALL, "npy: 4 bytes do not begin with \\x93NUMPY");
    w.len = 0;
    ak_write_bytes(&w, "\x93NUMPY\3\0\1\0{", 11);
    refuse(&w, ALL, "npy: version is 3.0, must be 1.0 or 2.0");
    ak_writer_clear(&w);
}

/* No prefix of an array is one, nor is read beyond. */
static void every_truncation_is_refused(void **state)
{
    struct ak_writer w = {0};
    const float data[6] = {0};

    (void)state;
    build(&w, HEADER("'<f4'", "False", "(2, 3)"), data, sizeof(data));
    for (size_t len = 0; len < w.len; len++) {
        uint8_t *copy = malloc(len == 0 ? 1 : len);
        struct ak_npy npy = {0};
        struct ak_err err = {0};

        assert_non_null(copy);
        memcpy(copy, w.data, len);
        assert_status(ak_npy_parse(copy, len, ALL, &npy, &err), AK_EINVAL);
        assert_true(err.text[0] != '\0');
        free(copy);
    }
    ak_writer_clear(&w);
}

static void an_empty_array_is_one(void **state)
{
    struct ak_writer w = {0};
    struct ak_npy npy = {0};

    (void)state;
    build(&w, HEADER("'<f4'", "False", "(0, 784)"), "", 0);
    assert_status(ak_npy_parse(w.data, w.len, ALL, &npy, NULL), AK_OK);
    assert_int_equal(npy.n, 0);
    assert_int_equal(npy.shape[1], 784);
    ak_writer_clear(&w);
}

static void what_is_not_finite_is_named(void **state)
{
    static const struct {
        float value;
        const char *text;
    } cases[] = {{NAN, "row 1, element 2 is nan"},
                 {INFINITY, "row 1, element 2 is infinity"},
                 {-INFINITY, "row 1, element 2 is -infinity"}};
    struct ak_writer w = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        float data[6] = {0, 3.4e38f, -3.4e38f, 1e-45f, -0.0f, 0}, out[6];
        struct ak_npy npy;
        struct ak_err err = {0};

        data[5] = cases[i].value;
        build(&w, HEADER("'<f4'", "False", "(2, 3)"), data, sizeof(data));
        assert_status(ak_npy_parse(w.data, w.len, ALL, &npy, NULL), AK_OK);
        assert_status(ak_npy_floats(&npy, 0, 5, out, NULL), AK_OK);
        assert_memory_equal(out, data, 5 * sizeof(float));
        assert_status(ak_npy_floats(&npy, 3, 3, out, &err), AK_ENUMERIC);
        assert_string_equal(err.text, cases[i].text);
    }
    ak_writer_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_numpy_writes),
        cmocka_unit_test(the_writer_is_read_back),
        cmocka_unit_test(key_order_quotes_and_blanks_are_free),
        cmocka_unit_test(version_2_is_read),
        cmocka_unit_test(integers_of_every_kind_are_exact),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(an_empty_array_is_one),
        cmocka_unit_test(what_is_not_finite_is_named),
    };

    return cmocka_run_group_tests_name("npy", tests, NULL, NULL);
}
