/*
 * One thread writes, three read, each with a view of its own: what a reader
 * sees under one hold fits together, and never goes back.
 */
#include "tests/storage/fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/base/rng.h"

#define READERS       3
#define GROUPS        60
#define BATCH         20
#define SEGMENT_BYTES (AK_STORE_SEGMENT_ROWS * CODE_BYTES)

struct shared {
    struct fixture *f;
    atomic_bool done;
};

struct reader {
    struct shared *shared;
    uint64_t seed;
    const char *what; /* that went wrong; cmocka wants its own thread */
    struct ak_err err;
};

/* The rows of record s are those of ordinals from (s - 1) * BATCH, and replace
   the second half of the rows before. */
static bool write_group(struct fixture *f, uint64_t s, bool keep)
{
    static uint8_t codes[SEGMENT_BYTES];
    struct ak_row_id ids[BATCH];
    uint8_t block[BATCH * ROW_BYTES];
    struct ak_version version = {.at_seq = s};
    struct ak_change change = {
        .kind = AK_RECORD_BATCH,
        .rows = {.n = BATCH, .block = block, .ids = ids},
    };
    struct ak_receipt receipt;
    uint64_t number;
    bool ok;

    for (uint64_t i = 0; i < BATCH; i++)
        ids[i] = (struct ak_row_id){.number = (s - 1) * BATCH / 2 + i};
    fill_block(block, BATCH, (s - 1) * BATCH);
    memset(codes, (int)s, sizeof(codes));
    ok = ak_store_begin(f->store, &f->err) == AK_OK &&
         ak_store_apply(f->store, &change, &receipt, &f->err) == AK_OK;
    if (ok && s % 5 == 0)
        ok = ak_store_put_version(f->store, &version, bytes_of("m"), &number,
                                  &f->err) == AK_OK &&
             ak_store_put_codes(f->store, number, 0,
                                (struct ak_bytes){codes, sizeof(codes)},
                                &f->err) == AK_OK &&
             ak_store_flip(f->store, number, 0, &f->err) == AK_OK;
    if (keep)
        return ok && ak_store_commit(f->store, &f->err) == AK_OK;
    ak_store_rollback(f->store);
    return ok;
}

struct count {
    uint64_t rows, live;
};

static enum ak_status count_row(void *arg, const struct ak_row *row,
                                struct ak_err *err)
{
    struct count *count = arg;

    (void)err;
    count->rows++;
    count->live += row->dead == 0;
    return AK_OK;
}

/* Look at one state; the name of what does not fit, or NULL. */
static const char *look(struct reader *r, struct ak_view *view,
                        struct ak_rng *rng, uint64_t *last)
{
    static _Thread_local uint8_t codes[SEGMENT_BYTES];
    struct ak_store_info info;
    struct ak_record record;
    struct count count = {0};
    uint64_t ordinal, value;

    if (ak_view_info(view, &info, &r->err) != AK_OK)
        return "info";
    if (info.last_seq < *last)
        return "the sequence went back";
    *last = info.last_seq;
    if (ak_view_rows(view, 0, count_row, &count, &r->err) != AK_OK)
        return "rows";
    if (count.rows != info.next_ordinal || count.live != info.live_rows)
        return "the counters are not those of the rows";
    if (info.last_seq == 0)
        return NULL;
    if (ak_view_record(view, info.last_seq - 1, &record, &r->err) != AK_OK ||
        record.first_ordinal + record.n != info.next_ordinal)
        return "the last record";
    ordinal = ak_rng_below(rng, info.next_ordinal);
    if (ak_view_block(view, &first_space, ordinal, 1, &value, &r->err) !=
            AK_OK ||
        value != ordinal)
        return "a block";
    if (info.last_seq >= 5 &&
        (ak_view_codes(view, info.published, 0, codes, &r->err) != AK_OK ||
         codes[0] != codes[SEGMENT_BYTES - 1]))
        return "the codes of the published version";
    return NULL;
}

static void *read_on(void *arg)
{
    struct reader *r = arg;
    struct ak_view *view = NULL;
    struct ak_rng rng;
    uint64_t last = 0;

    ak_rng_init(&rng, r->seed);
    while (r->what == NULL && !atomic_load(&r->shared->done)) {
        if (view == NULL &&
            ak_view_open(r->shared->f->path, &view, &r->err) != AK_OK) {
            r->what = "open";
            break;
        }
        if (ak_view_hold(view, &r->err) != AK_OK)
            r->what = "hold";
        else
            r->what = look(r, view, &rng, &last);
        ak_view_release(view);
        if (ak_rng_below(&rng, 8) == 0) {
            ak_view_close(view);
            view = NULL;
        }
    }
    ak_view_close(view);
    return NULL;
}

static void readers_see_whole_groups_beside_a_writer(void **state)
{
    struct fixture *f = *state;
    struct shared shared = {.f = f};
    struct reader readers[READERS] = {0};
    pthread_t threads[READERS];
    enum ak_status status;
    bool ok = true;

    for (size_t i = 0; i < READERS; i++) {
        readers[i].shared = &shared;
        readers[i].seed = i + 1;
        assert_int_equal(
            pthread_create(&threads[i], NULL, read_on, &readers[i]), 0);
    }
    for (uint64_t s = 1; s <= GROUPS && ok; s++) {
        if (s % 4 == 0)
            ok = write_group(f, s, false);
        ok = ok && write_group(f, s, true);
        if (ok && s % 10 == 0) {
            status = ak_store_checkpoint_wal(f->store, s % 20 == 0, &f->err);
            ok = status == AK_OK || status == AK_EBUSY;
        }
    }
    atomic_store(&shared.done, true);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    if (!ok)
        fail_msg("%s", f->err.text);
    for (size_t i = 0; i < READERS; i++)
        if (readers[i].what != NULL)
            fail_msg("%s: %s", readers[i].what, readers[i].err.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            readers_see_whole_groups_beside_a_writer, make_fixture,
            remove_fixture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
