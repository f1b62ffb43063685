/* search_data.h -- codes to search in, for bench_search. */
#ifndef AK_TESTS_BENCH_SEARCH_DATA_H
#define AK_TESTS_BENCH_SEARCH_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * codes (n, bits / 8) and queries (n_queries, bits / 8) of the same kind:
 *
 * - "random";
 * - "clustered-P": around 100 random centres, each bit flipped with P per cent;
 * - "SET-METHOD", as "mnist-hmoh" or "fashion-sdoh": codes of a method that has
 *   learnt the training images of the set.  Images come again and again, each
 *   time with fresh normal noise of a tenth of the pixels' range before they are
 *   encoded; queries are test images as they are.
 *
 * A function of its arguments.  False when a data set is not there, or the name
 * is none of these; other failures end the program.
 */
bool bench_codes(const char *data, uint32_t bits, size_t n, uint8_t *codes,
                 size_t n_queries, uint8_t *queries);

#endif
