/*
 * Packed rows: what is packed shows what a walk of the rows shows, in each of
 * its forms, and goes with the change that would make it wrong.
 */
#include "tests/storage/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "storage/packed_internal.h"
#include "tests/storage/faulty.h"
#include "tests/storage/older.h"

enum { ROWS = AK_STORE_SEGMENT_ROWS, TEXT = 16 };

/* ------------------------------------------------------------- the changes */

typedef size_t labels_fn(size_t i, uint32_t labels[4]);

static struct ak_row_id number(uint64_t id)
{
    return (struct ak_row_id){.number = id};
}

/* n rows with these labels, by number; ids NULL: assigned. */
static void put(struct fixture *f, size_t n, const struct ak_row_id *ids,
                labels_fn *labels)
{
    uint8_t *block = ak_array_new(n, ROW_BYTES);
    struct ak_bytes *names = calloc(n * 4, sizeof(*names));
    uint32_t *first = calloc(n + 1, sizeof(*first));
    char(*text)[TEXT] = calloc(n * 4, sizeof(*text));
    struct ak_change change = {.kind = AK_RECORD_UPSERT,
                               .rows = {.n = n,
                                        .block = block,
                                        .ids = ids,
                                        .labels = names,
                                        .label_first = first}};
    struct ak_receipt receipt;
    uint32_t at = 0;

    assert_true(block != NULL && names != NULL && first != NULL &&
                text != NULL);
    for (size_t i = 0; i < n; i++) {
        uint32_t found[4];
        size_t n_labels = labels != NULL ? labels(i, found) : 0;

        for (size_t l = 0; l < n_labels; l++, at++) {
            snprintf(text[at], TEXT, "l%d", (int)found[l]);
            names[at] = bytes_of(text[at]);
        }
        first[i + 1] = at;
    }
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    ak_array_free(block);
    free(names);
    free(first);
    free(text);
}

static enum ak_status delete_row(struct fixture *f, struct ak_row_id id,
                                 bool erase)
{
    struct ak_change change = {
        .kind = AK_RECORD_DELETE, .ids = &id, .n_ids = 1, .erase = erase};
    struct ak_receipt receipt;

    return apply_alone(f, &change, &receipt);
}

static enum ak_status delete_ordinal(struct fixture *f, uint64_t ordinal)
{
    struct ak_change change = {
        .kind = AK_RECORD_DELETE, .ordinals = &ordinal, .n_ordinals = 1};
    struct ak_receipt receipt;

    return apply_alone(f, &change, &receipt);
}

static enum ak_status relabel(struct fixture *f, struct ak_row_id id,
                              const char *label)
{
    struct ak_bytes name = bytes_of(label);
    struct ak_change change = {.kind = AK_RECORD_RELABEL,
                               .ids = &id,
                               .n_ids = 1,
                               .set_labels = true,
                               .labels = &name,
                               .n_labels = 1};
    struct ak_receipt receipt;

    return apply_alone(f, &change, &receipt);
}

static void erase_all(struct fixture *f)
{
    uint64_t n = 1;

    while (n > 0) {
        assert_status(ak_store_begin(f->store, &f->err), AK_OK);
        assert_status(ak_store_erase(f->store, INT64_MAX, &n, &f->err), AK_OK);
        assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    }
}

/* ------------------------------------------------------------- the packing */

struct packing {
    uint64_t segment, seq;
    void *data;
    size_t len;
};

static struct packing pack(struct fixture *f, uint64_t segment)
{
    struct packing p = {.segment = segment};
    struct ak_bytes packed = {0};

    assert_status(ak_view_pack(f->view, segment, &packed, &p.seq, &f->err),
                  AK_OK);
    p.len = packed.len;
    p.data = malloc(packed.len);
    assert_non_null(p.data);
    memcpy(p.data, packed.data, packed.len);
    return p;
}

/* Put it, and say whether it was taken. */
static bool store(struct fixture *f, struct packing *p)
{
    bool stored = false;

    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(ak_store_put_packed(f->store, p->segment, p->seq,
                                      (struct ak_bytes){p->data, p->len},
                                      &stored, &f->err),
                  AK_OK);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    free(p->data);
    p->data = NULL;
    return stored;
}

static size_t pack_and_store(struct fixture *f, uint64_t segment)
{
    struct packing p = pack(f, segment);
    size_t len = p.len;

    assert_true(store(f, &p));
    assert_true(packed_and_right(f, segment));
    return len;
}

