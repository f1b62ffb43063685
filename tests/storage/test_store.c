#include "tests/storage/fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --------------------------------------------------------------- the file */

static void a_new_file_is_empty_and_keeps_its_shape(void **state)
{
    struct fixture *f = *state;
    struct ak_store_info info;
    struct ak_bytes config;

    for (int round = 0; round < 2; round++) {
        assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
        assert_int_equal(info.shape.row_bytes, ROW_BYTES);
        assert_int_equal(info.shape.code_bytes, CODE_BYTES);
        assert_false(info.shape.string_ids);
        assert_int_equal(info.last_seq, 0);
        assert_int_equal(info.next_ordinal, 0);
        assert_int_equal(info.live_rows, 0);
        assert_int_equal(info.n_labels, 0);
        assert_int_equal(info.last_rollback_seq, 0);
        assert_true(info.covered_bytes > 0);
        assert_status(ak_view_config(f->view, &config, &f->err), AK_OK);
        assert_true(same_text(config, "{}"));
        close_all(f);
        open_all(f);
    }
}

static void an_existing_file_is_not_made_again(void **state)
{
    const struct ak_store_shape shape = {false, ROW_BYTES, CODE_BYTES};
    struct fixture *f = *state;
    struct ak_store *other = NULL;

    put_rows(f, 3, NULL, 100);
    assert_status(
        ak_store_create(f->path, &shape, bytes_of("x"), &other, &f->err),
        AK_EEXISTS);
    assert_null(other);
    close_all(f);
    assert_status(
        ak_store_create(f->path, &shape, bytes_of("x"), &other, &f->err),
        AK_EEXISTS);
    open_all(f);
    assert_block(f->view, 0, 3, 100);
}

static void a_missing_file_is_not_found(void **state)
{
    struct fixture *f = *state;

    assert_status(ak_store_open(f->path, false, &f->store, &f->err),
                  AK_ENOTFOUND);
    assert_string_equal(f->err.text, "1.db is not there");
    assert_status(ak_view_open(f->path, &f->view, &f->err), AK_ENOTFOUND);
    assert_null(f->store);
    assert_null(f->view);
}

static void a_removed_file_leaves_nothing(void **state)
{
    static const char *const beside[] = {"", "-wal", "-shm", "-journal"};
    struct fixture *f = *state;

    put_rows(f, 3, NULL, 0);
    close_all(f);
    assert_status(ak_store_remove(f->path, &f->err), AK_OK);
    for (size_t i = 0; i < 4; i++) {
        char name[128];

        snprintf(name, sizeof(name), "%s%s", f->path, beside[i]);
        assert_int_not_equal(access(name, F_OK), 0);
    }
    assert_status(ak_store_remove(f->path, &f->err), AK_OK);
}

/* A log of another file must not be replayed into a new one. */
static void a_stale_log_is_not_taken_over(void **state)
{
    const struct ak_store_shape shape = {false, ROW_BYTES, CODE_BYTES};
    struct fixture *f = *state;
    struct ak_store_info info;
    char wal[128], stale[128];

    snprintf(wal, sizeof(wal), "%s-wal", f->path);
    snprintf(stale, sizeof(stale), "%s/2.db-wal", f->dir);
    put_rows(f, 30, NULL, 0);
    assert_int_equal(rename(wal, stale), 0);
    close_all(f);
    snprintf(f->path, sizeof(f->path), "%s/2.db", f->dir);
    assert_status(
        ak_store_create(f->path, &shape, bytes_of("new"), &f->store, &f->err),
        AK_OK);
    assert_status(ak_view_open(f->path, &f->view, &f->err), AK_OK);
    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    assert_int_equal(info.next_ordinal, 0);
}

/* What lies beside an open file, as a kill leaves it. */
static void save_beside(const struct fixture *f, const char *beside,
                        const char *to)
{
    char command[400];

    snprintf(command, sizeof(command), "cp %s%s %s/%s", f->path, beside, f->dir,
             to);
    assert_int_equal(system(command), 0);
}

static void put_beside(const struct fixture *f, const char *from,
                       const char *beside)
{
    char command[400];

    snprintf(command, sizeof(command), "cp %s/%s %s%s", f->dir, from, f->path,
             beside);
    assert_int_equal(system(command), 0);
}

