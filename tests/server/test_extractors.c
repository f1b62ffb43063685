#include "tests/server/extractor_fixture.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/hex.h"
#include "core/base/moment.h"
#include "core/image/image.h"

static size_t count_files(void)
{
    char path[96];
    struct dirent *entry;
    size_t n = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/extractors", fixture_dir);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        n +=
            strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return n;
}

static struct ak_extractor_version find(struct ak_engine *e, const char *name,
                                        uint32_t version)
{
    struct ak_extractor_version v = {0};
    struct ak_err err = {0};

    if (ak_extractors_find(ak_engine_extractors(e), name, version, &v, &err) !=
        AK_OK)
        fail_msg("%s", err.text);
    return v;
}

static void stored_path(struct ak_engine *e, const char *name, uint32_t version,
                        char path[160])
{
    struct ak_extractor_version v = find(e, name, version);
    char hex[2 * AK_SHA256_LEN + 1];

    ak_hex_encode(v.sha256, sizeof(v.sha256), hex);
    snprintf(path, 160, "%s/extractors/%s.akx", fixture_dir, hex);
}

/* The feature of one made image. */
static void feature_of(struct ak_engine *e, const char *name, uint32_t version,
                       float out[NET_DIM])
{
    struct ak_extractor *x = NULL;
    struct ak_image image = {0};
    struct ak_err err = {0};

    if (ak_extractors_get(ak_engine_extractors(e), name, version, &x, &err) !=
        AK_OK)
        fail_msg("%s", err.text);
    assert_int_equal(x->dim, NET_DIM);
    assert_status(ak_image_init(&image, 30, 20, 3, NULL), AK_OK);
    for (size_t i = 0; i < ak_image_len(&image); i++)
        image.pixels[i] = (uint8_t)(i * 31);
    assert_status(ak_extractor_extract(x, &image, out, NULL), AK_OK);
    ak_image_clear(&image);
    ak_extractor_unref(x);
}

static void versions_are_counted_and_kept(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    float first[NET_DIM], again[NET_DIM], second[NET_DIM];
    struct ak_extractor_version v;

    (void)state;
    assert_int_equal(put_model(e, "shoes", 1), 1);
    assert_int_equal(put_model(e, "shoes", 2), 2);
    assert_int_equal(put_model(e, "bags", 2), 1); /* a file for two */
    assert_int_equal(count_files(), 2);
    v = find(e, "shoes", 0);
    assert_int_equal(v.version, 2);
    assert_int_equal(v.dim, NET_DIM);
    feature_of(e, "shoes", 1, first);
    feature_of(e, "shoes", 2, second);
    assert_memory_not_equal(first, second, sizeof(first));
    feature_of(e, "bags", 1, again);
    assert_memory_equal(second, again, sizeof(again));
    fixture_close(e);

    e = fixture_open(NULL);
    assert_int_equal(find(e, "shoes", 0).version, 2);
    feature_of(e, "shoes", 1, again);
    assert_memory_equal(first, again, sizeof(again));
    assert_int_equal(put_model(e, "shoes", 3), 3);
    assert_status(
        ak_extractors_find(ak_engine_extractors(e), "shoes", 4, &v, NULL),
        AK_ENOTFOUND);
    assert_status(
        ak_extractors_find(ak_engine_extractors(e), "hats", 0, &v, NULL),
        AK_ENOTFOUND);
    fixture_close(e);
}

static void what_is_the_newest_is_not_added_again(void **state)
{
    struct ak_engine *e = fixture_open(NULL);

    (void)state;
    assert_int_equal(put_model(e, "shoes", 1), 1);
    assert_int_equal(put_model(e, "shoes", 1), 1);
    assert_int_equal(put_model(e, "shoes", 2), 2);
    assert_int_equal(put_model(e, "shoes", 1), 3); /* back to an older one */
    assert_int_equal(count_files(), 2);
    fixture_close(e);
}

static void a_job_puts_one_version(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    char path[AK_EXTRACTORS_PATH];
    uint32_t version;

    (void)state;
    model_file(e, 1, path);
    assert_status(put_file(e, "shoes", path, 7, &version, NULL), AK_OK);
    assert_int_equal(version, 1);
    fixture_close(e);
    e = fixture_open(NULL);
    model_file(e, 2, path);
    assert_status(put_file(e, "shoes", path, 7, &version, NULL), AK_OK);
    assert_int_equal(version, 1);
    assert_int_equal(access(path, F_OK), -1);
    /* Another one may bring the same bytes, and gets a version for them. */
    model_file(e, 1, path);
    assert_status(put_file(e, "shoes", path, 8, &version, NULL), AK_OK);
    assert_int_equal(version, 2);
    assert_int_equal(count_files(), 1);
    fixture_close(e);
}