/* --------------------------------------------------------------- the forms */

static size_t one_in_two(size_t i, uint32_t labels[4])
{
    labels[0] = (uint32_t)i % 7;
    return i % 2;
}

static size_t some(size_t i, uint32_t labels[4])
{
    for (uint32_t l = 0; l < 4; l++)
        labels[l] = (uint32_t)i % 5 + l;
    return i % 4;
}

static void ids_in_order_take_no_room(void **state)
{
    struct fixture *f = *state;

    put(f, ROWS, NULL, NULL);
    assert_int_equal(pack_and_store(f, 0), 16);
}

static void ids_near_each_other_take_four_bytes(void **state)
{
    struct fixture *f = *state;
    static struct ak_row_id ids[ROWS];

    for (size_t i = 0; i < ROWS; i++)
        ids[i] = number(UINT64_C(1) << 40 | (i * 2654435761u & UINT32_MAX));
    put(f, ROWS, ids, NULL);
    assert_int_equal(pack_and_store(f, 0), 16 + ROWS * 4);
}

static void ids_far_apart_take_eight(void **state)
{
    struct fixture *f = *state;
    static struct ak_row_id ids[ROWS];

    for (size_t i = 0; i < ROWS; i++)
        ids[i] = number(i * 11400714819323198485u >> 1);
    put(f, ROWS, ids, NULL);
    assert_int_equal(pack_and_store(f, 0), 16 + ROWS * 8);
}

static void texts_are_kept_byte_for_byte(void **state)
{
    struct fixture *f = *state;
    static struct ak_row_id ids[ROWS];
    static char text[ROWS][TEXT];

    for (size_t i = 0; i < ROWS; i++) {
        int len = snprintf(text[i], TEXT, "%*s%x", (int)(i % 9), "", (int)i);

        ids[i] = (struct ak_row_id){.text = text[i], .len = (size_t)len};
    }
    text[77][0] = '\0'; /* any byte */
    put(f, ROWS, ids, some);
    assert_true(pack_and_store(f, 0) > 16);
}

static void one_label_each_takes_four_bytes(void **state)
{
    struct fixture *f = *state;

    put(f, ROWS, NULL, one_in_two);
    assert_int_equal(pack_and_store(f, 0), 16 + ROWS * 4);
}

static void lists_of_labels_are_kept(void **state)
{
    struct fixture *f = *state;

    put(f, ROWS, NULL, some);
    assert_int_equal(pack_and_store(f, 0),
                     16 + (ROWS + 1) * 4 + ROWS / 4 * (1 + 2 + 3) * 4);
}

static void dead_rows_are_bits_and_have_no_labels(void **state)
{
    struct fixture *f = *state;

    put(f, ROWS, NULL, some);
    /* Those with two or three labels: what is left is one each. */
    for (uint64_t i = 0; i < ROWS; i++)
        if (i % 4 > 1)
            assert_status(delete_ordinal(f, i), AK_OK);
    assert_int_equal(pack_and_store(f, 0), 16 + ROWS / 8 + ROWS * 4);
}

static void only_full_segments_are_packed(void **state)
{
    struct fixture *f = *state;
    struct ak_bytes packed;
    bool stored;
    uint64_t seq;

    put(f, ROWS - 1, NULL, NULL);
    assert_false(packed_and_right(f, 0));
    assert_status(ak_view_pack(f->view, 0, &packed, &seq, &f->err),
                  AK_ENOTFOUND);
    assert_string_equal(f->err.text, "segment 0 has 4095 rows, must have 4096");
    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(
        ak_store_put_packed(f->store, 0, 1, bytes_of("x"), &stored, &f->err),
        AK_EINVAL);
    assert_string_equal(f->err.text,
                        "segment 0 is not full: there are 4095 rows");
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    put(f, 2, NULL, NULL);
    pack_and_store(f, 0);
    assert_status(ak_view_pack(f->view, 1, &packed, &seq, &f->err),
                  AK_ENOTFOUND);
    assert_status(ak_view_pack(f->view, UINT64_MAX, &packed, &seq, &f->err),
                  AK_ENOTFOUND);
    assert_false(packed_and_right(f, UINT64_MAX));
}

/* ------------------------------------------------------------- the changes */

