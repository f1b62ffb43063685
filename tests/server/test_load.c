/*
 * A start: a collection loaded from packed rows is the one that a walk of its
 * rows loads; what is missing or damaged is walked, and packed again; and
 * changes that go on do not keep the packer busy.
 */
#include "tests/server/jobs_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "core/base/clock.h"
#include "server/log.h"
#include "tests/storage/older.h"

enum {
    SEGMENT = AK_SEGMENT_ROWS,
    ROWS = 2 * SEGMENT + 100,
    RECORD = 1024,
    TEXT = 16
};

/* ---------------------------------------------------------- the collections */

static struct ak_collection *external(struct ak_engine *e, const char *name,
                                      const char *ids)
{
    struct ak_fault why = {0};
    struct ak_settings settings;
    json_t *text =
        json_pack("{s:i, s:{s:s}, s:s, s:{s:s}}", "bits", BITS, "model", "kind",
                  "external", "ids", ids, "labels", "mode", "multi");

    if (ak_settings_parse(name, text, &settings, &why) != AK_OK)
        fail_msg("%s: %s", why.pointer, why.detail);
    json_decref(text);
    return create(e, &settings);
}

/* Rows from .. from + n - 1: codes of their numbers, which are their ids, 0 to 2
   labels each. */
static struct ak_receipt put_codes(struct ak_collection *c, uint64_t from,
                                   size_t n)
{
    static uint32_t codes[RECORD], first[RECORD + 1];
    static struct ak_row_id ids[RECORD];
    static struct ak_bytes labels[2 * RECORD];
    static char text[RECORD][TEXT];
    struct ak_change change = {.kind = AK_RECORD_UPSERT,
                               .rows = {.n = n,
                                        .block = codes,
                                        .ids = ids,
                                        .labels = labels,
                                        .label_first = first},
                               .now_ms = 1};
    uint32_t at = 0;

    assert_true(n <= RECORD);
    for (size_t i = 0; i < n; i++) {
        uint64_t id = from + i;
        int len = snprintf(text[i], TEXT, "%llu", (unsigned long long)id);

        codes[i] = (uint32_t)(id * 2654435761u);
        ids[i] = (struct ak_row_id){
            .number = id, .text = text[i], .len = (size_t)len};
        for (size_t l = 0; l < id % 3; l++)
            labels[at++] = (struct ak_bytes){l == 0 ? "red" : "round", 3};
        first[i + 1] = at;
    }
    return submit(c, &change);
}

static struct ak_receipt put_all_codes(struct ak_collection *c, size_t record)
{
    struct ak_receipt r = {0};

    for (uint64_t at = 0; at < ROWS; at += record)
        r = put_codes(c, at, ROWS - at < record ? (size_t)(ROWS - at) : record);
    wait_for(c, r.seq, AK_ACK_VISIBLE);
    return r;
}

static void delete_ordinal(struct ak_collection *c, uint64_t ordinal)
{
    struct ak_change change = {.kind = AK_RECORD_DELETE,
                               .ordinals = &ordinal,
                               .n_ordinals = 1,
                               .now_ms = 1};

    wait_for(c, submit(c, &change).seq, AK_ACK_VISIBLE);
}

static void relabel(struct ak_collection *c, uint64_t id, const char *label)
{
    char text[TEXT];
    struct ak_row_id row = {.number = id, .text = text};
    struct ak_bytes name = {label, strlen(label)};
    struct ak_change change = {.kind = AK_RECORD_RELABEL,
                               .ids = &row,
                               .n_ids = 1,
                               .set_labels = true,
                               .labels = &name,
                               .n_labels = 1,
                               .now_ms = 1};

    row.len = (size_t)snprintf(text, TEXT, "%llu", (unsigned long long)id);
    wait_for(c, submit(c, &change).seq, AK_ACK_VISIBLE);
}

/* Deletes, replacements and new labels in both full segments. */
static void change_rows(struct ak_collection *c)
{
    for (uint64_t i = 3; i < 2 * SEGMENT; i += 700)
        delete_ordinal(c, i);
    wait_for(c, put_codes(c, 1000, 5).seq, AK_ACK_VISIBLE);
    for (uint64_t i = 11; i < 2 * SEGMENT; i += 900)
        relabel(c, i, "new");
}

