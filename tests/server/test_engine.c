/*
 * The engine without HTTP: what is submitted is learnt, searchable, published,
 * and there again after a restart and after a crash.
 */
#include "tests/server/engine_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "core/base/rng.h"

enum { BATCHES = 30, KILL_BATCHES = 24 };

static struct ak_settings settings_with_map(const char *name)
{
    struct ak_settings s = settings_of(name, "hmoh");

    set_option(&s, "kernel_anchors", 32);
    return s;
}

/* Share of the ten nearest that have the query's class. */
static double precision(struct ak_collection *c)
{
    struct ak_snapshot *s = ak_collection_snapshot(c);
    struct ak_encoder *e = ak_collection_model(s);
    void *scratch = aligned_alloc(64, (ak_encoder_scratch(e) + 64) & ~63ul);
    int right = 0;

    for (uint64_t q = 0; q < 100; q++) {
        uint8_t code[BITS / 8];
        float x[DIM];
        struct ak_hit hits[10];
        struct ak_search_result result;
        struct ak_search search = {
            .codes = code, .n = 1, .limit = 10, .max_distance = UINT32_MAX};

        make_row(1000000 + q, x);
        ak_encoder_encode(e, x, 1, code, scratch);
        assert_status(ak_snapshot_search(s, &search, hits, &result, NULL),
                      AK_OK);
        assert_int_equal(result.n_hits, 10);
        for (int i = 0; i < 10; i++)
            right += ak_snapshot_id(s, hits[i].ordinal).number % CLASSES ==
                     (1000000 + q) % CLASSES;
    }
    free(scratch);
    ak_snapshot_drop(s);
    return right / 1000.0;
}

/* ---------------------------------------------------------------- the tests */

