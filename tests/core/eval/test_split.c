/* Splits: who may be where, how many, and that a seed gives the same again. */
#include "tests/test.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/eval/split.h"

enum { ROWS = 1000, CLASSES = 10 };

static uint32_t labels[ROWS];

/* Class c has 55, 65 ... 145 rows; its label is no small number. */
static int make_labels(void **state)
{
    size_t at = 0;

    (void)state;
    for (uint32_t c = 0; c < CLASSES; c++)
        for (uint32_t i = 0; i < 55 + 10 * c; i++)
            labels[at++] = 1000000000u - 7 * c;
    return at == ROWS ? 0 : -1;
}

static struct ak_split_params params(enum ak_split_kind kind)
{
    struct ak_split_params p;

    ak_split_defaults(&p);
    p.kind = kind;
    p.queries = 20;
    p.stream = 300;
    p.validated = 250;
    return p;
}

static size_t count(const uint32_t *rows, size_t n, uint32_t label)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++)
        found += labels[rows[i]] == label;
    return found;
}

/* No row is twice in `rows`, nor in both. */
static bool disjoint(const uint32_t *a, size_t n_a, const uint32_t *b,
                     size_t n_b)
{
    bool seen[ROWS] = {false};
    bool ok = true;

    for (size_t i = 0; i < n_a; i++) {
        ok = ok && !seen[a[i]];
        seen[a[i]] = true;
    }
    for (size_t i = 0; i < n_b; i++) {
        ok = ok && !seen[b[i]];
        seen[b[i]] = true;
    }
    return ok;
}

static void a_standard_split_has_the_papers_counts(void **state)
{
    struct ak_split_params p = params(AK_SPLIT_STANDARD);
    struct ak_split s = {0};

    (void)state;
    assert_status(ak_split_make(&p, labels, ROWS, &s, NULL), AK_OK);
    assert_int_equal(s.n_queries, 200);
    assert_int_equal(s.n_database, 800);
    assert_int_equal(s.n_stream, 300);
    assert_int_equal(s.n_classes, CLASSES);
    assert_int_equal(s.n_unseen, 0);
    assert_int_equal(s.n_stages, 1);
    assert_int_equal(s.stages[0], 300);
    assert_true(disjoint(s.queries, s.n_queries, s.database, s.n_database));
    assert_memory_equal(s.stream, s.database, 300 * sizeof(*s.stream));
    for (size_t c = 0; c < CLASSES; c++)
        assert_int_equal(count(s.queries, s.n_queries, s.classes[c]), 20);
    ak_split_clear(&s);
    p.stream = 100000;
    assert_status(ak_split_make(&p, labels, ROWS, &s, NULL), AK_OK);
    assert_int_equal(s.n_stream, 800);
    ak_split_clear(&s);
}

static void a_seed_gives_the_same_split_and_another_gives_another(void **state)
{
    for (int kind = 0; kind < 3; kind++) {
        struct ak_split_params p = params((enum ak_split_kind)kind);
        struct ak_split a = {0}, b = {0}, c = {0};

        (void)state;
        p.seed = 4;
        assert_status(ak_split_make(&p, labels, ROWS, &a, NULL), AK_OK);
        assert_status(ak_split_make(&p, labels, ROWS, &b, NULL), AK_OK);
        p.seed = 5;
        assert_status(ak_split_make(&p, labels, ROWS, &c, NULL), AK_OK);
        assert_int_equal(a.n_stream, b.n_stream);
        assert_memory_equal(a.rows, b.rows, 2 * ROWS * sizeof(*a.rows));
        assert_memory_equal(a.classes, b.classes, CLASSES * sizeof(*a.classes));
        assert_memory_not_equal(a.queries, c.queries,
                                a.n_queries * sizeof(*a.queries));
        assert_memory_not_equal(a.stream, c.stream, 300 * sizeof(*a.stream));
        ak_split_clear(&a);
        ak_split_clear(&b);
        ak_split_clear(&c);
    }
}