/* ------------------------------------------------------------- what is there */

/* All that a snapshot shows; of dead rows no labels, which a start forgets. */
static struct ak_writer digest(struct ak_collection *c, bool memory)
{
    struct ak_snapshot *s = ak_collection_snapshot(c);
    struct ak_writer w = {0};
    uint8_t code[BITS / 8];

    ak_write_u64(&w, ak_snapshot_rows(s));
    ak_write_u64(&w, ak_snapshot_live(s));
    ak_write_u64(&w, ak_snapshot_version(s));
    if (memory)
        ak_write_u64(&w, ak_snapshot_bytes(s));
    for (uint64_t i = 0; i < ak_snapshot_rows(s); i++) {
        struct ak_id id = ak_snapshot_id(s, i);
        const uint32_t *labels;
        bool alive = ak_snapshot_alive(s, i);
        size_t n = alive ? ak_snapshot_labels(s, i, &labels) : 0;

        ak_snapshot_code(s, i, code);
        ak_write_bytes(&w, code, sizeof(code));
        ak_write_u64(&w, id.number);
        ak_write_bytes(&w, id.text, id.len);
        ak_write_u8(&w, alive);
        for (size_t l = 0; l < n; l++) {
            const char *name = ak_collection_label(c, labels[l]);

            ak_write_bytes(&w, name, strlen(name) + 1);
        }
    }
    ak_snapshot_drop(s);
    assert_status(w.status, AK_OK);
    return w;
}

static bool is_packed(struct ak_collection *c, uint64_t segment)
{
    struct ak_packed packed;
    struct ak_view *view;
    enum ak_status status;

    assert_status(ak_view_open(c->path, &view, NULL), AK_OK);
    status = ak_view_packed(view, segment, &packed, NULL);
    ak_view_close(view);
    assert_true(status == AK_OK || status == AK_ENOTFOUND ||
                status == AK_ECORRUPT);
    return status == AK_OK;
}

/* Until both are packed, with the clock at work. */
static void wait_packed(struct ak_engine *e, struct ak_collection *c)
{
    while (!is_packed(c, 0) || !is_packed(c, 1)) {
        usleep(2000);
        ak_engine_tick(e);
    }
}

static struct ak_engine *reopen(struct ak_engine *e, struct ak_collection **c)
{
    struct ak_settings s;

    ak_collection_settings(*c, &s);
    ak_collection_drop(*c);
    ak_engine_close(e);
    e = open_engine();
    assert_status(ak_engine_get(e, s.name, c, NULL), AK_OK);
    return e;
}

/* SQL past the library, between two runs. */
static struct ak_engine *reopen_after(struct ak_engine *e,
                                      struct ak_collection **c, const char *sql)
{
    struct ak_settings s;
    char path[128];
    sqlite3 *db;

    ak_collection_settings(*c, &s);
    snprintf(path, sizeof(path), "%s", (*c)->path);
    ak_collection_drop(*c);
    ak_engine_close(e);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    e = open_engine();
    assert_status(ak_engine_get(e, s.name, c, NULL), AK_OK);
    return e;
}

/* ---------------------------------------------------------------- the tests */

/* The rows in the file are spoilt, so that who reads them finds out. */
static const char spoil_rows[] =
    "UPDATE rows SET labels = NULL, dead = NULL, id = -ordinal - 1"
    " WHERE ordinal < 8192";
static const char spoil_texts[] =
    "UPDATE rows SET labels = NULL, dead = NULL, id = 'x' || ordinal"
    " WHERE ordinal < 8192";

/*
 * In the memory before the stop, from packed rows, from packed rows alone, and
 * by the walk: the same.  `put` makes ROWS rows.
 */