static void wrong_files_are_refused_and_gone(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    struct ak_writer w = model_bytes(1);
    struct ak_err err = {0};
    char path[AK_EXTRACTORS_PATH];
    uint32_t version = 9;
    struct {
        size_t len;
        size_t flip; /* 0: none */
        enum ak_status status;
        const char *name, *text;
    } const cases[] = {
        {0, 0, AK_EINVAL, "shoes", "not a model file"},
        {20, 0, AK_ECORRUPT, "shoes", ""},
        {w.len - 1, 0, AK_ECORRUPT, "shoes", "checksum"},
        {w.len, w.len / 2, AK_ECORRUPT, "shoes", "checksum"},
        {w.len, 0, AK_EINVAL, "pixels-28x28x1", "built in"},
        {w.len, 0, AK_EINVAL, "Shoes", "must match"},
        {w.len, 0, AK_EINVAL, "../shoes", "must match"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_status(ak_extractors_room(ak_engine_extractors(e), path, &err),
                      AK_OK);
        if (cases[i].flip > 0)
            w.data[cases[i].flip] ^= 1;
        file_of(path, w.data, cases[i].len);
        if (cases[i].flip > 0)
            w.data[cases[i].flip] ^= 1;
        assert_status(put_file(e, cases[i].name, path, 0, &version, &err),
                      cases[i].status);
        if (strstr(err.text, cases[i].text) == NULL)
            fail_msg("%s", err.text);
        assert_int_equal(version, 0);
        assert_int_equal(count_files(), 0);
    }
    assert_status(put_file(e, "shoes", path, 0, &version, &err), AK_EIO);
    ak_writer_clear(&w);
    fixture_close(e);
}

static void assert_damaged(struct ak_engine *e, unsigned n, const char *why)
{
    struct ak_engine_progress p;
    struct ak_extractor *x = NULL;
    struct ak_err err = {0};
    json_t *o;

    ak_engine_progress(e, &p);
    assert_int_equal(p.extractors_damaged, n);
    assert_status(
        ak_extractors_get(ak_engine_extractors(e), "shoes", 1, &x, &err),
        AK_ECORRUPT);
    if (strstr(err.text, why) == NULL)
        fail_msg("%s", err.text);
    assert_null(strstr(err.text, fixture_dir));
    o = ak_extractors_json(ak_engine_extractors(e), "shoes", &err);
    assert_non_null(strstr(
        json_string_value(json_object_get(
            json_array_get(json_object_get(o, "versions"), 0), "damaged")),
        why));
    json_decref(o);
}

static void damage_is_found_at_the_start_and_can_be_mended(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    struct ak_writer w = model_bytes(1);
    float before[NET_DIM], after[NET_DIM];
    char path[160];

    (void)state;
    put_model(e, "shoes", 1);
    put_model(e, "shoes", 2);
    put_model(e, "bags", 1);
    feature_of(e, "shoes", 1, before);
    stored_path(e, "shoes", 1, path);
    fixture_close(e);

    assert_int_equal(unlink(path), 0);
    e = fixture_open(NULL);
    assert_damaged(e, 2, "missing"); /* of shoes and of bags */
    feature_of(e, "shoes", 2, after);
    fixture_close(e);

    file_of(path, w.data, w.len - 3);
    e = fixture_open(NULL);
    assert_damaged(e, 2, "bytes");
    fixture_close(e);

    w.data[w.len - 9] ^= 4;
    file_of(path, w.data, w.len);
    e = fixture_open(NULL);
    assert_damaged(e, 2, "checksum");
    assert_int_equal(find(e, "shoes", 0).version, 2);
    /* The right bytes, for whatever name, mend all that have them. */
    assert_int_equal(put_model(e, "bags", 1), 2);
    feature_of(e, "shoes", 1, after);
    assert_memory_equal(before, after, sizeof(after));
    fixture_close(e);
    ak_writer_clear(&w);
}

static void damage_is_found_when_it_is_read(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    struct ak_extractor *x;
    char path[160];

    (void)state;
    put_model(e, "shoes", 1);
    stored_path(e, "shoes", 1, path);
    assert_int_equal(truncate(path, 100), 0);
    assert_status(
        ak_extractors_get(ak_engine_extractors(e), "shoes", 1, &x, NULL),
        AK_ECORRUPT);
    assert_damaged(e, 1, "bytes");
    fixture_close(e);
}

static void what_has_no_row_goes_at_the_start(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    char path[AK_EXTRACTORS_PATH], stranger[160], orphan[160];

    (void)state;
    put_model(e, "shoes", 1);
    model_file(e, 2, path); /* left on its way */
    fixture_close(e);
    snprintf(stranger, sizeof(stranger), "%s/extractors/README", fixture_dir);
    file_of(stranger, "x", 1);
    snprintf(orphan, sizeof(orphan), "%s/extractors/%064d.akx", fixture_dir, 7);
    file_of(orphan, "x", 1);
    e = fixture_open(NULL);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(orphan, F_OK), -1);
    assert_int_equal(access(stranger, F_OK), 0); /* not ours: left alone */
    assert_int_equal(count_files(), 2);
    fixture_close(e);
}

