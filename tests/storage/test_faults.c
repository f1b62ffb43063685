/*
 * A short day of a store, with the n-th read, write, sync or allocation
 * failing, for all n: whatever is answered must be true afterwards.
 */
#include "tests/storage/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/storage/faulty.h"
#include "tests/storage/older.h"

#define GROUPS        4
#define GROUP_ROWS    40
#define SEGMENT_BYTES (AK_STORE_SEGMENT_ROWS * CODE_BYTES)

/* What came of the day. */
struct day {
    uint64_t committed; /* groups that are said to be on the disk */
    bool unsure;        /* one more may be: its fsync failed */
    bool stopped;       /* an fsync failed: nothing is written any more */
    enum ak_status failure;
};

static enum ak_status put_model(struct fixture *f, uint64_t g)
{
    static uint8_t codes[SEGMENT_BYTES];
    struct ak_version version = {.at_seq = g};
    enum ak_status status;
    uint64_t number;

    status = ak_store_put_version(f->store, &version, bytes_of("a model"),
                                  &number, &f->err);
    if (status == AK_OK)
        status = ak_store_put_codes(f->store, number, 0,
                                    (struct ak_bytes){codes, sizeof(codes)},
                                    &f->err);
    if (status == AK_OK)
        status = ak_store_flip(f->store, number, 0.5, &f->err);
    return status;
}

/* One group: a batch, a version, a checkpoint, an outcome. */
static enum ak_status fill_group(struct fixture *f, uint64_t g)
{
    static const struct ak_bytes labels[] = {{"boot", 4}};
    uint32_t first[GROUP_ROWS + 1] = {0};
    uint8_t block[GROUP_ROWS * ROW_BYTES];
    char key[16];
    struct ak_change change = {
        .kind = AK_RECORD_BATCH,
        .rows = {.n = GROUP_ROWS,
                 .block = block,
                 .labels = labels,
                 .label_first = first},
        .key = {key, 0},
    };
    struct ak_checkpoint checkpoint = {.learned_seq = g,
                                       .constants = bytes_of("anchors"),
                                       .state = bytes_of("learnt")};
    struct ak_receipt receipt = {0};
    enum ak_status status;

    for (size_t i = 1; i <= GROUP_ROWS; i++)
        first[i] = 1;
    change.key.len = (size_t)snprintf(key, sizeof(key), "group-%d", (int)g);
    fill_block(block, GROUP_ROWS, g * GROUP_ROWS);
    status = ak_store_apply(f->store, &change, &receipt, &f->err);
    if (status == AK_OK)
        status = put_model(f, receipt.seq);
    if (status == AK_OK)
        status = ak_store_put_checkpoint(f->store, &checkpoint, &f->err);
    if (status == AK_OK)
        status = ak_store_put_outcome(f->store, receipt.seq, bytes_of("{}"),
                                      &f->err);
    if (status == AK_OK)
        status = ak_store_tidy(f->store, 0, &f->err);
    return status;
}

static void note(struct day *day, const struct fixture *f,
                 enum ak_status status)
{
    if (status == AK_OK)
        return;
    day->failure = status;
    assert_true(f->err.text[0] != '\0');
    if (strstr(f->err.text, "fsync failed (") != NULL)
        day->stopped = true;
}

static void run_group(struct fixture *f, struct day *day)
{
    enum ak_status status = ak_store_begin(f->store, &f->err);

    note(day, f, status);
    if (status != AK_OK)
        return;
    status = fill_group(f, day->committed);
    if (status == AK_OK) {
        status = ak_store_commit(f->store, &f->err);
        note(day, f, status);
        day->committed += status == AK_OK;
        day->unsure |= status != AK_OK && day->stopped;
        return;
    }
    note(day, f, status);
    /* What is broken stays so until it is rolled back. */
    assert_int_not_equal(ak_store_tidy(f->store, 0, NULL), AK_OK);
    ak_store_rollback(f->store);
}

