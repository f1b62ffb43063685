/*
 * Snapshots and what is restored from them, without HTTP: under writes, after a
 * kill at every moment, from files that somebody damaged.
 */
#include "tests/server/jobs_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/moment.h"
#include "server/backup.h"

enum { FIRST = 600 };

/* --------------------------------------------------------------------- helpers */

static struct ak_collection *make(struct ak_engine *e, const char *kind,
                                  const char *name)
{
    struct ak_settings s = settings_of(name, kind);
    struct ak_collection *c = create(e, &s);
    struct ak_receipt r = {0};

    for (uint64_t i = 0; i < FIRST; i += BATCH)
        r = put_rows(c, i, BATCH, AK_RECORD_BATCH, NULL);
    if (ak_settings_learns(&s))
        publish(c);
    else
        wait_for(c, r.seq, AK_ACK_VISIBLE);
    return c;
}

/* One more batch, and a version that has learnt it. */
static void go_on(struct ak_collection *c)
{
    struct ak_receipt r = put_rows(c, FIRST, BATCH, AK_RECORD_BATCH, NULL);
    struct ak_settings s;

    ak_collection_settings(c, &s);
    if (ak_settings_learns(&s))
        publish(c);
    else
        wait_for(c, r.seq, AK_ACK_VISIBLE);
}

static uint64_t snapshot(struct ak_engine *e, const char *target,
                         const char *name)
{
    char params[96];

    snprintf(params, sizeof(params), "{\"name\": \"%s\"}", name);
    return fixture_start(e, "snapshot", target, params, NULL, NULL);
}

static uint64_t restore(struct ak_engine *e, const char *target,
                        const char *name)
{
    char params[96];

    snprintf(params, sizeof(params), "{\"snapshot\": \"%s\"}", name);
    return fixture_start(e, "restore", target, params, NULL, NULL);
}

static uint64_t verify(struct ak_engine *e, const char *name)
{
    return fixture_start(e, "verify", name, "{\"of\": \"snapshot\"}", NULL,
                         NULL);
}

static struct ak_collection *get(struct ak_engine *e, const char *name)
{
    struct ak_collection *c = NULL;
    struct ak_err err = {0};

    if (ak_engine_get(e, name, &c, &err) != AK_OK)
        fail_msg("%s", err.text);
    return c;
}

static bool exists(struct ak_engine *e, const char *name)
{
    struct ak_collection *c = NULL;
    enum ak_status status = ak_engine_get(e, name, &c, NULL);

    if (status == AK_OK)
        ak_collection_drop(c);
    else
        assert_status(status, AK_ENOTFOUND);
    return status == AK_OK;
}

static size_t count_entries(const char *folder)
{
    char path[128];
    struct dirent *entry;
    size_t n = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/%s", fixture_dir, folder);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        n +=
            strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return n;
}

static struct ak_backup read_backup(const char *name)
{
    struct ak_backup b;
    struct ak_err err = {0};

    if (ak_backup_read(fixture_dir, name, &b, &err) != AK_OK)
        fail_msg("%s", err.text);
    return b;
}

static void assert_error(struct ak_engine *e, uint64_t job, const char *part)
{
    char *text = fixture_member(e, job, "error");

    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, text);
    free(text);
}

/* ------------------------------------------------------------- a round trip */