static void a_name_is_removed_with_the_files_that_only_it_has(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    struct ak_err err = {0};
    float feature[NET_DIM];

    (void)state;
    put_model(e, "shoes", 1);
    put_model(e, "shoes", 2);
    put_model(e, "bags", 2);
    assert_status(remove_extractor(e, "hats", &err), AK_ENOTFOUND);
    feature_of(e, "shoes", 2, feature);
    assert_status(remove_extractor(e, "shoes", &err), AK_OK);
    assert_int_equal(count_files(), 1);
    feature_of(e, "bags", 1, feature);
    assert_status(remove_extractor(e, "shoes", &err), AK_ENOTFOUND);
    fixture_close(e);
    e = fixture_open(NULL);
    assert_int_equal(put_model(e, "shoes", 3), 1);
    fixture_close(e);
}

/* ---------------------------------------------------------------------- kills */

static int kill_at; /* counts down the moments of extractors */

static void kill_there(enum ak_moment_at at)
{
    if (strncmp(ak_moment_names[at], "extractor", strlen("extractor")) == 0 &&
        __atomic_sub_fetch(&kill_at, 1, __ATOMIC_SEQ_CST) == 0)
        kill(getpid(), SIGKILL);
}

/* In a process that dies at its n-th moment; false: it lived. */
static bool run_until(int n, void (*run)(struct ak_engine *))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct ak_engine *e;

        kill_at = n;
        ak_moment_hook = kill_there;
        e = fixture_open(NULL);
        run(e);
        fixture_close(e);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status))
        assert_int_equal(WEXITSTATUS(status), 0);
    return WIFSIGNALED(status);
}

static void put_one(struct ak_engine *e)
{
    char path[AK_EXTRACTORS_PATH];
    uint32_t version;

    model_file(e, 1, path);
    assert_status(put_file(e, "shoes", path, 7, &version, NULL), AK_OK);
}

static void remove_one(struct ak_engine *e)
{
    assert_status(remove_extractor(e, "shoes", NULL), AK_OK);
}

/* What is there after the next start: all of it, or nothing. */
static unsigned versions_there(void)
{
    struct ak_engine *e = fixture_open(NULL);
    struct ak_engine_progress p;

    ak_engine_progress(e, &p);
    assert_int_equal(p.extractors_damaged, 0);
    assert_int_equal(count_files(), p.extractors);
    fixture_close(e);
    return p.extractors;
}

static void a_kill_at_each_moment_leaves_all_or_nothing(void **state)
{
    bool died = true;
    int n;

    (void)state;
    for (n = 1; died; n++) {
        struct ak_engine *e;

        died = run_until(n, put_one);
        /* Only the row makes it exist. */
        assert_int_equal(versions_there(), died && n < 2 ? 0 : 1);
        e = fixture_open(NULL);
        put_one(e); /* the job again: once */
        fixture_close(e);
        assert_int_equal(versions_there(), 1);
        run_until(0, remove_one);
        assert_int_equal(versions_there(), 0);
    }
    assert_int_equal(n, 4); /* renamed, added, lived */
}

static void a_kill_while_removing_leaves_no_file(void **state)
{
    (void)state;
    assert_false(run_until(0, put_one));
    assert_true(run_until(1, remove_one));
    assert_int_equal(versions_there(), 0);
}

static int reset(void **state)
{
    ak_moment_hook = NULL;
    return remove_dir(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, reset)

int main(void)
{
    /* Those that fork are first: the library of threads that networks use does
       not live through that. */
    static const struct CMUnitTest tests[] = {
        TEST(a_kill_at_each_moment_leaves_all_or_nothing),
        TEST(a_kill_while_removing_leaves_no_file),
        TEST(versions_are_counted_and_kept),
        TEST(what_is_the_newest_is_not_added_again),
        TEST(a_job_puts_one_version),
        TEST(wrong_files_are_refused_and_gone),
        TEST(damage_is_found_at_the_start_and_can_be_mended),
        TEST(damage_is_found_when_it_is_read),
        TEST(what_has_no_row_goes_at_the_start),
        TEST(a_name_is_removed_with_the_files_that_only_it_has),
    };

    return cmocka_run_group_tests_name("extractors", tests, NULL, NULL);
}
