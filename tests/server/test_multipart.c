#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/blob.h"
#include "server/multipart.h"

#define TYPE "multipart/form-data; boundary=b"

#define HEAD(name) "Content-Disposition: form-data; name=\"" name "\"\r\n"

static enum ak_status parse(const char *type, const char *body, size_t len,
                            struct ak_multipart *out, struct ak_err *err)
{
    return ak_multipart_parse(type, body, len, 0, out, err);
}

static void refuse(const char *type, const char *body, enum ak_status status,
                   const char *text)
{
    struct ak_multipart m = {0};
    struct ak_err err = {0};

    assert_status(parse(type, body, strlen(body), &m, &err), status);
    assert_string_equal(err.text, text);
    assert_null(m.parts);
}

/* What curl sends for -F vectors=@x.npy -F 'labels=["a"]'. */
static const char curl_body[] =
    "--------------------------a3f1\r\n"
    "Content-Disposition: form-data; name=\"vectors\"; "
    "filename=\"../x.npy\"\r\n"
    "Content-Type: Application/X-NPY; charset=binary\r\n"
    "\r\n"
    "\x93NUMPY\0\r\n--\r\n\r\n-------\r\n"
    "\r\n--------------------------a3f1\r\n"
    "Content-Disposition: form-data; name=\"labels\"\r\n"
    "\r\n"
    "[\"a\"]"
    "\r\n--------------------------a3f1--\r\n";

static void reads_what_curl_sends(void **state)
{
    struct ak_multipart m = {0};
    const struct ak_part *part;

    (void)state;
    assert_status(
        parse("multipart/form-data; boundary=------------------------a3f1",
              curl_body, sizeof(curl_body) - 1, &m, NULL),
        AK_OK);
    assert_int_equal(m.n_parts, 2);
    assert_string_equal(m.parts[0].name, "vectors");
    assert_string_equal(m.parts[0].type, "application/x-npy");
    assert_int_equal(m.parts[0].len, 24);
    assert_memory_equal(m.parts[0].data, "\x93NUMPY\0\r\n--\r\n\r\n-------\r\n",
                        24);
    part = ak_multipart_find(&m, "labels");
    assert_ptr_equal(part, &m.parts[1]);
    assert_string_equal(part->type, "");
    assert_int_equal(part->len, 5);
    assert_memory_equal(part->data, "[\"a\"]", 5);
    assert_null(ak_multipart_find(&m, "label"));
    assert_null(ak_multipart_find(&m, "labelss"));
    ak_multipart_clear(&m);
    ak_multipart_clear(&m);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    /* Without its last line end the body is still whole. */
    for (size_t len = 0; len < sizeof(curl_body) - 3; len++) {
        struct ak_multipart m = {0};
        struct ak_err err = {0};
        char *copy = malloc(len == 0 ? 1 : len);

        assert_non_null(copy);
        memcpy(copy, curl_body, len);
        assert_status(
            parse("multipart/form-data; boundary=------------------------a3f1",
                  copy, len, &m, &err),
            AK_EINVAL);
        assert_true(err.text[0] != '\0');
        assert_null(m.parts);
        free(copy);
    }
}