static void a_delete_unpacks_its_segment_alone(void **state)
{
    struct fixture *f = *state;

    put(f, 2 * ROWS, NULL, NULL);
    for (int by_ordinal = 0; by_ordinal < 2; by_ordinal++) {
        pack_and_store(f, 0);
        pack_and_store(f, 1);
        assert_status(by_ordinal ? delete_ordinal(f, ROWS)
                                 : delete_row(f, number(ROWS + 1), false),
                      AK_OK);
        assert_true(packed_and_right(f, 0));
        assert_false(packed_and_right(f, 1));
    }
    /* One that finds nothing changes nothing. */
    pack_and_store(f, 1);
    assert_status(delete_ordinal(f, ROWS), AK_OK);
    assert_true(packed_and_right(f, 1));
}

static void a_delete_of_many_unpacks_all_their_segments(void **state)
{
    struct fixture *f = *state;
    const uint64_t ordinals[] = {0, ROWS, 1, ROWS + 1, 2, 2 * ROWS};
    struct ak_change change = {
        .kind = AK_RECORD_DELETE, .ordinals = ordinals, .n_ordinals = 6};
    struct ak_receipt receipt;

    put(f, 4 * ROWS, NULL, NULL);
    for (uint64_t s = 0; s < 4; s++)
        pack_and_store(f, s);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    for (uint64_t s = 0; s < 4; s++)
        assert_int_equal(packed_and_right(f, s), s == 3);
}

static void an_upsert_unpacks_what_it_replaces(void **state)
{
    struct fixture *f = *state;
    struct ak_row_id id = number(5);

    put(f, 2 * ROWS, NULL, NULL);
    pack_and_store(f, 0);
    pack_and_store(f, 1);
    put(f, 1, NULL, NULL); /* a new row replaces nothing */
    assert_true(packed_and_right(f, 0));
    put(f, 1, &id, NULL);
    assert_false(packed_and_right(f, 0));
    assert_true(packed_and_right(f, 1));
}

static void a_relabel_unpacks_and_a_payload_does_not(void **state)
{
    struct fixture *f = *state;
    struct ak_row_id id = number(5);
    struct ak_change payload = {.kind = AK_RECORD_RELABEL,
                                .ids = &id,
                                .n_ids = 1,
                                .set_payload = true,
                                .payload = bytes_of("{}")};
    struct ak_receipt receipt;

    put(f, 2 * ROWS, NULL, one_in_two);
    pack_and_store(f, 0);
    pack_and_store(f, 1);
    assert_status(apply_alone(f, &payload, &receipt), AK_OK);
    assert_true(packed_and_right(f, 0));
    assert_status(relabel(f, id, "other"), AK_OK);
    assert_false(packed_and_right(f, 0));
    assert_true(packed_and_right(f, 1));
}

/* It takes the labels of dead rows, of which nothing is packed. */
static void an_erasure_leaves_packed_rows_right(void **state)
{
    struct fixture *f = *state;
    struct packing before;

    put(f, ROWS, NULL, some);
    pack_and_store(f, 0);
    assert_status(delete_row(f, number(7), true), AK_OK);
    assert_false(packed_and_right(f, 0));
    before = pack(f, 0);
    erase_all(f);
    assert_true(store(f, &before));
    assert_true(packed_and_right(f, 0));
}

static void what_was_undone_unpacks_nothing(void **state)
{
    const struct ak_row_id twice[] = {{.number = 3}, {.number = 3}};
    uint8_t block[2 * ROW_BYTES] = {0};
    struct ak_change change = {.kind = AK_RECORD_UPSERT,
                               .rows = {.n = 2, .block = block, .ids = twice}};
    struct fixture *f = *state;
    struct ak_receipt receipt;
    struct packing p;

    put(f, ROWS, NULL, NULL);
    pack_and_store(f, 0);
    p = pack(f, 0);
    /* Row 3 ends, and then the change fails. */
    assert_status(apply_alone(f, &change, &receipt), AK_EINVAL);
    assert_true(packed_and_right(f, 0));
    assert_true(store(f, &p));
    /* The next change of this segment, in the same record's place, counts. */
    assert_status(delete_row(f, number(3), false), AK_OK);
    assert_false(packed_and_right(f, 0));

    pack_and_store(f, 0);
    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    change.kind = AK_RECORD_DELETE;
    change.ids = twice;
    change.n_ids = 1;
    change.rows.n = 0;
    assert_status(ak_store_apply(f->store, &change, &receipt, &f->err), AK_OK);
    ak_store_rollback(f->store);
    assert_true(packed_and_right(f, 0));
}

