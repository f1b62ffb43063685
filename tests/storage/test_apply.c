#include "tests/storage/fixture.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"

static struct ak_row_id number(uint64_t n)
{
    return (struct ak_row_id){.number = n};
}

static struct ak_row_id text(const char *t)
{
    return (struct ak_row_id){.text = t, .len = strlen(t)};
}

static void assert_id(const struct ak_row *row, const char *expected)
{
    assert_int_equal(row->id.len, strlen(expected));
    assert_memory_equal(row->id.text, expected, row->id.len);
}

static void assert_labels(const uint32_t *found, size_t n, const char *expected)
{
    char buffer[128];
    size_t len = 0;

    buffer[0] = '\0';
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(buffer + len, sizeof(buffer) - len, "%s%u",
                                i > 0 ? " " : "", (unsigned)found[i]);
    assert_string_equal(buffer, expected);
}

static struct ak_store_info info_of(struct fixture *f)
{
    struct ak_store_info info;

    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    return info;
}

static struct ak_record record_after(struct fixture *f, uint64_t seq)
{
    struct ak_record record;

    assert_status(ak_view_record(f->view, seq, &record, &f->err), AK_OK);
    assert_int_equal(record.seq, seq + 1);
    return record;
}

static struct ak_row row_of(struct fixture *f, struct ak_row_id id)
{
    struct ak_row row;

    assert_status(ak_view_find(f->view, &id, &row, &f->err), AK_OK);
    return row;
}

static bool is_there(struct fixture *f, struct ak_row_id id)
{
    struct ak_row row;
    enum ak_status status = ak_view_find(f->view, &id, &row, &f->err);

    if (status != AK_OK)
        assert_status(status, AK_ENOTFOUND);
    return status == AK_OK;
}

/* -------------------------------------------------------------------- rows */

/* Three rows with labels, payloads and an image: all that a row can have. */
static struct ak_receipt put_full(struct fixture *f)
{
    static uint8_t block[3 * ROW_BYTES];
    static const struct ak_bytes labels[] = {
        {"boot", 4}, {"coat", 4}, {"boot", 4}, {"", 0}};
    static const uint32_t first[] = {0, 2, 2, 4};
    static const struct ak_bytes payloads[] = {
        {"{\"a\":1}", 7}, {NULL, 0}, {"", 0}};
    static const struct ak_bytes images[] = {
        {NULL, 0}, {"\xff\xd8\0jpeg", 7}, {NULL, 0}};
    static const struct ak_row_id ids[] = {
        {.number = 17}, {.number = 0}, {.number = AK_STORE_MAX_ID}};
    struct ak_change change = {
        .kind = AK_RECORD_BATCH,
        .rows = {.n = 3,
                 .block = block,
                 .ids = ids,
                 .labels = labels,
                 .label_first = first,
                 .payloads = payloads,
                 .images = images},
        .now_ms = 1234,
    };
    struct ak_receipt receipt = {0};

    fill_block(block, 3, 500);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    return receipt;
}

static void a_batch_is_kept_as_it_came(void **state)
{
    struct fixture *f = *state;
    struct ak_receipt receipt = put_full(f);
    struct ak_record record;
    struct ak_bytes bytes;
    struct ak_row row;

    assert_int_equal(receipt.seq, 1);
    assert_int_equal(receipt.first_ordinal, 0);
    assert_int_equal(receipt.first_id, 17);
    assert_int_equal(receipt.accepted, 3);
    assert_int_equal(receipt.missing, 0);
    assert_false(receipt.replayed);
    for (int round = 0; round < 2; round++) {
        record = record_after(f, 0);
        assert_int_equal(record.kind, AK_RECORD_BATCH);
        assert_int_equal(record.time_ms, 1234);
        assert_int_equal(record.first_ordinal, 0);
        assert_int_equal(record.n, 3);
        assert_int_equal(record.n_ordinals, 0);
        assert_int_equal(record.cause, 0);
        assert_labels(record.label_first, 4, "0 2 2 4");
        assert_labels(record.labels, 4, "0 1 0 2");

        row = row_of(f, number(17));
        assert_int_equal(row.ordinal, 0);
        assert_int_equal(row.id.number, 17);
        assert_int_equal(row.seq, 1);
        assert_int_equal(row.dead, 0);
        assert_labels(row.labels, row.n_labels, "0 1");
        assert_true(same_text(row.payload, "{\"a\":1}"));
        row = row_of(f, number(0));
        assert_int_equal(row.n_labels, 0);
        assert_null(row.payload.data);
        row = row_of(f, number(AK_STORE_MAX_ID));
        assert_int_equal(row.ordinal, 2);
        assert_labels(row.labels, row.n_labels, "0 2");
        assert_true(same_text(row.payload, "")); /* empty is not absent */

        assert_status(ak_view_image(f->view, 1, &bytes, &f->err), AK_OK);
        assert_int_equal(bytes.len, 7);
        assert_memory_equal(bytes.data, "\xff\xd8\0jpeg", 7);
        assert_status(ak_view_image(f->view, 0, &bytes, &f->err), AK_ENOTFOUND);
        assert_block(f->view, 0, 3, 500);
        assert_int_equal(info_of(f).live_rows, 3);
        assert_int_equal(info_of(f).n_labels, 3);
        close_all(f);
        open_all(f);
    }
}

