#include "tests/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/code/index.h"

/*
 * One mutator and several readers.  All that a row is follows from its ordinal
 * and the version of the codes, so that a reader can tell whether what it sees
 * is one state: the label says when the row was labelled last, the code is that
 * of the version of the snapshot.
 */
#define BITS     128
#define LEN      (BITS / 8)
#define ROWS     20000
#define STEP     25 /* rows appended between commits, at most */
#define READERS  3
#define VERSIONS 4

struct shared {
    struct ak_index *ix;
    atomic_bool done;
    atomic_uint readers_failed;
};

static void code_of(uint64_t ordinal, uint64_t version, uint8_t *code)
{
    struct ak_rng rng;

    ak_rng_init(&rng, ordinal * 64 + version);
    for (size_t i = 0; i < LEN; i++)
        code[i] = (uint8_t)ak_rng_u64(&rng);
}

/* A string, so that arenas grow, and a list of labels now and then. */
static size_t text_of(uint64_t ordinal, char *text)
{
    size_t len = 1 + ordinal % 23;

    memset(text, 'a' + (int)(ordinal % 26), len);
    return len;
}

static size_t labels_of(uint64_t ordinal, uint32_t *labels)
{
    size_t n = ordinal % 5 == 0 ? 3 : 1;

    for (size_t i = 0; i < n; i++)
        labels[i] = (uint32_t)(ordinal + i);
    return n;
}

/* What is killed and relabelled, once all is there before it. */
static bool dies(uint64_t ordinal)
{
    return ordinal % 7 == 3;
}

static bool check_row(const struct ak_snapshot *s, uint64_t ordinal)
{
    uint8_t code[LEN], expected[LEN];
    uint32_t before[3], after;
    const uint32_t *labels;
    char text[24];
    struct ak_id id = ak_snapshot_id(s, ordinal);
    size_t n = ak_snapshot_labels(s, ordinal, &labels);

    code_of(ordinal, ak_snapshot_version(s), expected);
    ak_snapshot_code(s, ordinal, code);
    if (memcmp(code, expected, LEN) != 0)
        return false;
    if (id.len != text_of(ordinal, text) || memcmp(id.text, text, id.len) != 0)
        return false;
    if (!ak_snapshot_alive(s, ordinal) && !dies(ordinal))
        return false;
    after = (uint32_t)ordinal + 1000000;
    return (n == labels_of(ordinal, before) &&
            memcmp(labels, before, n * sizeof(*labels)) == 0) ||
           (n == 1 && labels[0] == after);
}

/* The nearest row to its own code is the row, at 0; the rest are in order. */
static bool check_search(const struct ak_snapshot *s, uint64_t ordinal)
{
    const uint32_t label[] = {(uint32_t)ordinal, (uint32_t)ordinal + 1000000};
    const struct ak_condition must = {.labels = label, .n_labels = 2};
    const struct ak_filter filter = {.must = &must, .n_must = 1};
    struct ak_hit hits[2][5], again[2][5];
    struct ak_search_result results[2];
    uint8_t queries[2 * LEN];
    struct ak_search search = {
        .codes = queries, .n = 2, .limit = 5, .max_distance = UINT32_MAX};

    code_of(ordinal, ak_snapshot_version(s), queries);
    code_of(ordinal / 2, ak_snapshot_version(s), queries + LEN);
    if (ak_snapshot_search(s, &search, hits[0], results, NULL) != AK_OK ||
        results[0].searched != ak_snapshot_live(s))
        return false;
    if (ak_snapshot_alive(s, ordinal) &&
        (hits[0][0].ordinal != ordinal || hits[0][0].distance != 0))
        return false;
    /* The same snapshot gives the same answer, whatever happens meanwhile. */
    memset(again, 0, sizeof(again));
    if (ak_snapshot_search(s, &search, again[0], results, NULL) != AK_OK)
        return false;
    for (size_t i = 0; i < results[0].n_hits; i++)
        if (again[0][i].ordinal != hits[0][i].ordinal ||
            again[0][i].distance != hits[0][i].distance)
            return false;
    search.filter = &filter;
    if (ak_snapshot_search(s, &search, hits[0], results, NULL) != AK_OK)
        return false;
    return !ak_snapshot_alive(s, ordinal) ||
           (results[0].n_hits > 0 && hits[0][0].ordinal == ordinal);
}

