/*
 * Queries that are scanned together, beside each alone; work that is shared by a
 * pool; and a gather under load.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "server/gather.h"
#include "server/scan.h"
#include "tests/test.h"

enum {
    BITS = 64,
    LEN = BITS / 8,
    ROWS = 20000,
    LABELS = 5,
    MOST = 60,   /* scans of a list */
    LIMIT = 300, /* hits, at most */
    THREADS = 6,
    ASKED = 60, /* queries of a thread */
    POOL = 3
};

static struct ak_index *index_of_rows(void)
{
    struct ak_id *ids = ak_array_new(ROWS, sizeof(*ids));
    uint8_t *codes = ak_array_new(ROWS, LEN);
    uint32_t *labels = ak_array_new(ROWS, sizeof(*labels));
    uint32_t *first = ak_array_new(ROWS + 1, sizeof(*first));
    struct ak_index *ix = NULL;
    struct ak_rng rng;

    assert_true(ids && codes && labels && first);
    ak_rng_init(&rng, 3);
    for (uint32_t i = 0; i < ROWS; i++) {
        uint64_t word = ak_rng_u64(&rng) & ak_rng_u64(&rng);

        memcpy(codes + (size_t)i * LEN, &word, LEN);
        ids[i].number = i;
        labels[i] = i % LABELS;
        first[i + 1] = i + 1;
    }
    assert_status(ak_index_create(BITS, AK_ID_INTEGER, &ix, NULL), AK_OK);
    assert_status(ak_index_append(ix,
                                  &(struct ak_index_batch){.n = ROWS,
                                                           .ids = ids,
                                                           .labels = labels,
                                                           .first = first,
                                                           .codes = codes},
                                  NULL),
                  AK_OK);
    assert_status(ak_index_kill(ix, 17, NULL), AK_OK);
    assert_status(ak_index_commit(ix, NULL), AK_OK);
    ak_array_free(first);
    ak_array_free(labels);
    ak_array_free(codes);
    ak_array_free(ids);
    return ix;
}

/* ------------------------------------------------------------------ queries */

struct asked {
    struct ak_scan scan;
    uint8_t code[LEN];
    struct ak_hit hits[LIMIT];
};

static const uint32_t label = 3;
static const struct ak_condition of_label = {.labels = &label, .n_labels = 1};
static const struct ak_filter filter = {.must = &of_label, .n_must = 1};

static void make(struct asked *a, const struct ak_snapshot *s,
                 struct ak_rng *rng)
{
    static const size_t limits[] = {1, 9, 10, 11, 40, LIMIT};
    uint64_t word = ak_rng_u64(rng) & ak_rng_u64(rng);
    uint64_t now = ak_clock_ns();

    memset(a, 0, sizeof(*a));
    memcpy(a->code, &word, LEN);
    a->scan = (struct ak_scan){.snapshot = s,
                               .code = a->code,
                               .bits = BITS,
                               .limit = limits[ak_rng_below(rng, 6)],
                               .max_distance = UINT32_MAX,
                               .hits = a->hits};
    if (ak_rng_below(rng, 4) == 0)
        a->scan.max_distance = 12 + (uint32_t)ak_rng_below(rng, 2);
    if (ak_rng_below(rng, 5) == 0)
        a->scan.filter = &filter;
    if (ak_rng_below(rng, 6) == 0) {
        a->scan.paging = true;
        a->scan.after_distance = 10;
        a->scan.after_ordinal = ak_rng_below(rng, ROWS);
    }
    /* None, two that are far away, and one that has passed. */
    switch (ak_rng_below(rng, 6)) {
    case 0:
        a->scan.deadline_ns = now + UINT64_C(3600000000000);
        break;
    case 1:
        a->scan.deadline_ns = now + UINT64_C(7200000000000);
        break;
    case 2:
        a->scan.deadline_ns = 1;
        break;
    default:
        break;
    }
}

static void assert_as_alone(const struct asked *a)
{
    const struct ak_scan *scan = &a->scan;
    struct ak_hit hits[LIMIT];
    struct ak_search_result r;
    const struct ak_search search = {.codes = a->code,
                                     .n = 1,
                                     .limit = scan->limit,
                                     .max_distance = scan->max_distance,
                                     .filter = scan->filter,
                                     .paging = scan->paging,
                                     .after_distance = scan->after_distance,
                                     .after_ordinal = scan->after_ordinal};

    if (scan->deadline_ns == 1) {
        assert_false(scan->result.complete);
        assert_int_equal(scan->result.n_hits, 0);
        assert_int_equal(scan->result.searched, 0);
        return;
    }
    assert_status(ak_snapshot_search(scan->snapshot, &search, hits, &r, NULL),
                  AK_OK);
    assert_true(scan->result.complete);
    assert_int_equal(scan->result.n_hits, r.n_hits);
    assert_int_equal(scan->result.searched, r.searched);
    for (size_t i = 0; i < r.n_hits; i++) {
        assert_int_equal(a->hits[i].ordinal, hits[i].ordinal);
        assert_int_equal(a->hits[i].distance, hits[i].distance);
    }
}

