#include "tests/storage/fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SEGMENT_BYTES (AK_STORE_SEGMENT_ROWS * CODE_BYTES)
#define DAY_MS        (24 * INT64_C(3600) * 1000)

static void begin(struct fixture *f)
{
    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
}

static void commit(struct fixture *f)
{
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
}

static uint64_t put_version(struct fixture *f, uint64_t at_seq,
                            const char *model)
{
    struct ak_version version = {
        .version = 99, /* the store gives the number */
        .state = AK_VERSION_PUBLISHED,
        .at_seq = at_seq,
        .samples = at_seq * 10,
        .created_ms = 5,
        .served_quality = NAN,
    };
    uint64_t number = 77;

    begin(f);
    assert_status(ak_store_put_version(f->store, &version, bytes_of(model),
                                       &number, &f->err),
                  AK_OK);
    commit(f);
    return number;
}

static enum ak_status put_codes(struct fixture *f, uint64_t version,
                                uint64_t segment, uint8_t fill)
{
    static uint8_t codes[SEGMENT_BYTES];
    enum ak_status status;

    memset(codes, fill, sizeof(codes));
    begin(f);
    status =
        ak_store_put_codes(f->store, version, segment,
                           (struct ak_bytes){codes, sizeof(codes)}, &f->err);
    commit(f);
    return status;
}

static enum ak_status flip(struct fixture *f, uint64_t version, double quality)
{
    enum ak_status status;

    begin(f);
    status = ak_store_flip(f->store, version, quality, &f->err);
    commit(f);
    return status;
}

static enum ak_status drop(struct fixture *f, uint64_t version)
{
    enum ak_status status;

    begin(f);
    status = ak_store_drop_version(f->store, version, &f->err);
    commit(f);
    return status;
}

struct versions {
    struct ak_version all[8];
    size_t n, stop_at;
};

static enum ak_status collect(void *arg, const struct ak_version *version,
                              struct ak_err *err)
{
    struct versions *versions = arg;

    (void)err;
    versions->all[versions->n++] = *version;
    return versions->n == versions->stop_at ? AK_ECANCELED : AK_OK;
}

static void assert_states(struct fixture *f, const char *expected)
{
    static const char letters[] = "?epvr"; /* encoding published preVious ... */
    struct versions versions = {0};
    char found[9] = {0};

    assert_status(ak_view_versions(f->view, collect, &versions, &f->err),
                  AK_OK);
    for (size_t i = 0; i < versions.n; i++) {
        assert_int_equal(versions.all[i].version, i);
        found[i] = letters[versions.all[i].state];
    }
    assert_string_equal(found, expected);
}

static uint64_t published(struct fixture *f)
{
    struct ak_store_info info;

    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    return info.published;
}

static bool has_codes(struct fixture *f, uint64_t version, uint8_t fill)
{
    static uint8_t codes[SEGMENT_BYTES], expected[SEGMENT_BYTES];
    enum ak_status status = ak_view_codes(f->view, version, 0, codes, &f->err);

    if (status != AK_OK) {
        assert_status(status, AK_ENOTFOUND);
        return false;
    }
    memset(expected, fill, sizeof(expected));
    assert_memory_equal(codes, expected, sizeof(codes));
    return true;
}

static void a_version_is_frozen_with_its_model(void **state)
{
    struct versions versions = {0};
    struct fixture *f = *state;
    struct ak_bytes model;

    assert_int_equal(put_version(f, 0, "lsh"), 0);
    assert_int_equal(put_version(f, 12, "hmoh model"), 1);
    assert_states(f, "ee");
    assert_status(ak_view_versions(f->view, collect, &versions, &f->err),
                  AK_OK);
    assert_int_equal(versions.all[1].at_seq, 12);
    assert_int_equal(versions.all[1].samples, 120);
    assert_int_equal(versions.all[1].created_ms, 5);
    assert_int_equal(versions.all[1].model_len, 10);
    assert_true(isnan(versions.all[1].served_quality));
    assert_status(ak_view_model(f->view, 1, &model, &f->err), AK_OK);
    assert_true(same_text(model, "hmoh model"));
    assert_status(ak_view_model(f->view, 2, &model, &f->err), AK_ENOTFOUND);
    assert_status(ak_view_model(f->view, UINT64_MAX, &model, &f->err),
                  AK_ENOTFOUND);
    versions = (struct versions){.stop_at = 1};
    assert_status(ak_view_versions(f->view, collect, &versions, &f->err),
                  AK_OK);
    assert_int_equal(versions.n, 1);
}

