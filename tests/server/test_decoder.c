/* Decoders in other processes: as good as our own, and not believed. */
#include "tests/test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/image/decode.h"
#include "core/image/encode.h"
#include "server/decoder.h"
#include "server/limits.h"
#include "server/log.h"
#include "server/metrics.h"
#include "tests/core/image/files.h"
#include "tests/server/beside.h"

#define FOREVER_MS 60000 /* what only a hang can miss */

static void begin(const char *program, uint64_t restart_images,
                  uint64_t timeout_ms)
{
    char path[4096];

    beside(path, sizeof(path), program);
    assert_status(ak_decoder_start(
                      &(struct ak_decoder_params){
                          .program = path,
                          .threads = 2,
                          .restart_images = restart_images,
                          .timeout_ms = timeout_ms,
                      },
                      NULL),
                  AK_OK);
}

static enum ak_status decode(const void *bytes, size_t len,
                             struct ak_image *out, struct ak_err *err)
{
    return ak_decoder_decode(bytes, len, 0, 0, out, err);
}

/* What liar.c says to a file of that text. */
static enum ak_status say(const char *text, struct ak_err *err)
{
    struct ak_image image = {0};
    enum ak_status status = decode(text, strlen(text), &image, err);

    if (status == AK_OK)
        assert_memory_equal(image.pixels, "\1\2\3\4", 4);
    ak_image_clear(&image);
    return status;
}

static bool failing(void)
{
    struct ak_decoder_state s;

    ak_decoder_state(&s);
    return s.failing;
}

/* Some files, each with its pixels as they are decoded here. */
#define N_FILES 12
static struct file {
    struct ak_writer bytes;
    enum ak_status status;
    uint32_t hint;
    struct ak_image image;
} files[N_FILES];

static int make_files(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < N_FILES; i++) {
        struct file *f = &files[i];
        struct ak_image image = {0};

        paint(&image, 10 + 31 * i, 200 - 11 * i, i % 2 == 0 ? 1 : 3);
        f->hint = i % 3 == 0 ? 16 : 0;
        if (i % 4 < 2)
            write_jpeg(&f->bytes, image.pixels, image.width, image.height,
                       (int)image.channels, i % 3 ? JPEG_PROGRESSIVE : 0);
        else if (ak_image_encode_png(&image, &f->bytes, NULL) != AK_OK)
            return -1;
        if (i > 8) /* and some that are cut */
            f->bytes.len = f->bytes.len * (i - 8) / 5;
        ak_image_clear(&image);
        f->status = ak_image_decode(f->bytes.data, f->bytes.len, NULL, f->hint,
                                    f->hint, &f->image, NULL);
    }
    return 0;
}

static int clear_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FILES; i++) {
        ak_writer_clear(&files[i].bytes);
        ak_image_clear(&files[i].image);
    }
    return 0;
}

/* False when it is not as the file is decoded here. */
static bool decodes_alike(const struct file *f)
{
    struct ak_image image = {0};
    struct ak_err err = {0};
    enum ak_status status = ak_decoder_decode(f->bytes.data, f->bytes.len,
                                              f->hint, f->hint, &image, &err);
    bool alike = status == f->status && (status == AK_OK || err.text[0]);

    if (alike && status == AK_OK)
        alike =
            image.width == f->image.width && image.height == f->image.height &&
            image.channels == f->image.channels &&
            memcmp(image.pixels, f->image.pixels, ak_image_len(&image)) == 0;
    ak_image_clear(&image);
    return alike;
}

static void *decode_all(void *arg)
{
    size_t rounds = 1 + 20 / test_stride(), *wrong = arg;

    for (size_t i = 0; i < rounds * N_FILES; i++)
        *wrong += !decodes_alike(&files[i % N_FILES]);
    return NULL;
}

