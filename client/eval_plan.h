/*
 * eval_plan.h -- what `akin eval` runs: methods with their options.
 *
 * A variant is a method under a name of its own: itself with its defaults, or
 * one of a short list with other options, such as `hmoh+`.
 */
#ifndef AK_CLIENT_EVAL_PLAN_H
#define AK_CLIENT_EVAL_PLAN_H

#include "client/options.h"
#include "core/eval/protocol.h"
#include "core/hash/hash.h"

#define EVAL_MAX_OPTIONS  32
#define EVAL_MAX_VARIANTS 32
#define EVAL_MAX_BITS     32
#define EVAL_LABEL        96

struct eval_variant {
    const char *name;       /* "hmoh+" */
    char label[EVAL_LABEL]; /* "hmoh+ kernel_anchors=100": with what the user
                               set, for tables */
    const struct ak_hash_method *method;
    bool network; /* trained with its backbone, by eval_network.h */
    double options[EVAL_MAX_OPTIONS];
    bool set[EVAL_MAX_OPTIONS]; /* by the user */
    enum ak_eval_scaling scaling;
};

struct eval_plan {
    struct eval_variant variants[EVAL_MAX_VARIANTS];
    size_t n_variants;
    uint32_t bits[EVAL_MAX_BITS];
    size_t n_bits;
};

/*
 * From the texts of the command line: `methods` "all" or names between commas,
 * `bits` numbers between commas, `options` "METHOD.NAME=VALUE" each, where METHOD
 * may be a variant's name.  `scaling` NULL leaves to each variant its own.
 * EXIT_OK, or EXIT_USAGE with what was said.
 */
int eval_plan_make(const char *methods, const char *bits,
                   const struct text_list *options, const char *scaling,
                   struct eval_plan *out);

/*
 * Give methods that are told how many classes to expect the number there is,
 * where it is above their default and nobody said; and let each check its
 * options: EXIT_OK or EXIT_USAGE.
 */
int eval_plan_fit(struct eval_plan *plan, uint32_t dim, uint32_t n_classes);

/* "none", "centre", "unit". */
const char *eval_scaling_name(enum ak_eval_scaling scaling);

/* "hmoh, hmoh+, ..." of all names, in the order of `all`; static. */
const char *eval_variant_names(void);

#endif