static void a_log_that_is_not_of_its_file_is_refused(void **state)
{
    const struct ak_store_shape shape = {false, ROW_BYTES, CODE_BYTES};
    struct fixture *f = *state;
    struct ak_store *other = NULL;
    struct fixture g = *f;
    struct ak_checkpoint checkpoint = {.state = bytes_of("learnt")};
    char wal[128];

    /* Of another file, even if its commits appended no record. */
    snprintf(g.path, sizeof(g.path), "%s/2.db", f->dir);
    assert_status(
        ak_store_create(g.path, &shape, bytes_of("other"), &other, &f->err),
        AK_OK);
    assert_status(ak_store_begin(other, &f->err), AK_OK);
    assert_status(ak_store_put_checkpoint(other, &checkpoint, &f->err), AK_OK);
    assert_status(ak_store_commit(other, &f->err), AK_OK);
    save_beside(&g, "-wal", "foreign");
    ak_store_close(other);
    put_rows(f, 30, NULL, 0);
    save_beside(f, "-wal", "early");
    put_rows(f, 30, NULL, 30);
    close_all(f);

    put_beside(f, "foreign", "-wal");
    assert_status(ak_store_open(f->path, false, &f->store, &f->err),
                  AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "is of another file"));
    put_beside(f, "early", "-wal");
    assert_status(ak_store_open(f->path, false, &f->store, &f->err),
                  AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "ends with commit 1"));
    assert_status(ak_store_remove(g.path, &f->err), AK_OK);
    /* Nothing of either came into the file. */
    snprintf(wal, sizeof(wal), "%s-wal", f->path);
    assert_int_equal(unlink(wal), 0);
    open_all(f);
    assert_block(f->view, 0, 60, 0);
}

static void a_log_that_was_taken_away_is_told(void **state)
{
    struct fixture *f = *state;
    struct ak_store_info info;
    char wal[128];

    put_rows(f, 30, NULL, 0);
    assert_status(ak_store_checkpoint_wal(f->store, false, &f->err), AK_OK);
    put_rows(f, 30, NULL, 30);
    /* As a kill leaves it, but for the log. */
    save_beside(f, "", "killed");
    save_beside(f, "-open", "killed-open");
    close_all(f);
    put_beside(f, "killed", "");
    put_beside(f, "killed-open", "-open");
    snprintf(wal, sizeof(wal), "%s-wal", f->path);
    assert_int_not_equal(access(wal, F_OK), 0);
    assert_status(ak_store_open(f->path, true, &f->store, &f->err), AK_OK);
    assert_true(ak_store_log_lost(f->store));
    assert_status(ak_view_open(f->path, &f->view, &f->err), AK_OK);
    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    assert_int_equal(info.last_seq, 1);
    assert_block(f->view, 0, 30, 0);
    close_all(f);
    assert_status(ak_store_open(f->path, true, &f->store, &f->err), AK_OK);
    assert_false(ak_store_log_lost(f->store));
}

static void a_closed_file_stands_alone(void **state)
{
    struct fixture *f = *state;
    char name[128];

    put_rows(f, 100, NULL, 0);
    close_all(f);
    snprintf(name, sizeof(name), "%s-wal", f->path);
    assert_int_not_equal(access(name, F_OK), 0);
    snprintf(name, sizeof(name), "%s-shm", f->path);
    assert_int_not_equal(access(name, F_OK), 0);
    open_all(f);
    assert_block(f->view, 0, 100, 0);
}