/* A replay freezes at the same record once more. */
static void freezing_twice_at_one_record_is_once(void **state)
{
    struct fixture *f = *state;
    struct ak_bytes model;

    put_version(f, 0, "lsh");
    assert_int_equal(put_version(f, 12, "first"), 1);
    assert_int_equal(put_version(f, 12, "second"), 1);
    assert_status(ak_view_model(f->view, 1, &model, &f->err), AK_OK);
    assert_true(same_text(model, "first"));
    assert_int_equal(put_version(f, 13, "third"), 2);
    assert_int_equal(put_version(f, 0, "again"), 0);
    assert_states(f, "eee");
}

static void a_flip_moves_all_versions_on(void **state)
{
    struct versions versions = {0};
    struct fixture *f = *state;

    for (uint64_t v = 0; v < 3; v++) {
        assert_int_equal(put_version(f, v * 10, "m"), v);
        assert_status(put_codes(f, v, 0, (uint8_t)v), AK_OK);
    }
    assert_int_equal(published(f), 0);
    assert_status(flip(f, 0, NAN), AK_OK);
    assert_states(f, "pee");
    assert_status(flip(f, 1, 0.25), AK_OK);
    assert_states(f, "vpe");
    assert_int_equal(published(f), 1);
    assert_true(has_codes(f, 0, 0));
    assert_status(flip(f, 2, 0.5), AK_OK);
    assert_states(f, "rvp");
    assert_int_equal(published(f), 2);
    assert_false(has_codes(f, 0, 0)); /* its codes went */
    assert_true(has_codes(f, 1, 1));
    assert_true(has_codes(f, 2, 2));
    assert_status(ak_view_versions(f->view, collect, &versions, &f->err),
                  AK_OK);
    assert_true(versions.all[0].served_quality == 0.25);
    assert_true(versions.all[1].served_quality == 0.5);
    assert_true(isnan(versions.all[2].served_quality));
    assert_status(flip(f, 2, 0.75), AK_OK); /* a no-op */
    assert_states(f, "rvp");
    assert_status(flip(f, 3, 0), AK_ENOTFOUND);
    assert_states(f, "rvp");
}

/* Two publishes may follow each other so soon that the first is never begun. */
static void a_flip_retires_what_waits_behind_it(void **state)
{
    struct fixture *f = *state;
    struct ak_bytes model;

    for (uint64_t v = 0; v < 5; v++)
        put_version(f, v * 10, "m");
    assert_status(put_codes(f, 1, 0, 1), AK_OK); /* begun, before a stop */
    assert_status(put_codes(f, 4, 0, 4), AK_OK);
    assert_status(flip(f, 0, NAN), AK_OK);
    assert_states(f, "peeee");
    assert_status(flip(f, 3, NAN), AK_OK);
    assert_states(f, "vrrpe");
    assert_false(has_codes(f, 1, 1));
    assert_true(has_codes(f, 4, 4));
    assert_status(ak_view_model(f->view, 2, &model, &f->err), AK_OK);
    assert_status(flip(f, 0, NAN), AK_OK); /* back: 4 is newer */
    assert_states(f, "prrve");
}

