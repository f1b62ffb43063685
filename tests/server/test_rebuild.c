/*
 * Generation rebuilds: the same bytes as a fresh learner that was fed with the
 * rows of the moment, whatever happens on the way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "server/shadow.h"
#include "tests/server/jobs_fixture.h"

enum { FIRST = 600, LATER = 300 };

/* --------------------------------------------------------------------- helpers */

static struct ak_settings of_kind(const char *kind)
{
    struct ak_settings s = settings_of("shoes", kind);

    if (strcmp(kind, "hmoh") == 0)
        set_option(&s, "kernel_anchors", 16);
    /* Blocks of which the set is whole ones; else the last would be filled. */
    if (strcmp(kind, "sdoh") == 0 || strcmp(kind, "fcoh") == 0)
        set_option(&s, "block", 70);
    if (strcmp(kind, "sdoh") == 0)
        set_option(&s, "iterations", 5);
    if (strcmp(kind, "hcdh") == 0) {
        set_option(&s, "hidden", 8);
        set_option(&s, "epochs", 3);
    }
    return s;
}

static void remove_ids(struct ak_collection *c, uint64_t from, size_t n)
{
    struct ak_row_id *ids = calloc(n, sizeof(*ids));
    struct ak_change change = {
        .kind = AK_RECORD_DELETE, .now_ms = 1, .ids = ids, .n_ids = n};
    struct ak_receipt r;

    for (size_t i = 0; i < n; i++)
        ids[i].number = from + i;
    r = submit(c, &change);
    assert_int_equal(r.accepted, n);
    wait_for(c, r.seq, AK_ACK_VISIBLE);
    free(ids);
}

static void relabel(struct ak_collection *c, uint64_t id, const char *label)
{
    const struct ak_row_id row = {.number = id};
    const struct ak_bytes name = {label, strlen(label)};
    struct ak_change change = {.kind = AK_RECORD_RELABEL,
                               .now_ms = 1,
                               .ids = &row,
                               .n_ids = 1,
                               .set_labels = true,
                               .labels = &name,
                               .n_labels = 1};

    wait_for(c, submit(c, &change).seq, AK_ACK_VISIBLE);
}

/* Rows, some of which end, get other labels or are only stored, and a first
   version; the ordinals are the ids. */
static struct ak_collection *make(struct ak_engine *e,
                                  const struct ak_settings *s)
{
    struct ak_collection *c = create(e, s);

    for (uint64_t i = 0; i < FIRST; i += BATCH)
        put_rows(c, i, BATCH, AK_RECORD_BATCH, NULL);
    put_rows(c, FIRST, BATCH, AK_RECORD_UPSERT, NULL);
    remove_ids(c, 50, 40);
    relabel(c, 7, "3");
    if (strcmp(s->kind, "hcdh") != 0)
        publish(c);
    return c;
}

static struct ak_collection *get(struct ak_engine *e)
{
    struct ak_collection *c = NULL;

    assert_status(ak_engine_get(e, "shoes", &c, NULL), AK_OK);
    return c;
}

static uint64_t begin(struct ak_engine *e, const char *params, const char *gate)
{
    return fixture_start(e, "rebuild", "shoes", params, gate, NULL);
}

static void finish(struct ak_engine *e, uint64_t id)
{
    fixture_wait_state(e, id, AK_RUN_SUCCEEDED);
}

/* The model that the set of make() gives without an engine, after all that was
   ever put: what lives, in the order of the generation. */
static struct ak_writer offline(const struct ak_settings *s, uint64_t number)
{
    struct ak_hash_params params = {s->dim, s->bits, s->max_labels, s->seed};
    uint32_t order[FIRST + BATCH], n = 0, labels[FIRST + BATCH];
    uint32_t first[FIRST + BATCH + 1] = {0};
    float *x = calloc((FIRST + BATCH) * DIM, sizeof(*x));
    struct ak_hash_batch batch = {.x = x, .labels = labels, .first = first};
    struct ak_hash *h = NULL;
    struct ak_encoder *e = NULL;
    struct ak_writer w = {0};
    size_t wanted;