static void a_file_is_only_for_its_owner(void **state)
{
    struct fixture *f = *state;
    struct stat info;

    assert_int_equal(stat(f->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

/* ------------------------------------------------------------------ groups */

static void what_was_rolled_back_never_happened(void **state)
{
    uint8_t block[2 * ROW_BYTES] = {0};
    const struct ak_bytes labels[] = {{"a", 1}, {"b", 1}};
    const uint32_t first[] = {0, 1, 2};
    struct ak_change change = {
        .kind = AK_RECORD_BATCH,
        .rows = {.n = 2,
                 .block = block,
                 .labels = labels,
                 .label_first = first},
    };
    struct fixture *f = *state;
    struct ak_store_info info;
    struct ak_receipt receipt;

    for (int round = 0; round < 2; round++) {
        assert_status(ak_store_begin(f->store, &f->err), AK_OK);
        assert_status(ak_store_apply(f->store, &change, &receipt, &f->err),
                      AK_OK);
        assert_int_equal(receipt.seq, 1);
        assert_int_equal(receipt.first_id, 0);
        assert_int_equal(receipt.first_ordinal, 0);
        ak_store_rollback(f->store);
        assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
        assert_int_equal(info.last_seq, 0);
        assert_int_equal(info.n_labels, 0);
        assert_int_equal(info.live_rows, 0);
    }
    ak_store_rollback(f->store); /* of no group: nothing */
}

static void views_see_only_what_is_committed(void **state)
{
    uint8_t block[ROW_BYTES] = {0};
    struct ak_change change = {
        .kind = AK_RECORD_UPSERT,
        .rows = {.n = 1, .block = block},
    };
    struct fixture *f = *state;
    struct ak_store_info info;
    struct ak_receipt receipt;

    for (uint64_t i = 0; i < 3; i++) {
        assert_status(ak_store_begin(f->store, &f->err), AK_OK);
        assert_status(ak_store_apply(f->store, &change, &receipt, &f->err),
                      AK_OK);
        assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
        assert_int_equal(info.last_seq, i);
        assert_status(ak_store_commit(f->store, &f->err), AK_OK);
        assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
        assert_int_equal(info.last_seq, i + 1);
    }
}

static void a_held_view_stays_on_one_state(void **state)
{
    struct fixture *f = *state;
    struct ak_store_info info;
    struct ak_record record;
    uint8_t out[ROW_BYTES];

    put_rows(f, 1, NULL, 0);
    assert_status(ak_view_hold(f->view, &f->err), AK_OK);
    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    put_rows(f, 1, NULL, 1);
    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    assert_int_equal(info.last_seq, 1);
    assert_status(ak_view_record(f->view, 1, &record, &f->err), AK_ENOTFOUND);
    assert_status(ak_view_block(f->view, &first_space, 1, 1, out, &f->err),
                  AK_ENOTFOUND);
    ak_view_release(f->view);
    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    assert_int_equal(info.last_seq, 2);
    assert_block(f->view, 1, 1, 1);
    ak_view_release(f->view); /* not held: nothing */
}

/* A record of a large batch stays with the view that read it, until it rests. */
static void a_view_that_rests_gives_its_memory_back(void **state)
{
    enum { ROWS = 40000 };
    static uint8_t block[ROWS * ROW_BYTES];
    static struct ak_bytes labels[ROWS];
    static uint32_t first[ROWS + 1];
    const struct ak_change change = {
        .kind = AK_RECORD_BATCH,
        .rows = {.n = ROWS,
                 .block = block,
                 .labels = labels,
                 .label_first = first},
    };
    struct fixture *f = *state;
    struct ak_receipt receipt;
    struct ak_record record;

    fill_block(block, ROWS, 1);
    for (uint32_t i = 0; i < ROWS; i++) {
        labels[i] = bytes_of("a");
        first[i + 1] = i + 1;
    }
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_status(ak_view_record(f->view, receipt.seq - 1, &record, &f->err),
                  AK_OK);
    assert_block(f->view, 0, 5, 1);
    assert_true(ak_view_bytes(f->view) > ROWS * sizeof(uint64_t));
    ak_view_trim(f->view);
    assert_in_range(ak_view_bytes(f->view), 1, 200000);
    assert_block(f->view, 0, 5, 1);
}

/* Reads all rows by several views; the most that is kept of the file meanwhile. */
static uint64_t read_by_views(struct fixture *f, uint64_t rows)
{
    enum { VIEWS = 4, STEP = 4096 };
    struct ak_view *views[VIEWS];
    uint64_t most = 0;

    for (size_t k = 0; k < VIEWS; k++) {
        assert_status(ak_view_open(f->path, &views[k], &f->err), AK_OK);
        for (uint64_t first = 0; first < rows; first += STEP) {
            assert_block(views[k], first, STEP, first);
            if (ak_storage_memory() > most)
                most = ak_storage_memory();
        }
    }
    for (size_t k = 0; k < VIEWS; k++)
        ak_view_close(views[k]);
    return most;
}

static void all_files_together_keep_no_more_than_the_limit(void **state)
{
    enum { ROWS = 1 << 18, STEP = 4096, LIMIT = 4 << 20 };
    struct fixture *f = *state;
    uint64_t most;

    for (uint64_t first = 0; first < ROWS; first += STEP)
        put_rows(f, STEP, NULL, first);
    most = read_by_views(f, ROWS);
    assert_true(most > 2 * LIMIT);
    close_all(f);
    ak_storage_limit_memory(LIMIT);
    open_all(f);
    most = read_by_views(f, ROWS);
    put_rows(f, STEP, NULL, ROWS);
    ak_storage_limit_memory(0);
    assert_block(f->view, ROWS, STEP, ROWS);
    assert_in_range(most, LIMIT / 4, LIMIT + LIMIT / 4);
}

static void a_failed_change_is_undone_alone(void **state)
{
    const struct ak_row_id twice[] = {
        {.number = 7}, {.number = 9}, {.number = 7}};
    uint8_t block[3 * ROW_BYTES] = {0};
    const struct ak_bytes labels[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    const uint32_t first[] = {0, 1, 2, 3};
    struct ak_change good = {.kind = AK_RECORD_BATCH,
                             .rows = {.n = 1, .block = block}};
    struct ak_change bad = {
        .kind = AK_RECORD_BATCH,
        .rows = {.n = 3,
                 .block = block,
                 .ids = twice,
                 .labels = labels,
                 .label_first = first},
    };
    struct fixture *f = *state;
    struct ak_receipt receipt = {.seq = 99};
    struct ak_store_info info;
    struct ak_row row;

    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(ak_store_apply(f->store, &good, &receipt, &f->err), AK_OK);
    assert_int_equal(receipt.seq, 1);
    assert_status(ak_store_apply(f->store, &bad, &receipt, &f->err), AK_EINVAL);
    assert_string_equal(f->err.text, "rows 0 and 2 have one id, 7");
    assert_int_equal(receipt.seq, 1); /* written on success only */
    assert_status(ak_store_apply(f->store, &good, &receipt, &f->err), AK_OK);
    assert_int_equal(receipt.seq, 2);
    assert_int_equal(receipt.first_id, 1);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    assert_int_equal(info.last_seq, 2);
    assert_int_equal(info.next_ordinal, 2);
    assert_int_equal(info.live_rows, 2);
    assert_int_equal(info.n_labels, 0);
    assert_status(ak_view_find(f->view, &twice[1], &row, &f->err),
                  AK_ENOTFOUND);
}

static void the_log_can_be_copied_and_emptied(void **state)
{
    struct fixture *f = *state;
    struct stat info;
    char wal[128];

    snprintf(wal, sizeof(wal), "%s-wal", f->path);
    put_rows(f, 1000, NULL, 5);
    assert_true(ak_store_wal_bytes(f->store) > 1000 * ROW_BYTES);
    assert_int_equal(stat(wal, &info), 0);
    assert_true(info.st_size > 0);
    assert_status(ak_store_checkpoint_wal(f->store, false, &f->err), AK_OK);
    assert_int_equal(ak_store_wal_bytes(f->store), 0);
    put_rows(f, 1, NULL, 0);
    assert_status(ak_store_checkpoint_wal(f->store, true, &f->err), AK_OK);
    assert_int_equal(stat(wal, &info), 0);
    assert_int_equal(info.st_size, 0);
    assert_block(f->view, 0, 1000, 5);

    /* A reader in the middle puts it off, and is not disturbed. */
    assert_status(ak_view_hold(f->view, &f->err), AK_OK);
    assert_block(f->view, 0, 1, 5);
    put_rows(f, 1, NULL, 0);
    assert_status(ak_store_checkpoint_wal(f->store, true, &f->err), AK_EBUSY);
    assert_status(ak_store_checkpoint_wal(f->store, false, &f->err), AK_OK);
    assert_true(ak_store_wal_bytes(f->store) > 0);
    assert_block(f->view, 0, 1000, 5);
    ak_view_release(f->view);
    assert_status(ak_store_checkpoint_wal(f->store, true, &f->err), AK_OK);
    assert_int_equal(ak_store_wal_bytes(f->store), 0);
}

static void a_store_outlives_its_views_and_they_it(void **state)
{
    struct fixture *f = *state;
    struct ak_view *second;

    put_rows(f, 2, NULL, 8);
    assert_status(ak_view_open(f->path, &second, &f->err), AK_OK);
    ak_view_close(f->view);
    f->view = NULL;
    put_rows(f, 2, NULL, 10);
    ak_store_close(f->store);
    f->store = NULL;
    assert_block(second, 0, 4, 8);
    ak_view_close(second);
    assert_status(ak_view_open(f->path, &f->view, &f->err), AK_OK);
    assert_block(f->view, 0, 4, 8);
    ak_view_close(NULL);
    ak_store_close(NULL);
}

/* -------------------------------------------------------- broken files */

static void a_later_format_is_refused(void **state)
{
    struct fixture *f = *state;

    damage(f, "PRAGMA user_version=99");
    assert_status(ak_store_open(f->path, false, &f->store, &f->err),
                  AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "format is 99"));
    assert_non_null(strstr(f->err.text, "later"));
    assert_status(ak_view_open(f->path, &f->view, &f->err), AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "format is 99"));
}

static void another_programs_database_is_refused(void **state)
{
    struct fixture *f = *state;

    damage(f, "PRAGMA application_id=7");
    assert_status(ak_store_open(f->path, false, &f->store, &f->err),
                  AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "not a collection file"));
    assert_status(ak_view_open(f->path, &f->view, &f->err), AK_ECORRUPT);
}

static void a_truncated_file_is_corrupt(void **state)
{
    static const double parts[] = {0.0, 0.001, 0.5, 0.9};
    struct fixture *f = *state;
    struct stat info;

    put_rows(f, 4000, NULL, 0);
    close_all(f);
    assert_int_equal(stat(f->path, &info), 0);
    for (size_t i = 4; i-- > 0;) {
        assert_int_equal(
            truncate(f->path, (off_t)((double)info.st_size * parts[i])), 0);
        assert_status(ak_store_open(f->path, true, &f->store, &f->err),
                      AK_ECORRUPT);
        assert_null(f->store);
    }
}

static void a_damaged_page_is_found_by_the_check(void **state)
{
    struct fixture *f = *state;
    struct stat info;
    uint8_t noise[512];
    FILE *file;

    put_rows(f, 4000, NULL, 0);
    close_all(f);
    assert_int_equal(stat(f->path, &info), 0);
    memset(noise, 0xa5, sizeof(noise));
    file = fopen(f->path, "r+b");
    assert_non_null(file);
    /* Heads of pages throughout the second half. */
    for (long at = info.st_size / 2 / 4096 * 4096; at < info.st_size;
         at += 4096) {
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        assert_int_equal(fwrite(noise, sizeof(noise), 1, file), 1);
    }
    assert_int_equal(fclose(file), 0);
    assert_status(ak_store_open(f->path, true, &f->store, &f->err),
                  AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "quick check"));
}