static void labels_are_numbered_as_they_appear(void **state)
{
    static const char *const names[] = {"boot", "coat", ""};
    struct fixture *f = *state;
    struct ak_bytes name;
    uint32_t found;

    put_full(f);
    for (uint32_t i = 0; i < 3; i++) {
        assert_status(ak_view_label(f->view, i, &name, &f->err), AK_OK);
        assert_true(same_text(name, names[i]));
        assert_status(
            ak_view_label_number(f->view, bytes_of(names[i]), &found, &f->err),
            AK_OK);
        assert_int_equal(found, i);
    }
    assert_status(ak_view_label(f->view, 3, &name, &f->err), AK_ENOTFOUND);
    assert_status(
        ak_view_label_number(f->view, bytes_of("shoe"), &found, &f->err),
        AK_ENOTFOUND);
}

static void ids_are_assigned_above_the_greatest_ever_given(void **state)
{
    const struct ak_row_id given[] = {{.number = 41}, {.number = 7}};
    struct ak_row_id gone = number(42);
    struct ak_change drop = {
        .kind = AK_RECORD_DELETE, .ids = &gone, .n_ids = 1};
    struct fixture *f = *state;
    struct ak_receipt receipt;

    assert_int_equal(put_rows(f, 3, NULL, 0).first_id, 0);
    assert_int_equal(put_rows(f, 2, given, 3).first_id, 41);
    assert_int_equal(put_rows(f, 1, NULL, 5).first_id, 42);
    /* Not even after the greatest is gone, and the file was closed. */
    assert_status(apply_alone(f, &drop, &receipt), AK_OK);
    close_all(f);
    open_all(f);
    assert_int_equal(put_rows(f, 1, NULL, 6).first_id, 43);
    assert_int_equal(row_of(f, number(1)).ordinal, 1);
    assert_int_equal(row_of(f, number(7)).ordinal, 4);
    assert_int_equal(row_of(f, number(43)).ordinal, 6);
}

static void ids_that_are_used_up_are_a_limit(void **state)
{
    const struct ak_row_id last = {.number = AK_STORE_MAX_ID};
    const struct ak_row_id beyond = {.number = (uint64_t)AK_STORE_MAX_ID + 1};
    uint8_t block[ROW_BYTES] = {0};
    struct ak_change change = {.kind = AK_RECORD_UPSERT,
                               .rows = {.n = 1, .block = block}};
    struct fixture *f = *state;
    struct ak_receipt receipt;

    put_rows(f, 1, &last, 0);
    assert_status(apply_alone(f, &change, &receipt), AK_ELIMIT);
    change.rows.ids = &beyond;
    assert_status(apply_alone(f, &change, &receipt), AK_EINVAL);
    assert_string_equal(f->err.text,
                        "row 0: an id is 9223372036854775808, must be 0 to "
                        "9223372036854775807");
    assert_int_equal(info_of(f).next_ordinal, 1);
}

static void text_ids_are_assigned_as_decimal_texts(void **state)
{
    const struct ak_row_id given[] = {text("boot"), text("41"), text("043"),
                                      text("99999999999999999999")};
    uint8_t block[2 * ROW_BYTES] = {0};
    const struct ak_row_id bad = {.text = "", .len = 0};
    struct ak_change change = {.kind = AK_RECORD_UPSERT,
                               .rows = {.n = 1, .block = block, .ids = &bad}};
    struct fixture *f = *state;
    struct ak_receipt receipt;

    assert_int_equal(put_rows(f, 2, NULL, 0).first_id, 0);
    assert_int_equal(row_of(f, text("1")).ordinal, 1);
    assert_int_equal(put_rows(f, 4, given, 2).first_id, 0);
    assert_id((struct ak_row[]){row_of(f, text("043"))}, "043");
    assert_int_equal(put_rows(f, 1, NULL, 6).first_id, 42);
    assert_int_equal(row_of(f, text("42")).ordinal, 6);
    assert_int_equal(row_of(f, text("boot")).ordinal, 2);
    /* A given text is replaced like any other. */
    put_rows(f, 1, &given[1], 7);
    assert_int_equal(row_of(f, text("41")).ordinal, 7);
    assert_int_equal(info_of(f).live_rows, 7);
    assert_status(apply_alone(f, &change, &receipt), AK_EINVAL);
    assert_string_equal(f->err.text,
                        "row 0: an id has 0 bytes, must have 1 to 128");
}

