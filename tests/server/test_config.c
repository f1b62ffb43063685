#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config.h"
#include "server/log.h"
#include "tests/test.h"

#define MAX_ARGS 8

/* A command line of strings, NULL after the last. */
static enum ak_status load(struct ak_config **c, struct ak_err *err,
                           const char *const *args)
{
    char *argv[MAX_ARGS + 1] = {(char *)(uintptr_t) "akind"};
    int argc = 1;

    for (; args != NULL && *args != NULL && argc < MAX_ARGS; args++)
        argv[argc++] = (char *)(uintptr_t)*args;
    *c = NULL;
    return ak_config_load(argc, argv, c, err);
}

/* A file in the folder of the build, removed by the caller. */
static void write_file(char path[32], const char *text, size_t len)
{
    int fd;

    strcpy(path, "test_config.XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    close(fd);
}

static enum ak_status load_file(struct ak_config **c, struct ak_err *err,
                                const char *text, const char *more)
{
    char path[32], option[64];
    const char *args[] = {option, more, NULL};
    enum ak_status status;

    write_file(path, text, strlen(text));
    snprintf(option, sizeof(option), "--config=%s", path);
    status = load(c, err, args);
    unlink(path);
    return status;
}

static char *printed(void (*print)(const struct ak_config *c, FILE *to),
                     const struct ak_config *c)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    print(c, f);
    fclose(f);
    return text;
}

static void defaults_are_those_of_the_documents(void **state)
{
    struct ak_config *c;

    (void)state;
    assert_status(load(&c, NULL, NULL), AK_OK);
    assert_string_equal(c->data_dir, "/var/lib/akind");
    assert_string_equal(c->listen, "127.0.0.1:7337");
    assert_int_equal(c->log_level, AK_LOG_INFO);
    assert_int_equal(c->max_body_bytes, 32 << 20);
    assert_int_equal(c->max_batch_items, 4096);
    assert_int_equal(c->max_search_batch, 1024);
    assert_int_equal(c->max_labels_per_item, 64);
    assert_int_equal(c->max_payload_bytes, 16 << 10);
    assert_int_equal(c->max_limit, 1000);
    assert_int_equal(c->queue_bytes, 256 << 20);
    assert_int_equal(c->drain_delay_ms, 0);
    assert_int_equal(c->action, AK_CONFIG_RUN);
    ak_config_destroy(c);
}

static void units_are_read(void **state)
{
    static const char text[] = "# a comment\n"
                               "\n"
                               "  max_body_bytes = 1 MiB  # and one here\r\n"
                               "queue_bytes=1GB\n"
                               "drain_delay = 1500ms\n"
                               "request_timeout\t= 2min\n"
                               "header_timeout = 7\n"
                               "data_dir = /a b/#c";
    struct ak_config *c;

    (void)state;
    assert_status(load_file(&c, NULL, text, NULL), AK_OK);
    assert_int_equal(c->max_body_bytes, 1 << 20);
    assert_int_equal(c->queue_bytes, 1000000000);
    assert_int_equal(c->drain_delay_ms, 1500);
    assert_int_equal(c->request_timeout_ms, 120000);
    assert_int_equal(c->header_timeout_ms, 7000);
    assert_string_equal(c->data_dir, "/a b/#c");
    ak_config_destroy(c);
}

static void the_command_line_comes_before_the_file(void **state)
{
    static const char *const spaced[] = {"--max-limit", "5", "--log_level",
                                         "debug", NULL};
    struct ak_config *c;
    char *text;

    (void)state;
    assert_status(load_file(&c, NULL, "max_limit = 7\nmax_batch_items = 9\n",
                            "--max-limit=8"),
                  AK_OK);
    assert_int_equal(c->max_limit, 8);
    assert_int_equal(c->max_batch_items, 9);
    text = printed(ak_config_print, c);
    assert_non_null(strstr(text, "max_limit = 8  # command line\n"));
    assert_non_null(strstr(text, "max_batch_items = 9  # test_config."));
    assert_non_null(strstr(text, ":2\n"));
    assert_non_null(strstr(text, "max_body_bytes = 32MiB  # default\n"));
    assert_non_null(strstr(text, "idle_timeout = 60s  # default\n"));
    free(text);
    ak_config_destroy(c);
    assert_status(load(&c, NULL, spaced), AK_OK);
    assert_int_equal(c->max_limit, 5);
    assert_int_equal(c->log_level, AK_LOG_DEBUG);
    ak_config_destroy(c);
}