static void loads_alike(struct ak_engine *e, struct ak_collection *c,
                        const char *spoil)
{
    struct ak_writer live, packed, alone, walked;
    char keep[] = "CREATE TABLE kept AS SELECT * FROM rows;";
    char restore[] = OLDER_FINETUNE OLDER_SPACES OLDER_IDENTITY OLDER_PACKED
        "DELETE FROM rows; INSERT INTO rows SELECT * FROM kept;"
        "DROP TABLE kept";
    char sql[512];

    change_rows(c);
    live = digest(c, false);
    /* What was changed is packed at the next start. */
    e = reopen(e, &c);
    wait_packed(e, c);
    e = reopen(e, &c);
    packed = digest(c, false);
    assert_same_state(&live, &packed);
    ak_writer_clear(&packed);
    packed = digest(c, true);
    snprintf(sql, sizeof(sql), "%s%s", keep, spoil);
    e = reopen_after(e, &c, sql);
    alone = digest(c, true);
    assert_same_state(&packed, &alone);
    /* And a file of the former format, which has none. */
    e = reopen_after(e, &c, restore);
    walked = digest(c, true);
    assert_same_state(&packed, &walked);
    wait_packed(e, c);
    ak_collection_drop(c);
    ak_engine_close(e);
    ak_writer_clear(&live);
    ak_writer_clear(&packed);
    ak_writer_clear(&alone);
    ak_writer_clear(&walked);
}

static void packed_rows_load_as_the_walk_does(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_collection *c = external(e, "numbers", "integer");

    (void)state;
    put_all_codes(c, RECORD);
    loads_alike(e, c, spoil_rows);
}

static void packed_texts_load_as_the_walk_does(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_collection *c = external(e, "texts", "string");

    (void)state;
    put_all_codes(c, RECORD);
    loads_alike(e, c, spoil_texts);
}

static void packed_rows_of_a_model_load_as_the_walk_does(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_settings s = settings_of("model", "lsh");
    struct ak_collection *c = create(e, &s);
    struct ak_receipt r = {0};
    struct ak_writer live, packed, walked;

    (void)state;
    for (uint64_t at = 0; at < ROWS; at += RECORD)
        r = put_rows(c, at, ROWS - at < RECORD ? (size_t)(ROWS - at) : RECORD,
                     AK_RECORD_UPSERT, NULL);
    wait_for(c, r.seq, AK_ACK_VISIBLE);
    wait_packed(e, c);
    live = digest(c, false);
    e = reopen_after(e, &c, spoil_rows);
    packed = digest(c, false);
    assert_same_state(&live, &packed);
    ak_writer_clear(&packed);
    packed = digest(c, true);
    e = reopen_after(e, &c,
                     "DELETE FROM packed;"
                     "UPDATE rows SET id = ordinal WHERE ordinal < 8192;"
                     "UPDATE rows SET labels = (SELECT labels FROM rows AS r"
                     " WHERE r.ordinal = 8192 + rows.ordinal % 4)"
                     " WHERE ordinal < 8192");
    walked = digest(c, true);
    assert_same_state(&packed, &walked);
    ak_collection_drop(c);
    ak_engine_close(e);
    ak_writer_clear(&live);
    ak_writer_clear(&packed);
    ak_writer_clear(&walked);
}

/* What is logged from here on goes to a file; the end gives it back. */
static int log_to_file(const char *path)
{
    int kept = dup(2), fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    assert_true(kept >= 0 && fd >= 0);
    assert_true(dup2(fd, 2) == 2);
    close(fd);
    ak_log_set_level(AK_LOG_WARN);
    return kept;
}

static size_t lines_with(const char *path, const char *text)
{
    FILE *file = fopen(path, "re");
    char line[1024];
    size_t n = 0;

    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        n += strstr(line, text) != NULL;
    fclose(file);
    return n;
}

static void damaged_packed_rows_are_walked_and_packed_again(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_collection *c = external(e, "damaged", "integer");
    struct ak_writer before, after;
    char path[128];
    int kept;

    (void)state;
    snprintf(path, sizeof(path), "%s/log", fixture_dir);
    put_all_codes(c, RECORD);
    wait_packed(e, c);
    before = digest(c, false);
    kept = log_to_file(path);
    e = reopen_after(e, &c,
                     "UPDATE packed SET data = zeroblob(length(data))"
                     " WHERE segment = 1");
    after = digest(c, false);
    assert_true(dup2(kept, 2) == 2);
    close(kept);
    ak_log_set_level(AK_LOG_ERROR);
    assert_same_state(&before, &after);
    assert_int_equal(lines_with(path, "packed rows cannot be used"), 1);
    assert_int_equal(lines_with(path, "segment=1"), 1);
    wait_packed(e, c);
    ak_collection_drop(c);
    ak_engine_close(e);
    ak_writer_clear(&before);
    ak_writer_clear(&after);
}

