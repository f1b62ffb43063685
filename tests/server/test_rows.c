/* Rows of a request: from each kind of body, and each fault with its place. */
#include "tests/test.h"

#include <math.h>
#include <string.h>

#include "core/base/half.h"
#include "server/body_rows.h"
#include "server/limits.h"
#include "server/npy.h"
#include "server/rows.h"

#define FORM "multipart/form-data; boundary=XX"

static const struct ak_settings floats = {.kind = "hmoh",
                                          .bits = 16,
                                          .dim = 3,
                                          .format = AK_FORMAT_F32,
                                          .multi_label = true};
static const struct ak_settings halves = {.kind = "hmoh",
                                          .bits = 16,
                                          .dim = 3,
                                          .format = AK_FORMAT_F16,
                                          .string_ids = true};
static const struct ak_settings codes = {
    .kind = "external", .bits = 16, .format = AK_FORMAT_CODE};

static struct ak_rows rows;
static struct ak_writer form;

static int setup(void **state)
{
    (void)state;
    memset(&rows, 0, sizeof(rows));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ak_rows_clear(&rows);
    ak_writer_clear(&form);
    return 0;
}

static void read_json(const struct ak_settings *s, const char *text)
{
    char *copy = strdup(text);

    ak_rows_clear(&rows);
    ak_rows_init(&rows, s, NULL, 0);
    ak_body_read_rows(&rows, AK_BODY_JSON, "application/json", (uint8_t *)copy,
                      strlen(text));
    free(copy);
    assert_status(rows.status, AK_OK);
}

static void add_part(const char *name, const void *data, size_t len)
{
    static const char head[] = "--XX\r\nContent-Disposition: form-data; "
                               "name=\"";

    ak_write_bytes(&form, head, strlen(head));
    ak_write_bytes(&form, name, strlen(name));
    ak_write_bytes(&form, "\"\r\n\r\n", 5);
    ak_write_bytes(&form, data, len);
    ak_write_bytes(&form, "\r\n", 2);
}

static void add_npy(const char *name, enum ak_npy_dtype type, uint32_t ndim,
                    uint64_t n, uint64_t width, const void *data)
{
    const uint64_t shape[] = {n, width};
    struct ak_writer w = {0};

    ak_npy_write_header(&w, type, ndim, shape);
    ak_write_bytes(&w, data, (size_t)(n * width) * ak_npy_size(type));
    add_part(name, w.data, w.len);
    ak_writer_clear(&w);
}

static void read_form(const struct ak_settings *s)
{
    ak_write_bytes(&form, "--XX--\r\n", 8);
    ak_rows_clear(&rows);
    ak_rows_init(&rows, s, NULL, 0);
    ak_body_read_rows(&rows, AK_BODY_MULTIPART, FORM, form.data, form.len);
    form.len = 0;
    assert_status(rows.status, AK_OK);
}

static void expect_fault(const char *pointer, const char *code)
{
    if (rows.faults.n == 0 && rows.faults.slug != NULL)
        print_message("# %s: %s\n", rows.faults.slug, rows.faults.detail);
    assert_true(rows.faults.n >= 1);
    assert_string_equal(rows.faults.list[0].pointer, pointer);
    assert_string_equal(rows.faults.list[0].code, code);
}

static void stored(struct ak_store_rows *out)
{
    if (!ak_faults_none(&rows.faults))
        print_message("# %s %s %s\n", rows.faults.list[0].pointer,
                      rows.faults.list[0].detail, rows.faults.detail);
    assert_true(ak_faults_none(&rows.faults));
    assert_status(ak_rows_store(&rows, out, NULL), AK_OK);
}

static void items_of_json_become_rows(void **state)
{
    static const float want[] = {1, 2.5f, -3, 4, 5, 6};
    struct ak_store_rows r;

    (void)state;
    read_json(&floats, "{\"items\":[{\"id\":17,\"vector\":[1,2.5,-3],"
                       "\"labels\":[\"boot\",7],\"payload\":{\"sku\":\"A\"}},"
                       "{\"vector\":[4,5,6],\"id\":9223372036854775807}]}");
    stored(&r);
    assert_int_equal(r.n, 2);
    assert_memory_equal(r.block, want, sizeof(want));
    assert_int_equal(r.ids[0].number, 17);
    assert_int_equal(r.ids[1].number, INT64_MAX);
    assert_int_equal(r.label_first[1], 2);
    assert_int_equal(r.label_first[2], 2);
    assert_int_equal(r.labels[0].len, 4);
    assert_memory_equal(r.labels[0].data, "boot", 4);
    assert_memory_equal(r.labels[1].data, "7", 1);
    assert_int_equal(r.payloads[0].len, 11);
    assert_memory_equal(r.payloads[0].data, "{\"sku\":\"A\"}", 11);
    assert_null(r.payloads[1].data);
    assert_null(r.images);
}