static void errors_say_where_and_what(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"\nmax_limti = 5\n", ":2: there is no setting \"max_limti\"; did you "
                              "mean \"max_limit\"?"},
        {"nonsense = 5\n", ":1: there is no setting \"nonsense\"; see"},
        {"max_limit\n", ":1: \"max_limit\" is no `key = value`"},
        {"max_limit = 0\n", ":1: max_limit is 0, must be 1..100000"},
        {"max_limit = 12x\n", ":1: max_limit is \"12x\", must be a number"},
        {"max_limit = -1\n", ":1: max_limit is \"-1\", must be a number"},
        {"max_limit =\n", ":1: max_limit is \"\", must be a number"},
        {"max_limit =# 5\n", ":1: max_limit is \"\", must be a number"},
        {"max_body_bytes = 5MiBs\n",
         ":1: max_body_bytes has the unit \"MiBs\", must be B, KiB"},
        {"max_body_bytes = 99GiB\n",
         ":1: max_body_bytes is 99GiB, must be 1KiB..2GiB"},
        {"idle_timeout = 5 years\n",
         ":1: idle_timeout has the unit \"years\", must be ms, s, min or h"},
        {"idle_timeout = 99999999999999999999999\n",
         ":1: idle_timeout is \"99999999999999999999999\""},
        {"log_level = loud\n",
         ":1: log_level is \"loud\", must be debug, info, warn or error"},
        {"max_limit = 5\nmax_limit = 6\n",
         ":2: max_limit was set in line 1 already"},
        {"listen = 0.0.0.0:80\n", "must be a loopback address"},
        {"listen = [::]:80\n", "must be a loopback address"},
        {"listen = 127.0.0.1\n", "must be ADDRESS:PORT"},
        {"listen = 127.0.0.1:99999\n", "must be ADDRESS:PORT"},
        {"listen = unix:akind.sock\n", "must begin with /"},
        {"data_dir =\n", ":1: data_dir is empty"},
    };
    static const char *const bad_lines[][3] = {
        {"--max-limti=5", NULL},
        {"--max-limit", NULL},
        {"max_limit=5", NULL},
        {"--config=/nonexistent/akind.conf", NULL},
    };
    static const char *const said[] = {
        ("command line: there is no setting \"max-limti\"; did you mean "
         "\"max_limit\"?"),
        "--max-limit needs a value", "\"max_limit=5\" is no option",
        "/nonexistent/akind.conf: No such file or directory"};
    struct ak_config *c;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ak_err err = {0};

        assert_status(load_file(&c, &err, cases[i].text, NULL), AK_EINVAL);
        if (strstr(err.text, cases[i].error) == NULL)
            fail_msg("%s: %s", cases[i].text, err.text);
    }
    for (size_t i = 0; i < 4; i++) {
        struct ak_err err = {0};

        assert_int_not_equal(load(&c, &err, bad_lines[i]), AK_OK);
        if (strstr(err.text, said[i]) == NULL)
            fail_msg("%s: %s", bad_lines[i][0], err.text);
    }
    {
        char path[32], option[64];
        const char *args[] = {option, NULL};
        struct ak_err err = {0};

        write_file(path, "max_limit = 5\n\0\n", 16);
        snprintf(option, sizeof(option), "--config=%s", path);
        assert_status(load(&c, &err, args), AK_EINVAL);
        assert_non_null(strstr(err.text, ":2: has a zero byte"));
        unlink(path);
    }
}