static void a_flip_back_keeps_both(void **state)
{
    struct fixture *f = *state;
    struct ak_bytes model;

    for (uint64_t v = 0; v < 3; v++) {
        put_version(f, v * 10, v == 0 ? "zero" : "m");
        assert_status(put_codes(f, v, 0, (uint8_t)v), AK_OK);
        assert_status(flip(f, v, 0), AK_OK);
    }
    assert_status(flip(f, 1, 0.1), AK_OK);
    assert_states(f, "rpv");
    assert_int_equal(published(f), 1);
    assert_true(has_codes(f, 1, 1));
    assert_true(has_codes(f, 2, 2));
    /* To one of which only the model is kept: encode again, then flip. */
    assert_status(ak_view_model(f->view, 0, &model, &f->err), AK_OK);
    assert_true(same_text(model, "zero"));
    assert_status(put_codes(f, 0, 0, 9), AK_OK);
    assert_status(flip(f, 0, 0.1), AK_OK);
    assert_states(f, "pvr");
    assert_true(has_codes(f, 0, 9));
    assert_false(has_codes(f, 2, 2));
}

static void a_version_that_will_not_be_is_dropped(void **state)
{
    struct fixture *f = *state;

    for (uint64_t v = 0; v < 4; v++) {
        put_version(f, v * 10, "m");
        assert_status(put_codes(f, v, 0, (uint8_t)v), AK_OK);
        if (v < 3)
            assert_status(flip(f, v, 0), AK_OK);
    }
    assert_states(f, "rvpe");
    assert_status(drop(f, 3), AK_OK);
    assert_states(f, "rvpr");
    assert_false(has_codes(f, 3, 3));
    assert_status(drop(f, 2), AK_EINVAL);
    assert_string_equal(f->err.text, "version 2 is published, only one that "
                                     "does not serve can be dropped");
    assert_status(drop(f, 1), AK_EINVAL);
    assert_status(drop(f, 9), AK_ENOTFOUND);
    assert_states(f, "rvpr");
    assert_status(put_codes(f, 0, 0, 7), AK_OK);
    assert_status(drop(f, 0), AK_OK);
    assert_false(has_codes(f, 0, 7));
}

static void codes_are_whole_segments(void **state)
{
    static uint8_t codes[SEGMENT_BYTES];
    struct fixture *f = *state;

    put_version(f, 0, "m");
    begin(f);
    assert_status(ak_store_put_codes(f->store, 0, 0,
                                     (struct ak_bytes){codes, 100}, &f->err),
                  AK_EINVAL);
    assert_string_equal(f->err.text,
                        "codes of a segment have 100 bytes, must be 16384");
    commit(f);
    assert_status(put_codes(f, 5, 0, 1), AK_ENOTFOUND);
    assert_status(put_codes(f, 0, 0, 1), AK_OK);
    assert_status(put_codes(f, 0, 0, 2), AK_OK);
    assert_true(has_codes(f, 0, 2));
    assert_status(ak_view_codes(f->view, 0, 1, codes, &f->err), AK_ENOTFOUND);
    assert_status(ak_view_codes(f->view, 0, UINT64_MAX, codes, &f->err),
                  AK_ENOTFOUND);
}

/* They may have been made before, and be stored after. */
static void codes_of_erased_rows_are_zeroes(void **state)
{
    struct fixture *f = *state;
    const struct ak_row_id five = {.number = 5}, six = {.number = 6};
    struct ak_change change = {
        .kind = AK_RECORD_DELETE, .ids = &five, .n_ids = 1, .erase = true};
    struct ak_receipt receipt;
    uint8_t out[SEGMENT_BYTES], expected[SEGMENT_BYTES];
    uint64_t n;

    put_rows(f, 10, NULL, 0);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    begin(f);
    assert_status(ak_store_erase(f->store, INT64_MAX, &n, &f->err), AK_OK);
    commit(f);
    assert_int_equal(n, 1);
    change.ids = &six; /* noted, and not erased yet */
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    put_version(f, 0, "a model");
    assert_status(put_codes(f, 0, 0, 7), AK_OK);
    memset(expected, 7, sizeof(expected));
    memset(expected + 5 * CODE_BYTES, 0, CODE_BYTES);
    assert_status(ak_view_codes(f->view, 0, 0, out, &f->err), AK_OK);
    assert_memory_equal(out, expected, sizeof(out));
    begin(f);
    assert_status(ak_store_erase(f->store, INT64_MAX, &n, &f->err), AK_OK);
    commit(f);
    memset(expected + 6 * CODE_BYTES, 0, CODE_BYTES);
    assert_status(ak_view_codes(f->view, 0, 0, out, &f->err), AK_OK);
    assert_memory_equal(out, expected, sizeof(out));
}