static void boundaries_are_read_as_rfc_2046_has_them(void **state)
{
    static const struct {
        const char *type, *boundary;
    } good[] = {
        {"multipart/form-data; boundary=b", "b"},
        {"Multipart/Form-Data ;  BOUNDARY=b", "b"},
        {"multipart/form-data; charset=utf-8; boundary=\"b\"; x=y", "b"},
        {"multipart/form-data; boundary=\"a b'()+_,-./:=?\"",
         "a b'()+_,-./:=?"},
        {"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW;",
         "----WebKitFormBoundary7MA4YWxkTrZu0gW"},
        {"multipart/form-data; boundary="
         "123456789012345678901234567890123456789012345678901234567890123456789"
         "0",
         "123456789012345678901234567890123456789012345678901234567890123456789"
         "0"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct ak_multipart m = {0};
        struct ak_err err = {0};
        char body[512];
        int n = snprintf(body, sizeof(body),
                         "--%s \t\r\n" HEAD("x") "\r\n\r\n--%s-- \r\n",
                         good[i].boundary, good[i].boundary);

        if (parse(good[i].type, body, (size_t)n, &m, &err) != AK_OK)
            fail_msg("%s: %s", good[i].type, err.text);
        assert_int_equal(m.n_parts, 1);
        assert_int_equal(m.parts[0].len, 0);
        ak_multipart_clear(&m);
    }
}

static void bad_boundaries_are_refused(void **state)
{
    (void)state;
    refuse("text/plain", "", AK_EINVAL,
           "multipart: the type is \"text/plain\", must be "
           "multipart/form-data");
    refuse("multipart/form-data", "", AK_EINVAL,
           "multipart: the type has no boundary");
    refuse("multipart/form-data-x; boundary=b", "", AK_EINVAL,
           "multipart: the parameters of the type are malformed");
    refuse("multipart/form-data; boundary=", "", AK_EINVAL,
           "multipart: the boundary has 0 characters, must have 1..70");
    refuse("multipart/form-data; boundary=\"b", "", AK_EINVAL,
           "multipart: the parameters of the type are malformed");
    refuse("multipart/form-data; boundary=b; boundary=c", "", AK_EINVAL,
           "multipart: two boundaries");
    refuse("multipart/form-data; boundary=\"b \"", "", AK_EINVAL,
           "multipart: the boundary ends with a blank");
    refuse("multipart/form-data; boundary=b*c", "", AK_EINVAL,
           "multipart: the boundary has the byte 0x2a");
    refuse("multipart/form-data; boundary=\"b\r\nc\"", "", AK_EINVAL,
           "multipart: the boundary has the byte 0x0d");
    refuse("multipart/form-data; boundary=12345678901234567890123456789012345"
           "678901234567890123456789012345678901",
           "", AK_EINVAL,
           "multipart: the boundary has 71 characters, must have 1..70");
}

static void bad_bodies_are_refused(void **state)
{
    (void)state;
    refuse(TYPE, "", AK_EINVAL,
           "multipart: the body does not begin with its boundary");
    refuse(TYPE, "hello\r\n--b\r\n", AK_EINVAL,
           "multipart: the body does not begin with its boundary");
    refuse(TYPE, "--b\r\n" HEAD("x") "\r\ndata", AK_EINVAL,
           "multipart: part 1: the body ends without a closing boundary");
    refuse(TYPE, "--b\r\n" HEAD("x") "\r\ndata\r\n--b", AK_EINVAL,
           "multipart: after 1 parts a boundary is followed by neither a new "
           "line nor the end");
    refuse(TYPE, "--b\r\n" HEAD("x") "\r\ndata\r\n--bc\r\n", AK_EINVAL,
           "multipart: after 1 parts a boundary is followed by neither a new "
           "line nor the end");
    refuse(TYPE, "--b\r\n" HEAD("x") "\r\ndata\r\n--b--\r\nmore", AK_EINVAL,
           "multipart: after 1 parts a boundary is followed by neither a new "
           "line nor the end");
    refuse(TYPE, "--b\r\n" HEAD("x"), AK_EINVAL,
           "multipart: part 1: the body ends in its headers");
    refuse(TYPE, "--b\r\n" HEAD("x") "--b--\r\n\r\n", AK_EINVAL,
           "multipart: part 1: there is no blank line after its headers");
    refuse(TYPE, "--b\r\n\r\ndata\r\n--b--", AK_EINVAL,
           "multipart: part 1: it has no name");
    refuse(TYPE, "--b\r\nContent-Disposition: form-data\r\n\r\n\r\n--b--",
           AK_EINVAL, "multipart: part 1: it has no name");
    refuse(TYPE, "--b\r\n" HEAD("") "\r\n\r\n--b--", AK_EINVAL,
           "multipart: part 1: its name has 0 bytes, must have 1..128");
    refuse(TYPE,
           "--b\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\n\r\n"
           "--b--",
           AK_EINVAL, "multipart: part 1: it has two names");
    refuse(TYPE,
           "--b\r\nContent-Disposition: attachment; name=a\r\n\r\n\r\n--b--",
           AK_EINVAL, "multipart: part 1: its disposition is not form-data");
    refuse(TYPE,
           "--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\n\r\n--b--",
           AK_EINVAL, "multipart: part 1: its disposition is malformed");
    refuse(TYPE, "--b\r\n" HEAD("x") HEAD("y") "\r\n\r\n--b--", AK_EINVAL,
           "multipart: part 1: it has two dispositions");
    refuse(TYPE,
           "--b\r\n" HEAD("x") "\r\n1\r\n--b\r\n" HEAD("x") "\r\n2\r\n--b--",
           AK_EEXISTS, "multipart: two parts are named \"x\"");
    refuse(
        TYPE,
        "--b\r\n" HEAD("x") "\r\n1\r\n--b\r\n" HEAD(
            "y") "Content-Type: multipart/mixed; boundary=c\r\n\r\n2\r\n--b--",
        AK_EINVAL,
        "multipart: part 2: it is a multipart itself, which is not read");
    refuse(TYPE,
           "--b\r\n" HEAD(
               "x") "Content-Transfer-Encoding: base64\r\n\r\nAA==\r\n--b--",
           AK_EINVAL,
           "multipart: part 1: its transfer encoding is \"base64\", must be "
           "binary");
    refuse(TYPE, "--b\r\n" HEAD("x") " folded: line\r\n\r\n\r\n--b--",
           AK_EINVAL,
           "multipart: part 1: a header is not of the form \"Name: value\"");
    refuse(TYPE, "--b\r\n" HEAD("x\x01y") "\r\n\r\n--b--", AK_EINVAL,
           "multipart: part 1: a header has the byte 0x01");
}

/* A file name is skipped, whatever is in it, and never taken for the name. */
static void file_names_do_not_matter(void **state)
{
    static const char body[] =
        "--b\r\n"
        "content-disposition: form-data; filename=\"C:\\dir\\\"; name=\"q\"; "
        "name=wrong\"\r\nX-Other: 1\r\n\r\n\r\n--b\r\n"
        "Content-Disposition: form-data; filename*=UTF-8''x; "
        "filename=\"a; name=\\\"no\\\"\"; name=\"gr\xc3\xbc\xc3\x9f\"\r\n"
        "\r\n1\r\n--b--\r\n";
    static const char simple[] =
        "--b\r\nContent-Disposition: form-data; filename=\"..\\..\\x.png\"; "
        "name=part1\r\n\r\n\r\n--b--";
    struct ak_multipart m = {0};
    struct ak_err err = {0};

    (void)state;
    /* `\"` is a quote in the file name, so the name is not closed: refused. */
    assert_status(parse(TYPE, body, sizeof(body) - 1, &m, &err), AK_EINVAL);
    assert_status(parse(TYPE, simple, sizeof(simple) - 1, &m, NULL), AK_OK);
    assert_string_equal(m.parts[0].name, "part1");
    ak_multipart_clear(&m);
    {
        const char *second = strstr(body, "--b\r\nContent");

        assert_non_null(second);
        assert_status(parse(TYPE, second, strlen(second), &m, NULL), AK_OK);
        assert_string_equal(m.parts[0].name, "gr\xc3\xbc\xc3\x9f");
        ak_multipart_clear(&m);
    }
}

static void build_many(struct ak_writer *w, size_t n, size_t len)
{
    static const char data[64];

    for (size_t i = 0; i < n; i++) {
        char head[128];
        int k = snprintf(head, sizeof(head),
                         "--b\r\nContent-Disposition: form-data; "
                         "name=\"p%zu\"\r\n\r\n",
                         i);

        ak_write_bytes(w, head, (size_t)k);
        ak_write_bytes(w, data, len);
        ak_write_bytes(w, "\r\n", 2);
    }
    ak_write_bytes(w, "--b--\r\n", 7);
    assert_status(w->status, AK_OK);
}

static void parts_are_counted_and_found(void **state)
{
    struct ak_writer w = {0};
    struct ak_multipart m = {0};
    struct ak_err err = {0};

    (void)state;
    build_many(&w, 10000, 3);
    assert_status(ak_multipart_parse(TYPE, w.data, w.len, 0, &m, NULL), AK_OK);
    assert_int_equal(m.n_parts, 10000);
    for (size_t i = 0; i < 10000; i += 7) {
        char name[16];

        snprintf(name, sizeof(name), "p%zu", i);
        assert_ptr_equal(ak_multipart_find(&m, name), &m.parts[i]);
        assert_int_equal(m.parts[i].len, 3);
    }
    ak_multipart_clear(&m);
    assert_status(ak_multipart_parse(TYPE, w.data, w.len, 9999, &m, &err),
                  AK_ELIMIT);
    assert_string_equal(err.text, "multipart: more than 9999 parts");
    w.len = 0;
    build_many(&w, 10001, 0);
    assert_status(ak_multipart_parse(TYPE, w.data, w.len, 0, &m, &err),
                  AK_ELIMIT);
    ak_writer_clear(&w);
}

static void headers_have_a_limit(void **state)
{
    struct ak_writer w = {0};
    struct ak_multipart m = {0};
    struct ak_err err = {0};

    (void)state;
    ak_write_bytes(&w, "--b\r\n", 5);
    for (int i = 0; i < 1000; i++)
        ak_write_bytes(&w, "X-Padding: 1\r\n", 14);
    ak_write_bytes(&w, HEAD("x") "\r\n\r\n--b--", strlen(HEAD("x")) + 9);
    assert_status(ak_multipart_parse(TYPE, w.data, w.len, 0, &m, &err),
                  AK_ELIMIT);
    assert_string_equal(
        err.text, "multipart: part 1: its headers have more than 8192 bytes");
    ak_writer_clear(&w);
}

static void an_empty_form_has_no_parts(void **state)
{
    struct ak_multipart m = {0};

    (void)state;
    assert_status(parse(TYPE, "--b--\r\n", 7, &m, NULL), AK_OK);
    assert_int_equal(m.n_parts, 0);
    assert_null(ak_multipart_find(&m, "x"));
    ak_multipart_clear(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_curl_sends),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(boundaries_are_read_as_rfc_2046_has_them),
        cmocka_unit_test(bad_boundaries_are_refused),
        cmocka_unit_test(bad_bodies_are_refused),
        cmocka_unit_test(file_names_do_not_matter),
        cmocka_unit_test(parts_are_counted_and_found),
        cmocka_unit_test(headers_have_a_limit),
        cmocka_unit_test(an_empty_form_has_no_parts),
    };

    return cmocka_run_group_tests_name("multipart", tests, NULL, NULL);
}
