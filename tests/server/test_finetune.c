/* finetune.c: when a fine-tuning begins, case by case. */
#include "tests/test.h"

#include <string.h>

#include "server/finetune.h"

#define NOW  INT64_C(1700000000000)
#define HOUR 3600000

struct known {
    const char *what;
    struct ak_finetune_settings settings;
    struct ak_finetune_state state;
    struct ak_finetune_look look;
    enum ak_finetune_why why;
};

#define EVERY(n)                                                  \
    {                                                             \
        .automatic = true, .every_images = (n), .on_drift = true, \
        .cooldown_seconds = 3600                                  \
    }

static const struct known cases[] = {
    {"nothing was labelled", EVERY(100), {0}, {0, 0, NOW}, AK_FINETUNE_NOT},
    {"one less than it takes", EVERY(100), {0}, {99, 0, NOW}, AK_FINETUNE_NOT},
    {"so many as it takes", EVERY(100), {0}, {100, 0, NOW}, AK_FINETUNE_IMAGES},
    {"the policy is manual",
     {.every_images = 100, .on_drift = true},
     {0},
     {100, 7, NOW},
     AK_FINETUNE_NOT},
    {"one is under way",
     EVERY(100),
     {.running = true, .attempts = 1},
     {500, 7, NOW},
     AK_FINETUNE_NOT},
    {"since the last one, not since the beginning",
     EVERY(100),
     {.mark = 450},
     {549, 0, NOW},
     AK_FINETUNE_NOT},
    {"so many since the last one",
     EVERY(100),
     {.mark = 450},
     {550, 0, NOW},
     AK_FINETUNE_IMAGES},
    {"the last one ended just now",
     EVERY(100),
     {.mark = 450, .ended_ms = NOW - HOUR + 1},
     {550, 7, NOW},
     AK_FINETUNE_NOT},
    {"the last one ended a cool-down ago",
     EVERY(100),
     {.mark = 450, .ended_ms = NOW - HOUR},
     {550, 0, NOW},
     AK_FINETUNE_IMAGES},
    {"no cool-down",
     {.automatic = true, .every_images = 1},
     {.mark = 5, .ended_ms = NOW},
     {6, 0, NOW},
     AK_FINETUNE_IMAGES},
    {"an alarm", EVERY(100), {0}, {1, 7, NOW}, AK_FINETUNE_DRIFT},
    {"an alarm counts before the images",
     EVERY(100),
     {0},
     {100, 7, NOW},
     AK_FINETUNE_DRIFT},
    {"an alarm that nobody asked for",
     {.automatic = true, .every_images = 100},
     {0},
     {99, 7, NOW},
     AK_FINETUNE_NOT},
    {"an alarm with no image since",
     EVERY(100),
     {.mark = 50},
     {50, 7, NOW},
     AK_FINETUNE_NOT},
    {"an alarm that was answered",
     EVERY(100),
     {.mark = 50, .answered = 7},
     {60, 7, NOW},
     AK_FINETUNE_NOT},
    {"another alarm",
     EVERY(100),
     {.mark = 50, .answered = 7},
     {60, 9, NOW},
     AK_FINETUNE_DRIFT},
    {"an alarm that was answered in vain, and no image since",
     EVERY(100),
     {.mark = 50, .answered = 7, .failures = 1, .tried = 60},
     {60, 7, NOW},
     AK_FINETUNE_NOT},
    {"an alarm that was answered in vain, and an image since",
     EVERY(100),
     {.mark = 50, .answered = 7, .failures = 1, .tried = 60},
     {61, 7, NOW},
     AK_FINETUNE_DRIFT},
    {"after a failure, without an image that it did not have",
     EVERY(100),
     {.mark = 50, .tried = 150, .failures = 1},
     {150, 0, NOW},
     AK_FINETUNE_NOT},
    {"after a failure, with one",
     EVERY(100),
     {.mark = 50, .tried = 150, .failures = 1},
     {151, 0, NOW},
     AK_FINETUNE_IMAGES},
    {"after a failure a cool-down is not enough",
     EVERY(100),
     {.tried = 150, .failures = 1, .ended_ms = NOW - 2 * HOUR + 1},
     {200, 0, NOW},
     AK_FINETUNE_NOT},
    {"two are",
     EVERY(100),
     {.tried = 150, .failures = 1, .ended_ms = NOW - 2 * HOUR},
     {200, 0, NOW},
     AK_FINETUNE_IMAGES},
    {"a clock that was set back a little",
     EVERY(100),
     {.mark = 450, .ended_ms = NOW + HOUR / 2},
     {550, 0, NOW},
     AK_FINETUNE_NOT},
    {"a clock that was set back a year",
     EVERY(100),
     {.mark = 450, .ended_ms = NOW + INT64_C(8760) * HOUR},
     {550, 0, NOW},
     AK_FINETUNE_IMAGES},
};

