/*
 * Copies of a store that is written meanwhile: each is a prefix of the sequence,
 * whole, and nothing that happens to it harms the store.
 */
#include "tests/storage/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/sqlite_internal.h"
#include "tests/storage/faulty.h"

#define GROUP 40

static char *copy_path(const struct fixture *f)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/copy.db", f->dir);
    return path;
}

/* Some megabytes of rows, of which row i holds what fill_block() puts there. */
static uint64_t put_groups(struct fixture *f, uint64_t from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_rows(f, GROUP, NULL, (from + i) * GROUP);
    return from + n;
}

/* Steps until it is over, and puts a group between two steps, `puts` of them. */
static struct ak_store_copy copy_all(struct fixture *f, uint64_t *groups,
                                     size_t puts)
{
    struct ak_store_copy copy = {0};

    assert_status(ak_store_begin_copy(f->store, copy_path(f), &f->err), AK_OK);
    while (!copy.over) {
        assert_status(ak_store_copy(f->store, 2, &copy, &f->err), AK_OK);
        if (!copy.over && puts > 0) {
            *groups = put_groups(f, *groups, 1);
            puts--;
        }
    }
    assert_int_equal(puts, 0);
    return copy;
}

/* It has records 1 .. seq, and their rows, and nothing else. */
static void assert_prefix(struct fixture *f, const struct ak_store_copy *copy)
{
    struct ak_store_info info;
    struct ak_view *view = NULL;
    struct ak_record record;
    bool older = true;

    assert_status(ak_store_check_copy(copy_path(f), &older, &f->err), AK_OK);
    assert_false(older);
    assert_status(ak_view_open_copy(copy_path(f), &view, &f->err), AK_OK);
    assert_status(ak_view_info(view, &info, &f->err), AK_OK);
    assert_int_equal(info.last_seq, copy->last_seq);
    assert_int_equal(info.next_ordinal, copy->next_ordinal);
    assert_int_equal(info.next_ordinal, info.last_seq * GROUP);
    assert_int_equal(info.live_rows, copy->live_rows);
    for (uint64_t seq = 0; seq < info.last_seq; seq++) {
        assert_status(ak_view_record(view, seq, &record, &f->err), AK_OK);
        assert_int_equal(record.seq, seq + 1);
        assert_block(view, seq * GROUP, GROUP, seq * GROUP);
    }
    assert_status(ak_view_record(view, info.last_seq, &record, NULL),
                  AK_ENOTFOUND);
    ak_view_close(view);
}

static bool is_there(const struct fixture *f, const char *beside)
{
    char path[160];

    snprintf(path, sizeof(path), "%s%s", copy_path(f), beside);
    return access(path, F_OK) == 0;
}

static void a_copy_taken_under_writes_is_a_prefix(void **state)
{
    struct fixture *f = *state;
    uint64_t groups = put_groups(f, 0, 20);
    struct ak_store_copy copy = copy_all(f, &groups, 10);

    assert_int_equal(copy.last_seq, groups);
    put_groups(f, groups, 1);
    assert_prefix(f, &copy);
    assert_false(is_there(f, "-wal"));
    assert_false(is_there(f, "-shm"));
}

static void what_is_rolled_back_is_not_in_a_copy(void **state)
{
    uint8_t block[GROUP * ROW_BYTES];
    struct ak_change change = {.kind = AK_RECORD_UPSERT,
                               .rows = {.n = GROUP, .block = block}};
    struct fixture *f = *state;
    uint64_t groups = put_groups(f, 0, 20);
    struct ak_store_copy copy = {0};
    struct ak_receipt receipt;

    int undone = 0;

    fill_block(block, GROUP, 77);
    assert_status(ak_store_begin_copy(f->store, copy_path(f), &f->err), AK_OK);
    while (!copy.over) {
        assert_status(ak_store_copy(f->store, 3, &copy, &f->err), AK_OK);
        /* Each makes it begin anew. */
        if (copy.over || undone++ >= 3)
            continue;
        assert_status(ak_store_begin(f->store, &f->err), AK_OK);
        assert_status(ak_store_apply(f->store, &change, &receipt, &f->err),
                      AK_OK);
        ak_store_rollback(f->store);
    }
    assert_true(undone > 3);
    assert_int_equal(copy.last_seq, groups);
    assert_prefix(f, &copy);
}

static void a_log_that_is_emptied_meanwhile_changes_no_copy(void **state)
{
    struct fixture *f = *state;
    uint64_t groups = put_groups(f, 0, 20);
    struct ak_store_copy copy = {0};

    assert_status(ak_store_begin_copy(f->store, copy_path(f), &f->err), AK_OK);
    while (!copy.over) {
        assert_status(ak_store_copy(f->store, 3, &copy, &f->err), AK_OK);
        assert_status(ak_store_checkpoint_wal(f->store, true, &f->err), AK_OK);
    }
    assert_int_equal(copy.last_seq, groups);
    assert_prefix(f, &copy);
}