    for (uint32_t i = 0; i < FIRST + BATCH; i++)
        if (i < 50 || i >= 90)
            order[n++] = i;
    ak_shadow_shuffle(s->seed, number, order, n);
    for (uint32_t i = 0; i < n; i++) {
        make_row(order[i], x + i * DIM);
        labels[first[i]] = order[i] == 7 ? 3 : order[i] % CLASSES;
        first[i + 1] = first[i] + (order[i] < FIRST);
    }
    assert_status(ak_hash_create(s->kind, &params, s->options, &h, NULL),
                  AK_OK);
    wanted = ak_hash_warmup_rows(h);
    if (wanted > 0)
        assert_status(ak_hash_fix(h, x, wanted < n ? wanted : n, NULL), AK_OK);
    batch.n = n;
    assert_status(ak_hash_train(h, &batch, NULL, NULL), AK_OK);
    assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
    assert_status(ak_encoder_save(e, &w, NULL), AK_OK);
    ak_ref_drop((struct ak_ref *)e);
    ak_hash_destroy(h);
    free(x);
    return w;
}

static struct ak_writer model_of(struct ak_collection *c)
{
    struct ak_snapshot *s = ak_collection_snapshot(c);
    struct ak_writer w = {0};

    assert_status(ak_encoder_save(ak_collection_model(s), &w, NULL), AK_OK);
    ak_snapshot_drop(s);
    return w;
}

/* More rows, learnt by what was installed, and a version of it. */
static struct ak_writer go_on(struct ak_collection *c)
{
    for (uint64_t i = 0; i < LATER; i += BATCH)
        put_rows(c, 10000 + i, BATCH, AK_RECORD_BATCH, NULL);
    append(c, AK_RECORD_FLUSH);
    publish(c);
    return state_of(c);
}

static void assert_member(struct ak_engine *e, uint64_t id, const char *name,
                          const char *part)
{
    char *text = fixture_member(e, id, name);

    if (strstr(text, part) == NULL)
        fail_msg("%s is %s, expected %s in it", name, text, part);
    free(text);
}

/* Generations in the file: how many, and how many with a state. */
static void count_generations(int *n, int *with_state)
{
    char path[128];
    sqlite3 *db;
    sqlite3_stmt *q;

    snprintf(path, sizeof(path), "%s/collections/1.db", fixture_dir);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL),
                     SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT count(*), count(state) FROM generations"
                           " WHERE number > 0",
                           -1, &q, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    *n = sqlite3_column_int(q, 0);
    *with_state = sqlite3_column_int(q, 1);
    sqlite3_finalize(q);
    sqlite3_close(db);
}