static void text_ids_are_kept_byte_for_byte(void **state)
{
    const struct ak_row_id ids[] = {
        {.text = "a\0b", .len = 3},
        {.text = "a", .len = 1},
        {.text = "'; DROP TABLE rows; --", .len = 22},
        {.text = "\xff\xfe", .len = 2},
        {.text = "\xf0\x9f\x91\xa2", .len = 4}};
    char longest[AK_STORE_KEY_MAX];
    struct ak_row_id max = {.text = longest, .len = sizeof(longest)};
    struct fixture *f = *state;

    memset(longest, 'x', sizeof(longest));
    put_rows(f, 5, ids, 0);
    put_rows(f, 1, &max, 5);
    close_all(f);
    open_all(f);
    for (uint64_t i = 0; i < 5; i++) {
        struct ak_row row = row_of(f, ids[i]);

        assert_int_equal(row.ordinal, i);
        assert_int_equal(row.id.len, ids[i].len);
        assert_memory_equal(row.id.text, ids[i].text, ids[i].len);
    }
    assert_int_equal(row_of(f, max).ordinal, 5);
}

static void a_known_id_is_replaced(void **state)
{
    const struct ak_row_id again[] = {
        {.number = 1}, {.number = 50}, {.number = 0}};
    struct fixture *f = *state;
    struct ak_receipt receipt;
    struct ak_record record;

    put_rows(f, 3, NULL, 100);
    receipt = put_rows(f, 3, again, 200);
    assert_int_equal(receipt.first_ordinal, 3);
    assert_int_equal(receipt.accepted, 3);
    record = record_after(f, 1);
    assert_int_equal(record.n, 3);
    assert_int_equal(record.n_ordinals, 2);
    assert_int_equal(record.ordinals[0], 1);
    assert_int_equal(record.ordinals[1], 0);
    assert_int_equal(row_of(f, number(1)).ordinal, 3);
    assert_int_equal(row_of(f, number(0)).ordinal, 5);
    assert_int_equal(row_of(f, number(2)).ordinal, 2);
    assert_int_equal(info_of(f).live_rows, 4);
    assert_int_equal(info_of(f).next_ordinal, 6);
    assert_block(f->view, 0, 3, 100); /* vectors of the dead stay */
    assert_block(f->view, 3, 3, 200);
}

static void two_rows_with_one_id_are_refused_with_their_places(void **state)
{
    const struct ak_row_id twice[] = {text("x"), text("y"), text("z"),
                                      text("y")};
    const struct ak_row_id numbers[] = {text("5"), text("4"), text("5")};
    uint8_t block[4 * ROW_BYTES] = {0};
    struct ak_change change = {.kind = AK_RECORD_BATCH,
                               .rows = {.n = 4, .block = block, .ids = twice}};
    struct fixture *f = *state;
    struct ak_receipt receipt;

    put_rows(f, 3, NULL, 0);
    assert_status(apply_alone(f, &change, &receipt), AK_EINVAL);
    assert_string_equal(f->err.text, "rows 1 and 3 have one id");
    change.rows.ids = numbers;
    change.rows.n = 3;
    assert_status(apply_alone(f, &change, &receipt), AK_EINVAL);
    assert_string_equal(f->err.text, "rows 0 and 2 have one id");
    assert_false(is_there(f, text("x")));
    assert_int_equal(info_of(f).last_seq, 1);
    /* The number that was refused was not taken. */
    assert_int_equal(put_rows(f, 1, NULL, 0).first_id, 3);
}

static void a_batch_without_rows_is_refused(void **state)
{
    struct ak_change change = {.kind = AK_RECORD_BATCH};
    struct fixture *f = *state;
    struct ak_receipt receipt;

    assert_status(apply_alone(f, &change, &receipt), AK_EINVAL);
    change.kind = (enum ak_record_kind)9;
    assert_status(apply_alone(f, &change, &receipt), AK_EINVAL);
    assert_int_equal(info_of(f).last_seq, 0);
}

