/*
 * hash_ops.h -- what a hash method supplies; for core/hash/ and its tests only.
 *
 * To add a method: write core/hash/NAME.c with one `struct ak_hash_ops`, name
 * it in the table of hash.c and in local.am.  The contract test runs every
 * method in the table, so the new one is tested before it has a test of its
 * own.
 *
 * hash.c checks parameters, options and finiteness, fits the feature map that
 * create() planned, turns labels into classes, and counts what was learnt.  A
 * method relies on that and repeats none of it.
 */
#ifndef AK_CORE_HASH_HASH_OPS_H
#define AK_CORE_HASH_HASH_OPS_H

#include "core/hash/encoder_internal.h"
#include "core/hash/feature_map.h"
#include "core/hash/hash.h"
#include "core/hash/label_map.h"

#define AK_HASH_MAX_OPTIONS 16

/* The first member of every method's own struct. */
struct ak_hash {
    const struct ak_hash_ops *ops;
    struct ak_hash_params params;
    double options[AK_HASH_MAX_OPTIONS]; /* in the order of the table */
    struct ak_map_plan plan;
    struct ak_feature_map *map; /* NULL until it is fixed */
    struct ak_label_map labels;
    uint64_t samples;         /* rows learnt so far */
    struct ak_encoder *taken; /* held; NULL: it learns */
};

/* A batch with labels turned into classes; rows without one are not learnt. */
struct ak_hash_rows {
    const float *x; /* (n, dim) */
    const uint32_t
        *classes;          /* below labels.n, different within a row, sorted */
    const uint32_t *first; /* (n + 1) */
    size_t n;
    size_t learnt; /* rows with a class */
};

struct ak_hash_ops {
    struct ak_hash_method about;

    /* Raised when the saved bytes change their meaning. */
    uint32_t format;

    /* Bytes of the method's own struct, which arrives zeroed. */
    size_t size;

    /*
     * Check options against each other, set `plan`, make what does not depend
     * on the feature map.  After a failure clear() is called, as it is at the
     * end of every life.
     */
    enum ak_status (*create)(struct ak_hash *h, struct ak_err *err);
    void (*clear)(struct ak_hash *h);

    /*
     * `map` is fixed from now on (it may be during creation): make the weights.
     * A failure leaves the method as it was.
     */
    enum ak_status (*fix)(struct ak_hash *h, struct ak_err *err);

    /*
     * Learn from the rows in order; `samples` counts those before them.  *loss
     * is summed over rows and bits.  Failure leaves the method unchanged.
     * NULL for a method that does not learn.
     */
    enum ak_status (*update)(struct ak_hash *h, const struct ak_hash_rows *rows,
                             double *loss, struct ak_err *err);

    /* Learnable rows of a block; NULL: update() learns row by row. */
    size_t (*block_rows)(const struct ak_hash *h);

    /* Passes over a set, and that one begins; NULL without `by_epochs`. */
    uint32_t (*epochs)(const struct ak_hash *h);
    void (*pass)(struct ak_hash *h, uint32_t pass);

    /* An encoder of the learnt model; called only when `samples` is not 0, or
       if the method does not learn. */
    enum ak_status (*freeze)(const struct ak_hash *h, struct ak_encoder **out,
                             struct ak_err *err);

    /* Memory beyond `size`, the map and the labels. */
    size_t (*bytes)(const struct ak_hash *h);

    /*
     * What the method adds to the two saved parts; any may be NULL.  A load of
     * `constants` comes before fix(), one of `state` after it and only if the
     * map is fixed, with `labels` and `samples` loaded; each returns
     * AK_ECORRUPT with a text, or leaves it to `r`.
     */
    void (*save_constants)(const struct ak_hash *h, struct ak_writer *w);
    enum ak_status (*load_constants)(struct ak_hash *h, struct ak_reader *r,
                                     struct ak_err *err);
    void (*save_state)(const struct ak_hash *h, struct ak_writer *w);
    enum ak_status (*load_state)(struct ak_hash *h, struct ak_reader *r,
                                 struct ak_err *err);
};

/*
 * For methods that centre by the mean of the rows they have learnt: a saved
 * mean must be of `samples` finite rows.
 */
enum ak_status ak_hash_read_mean(const struct ak_hash *h,
                                 struct ak_running_mean *mean,
                                 struct ak_reader *r,
                                 struct ak_err *err) AK_MUST_CHECK;

extern const struct ak_hash_ops ak_hash_fcoh, ak_hash_hcdh, ak_hash_hcoh,
    ak_hash_hmoh, ak_hash_lsh, ak_hash_sdoh;

#endif
