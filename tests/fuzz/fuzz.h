/*
 * fuzz.h -- what a harness is.
 *
 * `fuzz_X.c` defines LLVMFuzzerTestOneInput() and aborts when a promise of the
 * parser is broken.  `./configure CC=clang --enable-fuzzer` links libFuzzer:
 *
 *     tests/fuzz/fuzz_X -max_total_time=60 CORPUS tests/fuzz/corpus/X
 *
 * Without it, `make check` replays tests/fuzz/corpus/X (replay.c).  An input
 * that once failed goes there.
 */
#ifndef AK_TESTS_FUZZ_FUZZ_H
#define AK_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                               \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                        \
        }                                                                   \
    } while (0)

#endif