static void a_validation_does_not_touch_the_test_queries(void **state)
{
    struct ak_split_params p = params(AK_SPLIT_STANDARD);
    struct ak_split test = {0}, v = {0};

    (void)state;
    assert_status(ak_split_make(&p, labels, ROWS, &test, NULL), AK_OK);
    p.validate = true;
    assert_status(ak_split_make(&p, labels, ROWS, &v, NULL), AK_OK);
    assert_memory_equal(v.stream, test.stream, 300 * sizeof(*v.stream));
    assert_int_equal(v.n_stream, 300);
    assert_int_equal(v.n_queries, 200);
    assert_int_equal(v.n_database, 250);
    assert_true(disjoint(v.queries, 200, test.queries, 200));
    assert_true(disjoint(v.database, 250, test.queries, 200));
    assert_true(disjoint(v.queries, 200, v.stream, 300));
    assert_true(disjoint(v.queries, 200, v.database, 250));
    assert_true(disjoint(v.stream, 300, v.database, 250));
    ak_split_clear(&test);
    ak_split_clear(&v);
}

static void a_zero_shot_stream_has_none_of_the_classes_asked_about(void **state)
{
    struct ak_split_params p = params(AK_SPLIT_ZERO_SHOT);
    struct ak_split s = {0}, v = {0};

    (void)state;
    assert_status(ak_split_make(&p, labels, ROWS, &s, NULL), AK_OK);
    assert_int_equal(s.n_unseen, 3); /* 2.5, rounded as MATLAB does */
    assert_int_equal(s.n_queries, 60);
    assert_int_equal(s.n_stream, 300);
    for (size_t c = 0; c < CLASSES; c++) {
        bool unseen = c < s.n_unseen;
        size_t all = 0;

        for (size_t i = 0; i < ROWS; i++)
            all += labels[i] == s.classes[c];
        assert_int_equal(count(s.queries, s.n_queries, s.classes[c]),
                         unseen ? 20 : 0);
        assert_int_equal(count(s.database, s.n_database, s.classes[c]),
                         unseen ? all - 20 : 0);
        assert_int_equal(count(s.stream, s.n_stream, s.classes[c]) > 0,
                         !unseen);
    }
    assert_true(disjoint(s.queries, s.n_queries, s.database, s.n_database));

    /* A validation asks about other classes, and learns none of either. */
    p.validate = true;
    assert_status(ak_split_make(&p, labels, ROWS, &v, NULL), AK_OK);
    assert_int_equal(v.n_unseen, 6);
    for (size_t c = 0; c < 6; c++) {
        assert_int_equal(count(v.queries, v.n_queries, v.classes[c]),
                         c < 3 ? 0 : 20);
        assert_int_equal(count(v.stream, v.n_stream, v.classes[c]), 0);
    }
    for (size_t c = 0; c < 3; c++)
        assert_int_equal(count(v.database, v.n_database, v.classes[c]), 0);
    ak_split_clear(&s);
    ak_split_clear(&v);
}

static void an_incremental_stream_has_two_classes_at_a_time(void **state)
{
    struct ak_split_params p = params(AK_SPLIT_INCREMENTAL);
    struct ak_split s = {0}, standard = {0};
    size_t from = 0;

    (void)state;
    assert_status(ak_split_make(&p, labels, ROWS, &s, NULL), AK_OK);
    p.kind = AK_SPLIT_STANDARD;
    assert_status(ak_split_make(&p, labels, ROWS, &standard, NULL), AK_OK);
    assert_int_equal(s.n_stages, 5);
    assert_int_equal(s.stages[4], 300);
    for (size_t stage = 0; stage < 5; stage++) {
        size_t n = s.stages[stage] - from;

        assert_int_equal(
            count(s.stream + from, n, s.classes[2 * stage]) +
                count(s.stream + from, n, s.classes[2 * stage + 1]),
            n);
        from = s.stages[stage];
    }
    /* The same rows in another order; queries and database are the same. */
    assert_memory_equal(s.queries, standard.queries,
                        s.n_queries * sizeof(*s.queries));
    assert_memory_equal(s.database, standard.database,
                        s.n_database * sizeof(*s.database));
    assert_true(disjoint(s.stream, 300, NULL, 0));
    for (size_t c = 0; c < CLASSES; c++)
        assert_int_equal(count(s.stream, 300, s.classes[c]),
                         count(standard.stream, 300, s.classes[c]));
    ak_split_clear(&s);
    ak_split_clear(&standard);
}

/* Rows of a part, each once, from `from` to below `to`. */
static void check_part(const uint32_t *rows, size_t n, uint32_t from,
                       uint32_t to, bool *seen)
{
    for (size_t i = 0; i < n; i++) {
        assert_in_range(rows[i], from, to - 1);
        assert_false(seen[rows[i]]);
        seen[rows[i]] = true;
    }
}