static void a_value_too_large_is_a_limit(void **state)
{
    size_t n = ((size_t)64 << 20) / ROW_BYTES + 1;
    struct ak_change change = {
        .kind = AK_RECORD_BATCH,
        .rows = {.n = 1, .block = "12345678"},
    };
    struct ak_bytes payload = {NULL, n * ROW_BYTES};
    struct fixture *f = *state;
    struct ak_receipt receipt;

    payload.data = calloc(n, ROW_BYTES);
    assert_non_null(payload.data);
    change.rows.payloads = &payload;
    assert_status(apply_alone(f, &change, &receipt), AK_ELIMIT);
    free((void *)(uintptr_t)payload.data);
    assert_int_equal(info_of(f).next_ordinal, 0);
    put_rows(f, 1, NULL, 0);
}

/* --------------------------------------------------------- blocks and rows */

static void blocks_are_read_across_records(void **state)
{
    struct fixture *f = *state;
    uint8_t out[ROW_BYTES];
    struct ak_rng rng;
    uint64_t n = 0;

    ak_rng_init(&rng, 5);
    for (int i = 0; i < 20; i++) {
        size_t rows = 1 + ak_rng_below(&rng, 40);

        put_rows(f, rows, NULL, n);
        n += rows;
    }
    for (int i = 0; i < 300; i++) {
        uint64_t first = ak_rng_below(&rng, n);

        assert_block(f->view, first, ak_rng_below(&rng, n - first + 1), first);
    }
    assert_block(f->view, 0, n, 0);
    assert_status(ak_view_block(f->view, &first_space, n, 1, out, &f->err),
                  AK_ENOTFOUND);
    assert_status(ak_view_block(f->view, &first_space, n, 0, out, &f->err),
                  AK_OK);
    assert_status(
        ak_view_block(f->view, &first_space, UINT64_MAX, 1, out, &f->err),
        AK_ENOTFOUND);
}

static void a_long_record_is_stored_in_short_blocks(void **state)
{
    struct fixture *f = *state;
    struct ak_rng rng;
    const size_t n = 20001; /* 160,008 bytes */

    ak_rng_init(&rng, 6);
    put_rows(f, 3, NULL, 0);
    put_rows(f, n, NULL, 3);
    put_rows(f, 2, NULL, n + 3);
    assert_block(f->view, 0, n + 5, 0);
    for (int i = 0; i < 50; i++) {
        uint64_t first = ak_rng_below(&rng, n);

        assert_block(f->view, first, ak_rng_below(&rng, n + 5 - first), first);
    }
    damage(f, "CREATE TEMP TABLE few (n CHECK (n = 5));"
              "INSERT INTO few SELECT count(*) FROM blocks;"
              "CREATE TEMP TABLE short (n CHECK (n <= 65536));"
              "INSERT INTO short SELECT length(data) FROM blocks");
    open_all(f);
    assert_block(f->view, 0, n + 5, 0);
}

static void reading_past_the_end_is_not_found(void **state)
{
    struct fixture *f = *state;
    uint8_t out[4 * ROW_BYTES];

    assert_status(ak_view_block(f->view, &first_space, 0, 1, out, &f->err),
                  AK_ENOTFOUND);
    put_rows(f, 3, NULL, 0);
    assert_status(ak_view_block(f->view, &first_space, 0, 4, out, &f->err),
                  AK_ENOTFOUND);
    assert_string_equal(f->err.text, "there is no row 3: there are 3");
}

struct walk {
    struct fixture *f;
    uint64_t next, stop_at;
    enum ak_status stop;
    uint64_t dead[8];
};

static enum ak_status step(void *arg, const struct ak_row *row,
                           struct ak_err *err)
{
    struct walk *walk = arg;
    uint32_t found;

    assert_int_equal(row->ordinal, walk->next);
    walk->dead[walk->next++] = row->dead;
    /* Other calls on the way lend over what the row lends, and break nothing. */
    assert_status(
        ak_view_label_number(walk->f->view, bytes_of("none"), &found, err),
        AK_ENOTFOUND);
    return walk->next == walk->stop_at ? walk->stop : AK_OK;
}