static void what_changed_since_it_was_packed_is_refused(void **state)
{
    struct fixture *f = *state;
    struct packing p;

    put(f, 2 * ROWS, NULL, NULL);
    p = pack(f, 0);
    assert_status(delete_ordinal(f, 9), AK_OK);
    assert_false(store(f, &p));
    assert_false(packed_and_right(f, 0));
    /* Other records are no matter. */
    p = pack(f, 0);
    assert_status(delete_ordinal(f, ROWS), AK_OK);
    put(f, 1, NULL, NULL);
    assert_true(store(f, &p));
    assert_true(packed_and_right(f, 0));
}

/* A change that is undone stands for the one before it. */
static void a_change_that_was_undone_hides_no_other(void **state)
{
    const struct ak_row_id twice[] = {{.number = 3}, {.number = 3}};
    uint8_t block[2 * ROW_BYTES] = {0};
    struct ak_change change = {.kind = AK_RECORD_UPSERT,
                               .rows = {.n = 2, .block = block, .ids = twice}};
    struct fixture *f = *state;
    struct ak_receipt receipt;
    struct packing p;

    put(f, ROWS, NULL, NULL);
    p = pack(f, 0);
    assert_status(delete_ordinal(f, 9), AK_OK);
    assert_status(apply_alone(f, &change, &receipt), AK_EINVAL);
    assert_false(store(f, &p));
    assert_false(packed_and_right(f, 0));
}

static void what_was_packed_in_another_life_is_refused(void **state)
{
    struct fixture *f = *state;
    struct packing p;

    put(f, ROWS, NULL, NULL);
    p = pack(f, 0);
    assert_status(delete_ordinal(f, 9), AK_OK);
    close_all(f);
    open_all(f);
    assert_false(store(f, &p));
    pack_and_store(f, 0);
    close_all(f);
    open_all(f);
    assert_true(packed_and_right(f, 0));
}

/* ------------------------------------------------------------ random changes */

struct pending {
    struct packing packing;
    bool there;
};

/* One change of a random row among `n` whose ids are their ordinals at first. */
static void change_row(struct fixture *f, struct ak_rng *rng, uint64_t n)
{
    char text[TEXT];
    uint64_t row = ak_rng_below(rng, n);
    struct ak_row_id id = {.number = row, .text = text};
    enum ak_status status;

    id.len = (size_t)snprintf(text, TEXT, "%llu", (unsigned long long)row);
    switch (ak_rng_below(rng, 5)) {
    case 0:
        assert_status(delete_row(f, id, ak_rng_below(rng, 2) == 0), AK_OK);
        break;
    case 1:
        assert_status(delete_ordinal(f, row), AK_OK);
        break;
    case 2:
        status = relabel(f, id, row % 2 ? "odd" : "even");
        assert_true(status == AK_OK || status == AK_ENOTFOUND);
        break;
    case 3:
        put(f, 1, &id, one_in_two);
        break;
    default:
        erase_all(f);
    }
}

static void random_changes_leave_nothing_wrong(void **state)
{
    enum { SEGMENTS = 3, ROUNDS = 60 };
    struct fixture *f = *state;
    struct pending pending[SEGMENTS] = {{.there = false}};
    int stored = 0, refused = 0, found = 0;
    struct ak_rng rng;

    ak_rng_init(&rng, 17);
    put(f, SEGMENTS * ROWS, NULL, some);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t s = ak_rng_below(&rng, SEGMENTS);

        /* Packed now and stored later, with changes between. */
        if (pending[s].there && store(f, &pending[s].packing))
            stored++;
        else if (pending[s].there)
            refused++;
        else
            pending[s].packing = pack(f, s);
        pending[s].there = !pending[s].there;
        found += packed_and_right(f, s);
        change_row(f, &rng, SEGMENTS * ROWS);
        for (s = 0; s < SEGMENTS && round % 6 == 5; s++)
            found += packed_and_right(f, s);
    }
    for (uint64_t s = 0; s < SEGMENTS; s++)
        if (pending[s].there)
            free(pending[s].packing.data);
    assert_true(stored > 3);
    assert_true(refused > 3);
    assert_true(found > 3);
}