static void parts_stay_what_they_are(void **state)
{
    enum { TRAIN = 700 };
    struct ak_split_params p = params(AK_SPLIT_PARTS);
    struct ak_split s = {0}, v = {0};
    bool seen[ROWS] = {false};

    (void)state;
    p.queries = 0;
    p.train = TRAIN;
    assert_status(ak_split_make(&p, labels, ROWS, &s, NULL), AK_OK);
    assert_int_equal(s.n_queries, ROWS - TRAIN);
    assert_int_equal(s.n_database, TRAIN);
    assert_int_equal(s.n_stream, 300);
    check_part(s.queries, s.n_queries, TRAIN, ROWS, seen);
    check_part(s.database, s.n_database, 0, TRAIN, seen);
    assert_memory_equal(s.stream, s.database, 300 * sizeof(*s.stream));
    /* In an order of the seed, not of the set. */
    assert_int_not_equal(s.stream[0] + 1, s.stream[1]);

    p.validate = true;
    p.stream = ROWS;
    assert_status(ak_split_make(&p, labels, ROWS, &v, NULL), AK_OK);
    assert_int_equal(v.n_queries, TRAIN / 10);
    assert_int_equal(v.n_database, TRAIN - TRAIN / 10);
    assert_int_equal(v.n_stream, v.n_database);
    memset(seen, 0, sizeof(seen));
    check_part(v.queries, v.n_queries, 0, TRAIN, seen);
    check_part(v.stream, v.n_stream, 0, TRAIN, seen);
    ak_split_clear(&s);
    ak_split_clear(&v);
}

static void parts_need_rows_on_both_sides(void **state)
{
    struct ak_split_params p = params(AK_SPLIT_PARTS);
    struct ak_split s = {0};
    struct ak_err err = {0};

    (void)state;
    for (size_t n = 0; n <= ROWS; n += ROWS) {
        p.train = n;
        assert_status(ak_split_make(&p, labels, ROWS, &s, &err), AK_EINVAL);
        assert_non_null(strstr(err.text, "of 1000 rows are for training"));
    }
    p.train = 9;
    assert_status(ak_split_make(&p, labels, ROWS, &s, &err), AK_OK);
    ak_split_clear(&s);
    p.validate = true;
    assert_status(ak_split_make(&p, labels, ROWS, &s, &err), AK_EINVAL);
    assert_string_equal(err.text,
                        "9 rows are for training, a validation needs 10");
}

static void says_what_there_is_too_little_of(void **state)
{
    struct ak_split_params p = params(AK_SPLIT_STANDARD);
    struct ak_split s = {0};
    struct ak_err err = {0};

    (void)state;
    p.queries = 55;
    assert_status(ak_split_make(&p, labels, ROWS, &s, &err), AK_EINVAL);
    assert_non_null(strstr(err.text, "has 55 rows, must be more than its 55"));
    p.queries = 20;
    p.validate = true;
    p.stream = 700;
    assert_status(ak_split_make(&p, labels, ROWS, &s, &err), AK_EINVAL);
    assert_non_null(strstr(err.text, "a validation needs more than 900"));
    p.kind = AK_SPLIT_ZERO_SHOT;
    p.unseen = 0.5;
    assert_status(ak_split_make(&p, labels, ROWS, &s, &err), AK_EINVAL);
    assert_non_null(strstr(err.text, "leaves none to learn"));
    p.unseen = 0.01;
    assert_status(ak_split_make(&p, labels, ROWS, &s, &err), AK_EINVAL);
    assert_non_null(strstr(err.text, "leaves none to ask about"));
    p.unseen = 1;
    assert_status(ak_split_make(&p, labels, ROWS, &s, &err), AK_EINVAL);
    p.unseen = 0.25;
    p.stage = 0;
    assert_status(ak_split_make(&p, labels, ROWS, &s, &err), AK_EINVAL);
    assert_status(ak_split_make(&p, labels, 0, &s, &err), AK_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_standard_split_has_the_papers_counts),
        cmocka_unit_test(a_seed_gives_the_same_split_and_another_gives_another),
        cmocka_unit_test(a_validation_does_not_touch_the_test_queries),
        cmocka_unit_test(
            a_zero_shot_stream_has_none_of_the_classes_asked_about),
        cmocka_unit_test(an_incremental_stream_has_two_classes_at_a_time),
        cmocka_unit_test(parts_stay_what_they_are),
        cmocka_unit_test(parts_need_rows_on_both_sides),
        cmocka_unit_test(says_what_there_is_too_little_of),
    };

    return cmocka_run_group_tests_name("splits", tests, make_labels, NULL);
}