static struct day run_day(struct fixture *f, enum fault fault, long n,
                          bool *was_met)
{
    struct day day = {0};
    enum ak_status status;

    faulty_arm(fault, n);
    status = ak_store_open(f->path, false, &f->store, &f->err);
    note(&day, f, status);
    for (int g = 0; status == AK_OK && g < GROUPS; g++) {
        run_group(f, &day);
        if (g == 1)
            note(&day, f, ak_store_checkpoint_wal(f->store, true, &f->err));
    }
    *was_met = faulty_disarm();
    return day;
}

/* The disk is well again: the store goes on, or says why it does not. */
static void check_store(struct fixture *f, const struct day *day)
{
    struct ak_store_info info;

    assert_status(ak_view_open(f->path, &f->view, &f->err), AK_OK);
    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    assert_int_equal(info.last_seq, day->committed);
    assert_int_equal(info.live_rows, day->committed * GROUP_ROWS);
    if (day->committed > 0)
        assert_block(f->view, 0, day->committed * GROUP_ROWS, 0);
    if (day->stopped) {
        assert_status(ak_store_begin(f->store, &f->err), AK_EIO);
        assert_non_null(strstr(f->err.text, "fsync failed before"));
        assert_status(ak_store_checkpoint_wal(f->store, false, &f->err),
                      AK_EIO);
    }
}

static void check_file(struct fixture *f, const struct day *day)
{
    struct ak_store_info info;
    struct ak_checkpoint checkpoint;
    uint64_t groups;

    open_all(f);
    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    groups = info.last_seq;
    if (day->unsure)
        assert_in_range(groups, day->committed, day->committed + 1);
    else
        assert_int_equal(groups, day->committed);
    assert_int_equal(info.next_ordinal, groups * GROUP_ROWS);
    if (groups > 0) {
        assert_block(f->view, 0, groups * GROUP_ROWS, 0);
        assert_int_equal(info.published, groups - 1);
        assert_int_equal(info.n_labels, 1);
        assert_status(ak_view_checkpoint(f->view, &checkpoint, &f->err), AK_OK);
        assert_int_equal(checkpoint.learned_seq, groups - 1);
    }
    put_rows(f, 1, NULL, 0);
    close_all(f);
}

/* A file as it was when it was new; to make one anew would wait for the disk
   every time. */
struct image {
    uint8_t *data;
    size_t len;
};

static struct image new_file_image(struct fixture *f)
{
    const struct ak_store_shape shape = {false, ROW_BYTES, CODE_BYTES};
    struct image image = {.len = 1 << 20};
    FILE *file;

    assert_status(
        ak_store_create(f->path, &shape, bytes_of("{}"), &f->store, &f->err),
        AK_OK);
    close_all(f);
    image.data = malloc(image.len);
    file = fopen(f->path, "rb");
    assert_non_null(image.data);
    assert_non_null(file);
    image.len = fread(image.data, 1, image.len, file);
    assert_int_equal(fclose(file), 0);
    assert_in_range(image.len, 4096, (1 << 20) - 1);
    return image;
}

static void write_image(struct fixture *f, const struct image *image)
{
    FILE *file = fopen(f->path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(image->data, 1, image->len, file), image->len);
    assert_int_equal(fclose(file), 0);
}

/*
 * Until a day passes without the fault being met; the first hundred places each,
 * then in steps that grow.
 */
static void for_every_fault(struct fixture *f, enum fault fault,
                            enum ak_status expected)
{
    struct image image = new_file_image(f);
    bool was_met = true;
    long n;

    for (n = 1; was_met; n += (1 + n / 100) * test_stride()) {
        struct day day;

        write_image(f, &image);
        day = run_day(f, fault, n, &was_met);
        if (day.failure != AK_OK)
            assert_status(day.failure, expected);
        if (f->store != NULL) {
            assert_true(day.committed == GROUPS || day.failure != AK_OK);
            check_store(f, &day);
        }
        close_all(f);
        check_file(f, &day);
    }
    assert_true(n > 5); /* the fault was met at all */
    free(image.data);
}

static void a_failed_write_fails_its_group_only(void **state)
{
    for_every_fault(*state, FAULT_WRITE, AK_EIO);
}

static void a_full_disk_fails_groups_and_keeps_the_rest(void **state)
{
    for_every_fault(*state, FAULT_FULL, AK_EFULL);
}

static void a_failed_sync_ends_all_writing(void **state)
{
    for_every_fault(*state, FAULT_SYNC, AK_EIO);
}

