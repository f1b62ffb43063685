/*
 * hash.h -- learned hash functions: the learner's side.
 *
 * The life of a learner: create; if ak_hash_warmup_rows() is not zero, collect
 * that many rows (labels do not matter) and ak_hash_fix() its feature map with
 * them; then ak_hash_update() with labelled rows for as long as they come;
 * ak_hash_freeze() at any moment to get an encoder that serves.  One thread at
 * a time; encoders made from it are independent of it.
 *
 * A learner is a pure function of its parameters, the rows it was fixed with
 * and the sequence of rows learnt; how that sequence was cut into batches does
 * not matter for a method that says so (`per_sample`).
 *
 * The others learn block by block, of ak_hash_block_rows() learnable rows each.
 * ak_hash_update() takes any number of rows: it cuts them into blocks in their
 * order, and what remains at the end is a shorter block.  So a caller that
 * gathers whole blocks before it calls gets a model that does not depend on how
 * the rows arrived.
 *
 * A method with `by_epochs` wants to see a set of rows many times before it
 * follows the stream: ak_hash_train(), or the same in steps, ak_hash_pass().
 */
#ifndef AK_CORE_HASH_HASH_H
#define AK_CORE_HASH_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/blob.h"
#include "core/base/err.h"
#include "core/hash/encoder.h"

struct ak_hash;

struct ak_hash_params {
    uint32_t dim;        /* floats in a feature vector, 1..65536 */
    uint32_t bits;       /* bits in a code, 8..1024, a multiple of 8 */
    uint32_t max_labels; /* distinct labels that are learnt, 1..65536 */
    uint64_t seed;       /* of every random draw the model makes */
};

/* A number the user may set; also what --help and GET /v1/methods print. */
struct ak_hash_option {
    const char *name;
    double initial, min, max;
    bool integer;     /* fractions are refused */
    const char *help; /* one line with the unit */
};

/* One row of the table of methods. */
struct ak_hash_method {
    const char *name;   /* lower-case word: API, files */
    const char *source; /* authors, title, venue, year */
    const char *help;   /* one line: what it is good for */
    const struct ak_hash_option *options;
    size_t n_options;
    bool learns;     /* false: lsh, whose update() changes nothing */
    bool per_sample; /* the cut into batches does not matter */
    bool streams;    /* the daemon can feed it */
    bool by_epochs;  /* ak_hash_epochs() is not 0 */
    bool moving_map; /* encoders of one learner differ in their map too */
};

/* Borrowed for the duration of the call that it is passed to. */
struct ak_hash_batch {
    const float *x;         /* (n, dim) finite features, row-major */
    const uint32_t *labels; /* label numbers, sample after sample */
    const uint32_t *first;  /* (n + 1); i has labels[first[i]..first[i + 1]) */
    size_t n;
};

struct ak_hash_loss {
    uint64_t learnt;  /* rows learnt; rows without a learnable label are not */
    uint64_t skipped; /* rows with no label, or only labels above the limit */
    double loss;      /* mean over learnt rows and bits, method's own; 0..1 */
};

/* The i-th method, or NULL past the last one; and by name, or NULL. */
const struct ak_hash_method *ak_hash_method(size_t i);
const struct ak_hash_method *ak_hash_find(const char *name);

/*
 * Options given, one of each in the order of the method's table, or NULL for the
 * defaults, into `options`; AK_EINVAL says which is out of its range.
 */
enum ak_status ak_hash_check_options(const struct ak_hash_method *about,
                                     const double *given, double *options,
                                     struct ak_err *err) AK_MUST_CHECK;

/*
 * A new untrained learner.  `options` holds one value for each option of the
 * method in the order of its table, or is NULL for the defaults.  The caller
 * owns *out and ends it with ak_hash_destroy().
 *
 * AK_ENOTFOUND: no such method.  AK_EINVAL: a parameter out of its range.
 */
enum ak_status ak_hash_create(const char *method,
                              const struct ak_hash_params *params,
                              const double *options, struct ak_hash **out,
                              struct ak_err *err) AK_MUST_CHECK;
void ak_hash_destroy(struct ak_hash *h); /* NULL is a no-op */

/* Learnable rows of one block; 1 for a method that learns row by row. */
size_t ak_hash_block_rows(const struct ak_hash *h);