static void rows_are_walked_dead_or_alive(void **state)
{
    const struct ak_row_id two = {.number = 2};
    struct fixture *f = *state;
    struct walk walk = {.f = f};

    put_rows(f, 4, NULL, 0);
    put_rows(f, 1, &two, 4);
    assert_status(ak_view_rows(f->view, 0, step, &walk, &f->err), AK_OK);
    assert_int_equal(walk.next, 5);
    assert_int_equal(walk.dead[1], 0);
    assert_int_equal(walk.dead[2], 2);
    assert_int_equal(walk.dead[4], 0);
    walk.next = 3;
    assert_status(ak_view_rows(f->view, 3, step, &walk, &f->err), AK_OK);
    assert_int_equal(walk.next, 5);
    assert_status(ak_view_rows(f->view, 5, step, &walk, &f->err), AK_OK);
    assert_status(ak_view_rows(f->view, UINT64_MAX, step, &walk, &f->err),
                  AK_OK);
    assert_int_equal(walk.next, 5);

    walk = (struct walk){.f = f, .stop_at = 2, .stop = AK_ECANCELED};
    assert_status(ak_view_rows(f->view, 0, step, &walk, &f->err), AK_OK);
    assert_int_equal(walk.next, 2);
    walk = (struct walk){.f = f, .stop_at = 2, .stop = AK_ENUMERIC};
    assert_status(ak_view_rows(f->view, 0, step, &walk, &f->err), AK_ENUMERIC);
    /* An ended walk holds nothing: the log can be emptied. */
    assert_status(ak_store_checkpoint_wal(f->store, true, &f->err), AK_OK);
}

/* ------------------------------------------------------------------ deletes */

static void deleted_rows_are_no_more(void **state)
{
    const struct ak_row_id ids[] = {
        {.number = 3}, {.number = 99}, {.number = 1}, {.number = 3}};
    struct ak_change change = {
        .kind = AK_RECORD_DELETE, .ids = ids, .n_ids = 4};
    struct fixture *f = *state;
    struct ak_receipt receipt;
    struct ak_record record;

    put_rows(f, 5, NULL, 0);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 2);
    assert_int_equal(receipt.accepted, 2);
    assert_int_equal(receipt.missing, 2);
    record = record_after(f, 1);
    assert_int_equal(record.kind, AK_RECORD_DELETE);
    assert_int_equal(record.n, 2);
    assert_int_equal(record.n_ordinals, 2);
    assert_int_equal(record.ordinals[0], 3);
    assert_int_equal(record.ordinals[1], 1);
    assert_null(record.label_first);
    assert_false(is_there(f, number(3)));
    assert_true(is_there(f, number(2)));
    assert_int_equal(info_of(f).live_rows, 3);
    assert_int_equal(info_of(f).next_ordinal, 5);

    /* The id is free again, and the row of old stays dead. */
    put_rows(f, 1, ids, 5);
    assert_int_equal(row_of(f, number(3)).ordinal, 5);
    assert_int_equal(record_after(f, 2).n_ordinals, 0);
}

static void rows_are_deleted_by_ordinal_but_once(void **state)
{
    const uint64_t ordinals[] = {0, 4, 0, 77, UINT64_MAX, 2};
    struct ak_change change = {
        .kind = AK_RECORD_DELETE, .ordinals = ordinals, .n_ordinals = 6};
    struct fixture *f = *state;
    struct ak_receipt receipt;

    put_rows(f, 5, NULL, 0);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.accepted, 3);
    assert_int_equal(receipt.missing, 0);
    assert_int_equal(info_of(f).live_rows, 2);
    assert_int_equal(record_after(f, 1).ordinals[2], 2);
}

static void a_delete_that_finds_nothing_appends_nothing(void **state)
{
    const struct ak_row_id id = {.number = 9};
    struct ak_change change = {
        .kind = AK_RECORD_DELETE, .ids = &id, .n_ids = 1};
    struct fixture *f = *state;
    struct ak_receipt receipt;

    put_rows(f, 1, NULL, 0);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 0);
    assert_int_equal(receipt.accepted, 0);
    assert_int_equal(receipt.missing, 1);
    assert_int_equal(info_of(f).last_seq, 1);
}

/* ----------------------------------------------------------------- relabel */

static void new_labels_are_a_record_and_old_records_keep_theirs(void **state)
{
    const struct ak_row_id id = {.number = 17};
    const struct ak_bytes labels[] = {{"shoe", 4}, {"coat", 4}};
    struct ak_change change = {.kind = AK_RECORD_RELABEL,
                               .ids = &id,
                               .n_ids = 1,
                               .set_labels = true,
                               .labels = labels,
                               .n_labels = 2};
    struct fixture *f = *state;
    struct ak_receipt receipt;
    struct ak_record record;
    struct ak_row row;

    put_full(f);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 2);
    assert_int_equal(receipt.first_ordinal, 0);
    assert_int_equal(receipt.first_id, 17);
    assert_int_equal(receipt.accepted, 1);
    record = record_after(f, 1);
    assert_int_equal(record.kind, AK_RECORD_RELABEL);
    assert_int_equal(record.first_ordinal, 0);
    assert_int_equal(record.n, 1);
    assert_labels(record.label_first, 2, "0 2");
    assert_labels(record.labels, 2, "3 1");
    assert_labels(record_after(f, 0).labels, 4, "0 1 0 2");
    row = row_of(f, id);
    assert_labels(row.labels, row.n_labels, "3 1");
    assert_true(same_text(row.payload, "{\"a\":1}")); /* what is absent stays */
    assert_int_equal(row.seq, 1);

    change.n_labels = 0;
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(row_of(f, id).n_labels, 0);
    assert_int_equal(record_after(f, 2).label_first[1], 0);
}