static void one_copy_at_a_time_to_a_free_place(void **state)
{
    struct fixture *f = *state;
    struct ak_store_copy copy;

    put_groups(f, 0, 20);
    assert_status(ak_store_copy(f->store, 1, &copy, &f->err), AK_ENOTFOUND);
    assert_status(ak_store_begin_copy(f->store, f->path, &f->err), AK_EEXISTS);
    assert_status(ak_store_begin_copy(f->store, copy_path(f), &f->err), AK_OK);
    assert_status(ak_store_begin_copy(f->store, "elsewhere.db", &f->err),
                  AK_EBUSY);
    assert_status(ak_store_copy(f->store, 1, &copy, &f->err), AK_OK);
    assert_false(copy.over);
    ak_store_end_copy(f->store);
    assert_status(ak_store_copy(f->store, 1, &copy, &f->err), AK_ENOTFOUND);
    assert_int_equal(unlink(copy_path(f)), 0);
    /* And one that is under way when the store is closed. */
    assert_status(ak_store_begin_copy(f->store, copy_path(f), &f->err), AK_OK);
    close_all(f);
}

static void a_disk_that_fails_a_copy_fails_no_change(void **state)
{
    static const enum fault faults[] = {FAULT_WRITE, FAULT_FULL, FAULT_READ,
                                        FAULT_MEMORY};
    struct fixture *f = *state;
    uint64_t groups = put_groups(f, 0, 8);

    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        bool met = true;

        for (long n = 1; met; n += 1 + n / 4) {
            struct ak_store_copy copy = {0};
            enum ak_status status;

            faulty_arm(faults[i], n);
            status = ak_store_begin_copy(f->store, copy_path(f), &f->err);
            while (status == AK_OK && !copy.over)
                status = ak_store_copy(f->store, 4, &copy, &f->err);
            met = faulty_disarm();
            ak_store_end_copy(f->store);
            if (status == AK_OK)
                assert_prefix(f, &copy);
            else
                assert_true(met);
            unlink(copy_path(f));
            /* All are of one kind, whatever was told. */
            groups = put_groups(f, groups, 1);
        }
    }
}

static void a_damaged_copy_is_found(void **state)
{
    struct fixture *f = *state;
    uint64_t groups = put_groups(f, 0, 20);
    struct ak_store_copy copy = copy_all(f, &groups, 0);
    uint8_t noise[512];
    bool older;
    FILE *file = fopen(copy_path(f), "r+b");

    assert_non_null(file);
    memset(noise, 0xa5, sizeof(noise));
    for (long at = 4096; at < (long)copy.total; at += 4096) {
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        assert_int_equal(fwrite(noise, sizeof(noise), 1, file), 1);
    }
    assert_int_equal(fclose(file), 0);
    assert_status(ak_store_check_copy(copy_path(f), &older, &f->err),
                  AK_ECORRUPT);
    assert_int_equal(truncate(copy_path(f), 100), 0);
    assert_status(ak_store_check_copy(copy_path(f), &older, &f->err),
                  AK_ECORRUPT);
}

static void a_copy_with_odd_characters_in_its_path_is_opened(void **state)
{
    struct fixture *f = *state;
    char path[160];
    struct ak_store_copy copy = {0};
    bool older;

    put_groups(f, 0, 1);
    snprintf(path, sizeof(path), "%s/a%%41?b#c.db", f->dir);
    assert_status(ak_store_begin_copy(f->store, path, &f->err), AK_OK);
    while (!copy.over)
        assert_status(ak_store_copy(f->store, 100, &copy, &f->err), AK_OK);
    assert_status(ak_store_check_copy(path, &older, &f->err), AK_OK);
}

static void a_file_from_elsewhere_has_no_jobs(void **state)
{
    const struct ak_generation first = {.job = 7, .settings = bytes_of("{}")};
    const struct ak_generation second = {
        .job = 8, .base_seq = 1, .settings = bytes_of("{}")};
    struct fixture *f = *state;
    uint64_t number, seq, installed, begun;

    put_groups(f, 0, 1);
    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(ak_store_begin_generation(f->store, &first, bytes_of("{}"),
                                            &number, &f->err),
                  AK_OK);
    assert_status(
        ak_store_install(f->store, number, bytes_of("{}"), 1, &seq, &f->err),
        AK_OK);
    assert_status(ak_store_begin_generation(f->store, &second, bytes_of("{}"),
                                            &number, &f->err),
                  AK_OK);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    assert_status(ak_view_generation_of(f->view, 7, &number, &f->err), AK_OK);
    assert_status(ak_view_generation_of(f->view, 8, &number, &f->err), AK_OK);

    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(ak_store_forget_jobs(f->store, &f->err), AK_OK);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    assert_status(ak_view_generation_of(f->view, 7, &number, NULL),
                  AK_ENOTFOUND);
    assert_status(ak_view_generation_of(f->view, 8, &number, NULL),
                  AK_ENOTFOUND);
    assert_status(ak_view_generations(f->view, &installed, &begun, &f->err),
                  AK_OK);
    assert_int_equal(installed, 1);
    assert_int_equal(begun, 0);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_fixture, remove_fixture)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_copy_taken_under_writes_is_a_prefix),
        TEST(what_is_rolled_back_is_not_in_a_copy),
        TEST(a_log_that_is_emptied_meanwhile_changes_no_copy),
        TEST(one_copy_at_a_time_to_a_free_place),
        TEST(a_disk_that_fails_a_copy_fails_no_change),
        TEST(a_damaged_copy_is_found),
        TEST(a_copy_with_odd_characters_in_its_path_is_opened),
        TEST(a_file_from_elsewhere_has_no_jobs),
    };

    faulty_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