static void queries_find_together_what_each_finds_alone(void **state)
{
    struct ak_index *ix = index_of_rows();
    struct ak_snapshot *s[2];
    struct asked *asked = ak_array_new(MOST, sizeof(*asked));
    struct ak_scan *list[MOST];
    struct ak_pool *pool;
    struct ak_rng rng;

    (void)state;
    assert_status(ak_pool_create(POOL, 0, "scan", &pool, NULL), AK_OK);
    s[0] = ak_index_snapshot(ix);
    assert_status(ak_index_kill(ix, 18, NULL), AK_OK);
    assert_status(ak_index_commit(ix, NULL), AK_OK);
    s[1] = ak_index_snapshot(ix);
    assert_non_null(asked);
    ak_rng_init(&rng, 4);
    for (int round = 0; round < 12; round++) {
        size_t n = 1 + ak_rng_below(&rng, MOST);

        for (size_t i = 0; i < n; i++) {
            make(&asked[i], s[ak_rng_below(&rng, 2)], &rng);
            list[i] = &asked[i].scan;
        }
        assert_status(ak_scan_run(list, n, round % 2 ? pool : NULL, NULL),
                      AK_OK);
        for (size_t i = 0; i < n; i++)
            assert_as_alone(&asked[i]);
    }
    ak_array_free(asked);
    ak_snapshot_drop(s[1]);
    ak_snapshot_drop(s[0]);
    ak_pool_destroy(pool);
    ak_index_destroy(ix);
}

static void an_estimate_grows_with_the_queries(void **state)
{
    struct ak_index *ix = index_of_rows();
    struct ak_snapshot *s = ak_index_snapshot(ix);

    (void)state;
    assert_true(ak_scan_estimate(s, BITS, 1) > 0);
    assert_true(ak_scan_estimate(s, BITS, 100) >=
                50 * ak_scan_estimate(s, BITS, 1));
    ak_snapshot_drop(s);
    ak_index_destroy(ix);
}

/* ------------------------------------------------------------------- sharing */

struct shared {
    struct ak_pool *pool;
    atomic_uint calls[64];
    size_t n;
    bool nested;
};

static void call_part(void *arg, size_t i)
{
    struct shared *s = arg;

    atomic_fetch_add(&s->calls[i], 1);
    sched_yield();
    if (s->nested) {
        struct shared inner = {.pool = s->pool, .n = 5};

        ak_pool_share(s->pool, inner.n, call_part, &inner);
        for (size_t k = 0; k < inner.n; k++)
            assert_int_equal(atomic_load(&inner.calls[k]), 1);
    }
}

static void each_part_is_run_once_also_from_within_the_pool(void **state)
{
    struct ak_pool *pool;

    (void)state;
    assert_status(ak_pool_create(POOL, 0, "share", &pool, NULL), AK_OK);
    assert_int_equal(ak_pool_threads(pool), POOL);
    for (size_t n = 1; n <= 64; n += 7) {
        struct shared s = {.pool = pool, .n = n, .nested = n % 2 == 0};

        ak_pool_share(pool, n, call_part, &s);
        for (size_t i = 0; i < 64; i++)
            assert_int_equal(atomic_load(&s.calls[i]), i < n);
    }
    ak_pool_destroy(pool);
}

/* -------------------------------------------------------------------- a gather */

struct desk {
    struct ak_gather gather;
    struct ak_pool *pool;
    struct ak_index *ix;
    atomic_uint at_work; /* never more than two */
    pthread_mutex_t lock;
    pthread_cond_t over;
};

struct visitor {
    struct ak_gather_item item; /* first */
    struct desk *desk;
    struct asked asked;
    bool done; /* under the desk's lock */
};

struct round_task {
    struct ak_task task;
    struct desk *desk;
};

static void run_round(struct ak_task *task);

static void start_round(struct desk *d)
{
    struct round_task *t = calloc(1, sizeof(*t));

    assert_non_null(t);
    t->task.run = run_round;
    t->desk = d;
    ak_pool_run(d->pool, &t->task);
}

static void run_round(struct ak_task *task)
{
    struct desk *d = ((struct round_task *)task)->desk;
    struct ak_gather_item *item = ak_gather_take(&d->gather, 4);
    struct ak_scan *list[4];
    struct visitor *visitors[4];
    size_t n = 0;

    free(task);
    assert_in_range(atomic_fetch_add(&d->at_work, 1), 0, AK_GATHER_ROUNDS - 1);
    for (; item != NULL; item = item->next) {
        visitors[n] = (struct visitor *)item;
        list[n] = &visitors[n]->asked.scan;
        n++;
    }
    assert_in_range(n, 1, 4);
    assert_status(ak_scan_run(list, n, d->pool, NULL), AK_OK);
    atomic_fetch_sub(&d->at_work, 1);
    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < n; i++)
        visitors[i]->done = true;
    pthread_cond_broadcast(&d->over);
    pthread_mutex_unlock(&d->lock);
    if (ak_gather_end(&d->gather))
        start_round(d);
}