static void broken_codes_and_models_are_told_apart(void **state)
{
    static uint8_t codes[SEGMENT_BYTES];
    struct fixture *f = *state;
    struct ak_bytes model;

    put_version(f, 0, "model");
    put_version(f, 1, "other");
    assert_status(put_codes(f, 0, 0, 1), AK_OK);
    assert_status(put_codes(f, 0, 1, 1), AK_OK);
    damage(f, "UPDATE codes SET data = CAST(x'55' || substr(data, 2) AS BLOB)"
              " WHERE segment = 0");
    damage(f, "UPDATE models SET data = CAST('modem' AS BLOB)"
              " WHERE version = 0");
    open_all(f);
    assert_status(ak_view_codes(f->view, 0, 0, codes, &f->err), AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "codes of segment 0 has checksum"));
    assert_status(ak_view_codes(f->view, 0, 1, codes, &f->err), AK_OK);
    assert_status(ak_view_model(f->view, 0, &model, &f->err), AK_ECORRUPT);
    assert_status(ak_view_model(f->view, 1, &model, &f->err), AK_OK);
    damage(f, "UPDATE codes SET data = x'0102' WHERE segment = 0");
    damage(f, "UPDATE versions SET state = 9 WHERE version = 0");
    open_all(f);
    assert_status(ak_view_codes(f->view, 0, 0, codes, &f->err), AK_ECORRUPT);
    assert_string_equal(f->err.text, "1.db: codes of segment 0 have 2 bytes, "
                                     "must be 16384");
    begin(f);
    assert_status(ak_store_flip(f->store, 0, 0, &f->err), AK_ECORRUPT);
    ak_store_rollback(f->store);
}

/* -------------------------------------------------------------- checkpoints */

static void put_checkpoint(struct fixture *f, uint64_t seq,
                           const char *constants, const char *learnt)
{
    struct ak_checkpoint checkpoint = {
        .learned_seq = seq,
        .state = bytes_of(learnt),
        .fingerprint = "openblas 0.3.21 haswell",
    };

    if (constants != NULL)
        checkpoint.constants = bytes_of(constants);
    begin(f);
    assert_status(ak_store_put_checkpoint(f->store, &checkpoint, &f->err),
                  AK_OK);
    commit(f);
}

static void a_checkpoint_replaces_the_one_before(void **state)
{
    struct ak_checkpoint checkpoint;
    struct fixture *f = *state;

    assert_status(ak_view_checkpoint(f->view, &checkpoint, &f->err),
                  AK_ENOTFOUND);
    put_checkpoint(f, 3, NULL, "s3");
    assert_status(ak_view_checkpoint(f->view, &checkpoint, &f->err), AK_OK);
    assert_null(checkpoint.constants.data);
    put_checkpoint(f, 4, "anchors", "s4");
    put_checkpoint(f, 9, NULL, "state at nine");
    for (int round = 0; round < 2; round++) {
        assert_status(ak_view_checkpoint(f->view, &checkpoint, &f->err), AK_OK);
        assert_int_equal(checkpoint.learned_seq, 9);
        assert_true(same_text(checkpoint.state, "state at nine"));
        assert_true(same_text(checkpoint.constants, "anchors"));
        assert_string_equal(checkpoint.fingerprint, "openblas 0.3.21 haswell");
        close_all(f);
        open_all(f);
    }
}

static void a_broken_checkpoint_is_told_apart(void **state)
{
    static const char *const harm[] = {
        "UPDATE checkpoint SET state = CAST('tate' AS BLOB)",
        "UPDATE constants SET crc = crc + 1",
        "UPDATE checkpoint SET fingerprint = hex(zeroblob(100))",
    };
    struct ak_checkpoint checkpoint;
    struct fixture *f = *state;

    for (size_t i = 0; i < 3; i++) {
        put_checkpoint(f, 4, "anchors", "state");
        assert_status(ak_view_checkpoint(f->view, &checkpoint, &f->err), AK_OK);
        damage(f, harm[i]);
        open_all(f);
        assert_status(ak_view_checkpoint(f->view, &checkpoint, &f->err),
                      AK_ECORRUPT);
    }
}

