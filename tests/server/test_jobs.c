/*
 * Jobs without HTTP: turns, wishes, checkpoints, logs, events; with a kind that
 * counts to a number and can be told to wait on its way.
 */
#include "tests/server/jobs_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/engine_internal.h"
#include "server/job_kind.h"
#include "server/log.h"

/* ------------------------------------------------------------ the test's kind */

static atomic_uint begun, stepped, ended[AK_RUN_STATES];
static atomic_bool open_gate; /* else it waits at `stop` */
static atomic_bool stuck;     /* in a step that ends with the engine */

struct count {
    uint64_t at, to, stop, fail, fail_at_end;
};

static uint64_t number(struct ak_run *run, const char *name)
{
    return (uint64_t)json_integer_value(
        json_object_get(ak_run_params(run), name));
}

static enum ak_status any(struct ak_run_check *check, struct ak_fault *fault)
{
    if (json_object_get(check->params, "to") != NULL)
        return AK_OK;
    fault->code = "validation-failed";
    strcpy(fault->pointer, "/params/to");
    strcpy(fault->detail, "is missing");
    return AK_EINVAL;
}

static enum ak_status count_begin(struct ak_run *run, struct ak_err *err)
{
    struct count *n = calloc(1, sizeof(*n));
    struct ak_bytes last = ak_run_last_checkpoint(run);

    (void)err;
    assert_non_null(n);
    n->to = number(run, "to");
    n->stop = number(run, "stop");
    n->fail = number(run, "fail");
    n->fail_at_end = number(run, "fail_at_end");
    if (last.data != NULL)
        memcpy(&n->at, last.data, sizeof(n->at));
    *ak_run_data(run) = n;
    atomic_fetch_add(&begun, 1);
    return AK_OK;
}

static enum ak_run_step count_step(struct ak_run *run, struct ak_err *err)
{
    struct count *n = *ak_run_data(run);

    if (n->stop > 0 && n->at == n->stop && !atomic_load(&open_gate))
        return AK_STEP_WAIT;
    if (n->fail > 0 && n->at == n->fail) {
        ak_fail(err, AK_ENUMERIC, "it is %llu", (unsigned long long)n->at);
        return AK_STEP_FAILED;
    }
    if (n->fail_at_end > 0 && n->at == n->fail_at_end &&
        !atomic_load(&open_gate)) {
        atomic_store(&stuck, true);
        while (!atomic_load(&ak_run_engine(run)->stopping) &&
               !atomic_load(&open_gate))
            usleep(100);
        if (!atomic_load(&open_gate)) {
            ak_fail(err, AK_ECANCELED, "the daemon is stopping");
            return AK_STEP_FAILED;
        }
    }
    if (n->at == n->to) {
        ak_run_result(run, json_pack("{s:I}", "at", (json_int_t)n->at));
        return AK_STEP_DONE;
    }
    n->at++;
    atomic_fetch_add(&stepped, 1);
    ak_run_log(run, AK_LOG_INFO, "line %llu", (unsigned long long)n->at);
    ak_run_progress(run, "counting", n->at, n->to);
    ak_run_metric(run, "half", (double)n->at / 2);
    return AK_STEP_MORE;
}

static void count_save(struct ak_run *run)
{
    const struct count *n = *ak_run_data(run);

    ak_run_checkpoint(run, &n->at, sizeof(n->at));
}

static void count_end(struct ak_run *run, enum ak_run_state why)
{
    free(*ak_run_data(run));
    *ak_run_data(run) = NULL;
    atomic_fetch_add(&ended[why], 1);
}

static const struct ak_run_kind count_kind = {
    .name = "count",
    .help = "counts",
    .check = any,
    .begin = count_begin,
    .step = count_step,
    .save = count_save,
    .end = count_end,
};

static const struct ak_run_kind lone_kind = {
    .name = "lone",
    .help = "counts, one a target",
    .exclusive = "slow",
    .check = any,
    .begin = count_begin,
    .step = count_step,
    .save = count_save,
    .end = count_end,
};

static const struct ak_run_kind *const kinds[] = {&count_kind, &lone_kind,
                                                  NULL};

