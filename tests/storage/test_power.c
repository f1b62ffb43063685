/*
 * The power fails while a store works.  At random moments what a disk might then
 * hold is written to a second folder and opened there: what was committed must
 * be in it, once, and what is in it must be whole.
 */
#include "tests/storage/numbered.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/rng.h"
#include "tests/storage/faulty.h"
#include "tests/storage/power.h"

#define CHANGES  240 /* of one day, before the store is closed and opened */
#define DAYS     2
#define CUTS     120 /* about; or as many as the environment's AKIN_CUTS says */
#define LIE_CUTS 60
#define MOMENTS  8500 /* at least, of all days */

struct day {
    struct fixture *f;   /* at work */
    struct fixture disk; /* after the power failed */
    struct ak_rng rng;
    uint64_t committed, cuts, losses;
    double chance; /* of a moment */
    bool lies;
};

/* What the disk holds, by SQLite's own check too.  Of a disk that lies, it
   counts what may be lost, and says nothing else. */
static void open_and_check(struct day *day)
{
    struct ak_store_info info;

    if (!day->lies) {
        assert_status(
            ak_store_open(day->disk.path, true, &day->disk.store, &day->f->err),
            AK_OK);
        assert_status(ak_view_open(day->disk.path, &day->disk.view, NULL),
                      AK_OK);
        numbered_check(&day->disk, day->committed);
    } else if (ak_store_open(day->disk.path, true, &day->disk.store, NULL) !=
                   AK_OK ||
               ak_view_open(day->disk.path, &day->disk.view, NULL) != AK_OK ||
               ak_view_info(day->disk.view, &info, NULL) != AK_OK ||
               info.last_seq < day->committed) {
        day->losses++;
    }
    close_all(&day->disk);
}

static void cut(void *arg)
{
    struct day *day = arg;

    if (ak_rng_unit(&day->rng) >= day->chance)
        return;
    day->cuts++;
    power_fail(ak_rng_u64(&day->rng), day->disk.dir);
    open_and_check(day);
}

static enum ak_status put_model(struct fixture *f, uint64_t c)
{
    static uint8_t codes[AK_STORE_SEGMENT_ROWS * CODE_BYTES];
    struct ak_version version = {.at_seq = c};
    uint64_t number;
    enum ak_status status = ak_store_put_version(
        f->store, &version, bytes_of("a model"), &number, &f->err);

    if (status == AK_OK)
        status = ak_store_put_codes(f->store, number, 0,
                                    (struct ak_bytes){codes, sizeof(codes)},
                                    &f->err);
    if (status == AK_OK)
        status = ak_store_flip(f->store, number, 0.5, &f->err);
    return status;
}

/* Groups of changes; of some, a version and codes; now and then the log is
   copied, and emptied. */
static void work(struct day *day, uint64_t *c, uint64_t *first)
{
    struct fixture *f = day->f;
    uint64_t end = *c + CHANGES;

    while (*c < end) {
        assert_status(ak_store_begin(f->store, &f->err), AK_OK);
        for (int i = 0; i < GROUP_CHANGES; i++) {
            struct ak_receipt receipt;

            ++*c;
            assert_status(
                numbered_apply(f->store, *c, *first, &receipt, &f->err), AK_OK);
            *first += numbered_rows(*c);
        }
        if (*c % 21 == 0)
            assert_status(put_model(f, *c), AK_OK);
        assert_status(ak_store_commit(f->store, &f->err), AK_OK);
        day->committed = *c;
        if (*c % 30 == 0)
            assert_status(
                ak_store_checkpoint_wal(f->store, *c % 60 == 0, &f->err),
                AK_OK);
    }
}

static struct day run(struct fixture *f, double chance, bool lies)
{
    struct day day = {.f = f, .chance = chance, .lies = lies};
    uint64_t c = 0, first = 0;

    ak_rng_init(&day.rng, 11);
    snprintf(day.disk.dir, sizeof(day.disk.dir), "%.50s/disk", f->dir);
    snprintf(day.disk.path, sizeof(day.disk.path), "%s/1.db", day.disk.dir);
    assert_int_equal(mkdir(day.disk.dir, 0700), 0);
    close_all(f);
    power_record(cut, &day, lies);
    for (int i = 0; i < DAYS; i++) {
        assert_status(ak_store_open(f->path, false, &f->store, &f->err), AK_OK);
        work(&day, &c, &first);
        close_all(f);
    }
    power_end();
    return day;
}

static void what_was_committed_is_there_after_a_power_loss(void **state)
{
    const char *wanted = getenv("AKIN_CUTS");
    double cuts = (wanted != NULL ? atof(wanted) : CUTS) / test_stride();
    struct day day = run(*state, cuts / MOMENTS, false);

    printf("# the power failed %d times\n", (int)day.cuts);
    assert_true((double)day.cuts >= 0.5 * cuts);
}

/* The same with a disk that only says it has synced: it must not pass, or the
   test above shows nothing. */
static void a_disk_that_lies_is_found_out(void **state)
{
    struct day day = run(*state, (double)LIE_CUTS / MOMENTS, true);

    assert_true(day.cuts >= LIE_CUTS / 2);
    assert_true(day.losses > day.cuts / 4);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_fixture, remove_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_committed_is_there_after_a_power_loss),
        TEST(a_disk_that_lies_is_found_out),
    };

    faulty_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