/* ----------------------------------------------------------------- outcomes */

static void an_outcome_belongs_to_a_record(void **state)
{
    struct fixture *f = *state;
    struct ak_bytes outcome;

    put_rows(f, 1, NULL, 0);
    begin(f);
    assert_status(
        ak_store_put_outcome(f->store, 1, bytes_of("{\"loss\":1}"), &f->err),
        AK_OK);
    assert_status(ak_store_put_outcome(f->store, 2, bytes_of("{}"), &f->err),
                  AK_ENOTFOUND);
    commit(f);
    assert_status(ak_view_outcome(f->view, 1, &outcome, &f->err), AK_OK);
    assert_true(same_text(outcome, "{\"loss\":1}"));
    assert_status(ak_view_outcome(f->view, 2, &outcome, &f->err), AK_ENOTFOUND);
    assert_status(ak_view_outcome(f->view, UINT64_MAX, &outcome, &f->err),
                  AK_ENOTFOUND);
    begin(f);
    assert_status(ak_store_put_outcome(f->store, 1, bytes_of("new"), &f->err),
                  AK_OK);
    commit(f);
    assert_status(ak_view_outcome(f->view, 1, &outcome, &f->err), AK_OK);
    assert_true(same_text(outcome, "new"));
}

static void outcomes_are_kept_seven_days(void **state)
{
    struct ak_change change = {.kind = AK_RECORD_FLUSH};
    struct fixture *f = *state;
    struct ak_receipt receipt;
    struct ak_bytes outcome;

    for (uint64_t day = 1; day <= 10; day++) {
        change.now_ms = (int64_t)day * DAY_MS;
        assert_status(apply_alone(f, &change, &receipt), AK_OK);
        begin(f);
        assert_status(
            ak_store_put_outcome(f->store, day, bytes_of("{}"), &f->err),
            AK_OK);
        commit(f);
    }
    begin(f);
    assert_status(ak_store_tidy(f->store, 10 * DAY_MS, &f->err), AK_OK);
    commit(f);
    for (uint64_t day = 1; day <= 10; day++)
        assert_status(ak_view_outcome(f->view, day, &outcome, &f->err),
                      day <= 3 ? AK_ENOTFOUND : AK_OK);
}

static void outcomes_beyond_a_hundred_thousand_go(void **state)
{
    struct fixture *f = *state;
    struct ak_bytes outcome;

    damage(f, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
              " WHERE i < 100003)"
              " INSERT INTO outcomes SELECT i, 0, '' FROM n");
    open_all(f);
    begin(f);
    assert_status(ak_store_tidy(f->store, 0, &f->err), AK_OK);
    commit(f);
    assert_status(ak_view_outcome(f->view, 3, &outcome, &f->err), AK_ENOTFOUND);
    assert_status(ak_view_outcome(f->view, 4, &outcome, &f->err), AK_OK);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_fixture, remove_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_version_is_frozen_with_its_model),
        TEST(freezing_twice_at_one_record_is_once),
        TEST(a_flip_moves_all_versions_on),
        TEST(a_flip_retires_what_waits_behind_it),
        TEST(a_flip_back_keeps_both),
        TEST(a_version_that_will_not_be_is_dropped),
        TEST(codes_are_whole_segments),
        TEST(codes_of_erased_rows_are_zeroes),
        TEST(broken_codes_and_models_are_told_apart),
        TEST(a_checkpoint_replaces_the_one_before),
        TEST(a_broken_checkpoint_is_told_apart),
        TEST(an_outcome_belongs_to_a_record),
        TEST(outcomes_are_kept_seven_days),
        TEST(outcomes_beyond_a_hundred_thousand_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