static void ids_may_be_left_out_of_all_items(void **state)
{
    struct ak_store_rows r;

    (void)state;
    read_json(&floats, "{\"items\":[{\"vector\":[1,2,3]}]}");
    stored(&r);
    assert_null(r.ids);
    assert_null(r.labels);
    read_json(&floats, "{\"items\":[{\"vector\":[1,2,3]},"
                       "{\"id\":1,\"vector\":[1,2,3]}]}");
    expect_fault("/items/0/id", "validation-failed");
    read_json(&halves, "{\"items\":[{\"vector\":[1,2,3]}]}");
    expect_fault("/items/0/id", "validation-failed");
}

static void vectors_are_rounded_to_what_is_stored(void **state)
{
    struct ak_store_rows r;
    uint16_t want[3];
    const float x[] = {0.1f, 1000.3f, -65504};

    (void)state;
    read_json(&halves,
              "{\"items\":[{\"id\":\"a\",\"vector\":[0.1,1000.3,-65504]}]}");
    stored(&r);
    ak_half_pack(x, 3, want);
    assert_memory_equal(r.block, want, sizeof(want));
    for (size_t i = 0; i < 3; i++)
        assert_true(ak_rows_vectors(&rows)[i] == ak_half_to_float(want[i]));
    read_json(&halves, "{\"items\":[{\"id\":\"a\",\"vector\":[0.1,65600,0]}]}");
    expect_fault("/items/0/vector", "non-finite-value");
}