static void a_broken_block_is_told_apart(void **state)
{
    struct fixture *f = *state;
    uint8_t out[6 * ROW_BYTES];

    put_rows(f, 2, NULL, 0);
    put_rows(f, 2, NULL, 2);
    put_rows(f, 2, NULL, 4);
    damage(f, "UPDATE blocks SET data = CAST(x'ff' || substr(data, 2) AS BLOB)"
              " WHERE first = 2");
    open_all(f);
    assert_block(f->view, 0, 2, 0);
    assert_block(f->view, 4, 2, 4);
    assert_status(ak_view_block(f->view, &first_space, 2, 2, out, &f->err),
                  AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "block 2 has checksum"));
    assert_status(ak_view_block(f->view, &first_space, 3, 1, out, &f->err),
                  AK_ECORRUPT);
    assert_status(ak_view_block(f->view, &first_space, 0, 6, out, &f->err),
                  AK_ECORRUPT);
    damage(f, "UPDATE blocks SET data = substr(data, 2) WHERE first = 2");
    open_all(f);
    assert_status(ak_view_block(f->view, &first_space, 3, 1, out, &f->err),
                  AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "has 15 bytes"));
    damage(f, "DELETE FROM blocks WHERE first = 2");
    open_all(f);
    assert_status(ak_view_block(f->view, &first_space, 3, 1, out, &f->err),
                  AK_ECORRUPT);
    assert_string_equal(f->err.text, "1.db: row 3 is in no block");
    assert_status(ak_view_block(f->view, &first_space, 6, 1, out, &f->err),
                  AK_ENOTFOUND);
}

