/*
 * A wall clock that jumps, by a day or to 1970: keys hold, records and waits go
 * on, jobs end.  Durations are those of a clock that never jumps.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/log.h"
#include "tests/server/jobs_fixture.h"

#define DAY_MS  INT64_C(86400000)
#define HOUR_MS INT64_C(3600000)
#define NOW_MS  INT64_C(1795000000000)

static _Atomic int64_t now = NOW_MS;

/* The linker sends the calls here (--wrap). */
int64_t __wrap_ak_time_ms(void);
int64_t __wrap_ak_time_ms(void)
{
    return atomic_load(&now);
}

static struct ak_receipt put(struct ak_collection *c, uint64_t id,
                             const char *key)
{
    struct ak_row_id ids = {.number = id};
    uint32_t first[2] = {0};
    float x[DIM];
    struct ak_change change = {.kind = AK_RECORD_BATCH,
                               .now_ms = ak_time_ms(),
                               .key = {key, strlen(key)}};

    make_row(id, x);
    change.rows = (struct ak_store_rows){
        .n = 1, .block = x, .ids = &ids, .label_first = first};
    return submit(c, &change);
}

static void a_clock_that_jumps_loses_and_doubles_nothing(void **state)
{
    static const int64_t times[] = {
        NOW_MS,           NOW_MS + DAY_MS - HOUR_MS, 0,      NOW_MS - DAY_MS,
        NOW_MS + HOUR_MS, NOW_MS - HOUR_MS,          NOW_MS,
    };
    struct ak_engine *e = fixture_open(NULL);
    struct ak_settings s = settings_of("jumps", "lsh");
    struct ak_collection *c = create(e, &s);
    struct ak_receipt first = put(c, 1000, "the-first"), r = first;

    (void)state;
    assert_false(first.replayed);
    for (uint64_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        char key[16];

        atomic_store(&now, times[i]);
        r = put(c, 1000, "the-first");
        assert_true(r.replayed);
        assert_int_equal(r.seq, first.seq);
        snprintf(key, sizeof(key), "key-%llu", (unsigned long long)i);
        r = put(c, i, key);
        assert_false(r.replayed);
        assert_int_equal(r.seq, first.seq + 1 + i);
        assert_true(put(c, i, key).replayed);
        wait_for(c, r.seq, AK_ACK_VISIBLE);
        fixture_wait_state(
            e, fixture_start(e, "verify", "jumps", NULL, NULL, NULL),
            AK_RUN_SUCCEEDED);
    }
    ak_collection_drop(c);
    fixture_close(e);
    /* The file of a time that has not come yet is read, and goes on. */
    atomic_store(&now, NOW_MS - 2 * DAY_MS);
    e = fixture_open(NULL);
    assert_status(ak_engine_get(e, "jumps", &c, NULL), AK_OK);
    assert_true(put(c, 1000, "the-first").replayed);
    assert_int_equal(put(c, 50, "key-later").seq, r.seq + 1);
    ak_collection_drop(c);
    fixture_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_jumps_loses_and_doubles_nothing),
    };

    return cmocka_run_group_tests_name("clock", tests, make_dir, remove_dir);
}