static void run_sql(const char *sql)
{
    char path[128], *text = NULL;
    sqlite3 *db;

    snprintf(path, sizeof(path), "%s/collections/1.db", fixture_dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
        fail_msg("%s: %s", sql, text);
    sqlite3_close(db);
}

/* ---------------------------------------------------------------- the tests */

static void it_is_a_fresh_learner_fed_with_the_rows_of_now(void **state)
{
    static const char *const kinds[] = {"hmoh", "sdoh", "fcoh", "hcdh"};

    (void)state;
    for (size_t k = 0; k < 4; k++) {
        struct ak_settings s = of_kind(kinds[k]);
        struct ak_writer expected, found;
        struct ak_engine *e;
        struct ak_collection *c;

        assert_int_equal(make_dir(NULL), 0);
        e = fixture_open(NULL);
        c = make(e, &s);
        finish(e, begin(e, NULL, "null"));
        found = model_of(c);
        expected = offline(&s, 1);
        assert_same_state(&found, &expected);
        ak_writer_clear(&found);
        ak_writer_clear(&expected);
        ak_collection_drop(c);
        fixture_close(e);
        assert_int_equal(remove_dir(NULL), 0);
    }
    assert_int_equal(make_dir(NULL), 0);
}

/* Everything in one go: what all others must come to. */
static struct ak_writer undisturbed(const struct ak_settings *s)
{
    struct ak_engine *e = fixture_open(NULL);
    struct ak_collection *c = make(e, s);
    struct ak_writer w;

    finish(e, begin(e, NULL, "null"));
    w = go_on(c);
    ak_collection_drop(c);
    fixture_close(e);
    assert_int_equal(remove_dir(NULL), 0);
    assert_int_equal(make_dir(NULL), 0);
    return w;
}

static void kill_on_the_way(const char *kind)
{
    struct ak_settings s = of_kind(kind);
    struct ak_writer expected = undisturbed(&s), found;
    struct ak_engine *e;
    struct ak_collection *c;

    for (int life = 0; life < 14; life++) {
        pid_t child = fork();
        int status;

        if (child == 0) {
            e = fixture_open(NULL);
            if (life == 0) {
                (void)make(e, &s);
                (void)begin(e, NULL, "null");
            }
            usleep((useconds_t)(life * life * 250));
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    e = fixture_open(NULL);
    /* It may have ended in a life before. */
    while (fixture_state(e, 1) != AK_RUN_SUCCEEDED) {
        assert_int_not_equal(fixture_state(e, 1), AK_RUN_FAILED);
        usleep(1000);
    }
    c = get(e);
    found = go_on(c);
    assert_same_state(&found, &expected);
    ak_writer_clear(&found);
    ak_writer_clear(&expected);
    ak_collection_drop(c);
    fixture_close(e);
}

static void kills_on_the_way_change_nothing(void **state)
{
    (void)state;
    kill_on_the_way("hmoh");
}

static void kills_on_the_way_of_passes_change_nothing(void **state)
{
    (void)state;
    kill_on_the_way("hcdh");
}

static void stops_on_the_way_change_nothing(void **state)
{
    struct ak_settings s = of_kind("sdoh");
    struct ak_writer expected = undisturbed(&s), found;
    struct ak_engine *e = fixture_open(NULL);
    struct ak_collection *c = make(e, &s);
    uint64_t id = begin(e, NULL, "null");

    (void)state;
    for (int life = 0; life < 8; life++) {
        usleep((useconds_t)(life * 1000));
        ak_collection_drop(c);
        fixture_close(e);
        e = fixture_open(NULL);
        c = get(e);
    }
    while (fixture_state(e, id) != AK_RUN_SUCCEEDED) {
        assert_int_not_equal(fixture_state(e, id), AK_RUN_FAILED);
        usleep(1000);
    }
    found = go_on(c);
    assert_same_state(&found, &expected);
    ak_writer_clear(&found);
    ak_writer_clear(&expected);
    ak_collection_drop(c);
    fixture_close(e);
}

static void pauses_on_the_way_change_nothing(void **state)
{
    static const char *const kinds[] = {"sdoh", "hcdh"};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct ak_settings s = of_kind(kinds[k]);
        struct ak_writer expected = undisturbed(&s), found;
        struct ak_engine *e = fixture_open(NULL);
        struct ak_collection *c = make(e, &s);
        uint64_t id = begin(e, NULL, "null");

        for (int n = 0; n < 20; n++) {
            usleep((useconds_t)(n * 500));
            /* Unless it has ended, or is about to. */
            if (ak_jobs_ask(ak_engine_jobs(e), id, AK_RUN_PAUSE, NULL, NULL,
                            NULL) != AK_OK)
                break;
            if (n % 2 == 0)
                fixture_wait_state(e, id, AK_RUN_PAUSED);
            fixture_ask(e, id, AK_RUN_GO_ON);
        }
        fixture_wait_state(e, id, AK_RUN_SUCCEEDED);
        found = go_on(c);
        assert_same_state(&found, &expected);
        ak_writer_clear(&found);
        ak_writer_clear(&expected);
        ak_collection_drop(c);
        fixture_close(e);
        assert_int_equal(remove_dir(NULL), 0);
        assert_int_equal(make_dir(NULL), 0);
    }
}

static bool is_rebuilding(struct ak_collection *c)
{
    bool rebuilding;

    pthread_mutex_lock(&c->lock);
    rebuilding = c->rebuilding;
    pthread_mutex_unlock(&c->lock);
    return rebuilding;
}

/* Else a policy would not publish for as long as it rests. */
static void one_that_rests_holds_nothing_up(void **state)
{
    struct ak_settings s = of_kind("hcdh");
    struct ak_engine *e;
    struct ak_collection *c;
    uint64_t id;

    (void)state;
    set_option(&s, "epochs", 1000);
    e = fixture_open(NULL);
    c = make(e, &s);
    id = begin(e, NULL, "null");
    while (fixture_state(e, id) == AK_RUN_QUEUED)
        usleep(100);
    for (int n = 0; n < 2; n++) {
        fixture_ask(e, id, AK_RUN_PAUSE); /* long before its end */
        fixture_wait_state(e, id, AK_RUN_PAUSED);
        assert_false(is_rebuilding(c));
        fixture_ask(e, id, AK_RUN_GO_ON);
        while (!is_rebuilding(c))
            usleep(100);
    }
    fixture_ask(e, id, AK_RUN_CANCEL);
    fixture_wait_state(e, id, AK_RUN_CANCELED);
    ak_collection_drop(c);
    fixture_close(e);
}

/* A checkpoint behind the INSTALL record, and then no checkpoint at all: the
   generation is made again from the records. */
static void a_lost_checkpoint_changes_nothing(void **state)
{
    struct ak_settings s = of_kind("hmoh");
    struct ak_writer expected = undisturbed(&s), found;
    struct ak_engine *e = fixture_open(NULL);
    struct ak_collection *c = make(e, &s);
    int n, with_state;

    (void)state;
    finish(e, begin(e, NULL, "null"));
    ak_collection_drop(c);
    fixture_close(e); /* saves the learner */
    count_generations(&n, &with_state);
    assert_int_equal(n, 1);
    assert_int_equal(with_state, 0);
    run_sql("DELETE FROM checkpoint; DELETE FROM constants");
    e = fixture_open(NULL);
    c = get(e);
    found = go_on(c);
    assert_same_state(&found, &expected);
    ak_writer_clear(&found);
    ak_writer_clear(&expected);
    ak_collection_drop(c);
    fixture_close(e);
}

struct feeder {
    struct ak_collection *c;
    atomic_bool stop;
    uint64_t put;
};

static void *feed_rows(void *arg)
{
    struct feeder *f = arg;

    while (!atomic_load(&f->stop) && f->put < 6000) {
        put_rows(f->c, 20000 + f->put, 50, AK_RECORD_BATCH, NULL);
        f->put += 50;
    }
    return NULL;
}

static void rows_that_come_meanwhile_are_learnt_once(void **state)
{
    struct ak_settings s = of_kind("hmoh");
    struct ak_engine *e = fixture_open(NULL);
    struct ak_collection *c = make(e, &s);
    struct feeder f = {.c = c};
    struct ak_collection_status status;
    struct ak_writer before, after;
    struct ak_receipt last;
    uint64_t id;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, feed_rows, &f), 0);
    id = begin(e, NULL, "null");
    finish(e, id);
    atomic_store(&f.stop, true);
    pthread_join(thread, NULL);
    last = publish(c);
    wait_for(c, last.seq, AK_ACK_LEARNED);
    ak_collection_status(c, &status);
    assert_int_equal(status.rows, FIRST + BATCH + f.put);
    /* The set (without what was deleted, one of them relabelled before) and
       what came after it, each once. */
    assert_int_equal(status.live_samples, FIRST - 40 + f.put);
    before = state_of(c);
    ak_collection_drop(c);
    fixture_close(e);
    /* All of it once more. */
    run_sql("DELETE FROM checkpoint; DELETE FROM constants;"
            "DELETE FROM models WHERE version > 0;"
            "DELETE FROM versions WHERE at_seq > 0;"
            "DELETE FROM codes; UPDATE versions SET state = 2;"
            "UPDATE state SET published = 0");
    e = fixture_open(NULL);
    c = get(e);
    wait_for(c, last.seq, AK_ACK_SERVED);
    after = state_of(c);
    assert_same_state(&before, &after);
    ak_writer_clear(&before);
    ak_writer_clear(&after);
    ak_collection_drop(c);
    fixture_close(e);
}

