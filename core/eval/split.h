/*
 * split.h -- which rows of a data set are queries, database and stream.
 *
 * The protocols of the online hashing papers, as their code has them: the whole
 * set is pooled and shuffled by a seed; the first hundred of each class are
 * queries; the rest is the database, and the first 20,000 of it the labelled
 * stream that the model learns from.
 *
 * AK_SPLIT_ZERO_SHOT: a quarter of the classes is unseen.  The stream is of the
 * others; queries and database are of the unseen ones.
 *
 * AK_SPLIT_INCREMENTAL: the same rows as AK_SPLIT_STANDARD, but the stream comes
 * sorted into stages of two classes each, in a seeded order of classes.
 *
 * AK_SPLIT_PARTS: the parts that the set came in, as the deep hashing papers use
 * it.  The first `train` rows are database and stream, in a seeded order; all
 * others are queries.
 *
 * With `validate` the test queries stay unseen, for choosing settings: the
 * stream is what it was, the queries are as many of the rows that follow it in
 * the database, and they search the `validated` rows after them.  Of a zero-shot
 * split the unseen classes are left out, and as many others stand for them.  Of
 * AK_SPLIT_PARTS a seeded tenth of the training rows asks the other ones.
 */
#ifndef AK_CORE_EVAL_SPLIT_H
#define AK_CORE_EVAL_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum ak_split_kind {
    AK_SPLIT_STANDARD,
    AK_SPLIT_ZERO_SHOT,
    AK_SPLIT_INCREMENTAL,
    AK_SPLIT_PARTS
};

struct ak_split_params {
    enum ak_split_kind kind;
    bool validate;
    uint32_t queries; /* of each class, 1 or more; the papers take 100.  Of
                         AK_SPLIT_PARTS not read. */
    size_t train;     /* rows of the training part; of AK_SPLIT_PARTS only */
    size_t stream;    /* rows to learn from, at most; the papers take 20,000 */
    size_t validated; /* database of a validation, at most */
    double unseen;    /* share of classes in a zero-shot split, 0..1 */
    uint32_t stage;   /* classes of a stage, 1 or more */
    uint64_t seed;
};

/* The papers' numbers: 100, 20,000, 20,000, a quarter, 2; seed 0. */
void ak_split_defaults(struct ak_split_params *p);

/*
 * Row numbers of a data set.  The queries are neither in the database nor in the
 * stream.  The caller owns the struct; zeroed, it can be cleared.
 */
struct ak_split {
    const uint32_t *queries, *database, *stream; /* into `rows` */
    size_t n_queries, n_database, n_stream;

    uint32_t *classes; /* different labels, in the seeded order of classes */
    size_t n_classes;
    size_t n_unseen; /* of them at the front, that the stream has none of */

    size_t *stages;  /* (n_stages) rows of the stream until the end of each; */
    size_t n_stages; /* 1 but for AK_SPLIT_INCREMENTAL */

    uint32_t *rows;
};

/*
 * A split of n rows with one label each.  AK_EINVAL: a parameter, or too few
 * rows or classes for it; the text says which.
 */
enum ak_status ak_split_make(const struct ak_split_params *p,
                             const uint32_t *labels, size_t n,
                             struct ak_split *out,
                             struct ak_err *err) AK_MUST_CHECK;
void ak_split_clear(struct ak_split *split);

#endif