static struct ak_engine *open_jobs(void)
{
    struct ak_engine_params params = {.threads = 2,
                                      .queue_bytes = 1 << 20,
                                      .collection_queue_bytes = 1 << 20,
                                      .max_jobs = 6,
                                      .max_running_jobs = 2,
                                      .keep_jobs = 8,
                                      .job_kinds = kinds};

    atomic_store(&begun, 0);
    atomic_store(&stepped, 0);
    for (int i = 0; i < AK_RUN_STATES; i++)
        atomic_store(&ended[i], 0);
    atomic_store(&open_gate, false);
    return fixture_open(&params);
}

/* Wait until a job has counted so far. */
static void wait_done(struct ak_engine *e, uint64_t id, int done)
{
    char want[32];
    char *text;
    bool there;

    snprintf(want, sizeof(want), "\"done\":%d,", done);
    do {
        usleep(1000);
        text = fixture_member(e, id, "progress");
        there = strstr(text, want) != NULL;
        free(text);
    } while (!there);
}

static void assert_member(struct ak_engine *e, uint64_t id, const char *name,
                          const char *expected)
{
    char *text = fixture_member(e, id, name);

    assert_string_equal(text, expected);
    free(text);
}

/* ---------------------------------------------------------------- the tests */

static void a_run_ends_well_or_says_why_not(void **state)
{
    struct ak_engine *e = open_jobs();
    uint64_t good = fixture_start(e, "count", "", "{\"to\":5}", NULL, NULL);
    uint64_t bad =
        fixture_start(e, "count", "", "{\"to\":5,\"fail\":3}", NULL, NULL);
    enum ak_status status;

    (void)state;
    fixture_wait_state(e, good, AK_RUN_SUCCEEDED);
    fixture_wait_state(e, bad, AK_RUN_FAILED);
    assert_member(e, good, "result", "{\"at\":5}");
    assert_member(e, good, "error", "null");
    assert_member(e, bad, "result", "null");
    assert_member(e, bad, "error", "\"it is 3\"");
    assert_int_equal(atomic_load(&ended[AK_RUN_SUCCEEDED]), 1);
    assert_int_equal(atomic_load(&ended[AK_RUN_FAILED]), 1);
    assert_int_equal(fixture_start(e, "count", "", NULL, NULL, &status), 0);
    assert_status(status, AK_EINVAL);
    assert_int_equal(fixture_start(e, "other", "", NULL, NULL, &status), 0);
    assert_status(status, AK_EINVAL);
    fixture_close(e);
}

static void so_many_run_and_the_others_wait_their_turn(void **state)
{
    struct ak_engine *e = open_jobs();
    uint64_t ids[6];
    enum ak_status status;

    (void)state;
    for (int i = 0; i < 6; i++)
        ids[i] = fixture_start(e, i == 0 ? "lone" : "count", "x",
                               "{\"to\":4,\"stop\":2}", NULL, NULL);
    wait_done(e, ids[0], 2);
    wait_done(e, ids[1], 2);
    for (int i = 2; i < 6; i++)
        assert_int_equal(fixture_state(e, ids[i]), AK_RUN_QUEUED);
    fixture_start(e, "count", "x", "{\"to\":4}", NULL, &status);
    assert_status(status, AK_ELIMIT);
    fixture_start(e, "lone", "x", "{\"to\":4}", NULL, &status);
    assert_status(status, AK_EBUSY);
    /* One that never began leaves nothing behind either. */
    fixture_ask(e, ids[5], AK_RUN_CANCEL);
    fixture_wait_state(e, ids[5], AK_RUN_CANCELED);
    assert_int_equal(atomic_load(&begun), 2);
    fixture_start(e, "lone", "y", "{\"to\":4}", NULL, &status);
    assert_status(status, AK_OK);
    atomic_store(&open_gate, true);
    for (int i = 0; i < 5; i++)
        fixture_wait_state(e, ids[i], AK_RUN_SUCCEEDED);
    fixture_close(e);
}