static void a_broken_record_is_told_apart(void **state)
{
    static const char *const harm[] = {
        "UPDATE records SET body = CAST(x'07' || substr(body, 2) AS BLOB)"
        " WHERE seq = 2",
        "UPDATE records SET body = NULL WHERE seq = 2",
        "UPDATE records SET kind = 77 WHERE seq = 2",
        "UPDATE records SET kind = 1, n = 1000000, crc = 0, body = x''"
        " WHERE seq = 2",
        "UPDATE records SET n_ordinals = 1000000000000 WHERE seq = 2",
        "UPDATE records SET n = -1 WHERE seq = 2",
    };
    const struct ak_row_id id = {.number = 1};
    struct ak_change change = {
        .kind = AK_RECORD_DELETE, .ids = &id, .n_ids = 1};
    struct fixture *f = *state;
    struct ak_receipt receipt;
    struct ak_record record;

    put_rows(f, 3, NULL, 0);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_status(ak_view_record(f->view, 1, &record, &f->err), AK_OK);
    for (size_t i = 0; i < sizeof(harm) / sizeof(harm[0]); i++) {
        damage(f, harm[i]);
        open_all(f);
        assert_status(ak_view_record(f->view, 0, &record, &f->err), AK_OK);
        assert_status(ak_view_record(f->view, 1, &record, &f->err),
                      AK_ECORRUPT);
    }
}

