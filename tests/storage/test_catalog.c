#include "tests/storage/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/catalog.h"

static struct ak_catalog *open_catalog(struct fixture *f, bool expect_unclean)
{
    struct ak_catalog *catalog;
    bool unclean = !expect_unclean;

    assert_status(ak_catalog_open(f->dir, &catalog, &unclean, &f->err), AK_OK);
    assert_int_equal(unclean, expect_unclean);
    return catalog;
}

/* Make a collection's file under a number, and perhaps give it a name. */
static uint64_t add(struct fixture *f, struct ak_catalog *catalog,
                    const char *name)
{
    const struct ak_store_shape shape = {false, ROW_BYTES, CODE_BYTES};
    struct ak_store *store;
    char path[128];
    uint64_t file;

    assert_status(ak_catalog_reserve(catalog, &file, &f->err), AK_OK);
    assert_true(ak_catalog_path(catalog, file, path, sizeof(path)));
    assert_status(
        ak_store_create(path, &shape, bytes_of("{}"), &store, &f->err), AK_OK);
    ak_store_close(store);
    if (name != NULL)
        assert_status(ak_catalog_add(catalog, name, file, &f->err), AK_OK);
    return file;
}

static bool file_is_there(struct fixture *f, const char *name)
{
    char path[192];

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    return access(path, F_OK) == 0;
}

