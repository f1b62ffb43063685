/* json.c, safetensors.c and import.c: what is read, and what is refused. */
#include "tests/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/nn/import.h"

/* ---- making files ------------------------------------------------------- */

struct file {
    uint8_t bytes[4096];
    size_t len;
};

static struct file file_of(const char *header, const void *data, size_t len)
{
    struct file f = {.len = 8 + strlen(header) + len};

    assert_true(f.len <= sizeof(f.bytes));
    f.bytes[0] = (uint8_t)strlen(header);
    f.bytes[1] = (uint8_t)(strlen(header) >> 8);
    memcpy(f.bytes + 8, header, strlen(header));
    if (len > 0)
        memcpy(f.bytes + 8 + strlen(header), data, len);
    return f;
}

/* From memory of its exact size, for what watches accesses. */
static enum ak_status parse(const struct file *f, struct ak_safetensors *st,
                            uint8_t **copy, struct ak_err *err)
{
    *copy = malloc(f->len + (f->len == 0));
    assert_non_null(*copy);
    memcpy(*copy, f->bytes, f->len);
    return ak_safetensors_parse(*copy, f->len, st, err);
}

/* ---- safetensors -------------------------------------------------------- */

static void tensors_are_found_by_name(void **state)
{
    const float floats[] = {1.5f, -2, 3};
    struct file f = file_of(
        "{\"__metadata__\":{\"a\":[1,{\"b\":null}]},"
        "\"\\u00e9\\ud83d\\ude00\\n\" : {\"dtype\":\"F32\",\"shape\":[1,2],"
        "\"data_offsets\":[0,8]}, \"a\":{\"shape\":[],"
        "\"data_offsets\":[8,12],\"dtype\":\"F32\"},"
        "\"none\":{\"dtype\":\"F64\",\"shape\":[3,0],"
        "\"data_offsets\":[12,12]}}  \n",
        floats, sizeof(floats));
    struct ak_safetensors st;
    struct ak_err err = {0};
    const struct ak_tensor *t;
    float out[2];
    uint8_t *copy;

    (void)state;
    assert_status(parse(&f, &st, &copy, &err), AK_OK);
    assert_int_equal(st.n, 3);
    t = ak_safetensors_find(&st, "\xc3\xa9\xf0\x9f\x98\x80\n");
    assert_non_null(t);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[1], 2);
    assert_status(ak_tensor_floats(t, out, &err), AK_OK);
    assert_true(out[0] == 1.5f && out[1] == -2.0f);
    t = ak_safetensors_find(&st, "a");
    assert_int_equal(t->n, 1);
    assert_status(ak_tensor_floats(t, out, &err), AK_OK);
    assert_true(out[0] == 3.0f);
    assert_int_equal(ak_safetensors_find(&st, "none")->n, 0);
    assert_null(ak_safetensors_find(&st, "b"));
    ak_safetensors_clear(&st);
    free(copy);
}

static void floats_of_every_size_are_read(void **state)
{
    const uint8_t data[] = {0,    0,    0, 0, 0, 0, 4, 0x40, /* 2.5 */
                            0,    0x3e,                      /* 1.5 */
                            0xc0, 0x3f, /* 1.5 as the half of a float */
                            7};
    struct file f = file_of("{\"d\":{\"dtype\":\"F64\",\"shape\":[1],"
                            "\"data_offsets\":[0,8]},"
                            "\"h\":{\"dtype\":\"F16\",\"shape\":[1],"
                            "\"data_offsets\":[8,10]},"
                            "\"b\":{\"dtype\":\"BF16\",\"shape\":[1],"
                            "\"data_offsets\":[10,12]},"
                            "\"u\":{\"dtype\":\"U8\",\"shape\":[1],"
                            "\"data_offsets\":[12,13]}}",
                            data, sizeof(data));
    struct ak_safetensors st;
    struct ak_err err = {0};
    float out;
    uint8_t *copy;

    (void)state;
    assert_status(parse(&f, &st, &copy, &err), AK_OK);
    assert_status(ak_tensor_floats(ak_safetensors_find(&st, "d"), &out, &err),
                  AK_OK);
    assert_true(out == 2.5f);
    assert_status(ak_tensor_floats(ak_safetensors_find(&st, "h"), &out, &err),
                  AK_OK);
    assert_true(out == 1.5f);
    assert_status(ak_tensor_floats(ak_safetensors_find(&st, "b"), &out, &err),
                  AK_OK);
    assert_true(out == 1.5f);
    assert_status(ak_tensor_floats(ak_safetensors_find(&st, "u"), &out, &err),
                  AK_EINVAL);
    assert_string_equal(err.text, "u is of type U8, must be a float");
    ak_safetensors_clear(&st);
    free(copy);
}