static void a_stream_is_learnt_and_served(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_settings s = settings_with_map("stream");
    struct ak_collection *c = create(e, &s);
    struct ak_collection_status status;
    struct ak_receipt r = {0};
    double before;

    (void)state;
    /* Before the warm-up ends, since it ends with a publish. */
    for (int i = 0; i < 10; i++)
        r = put_rows(c, (uint64_t)i * BATCH, BATCH, AK_RECORD_BATCH, NULL);
    wait_for(c, r.seq, AK_ACK_VISIBLE);
    before = precision(c);
    for (int i = 10; i < BATCHES; i++)
        r = put_rows(c, (uint64_t)i * BATCH, BATCH, AK_RECORD_BATCH, NULL);
    wait_for(c, r.seq, AK_ACK_LEARNED);
    publish(c);
    ak_collection_status(c, &status);
    assert_int_equal(status.items, BATCHES * BATCH);
    assert_int_equal(status.live_samples, BATCHES * BATCH);
    assert_true(status.published >= 1);
    assert_true(status.staleness == 0);
    assert_true(status.live.queries > 0);
    print_message("# P@10 before %.3f, after %.3f; live mAP@100 %.3f\n", before,
                  precision(c), status.live.map_at_r);
    assert_true(precision(c) > before + 0.1);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void a_restart_changes_nothing(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_settings s = settings_of("again", "hmoh");
    struct ak_collection *c = create(e, &s);
    struct ak_writer before, after, later, undisturbed;
    struct ak_receipt r = {0};

    (void)state;
    for (int i = 0; i < 50; i++)
        r = put_rows(c, (uint64_t)i * BATCH, BATCH, AK_RECORD_BATCH, NULL);
    wait_for(c, r.seq, AK_ACK_LEARNED);
    publish(c);
    before = state_of(c);
    ak_collection_drop(c);
    ak_engine_close(e);

    e = open_engine();
    assert_status(ak_engine_get(e, "again", &c, NULL), AK_OK);
    after = state_of(c);
    assert_same_state(&before, &after);
    for (int i = 50; i < 60; i++)
        r = put_rows(c, (uint64_t)i * BATCH, BATCH, AK_RECORD_BATCH, NULL);
    publish(c);
    later = state_of(c);
    ak_collection_drop(c);

    /* The same stream without a restart. */
    s = settings_of("once", "hmoh");
    c = create(e, &s);
    for (int i = 0; i < 60; i++)
        r = put_rows(c, (uint64_t)i * BATCH, BATCH, AK_RECORD_BATCH, NULL);
    publish(c);
    undisturbed = state_of(c);
    assert_same_state(&later, &undisturbed);
    ak_writer_clear(&before);
    ak_writer_clear(&after);
    ak_writer_clear(&later);
    ak_writer_clear(&undisturbed);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void upserts_deletes_and_relabels_are_seen(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_settings s = settings_of("items", "lsh");
    struct ak_collection *c = create(e, &s);
    struct ak_row_id gone[2] = {{.number = 3}, {.number = 99999}};
    struct ak_row_id one = {.number = 5};
    struct ak_bytes label = {"z", 1};
    struct ak_change erase = {
        .kind = AK_RECORD_DELETE, .ids = gone, .n_ids = 2, .now_ms = 1};
    struct ak_change relabel = {.kind = AK_RECORD_RELABEL,
                                .ids = &one,
                                .n_ids = 1,
                                .set_labels = true,
                                .labels = &label,
                                .n_labels = 1,
                                .now_ms = 1};
    struct ak_receipt r;
    struct ak_snapshot *snap;
    const uint32_t *labels;
    uint32_t z;

    (void)state;
    put_rows(c, 0, 10, AK_RECORD_UPSERT, NULL);
    put_rows(c, 7, 1, AK_RECORD_UPSERT, NULL); /* replaces row 7 by row 10 */
    r = submit(c, &erase);
    assert_int_equal(r.accepted, 1);
    assert_int_equal(r.missing, 1);
    r = submit(c, &relabel);
    wait_for(c, r.seq, AK_ACK_VISIBLE);
    snap = ak_collection_snapshot(c);
    assert_int_equal(ak_snapshot_rows(snap), 11);
    assert_int_equal(ak_snapshot_live(snap), 9);
    assert_false(ak_snapshot_alive(snap, 3));
    assert_false(ak_snapshot_alive(snap, 7));
    assert_int_equal(ak_snapshot_id(snap, 10).number, 7);
    assert_true(ak_collection_label_number(c, "z", 1, &z));
    assert_int_equal(ak_snapshot_labels(snap, 5, &labels), 1);
    assert_int_equal(labels[0], z);
    assert_string_equal(ak_collection_label(c, z), "z");
    ak_snapshot_drop(snap);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void a_rollback_serves_the_earlier_codes(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_settings s = settings_of("back", "hmoh");
    struct ak_collection *c = create(e, &s);
    struct ak_change back = {
        .kind = AK_RECORD_ROLLBACK, .version = 0, .now_ms = 1};
    struct ak_writer before, after, forth;
    struct ak_receipt r;

    (void)state;
    r = put_rows(c, 0, 100, AK_RECORD_BATCH, NULL);
    wait_for(c, r.seq, AK_ACK_VISIBLE);
    before = state_of(c); /* version 0 */
    publish(c);
    forth = state_of(c);
    assert_true(before.len != forth.len ||
                memcmp(before.data, forth.data, forth.len) != 0);
    r = submit(c, &back);
    wait_for(c, r.seq, AK_ACK_SERVED);
    after = state_of(c);
    assert_same_state(&before, &after);
    ak_writer_clear(&after);
    back.version = 1;
    r = submit(c, &back);
    wait_for(c, r.seq, AK_ACK_SERVED);
    after = state_of(c);
    assert_same_state(&forth, &after);
    ak_writer_clear(&before);
    ak_writer_clear(&after);
    ak_writer_clear(&forth);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static enum ak_status collect_state(void *arg, const struct ak_version *v,
                                    struct ak_err *err)
{
    enum ak_version_state *states = arg;

    (void)err;
    assert_in_range(v->version, 0, 3);
    states[v->version] = v->state;
    return AK_OK;
}

/* Of two publishes that follow each other soon, the first one's version may never
   be begun.  It must not come after the second one's because of a restart. */
static void a_version_that_gave_way_is_not_served_after_a_restart(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_settings s = settings_of("gaveway", "hmoh");
    struct ak_collection *c = create(e, &s);
    struct ak_version old = {.state = AK_VERSION_ENCODING, .at_seq = 1};
    enum ak_version_state states[4] = {0};
    char *path = strdup(c->path);
    struct ak_writer before, after, model = {0};
    struct ak_snapshot *snap;
    struct ak_store *store;
    struct ak_view *view;
    uint64_t number, served;

    (void)state;
    wait_for(c, put_rows(c, 0, 100, AK_RECORD_BATCH, NULL).seq, AK_ACK_VISIBLE);
    publish(c);
    before = state_of(c);
    snap = ak_collection_snapshot(c);
    assert_status(ak_encoder_save(ak_collection_model(snap), &model, NULL),
                  AK_OK);
    ak_snapshot_drop(snap);
    ak_collection_drop(c);
    ak_engine_close(e);
    assert_status(ak_store_open(path, false, &store, NULL), AK_OK);
    assert_status(ak_store_begin(store, NULL), AK_OK);
    assert_status(ak_store_put_version(store, &old,
                                       (struct ak_bytes){model.data, model.len},
                                       &number, NULL),
                  AK_OK);
    assert_status(ak_store_commit(store, NULL), AK_OK);
    ak_store_close(store);
    assert_int_equal(number, 2);
    e = open_engine();
    assert_status(ak_engine_get(e, "gaveway", &c, NULL), AK_OK);
    after = state_of(c);
    assert_same_state(&before, &after);
    pthread_mutex_lock(&c->lock);
    served = c->reached.seq[AK_ACK_SERVED];
    pthread_mutex_unlock(&c->lock);
    assert_int_equal(served, 2);
    publish(c);
    assert_status(ak_view_open(path, &view, NULL), AK_OK);
    assert_status(ak_view_versions(view, collect_state, states, NULL), AK_OK);
    ak_view_close(view);
    assert_int_equal(states[0], AK_VERSION_RETIRED);
    assert_int_equal(states[1], AK_VERSION_PREVIOUS);
    assert_int_equal(states[2], AK_VERSION_RETIRED);
    assert_int_equal(states[3], AK_VERSION_PUBLISHED);
    ak_writer_clear(&model);
    ak_writer_clear(&before);
    ak_writer_clear(&after);
    free(path);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void put_keyed(struct ak_collection *c)
{
    for (int i = 0; i < KILL_BATCHES; i++) {
        char key[24];

        snprintf(key, sizeof(key), "batch-%04d", i);
        put_rows(c, (uint64_t)i * BATCH, BATCH, AK_RECORD_BATCH, key);
    }
}

static struct ak_settings settings_to_kill(const char *name, const char *kind)
{
    struct ak_settings s = settings_of(name, kind);

    if (strcmp(kind, "fcoh") == 0)
        set_option(&s, "block", 160);
    if (strcmp(kind, "sdoh") == 0) {
        set_option(&s, "block", 240);
        set_option(&s, "iterations", test_stride() > 1 ? 2 : 20);
    }
    return s;
}

/* Kills a child that streams, again and again. */
static void stream_and_kill(const struct ak_settings *s, struct ak_rng *rng,
                            int rounds)
{
    for (int round = 0; round < rounds; round++) {
        pid_t child = fork();

        if (child == 0) {
            struct ak_engine *e = open_engine();

            put_keyed(create(e, s));
            pause();
        }
        assert_true(child > 0);
        usleep((useconds_t)ak_rng_below(rng, 150000) + 5000);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
}

/*
 * A child streams with keys and is killed at a random moment; in the end the
 * model and the codes are those of an undisturbed run, and of core/hash without
 * an engine.
 */
static void kills_change_nothing_of(const char *kind, uint64_t seed, int rounds)
{
    struct ak_settings runs[2];
    struct ak_writer ends[2], offline;
    struct ak_rng rng;
    char name[32];

    ak_rng_init(&rng, seed);
    for (int run = 0; run < 2; run++) {
        snprintf(name, sizeof(name), "%s-%s", run ? "whole" : "killed", kind);
        runs[run] = settings_to_kill(name, kind);
    }
    stream_and_kill(&runs[0], &rng, 1 + (rounds - 1) / (int)test_stride());
    for (int run = 0; run < 2; run++) {
        struct ak_engine *e = open_engine();
        struct ak_collection *c = create(e, &runs[run]);
        struct ak_collection_status status;

        put_keyed(c);
        publish(c);
        ak_collection_status(c, &status);
        assert_int_equal(status.rows, KILL_BATCHES * BATCH);
        assert_int_equal(status.items, KILL_BATCHES * BATCH);
        assert_int_equal(status.live_samples, KILL_BATCHES * BATCH);
        ends[run] = state_of(c);
        ak_collection_drop(c);
        ak_engine_close(e);
    }
    assert_same_state(&ends[0], &ends[1]);
    offline = state_offline(&runs[0], KILL_BATCHES * BATCH, NULL, NULL);
    assert_same_state(&ends[1], &offline);
    ak_writer_clear(&ends[0]);
    ak_writer_clear(&ends[1]);
    ak_writer_clear(&offline);
}

static void kills_change_nothing_of_hmoh(void **state)
{
    (void)state;
    kills_change_nothing_of("hmoh", 11, 4);
}

static void kills_change_nothing_of_hcoh(void **state)
{
    (void)state;
    kills_change_nothing_of("hcoh", 12, 2);
}

static void kills_change_nothing_of_fcoh(void **state)
{
    (void)state;
    kills_change_nothing_of("fcoh", 13, 3);
}

static void kills_change_nothing_of_sdoh(void **state)
{
    (void)state;
    kills_change_nothing_of("sdoh", 14, 3);
}

/* Stored codes are a cache: without them a start encodes the rows, to the same
   codes, and the next record stores them again. */
static void codes_that_are_not_stored_are_made_again(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_settings s = settings_of("cache", "lsh");
    struct ak_collection *c = create(e, &s);
    uint8_t codes[AK_STORE_SEGMENT_ROWS * BITS / 8];
    struct ak_writer before, after;
    struct ak_receipt r = {0};
    struct ak_view *view;
    sqlite3 *db;
    char path[128];

    (void)state;
    for (int i = 0; i < 50; i++)
        r = put_rows(c, (uint64_t)i * BATCH, BATCH, AK_RECORD_UPSERT, NULL);
    wait_for(c, r.seq, AK_ACK_VISIBLE);
    before = state_of(c);
    snprintf(path, sizeof(path), "%s", c->path);
    ak_collection_drop(c);
    ak_engine_close(e);

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM codes", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_changes(db), 1);
    sqlite3_close(db);

    e = open_engine();
    assert_status(ak_engine_get(e, "cache", &c, NULL), AK_OK);
    after = state_of(c);
    assert_same_state(&before, &after);
    r = put_rows(c, 1000000, 1, AK_RECORD_UPSERT, NULL);
    wait_for(c, r.seq, AK_ACK_VISIBLE);
    ak_collection_drop(c);
    ak_engine_close(e);

    assert_status(ak_view_open(path, &view, NULL), AK_OK);
    assert_status(ak_view_codes(view, 0, 0, codes, NULL), AK_OK);
    ak_view_close(view);
    ak_writer_clear(&before);
    ak_writer_clear(&after);
}

static void removed(void *arg, enum ak_status status, const struct ak_err *err)
{
    struct box *b = arg;

    pthread_mutex_lock(&b->lock);
    b->status = status;
    snprintf(b->text, sizeof(b->text), "%s", err->text);
    box_put(b);
}

static void a_deleted_collection_is_gone_for_good(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_settings s = settings_of("brief", "hmoh");
    struct ak_collection *c = create(e, &s), *other = NULL;
    struct box b;

    (void)state;
    put_rows(c, 0, 50, AK_RECORD_BATCH, NULL);
    box_init(&b);
    ak_engine_remove(e, "brief", removed, &b);
    box_wait(&b);
    assert_status(b.status, AK_OK);
    assert_status(ak_engine_get(e, "brief", &other, NULL), AK_ENOTFOUND);
    ak_collection_drop(c);
    c = create(e, &s);
    {
        struct ak_collection_status status;

        ak_collection_status(c, &status);
        assert_int_equal(status.rows, 0);
        assert_int_equal(status.durable_seq, 0);
    }
    ak_collection_drop(c);
    ak_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_learnt_and_served),
        cmocka_unit_test(a_restart_changes_nothing),
        cmocka_unit_test(upserts_deletes_and_relabels_are_seen),
        cmocka_unit_test(a_rollback_serves_the_earlier_codes),
        cmocka_unit_test(a_version_that_gave_way_is_not_served_after_a_restart),
        cmocka_unit_test(kills_change_nothing_of_hmoh),
        cmocka_unit_test(kills_change_nothing_of_hcoh),
        cmocka_unit_test(kills_change_nothing_of_fcoh),
        cmocka_unit_test(kills_change_nothing_of_sdoh),
        cmocka_unit_test(codes_that_are_not_stored_are_made_again),
        cmocka_unit_test(a_deleted_collection_is_gone_for_good),
    };

    return cmocka_run_group_tests_name("engine", tests, make_dir, remove_dir);
}