static void a_restored_collection_is_the_same(void **state)
{
    static const char *const kinds[] = {"hmoh", "fcoh", "lsh"};
    struct ak_engine *e = fixture_open(NULL);

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char copy[16], name[16];
        struct ak_collection *a = make(e, kinds[i], kinds[i]), *b;
        struct ak_writer one, other;
        uint64_t job;

        snprintf(name, sizeof(name), "kept-%s", kinds[i]);
        snprintf(copy, sizeof(copy), "again-%s", kinds[i]);
        job = snapshot(e, kinds[i], name);
        fixture_wait_state(e, job, AK_RUN_SUCCEEDED);
        fixture_wait_state(e, verify(e, name), AK_RUN_SUCCEEDED);
        fixture_wait_state(e, restore(e, copy, name), AK_RUN_SUCCEEDED);
        b = get(e, copy);
        one = state_of(a);
        other = state_of(b);
        assert_same_state(&one, &other);
        ak_writer_clear(&one);
        ak_writer_clear(&other);
        /* And goes on as the first. */
        go_on(a);
        go_on(b);
        one = state_of(a);
        other = state_of(b);
        assert_same_state(&one, &other);
        ak_writer_clear(&one);
        ak_writer_clear(&other);
        ak_collection_drop(a);
        ak_collection_drop(b);
    }
    fixture_close(e);
    /* All of it is there after a restart. */
    e = fixture_open(NULL);
    assert_true(exists(e, "again-hmoh"));
    assert_true(exists(e, "again-lsh"));
    fixture_close(e);
}

struct writing {
    struct ak_collection *c;
    atomic_bool stop;
    uint64_t batches;
};

static void *write_on(void *arg)
{
    struct writing *w = arg;

    while (!atomic_load(&w->stop)) {
        put_rows(w->c, FIRST + w->batches * BATCH, BATCH, AK_RECORD_BATCH,
                 NULL);
        w->batches++;
    }
    return NULL;
}

static void a_snapshot_under_writes_is_a_prefix(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    struct ak_settings s = settings_of("busy", "hmoh");
    struct writing w = {.c = make(e, "hmoh", "busy")};
    pthread_t thread;

    (void)state;
    atomic_init(&w.stop, false);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    for (int i = 0; i < 3; i++) {
        char name[16];

        snprintf(name, sizeof(name), "busy-%c", 'a' + i);
        fixture_wait_state(e, snapshot(e, "busy", name), AK_RUN_SUCCEEDED);
    }
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    for (int i = 0; i < 3; i++) {
        struct ak_backup b;
        struct ak_collection *c;
        struct ak_writer found, expected;
        char name[16];

        snprintf(name, sizeof(name), "busy-%c", 'a' + i);
        b = read_backup(name);
        fixture_wait_state(e, verify(e, name), AK_RUN_SUCCEEDED);
        fixture_wait_state(e, restore(e, name, name), AK_RUN_SUCCEEDED);
        /* Batches are records, and one is the publish. */
        assert_int_equal(b.rows % BATCH, 0);
        assert_true(b.rows >= FIRST);
        c = get(e, name);
        wait_for(c, b.seq, AK_ACK_LEARNED);
        publish(c);
        found = state_of(c);
        expected = state_offline(&s, (size_t)b.rows, NULL, NULL);
        assert_same_state(&found, &expected);
        ak_writer_clear(&found);
        ak_writer_clear(&expected);
        ak_collection_drop(c);
    }
    ak_collection_drop(w.c);
    fixture_close(e);
}

/* -------------------------------------------------------------------- moments */

static atomic_int held; /* 0: run on, 1: stop there, 2: stopped, 3: go on */
static atomic_int held_at;

static void hold_there(enum ak_moment_at at)
{
    if (atomic_load(&held) != 1 || atomic_load(&held_at) != (int)at)
        return;
    atomic_store(&held, 2);
    while (atomic_load(&held) == 2)
        usleep(1000);
}

static void hold_at(enum ak_moment_at at)
{
    atomic_store(&held_at, (int)at);
    atomic_store(&held, 1);
}

static void wait_held(void)
{
    while (atomic_load(&held) != 2)
        usleep(1000);
}

static void let_go(void)
{
    atomic_store(&held, 3);
}