/* More threads than decoders, and decoders that are replaced all the time. */
static void images_are_what_they_are_in_the_process(void **state)
{
    uint64_t restarts = ak_metric_value(AK_METRIC_IMAGE_DECODER_RESTARTS,
                                        AK_DECODER_END_SERVED);
    pthread_t threads[4];
    size_t wrong[4] = {0};
    uint64_t n = 4 * (1 + 20 / test_stride()) * N_FILES;

    (void)state;
    begin("../../server/akin-worker", 7, FOREVER_MS);
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, decode_all, &wrong[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(wrong[i], 0);
    }
    restarts = ak_metric_value(AK_METRIC_IMAGE_DECODER_RESTARTS,
                               AK_DECODER_END_SERVED) -
               restarts;
    /* There are three decoders, of which each may be short of its share. */
    assert_in_range(restarts, n / 7 - 3, n / 7);
    ak_decoder_stop();
}

static void a_decoder_can_be_in_the_process(void **state)
{
    size_t wrong = 0;

    (void)state;
    decode_all(&wrong); /* none was started */
    assert_int_equal(wrong, 0);
    assert_status(
        ak_decoder_start(&(struct ak_decoder_params){.in_process = true,
                                                     .timeout_ms = FOREVER_MS},
                         NULL),
        AK_OK);
    decode_all(&wrong);
    assert_int_equal(wrong, 0);
    ak_decoder_stop();
}

static void nothing_is_left_behind(void **state)
{
    (void)state;
    begin("../../server/akin-worker", 1000, FOREVER_MS);
    assert_true(decodes_alike(&files[0]));
    ak_decoder_stop();
    /* No child, not even one that ended. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void limits_that_change_are_those_of_the_next_image(void **state)
{
    struct ak_limits before = *ak_limits(), small = before;
    struct ak_image image = {0}, out = {0};
    struct ak_writer file = {0};
    struct ak_err err = {0};

    (void)state;
    small.max_image_pixels = 100;
    small.max_image_bytes = 1 << 20;
    paint(&image, 11, 10, 3);
    assert_status(ak_image_encode_png(&image, &file, NULL), AK_OK);
    begin("../../server/akin-worker", 1000, FOREVER_MS);
    assert_status(decode(file.data, file.len, &out, &err), AK_OK);
    ak_image_clear(&out);
    ak_limits_set(&small);
    assert_status(decode(file.data, file.len, &out, &err), AK_ELIMIT);
    ak_limits_set(&before);
    assert_status(decode(file.data, file.len, &out, &err), AK_OK);
    ak_image_clear(&out);
    ak_decoder_stop();
    ak_writer_clear(&file);
    ak_image_clear(&image);
}

static void what_a_decoder_says_is_checked(void **state)
{
    static const char *const lies[] = {
        "wide",  "flat",         "huge",        "deep",  "busy",
        "long",  "short",        "status",      "close", "die",
        "leave", "other number", "endless text"};
    struct ak_err err;

    (void)state;
    begin("liar", 1000, FOREVER_MS);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        memset(&err, 0, sizeof(err));
        if (say(lies[i], &err) != AK_ECORRUPT)
            fail_msg("%s: %s", lies[i], err.text);
        assert_non_null(strstr(err.text, "not decoded"));
        /* Nobody else has to suffer for it. */
        assert_status(say("truth", &err), AK_OK);
    }
    assert_status(say("die", &err), AK_ECORRUPT);
    assert_non_null(strstr(err.text, "SIGKILL"));
    assert_status(say("leave", &err), AK_ECORRUPT);
    assert_non_null(strstr(err.text, "status 7"));
    assert_false(failing());
    ak_decoder_stop();
}

static void an_image_beyond_the_memory_is_too_large(void **state)
{
    struct ak_err err = {0};

    (void)state;
    begin("liar", 1000, FOREVER_MS);
    assert_status(say("no memory", &err), AK_ELIMIT);
    assert_non_null(strstr(err.text, "memory"));
    ak_decoder_stop();
}