static void listens_where_only_this_machine_reaches(void **state)
{
    static const char *const good[] = {
        "--listen=127.0.0.1:0", "--listen=127.1.2.3:80", "--listen=[::1]:7337",
        "--listen=localhost:1", "--listen=unix:/run/akind.sock"};
    struct ak_config *c;

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        const char *args[] = {good[i], NULL};

        assert_status(load(&c, NULL, args), AK_OK);
        ak_config_destroy(c);
    }
}

static void help_has_every_setting(void **state)
{
    static const char *const args[] = {"--config=/nonexistent", "--help", NULL};
    struct ak_config *c;
    char *text = NULL;
    size_t len = 0;
    FILE *f;

    (void)state;
    /* Help comes even when the file does not. */
    assert_status(load(&c, NULL, args), AK_OK);
    assert_int_equal(c->action, AK_CONFIG_HELP);
    ak_config_destroy(c);
    f = open_memstream(&text, &len);
    assert_non_null(f);
    ak_config_print_help(f);
    fclose(f);
    assert_non_null(strstr(text, "--max-body-bytes 32MiB\n"));
    assert_non_null(strstr(text, "--data-dir /var/lib/akind\n"));
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL;
         line = end + 1)
        if (end - line > 80)
            fail_msg("longer than 80: %.*s", (int)(end - line), line);
    free(text);
}

static char *slurp(const char *path)
{
    char *text = calloc(1, 65536);
    FILE *f = fopen(path, "re");

    assert_non_null(text);
    if (f == NULL)
        fail_msg("cannot open %s", path);
    assert_true(fread(text, 1, 65535, f) > 0);
    fclose(f);
    return text;
}

static void print_sample(const struct ak_config *c, FILE *to)
{
    (void)c;
    ak_config_print_sample(to);
}

static void the_sample_file_is_what_the_table_says(void **state)
{
    const char *srcdir = getenv("srcdir");
    char path[4096], *want, *have, *uncommented;
    struct ak_config *c, *defaults;
    size_t n = 0;

    (void)state;
    snprintf(path, sizeof(path), "%s/deploy/akind.conf", srcdir ? srcdir : ".");
    have = slurp(path);
    want = printed(print_sample, NULL);
    assert_string_equal(have, want);
    /* What it says are the defaults, when the # is taken away. */
    uncommented = calloc(1, strlen(want) + 1);
    assert_non_null(uncommented);
    for (char *line = want, *end; (end = strchr(line, '\n')) != NULL;
         line = end + 1) {
        if (line[0] == '#' && line[1] != ' ') {
            memcpy(uncommented + n, line + 1, (size_t)(end - line));
            n += (size_t)(end - line);
        }
    }
    assert_status(load_file(&c, NULL, uncommented, NULL), AK_OK);
    assert_status(load(&defaults, NULL, NULL), AK_OK);
    assert_null(ak_config_needs_start(defaults, c, 0));
    assert_int_equal(c->max_timeout_ms, defaults->max_timeout_ms);
    ak_config_destroy(c);
    ak_config_destroy(defaults);
    free(uncommented);
    free(want);
    free(have);
}

static void a_reload_knows_what_needs_a_start(void **state)
{
    static const char *const args[] = {"--data-dir=/x", "--max-limit=5",
                                       "--http-threads=3", NULL};
    struct ak_config *now, *next;

    (void)state;
    assert_status(load(&now, NULL, NULL), AK_OK);
    assert_status(load(&next, NULL, args), AK_OK);
    assert_string_equal(ak_config_needs_start(now, next, 0), "data_dir");
    assert_string_equal(ak_config_needs_start(now, next, 1), "http_threads");
    assert_null(ak_config_needs_start(now, next, 2));
    ak_config_destroy(now);
    ak_config_destroy(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_documents),
        cmocka_unit_test(units_are_read),
        cmocka_unit_test(the_command_line_comes_before_the_file),
        cmocka_unit_test(errors_say_where_and_what),
        cmocka_unit_test(listens_where_only_this_machine_reaches),
        cmocka_unit_test(help_has_every_setting),
        cmocka_unit_test(the_sample_file_is_what_the_table_says),
        cmocka_unit_test(a_reload_knows_what_needs_a_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
