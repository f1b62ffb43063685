/*
 * split.c -- seeded orders of rows, cut into parts.
 *
 * After the authors' code (github.com/lmbxmu/mycode, Datasets/mnist.m and
 * mnist_zs.m): per class a hundred random queries, the rest to search, a
 * permutation of it to learn from.  One shuffle of all rows does all of that
 * here: a class's queries are the first of it in that order.
 */
#include "core/eval/split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"

void ak_split_defaults(struct ak_split_params *p)
{
    *p = (struct ak_split_params){.kind = AK_SPLIT_STANDARD,
                                  .queries = 100,
                                  .stream = 20000,
                                  .validated = 20000,
                                  .unseen = 0.25,
                                  .stage = 2};
}

void ak_split_clear(struct ak_split *s)
{
    ak_array_free(s->rows);
    ak_array_free(s->classes);
    ak_array_free(s->stages);
    memset(s, 0, sizeof(*s));
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* What a split is made with. */
struct work {
    uint32_t *order; /* (n) the shuffled rows */
    uint32_t *names; /* (n_classes) labels, sorted */
    uint32_t *place; /* (n_classes) of a name in the order of classes */
    uint32_t *class; /* (n) of a row, as a place in the order of classes */
    size_t *taken;   /* (n_classes) queries so far */
};

static void free_work(struct work *w)
{
    ak_array_free(w->order);
    ak_array_free(w->names);
    ak_array_free(w->place);
    ak_array_free(w->class);
    ak_array_free(w->taken);
}

/* The different labels, their seeded order, and each row's place in it. */
static enum ak_status order_classes(const struct ak_split_params *p,
                                    const uint32_t *labels, size_t n,
                                    struct work *w, struct ak_split *s,
                                    struct ak_err *err)
{
    struct ak_rng rng;
    size_t n_classes = 1;

    memcpy(w->names, labels, n * sizeof(*labels));
    qsort(w->names, n, sizeof(*w->names), by_number);
    for (size_t i = 1; i < n; i++)
        if (w->names[i] != w->names[n_classes - 1])
            w->names[n_classes++] = w->names[i];
    s->n_classes = n_classes;
    s->classes = ak_array_new(n_classes, sizeof(*s->classes));
    w->place = ak_array_new(n_classes, sizeof(*w->place));
    w->taken = ak_array_new(n_classes, sizeof(*w->taken));
    if (s->classes == NULL || w->place == NULL || w->taken == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu classes", n_classes);
    for (size_t c = 0; c < n_classes; c++)
        s->classes[c] = (uint32_t)c;
    ak_rng_init(&rng, ak_rng_derive(p->seed, "classes"));
    ak_rng_shuffle(&rng, s->classes, (uint32_t)n_classes);
    for (size_t c = 0; c < n_classes; c++) {
        w->place[s->classes[c]] = (uint32_t)c;
        s->classes[c] = w->names[s->classes[c]];
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t *at = bsearch(&labels[i], w->names, n_classes,
                                     sizeof(*w->names), by_number);

        w->class[i] = w->place[at - w->names];
    }
    return AK_OK;
}

static enum ak_status check(const struct ak_split_params *p, size_t n,
                            struct ak_err *err)
{
    if (n == 0 || n > UINT32_MAX - 1)
        return ak_fail(err, AK_EINVAL, "%zu rows, must be 1..%u", n,
                       UINT32_MAX - 1);
    if ((p->queries == 0 && p->kind != AK_SPLIT_PARTS) || p->stream == 0 ||
        p->stage == 0 || (p->validate && p->validated == 0))
        return ak_fail(err, AK_EINVAL,
                       "%u queries of a class, %zu rows of stream, %zu "
                       "validated, %u classes a stage: must be 1 or more",
                       p->queries, p->stream, p->validated, p->stage);
    if (!(p->unseen > 0 && p->unseen < 1))
        return ak_fail(err, AK_EINVAL,
                       "a share of %g unseen classes, must be above 0 and "
                       "below 1",
                       p->unseen);
    return AK_OK;
}

/* Every class that is asked about has a row to be found besides. */
static enum ak_status check_counts(const struct ak_split_params *p,
                                   const struct work *w, size_t n, size_t from,
                                   size_t to, const struct ak_split *s,
                                   struct ak_err *err)
{
    memset(w->taken, 0, s->n_classes * sizeof(*w->taken));
    for (size_t i = 0; i < n; i++)
        w->taken[w->class[i]]++;
    for (size_t c = from; c < to; c++)
        if (w->taken[c] <= p->queries)
            return ak_fail(err, AK_EINVAL,
                           "class %u has %zu rows, must be more than its %u "
                           "queries",
                           s->classes[c], w->taken[c], p->queries);
    memset(w->taken, 0, s->n_classes * sizeof(*w->taken));
    return AK_OK;
}

/* rows: the queries, then the database, whose head is the stream. */
static enum ak_status split_pooled(const struct ak_split_params *p,
                                   struct work *w, size_t n, struct ak_split *s,
                                   struct ak_err *err)
{
    size_t q = 0, b = (size_t)p->queries * s->n_classes;
    enum ak_status status = check_counts(p, w, n, 0, s->n_classes, s, err);

    if (status != AK_OK)
        return status;
    s->n_queries = b;
    for (size_t i = 0; i < n; i++) {
        uint32_t row = w->order[i];
        size_t to = w->taken[w->class[row]]++ < p->queries ? q++ : b++;

        s->rows[to] = row;
    }
    s->queries = s->rows;
    s->stream = s->database = s->rows + s->n_queries;
    s->n_database = n - s->n_queries;
    s->n_stream = p->stream < s->n_database ? p->stream : s->n_database;
    if (!p->validate)
        return AK_OK;
    if (s->n_database - s->n_stream <= s->n_queries)
        return ak_fail(err, AK_EINVAL,
                       "%zu rows in the database, a validation needs more than "
                       "%zu: the stream of %zu and %zu queries",
                       s->n_database, s->n_stream + s->n_queries, s->n_stream,
                       s->n_queries);
    s->queries = s->stream + s->n_stream;
    s->database = s->queries + s->n_queries;
    s->n_database -= s->n_stream + s->n_queries;
    if (s->n_database > p->validated)
        s->n_database = p->validated;
    return AK_OK;
}

/* rows: queries and database of the unseen classes, then the stream. */
static enum ak_status split_unseen(const struct ak_split_params *p,
                                   struct work *w, size_t n, struct ak_split *s,
                                   struct ak_err *err)
{
    size_t unseen = (size_t)round(p->unseen * (double)s->n_classes);
    size_t from = p->validate ? unseen : 0, to = from + unseen;
    size_t q = 0, b;
    enum ak_status status;

    if (unseen == 0 || to >= s->n_classes)
        return ak_fail(err, AK_EINVAL,
                       "%zu classes with a share of %g unseen%s leaves %s",
                       s->n_classes, p->unseen,
                       p->validate ? ", and as many to validate," : "",
                       unseen == 0 ? "none to ask about" : "none to learn");
    status = check_counts(p, w, n, from, to, s, err);
    if (status != AK_OK)
        return status;
    b = s->n_queries = unseen * p->queries;
    for (size_t i = 0; i < n; i++) {
        uint32_t row = w->order[i], c = w->class[row];

        if (c >= from && c < to)
            s->rows[w->taken[c]++ < p->queries ? q++ : b++] = row;
    }
    s->queries = s->rows;
    s->database = s->rows + s->n_queries;
    s->n_database = b - s->n_queries;
    s->stream = s->rows + b;
    for (size_t i = 0; i < n && s->n_stream < p->stream; i++)
        if (w->class[w->order[i]] >= to)
            s->rows[b + s->n_stream++] = w->order[i];
    s->n_unseen = to;
    return AK_OK;
}

/* rows: the training part in order, its first tenth asking in a validation;
   then the rest. */
static enum ak_status split_parts(const struct ak_split_params *p,
                                  const struct work *w, size_t n,
                                  struct ak_split *s, struct ak_err *err)
{
    size_t asking = p->validate ? p->train / 10 : n - p->train, at = 0;

    if (p->train == 0 || p->train >= n)
        return ak_fail(err, AK_EINVAL,
                       "%zu of %zu rows are for training; there must be some, "
                       "and others for tests",
                       p->train, n);
    if (asking == 0)
        return ak_fail(err, AK_EINVAL,
                       "%zu rows are for training, a validation needs 10",
                       p->train);
    for (size_t i = 0; i < n; i++)
        if (w->order[i] < p->train)
            s->rows[at++] = w->order[i];
    for (size_t i = 0; i < n; i++)
        if (w->order[i] >= p->train)
            s->rows[at++] = w->order[i];
    s->n_queries = asking;
    s->n_database = p->validate ? p->train - asking : p->train;
    s->queries = p->validate ? s->rows : s->rows + p->train;
    s->stream = s->database = p->validate ? s->rows + asking : s->rows;
    s->n_stream = p->stream < s->n_database ? p->stream : s->n_database;
    return AK_OK;
}

/* The stream behind all other rows, sorted into stages; stable within one. */
static enum ak_status sort_stream(const struct ak_split_params *p,
                                  const struct work *w, size_t n,
                                  struct ak_split *s, struct ak_err *err)
{
    uint32_t *to = s->rows + n;
    size_t at = 0;

    s->n_stages = (s->n_classes + p->stage - 1) / p->stage;
    ak_array_free(s->stages);
    s->stages = ak_array_new(s->n_stages, sizeof(*s->stages));
    if (s->stages == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu stages", s->n_stages);
    for (size_t stage = 0; stage < s->n_stages; stage++) {
        for (size_t i = 0; i < s->n_stream; i++)
            if (w->class[s->stream[i]] / p->stage == stage)
                to[at++] = s->stream[i];
        s->stages[stage] = at;
    }
    s->stream = to;
    return AK_OK;
}

enum ak_status ak_split_make(const struct ak_split_params *p,
                             const uint32_t *labels, size_t n,
                             struct ak_split *out, struct ak_err *err)
{
    struct ak_split s = {0};
    struct work w = {0};
    struct ak_rng rng;
    enum ak_status status = check(p, n, err);

    if (status != AK_OK)
        return status;
    s.rows = ak_array_new(2 * n, sizeof(*s.rows));
    s.stages = ak_array_new(1, sizeof(*s.stages));
    s.n_stages = 1;
    w.order = ak_array_new(n, sizeof(*w.order));
    w.names = ak_array_new(n, sizeof(*w.names));
    w.class = ak_array_new(n, sizeof(*w.class));
    if (s.rows == NULL || s.stages == NULL || w.order == NULL ||
        w.names == NULL || w.class == NULL) {
        status = ak_fail(err, AK_ENOMEM, "no memory to split %zu rows", n);
        goto out;
    }
    status = order_classes(p, labels, n, &w, &s, err);
    if (status != AK_OK)
        goto out;
    for (uint32_t i = 0; i < n; i++)
        w.order[i] = i;
    ak_rng_init(&rng, ak_rng_derive(p->seed, "split"));
    ak_rng_shuffle(&rng, w.order, (uint32_t)n);
    status = p->kind == AK_SPLIT_ZERO_SHOT ? split_unseen(p, &w, n, &s, err)
             : p->kind == AK_SPLIT_PARTS   ? split_parts(p, &w, n, &s, err)
                                           : split_pooled(p, &w, n, &s, err);
    if (status != AK_OK)
        goto out;
    s.stages[0] = s.n_stream;
    if (p->kind == AK_SPLIT_INCREMENTAL)
        status = sort_stream(p, &w, n, &s, err);

out:
    free_work(&w);
    if (status == AK_OK)
        *out = s;
    else
        ak_split_clear(&s);
    return status;
}