/* ------------------------------------------------------------------ faults */

/* One row of segment 0, which is packed, ends; segment 1 is packed. */
static enum ak_status run_group(struct fixture *f, const struct packing *p)
{
    const uint64_t ordinal = 9;
    struct ak_change change = {
        .kind = AK_RECORD_DELETE, .ordinals = &ordinal, .n_ordinals = 1};
    struct ak_receipt receipt;
    bool stored;
    enum ak_status status = ak_store_begin(f->store, &f->err);

    if (status != AK_OK)
        return status;
    status = ak_store_apply(f->store, &change, &receipt, &f->err);
    if (status == AK_OK)
        status = ak_store_put_packed(f->store, 1, p->seq,
                                     (struct ak_bytes){p->data, p->len},
                                     &stored, &f->err);
    if (status == AK_OK)
        return ak_store_commit(f->store, &f->err);
    ak_store_rollback(f->store);
    return status;
}

static void copy_file(const char *from, const char *to)
{
    char command[256];

    snprintf(command, sizeof(command), "cp %s %s", from, to);
    assert_int_equal(system(command), 0);
}

/* The n-th call of a kind fails, for many n: the row has ended or not, and what
   is packed says so. */
static void a_fault_leaves_nothing_wrong(void **state)
{
    static const enum fault faults[] = {FAULT_WRITE, FAULT_FULL, FAULT_SYNC,
                                        FAULT_READ, FAULT_MEMORY};
    struct fixture *f = *state;
    int done = 0, undone = 0;
    struct packing p;
    char image[128];

    snprintf(image, sizeof(image), "%s.image", f->path);
    put(f, 2 * ROWS, NULL, NULL);
    pack_and_store(f, 0);
    p = pack(f, 1);
    close_all(f);
    copy_file(f->path, image);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        bool was_met = true;

        for (long n = 1; was_met; n += (1 + n / 6) * test_stride()) {
            enum ak_status status;

            copy_file(image, f->path);
            assert_status(ak_store_open(f->path, false, &f->store, &f->err),
                          AK_OK);
            faulty_arm(faults[i], n);
            status = run_group(f, &p);
            was_met = faulty_disarm();
            close_all(f);
            open_all(f);
            /* After a failed sync nobody knows. */
            if (status == AK_OK || faults[i] != FAULT_SYNC)
                assert_int_equal(packed_and_right(f, 0), status != AK_OK);
            else
                packed_and_right(f, 0);
            done += packed_and_right(f, 1);
            undone += !packed_and_right(f, 1);
            close_all(f);
        }
    }
    assert_true(done >= 5);
    assert_true(undone >= 5);
    free(p.data);
}

/* ---------------------------------------------------------------- the file */

static void damaged_packed_rows_are_found(void **state)
{
    struct fixture *f = *state;
    struct ak_packed packed;

    put(f, 2 * ROWS, NULL, one_in_two);
    pack_and_store(f, 0);
    pack_and_store(f, 1);
    damage(f, "UPDATE packed SET data = CAST(x'01' || substr(data, 2) AS BLOB)"
              " WHERE segment = 1");
    open_all(f);
    assert_true(packed_and_right(f, 0));
    assert_status(ak_view_packed(f->view, 1, &packed, &f->err), AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "packed segment 1 has checksum"));
    /* Packed again it is right. */
    pack_and_store(f, 1);
    /* A checksum of bytes that are nothing: crc32('nothing') */
    damage(f, "UPDATE packed SET data = CAST('nothing' AS BLOB),"
              " crc = 573148887 WHERE segment = 1");
    assert_int_equal(ak_crc32("nothing", 7), 573148887);
    open_all(f);
    assert_status(ak_view_packed(f->view, 1, &packed, &f->err), AK_ECORRUPT);
    assert_string_equal(f->err.text,
                        "1.db: segment 1: 7 bytes are not the packed rows of a "
                        "segment");
}