static void a_change_unpacks_until_it_is_quiet(void **state)
{
    enum { CHANGES = 40 };
    struct ak_engine *e = open_engine();
    struct ak_collection *c = external(e, "quiet", "integer");

    (void)state;
    put_all_codes(c, RECORD);
    wait_packed(e, c);
    for (uint64_t i = 0; i < CHANGES; i++) {
        if (i % 2 == 0)
            delete_ordinal(c, i);
        else
            relabel(c, i, "new");
        ak_engine_tick(e);
        /* A minute has not gone by: nobody packs it between two of them. */
        assert_false(is_packed(c, 0));
    }
    assert_true(is_packed(c, 1));
    ak_engine_close(e);
    assert_int_equal(c->indexer.packer.n_again, 0);
    ak_collection_drop(c);
    /* A start packs it, and now a minute is soon over. */
    e = open_engine();
    assert_status(ak_engine_get(e, "quiet", &c, NULL), AK_OK);
    wait_packed(e, c);
    c->indexer.packer.quiet_ns = 1;
    delete_ordinal(c, 100);
    delete_ordinal(c, SEGMENT);
    wait_packed(e, c);
    ak_collection_drop(c);
    ak_engine_close(e);
}

/* However often rows of however many segments change. */
static void packing_again_takes_little_time(void **state)
{
    enum { CHANGES = 60 };
    struct ak_engine *e = open_engine();
    struct ak_collection *c = external(e, "often", "integer");
    uint64_t start, most;

    (void)state;
    put_all_codes(c, RECORD);
    wait_packed(e, c);
    e = reopen(e, &c);
    c->indexer.packer.quiet_ns = 1;
    start = ak_clock_ns();
    for (uint64_t i = 0; i < CHANGES; i++) {
        delete_ordinal(c, i % 2 * SEGMENT + i);
        ak_engine_tick(e);
    }
    wait_packed(e, c);
    ak_engine_close(e);
    /* One in a tenth of a second, and the first. */
    most = (ak_clock_ns() - start) / 100000000 + 1;
    assert_in_range(c->indexer.packer.n_again, 1, most);
    ak_collection_drop(c);
}

/* Keeps the writer waiting in its answer, until it is told to go on. */
struct held {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool reached, go_on;
    uint64_t seq;
};

static void hold_writer(struct ak_submission *s, enum ak_status status,
                        const struct ak_receipt *receipt,
                        const struct ak_err *err)
{
    struct held *h = s->arg;

    (void)err;
    assert_status(status, AK_OK);
    pthread_mutex_lock(&h->lock);
    h->seq = receipt->seq;
    h->reached = true;
    pthread_cond_signal(&h->changed);
    while (!h->go_on)
        pthread_cond_wait(&h->changed, &h->lock);
    pthread_mutex_unlock(&h->lock);
}

static enum ak_status do_nothing(struct ak_job *job, struct ak_store *store,
                                 struct ak_err *err)
{
    (void)job;
    (void)store;
    (void)err;
    return AK_OK;
}

static void nothing_done(struct ak_job *job, enum ak_status status,
                         const struct ak_err *err)
{
    (void)job;
    (void)status;
    (void)err;
}

