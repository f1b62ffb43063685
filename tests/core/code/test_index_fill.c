/* A segment appended in columns is what the same rows make one by one. */
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/code/index.h"

enum { ROWS = AK_SEGMENT_ROWS, TEXT = 12, MOST_LABELS = 3 };

enum ids { IN_ORDER, OFFSETS, NUMBERS, TEXTS };
enum labels { NONE, ONE_EACH, HUGE_ONES, LISTS };

/* The same rows in both ways. */
struct rows {
    struct ak_id ids[ROWS];
    uint64_t numbers[ROWS], bits[ROWS / 64];
    uint32_t offsets[ROWS], text_first[ROWS + 1];
    char text[ROWS * TEXT];
    uint32_t labels[ROWS * MOST_LABELS], first[ROWS + 1], one[ROWS];
    bool dead[ROWS];
    uint8_t codes[ROWS * AK_CODE_MAX_BITS / 8];
    struct ak_index_batch batch;
    struct ak_index_segment segment;
};

static void make_id(struct rows *r, size_t i, enum ids ids, struct ak_rng *rng)
{
    char *text = r->text + r->text_first[i];
    int len = snprintf(text, TEXT, "%.*s%x", (int)(i % 3), "ab", (unsigned)i);

    r->text_first[i + 1] = r->text_first[i] + (uint32_t)len;
    r->offsets[i] = (uint32_t)ak_rng_u64(rng);
    r->numbers[i] = ids == NUMBERS   ? ak_rng_u64(rng)
                    : ids == OFFSETS ? UINT64_C(1000000) + r->offsets[i]
                                     : 1000000 + i;
    if (ids == TEXTS)
        r->ids[i] = (struct ak_id){.text = text, .len = (size_t)len};
    else
        r->ids[i] = (struct ak_id){.number = r->numbers[i]};
}

static void make_labels(struct rows *r, size_t i, enum labels labels,
                        struct ak_rng *rng)
{
    static const size_t most[] = {0, 1, 1, MOST_LABELS};
    size_t n = ak_rng_below(rng, most[labels] + 1);
    uint32_t at = r->first[i];

    r->one[i] = AK_NO_LABEL;
    r->first[i + 1] = at + (uint32_t)n;
    for (size_t l = 0; l < n; l++) {
        r->labels[at + l] = (uint32_t)ak_rng_below(rng, 50);
        /* Above what fits beside the mark of a list. */
        if (labels == HUGE_ONES && i % 9 == 0)
            r->labels[at + l] += UINT32_MAX - 50;
        r->one[i] = r->labels[at + l];
    }
}

static struct rows *make_rows(enum ids ids, enum labels labels, bool dead,
                              uint64_t seed)
{
    struct rows *r = calloc(1, sizeof(*r));
    struct ak_rng rng;

    assert_non_null(r);
    ak_rng_init(&rng, seed);
    for (size_t i = 0; i < ROWS; i++) {
        make_id(r, i, ids, &rng);
        make_labels(r, i, labels, &rng);
        r->dead[i] = dead && ak_rng_below(&rng, 3) == 0;
        r->bits[i / 64] |= (uint64_t)r->dead[i] << (i % 64);
    }
    for (size_t i = 0; i < sizeof(r->codes); i++)
        r->codes[i] = (uint8_t)ak_rng_u64(&rng);
    r->batch = (struct ak_index_batch){.n = ROWS,
                                       .ids = r->ids,
                                       .labels = r->labels,
                                       .first = r->first,
                                       .codes = r->codes,
                                       .dead = r->dead};
    r->segment = (struct ak_index_segment){
        .base = 1000000,
        .offsets = ids == OFFSETS ? r->offsets : NULL,
        .numbers = ids == NUMBERS ? r->numbers : NULL,
        .text = r->text,
        .text_first = r->text_first,
        .labels = labels == NONE    ? NULL
                  : labels == LISTS ? r->labels
                                    : r->one,
        .label_first = labels == LISTS ? r->first : NULL,
        .dead = dead ? r->bits : NULL,
        .codes = r->codes};
    return r;
}

static void assert_same_row(const struct ak_snapshot *a,
                            const struct ak_snapshot *b, uint64_t i,
                            size_t bytes)
{
    struct ak_id x = ak_snapshot_id(a, i), y = ak_snapshot_id(b, i);
    const uint32_t *p, *q;
    size_t n = ak_snapshot_labels(a, i, &p);
    uint8_t code[2][AK_CODE_MAX_BITS / 8];

    assert_true(x.number == y.number);
    assert_int_equal(x.len, y.len);
    if (x.len > 0)
        assert_memory_equal(x.text, y.text, x.len);
    assert_int_equal(n, ak_snapshot_labels(b, i, &q));
    if (n > 0)
        assert_memory_equal(p, q, n * sizeof(*p));
    assert_int_equal(ak_snapshot_alive(a, i), ak_snapshot_alive(b, i));
    ak_snapshot_code(a, i, code[0]);
    ak_snapshot_code(b, i, code[1]);
    assert_memory_equal(code[0], code[1], bytes);
}