static void *visit(void *arg)
{
    struct visitor *v = arg;
    struct desk *d = v->desk;
    struct ak_rng rng;

    ak_rng_init(&rng, (uint64_t)(uintptr_t)v);
    for (int i = 0; i < ASKED; i++) {
        struct ak_snapshot *s = ak_index_snapshot(d->ix);

        make(&v->asked, s, &rng);
        if (ak_gather_begin(&d->gather, 0)) {
            struct ak_scan *one = &v->asked.scan;

            assert_in_range(atomic_fetch_add(&d->at_work, 1), 0,
                            AK_GATHER_ROUNDS - 1);
            assert_status(ak_scan_run(&one, 1, d->pool, NULL), AK_OK);
            atomic_fetch_sub(&d->at_work, 1);
            if (ak_gather_end(&d->gather))
                start_round(d);
        } else {
            v->done = false;
            if (ak_gather_push(&d->gather, &v->item))
                start_round(d);
            pthread_mutex_lock(&d->lock);
            while (!v->done)
                pthread_cond_wait(&d->over, &d->lock);
            pthread_mutex_unlock(&d->lock);
        }
        assert_as_alone(&v->asked);
        ak_snapshot_drop(s);
    }
    return NULL;
}

static void who_waits_goes_with_the_next_round_and_finds_the_same(void **state)
{
    struct desk d = {.ix = index_of_rows()};
    pthread_t threads[THREADS];
    struct visitor *visitors = ak_array_new(THREADS, sizeof(*visitors));

    (void)state;
    assert_non_null(visitors);
    assert_status(ak_pool_create(POOL, 0, "gather", &d.pool, NULL), AK_OK);
    ak_gather_init(&d.gather);
    pthread_mutex_init(&d.lock, NULL);
    pthread_cond_init(&d.over, NULL);
    for (int i = 0; i < THREADS; i++) {
        visitors[i].desk = &d;
        assert_int_equal(pthread_create(&threads[i], NULL, visit, &visitors[i]),
                         0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    /* The last round may still be on its way out. */
    ak_pool_destroy(d.pool);
    ak_gather_clear(&d.gather);
    pthread_cond_destroy(&d.over);
    pthread_mutex_destroy(&d.lock);
    ak_array_free(visitors);
    ak_index_destroy(d.ix);
}

static void those_who_wait_are_taken_in_order_of_arrival(void **state)
{
    struct ak_gather_item items[6], *list;
    struct ak_gather g;

    (void)state;
    ak_gather_init(&g);
    assert_true(ak_gather_begin(&g, 0));
    assert_false(ak_gather_begin(&g, 0));
    assert_true(ak_gather_push(&g, &items[0])); /* a round comes */
    for (int i = 1; i < 4; i++)
        assert_false(ak_gather_push(&g, &items[i])); /* for all of them */
    assert_false(ak_gather_end(&g));
    assert_false(ak_gather_begin(&g, 0));
    list = ak_gather_take(&g, 3);
    assert_ptr_equal(list, &items[0]);
    assert_ptr_equal(list->next, &items[1]);
    assert_ptr_equal(list->next->next, &items[2]);
    assert_null(list->next->next->next);
    assert_true(ak_gather_push(&g, &items[4])); /* a second one beside it */
    list = ak_gather_take(&g, 3);
    assert_ptr_equal(list, &items[3]);
    assert_ptr_equal(list->next, &items[4]);
    assert_null(list->next->next);
    assert_false(ak_gather_push(&g, &items[5])); /* but no third */
    assert_true(ak_gather_end(&g));
    assert_false(ak_gather_end(&g)); /* the one that comes takes it */
    assert_ptr_equal(ak_gather_take(&g, 3), &items[5]);
    assert_false(ak_gather_end(&g));
    assert_true(ak_gather_push(&g, &items[0]));
    assert_false(ak_gather_push(&g, &items[1]));
    assert_ptr_equal(ak_gather_take(&g, 3), &items[0]);
    assert_false(ak_gather_end(&g));
    assert_false(ak_gather_begin(&g, 0));       /* idle, but crowded */
    assert_true(ak_gather_push(&g, &items[0])); /* idle: the caller runs it */
    assert_ptr_equal(ak_gather_take(&g, 1), &items[0]);
    assert_false(ak_gather_end(&g));
    assert_false(ak_gather_begin(&g, UINT64_C(3600000000000))); /* just now */
    assert_true(ak_gather_begin(&g, 0)); /* it was alone */
    assert_false(ak_gather_end(&g));
    ak_gather_clear(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_find_together_what_each_finds_alone),
        cmocka_unit_test(an_estimate_grows_with_the_queries),
        cmocka_unit_test(each_part_is_run_once_also_from_within_the_pool),
        cmocka_unit_test(those_who_wait_are_taken_in_order_of_arrival),
        cmocka_unit_test(who_waits_goes_with_the_next_round_and_finds_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