static void nothing_is_packed_while_much_waits_to_be_written(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_collection *c = external(e, "busy", "integer");
    const uint64_t ordinal = 5;
    struct held held = {.lock = PTHREAD_MUTEX_INITIALIZER,
                        .changed = PTHREAD_COND_INITIALIZER};
    struct ak_submission deletion = {.change = {.kind = AK_RECORD_DELETE,
                                                .ordinals = &ordinal,
                                                .n_ordinals = 1,
                                                .now_ms = 1},
                                     .done = hold_writer,
                                     .arg = &held};
    struct ak_job waiting = {
        .apply = do_nothing, .done = nothing_done, .bytes = 2 << 20};
    struct ak_lane_load load;
    uint64_t start, wake;

    (void)state;
    put_all_codes(c, RECORD);
    wait_packed(e, c);
    c->indexer.packer.quiet_ns = 1;
    ak_collection_submit(c, &deletion);
    pthread_mutex_lock(&held.lock);
    while (!held.reached)
        pthread_cond_wait(&held.changed, &held.lock);
    pthread_mutex_unlock(&held.lock);
    ak_writer_push(e->writer, &c->lane, &waiting);
    start = ak_clock_ns();
    ak_actor_wake(&c->indexer.actor);
    wait_for(c, held.seq, AK_ACK_VISIBLE);
    /* The segment is due, and put off. */
    do {
        usleep(100);
        wake = atomic_load(&c->indexer.packer.wake_ns);
    } while (wake < start + 50000000);
    assert_true(wake != UINT64_MAX);
    ak_lane_load(e->writer, &c->lane, &load);
    assert_int_equal(load.n, 1);
    assert_int_equal(load.bytes, 2 << 20);
    pthread_mutex_lock(&held.lock);
    held.go_on = true;
    pthread_cond_signal(&held.changed);
    pthread_mutex_unlock(&held.lock);
    wait_packed(e, c);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void verify_finds_damaged_packed_rows(void **state)
{
    struct ak_engine *e = fixture_open(NULL);
    struct ak_collection *c = external(e, "verified", "integer");
    sqlite3 *db;
    uint64_t job;
    char *text;

    (void)state;
    put_all_codes(c, RECORD);
    while (!is_packed(c, 0) || !is_packed(c, 1))
        usleep(2000);
    job = fixture_start(e, "verify", "verified", NULL, NULL, NULL);
    fixture_wait_state(e, job, AK_RUN_SUCCEEDED);
    assert_int_equal(sqlite3_open(c->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "UPDATE packed SET crc = 1"
                                  " WHERE segment = 1",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    job = fixture_start(e, "verify", "verified", NULL, NULL, NULL);
    fixture_wait_state(e, job, AK_RUN_FAILED);
    text = fixture_member(e, job, "error");
    assert_non_null(strstr(text, "1 parts are damaged"));
    free(text);
    ak_collection_drop(c);
    fixture_close(e);
}

static bool has_codes(struct ak_collection *c, uint64_t segment)
{
    uint8_t codes[SEGMENT * BITS / 8];
    struct ak_view *view;
    enum ak_status status;

    assert_status(ak_view_open(c->path, &view, NULL), AK_OK);
    status = ak_view_codes(view, 0, segment, codes, NULL);
    ak_view_close(view);
    return status == AK_OK;
}

/* Long records: their blocks are read, and nothing is stored twice. */
static void codes_of_short_records_are_stored_together(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_collection *c = external(e, "long", "integer");
    struct ak_writer before, after;

    (void)state;
    put_all_codes(c, RECORD);
    wait_packed(e, c);
    ak_collection_drop(c);
    ak_engine_close(e); /* what was asked to be stored is */
    e = open_engine();
    assert_status(ak_engine_get(e, "long", &c, NULL), AK_OK);
    assert_false(has_codes(c, 0));
    ak_collection_drop(c);

    c = external(e, "short", "integer");
    put_all_codes(c, 100);
    wait_packed(e, c);
    before = digest(c, false);
    e = reopen_after(e, &c,
                     "UPDATE blocks SET crc = 0 WHERE first < 8192 - 100");
    assert_true(has_codes(c, 0));
    assert_true(has_codes(c, 1));
    after = digest(c, false);
    assert_same_state(&before, &after);
    ak_writer_clear(&before);
    ak_writer_clear(&after);
    ak_collection_drop(c);
    ak_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_rows_load_as_the_walk_does),
        cmocka_unit_test(packed_texts_load_as_the_walk_does),
        cmocka_unit_test(packed_rows_of_a_model_load_as_the_walk_does),
        cmocka_unit_test(damaged_packed_rows_are_walked_and_packed_again),
        cmocka_unit_test(a_change_unpacks_until_it_is_quiet),
        cmocka_unit_test(packing_again_takes_little_time),
        cmocka_unit_test(nothing_is_packed_while_much_waits_to_be_written),
        cmocka_unit_test(verify_finds_damaged_packed_rows),
        cmocka_unit_test(codes_of_short_records_are_stored_together),
    };

    return cmocka_run_group_tests_name("load", tests, make_dir, remove_dir);
}