/* Whatever the bytes are, reading ends with a status. */
static void a_wrong_shape_is_corrupt(void **state)
{
    struct fixture *f = *state;
    struct ak_packed packed;
    struct packing p;
    uint64_t *data;
    uint8_t *bytes;
    uint32_t *first;

    put(f, ROWS, NULL, some);
    p = pack(f, 0);
    data = malloc(p.len + 8);
    assert_non_null(data);
    bytes = (uint8_t *)data;
    memcpy(bytes, p.data, p.len);
    bytes[p.len] = 0;
    assert_status(ak_packed_read(data, p.len, false, &packed, NULL), AK_OK);
    assert_status(ak_packed_read(data, p.len, true, &packed, NULL),
                  AK_ECORRUPT);
    assert_status(ak_packed_read(data, p.len + 1, false, &packed, NULL),
                  AK_ECORRUPT);
    for (size_t len = 0; len < p.len; len += 1 + len / 16)
        assert_status(ak_packed_read(data, len, false, &packed, NULL),
                      AK_ECORRUPT);
    /* Each byte of the head but those of `base` matters. */
    for (size_t i = 0; i < 8; i++) {
        bytes[i] ^= 0x10;
        assert_status(ak_packed_read(data, p.len, false, &packed, NULL),
                      AK_ECORRUPT);
        bytes[i] ^= 0x10;
    }
    first = (uint32_t *)(data + 2);
    first[10] = first[11] + 1;
    assert_status(ak_packed_read(data, p.len, false, &packed, NULL),
                  AK_ECORRUPT);
    first[10] = first[11];
    first[0] = 1;
    assert_status(ak_packed_read(data, p.len, false, &packed, NULL),
                  AK_ECORRUPT);
    free(data);
    free(p.data);
}

static void a_file_of_the_former_format_is_brought_up(void **state)
{
    struct fixture *f = *state;

    put(f, ROWS, NULL, some);
    pack_and_store(f, 0);
    /* What it and later steps have brought is taken back. */
    damage(f, OLDER_FINETUNE OLDER_SPACES OLDER_IDENTITY OLDER_PACKED);
    assert_status(ak_view_open(f->path, &f->view, &f->err), AK_ECORRUPT);
    assert_non_null(strstr(f->err.text, "1.db: collection format is 3, must be "
                                        "brought to "));
    open_all(f);
    assert_false(packed_and_right(f, 0));
    pack_and_store(f, 0);
    assert_status(delete_ordinal(f, 1), AK_OK);
    assert_false(packed_and_right(f, 0));
}

static void blocks_of_a_segment_are_counted(void **state)
{
    struct fixture *f = *state;
    uint64_t n;

    put(f, 10, NULL, NULL);
    put(f, ROWS, NULL, NULL); /* across the end of the first segment */
    put(f, ROWS - 10, NULL, NULL);
    put(f, ROWS, NULL, NULL);
    assert_status(ak_view_count_blocks(f->view, 0, &n, &f->err), AK_OK);
    assert_int_equal(n, 2);
    assert_status(ak_view_count_blocks(f->view, 1, &n, &f->err), AK_OK);
    assert_int_equal(n, 2);
    assert_status(ak_view_count_blocks(f->view, 2, &n, &f->err), AK_OK);
    assert_int_equal(n, 1);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_fixture, remove_fixture)
#define TEXT_TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_text_fixture, remove_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ids_in_order_take_no_room),
        TEST(ids_near_each_other_take_four_bytes),
        TEST(ids_far_apart_take_eight),
        TEXT_TEST(texts_are_kept_byte_for_byte),
        TEST(one_label_each_takes_four_bytes),
        TEST(lists_of_labels_are_kept),
        TEST(dead_rows_are_bits_and_have_no_labels),
        TEST(only_full_segments_are_packed),
        TEST(a_delete_unpacks_its_segment_alone),
        TEST(a_delete_of_many_unpacks_all_their_segments),
        TEST(an_upsert_unpacks_what_it_replaces),
        TEST(a_relabel_unpacks_and_a_payload_does_not),
        TEST(an_erasure_leaves_packed_rows_right),
        TEST(what_was_undone_unpacks_nothing),
        TEST(what_changed_since_it_was_packed_is_refused),
        TEST(a_change_that_was_undone_hides_no_other),
        TEST(what_was_packed_in_another_life_is_refused),
        TEST(random_changes_leave_nothing_wrong),
        TEXT_TEST(random_changes_leave_nothing_wrong),
        TEST(a_fault_leaves_nothing_wrong),
        TEST(damaged_packed_rows_are_found),
        TEST(a_wrong_shape_is_corrupt),
        TEST(a_file_of_the_former_format_is_brought_up),
        TEST(blocks_of_a_segment_are_counted),
    };

    faulty_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