static void a_cancel_leaves_no_trace(void **state)
{
    struct ak_settings s = of_kind("hcdh");
    struct ak_writer expected, before, found;
    struct ak_engine *e;
    struct ak_collection *c;
    enum ak_status status;
    uint64_t id;
    int n, with_state;

    (void)state;
    set_option(&s, "epochs", 1000); /* so that it is on its way */
    e = fixture_open(NULL);
    c = make(e, &s);
    before = state_of(c);
    id = begin(e, NULL, "null");
    while (fixture_state(e, id) == AK_RUN_QUEUED)
        usleep(100);
    /* One at a time. */
    assert_int_equal(fixture_start(e, "rebuild", "shoes", NULL, NULL, &status),
                     0);
    assert_status(status, AK_EBUSY);
    fixture_ask(e, id, AK_RUN_CANCEL);
    fixture_wait_state(e, id, AK_RUN_CANCELED);
    found = state_of(c);
    assert_same_state(&before, &found);
    ak_writer_clear(&found);
    ak_writer_clear(&before);
    /* The next is what it would have been without the one that was not. */
    id = begin(e, "{\"model\":{\"params\":{\"epochs\":3}},\"reason\":\"test\"}",
               "null");
    finish(e, id);
    s = of_kind("hcdh");
    expected = offline(&s, 1);
    found = model_of(c);
    assert_same_state(&found, &expected);
    ak_writer_clear(&found);
    ak_writer_clear(&expected);
    ak_collection_drop(c);
    fixture_close(e);
    count_generations(&n, &with_state);
    assert_int_equal(n, 1);
    assert_int_equal(with_state, 0);
}

