/*
 * protocol.h -- one run of the papers' protocol: learn a stream, rank, measure.
 *
 * Rows of the stream are learnt in order, in batches of whole blocks; at points
 * along it the model is frozen, database and queries are encoded with it, and
 * every query ranks the database.  A method with `by_epochs` is trained anew, on
 * all rows up to each point.  A run is a function of the set, the split, the
 * method with its options, the bits and the seed, but for the times.
 */
#ifndef AK_CORE_EVAL_PROTOCOL_H
#define AK_CORE_EVAL_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/eval/metrics.h"
#include "core/eval/split.h"
#include "core/hash/encoder.h"

/* A data set in memory, lent. */
struct ak_eval_set {
    const float *x;         /* (n, dim) finite features, row-major */
    const uint32_t *labels; /* (n) one label each */
    size_t n;
    uint32_t dim;
};

/*
 * What is done to the features before any method sees them: the mean of all rows
 * of the set is taken off, queries included, as the papers' code does; and each
 * row is scaled to unit length.
 */
enum ak_eval_scaling { AK_SCALE_NONE, AK_SCALE_CENTRE, AK_SCALE_UNIT };

/* Rows learnt so far, of all; false ends the run with AK_ECANCELED. */
typedef bool ak_eval_progress_fn(void *context, size_t done, size_t total);

#define AK_EVAL_MAX_POINTS 64

struct ak_eval_run {
    const char *method;
    const double *options; /* as ak_hash_create() takes them */
    uint32_t bits;
    uint64_t seed;     /* of the method; the split has its own */
    const float *mean; /* (dim) of the set; not read with AK_SCALE_NONE */
    enum ak_eval_scaling scaling;
    uint32_t points; /* of the curve, 1..AK_EVAL_MAX_POINTS: the last is the
                            end of the stream.  An incremental split has one at
                            the end of each stage instead. */
    uint32_t radius; /* as in struct ak_eval_params */
    uint32_t map_at;
    uint32_t n_k;
    uint32_t k[AK_EVAL_MAX_K];
    ak_eval_progress_fn *progress; /* NULL: not told */
    void *context;
};

struct ak_eval_point {
    size_t rows;      /* of the stream learnt until here */
    size_t classes;   /* different ones among them; 0: not counted */
    double map;       /* ties averaged, of all queries and the whole database */
    double map_seen;  /* of queries and items of classes that were learnt; */
    double map_first; /* of queries of the first stage, the whole database:
                         both are `map` but for an incremental split */
};

struct ak_eval_outcome {
    struct ak_eval_result result; /* at the end of the stream */
    struct ak_eval_point points[AK_EVAL_MAX_POINTS];
    size_t n_points;

    /* Area under map over rows learnt, by trapezoids from the first point to
       the last, over that distance; the map itself if there is one point. */
    double auc;

    /* Seconds of this thread on a processor. */
    double train_seconds;  /* fixing the map and learning, the whole stream */
    double encode_seconds; /* queries and database, once */
    size_t encoded;        /* how many rows that were */
    double rank_seconds;

    size_t model_bytes;   /* of the saved encoder */
    size_t learner_bytes; /* of memory that the learner holds */
    uint64_t samples;     /* rows learnt, with repeats */
};

/* The mean of all rows, for `mean` above; (dim).  AK_ENOMEM. */
enum ak_status ak_eval_mean(const struct ak_eval_set *set, float *mean,
                            struct ak_err *err) AK_MUST_CHECK;

/*
 * The same of an encoder that was made elsewhere: database and queries are
 * encoded and ranked, nothing is learnt.  Of the run, method, options, seed,
 * points and progress are not read; of the outcome, train_seconds and
 * learner_bytes are 0.
 */
enum ak_status
ak_eval_encoder(const struct ak_eval_set *set, const struct ak_split *split,
                const struct ak_eval_run *run, const struct ak_encoder *encoder,
                struct ak_eval_outcome *out, struct ak_err *err) AK_MUST_CHECK;

/*
 * AK_EINVAL: parameters, as metrics.h and hash.h have it, or `points`.
 * AK_ECANCELED, AK_ENUMERIC, AK_ENOMEM.  Several may run at a time.
 */
enum ak_status ak_eval_protocol(const struct ak_eval_set *set,
                                const struct ak_split *split,
                                const struct ak_eval_run *run,
                                struct ak_eval_outcome *out,
                                struct ak_err *err) AK_MUST_CHECK;

#endif