static void a_rest_lets_others_run_and_then_goes_on(void **state)
{
    struct ak_engine *e = open_jobs();
    uint64_t id =
        fixture_start(e, "count", "", "{\"to\":9,\"stop\":4}", NULL, NULL);

    (void)state;
    wait_done(e, id, 4);
    fixture_ask(e, id, AK_RUN_PAUSE);
    fixture_wait_state(e, id, AK_RUN_PAUSED);
    atomic_store(&open_gate, true);
    fixture_wait_state(e,
                       fixture_start(e, "count", "", "{\"to\":2}", NULL, NULL),
                       AK_RUN_SUCCEEDED);
    assert_int_equal(fixture_state(e, id), AK_RUN_PAUSED);
    fixture_ask(e, id, AK_RUN_GO_ON);
    fixture_wait_state(e, id, AK_RUN_SUCCEEDED);
    assert_int_equal(atomic_load(&stepped), 11);
    fixture_close(e);
}

static void a_stop_and_a_start_go_on_from_the_checkpoint(void **state)
{
    struct ak_engine *e = open_jobs();
    uint64_t id =
        fixture_start(e, "count", "", "{\"to\":9,\"stop\":4}", NULL, NULL);
    uint64_t rests =
        fixture_start(e, "count", "", "{\"to\":9,\"stop\":3}", NULL, NULL);

    (void)state;
    wait_done(e, id, 4);
    wait_done(e, rests, 3);
    fixture_ask(e, rests, AK_RUN_PAUSE);
    fixture_wait_state(e, rests, AK_RUN_PAUSED);
    fixture_close(e);
    assert_int_equal(atomic_load(&ended[AK_RUN_INTERRUPTED]), 2);
    e = open_jobs();
    atomic_store(&open_gate, true);
    fixture_wait_state(e, id, AK_RUN_SUCCEEDED);
    assert_int_equal(atomic_load(&stepped), 5);
    assert_int_equal(fixture_state(e, rests), AK_RUN_PAUSED);
    fixture_ask(e, rests, AK_RUN_GO_ON);
    fixture_wait_state(e, rests, AK_RUN_SUCCEEDED);
    assert_int_equal(atomic_load(&stepped), 5 + 6);
    assert_member(e, rests, "result", "{\"at\":9}");
    fixture_close(e);
}

static void what_fails_while_all_stops_goes_on_later(void **state)
{
    struct ak_engine *e = open_jobs();
    uint64_t id = fixture_start(e, "count", "", "{\"to\":9,\"fail_at_end\":4}",
                                NULL, NULL);

    (void)state;
    while (!atomic_load(&stuck))
        usleep(100);
    fixture_close(e);
    assert_int_equal(atomic_load(&ended[AK_RUN_FAILED]), 0);
    e = open_jobs();
    atomic_store(&open_gate, true);
    fixture_wait_state(e, id, AK_RUN_SUCCEEDED);
    assert_int_equal(atomic_load(&stepped), 5);
    fixture_close(e);
}

/* Keeps the writer until it is let go. */
struct hold {
    struct ak_job job; /* first */
    pthread_mutex_t lock;
};

static enum ak_status hold_apply(struct ak_job *job, struct ak_store *store,
                                 struct ak_err *err)
{
    struct hold *h = (struct hold *)job;

    (void)store;
    (void)err;
    pthread_mutex_lock(&h->lock);
    pthread_mutex_unlock(&h->lock);
    return AK_OK;
}

static void hold_done(struct ak_job *job, enum ak_status status,
                      const struct ak_err *err)
{
    (void)job;
    (void)status;
    (void)err;
}

struct told {
    struct box box;
    uint64_t id;
    bool replayed;
};

static void tell(void *arg, enum ak_status status, uint64_t id, bool replayed,
                 const struct ak_err *err)
{
    struct told *t = arg;

    (void)err;
    pthread_mutex_lock(&t->box.lock);
    t->box.status = status;
    t->id = id;
    t->replayed = replayed;
    box_put(&t->box);
}

static bool is_told(struct told *t)
{
    bool done;

    pthread_mutex_lock(&t->box.lock);
    done = t->box.done;
    pthread_mutex_unlock(&t->box.lock);
    return done;
}