static void each_fault_of_an_item_has_its_place(void **state)
{
    static const struct {
        const struct ak_settings *settings;
        const char *item, *pointer, *code;
    } cases[] = {
        {&floats, "{\"vector\":[1,2]}", "/items/1/vector", "dim-mismatch"},
        {&floats, "{\"vector\":[]}", "/items/1/vector", "dim-mismatch"},
        {&floats, "{\"vector\":\"x\"}", "/items/1/vector", "validation-failed"},
        {&floats, "{\"vector\":[1,2,1e39]}", "/items/1/vector",
         "non-finite-value"},
        {&floats, "{\"vector\":[1,2,true]}", "/items/1/vector",
         "validation-failed"},
        {&floats, "{}", "/items/1", "validation-failed"},
        {&floats, "7", "/items/1", "validation-failed"},
        {&floats, "{\"vector\":[1,2,3],\"code\":\"00ff\"}", "/items/1",
         "validation-failed"},
        {&floats, "{\"code\":\"00ff\"}", "/items/1/code", "unsupported-option"},
        {&floats, "{\"image\":\"AAAA\"}", "/items/1/image",
         "unsupported-option"},
        {&floats, "{\"vector\":[1,2,3],\"x\":1}", "/items/1/x",
         "unknown-field"},
        {&floats, "{\"vector\":[1,2,3],\"id\":-1}", "/items/1/id",
         "validation-failed"},
        {&floats, "{\"vector\":[1,2,3],\"id\":\"7\"}", "/items/1/id",
         "validation-failed"},
        {&floats, "{\"vector\":[1,2,3],\"id\":1.0}", "/items/1/id",
         "validation-failed"},
        {&floats, "{\"vector\":[1,2,3],\"labels\":\"a\"}", "/items/1/labels",
         "validation-failed"},
        {&floats, "{\"vector\":[1,2,3],\"labels\":[\"\"]}", "/items/1/labels",
         "validation-failed"},
        {&floats, "{\"vector\":[1,2,3],\"labels\":[1.5]}", "/items/1/labels",
         "validation-failed"},
        {&floats, "{\"vector\":[1,2,3],\"labels\":[\"a\\nb\"]}",
         "/items/1/labels", "validation-failed"},
        {&floats, "{\"vector\":[1,2,3],\"labels\":[\"a\\u0000b\"]}",
         "/items/1/labels", "validation-failed"},
        {&floats, "{\"vector\":[1,2,3],\"labels\":[\"a\",\"a\"]}",
         "/items/1/labels", "validation-failed"},
        {&floats, "{\"vector\":[1,2,3],\"payload\":[1]}", "/items/1/payload",
         "validation-failed"},
        {&halves, "{\"vector\":[1,2,3],\"id\":\"\"}", "/items/1/id",
         "validation-failed"},
        {&halves, "{\"vector\":[1,2,3],\"id\":7}", "/items/1/id",
         "validation-failed"},
        {&halves, "{\"vector\":[1,2,3],\"id\":\"a\",\"labels\":[\"a\",\"b\"]}",
         "/items/1/labels", "label-count"},
        {&codes, "{\"vector\":[1,2,3]}", "/items/1/vector",
         "unsupported-option"},
        {&codes, "{\"code\":\"00\"}", "/items/1/code", "dim-mismatch"},
        {&codes, "{\"code\":\"00fg\"}", "/items/1/code", "validation-failed"},
        {&codes, "{\"code\":5}", "/items/1/code", "validation-failed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct ak_settings *s = cases[i].settings;
        char text[512];

        snprintf(text, sizeof(text), "{\"items\":[{%s\"id\":%s},%s]}",
                 s == &codes ? "\"code\":\"ffff\"," : "\"vector\":[0,0,0],",
                 s->string_ids ? "\"first\"" : "1", cases[i].item);
        read_json(s, text);
        expect_fault(cases[i].pointer, cases[i].code);
    }
}

static void an_id_that_comes_twice_is_told_at_the_second(void **state)
{
    (void)state;
    read_json(&floats, "{\"items\":[{\"id\":1,\"vector\":[1,2,3]},"
                       "{\"id\":2,\"vector\":[1,2,3]},"
                       "{\"id\":1,\"vector\":[1,2,3]}]}");
    expect_fault("/items/2/id", "duplicate-id");
    assert_int_equal(rows.faults.n, 1);
    read_json(&halves, "{\"items\":[{\"id\":\"a\",\"vector\":[1,2,3]},"
                       "{\"id\":\"a\",\"vector\":[1,2,3]}]}");
    expect_fault("/items/1/id", "duplicate-id");
}

static void no_more_than_32_faults_are_told(void **state)
{
    char text[4096] = "{\"items\":[";

    (void)state;
    for (int i = 0; i < 100; i++)
        strcat(text, i == 0 ? "{\"vector\":[1]}" : ",{\"vector\":[1]}");
    strcat(text, "]}");
    read_json(&floats, text);
    assert_int_equal(rows.faults.n, AK_FAULTS_MAX);
    assert_true(rows.faults.more >= 1);
}

static void the_list_of_items_has_its_rules(void **state)
{
    const struct ak_limits before = *ak_limits();
    struct ak_limits few = before;

    (void)state;
    read_json(&floats, "{}");
    expect_fault("/items", "validation-failed");
    read_json(&floats, "{\"items\":[]}");
    expect_fault("/items", "validation-failed");
    read_json(&floats, "{\"items\":{}}");
    expect_fault("/items", "validation-failed");
    read_json(&floats, "[1]");
    expect_fault("", "validation-failed");
    read_json(&floats, "{\"items\":[{\"vector\":[1,2,3]}],\"mode\":1}");
    expect_fault("/mode", "unknown-field");
    few.max_batch_items = 1;
    ak_limits_set(&few);
    read_json(&floats,
              "{\"items\":[{\"vector\":[1,2,3]},{\"vector\":[1,2,3]}]}");
    expect_fault("/items", "validation-failed");
    ak_limits_set(&before);
    read_json(&floats, "{\"items\":");
    assert_string_equal(rows.faults.slug, "malformed-json");
}

static void columns_of_npy_become_rows(void **state)
{
    static const float x[] = {1, 2, 3, 4, 5, 6};
    static const int64_t labels[] = {-3, 12};
    struct ak_store_rows r;

    (void)state;
    add_npy("vectors", AK_NPY_F32, 2, 2, 3, x);
    add_npy("labels", AK_NPY_I64, 1, 2, 1, labels);
    add_part("ids", "[5,6]", 5);
    read_form(&floats);
    stored(&r);
    assert_int_equal(r.n, 2);
    assert_memory_equal(r.block, x, sizeof(x));
    assert_memory_equal(r.labels[0].data, "-3", 2);
    assert_memory_equal(r.labels[1].data, "12", 2);
    assert_int_equal(r.ids[1].number, 6);
}

static void columns_of_codes_become_rows(void **state)
{
    static const uint8_t x[] = {1, 2, 3, 4};
    struct ak_store_rows r;

    (void)state;
    add_npy("codes", AK_NPY_U8, 2, 2, 2, x);
    add_part("labels", "[\"a\",[\"b\"]]", 11);
    read_form(&codes);
    stored(&r);
    assert_memory_equal(r.block, x, sizeof(x));
    assert_memory_equal(r.labels[1].data, "b", 1);
}

static void each_fault_of_a_column_has_its_place(void **state)
{
    static const float x[] = {1, 2, 3, 4, NAN, 6};
    static const int64_t ids[] = {5, -5};

    (void)state;
    add_npy("vectors", AK_NPY_F32, 2, 2, 3, x);
    read_form(&floats);
    expect_fault("/vectors/1", "non-finite-value");

    add_npy("vectors", AK_NPY_F32, 2, 3, 2, x);
    read_form(&floats);
    expect_fault("/vectors", "dim-mismatch");

    add_npy("vectors", AK_NPY_F32, 2, 1, 3, x);
    add_part("labels", "[\"a\",\"b\"]", 9);
    read_form(&floats);
    expect_fault("/labels", "label-count");

    add_npy("vectors", AK_NPY_F32, 2, 1, 3, x);
    add_part("ids", "[1,2]", 5);
    read_form(&floats);
    expect_fault("/ids", "validation-failed");

    add_npy("vectors", AK_NPY_F32, 2, 1, 3, x);
    add_npy("ids", AK_NPY_I64, 1, 1, 1, &ids[1]);
    read_form(&floats);
    expect_fault("/ids/0", "validation-failed");

    add_npy("vectors", AK_NPY_F32, 2, 1, 3, x);
    add_part("colours", "x", 1);
    read_form(&floats);
    expect_fault("/colours", "unknown-field");

    add_part("labels", "[]", 2);
    read_form(&floats);
    expect_fault("/vectors", "validation-failed");

    add_npy("vectors", AK_NPY_F32, 2, 1, 3, x);
    read_form(&codes);
    expect_fault("/vectors", "unsupported-option");

    add_part("vectors", "\x93NUMPY", 6);
    read_form(&floats);
    expect_fault("/vectors", "validation-failed");

    add_npy("vectors", AK_NPY_F32, 2, 1, 3, x);
    add_part("labels", "[\"a\",", 5);
    read_form(&floats);
    assert_string_equal(rows.faults.slug, "malformed-json");
}

static void a_part_that_no_item_names_is_told(void **state)
{
    static const char meta[] = "{\"items\":[{\"vector\":[1,2,3]}]}";

    (void)state;
    add_part("meta", meta, strlen(meta));
    add_part("p", "bytes", 5);
    read_form(&floats);
    expect_fault("/p", "unknown-field");
    add_part("meta", "{\"items\":[{\"vector\":[1]}]}", 26);
    read_form(&floats);
    expect_fault("/meta/items/0/vector", "dim-mismatch");
}

static void a_form_has_one_digest_whatever_its_boundary(void **state)
{
    static const char a[] = "--A\r\nContent-Disposition: form-data; "
                            "name=\"x\"\r\n\r\n1\r\n--A--\r\n";
    static const char b[] = "--B\r\nContent-Disposition: form-data; "
                            "name=\"x\"\r\n\r\n1\r\n--B--\r\n";
    static const char c[] = "--B\r\nContent-Disposition: form-data; "
                            "name=\"x\"\r\n\r\n2\r\n--B--\r\n";
    uint8_t one[32], two[32], three[32];

    (void)state;
    assert_status(ak_body_digest(AK_BODY_MULTIPART,
                                 "multipart/form-data; boundary=A",
                                 (const uint8_t *)a, strlen(a), one, NULL),
                  AK_OK);
    assert_status(ak_body_digest(AK_BODY_MULTIPART,
                                 "multipart/form-data; boundary=B",
                                 (const uint8_t *)b, strlen(b), two, NULL),
                  AK_OK);
    assert_status(ak_body_digest(AK_BODY_MULTIPART,
                                 "multipart/form-data; boundary=B",
                                 (const uint8_t *)c, strlen(c), three, NULL),
                  AK_OK);
    assert_memory_equal(one, two, 32);
    assert_memory_not_equal(one, three, 32);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(items_of_json_become_rows),
        TEST(ids_may_be_left_out_of_all_items),
        TEST(vectors_are_rounded_to_what_is_stored),
        TEST(each_fault_of_an_item_has_its_place),
        TEST(an_id_that_comes_twice_is_told_at_the_second),
        TEST(no_more_than_32_faults_are_told),
        TEST(the_list_of_items_has_its_rules),
        TEST(columns_of_npy_become_rows),
        TEST(columns_of_codes_become_rows),
        TEST(each_fault_of_a_column_has_its_place),
        TEST(a_part_that_no_item_names_is_told),
        TEST(a_form_has_one_digest_whatever_its_boundary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
