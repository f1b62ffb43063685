/*
 * hamming_kernels.h -- one kernel per instruction set; core/code/ and its tests
 * only.
 *
 * hamming_scalar.c is the definition: every other kernel must return the same
 * numbers for every input.  Each hamming_ISA.c is compiled with the flags of
 * its ISA and may call nothing but its own static functions and intrinsics: a
 * shared function compiled there could end up in a path that older machines
 * run.
 */
#ifndef AK_CORE_CODE_HAMMING_KERNELS_H
#define AK_CORE_CODE_HAMMING_KERNELS_H

#include "core/code/hamming.h"

/* Kernels that are built in, best first; the last is the scalar one. */
size_t ak_hamming_n_kernels(void);

/* The i-th, or NULL if this machine cannot run it. */
const struct ak_hamming_kernel *ak_hamming_kernel_at(size_t i);

/*
 * Make `kernel` the one that ak_hamming_kernel() returns; NULL chooses anew.
 * For tests and benchmarks, which walk through all of them in one process.
 */
void ak_hamming_pin(const struct ak_hamming_kernel *kernel);

ak_hamming_distances_fn ak_hamming_distances_scalar;
ak_hamming_distances_fn ak_hamming_distances_avx2;
ak_hamming_distances_fn ak_hamming_distances_avx512;
ak_hamming_distances_fn ak_hamming_distances_neon;

ak_hamming_near_fn ak_hamming_near_scalar;
ak_hamming_near_fn ak_hamming_near_avx2;
ak_hamming_near_fn ak_hamming_near_avx512;
ak_hamming_near_fn ak_hamming_near_stream_avx512;
ak_hamming_near_fn ak_hamming_near_neon;

ak_hamming_near_all_fn ak_hamming_near_all_scalar;
ak_hamming_near_all_fn ak_hamming_near_all_avx2;
ak_hamming_near_all_fn ak_hamming_near_all_avx512;
ak_hamming_near_all_fn ak_hamming_near_all_neon;

#endif