static void counters_that_make_no_sense_are_corrupt(void **state)
{
    struct fixture *f = *state;

    damage(f, "UPDATE state SET live_rows = -5");
    assert_status(ak_store_open(f->path, false, &f->store, &f->err),
                  AK_ECORRUPT);
    damage(f, "UPDATE state SET live_rows = 0");
    damage(f, "UPDATE shape SET row_bytes = 0");
    assert_status(ak_store_open(f->path, false, &f->store, &f->err),
                  AK_ECORRUPT);
    assert_status(ak_view_open(f->path, &f->view, &f->err), AK_ECORRUPT);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_fixture, remove_fixture)
#define FOLDER_TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_folder_fixture, remove_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_file_is_empty_and_keeps_its_shape),
        TEST(an_existing_file_is_not_made_again),
        FOLDER_TEST(a_missing_file_is_not_found),
        TEST(a_removed_file_leaves_nothing),
        TEST(a_stale_log_is_not_taken_over),
        TEST(a_log_that_is_not_of_its_file_is_refused),
        TEST(a_log_that_was_taken_away_is_told),
        TEST(a_closed_file_stands_alone),
        TEST(a_file_is_only_for_its_owner),
        TEST(what_was_rolled_back_never_happened),
        TEST(views_see_only_what_is_committed),
        TEST(a_held_view_stays_on_one_state),
        TEST(a_view_that_rests_gives_its_memory_back),
        TEST(all_files_together_keep_no_more_than_the_limit),
        TEST(a_failed_change_is_undone_alone),
        TEST(the_log_can_be_copied_and_emptied),
        TEST(a_store_outlives_its_views_and_they_it),
        TEST(a_later_format_is_refused),
        TEST(another_programs_database_is_refused),
        TEST(a_truncated_file_is_corrupt),
        TEST(a_damaged_page_is_found_by_the_check),
        TEST(a_broken_block_is_told_apart),
        TEST(a_broken_record_is_told_apart),
        TEST(counters_that_make_no_sense_are_corrupt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