static void a_cancelled_snapshot_leaves_nothing(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    struct ak_collection *c = make(e, "lsh", "shoes");
    uint64_t job;

    (void)state;
    hold_at(AK_AT_SNAPSHOT_COPIED);
    job = snapshot(e, "shoes", "gone");
    wait_held();
    fixture_ask(e, job, AK_RUN_CANCEL);
    let_go();
    fixture_wait_state(e, job, AK_RUN_CANCELED);
    assert_int_equal(count_entries("snapshots"), 0);
    /* The store is free for the next one. */
    fixture_wait_state(e, snapshot(e, "shoes", "kept"), AK_RUN_SUCCEEDED);
    assert_int_equal(count_entries("snapshots"), 1);
    ak_collection_drop(c);
    fixture_close(e);
}

static void removed(void *arg, enum ak_status status, const struct ak_err *err)
{
    struct box *b = arg;

    (void)err;
    pthread_mutex_lock(&b->lock);
    b->status = status;
    box_put(b);
}

static void a_collection_that_goes_fails_its_snapshot(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    uint64_t job;
    struct box b;

    (void)state;
    ak_collection_drop(make(e, "lsh", "shoes"));
    hold_at(AK_AT_SNAPSHOT_BEGUN);
    job = snapshot(e, "shoes", "gone");
    wait_held();
    box_init(&b);
    ak_engine_remove(e, "shoes", removed, &b);
    box_wait(&b);
    assert_status(b.status, AK_OK);
    let_go();
    fixture_wait_state(e, job, AK_RUN_FAILED);
    assert_error(e, job, "deleted");
    assert_int_equal(count_entries("snapshots"), 0);
    fixture_close(e);
}

static void a_cancelled_restore_leaves_nothing(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    struct ak_collection *c = make(e, "lsh", "shoes");
    uint64_t job;
    size_t before;

    (void)state;
    fixture_wait_state(e, snapshot(e, "shoes", "kept"), AK_RUN_SUCCEEDED);
    before = count_entries("collections");
    hold_at(AK_AT_RESTORE_LOADED);
    job = restore(e, "again", "kept");
    wait_held();
    fixture_ask(e, job, AK_RUN_CANCEL);
    let_go();
    fixture_wait_state(e, job, AK_RUN_CANCELED);
    assert_false(exists(e, "again"));
    assert_int_equal(count_entries("collections"), before);
    ak_collection_drop(c);
    fixture_close(e);
}

static void a_name_is_taken_once(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    enum ak_status status;
    uint64_t first, second;

    (void)state;
    ak_collection_drop(make(e, "lsh", "shoes"));
    ak_collection_drop(make(e, "lsh", "boots"));
    fixture_wait_state(e, snapshot(e, "shoes", "kept"), AK_RUN_SUCCEEDED);
    second = snapshot(e, "boots", "kept");
    fixture_wait_state(e, second, AK_RUN_FAILED);
    assert_error(e, second, "there is a snapshot");
    assert_string_equal(read_backup("kept").collection, "shoes");
    fixture_start(e, "restore", "boots", "{\"snapshot\": \"kept\"}", NULL,
                  &status);
    assert_status(status, AK_EINVAL);
    /* One that comes to be while it is restored. */
    hold_at(AK_AT_RESTORE_LOADED);
    first = restore(e, "late", "kept");
    wait_held();
    ak_collection_drop(make(e, "hmoh", "late"));
    let_go();
    fixture_wait_state(e, first, AK_RUN_FAILED);
    assert_error(e, first, "there is a collection");
    assert_true(exists(e, "late"));
    fixture_close(e);
}

static void a_log_that_was_left_is_not_taken_over(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    struct ak_collection *c = make(e, "lsh", "shoes");
    char path[160];
    FILE *file;

    (void)state;
    fixture_wait_state(e, snapshot(e, "shoes", "kept"), AK_RUN_SUCCEEDED);
    /* Beside the file that comes next: the log of this one. */
    snprintf(path, sizeof(path), "%s/collections/%llu.db-wal", fixture_dir,
             (unsigned long long)c->file + 1);
    file = fopen(path, "wb");
    assert_non_null(file);
    fputs("7\x7f\x06\x82 is no log of it", file);
    fclose(file);
    fixture_wait_state(e, restore(e, "again", "kept"), AK_RUN_SUCCEEDED);
    ak_collection_drop(c);
    fixture_close(e);
}