static void a_payload_alone_is_no_record(void **state)
{
    const struct ak_row_id id = {.number = 17};
    struct ak_change change = {.kind = AK_RECORD_RELABEL,
                               .ids = &id,
                               .n_ids = 1,
                               .set_payload = true,
                               .payload = bytes_of("[7]")};
    struct fixture *f = *state;
    struct ak_receipt receipt;
    struct ak_row row;

    put_full(f);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 0);
    assert_int_equal(receipt.accepted, 1);
    assert_int_equal(info_of(f).last_seq, 1);
    row = row_of(f, id);
    assert_true(same_text(row.payload, "[7]"));
    assert_labels(row.labels, row.n_labels, "0 1");
    change.payload = (struct ak_bytes){0};
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_null(row_of(f, id).payload.data);
}

static void a_row_that_there_is_not_cannot_be_relabelled(void **state)
{
    const struct ak_row_id id = {.number = 5};
    const struct ak_bytes label = {"new", 3};
    struct ak_change change = {.kind = AK_RECORD_RELABEL,
                               .ids = &id,
                               .n_ids = 1,
                               .set_labels = true,
                               .labels = &label,
                               .n_labels = 1};
    struct fixture *f = *state;
    struct ak_receipt receipt;

    assert_status(apply_alone(f, &change, &receipt), AK_ENOTFOUND);
    assert_int_equal(info_of(f).n_labels, 0);
    change.n_ids = 0;
    assert_status(apply_alone(f, &change, &receipt), AK_EINVAL);
}

/* ------------------------------------------------------------ other records */

static void a_cause_appends_once(void **state)
{
    struct ak_change change = {.kind = AK_RECORD_PUBLISH, .cause = 7};
    struct fixture *f = *state;
    struct ak_receipt receipt;

    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 1);
    assert_int_equal(record_after(f, 0).cause, 7);
    change.config = bytes_of("not written");
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 1);
    change.config = (struct ak_bytes){0};
    change.kind = AK_RECORD_FLUSH;
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 2);
    change.cause = 0; /* by a person: as often as asked */
    for (uint64_t seq = 3; seq < 5; seq++) {
        assert_status(apply_alone(f, &change, &receipt), AK_OK);
        assert_int_equal(receipt.seq, seq);
    }
    change.kind = AK_RECORD_PUBLISH;
    change.cause = 8;
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 5);
    assert_int_equal(info_of(f).last_seq, 5);
}

static void the_configuration_changes_with_a_record_or_alone(void **state)
{
    struct ak_change change = {.kind = AK_RECORD_FLUSH,
                               .config = bytes_of("{\"publish\":\"manual\"}")};
    struct fixture *f = *state;
    struct ak_receipt receipt;
    struct ak_bytes config;

    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 1);
    assert_status(ak_view_config(f->view, &config, &f->err), AK_OK);
    assert_true(same_text(config, "{\"publish\":\"manual\"}"));
    change.kind = (enum ak_record_kind)0;
    change.config = bytes_of("{}");
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 0);
    assert_status(ak_view_config(f->view, &config, &f->err), AK_OK);
    assert_true(same_text(config, "{}"));
    change.config = (struct ak_bytes){0};
    change.kind = AK_RECORD_INSTALL;
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 2);
    assert_status(ak_view_config(f->view, &config, &f->err), AK_OK);
    assert_true(same_text(config, "{}"));
}

static void a_rollback_names_a_version_that_is_kept(void **state)
{
    struct ak_change change = {
        .kind = AK_RECORD_ROLLBACK, .version = 0, .config = bytes_of("pinned")};
    struct ak_version version = {0};
    struct fixture *f = *state;
    struct ak_receipt receipt;
    struct ak_bytes config;
    uint64_t n;

    assert_status(apply_alone(f, &change, &receipt), AK_ENOTFOUND);
    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(
        ak_store_put_version(f->store, &version, bytes_of("m"), &n, &f->err),
        AK_OK);
    assert_status(ak_store_apply(f->store, &change, &receipt, &f->err),
                  AK_ENOTFOUND);
    assert_string_equal(f->err.text, "version 0 was not published yet");
    assert_status(ak_store_flip(f->store, 0, 0.5, &f->err), AK_OK);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    assert_status(ak_view_config(f->view, &config, &f->err), AK_OK);
    assert_true(same_text(config, "{}"));
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 1);
    assert_int_equal(record_after(f, 0).version, 0);
    assert_int_equal(info_of(f).last_rollback_seq, 1);
    assert_status(ak_view_config(f->view, &config, &f->err), AK_OK);
    assert_true(same_text(config, "pinned"));
    change.version = UINT64_MAX;
    assert_status(apply_alone(f, &change, &receipt), AK_ENOTFOUND);
}

