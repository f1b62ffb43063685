/*
 * search_limits.h -- what no search can be faster than, measured on the spot.
 *
 * One query must read all codes: the limit is reading as many bytes, from
 * wherever they are, with the widest registers there are.  A batch must compare
 * every word of codes with every query: the limit is exclusive or, population
 * count and addition of that many words in the first cache, where a word that is
 * loaded serves four queries.
 */
#ifndef AK_TESTS_BENCH_SEARCH_LIMITS_H
#define AK_TESTS_BENCH_SEARCH_LIMITS_H

#include <stddef.h>
#include <stdint.h>

/* Reads len bytes, a multiple of 64 at a 64-byte boundary; returns a digest, so
   that it is not left out. */
uint64_t limit_read(const void *bytes, size_t len);

/* Compares `words` words, or a few more, with four queries each; a digest. */
uint64_t limit_compare(const char *isa, size_t words);

#endif