/* --------------------------------------------------------------------- damage */

static void flip(const char *file, long at)
{
    char path[160];
    FILE *f;
    int byte;

    snprintf(path, sizeof(path), "%s/snapshots/%s", fixture_dir, file);
    f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    byte = fgetc(f);
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    fputc(byte ^ 1, f);
    fclose(f);
}

static void a_damaged_snapshot_is_told_and_not_restored(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    size_t before;
    uint64_t job;
    char path[160];
    struct ak_backup b;
    enum ak_status status;

    (void)state;
    ak_collection_drop(make(e, "lsh", "shoes"));
    fixture_wait_state(e, snapshot(e, "shoes", "kept"), AK_RUN_SUCCEEDED);
    before = count_entries("collections");

    flip("kept/collection.db", -100);
    job = verify(e, "kept");
    fixture_wait_state(e, job, AK_RUN_FAILED);
    assert_error(e, job, "damaged");
    job = restore(e, "again", "kept");
    fixture_wait_state(e, job, AK_RUN_FAILED);
    assert_error(e, job, "checksum");
    assert_false(exists(e, "again"));
    assert_int_equal(count_entries("collections"), before);
    flip("kept/collection.db", -100);
    fixture_wait_state(e, verify(e, "kept"), AK_RUN_SUCCEEDED);

    snprintf(path, sizeof(path), "%s/snapshots/kept/collection.db",
             fixture_dir);
    assert_int_equal(truncate(path, 8192), 0);
    fixture_wait_state(e, verify(e, "kept"), AK_RUN_FAILED);
    job = restore(e, "again", "kept");
    fixture_wait_state(e, job, AK_RUN_FAILED);
    assert_error(e, job, "bytes");

    flip("kept/manifest.json", 0);
    assert_status(ak_backup_read(fixture_dir, "kept", &b, NULL), AK_ECORRUPT);
    fixture_start(e, "restore", "again", "{\"snapshot\": \"kept\"}", NULL,
                  &status);
    assert_status(status, AK_EINVAL);
    assert_status(ak_backup_remove(fixture_dir, "kept", NULL), AK_OK);
    assert_int_equal(count_entries("snapshots"), 0);
    assert_status(ak_backup_remove(fixture_dir, "kept", NULL), AK_ENOTFOUND);
    fixture_close(e);
}

static void links_in_the_folder_are_not_followed(void **state)
{
    char path[160], outside[160];
    struct ak_engine *e = fixture_open(NULL);
    struct ak_backup b;
    FILE *f;

    (void)state;
    snprintf(outside, sizeof(outside), "%s/outside", fixture_dir);
    assert_int_equal(mkdir(outside, 0700), 0);
    strcat(outside, "/precious");
    f = fopen(outside, "w");
    assert_non_null(f);
    fclose(f);
    snprintf(path, sizeof(path), "%s/snapshots/trap", fixture_dir);
    assert_int_equal(symlink("../outside", path), 0);
    assert_status(ak_backup_read(fixture_dir, "trap", &b, NULL), AK_EIO);
    /* The link goes, not what it leads to. */
    assert_status(ak_backup_remove(fixture_dir, "trap", NULL), AK_OK);
    assert_int_equal(access(outside, F_OK), 0);
    assert_status(ak_backup_read(fixture_dir, "../outside", &b, NULL),
                  AK_ENOTFOUND);
    fixture_close(e);
    e = fixture_open(NULL);
    assert_int_equal(access(outside, F_OK), 0);
    fixture_close(e);
}

/* ---------------------------------------------------------------------- kills */

static int kill_at; /* counts down the moments */