static void records_follow_each_other_without_gaps(void **state)
{
    const struct ak_row_id id = {.number = 0};
    struct ak_change drop = {.kind = AK_RECORD_DELETE, .ids = &id, .n_ids = 1};
    struct ak_change flush = {.kind = AK_RECORD_FLUSH, .now_ms = -5};
    static const enum ak_record_kind kinds[] = {
        AK_RECORD_BATCH, AK_RECORD_DELETE, AK_RECORD_FLUSH, AK_RECORD_BATCH};
    struct fixture *f = *state;
    struct ak_receipt receipt;
    struct ak_record record;

    put_rows(f, 2, NULL, 0);
    assert_status(apply_alone(f, &drop, &receipt), AK_OK);
    assert_status(apply_alone(f, &flush, &receipt), AK_OK);
    put_rows(f, 2, NULL, 2);
    for (uint64_t seq = 0; seq < 4; seq++) {
        record = record_after(f, seq);
        assert_int_equal(record.kind, kinds[seq]);
    }
    assert_int_equal(record_after(f, 2).time_ms, -5);
    assert_status(ak_view_record(f->view, 4, &record, &f->err), AK_ENOTFOUND);
    assert_status(ak_view_record(f->view, UINT64_MAX, &record, &f->err),
                  AK_ENOTFOUND);
}

/* ------------------------------------------------------------------- a model */

#define MODEL_IDS 40

/*
 * Random changes beside an obvious model of them: which row each id is, which
 * labels it has, how many live.  Groups are rolled back at random.
 */
struct model {
    uint64_t seq, rows, live;
    uint64_t ordinal[MODEL_IDS];
    bool there[MODEL_IDS];
    uint64_t label[MODEL_IDS];
};

static void model_put(struct model *m, struct fixture *f, struct ak_rng *rng)
{
    struct ak_row_id ids[8];
    struct ak_bytes labels[8];
    uint32_t first[9] = {0};
    char names[8][12];
    uint8_t block[8 * ROW_BYTES];
    size_t n = 1 + ak_rng_below(rng, 8), start = ak_rng_below(rng, MODEL_IDS);
    struct ak_change change = {
        .kind = ak_rng_below(rng, 2) ? AK_RECORD_BATCH : AK_RECORD_UPSERT,
        .rows = {.n = n,
                 .block = block,
                 .ids = ids,
                 .labels = labels,
                 .label_first = first},
    };
    struct ak_receipt receipt;

    fill_block(block, n, m->rows);
    for (size_t i = 0; i < n; i++) {
        uint64_t id = (start + i * 3) % MODEL_IDS, label = ak_rng_below(rng, 5);

        snprintf(names[i], sizeof(names[i]), "l%d", (int)label);
        ids[i] = number(id);
        labels[i] = bytes_of(names[i]);
        first[i + 1] = (uint32_t)(i + 1);
        m->live += !m->there[id];
        m->there[id] = true;
        m->ordinal[id] = m->rows + i;
        m->label[id] = label;
    }
    m->rows += n;
    m->seq++;
    assert_status(ak_store_apply(f->store, &change, &receipt, &f->err), AK_OK);
    assert_int_equal(receipt.seq, m->seq);
    assert_int_equal(receipt.first_ordinal, m->rows - n);
}

static void model_delete(struct model *m, struct fixture *f, struct ak_rng *rng)
{
    uint64_t id = ak_rng_below(rng, MODEL_IDS), ordinal = m->ordinal[id];
    struct ak_row_id row_id = number(id);
    struct ak_change change = {.kind = AK_RECORD_DELETE};
    struct ak_receipt receipt;

    if (m->there[id] && ak_rng_below(rng, 2)) {
        change.ordinals = &ordinal;
        change.n_ordinals = 1;
    } else {
        change.ids = &row_id;
        change.n_ids = 1;
    }
    assert_status(ak_store_apply(f->store, &change, &receipt, &f->err), AK_OK);
    assert_int_equal(receipt.accepted, m->there[id]);
    m->seq += m->there[id];
    m->live -= m->there[id];
    m->there[id] = false;
}

