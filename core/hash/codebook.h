/*
 * codebook.h -- target codes of classes: rows of a Hadamard matrix.
 *
 * Class c, in order of first sight, gets a row of a seeded shuffle of Sylvester's
 * matrix of `order` = the smallest power of two >= max(bits, declared classes).
 * Where order and bits differ, the row is projected: the code is the sign of
 * V' row with V (order, bits) from the normal distribution, drawn once.
 *
 * A class beyond the order, or one whose code is in use already, gets a seeded
 * random row: of 500 the one whose code is farthest from the nearest code in
 * use.  A code once given never changes.
 *
 * For core/hash/ and its tests.  The caller owns the struct; zeroed, it can be
 * cleared.
 */
#ifndef AK_CORE_HASH_CODEBOOK_H
#define AK_CORE_HASH_CODEBOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/blob.h"
#include "core/base/err.h"

struct ak_codebook {
    uint32_t order, bits, declared;
    bool paley; /* rows are of Paley's matrix, not of Sylvester's */
    uint64_t seed;
    uint32_t *row_of; /* (order) Sylvester row of the class of that number */
    float *v;         /* (order, bits) or NULL when order == bits */
    uint32_t n;       /* classes that have a code */
    size_t cap;
    uint64_t *rows;  /* (cap, row words) +1 is a set bit */
    uint64_t *codes; /* (cap, code words) */
    float *vote;     /* (order) scratch of ak_codebook_target() */
    uint32_t *tied;  /* (order) likewise */
    float *sum;      /* (bits) likewise */
};

/*
 * Shuffle and projection are drawn until the codes of the first `declared`
 * classes all differ, and no column is constant, or equal or opposite to
 * another, as far as bits and order allow; the best of some draws if none is
 * perfect.  With
 * `pick`, 500 are drawn and the one with the largest (minimum, mean) distance
 * between those codes is kept; fewer where 500 would take seconds.
 */
enum ak_status ak_codebook_init(struct ak_codebook *b, uint32_t bits,
                                uint32_t declared, bool pick, uint64_t seed,
                                struct ak_err *err) AK_MUST_CHECK;

/*
 * With `pick`; and with rows of Paley's matrix of order 48 where bits are 48
 * and classes fit, which Sylvester's must be projected for.
 */
enum ak_status ak_codebook_init_deep(struct ak_codebook *b, uint32_t bits,
                                     uint32_t declared, uint64_t seed,
                                     struct ak_err *err) AK_MUST_CHECK;
void ak_codebook_clear(struct ak_codebook *b);

/* Give codes to classes up to n.  On failure no class has got one. */
enum ak_status ak_codebook_grow(struct ak_codebook *b, uint32_t n,
                                struct ak_err *err) AK_MUST_CHECK;

/* Forget the codes of the classes from n on; growing again gives the same. */
void ak_codebook_truncate(struct ak_codebook *b, uint32_t n);

/* Bit j of class c's code: +1 or -1. */
int ak_codebook_bit(const struct ak_codebook *b, uint32_t c, uint32_t j);

/*
 * The target of a row with `n` classes, sorted and different: +1 or -1 for each
 * bit.  Several classes vote with their rows, entry by entry.  Of the tied
 * entries, so many take the rarer sign as make the signs even, and of the rest
 * half each; which ones is drawn from a seed made of the classes themselves, so
 * that a set of classes has one target for ever.
 */
void ak_codebook_target(struct ak_codebook *b, const uint32_t *classes,
                        size_t n, float *target);

size_t ak_codebook_bytes(const struct ak_codebook *b);

/* Shuffle and projection; and the rows given so far. */
void ak_codebook_write_constants(const struct ak_codebook *b,
                                 struct ak_writer *w);
enum ak_status ak_codebook_read_constants(struct ak_codebook *b,
                                          struct ak_reader *r,
                                          struct ak_err *err) AK_MUST_CHECK;
void ak_codebook_write_rows(const struct ak_codebook *b, struct ak_writer *w);
enum ak_status ak_codebook_read_rows(struct ak_codebook *b, uint32_t n,
                                     struct ak_reader *r,
                                     struct ak_err *err) AK_MUST_CHECK;

#endif