static void it_begins_when_the_rule_says_so(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum ak_finetune_why why = ak_finetune_due(
            &cases[i].settings, &cases[i].state, &cases[i].look);

        if (why != cases[i].why)
            print_message("# %s\n", cases[i].what);
        assert_int_equal(why, cases[i].why);
    }
}

static void failures_double_the_pause_up_to_a_bound(void **state)
{
    const struct ak_finetune_settings settings = EVERY(100);
    struct ak_finetune_state s = {.failures = 0};

    (void)state;
    for (; s.failures < 6; s.failures++)
        assert_int_equal(ak_finetune_pause(&settings, &s), 3600 << s.failures);
    s.failures = UINT32_MAX;
    assert_int_equal(ak_finetune_pause(&settings, &s), 64 * 3600);
}

static void what_is_kept_is_read_back(void **state)
{
    const struct ak_finetune_state s = {.mark = 1,
                                        .attempts = 2,
                                        .running = true,
                                        .why = AK_FINETUNE_DRIFT,
                                        .tried = 3,
                                        .answered = 4,
                                        .failures = 5,
                                        .started_ms = 6,
                                        .ended_ms = NOW,
                                        .outcome = AK_FINETUNE_FAILED,
                                        .job = 7,
                                        .promotion = 8,
                                        .file = 9,
                                        .version = 10,
                                        .error = "the gate"};
    struct ak_finetune_state found = {.mark = 99};
    struct ak_writer w = {0};
    struct ak_reader r;

    (void)state;
    ak_finetune_save(&s, &w);
    for (size_t len = 0; len < w.len; len++) {
        ak_reader_init(&r, w.data, len);
        assert_status(ak_finetune_load(&found, &r), AK_ECORRUPT);
        assert_int_equal(found.mark, 99);
    }
    ak_reader_init(&r, w.data, w.len);
    assert_status(ak_finetune_load(&found, &r), AK_OK);
    assert_int_equal(found.mark, 1);
    assert_int_equal(found.attempts, 2);
    assert_true(found.running);
    assert_int_equal(found.why, AK_FINETUNE_DRIFT);
    assert_int_equal(found.tried, 3);
    assert_int_equal(found.answered, 4);
    assert_int_equal(found.failures, 5);
    assert_int_equal(found.started_ms, 6);
    assert_int_equal(found.ended_ms, NOW);
    assert_int_equal(found.outcome, AK_FINETUNE_FAILED);
    assert_int_equal(found.job, 7);
    assert_int_equal(found.promotion, 8);
    assert_int_equal(found.file, 9);
    assert_int_equal(found.version, 10);
    assert_string_equal(found.error, "the gate");
    w.data[0]++; /* another format */
    ak_reader_init(&r, w.data, w.len);
    assert_status(ak_finetune_load(&found, &r), AK_ECORRUPT);
    ak_writer_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_when_the_rule_says_so),
        cmocka_unit_test(failures_double_the_pause_up_to_a_bound),
        cmocka_unit_test(what_is_kept_is_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