static void a_text_of_a_decoder_is_a_line_of_ascii(void **state)
{
    struct ak_err err = {0};

    (void)state;
    begin("liar", 1000, FOREVER_MS);
    assert_status(say("odd text", &err), AK_EINVAL);
    assert_string_equal(err.text, "a???[31mb");
    ak_decoder_stop();
}

static void a_decoder_has_nothing_but_its_own(void **state)
{
    struct ak_err err = {0};
    int pair[2];

    (void)state;
    /* Neither closes at an exec. */
    assert_int_equal(pipe(pair), 0);
    setenv("AKIN_SECRET", "1", 1);
    begin("liar", 1000, FOREVER_MS);
    assert_status(say("tell", &err), AK_EINVAL);
    assert_string_equal(err.text, "5 open, 0 secrets");
    ak_decoder_stop();
    unsetenv("AKIN_SECRET");
    close(pair[0]);
    close(pair[1]);
}

static void a_decoder_that_hangs_is_killed(void **state)
{
    uint64_t late =
        ak_metric_value(AK_METRIC_IMAGE_DECODE_FAILURES, AK_IMAGE_TIMEOUT);
    struct ak_err err = {0};

    (void)state;
    begin("liar", 1000, 100);
    assert_status(say("hang", &err), AK_ECORRUPT);
    assert_non_null(strstr(err.text, "200 ms"));
    assert_int_equal(
        ak_metric_value(AK_METRIC_IMAGE_DECODE_FAILURES, AK_IMAGE_TIMEOUT),
        late + 1);
    ak_decoder_stop();
}

static void a_death_without_an_image_costs_none(void **state)
{
    struct ak_err err = {0};
    siginfo_t info;

    (void)state;
    begin("liar", 1000, FOREVER_MS);
    for (int i = 0; i < 10; i++) {
        assert_status(say("die later", &err), AK_OK);
        /* Until it has ended, which the pool does not know. */
        assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
        assert_status(say("truth", &err), AK_OK);
    }
    assert_false(failing());
    ak_decoder_stop();
}

/* The other end of a start: the state tells, and tells when it is over. */
static void a_decoder_that_does_not_start_is_told(void **state)
{
    struct ak_err err = {0};
    FILE *f;

    (void)state;
    begin("no-such-program", 1000, FOREVER_MS);
    /* Known at once, but under valgrind only when the child has ended. */
    while (!failing())
        ak_decoder_tick();
    assert_status(say("truth", &err), AK_EBUSY);
    ak_decoder_stop();
    assert_false(failing());

    /* One of another build. */
    f = fopen("liar-is-old", "w");
    assert_non_null(f);
    fclose(f);
    begin("liar", 1000, FOREVER_MS);
    assert_false(failing()); /* not known yet */
    while (!failing())
        ak_decoder_tick();
    assert_status(say("truth", &err), AK_EBUSY);
    unlink("liar-is-old");
    assert_status(say("truth", &err), AK_OK);
    assert_false(failing());
    ak_decoder_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_are_what_they_are_in_the_process),
        cmocka_unit_test(a_decoder_can_be_in_the_process),
        cmocka_unit_test(nothing_is_left_behind),
        cmocka_unit_test(limits_that_change_are_those_of_the_next_image),
        cmocka_unit_test(an_image_beyond_the_memory_is_too_large),
        cmocka_unit_test(what_a_decoder_says_is_checked),
        cmocka_unit_test(a_text_of_a_decoder_is_a_line_of_ascii),
        cmocka_unit_test(a_decoder_has_nothing_but_its_own),
        cmocka_unit_test(a_decoder_that_hangs_is_killed),
        cmocka_unit_test(a_death_without_an_image_costs_none),
        cmocka_unit_test(a_decoder_that_does_not_start_is_told),
    };

    ak_log_set_level(AK_LOG_ERROR);
    return cmocka_run_group_tests_name("decoder", tests, make_files,
                                       clear_files);
}