/* What was told of one that is not in the catalog yet a kill would belie. */
static void a_twin_hears_of_a_job_when_it_is_in_the_catalog(void **state)
{
    struct ak_engine *e = open_jobs();
    json_t *params = json_pack("{s:i}", "to", 3);
    struct ak_run_request rq = {
        .kind = "count", .target = "", .params = params, .key = "twins"};
    struct hold h = {.job = {.apply = hold_apply, .done = hold_done}};
    struct told told[3];

    (void)state;
    pthread_mutex_init(&h.lock, NULL);
    pthread_mutex_lock(&h.lock);
    ak_writer_push(e->writer, &e->catalog_lane, &h.job);
    for (size_t i = 0; i < 3; i++) {
        box_init(&told[i].box);
        assert_status(
            ak_jobs_submit(ak_engine_jobs(e), &rq, NULL, tell, &told[i], NULL),
            AK_OK);
    }
    for (size_t i = 0; i < 3; i++)
        assert_false(is_told(&told[i]));
    pthread_mutex_unlock(&h.lock);
    for (size_t i = 0; i < 3; i++) {
        box_wait(&told[i].box);
        assert_status(told[i].box.status, AK_OK);
        assert_int_equal(told[i].id, told[0].id);
        assert_int_equal(told[i].replayed, i > 0);
    }
    fixture_wait_state(e, told[0].id, AK_RUN_SUCCEEDED);
    json_decref(params);
    fixture_close(e);
    pthread_mutex_destroy(&h.lock);
}

/* Else a kill would have it done again, on top of what was done since. */
static void an_end_is_seen_when_it_is_in_the_catalog(void **state)
{
    struct ak_engine *e = open_jobs();
    struct hold h = {.job = {.apply = hold_apply, .done = hold_done}};
    uint64_t id;

    (void)state;
    pthread_mutex_init(&h.lock, NULL);
    id = fixture_start(e, "count", "", "{\"to\":9,\"stop\":4}", NULL, NULL);
    wait_done(e, id, 4);
    pthread_mutex_lock(&h.lock);
    ak_writer_push(e->writer, &e->catalog_lane, &h.job);
    atomic_store(&open_gate, true);
    while (atomic_load(&ended[AK_RUN_SUCCEEDED]) == 0)
        usleep(1000);
    usleep(20000); /* for one that is rash */
    assert_member(e, id, "state", "\"running\"");
    assert_member(e, id, "ended", "null");
    assert_status(
        ak_jobs_ask(ak_engine_jobs(e), id, AK_RUN_CANCEL, NULL, NULL, NULL),
        AK_EBUSY);
    pthread_mutex_unlock(&h.lock);
    fixture_wait_state(e, id, AK_RUN_SUCCEEDED);
    assert_int_equal(atomic_load(&ended[AK_RUN_SUCCEEDED]), 1);
    fixture_close(e);
    pthread_mutex_destroy(&h.lock);
}