static void what_is_worse_is_refused_and_changes_nothing(void **state)
{
    struct ak_settings s = of_kind("hmoh"), now;
    struct ak_engine *e = fixture_open(NULL);
    struct ak_collection *c = create(e, &s);
    struct ak_collection_status status;
    struct ak_writer before, after;
    uint64_t id;

    (void)state;
    for (uint64_t i = 0; i < 2000; i += BATCH)
        put_rows(c, i, BATCH, AK_RECORD_BATCH, NULL);
    publish(c);
    before = state_of(c);
    /* One label is learnt instead of four. */
    id = begin(e, "{\"labels\":{\"max\":1}}", NULL);
    fixture_wait_state(e, id, AK_RUN_FAILED);
    assert_member(e, id, "error", "mAP is 0.");
    assert_member(e, id, "progress", "\"published_map\":0.");
    after = state_of(c);
    assert_same_state(&before, &after);
    ak_writer_clear(&before);
    ak_writer_clear(&after);
    ak_collection_status(c, &status);
    assert_int_equal(status.rebuilds_refused, 1);
    ak_collection_settings(c, &now);
    assert_int_equal(now.max_labels, 256);
    /* What is as good passes, and without a gate anything does. */
    id = begin(e, NULL, "{\"max_quality_loss\":0.1}");
    finish(e, id);
    assert_member(e, id, "result", "\"passed\":true,\"queries\":200");
    id = begin(e, "{\"labels\":{\"max\":1}}", "null");
    finish(e, id);
    assert_member(e, id, "result", "\"gate\":null");
    ak_collection_settings(c, &now);
    assert_int_equal(now.max_labels, 1);
    ak_collection_drop(c);
    fixture_close(e);
    e = fixture_open(NULL);
    c = get(e);
    ak_collection_settings(c, &now);
    assert_int_equal(now.max_labels, 1);
    ak_collection_drop(c);
    fixture_close(e);
}

static void too_few_rows_pass_the_gate_and_it_says_so(void **state)
{
    struct ak_settings s = of_kind("hmoh");
    struct ak_engine *e = fixture_open(NULL);
    struct ak_collection *c = make(e, &s);
    uint64_t id = begin(e, NULL, NULL);
    enum ak_status status;

    (void)state;
    finish(e, id);
    assert_member(e, id, "result", "too few rows to test it");
    fixture_start(e, "rebuild", "shoes", "{\"bits\":64}", NULL, &status);
    assert_status(status, AK_EINVAL);
    fixture_start(e, "rebuild", "shoes",
                  "{\"model\":{\"params\":{\"anchors\":7}}}", NULL, &status);
    assert_status(status, AK_EINVAL);
    fixture_start(e, "rebuild", "shoes", "{\"model\":{\"kind\":\"lsh\"}}", NULL,
                  &status);
    assert_status(status, AK_EINVAL);
    ak_collection_drop(c);
    fixture_close(e);
}

static void another_kind_takes_over_and_a_rollback_goes_back(void **state)
{
    struct ak_settings s = of_kind("hmoh"), now;
    struct ak_engine *e = fixture_open(NULL);
    struct ak_collection *c = make(e, &s);
    struct ak_writer before = state_of(c), after;
    struct ak_change change = {
        .kind = AK_RECORD_ROLLBACK, .version = 1, .now_ms = 1};
    uint64_t id = begin(e,
                        "{\"model\":{\"kind\":\"sdoh\","
                        "\"params\":{\"iterations\":5}}}",
                        "null");

    (void)state;
    finish(e, id);
    ak_collection_settings(c, &now);
    assert_string_equal(now.kind, "sdoh");
    wait_for(c, submit(c, &change).seq, AK_ACK_SERVED);
    after = state_of(c);
    assert_same_state(&before, &after);
    ak_writer_clear(&before);
    ak_writer_clear(&after);
    /* What learns is the other one, and after a restart too. */
    put_rows(c, 30000, 10, AK_RECORD_BATCH, NULL);
    ak_collection_drop(c);
    fixture_close(e);
    e = fixture_open(NULL);
    c = get(e);
    after = go_on(c);
    ak_writer_clear(&after);
    ak_collection_settings(c, &now);
    assert_string_equal(now.kind, "sdoh");
    ak_collection_drop(c);
    fixture_close(e);
}