/* Rows wanted by ak_hash_fix(); 0 when there is nothing (more) to fix. */
size_t ak_hash_warmup_rows(const struct ak_hash *h);

/*
 * Fix the feature map with x (n, dim), n >= 1: fewer rows than wanted are used
 * as they are.  Once; draws are seeded.  AK_EINVAL when n is 0 or it is fixed.
 */
enum ak_status ak_hash_fix(struct ak_hash *h, const float *x, size_t n,
                           struct ak_err *err) AK_MUST_CHECK;

/*
 * Learn from one batch.  Label numbers are any uint32_t; the learner gives a
 * class to each of the first max_labels that it meets, and ignores the others.
 * `loss` may be NULL.  On failure the learner is as it was before the call.
 *
 * AK_EINVAL: not fixed yet.  AK_ENUMERIC: a feature is not finite, or a weight
 * would not be.
 */
enum ak_status ak_hash_update(struct ak_hash *h,
                              const struct ak_hash_batch *batch,
                              struct ak_hash_loss *loss,
                              struct ak_err *err) AK_MUST_CHECK;

/*
 * Learning a set by passes, for a method with `by_epochs`: for each pass 0, 1
 * ... ak_hash_epochs() - 1, say so by ak_hash_pass(), then update with the rows
 * of the set in the order of ak_hash_pass_order(), in whole blocks; at last
 * ak_hash_pass(h, ak_hash_epochs(h)), and what is learnt from then on comes
 * from the stream.  The pass is part of the state, so that a learner saved
 * between two updates goes on where it was.  Rows count as learnt in each pass.
 *
 * ak_hash_epochs() is 0 without `by_epochs`, and ak_hash_pass() does nothing.
 */
uint32_t ak_hash_epochs(const struct ak_hash *h);
void ak_hash_pass(struct ak_hash *h, uint32_t pass); /* 0..epochs */

/* The rows of a set, 0..n - 1, in the seeded order of a pass. */
void ak_hash_pass_order(const struct ak_hash *h, uint32_t pass, uint32_t n,
                        uint32_t *order);

/*
 * All of that with a set in memory, which is one update without `by_epochs`.
 * `loss` is of the last pass.  After a failure the learner has learnt a part.
 */
enum ak_status ak_hash_train(struct ak_hash *h, const struct ak_hash_batch *set,
                             struct ak_hash_loss *loss,
                             struct ak_err *err) AK_MUST_CHECK;

/*
 * Become a model that was trained elsewhere: from here on the learner is `e`,
 * which it holds, and learns nothing.  Updates pass over their rows, whatever
 * else is asked of it is of the encoder, and of its samples.  Once, before
 * anything was learnt.  AK_EINVAL: dim or bits differ, or it is too late.
 */
enum ak_status ak_hash_take(struct ak_hash *h, struct ak_encoder *e,
                            struct ak_err *err) AK_MUST_CHECK;
bool ak_hash_has_taken(const struct ak_hash *h);

/* The encoder of this moment.  Works untrained (version 0 is a frozen lsh). */
enum ak_status ak_hash_freeze(const struct ak_hash *h, struct ak_encoder **out,
                              struct ak_err *err) AK_MUST_CHECK;

uint64_t ak_hash_samples(const struct ak_hash *h); /* rows learnt so far */
uint32_t ak_hash_classes(const struct ak_hash *h); /* labels met so far */

/* The label has a class. */
bool ak_hash_knows(const struct ak_hash *h, uint32_t label);

/* Bytes of memory that the learner holds. */
size_t ak_hash_bytes(const struct ak_hash *h);

/*
 * All state, in two parts, so that a checkpoint writes what never changes once:
 * `constants` are settled by create, fix and take (anchors, projection, code
 * rows, an encoder);
 * `state` changes with every update.  A learner is made again by create() with
 * the same arguments, then both loads; it then continues byte for byte.  One
 * that failed to load (AK_ECORRUPT) may only be destroyed.
 */
enum ak_status ak_hash_save_constants(const struct ak_hash *h,
                                      struct ak_writer *w,
                                      struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_hash_save_state(const struct ak_hash *h, struct ak_writer *w,
                                  struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_hash_load(struct ak_hash *h, struct ak_reader *constants,
                            struct ak_reader *state,
                            struct ak_err *err) AK_MUST_CHECK;

#endif
