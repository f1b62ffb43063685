/* Files as data sets are stored, whole and broken; CIFAR-10's records. */
#include "tests/test.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lzma.h>
#include <zlib.h>

#include "core/eval/cifar.h"
#include "core/eval/packed.h"

enum { LEN = 200000, ROOM = LEN + 4096 };

static char path[] = "test_packed_XXXXXX";
static uint8_t content[LEN];

static int make_file(void **state)
{
    int fd = mkstemp(path);
    uint32_t x = 1;

    (void)state;
    for (size_t i = 0; i < LEN; i++) {
        x = x * 1664525u + 1013904223u;
        content[i] = (uint8_t)(x >> 30);
    }
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void put(const void *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* Packed forms of `len` bytes of the content, into `out` (ROOM). */
static size_t gzip(size_t len, uint8_t *out)
{
    z_stream z = {0};
    size_t n;

    assert_int_equal(
        deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = content;
    z.avail_in = (unsigned)len;
    z.next_out = out;
    z.avail_out = ROOM;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    n = ROOM - z.avail_out;
    assert_int_equal(deflateEnd(&z), Z_OK);
    return n;
}

static size_t xz(size_t len, uint8_t *out)
{
    size_t n = 0;

    assert_int_equal(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, content,
                                             len, out, &n, ROOM),
                     LZMA_OK);
    return n;
}

static void assert_content(size_t times)
{
    uint8_t *data = NULL;
    size_t len = 0;
    struct ak_err err = {0};

    if (ak_packed_read(path, times * LEN, &data, &len, &err) != AK_OK)
        fail_msg("%s", err.text);
    assert_int_equal(len, times * LEN);
    for (size_t i = 0; i < times; i++)
        assert_memory_equal(data + i * LEN, content, LEN);
    free(data);
}

static void reads_files_of_every_kind(void **state)
{
    uint8_t *out = malloc(2 * (size_t)ROOM);
    size_t n;

    (void)state;
    assert_non_null(out);
    put(content, LEN);
    assert_content(1);
    n = gzip(LEN, out);
    put(out, n);
    assert_content(1);
    memcpy(out + n, out, n);
    put(out, 2 * n); /* two members */
    assert_content(2);
    n = xz(LEN, out);
    put(out, n);
    assert_content(1);
    memcpy(out + n, out, n);
    put(out, 2 * n);
    assert_content(2);
    free(out);
}

static void what_is_cut_or_damaged_is_refused(void **state)
{
    size_t (*const packs[])(size_t, uint8_t *) = {gzip, xz};
    uint8_t *out = malloc(ROOM), *data = NULL;
    size_t len = 0;

    (void)state;
    assert_non_null(out);
    for (int p = 0; p < 2; p++) {
        size_t n = packs[p](1000, out);

        for (size_t cut = 6; cut < n; cut += 7) {
            struct ak_err err = {0};

            put(out, cut);
            assert_status(ak_packed_read(path, LEN, &data, &len, &err),
                          AK_ECORRUPT);
            assert_int_equal(strncmp(err.text, path, strlen(path)), 0);
        }
        out[n / 2] ^= 0x55;
        out[n / 2 + 1] ^= 0xaa;
        put(out, n);
        assert_status(ak_packed_read(path, LEN, &data, &len, NULL),
                      AK_ECORRUPT);
        assert_null(data);
    }
    free(out);
}

static void more_than_the_limit_is_refused(void **state)
{
    uint8_t *out = malloc(ROOM), *data = NULL;
    size_t len = 0;
    struct ak_err err = {0};

    (void)state;
    assert_non_null(out);
    put(content, LEN);
    assert_status(ak_packed_read(path, LEN - 1, &data, &len, &err), AK_ELIMIT);
    assert_non_null(strstr(err.text, "more than 199999 bytes"));
    put(out, gzip(LEN, out));
    assert_status(ak_packed_read(path, LEN - 1, &data, &len, NULL), AK_ELIMIT);
    put(out, xz(LEN, out));
    assert_status(ak_packed_read(path, LEN - 1, &data, &len, NULL), AK_ELIMIT);
    assert_status(ak_packed_read("no/such", LEN, &data, &len, &err),
                  AK_ENOTFOUND);
    assert_string_equal(err.text, "no/such: No such file or directory");
    free(out);
}

static void records_of_cifar_are_counted_and_checked(void **state)
{
    static uint8_t records[2 * AK_CIFAR_RECORD];
    uint8_t *data = NULL;
    size_t n = 0;
    struct ak_err err = {0};

    (void)state;
    memset(records, 200, sizeof(records));
    records[0] = 3;
    records[AK_CIFAR_RECORD] = 9;
    put(records, sizeof(records));
    assert_status(ak_cifar_read(path, &data, &n, NULL), AK_OK);
    assert_int_equal(n, 2);
    assert_memory_equal(data, records, sizeof(records));
    free(data);
    records[AK_CIFAR_RECORD] = 10;
    put(records, sizeof(records));
    assert_status(ak_cifar_read(path, &data, &n, &err), AK_ECORRUPT);
    assert_non_null(strstr(err.text, "record 1 has label 10, must be 0..9"));
    put(records, sizeof(records) - 1);
    assert_status(ak_cifar_read(path, &data, &n, &err), AK_ECORRUPT);
    assert_non_null(strstr(err.text, "6145 bytes, must be a multiple of 3073"));
    put(records, 0);
    assert_status(ak_cifar_read(path, &data, &n, NULL), AK_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_files_of_every_kind),
        cmocka_unit_test(what_is_cut_or_damaged_is_refused),
        cmocka_unit_test(more_than_the_limit_is_refused),
        cmocka_unit_test(records_of_cifar_are_counted_and_checked),
    };

    return cmocka_run_group_tests_name("packed files", tests, make_file,
                                       remove_file);
}