static bool check_snapshot(const struct ak_snapshot *s, struct ak_rng *rng)
{
    uint64_t rows = ak_snapshot_rows(s), live = 0, at = 0;

    if (rows == 0)
        return true;
    for (int i = 0; i < 20; i++)
        if (!check_row(s, ak_rng_below(rng, rows)))
            return false;
    /* Of the end above all, behind which rows are written. */
    if (!check_row(s, rows - 1) || !check_search(s, rows - 1) ||
        !check_search(s, ak_rng_below(rng, rows)))
        return false;
    for (; (at = ak_snapshot_next(s, at, NULL)) < rows; at++)
        live++;
    return live == ak_snapshot_live(s);
}

static void *read_on(void *arg)
{
    struct shared *shared = arg;
    struct ak_rng rng;
    uint64_t rows = 0;

    ak_rng_init(&rng, (uint64_t)(uintptr_t)&rng);
    while (!atomic_load(&shared->done)) {
        struct ak_snapshot *s = ak_index_snapshot(shared->ix);

        if (ak_snapshot_rows(s) < rows || !check_snapshot(s, &rng)) {
            atomic_fetch_add(&shared->readers_failed, 1);
            ak_snapshot_drop(s);
            return NULL;
        }
        rows = ak_snapshot_rows(s);
        ak_snapshot_drop(s);
    }
    return NULL;
}

static void append(struct ak_index *ix, uint64_t from, size_t n,
                   uint64_t version)
{
    struct ak_id ids[STEP];
    char text[STEP][24];
    uint32_t labels[STEP * 3], first[STEP + 1] = {0};
    uint8_t codes[STEP * LEN];

    for (size_t i = 0; i < n; i++) {
        ids[i] =
            (struct ak_id){.text = text[i], .len = text_of(from + i, text[i])};
        first[i + 1] =
            first[i] + (uint32_t)labels_of(from + i, labels + first[i]);
        code_of(from + i, version, codes + i * LEN);
    }
    assert_status(ak_index_append(ix,
                                  &(struct ak_index_batch){.n = n,
                                                           .ids = ids,
                                                           .labels = labels,
                                                           .first = first,
                                                           .codes = codes},
                                  NULL),
                  AK_OK);
}

static void install(struct ak_index *ix, uint64_t version)
{
    struct ak_column *column = NULL;
    uint8_t code[LEN];

    assert_status(ak_column_create(BITS, &column, NULL), AK_OK);
    for (uint64_t i = 0; i < ak_index_rows(ix); i++) {
        code_of(i, version, code);
        assert_status(ak_column_append(column, code, 1, NULL), AK_OK);
    }
    assert_status(ak_index_install(ix, column, NULL, version, NULL), AK_OK);
}

static void mutate(struct ak_index *ix)
{
    uint64_t rows, version = 0;
    struct ak_rng rng;

    ak_rng_init(&rng, 1);
    while ((rows = ak_index_rows(ix)) < ROWS) {
        append(ix, rows, 1 + (size_t)ak_rng_below(&rng, STEP), version);
        rows = ak_index_rows(ix);
        for (int i = 0; i < 3; i++) {
            uint64_t row = ak_rng_below(&rng, rows);
            uint32_t label = (uint32_t)row + 1000000;

            if (dies(row)) {
                enum ak_status status = ak_index_kill(ix, row, NULL);

                assert_true(status == AK_OK || status == AK_ENOTFOUND);
            }
            assert_status(ak_index_relabel(ix, row, &label, 1, NULL), AK_OK);
        }
        assert_status(ak_index_commit(ix, NULL), AK_OK);
        if (rows / (ROWS / VERSIONS) > version && version < VERSIONS)
            install(ix, ++version);
    }
}

static void snapshots_hold_while_a_mutator_runs(void **state)
{
    struct shared shared = {0};
    pthread_t readers[READERS];

    (void)state;
    assert_status(ak_index_create(BITS, AK_ID_STRING, &shared.ix, NULL), AK_OK);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &shared),
                         0);
    mutate(shared.ix);
    atomic_store(&shared.done, true);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(atomic_load(&shared.readers_failed), 0);
    ak_index_destroy(shared.ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshots_hold_while_a_mutator_runs),
    };

    return cmocka_run_group_tests_name("index_threads", tests, NULL, NULL);
}