static void debt_starts_one_and_is_paid(void **state)
{
    struct ak_settings s = of_kind("hmoh");
    struct ak_collection_status status;
    struct ak_engine *e;
    struct ak_collection *c;

    (void)state;
    s.rebuild_at_debt = 0.3;
    e = fixture_open(NULL);
    c = make(e, &s);
    ak_collection_status(c, &status);
    assert_true(status.debt > 0.06 && status.debt < 0.07); /* 41 of 600 */
    assert_int_equal(fixture_state(e, 1), -1);
    /* Rows that were not learnt are no debt. */
    remove_ids(c, FIRST, BATCH);
    ak_collection_status(c, &status);
    assert_true(status.debt < 0.07);
    remove_ids(c, 200, 150);
    while (fixture_state(e, 1) < 0)
        usleep(1000);
    finish(e, 1);
    ak_collection_status(c, &status);
    assert_true(status.debt == 0);
    assert_int_equal(status.live_samples, FIRST - 40 - 150);
    ak_collection_drop(c);
    fixture_close(e);
}

/* hcdh: what is published is trained to its end first. */
static void a_publish_of_passes_is_a_training_to_the_end(void **state)
{
    struct ak_settings s = of_kind("hcdh");
    struct ak_engine *e = fixture_open(NULL);
    struct ak_collection *c = make(e, &s);
    struct ak_collection_status status;
    struct ak_writer expected, found;

    (void)state;
    ak_collection_status(c, &status);
    wait_for(c, status.durable_seq, AK_ACK_LEARNED);
    ak_collection_status(c, &status);
    assert_int_equal(status.live_samples, 0);
    /* Labels that were given: one row has got another since. */
    assert_int_equal(status.pending_rows, FIRST + 1);
    publish(c);
    expected = offline(&s, 1);
    found = model_of(c);
    assert_same_state(&found, &expected);
    ak_writer_clear(&found);
    ak_writer_clear(&expected);
    ak_collection_status(c, &status);
    assert_int_equal(status.pending_rows, 0);
    assert_true(status.live_samples > 0);
    /* And once more, with what came since. */
    put_rows(c, 10000, BATCH, AK_RECORD_BATCH, NULL);
    publish(c);
    finish(e, 2);
    ak_collection_drop(c);
    fixture_close(e);
}

/* ------------------------------------------------------------------- erasure */

/* A vector whose bytes are found nowhere else. */
static void marked_row(uint64_t i, float x[DIM])
{
    make_row(i, x);
    for (int d = 0; d < 4; d++)
        x[d] = 1.2345678f + 0.0001f * (float)(i % 7);
}

static bool file_has(const char *ending, const void *bytes, size_t len)
{
    char path[160];
    bool found = false;
    FILE *f;
    char *all;
    long size;

    snprintf(path, sizeof(path), "%s/collections/1.db%s", fixture_dir, ending);
    f = fopen(path, "rb");
    if (f == NULL)
        return false;
    fseek(f, 0, SEEK_END);
    size = ftell(f);
    rewind(f);
    all = malloc((size_t)size + 1);
    size =
        (long)fread(all, 1, (size_t)size, f); /* less, if it was cut by now */
    fclose(f);
    for (long i = 0; i + (long)len <= size && !found; i++)
        found = memcmp(all + i, bytes, len) == 0;
    free(all);
    return found;
}

static bool stored(const float x[DIM])
{
    return file_has("", x, 4 * sizeof(*x)) ||
           file_has("-wal", x, 4 * sizeof(*x));
}

static struct ak_receipt remove_one(struct ak_collection *c, uint64_t number,
                                    bool erase)
{
    const struct ak_row_id id = {.number = number};
    struct ak_change change = {.kind = AK_RECORD_DELETE,
                               .now_ms = 1,
                               .ids = &id,
                               .n_ids = 1,
                               .erase = erase};

    return submit(c, &change);
}