static void touch(struct fixture *f, const char *name)
{
    char path[192];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

struct list {
    char text[256];
    const char *stop_at;
};

static enum ak_status append(void *arg, const char *name, uint64_t file,
                             struct ak_err *err)
{
    struct list *list = arg;
    size_t len = strlen(list->text);

    snprintf(list->text + len, sizeof(list->text) - len, "%s=%d ", name,
             (int)file);
    if (list->stop_at != NULL && strcmp(name, list->stop_at) == 0)
        return ak_fail(err, AK_ENUMERIC, "enough");
    return AK_OK;
}

static void assert_list(struct fixture *f, struct ak_catalog *catalog,
                        const char *expected)
{
    struct list list = {0};

    assert_status(ak_catalog_list(catalog, append, &list, &f->err), AK_OK);
    assert_string_equal(list.text, expected);
}

static void a_data_directory_is_made_with_its_parents(void **state)
{
    struct fixture *f = *state;
    struct ak_catalog *catalog;
    struct stat info;
    char dir[128];
    bool unclean;

    snprintf(dir, sizeof(dir), "%s/a/b//c/", f->dir);
    assert_status(ak_catalog_open(dir, &catalog, &unclean, &f->err), AK_OK);
    assert_false(unclean);
    ak_catalog_close(catalog);
    assert_true(file_is_there(f, "a/b/c/catalog.db"));
    assert_true(file_is_there(f, "a/b/c/collections"));
    snprintf(dir, sizeof(dir), "%s/a/b/c", f->dir);
    assert_int_equal(stat(dir, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    touch(f, "file");
    snprintf(dir, sizeof(dir), "%s/file", f->dir);
    assert_status(ak_catalog_open(dir, &catalog, &unclean, &f->err), AK_EIO);
    assert_non_null(strstr(f->err.text, "is not a folder"));
    snprintf(dir, sizeof(dir), "%s/file/below", f->dir);
    assert_status(ak_catalog_open(dir, &catalog, &unclean, &f->err), AK_EIO);
    ak_catalog_close(NULL);
}

static void names_are_listed_upwards_and_kept(void **state)
{
    struct list list = {.stop_at = "bags"};
    struct fixture *f = *state;
    struct ak_catalog *catalog = open_catalog(f, false);

    assert_list(f, catalog, "");
    add(f, catalog, "shoes");
    add(f, catalog, "bags");
    add(f, catalog, "art");
    assert_list(f, catalog, "art=3 bags=2 shoes=1 ");
    assert_status(ak_catalog_list(catalog, append, &list, &f->err),
                  AK_ENUMERIC);
    assert_string_equal(list.text, "art=3 bags=2 ");
    assert_string_equal(f->err.text, "enough");
    ak_catalog_close(catalog);
    catalog = open_catalog(f, false);
    assert_list(f, catalog, "art=3 bags=2 shoes=1 ");
    ak_catalog_close(catalog);
}

static void a_name_is_given_once(void **state)
{
    char longest[AK_NAME_MAX + 2];
    struct fixture *f = *state;
    struct ak_catalog *catalog = open_catalog(f, false);
    uint64_t file;

    add(f, catalog, "shoes");
    assert_status(ak_catalog_reserve(catalog, &file, &f->err), AK_OK);
    assert_status(ak_catalog_add(catalog, "shoes", file, &f->err), AK_EEXISTS);
    assert_string_equal(f->err.text, "there is a collection shoes");
    assert_status(ak_catalog_add(catalog, "", file, &f->err), AK_EINVAL);
    memset(longest, 'n', sizeof(longest));
    longest[AK_NAME_MAX + 1] = '\0';
    assert_status(ak_catalog_add(catalog, longest, file, &f->err), AK_EINVAL);
    longest[AK_NAME_MAX] = '\0';
    assert_status(ak_catalog_add(catalog, longest, file, &f->err), AK_OK);
    /* A number that was not reserved, or has a name. */
    assert_status(ak_catalog_add(catalog, "more", file, &f->err), AK_EINVAL);
    assert_status(ak_catalog_add(catalog, "more", 99, &f->err), AK_EINVAL);
    assert_status(ak_catalog_remove(catalog, "more", &f->err), AK_ENOTFOUND);
    ak_catalog_close(catalog);
}

static void a_collection_made_anew_is_another_file(void **state)
{
    struct fixture *f = *state;
    struct ak_catalog *catalog = open_catalog(f, false);
    char path[128];

    add(f, catalog, "shoes");
    add(f, catalog, "bags");
    assert_status(ak_catalog_remove(catalog, "bags", &f->err), AK_OK);
    assert_list(f, catalog, "shoes=1 ");
    assert_true(ak_catalog_path(catalog, 2, path, sizeof(path)));
    assert_status(ak_store_remove(path, &f->err), AK_OK);
    assert_int_equal(add(f, catalog, "bags"), 3);
    assert_status(ak_catalog_remove(catalog, "bags", &f->err), AK_OK);
    ak_catalog_close(catalog);
    catalog = open_catalog(f, false);
    assert_int_equal(add(f, catalog, "bags"), 4); /* 3 was gone at the open */
    ak_catalog_close(catalog);
}

static void files_without_a_name_are_removed_at_the_next_open(void **state)
{
    struct fixture *f = *state;
    struct ak_catalog *catalog = open_catalog(f, false);

    add(f, catalog, "shoes");
    add(f, catalog, NULL); /* a crash before it got its name */
    add(f, catalog, "bags");
    assert_status(ak_catalog_remove(catalog, "bags", &f->err), AK_OK);
    touch(f, "collections/2.db-wal");
    touch(f, "collections/17.db"); /* not of this catalog: left alone */
    touch(f, "collections/1.db.quarantine");
    ak_catalog_close(catalog);
    assert_true(file_is_there(f, "collections/3.db"));
    catalog = open_catalog(f, false);
    assert_true(file_is_there(f, "collections/1.db"));
    assert_false(file_is_there(f, "collections/2.db"));
    assert_false(file_is_there(f, "collections/2.db-wal"));
    assert_false(file_is_there(f, "collections/3.db"));
    assert_true(file_is_there(f, "collections/17.db"));
    assert_true(file_is_there(f, "collections/1.db.quarantine"));
    assert_list(f, catalog, "shoes=1 ");
    ak_catalog_close(catalog);
}

static void a_path_that_does_not_fit_is_told(void **state)
{
    struct fixture *f = *state;
    struct ak_catalog *catalog = open_catalog(f, false);
    char path[128], expected[128];

    snprintf(expected, sizeof(expected), "%s/collections/17.db", f->dir);
    assert_true(ak_catalog_path(catalog, 17, path, sizeof(path)));
    assert_string_equal(path, expected);
    assert_true(ak_catalog_path(catalog, 17, path, strlen(expected) + 1));
    assert_false(ak_catalog_path(catalog, 17, path, strlen(expected)));
    ak_catalog_close(catalog);
}

static void a_second_holder_is_told_who_holds_it(void **state)
{
    struct fixture *f = *state;
    struct ak_catalog *catalog = open_catalog(f, false), *second;
    char expected[160];
    bool unclean;

    assert_status(ak_catalog_open(f->dir, &second, &unclean, &f->err),
                  AK_EBUSY);
    snprintf(expected, sizeof(expected), "%s is in use by process %ld", f->dir,
             (long)getpid());
    assert_string_equal(f->err.text, expected);
    ak_catalog_close(catalog);
    catalog = open_catalog(f, false);
    ak_catalog_close(catalog);
}

/* Take the lock in another process, and end that without a farewell. */
static void a_holder_that_died_leaves_it_unclean(void **state)
{
    struct fixture *f = *state;
    struct ak_catalog *catalog;
    int told[2], go[2], status;
    char byte = 0, expected[160];
    bool unclean;
    pid_t child;

    assert_int_equal(pipe(told), 0);
    assert_int_equal(pipe(go), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uint64_t file;

        close(go[1]);
        if (ak_catalog_open(f->dir, &catalog, &unclean, NULL) != AK_OK ||
            ak_catalog_reserve(catalog, &file, NULL) != AK_OK ||
            ak_catalog_add(catalog, "shoes", file, NULL) != AK_OK ||
            write(told[1], &byte, 1) != 1 || read(go[0], &byte, 1) < 0)
            _exit(1);
        raise(SIGKILL);
    }
    close(go[0]);
    assert_int_equal(read(told[0], &byte, 1), 1);
    assert_status(ak_catalog_open(f->dir, &catalog, &unclean, &f->err),
                  AK_EBUSY);
    snprintf(expected, sizeof(expected), "%s is in use by process %ld", f->dir,
             (long)child);
    assert_string_equal(f->err.text, expected);
    close(go[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    close(told[0]);
    close(told[1]);
    catalog = open_catalog(f, true);
    assert_list(f, catalog, "shoes=1 ");
    ak_catalog_close(catalog);
    catalog = open_catalog(f, false);
    ak_catalog_close(catalog);
}

static void damage_catalog(struct fixture *f, const char *sql)
{
    char path[128];
    sqlite3 *db;

    snprintf(path, sizeof(path), "%s/catalog.db", f->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void another_catalog_is_refused(void **state)
{
    struct fixture *f = *state;
    struct ak_catalog *catalog;
    char path[128];
    bool unclean;
    FILE *file;

    ak_catalog_close(open_catalog(f, false));
    damage_catalog(f, "PRAGMA user_version=9");
    assert_status(ak_catalog_open(f->dir, &catalog, &unclean, &f->err),
                  AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "catalog format is 9"));
    damage_catalog(f, "PRAGMA user_version=1; PRAGMA application_id=3");
    assert_status(ak_catalog_open(f->dir, &catalog, &unclean, &f->err),
                  AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "not a catalog file"));
    snprintf(path, sizeof(path), "%s/catalog.db", f->dir);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_true(fputs("these are the voyages", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_status(ak_catalog_open(f->dir, &catalog, &unclean, &f->err),
                  AK_ECORRUPT);
    /* A refusal gives the lock back. */
    assert_int_equal(unlink(path), 0);
    ak_catalog_close(open_catalog(f, false));
}

static void a_lost_catalog_is_not_made_anew_over_files(void **state)
{
    struct fixture *f = *state;
    struct ak_catalog *catalog = open_catalog(f, false);
    char path[128];
    bool unclean;

    add(f, catalog, "shoes");
    ak_catalog_close(catalog);
    snprintf(path, sizeof(path), "%s/catalog.db", f->dir);
    assert_int_equal(unlink(path), 0);
    assert_status(ak_catalog_open(f->dir, &catalog, &unclean, &f->err),
                  AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "no catalog.db, but 1 files"));
    assert_true(file_is_there(f, "collections/1.db"));
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_folder_fixture, remove_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_data_directory_is_made_with_its_parents),
        TEST(names_are_listed_upwards_and_kept),
        TEST(a_name_is_given_once),
        TEST(a_collection_made_anew_is_another_file),
        TEST(files_without_a_name_are_removed_at_the_next_open),
        TEST(a_path_that_does_not_fit_is_told),
        TEST(a_second_holder_is_told_who_holds_it),
        TEST(a_holder_that_died_leaves_it_unclean),
        TEST(another_catalog_is_refused),
        TEST(a_lost_catalog_is_not_made_anew_over_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
