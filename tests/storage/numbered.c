#include "tests/storage/numbered.h"

#include <stdio.h>
#include <string.h>

#define MAX_ROWS 5
#define NOW      INT64_C(1700000000000)
#define AGAIN    9 /* changes that are sent again */

static bool replaces(uint64_t c)
{
    return c % 7 == 0;
}

size_t numbered_rows(uint64_t c)
{
    return replaces(c) ? 1 : 1 + c * 3 % MAX_ROWS;
}

enum ak_status numbered_apply(struct ak_store *store, uint64_t c,
                              uint64_t first, struct ak_receipt *receipt,
                              struct ak_err *err)
{
    static const struct ak_row_id zero = {.number = 0};
    uint8_t block[MAX_ROWS * ROW_BYTES];
    char key[24];
    struct ak_change change = {
        .kind = replaces(c) ? AK_RECORD_UPSERT : AK_RECORD_BATCH,
        .rows = {.n = numbered_rows(c),
                 .block = block,
                 .ids = replaces(c) ? &zero : NULL},
        .now_ms = NOW,
    };

    snprintf(key, sizeof(key), "change-%d", (int)c);
    change.key = bytes_of(key);
    memcpy(change.fingerprint, &c, sizeof(c));
    fill_block(block, numbered_rows(c), first);
    return ak_store_apply(store, &change, receipt, err);
}

static void check_records(struct fixture *f, uint64_t last_seq,
                          uint64_t *n_rows, uint64_t *live)
{
    struct ak_record record;
    uint64_t first = 0;

    *live = 0;
    for (uint64_t c = 1; c <= last_seq; c++) {
        assert_status(ak_view_record(f->view, c - 1, &record, &f->err), AK_OK);
        assert_int_equal(record.seq, c);
        assert_int_equal(record.n, numbered_rows(c));
        assert_int_equal(record.first_ordinal, first);
        assert_int_equal(record.n_ordinals, replaces(c));
        first += numbered_rows(c);
        *live += replaces(c) ? 0 : numbered_rows(c);
    }
    *n_rows = first;
    assert_status(ak_view_record(f->view, last_seq, &record, &f->err),
                  AK_ENOTFOUND);
}

static void check_keys(struct fixture *f, uint64_t last_seq)
{
    struct ak_receipt receipt;

    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    for (uint64_t c = last_seq > AGAIN ? last_seq - AGAIN : 1; c <= last_seq;
         c++) {
        assert_status(numbered_apply(f->store, c, 0, &receipt, &f->err), AK_OK);
        assert_true(receipt.replayed);
        assert_int_equal(receipt.seq, c);
    }
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
}

uint64_t numbered_check(struct fixture *f, uint64_t reported)
{
    struct ak_store_info info;
    uint64_t n_rows, live;

    assert_status(ak_view_hold(f->view, &f->err), AK_OK);
    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    assert_true(info.last_seq >= reported);
    assert_int_equal(info.last_seq % GROUP_CHANGES, 0); /* whole groups only */
    check_records(f, info.last_seq, &n_rows, &live);
    assert_int_equal(info.next_ordinal, n_rows);
    assert_int_equal(info.live_rows, live);
    if (n_rows > 0)
        assert_block(f->view, 0, n_rows, 0);
    ak_view_release(f->view);
    check_keys(f, info.last_seq);
    return info.last_seq;
}