static struct ak_writer with_a_marked_row(bool erase)
{
    struct ak_settings s = of_kind("hmoh");
    struct ak_engine *e = fixture_open(NULL);
    struct ak_collection *c = make(e, &s);
    struct ak_collection_status status;
    float first[DIM], second[DIM];
    struct ak_receipt r;
    struct ak_writer w;

    marked_row(5000, first);
    put_made(c, 5000, 1, AK_RECORD_BATCH, NULL, marked_row, NULL);
    put_rows(c, 5000, 1, AK_RECORD_BATCH, NULL); /* in its place */
    make_row(5000, second);
    assert_true(stored(first) && stored(second));
    r = remove_one(c, 5000, erase);
    assert_int_equal(r.accepted, 1);
    assert_int_equal(r.erasing, erase ? 2 : 0);
    do {
        usleep(1000);
        ak_collection_status(c, &status);
    } while (status.erasures_pending > 0);
    assert_int_equal(status.erased_rows, erase ? 2 : 0);
    assert_int_equal(stored(first), !erase);
    assert_int_equal(stored(second), !erase);
    if (erase) /* there is nothing more */
        assert_int_equal(remove_one(c, 5000, true).erasing, 0);
    ak_collection_drop(c);
    fixture_close(e);
    e = fixture_open(NULL);
    c = get(e);
    w = go_on(c);
    ak_writer_clear(&w);
    w = model_of(c);
    ak_collection_drop(c);
    fixture_close(e);
    assert_int_equal(remove_dir(NULL), 0);
    assert_int_equal(make_dir(NULL), 0);
    return w;
}

static void what_is_erased_is_in_no_file_and_changes_no_learner(void **state)
{
    struct ak_writer plain = with_a_marked_row(false);
    struct ak_writer erased = with_a_marked_row(true);

    (void)state;
    assert_same_state(&plain, &erased);
    ak_writer_clear(&plain);
    ak_writer_clear(&erased);
}

static void an_erasure_waits_for_a_rebuild_that_needs_the_row(void **state)
{
    struct ak_settings s = of_kind("hcdh");
    struct ak_collection_status status;
    struct ak_engine *e;
    struct ak_collection *c;
    uint64_t id;

    (void)state;
    set_option(&s, "epochs", 1000);
    e = fixture_open(NULL);
    c = make(e, &s);
    id = begin(e, NULL, "null");
    while (fixture_state(e, id) == AK_RUN_QUEUED)
        usleep(100);
    fixture_ask(e, id, AK_RUN_PAUSE); /* long before its end */
    fixture_wait_state(e, id, AK_RUN_PAUSED);
    wait_for(c, remove_one(c, 3, true).seq, AK_ACK_LEARNED);
    usleep(1500000); /* more than between two tries */
    ak_collection_status(c, &status);
    assert_int_equal(status.erasures_pending, 1);
    fixture_ask(e, id, AK_RUN_CANCEL);
    fixture_wait_state(e, id, AK_RUN_CANCELED);
    do {
        usleep(1000);
        ak_collection_status(c, &status);
    } while (status.erasures_pending > 0);
    ak_collection_drop(c);
    fixture_close(e);
}

#define REBUILD_TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REBUILD_TEST(it_is_a_fresh_learner_fed_with_the_rows_of_now),
        REBUILD_TEST(kills_on_the_way_change_nothing),
        REBUILD_TEST(kills_on_the_way_of_passes_change_nothing),
        REBUILD_TEST(stops_on_the_way_change_nothing),
        REBUILD_TEST(pauses_on_the_way_change_nothing),
        REBUILD_TEST(one_that_rests_holds_nothing_up),
        REBUILD_TEST(a_lost_checkpoint_changes_nothing),
        REBUILD_TEST(rows_that_come_meanwhile_are_learnt_once),
        REBUILD_TEST(a_cancel_leaves_no_trace),
        REBUILD_TEST(what_is_worse_is_refused_and_changes_nothing),
        REBUILD_TEST(too_few_rows_pass_the_gate_and_it_says_so),
        REBUILD_TEST(another_kind_takes_over_and_a_rollback_goes_back),
        REBUILD_TEST(debt_starts_one_and_is_paid),
        REBUILD_TEST(a_publish_of_passes_is_a_training_to_the_end),
        REBUILD_TEST(what_is_erased_is_in_no_file_and_changes_no_learner),
        REBUILD_TEST(an_erasure_waits_for_a_rebuild_that_needs_the_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