/* Two indexes show the same, take the same memory and find the same. */
static void assert_same(struct ak_index *a, struct ak_index *b, uint32_t bits)
{
    struct ak_snapshot *s[2];
    struct ak_hit hits[2][20];
    struct ak_search_result results[2];
    uint8_t query[AK_CODE_MAX_BITS / 8];
    struct ak_search search = {
        .codes = query, .n = 1, .limit = 20, .max_distance = UINT32_MAX};

    assert_status(ak_index_commit(a, NULL), AK_OK);
    assert_status(ak_index_commit(b, NULL), AK_OK);
    s[0] = ak_index_snapshot(a);
    s[1] = ak_index_snapshot(b);
    assert_int_equal(ak_snapshot_rows(s[0]), ak_snapshot_rows(s[1]));
    assert_int_equal(ak_snapshot_live(s[0]), ak_snapshot_live(s[1]));
    assert_int_equal(ak_snapshot_bytes(s[0]), ak_snapshot_bytes(s[1]));
    for (uint64_t i = 0; i < ak_snapshot_rows(s[0]); i++)
        assert_same_row(s[0], s[1], i, bits / 8);
    ak_snapshot_code(s[0], ROWS / 2, query);
    for (int i = 0; i < 2; i++)
        assert_status(
            ak_snapshot_search(s[i], &search, hits[i], &results[i], NULL),
            AK_OK);
    assert_int_equal(results[0].n_hits, results[1].n_hits);
    for (size_t i = 0; i < results[0].n_hits; i++) {
        assert_int_equal(hits[0][i].ordinal, hits[1][i].ordinal);
        assert_int_equal(hits[0][i].distance, hits[1][i].distance);
    }
    ak_snapshot_drop(s[0]);
    ak_snapshot_drop(s[1]);
}

/* What may happen to a segment afterwards. */
static void change(struct ak_index *ix, const struct rows *r)
{
    const uint32_t labels[] = {1, 2, 3};
    struct ak_index_batch more = r->batch;

    more.n = 10;
    for (uint64_t i = 0; i < 40; i++)
        if (!r->dead[i])
            assert_status(ak_index_kill(ix, i, NULL), AK_OK);
    assert_status(ak_index_kill(ix, 5, NULL), AK_ENOTFOUND);
    assert_status(ak_index_relabel(ix, 50, labels, 3, NULL), AK_OK);
    assert_status(ak_index_relabel(ix, 51, NULL, 0, NULL), AK_OK);
    assert_status(ak_index_append(ix, &more, NULL), AK_OK);
}

static void compare(uint32_t bits, enum ids ids, enum labels labels, bool dead)
{
    struct rows *r =
        make_rows(ids, labels, dead, 100 * bits + 10 * ids + 2 * labels + dead);
    struct ak_index *ix[2];

    for (int i = 0; i < 2; i++)
        assert_status(
            ak_index_create(bits, ids == TEXTS ? AK_ID_STRING : AK_ID_INTEGER,
                            &ix[i], NULL),
            AK_OK);
    assert_status(ak_index_append(ix[0], &r->batch, NULL), AK_OK);
    assert_status(ak_index_append_segment(ix[1], &r->segment, NULL), AK_OK);
    assert_same(ix[0], ix[1], bits);
    change(ix[0], r);
    change(ix[1], r);
    assert_same(ix[0], ix[1], bits);
    ak_index_destroy(ix[0]);
    ak_index_destroy(ix[1]);
    free(r);
}

static void ids_of_each_form_are_the_same(void **state)
{
    (void)state;
    for (int ids = IN_ORDER; ids <= TEXTS; ids++)
        compare(64, (enum ids)ids, NONE, false);
}

static void labels_of_each_form_are_the_same(void **state)
{
    (void)state;
    for (int labels = ONE_EACH; labels <= LISTS; labels++)
        compare(64, OFFSETS, (enum labels)labels, labels == LISTS);
}

static void codes_of_each_length_are_the_same(void **state)
{
    static const uint32_t bits[] = {8, 64, 72, 128, 1024};

    (void)state;
    for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
        compare(bits[i], IN_ORDER, NONE, true);
}

static void a_segment_begins_where_one_ends(void **state)
{
    struct rows *r = make_rows(IN_ORDER, NONE, false, 1);
    struct ak_index *ix = NULL;
    struct ak_err err = {0};

    (void)state;
    assert_status(ak_index_create(64, AK_ID_INTEGER, &ix, NULL), AK_OK);
    assert_status(ak_index_append_segment(ix, &r->segment, NULL), AK_OK);
    r->batch.n = 3;
    assert_status(ak_index_append(ix, &r->batch, NULL), AK_OK);
    assert_status(ak_index_append_segment(ix, &r->segment, &err), AK_EINVAL);
    assert_string_equal(err.text, "a segment behind 4099 rows");
    assert_int_equal(ak_index_rows(ix), ROWS + 3);
    ak_index_destroy(ix);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_each_form_are_the_same),
        cmocka_unit_test(labels_of_each_form_are_the_same),
        cmocka_unit_test(codes_of_each_length_are_the_same),
        cmocka_unit_test(a_segment_begins_where_one_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