/* Of the job's own ones: those of commits are for other tests. */
static void kill_there(enum ak_moment_at at)
{
    if (at >= AK_AT_SNAPSHOT_BEGUN &&
        __atomic_sub_fetch(&kill_at, 1, __ATOMIC_SEQ_CST) == 0)
        kill(getpid(), SIGKILL);
}

/* Runs a job in a process that dies at its n-th moment; false: it lived. */
static bool run_until(int n,
                      uint64_t (*start)(struct ak_engine *, const char *,
                                        const char *),
                      const char *target, const char *name)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct ak_engine *e;

        kill_at = n;
        ak_moment_hook = kill_there;
        e = fixture_open(NULL);
        fixture_wait_state(e, start(e, target, name), AK_RUN_SUCCEEDED);
        fixture_close(e);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), SIGKILL);
    else
        assert_int_equal(WEXITSTATUS(status), 0);
    return WIFSIGNALED(status);
}

/* The daemon again, until its jobs have ended: all that it was asked, once. */
static void take_up(void)
{
    struct ak_engine *e = fixture_open(NULL);
    unsigned counts[AK_JOB_STATES];

    do {
        usleep(2000);
        ak_engine_count_jobs(e, counts);
    } while (counts[AK_RUN_QUEUED] + counts[AK_RUN_RUNNING] +
                 counts[AK_RUN_INTERRUPTED] >
             0);
    assert_int_equal(counts[AK_RUN_FAILED], 0);
    fixture_close(e);
}

static void a_kill_at_each_moment_leaves_no_half_snapshot(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    bool died = true;
    int n;

    (void)state;
    ak_collection_drop(make(e, "lsh", "shoes"));
    fixture_close(e);
    for (n = 1; died; n++) {
        struct ak_backup b;

        died = run_until(n, snapshot, "shoes", "kept");
        take_up();
        b = read_backup("kept");
        assert_int_equal(b.rows, FIRST);
        assert_int_equal(count_entries("snapshots"), 1);
        assert_status(ak_backup_remove(fixture_dir, "kept", NULL), AK_OK);
    }
    assert_true(n > 4); /* begun, copied, written, renamed */
}

static void a_kill_at_each_moment_leaves_no_half_collection(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    size_t files;
    bool died = true;
    int n;

    (void)state;
    ak_collection_drop(make(e, "lsh", "shoes"));
    fixture_wait_state(e, snapshot(e, "shoes", "kept"), AK_RUN_SUCCEEDED);
    fixture_close(e);
    files = count_entries("collections");
    for (n = 1; died; n++) {
        char name[24];
        struct ak_collection *c;

        snprintf(name, sizeof(name), "again-%d", n);
        died = run_until(n, restore, name, "kept");
        take_up();
        e = fixture_open(NULL);
        c = get(e, name);
        assert_int_equal(ak_index_rows(c->index), FIRST);
        ak_collection_drop(c);
        fixture_close(e);
        assert_int_equal(count_entries("collections"), files + (size_t)n);
    }
    assert_true(n > 5); /* reserved, copied, loaded, named, over */
}

/* Before there are threads. */
static int set_up(void **state)
{
    ak_moment_hook = hold_there;
    atomic_store(&held, 0);
    return make_dir(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, remove_dir)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_restored_collection_is_the_same),
        TEST(a_snapshot_under_writes_is_a_prefix),
        TEST(a_cancelled_snapshot_leaves_nothing),
        TEST(a_collection_that_goes_fails_its_snapshot),
        TEST(a_cancelled_restore_leaves_nothing),
        TEST(a_name_is_taken_once),
        TEST(a_log_that_was_left_is_not_taken_over),
        TEST(a_damaged_snapshot_is_told_and_not_restored),
        TEST(links_in_the_folder_are_not_followed),
        TEST(a_kill_at_each_moment_leaves_no_half_snapshot),
        TEST(a_kill_at_each_moment_leaves_no_half_collection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