#define T(name, shape, offsets)                       \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":" shape \
    ",\"data_offsets\":" offsets "}"

static void damaged_files_are_refused(void **state)
{
    static const struct {
        const char *header, *why;
    } cases[] = {
        {"", "byte 0: must be an object"},
        {"[]", "byte 0: must be an object"},
        {"{", "byte 1: must be a string"},
        {"{\"a\"", "byte 4: must be a colon"},
        {"{\"a", "byte 3: ends inside a string"},
        {"{\"a\\x\":1}", "byte 4: no escape of JSON"},
        {"{\"\\u0000\":1}", "byte 8: no escape of JSON"},
        {"{\"\\ud800a\":1}", "byte 8: no escape of JSON"},
        {"{\"a\tb\":1}", "byte 4: a control character in a string"},
        {"{\"__metadata__\":01}", "byte 17: must be a comma or the end"},
        {"{\"__metadata__\":-}", "byte 17: must be a value"},
        {"{\"__metadata__\":1.}", "byte 18: must be a value"},
        {"{\"__metadata__\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}",
         "byte 32: nested too deep"},
        {"{\"a\":{}}", "byte 7: a tensor without dtype, shape or data_offsets"},
        {"{\"a\":{\"x\":1}}",
         "byte 10: must be dtype, shape and data_offsets, once"},
        {"{\"a\":{\"shape\":[],\"shape\":[]}}",
         "byte 25: must be dtype, shape and data_offsets, once"},
        {"{\"a\":{\"dtype\":\"C64\"}}",
         "byte 19: no type of tensor that is known"},
        {"{\"a\":{\"shape\":[1,1,1,1,1,1,1,1,1]}}",
         "byte 31: more than 8 dimensions"},
        {"{\"a\":{\"shape\":[4294967296,4294967296]}}",
         "byte 36: a shape that is too large"},
        {"{\"a\":{\"shape\":[18446744073709551616]}}",
         "byte 35: a number that is too large"},
        {"{\"a\":{\"shape\":[-1]}}", "byte 15: must be a whole number"},
        {"{\"a\":{\"shape\":[1.0]}}", "byte 16: must be a whole number"},
        {"{" T("a", "[2]", "[0,3]") "}",
         "byte 52: data_offsets outside of the file"},
        {"{" T("a", "[1]", "[0,2]") "}",
         "byte 52: data_offsets that do not fit the shape"},
        {"{" T("a", "[2]", "[2,0]") "}",
         "byte 52: data_offsets outside of the file"},
        {"{" T("a", "[0]", "[0]") "}",
         "byte 50: data_offsets outside of the file"},
        {"{" T("a", "[1]", "[0,1]") "," T("b", "[1]", "[0,1]") "}",
         "tensor b begins at byte 0, must be 1"},
        {"{" T("a", "[1]", "[1,2]") "}",
         "tensor a begins at byte 1, must be 0"},
        {"{" T("a", "[1]", "[0,1]") "}",
         "tensors end at byte 1, the file at 2"},
        {"{}", "tensors end at byte 0, the file at 2"},
        {"{" T("a", "[1]", "[0,1]") "," T("a", "[1]", "[1,2]") "}",
         "two tensors a"},
        {"{" T("a", "[2]", "[0,2]") "}x", "byte 53: must be the end"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct file f = file_of(cases[i].header, "xy", 2);
        struct ak_safetensors st = {0};
        struct ak_err err = {0};
        uint8_t *copy;

        assert_status(parse(&f, &st, &copy, &err), AK_ECORRUPT);
        assert_string_equal(err.text, cases[i].why);
        assert_null(st.tensors);
        free(copy);
    }
}

static void files_that_are_cut_short_are_refused(void **state)
{
    struct file f = file_of("{" T("a", "[2]", "[0,2]") "}", "xy", 2);
    size_t whole = f.len;

    (void)state;
    for (f.len = 0; f.len < whole; f.len++) {
        struct ak_safetensors st = {0};
        struct ak_err err = {0};
        uint8_t *copy;

        assert_status(parse(&f, &st, &copy, &err), AK_ECORRUPT);
        free(copy);
    }
}

/* ---- named -------------------------------------------------------------- */

static struct ak_graph *graph(const char *lines)
{
    struct ak_graph *g = NULL;
    struct ak_err err = {0};
    char text[512];

    snprintf(text, sizeof(text),
             "akin-net 1\ninput x 2 1 1\n%s\nfeature l\noutput l\n", lines);
    if (ak_graph_parse(text, strlen(text), &g, &err) != AK_OK)
        fail_msg("%s", err.text);
    return g;
}

#define F(name, shape, offsets)                        \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape \
    ",\"data_offsets\":" offsets "}"

static void assert_named(const char *header, const float *data, size_t n,
                         const char *why)
{
    struct ak_graph *g = graph("linear l x out=1");
    struct file f = file_of(header, data, n * sizeof(*data));
    struct ak_safetensors st;
    struct ak_err err = {0};
    float values[32];
    uint8_t *copy;

    assert_status(parse(&f, &st, &copy, &err), AK_OK);
    if (why == NULL) {
        assert_status(ak_import_named(g, &st, values, &err), AK_OK);
        assert_true(values[0] == 4.0f && values[1] == 5.0f);
        assert_true(values[16] == 6.0f);
    } else {
        assert_status(ak_import_named(g, &st, values, &err),
                      strstr(why, "finite") ? AK_ENUMERIC : AK_EINVAL);
        assert_string_equal(err.text, why);
    }
    ak_safetensors_clear(&st);
    free(copy);
    ak_graph_destroy(g);
}

static void tensors_become_parameters_by_name(void **state)
{
    const float data[] = {4, 5, 6};
    const float wrong[] = {4, INFINITY, 6};

    (void)state;
    assert_named("{" F("l.weight", "[1,2]", "[0,8]") "," F("l.bias", "[1]",
                                                           "[8,12]") "}",
                 data, 3, NULL);
    assert_named("{" F("l.weight", "[1,2]", "[0,8]") "}", data, 2,
                 "there is no tensor l.bias");
    assert_named("{" F("l.weight", "[2,1]", "[0,8]") "," F("l.bias", "[1]",
                                                           "[8,12]") "}",
                 data, 3, "l.weight is (2,1), must be (1,2)");
    assert_named(
        "{" F("l.weight", "[1,2]", "[0,8]") "," F(
            "l.bias", "[1]", "[8,12]") "," F("m.bias", "[0]", "[12,12]") "}",
        data, 3, "m.bias is no parameter of the architecture");
    assert_named("{" F("l.weight", "[1,2]", "[0,8]") "," F("l.bias", "[1]",
                                                           "[8,12]") "}",
                 wrong, 3, "l.weight: value 1 is inf, must be finite");
}

/* ---- quantised ---------------------------------------------------------- */

static const char quantised_header[] =
    "{\"00_conv.weight\":{\"dtype\":\"U8\",\"shape\":[2,1,1,2],"
    "\"data_offsets\":[0,4]},"
    "\"01_dw.weight\":{\"dtype\":\"U8\",\"shape\":[1,1,1,2],"
    "\"data_offsets\":[4,6]},"
    "\"02_conv.weight\":{\"dtype\":\"U8\",\"shape\":[1,1,1,2],"
    "\"data_offsets\":[6,8]},"
    "\"00_conv.bias\":{\"dtype\":\"I32\",\"shape\":[2],"
    "\"data_offsets\":[8,16]},"
    "\"01_dw.bias\":{\"dtype\":\"I32\",\"shape\":[2],"
    "\"data_offsets\":[16,24]},"
    "\"02_conv.bias\":{\"dtype\":\"I32\",\"shape\":[1],"
    "\"data_offsets\":[24,28]}}";

#define OP(name, scale, zero, bias)                                     \
    "{\"name\":\"" name "\",\"op\":\"X\",\"in\":[1],\"w_scale\":" scale \
    ",\"w_zero_point\":" zero ",\"b_scale\":" bias "}"

static const char quantised_graph[] = "{\"tensors\":[{\"id\":0}],\"ops\":[" OP(
    "00_conv", "0.5", "10",
    "2") "," OP("01_dw", "0.25", "0",
                "1") ",{\"op\":\"ADD\"}," OP("02_conv", "1", "128", "1e1") "]}";

static const char quantised_layers[] = "conv c x out=2 k=1\nbn b c eps=0.001\n"
                                       "conv d b out=2 k=1 groups=2\nbn e d\n"
                                       "linear l e out=1";

static struct file quantised_file(void)
{
    uint8_t data[28] = {10, 12, 14, 6, 4, 8, 129, 126};
    const int32_t biases[5] = {3, -4, 5, 6, 7};

    memcpy(data + 8, biases, sizeof(biases));
    return file_of(quantised_header, data, sizeof(data));
}

static void quantised_values_are_scaled(void **state)
{
    struct ak_graph *g = graph(quantised_layers);
    struct file f = quantised_file();
    struct ak_safetensors st;
    struct ak_err err = {0};
    float *v = ak_array_new(g->n_values, sizeof(*v));
    uint8_t *copy;
    const struct ak_param *p;

    (void)state;
    assert_non_null(v);
    assert_status(parse(&f, &st, &copy, &err), AK_OK);
    if (ak_import_quantised(g, &st, quantised_graph, strlen(quantised_graph), v,
                            &err) != AK_OK)
        fail_msg("%s", err.text);
    p = ak_graph_param(g, 1, AK_PARAM_WEIGHT);
    assert_true(v[p->offset] == 0.0f && v[p->offset + 1] == 1.0f);
    assert_true(v[p->offset + 2] == 2.0f && v[p->offset + 3] == -2.0f);
    p = ak_graph_param(g, 2, AK_PARAM_BETA);
    assert_true(v[p->offset] == 6.0f && v[p->offset + 1] == -8.0f);
    p = ak_graph_param(g, 2, AK_PARAM_VAR);
    assert_true(v[p->offset] + 0.001f == 1.0f);
    p = ak_graph_param(g, 3, AK_PARAM_WEIGHT);
    assert_true(v[p->offset] == 1.0f && v[p->offset + 1] == 2.0f);
    p = ak_graph_param(g, 5, AK_PARAM_WEIGHT);
    assert_true(v[p->offset] == 1.0f && v[p->offset + 1] == -2.0f);
    p = ak_graph_param(g, 5, AK_PARAM_BIAS);
    assert_true(v[p->offset] == 70.0f);
    ak_safetensors_clear(&st);
    free(copy);
    ak_array_free(v);
    ak_graph_destroy(g);
}

static void assert_quantised(const char *layers, const char *json,
                             enum ak_status status, const char *why)
{
    struct ak_graph *g = graph(layers);
    struct file f = quantised_file();
    struct ak_safetensors st;
    struct ak_err err = {0};
    float *v = ak_array_new(g->n_values, sizeof(*v));
    uint8_t *copy;

    assert_non_null(v);
    assert_status(parse(&f, &st, &copy, &err), AK_OK);
    assert_status(ak_import_quantised(g, &st, json, strlen(json), v, &err),
                  status);
    assert_string_equal(err.text, why);
    ak_safetensors_clear(&st);
    free(copy);
    ak_array_free(v);
    ak_graph_destroy(g);
}

static void quantised_files_must_fit(void **state)
{
    (void)state;
    assert_quantised("conv c x out=2 k=1\nbn b c\nlinear l b out=1",
                     quantised_graph, AK_EINVAL,
                     "the graph has no operation 01_conv");
    assert_quantised("conv c x out=2 k=1\nlinear l c out=1", quantised_graph,
                     AK_EINVAL, "layer c: no quantised file can have it");
    assert_quantised("conv c x out=3 k=1\nbn b c\nlinear l b out=1",
                     quantised_graph, AK_EINVAL,
                     "00_conv.weight is (2,1,1,2), must be (3,1,1,2)");
    assert_quantised(quantised_layers, "{\"ops\":[]}", AK_EINVAL,
                     "the graph has no operation 00_conv");
    assert_quantised(quantised_layers,
                     "{\"ops\":[" OP("00_conv", "0.5", "256", "2") "]}",
                     AK_ECORRUPT,
                     "the graph: byte 89: needs w_scale, b_scale and "
                     "w_zero_point");
    assert_quantised(quantised_layers, "{\"ops\":[1]}", AK_ECORRUPT,
                     "the graph: byte 8: must be an object");
    assert_quantised("conv c x out=2 k=1 bias=1\nlinear l c out=1",
                     quantised_graph, AK_EINVAL,
                     "the graph has no operation 01_conv");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_found_by_name),
        cmocka_unit_test(floats_of_every_size_are_read),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(files_that_are_cut_short_are_refused),
        cmocka_unit_test(tensors_become_parameters_by_name),
        cmocka_unit_test(quantised_values_are_scaled),
        cmocka_unit_test(quantised_files_must_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
