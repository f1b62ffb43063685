/* idx files, whole and broken, plain and gzipped. */
#include "tests/test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>

#include "core/eval/idx.h"

static const uint8_t images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2,  0,  0,
                                 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255};
static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 4, 0, 9};
static char path[] = "test_idx_XXXXXX";

static int make_file(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    if (fd < 0)
        return -1;
    return close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void put(const uint8_t *bytes, size_t len, bool zip)
{
    /* 'T' writes what it is given, without gzip. */
    gzFile f = gzopen(path, zip ? "wb" : "wbT");

    assert_non_null(f);
    if (len > 0)
        assert_int_equal(gzwrite(f, bytes, (unsigned)len), len);
    assert_int_equal(gzclose(f), Z_OK);
}

static void reads_images_and_labels_of_either_kind(void **state)
{
    struct ak_idx idx = {0};
    float pixels[2];

    (void)state;
    for (int zip = 0; zip < 2; zip++) {
        put(images, sizeof(images), zip);
        assert_status(ak_idx_read(path, 3, &idx, NULL), AK_OK);
        assert_int_equal(idx.n_dims, 3);
        assert_int_equal(idx.dims[0], 2);
        assert_int_equal(idx.dims[1], 2);
        assert_int_equal(idx.dims[2], 3);
        assert_int_equal(idx.item, 6);
        assert_memory_equal(idx.data, images + 16, 12);
        ak_idx_floats(idx.data + 10, 2, pixels);
        assert_true(pixels[0] == 11.0f / 255 && pixels[1] == 1.0f);
        ak_idx_clear(&idx);

        put(labels, sizeof(labels), zip);
        assert_status(ak_idx_read(path, 1, &idx, NULL), AK_OK);
        assert_int_equal(idx.dims[0], 3);
        assert_int_equal(idx.item, 1);
        assert_memory_equal(idx.data, labels + 8, 3);
        ak_idx_clear(&idx);
    }
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    struct ak_idx idx = {0};

    (void)state;
    for (int zip = 0; zip < 2; zip++)
        for (size_t len = 0; len < sizeof(images); len++) {
            struct ak_err err = {0};

            put(images, len, zip);
            assert_status(ak_idx_read(path, 3, &idx, &err), AK_ECORRUPT);
            assert_int_equal(strncmp(err.text, path, strlen(path)), 0);
            assert_null(idx.data);
        }
}

static void a_gzip_stream_cut_anywhere_is_refused(void **state)
{
    struct ak_idx idx = {0};
    uint8_t bytes[256];
    size_t len;
    FILE *f;

    (void)state;
    put(images, sizeof(images), true);
    f = fopen(path, "rb");
    assert_non_null(f);
    len = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    for (size_t cut = 0; cut < len; cut++) {
        f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(bytes, 1, cut, f), cut);
        fclose(f);
        assert_status(ak_idx_read(path, 3, &idx, NULL), AK_ECORRUPT);
    }
}

static void says_what_is_wrong(void **state)
{
    struct ak_idx idx = {0};
    struct ak_err err = {0};
    uint8_t bytes[sizeof(images) + 1] = {0};

    (void)state;
    put(labels, sizeof(labels), false);
    assert_status(ak_idx_read(path, 3, &idx, &err), AK_ECORRUPT);
    assert_non_null(strstr(err.text, "11 bytes, the header alone has 16"));
    assert_status(ak_idx_read("no/such/file", 3, &idx, &err), AK_ENOTFOUND);
    assert_string_equal(err.text, "no/such/file: No such file or directory");

    memcpy(bytes, images, sizeof(images));
    put(bytes, sizeof(bytes), true);
    assert_status(ak_idx_read(path, 3, &idx, &err), AK_ECORRUPT);
    assert_non_null(strstr(err.text, "goes on after its 12 bytes"));
    bytes[3] = 1;
    put(bytes, sizeof(images), true);
    assert_status(ak_idx_read(path, 3, &idx, &err), AK_ECORRUPT);
    assert_non_null(
        strstr(err.text, "begins with 00 00 08 01, must be 00 00 08 03"));
    bytes[3] = 3;
    bytes[7] = 0;
    put(bytes, sizeof(images), true);
    assert_status(ak_idx_read(path, 3, &idx, &err), AK_ECORRUPT);
    assert_non_null(strstr(err.text, "dimension 0 is 0"));
}

/* 2^30 bytes announced, 12 there: refused, without memory for them. */
static void a_header_cannot_ask_for_memory(void **state)
{
    struct ak_idx idx = {0};
    struct ak_err err = {0};
    uint8_t bytes[sizeof(images)];

    (void)state;
    memcpy(bytes, images, sizeof(images));
    memcpy(bytes + 4, "\x00\x10\x00\x00\x00\x00\x00\x20\x00\x00\x00\x20", 12);
    put(bytes, sizeof(bytes), true);
    assert_status(ak_idx_read(path, 3, &idx, &err), AK_ECORRUPT);
    assert_non_null(strstr(err.text, "ends after 12 of 1073741824 bytes"));
    memset(bytes + 4, 0xff, 12);
    put(bytes, sizeof(bytes), true);
    assert_status(ak_idx_read(path, 3, &idx, &err), AK_ELIMIT);
    assert_non_null(strstr(err.text, "dimension 0 is 4294967295"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_images_and_labels_of_either_kind),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(a_gzip_stream_cut_anywhere_is_refused),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(a_header_cannot_ask_for_memory),
    };

    return cmocka_run_group_tests_name("idx", tests, make_file, remove_file);
}