static void a_crash_loses_no_run(void **state)
{
    struct ak_engine *e;
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        uint64_t id;

        e = open_jobs();
        id = fixture_start(e, "count", "", "{\"to\":9,\"stop\":4}", NULL, NULL);
        wait_done(e, id, 4);
        _exit(id == 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    e = open_jobs();
    atomic_store(&open_gate, true);
    fixture_wait_state(e, 1, AK_RUN_SUCCEEDED);
    assert_member(e, 1, "result", "{\"at\":9}");
    /* Its number is not given again. */
    assert_int_equal(fixture_start(e, "count", "", "{\"to\":1}", NULL, NULL),
                     2);
    fixture_close(e);
}

static void a_kind_that_is_gone_fails_its_run(void **state)
{
    struct ak_engine *e = open_jobs();
    uint64_t id =
        fixture_start(e, "lone", "", "{\"to\":9,\"stop\":4}", NULL, NULL);
    static const struct ak_run_kind *const fewer[] = {&count_kind, NULL};
    struct ak_engine_params params = {.threads = 2,
                                      .queue_bytes = 1 << 20,
                                      .collection_queue_bytes = 1 << 20,
                                      .job_kinds = fewer};

    (void)state;
    wait_done(e, id, 4);
    fixture_close(e);
    e = fixture_open(&params);
    fixture_wait_state(e, id, AK_RUN_FAILED);
    assert_member(e, id, "error", "\"this build has no jobs of kind lone\"");
    fixture_close(e);
}

static void those_that_ended_long_ago_are_forgotten(void **state)
{
    struct ak_engine *e = open_jobs();
    uint64_t id = 0;

    (void)state;
    for (int i = 0; i < 12; i++) {
        id = fixture_start(e, "count", "", "{\"to\":1}", NULL, NULL);
        fixture_wait_state(e, id, AK_RUN_SUCCEEDED);
    }
    while (fixture_state(e, id - 8) >= 0)
        usleep(1000);
    assert_int_equal(fixture_state(e, id - 7), AK_RUN_SUCCEEDED);
    fixture_close(e);
    e = open_jobs();
    assert_int_equal(fixture_state(e, id - 8), -1);
    assert_int_equal(fixture_state(e, id - 7), AK_RUN_SUCCEEDED);
    fixture_close(e);
}

/* ------------------------------------------------------------ logs and events */

struct lines {
    atomic_bool done;
    enum ak_status status;
    size_t n;
    long long first, last;
    bool more;
};

static void got_lines(void *arg, enum ak_status status, json_t *list, bool more,
                      const struct ak_err *err)
{
    struct lines *l = arg;

    (void)err;
    l->status = status;
    l->n = json_array_size(list);
    l->more = more;
    if (l->n > 0) {
        l->first =
            json_integer_value(json_object_get(json_array_get(list, 0), "n"));
        l->last = json_integer_value(
            json_object_get(json_array_get(list, l->n - 1), "n"));
    }
    json_decref(list);
    atomic_store(&l->done, true);
}

static struct lines read_lines(struct ak_engine *e, uint64_t id, uint64_t after,
                               size_t limit)
{
    struct lines l = {0};

    ak_jobs_log(ak_engine_jobs(e), id, after, limit, got_lines, &l);
    while (!atomic_load(&l.done))
        usleep(100);
    return l;
}

/* What is on its way to the catalog is in the log, too. */
static void a_log_is_whole_at_any_time(void **state)
{
    struct ak_engine *e = open_jobs();

    (void)state;
    for (int i = 0; i < 100; i++) {
        uint64_t id = fixture_start(e, "count", "", "{\"to\":3}", NULL, NULL);

        fixture_wait_state(e, id, AK_RUN_SUCCEEDED);
        assert_int_equal(read_lines(e, id, 0, 10).n, 3);
    }
    fixture_close(e);
}

static void a_log_keeps_its_last_lines(void **state)
{
    struct ak_engine *e = open_jobs();
    uint64_t id = fixture_start(e, "count", "", "{\"to\":1500}", NULL, NULL);
    struct lines l;

    (void)state;
    fixture_wait_state(e, id, AK_RUN_SUCCEEDED);
    l = read_lines(e, id, 0, 10000);
    assert_status(l.status, AK_OK);
    assert_int_equal(l.n, 1000);
    assert_int_equal(l.first, 501);
    assert_int_equal(l.last, 1500);
    assert_false(l.more);
    l = read_lines(e, id, 700, 10);
    assert_int_equal(l.first, 701);
    assert_int_equal(l.last, 710);
    assert_true(l.more);
    assert_int_equal(read_lines(e, id, 1500, 10).n, 0);
    assert_status(read_lines(e, id + 1, 0, 10).status, AK_ENOTFOUND);
    fixture_close(e);
}

static atomic_uint woken;

static void wake(void *arg)
{
    (void)arg;
    atomic_fetch_add(&woken, 1);
}

static void nothing(void *arg)
{
    (void)arg;
}

static const struct ak_run_watcher watcher = {wake, nothing, nothing, NULL};

/* Read to the end, in pieces of `cap` bytes; the text is freed by the caller. */
static char *read_all(struct ak_run_watch *w, size_t cap)
{
    char *text = calloc(1, 1 << 20);
    size_t len = 0, n;

    assert_non_null(text);
    while ((n = ak_run_watch_read(w, text + len, cap)) != AK_RUN_WATCH_END) {
        len += n;
        if (n == 0)
            usleep(1000);
    }
    return text;
}

static void a_watcher_sees_all_from_where_it_began(void **state)
{
    struct ak_engine *e = open_jobs();
    uint64_t id =
        fixture_start(e, "count", "", "{\"to\":8,\"stop\":4}", NULL, NULL);
    struct ak_run_watch *w, *again;
    char *text, *other;
    unsigned long long last;
    struct ak_err err = {0};

    (void)state;
    wait_done(e, id, 4);
    assert_status(ak_jobs_watch(ak_engine_jobs(e), id, 0, &watcher, &w, &err),
                  AK_OK);
    atomic_store(&open_gate, true);
    text = read_all(w, 7);
    ak_run_watch_close(w);
    assert_true(atomic_load(&woken) > 0);
    assert_non_null(strstr(text, "event: progress\ndata: {"));
    assert_null(strstr(text, "line 4"));
    for (int i = 5; i <= 8; i++) {
        char line[32];

        snprintf(line, sizeof(line), "line %d\"", i);
        assert_non_null(strstr(text, line));
    }
    assert_non_null(strstr(text, "event: end\n"));
    /* From the log line of 6 on. */
    other = strstr(text, "line 6");
    while (strncmp(other, "\nid: ", 5) != 0)
        other--;
    assert_int_equal(sscanf(other, "\nid: %llu", &last), 1);
    assert_status(
        ak_jobs_watch(ak_engine_jobs(e), id, last, &watcher, &again, &err),
        AK_OK);
    other = read_all(again, 4096);
    ak_run_watch_close(again);
    assert_null(strstr(other, "line 6"));
    assert_non_null(strstr(other, "line 7"));
    assert_non_null(strstr(other, "event: end\n"));
    assert_status(ak_jobs_watch(ak_engine_jobs(e), id, UINT64_MAX, &watcher,
                                &again, &err),
                  AK_ECANCELED);
    free(text);
    free(other);
    fixture_close(e);
}

static void a_watcher_that_falls_behind_is_ended(void **state)
{
    struct ak_engine *e = open_jobs();
    uint64_t id =
        fixture_start(e, "count", "", "{\"to\":500,\"stop\":1}", NULL, NULL);
    struct ak_run_watch *w;
    struct ak_err err = {0};
    char *text;

    (void)state;
    wait_done(e, id, 1);
    assert_status(ak_jobs_watch(ak_engine_jobs(e), id, 0, &watcher, &w, &err),
                  AK_OK);
    atomic_store(&open_gate, true);
    fixture_wait_state(e, id, AK_RUN_SUCCEEDED);
    text = read_all(w, 4096);
    assert_null(strstr(text, "event: end"));
    ak_run_watch_close(w);
    free(text);
    /* Who comes anew sees the end. */
    assert_status(ak_jobs_watch(ak_engine_jobs(e), id, 0, &watcher, &w, &err),
                  AK_OK);
    text = read_all(w, 4096);
    assert_non_null(strstr(text, "event: end"));
    ak_run_watch_close(w);
    free(text);
    fixture_close(e);
}

#define JOBS_TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOBS_TEST(a_run_ends_well_or_says_why_not),
        JOBS_TEST(so_many_run_and_the_others_wait_their_turn),
        JOBS_TEST(a_rest_lets_others_run_and_then_goes_on),
        JOBS_TEST(a_stop_and_a_start_go_on_from_the_checkpoint),
        JOBS_TEST(what_fails_while_all_stops_goes_on_later),
        JOBS_TEST(a_twin_hears_of_a_job_when_it_is_in_the_catalog),
        JOBS_TEST(an_end_is_seen_when_it_is_in_the_catalog),
        JOBS_TEST(a_crash_loses_no_run),
        JOBS_TEST(a_kind_that_is_gone_fails_its_run),
        JOBS_TEST(those_that_ended_long_ago_are_forgotten),
        JOBS_TEST(a_log_is_whole_at_any_time),
        JOBS_TEST(a_log_keeps_its_last_lines),
        JOBS_TEST(a_watcher_sees_all_from_where_it_began),
        JOBS_TEST(a_watcher_that_falls_behind_is_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