static void model_relabel(struct model *m, struct fixture *f,
                          struct ak_rng *rng)
{
    uint64_t id = ak_rng_below(rng, MODEL_IDS), label = ak_rng_below(rng, 9);
    struct ak_row_id row_id = number(id);
    char name[12];
    struct ak_bytes names = {name, 0};
    struct ak_change change = {.kind = AK_RECORD_RELABEL,
                               .ids = &row_id,
                               .n_ids = 1,
                               .set_labels = true,
                               .labels = &names,
                               .n_labels = 1};
    struct ak_receipt receipt;

    names.len = (size_t)snprintf(name, sizeof(name), "l%d", (int)label);
    assert_status(ak_store_apply(f->store, &change, &receipt, &f->err),
                  m->there[id] ? AK_OK : AK_ENOTFOUND);
    if (m->there[id]) {
        m->label[id] = label;
        m->seq++;
    }
}

static void model_check(const struct model *m, struct fixture *f)
{
    struct ak_store_info info = info_of(f);

    assert_int_equal(info.last_seq, m->seq);
    assert_int_equal(info.next_ordinal, m->rows);
    assert_int_equal(info.live_rows, m->live);
    assert_block(f->view, 0, m->rows, 0);
    for (uint64_t id = 0; id < MODEL_IDS; id++) {
        struct ak_bytes name;
        struct ak_row row;
        char expected[12];

        assert_int_equal(is_there(f, number(id)), m->there[id]);
        if (!m->there[id])
            continue;
        row = row_of(f, number(id));
        assert_int_equal(row.ordinal, m->ordinal[id]);
        assert_int_equal(row.n_labels, 1);
        snprintf(expected, sizeof(expected), "l%d", (int)m->label[id]);
        assert_status(ak_view_label(f->view, row.labels[0], &name, &f->err),
                      AK_OK);
        assert_true(same_text(name, expected));
    }
}

static void random_changes_agree_with_a_model(void **state)
{
    struct fixture *f = *state;
    struct model m = {0}, before;
    struct ak_rng rng;

    ak_rng_init(&rng, 11);
    for (int group = 0; group < 150; group++) {
        before = m;
        assert_status(ak_store_begin(f->store, &f->err), AK_OK);
        for (uint64_t n = ak_rng_below(&rng, 6); n > 0; n--) {
            switch (ak_rng_below(&rng, 4)) {
            case 0:
                model_delete(&m, f, &rng);
                break;
            case 1:
                model_relabel(&m, f, &rng);
                break;
            default:
                model_put(&m, f, &rng);
            }
        }
        if (ak_rng_below(&rng, 5) == 0) {
            ak_store_rollback(f->store);
            m = before;
        } else {
            assert_status(ak_store_commit(f->store, &f->err), AK_OK);
        }
        if (group % 30 == 29) {
            model_check(&m, f);
            close_all(f);
            open_all(f);
        }
    }
    model_check(&m, f);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_fixture, remove_fixture)
#define TEXT_TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_text_fixture, remove_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_batch_is_kept_as_it_came),
        TEST(labels_are_numbered_as_they_appear),
        TEST(ids_are_assigned_above_the_greatest_ever_given),
        TEST(ids_that_are_used_up_are_a_limit),
        TEXT_TEST(text_ids_are_assigned_as_decimal_texts),
        TEXT_TEST(text_ids_are_kept_byte_for_byte),
        TEST(a_known_id_is_replaced),
        TEXT_TEST(two_rows_with_one_id_are_refused_with_their_places),
        TEST(a_batch_without_rows_is_refused),
        TEST(a_value_too_large_is_a_limit),
        TEST(blocks_are_read_across_records),
        TEST(a_long_record_is_stored_in_short_blocks),
        TEST(reading_past_the_end_is_not_found),
        TEST(rows_are_walked_dead_or_alive),
        TEST(deleted_rows_are_no_more),
        TEST(rows_are_deleted_by_ordinal_but_once),
        TEST(a_delete_that_finds_nothing_appends_nothing),
        TEST(new_labels_are_a_record_and_old_records_keep_theirs),
        TEST(a_payload_alone_is_no_record),
        TEST(a_row_that_there_is_not_cannot_be_relabelled),
        TEST(a_cause_appends_once),
        TEST(the_configuration_changes_with_a_record_or_alone),
        TEST(a_rollback_names_a_version_that_is_kept),
        TEST(records_follow_each_other_without_gaps),
        TEST(random_changes_agree_with_a_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