static void a_failed_read_is_an_error_and_no_harm(void **state)
{
    for_every_fault(*state, FAULT_READ, AK_EIO);
}

static void a_failed_allocation_is_told_and_no_harm(void **state)
{
    for_every_fault(*state, FAULT_MEMORY, AK_ENOMEM);
}

static void a_full_disk_is_told(void **state)
{
    const struct ak_store_shape shape = {false, ROW_BYTES, CODE_BYTES};
    struct fixture *f = *state;
    struct ak_store *store = NULL;

    faulty_arm(FAULT_FULL, 3);
    assert_status(
        ak_store_create(f->path, &shape, bytes_of("{}"), &store, &f->err),
        AK_EFULL);
    faulty_disarm();
    assert_null(store);
    assert_string_equal(f->err.text, "1.db: no space left on the disk");
    /* What was begun is gone, and can be begun again. */
    assert_status(
        ak_store_create(f->path, &shape, bytes_of("{}"), &f->store, &f->err),
        AK_OK);
}

static void a_full_disk_leaves_the_log_and_can_be_read(void **state)
{
    const struct ak_store_shape shape = {false, ROW_BYTES, CODE_BYTES};
    struct fixture *f = *state;
    struct ak_store_info info;

    assert_status(
        ak_store_create(f->path, &shape, bytes_of("{}"), &f->store, &f->err),
        AK_OK);
    assert_status(ak_view_open(f->path, &f->view, &f->err), AK_OK);
    put_rows(f, GROUP_ROWS, NULL, 0);
    /* The log cannot be copied: neither at the end nor at the start. */
    faulty_arm(FAULT_FULL, 1);
    close_all(f);
    assert_true(faulty_met());
    faulty_arm(FAULT_FULL, 1);
    open_all(f);
    assert_true(faulty_disarm());
    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    assert_int_equal(info.live_rows, GROUP_ROWS);
    /* And goes on when there is room. */
    put_rows(f, 1, NULL, 0);
    assert_status(ak_store_checkpoint_wal(f->store, false, &f->err), AK_OK);
    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    assert_int_equal(info.live_rows, GROUP_ROWS + 1);
}

/* The file of an earlier format, which an open brings up in one transaction. */
static void make_older(struct fixture *f)
{
    const struct ak_store_shape shape = {false, ROW_BYTES, CODE_BYTES};

    assert_status(ak_store_remove(f->path, &f->err), AK_OK);
    assert_status(
        ak_store_create(f->path, &shape, bytes_of("{}"), &f->store, &f->err),
        AK_OK);
    put_rows(f, GROUP_ROWS, NULL, 0);
    damage(f, OLDER_FINETUNE OLDER_SPACES);
}

static void a_failed_upgrade_can_be_done_again(void **state)
{
    static const enum fault faults[] = {FAULT_WRITE, FAULT_FULL, FAULT_SYNC,
                                        FAULT_READ, FAULT_MEMORY};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        bool met = true;
        int failed = 0;

        for (long n = 1; met; n += 1 + n / 8) {
            enum ak_status status;

            make_older(f);
            faulty_arm(faults[i], n);
            status = ak_store_open(f->path, false, &f->store, &f->err);
            met = faulty_disarm();
            failed += status != AK_OK;
            close_all(f);
            assert_status(ak_store_open(f->path, true, &f->store, &f->err),
                          AK_OK);
            assert_status(ak_view_open(f->path, &f->view, &f->err), AK_OK);
            assert_block(f->view, 0, GROUP_ROWS, 0);
            close_all(f);
        }
        assert_true(failed > 0);
    }
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_folder_fixture, remove_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_failed_write_fails_its_group_only),
        TEST(a_full_disk_fails_groups_and_keeps_the_rest),
        TEST(a_failed_sync_ends_all_writing),
        TEST(a_failed_read_is_an_error_and_no_harm),
        TEST(a_failed_allocation_is_told_and_no_harm),
        TEST(a_full_disk_is_told),
        TEST(a_full_disk_leaves_the_log_and_can_be_read),
        TEST(a_failed_upgrade_can_be_done_again),
    };

    faulty_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
