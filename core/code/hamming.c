#include "config.h"

#include "core/code/hamming.h"

#include <stdatomic.h>

#include "core/base/cpu.h"
#include "core/code/hamming_kernels.h"

/* The two tables run side by side: what a kernel needs, and what it is. */
static const struct ak_cpu_kernel needs[] = {
#ifdef HAVE_AVX512_KERNELS
    {"avx512", AK_CPU_AVX512 | AK_CPU_AVX512_VPOPCNT},
#endif
#ifdef HAVE_AVX2_KERNELS
    {"avx2", AK_CPU_AVX2},
#endif
#ifdef HAVE_NEON_KERNELS
    {"neon", AK_CPU_NEON},
#endif
    {"scalar", 0},
};

#define KERNEL(isa, near_stream)                                              \
    {                                                                         \
#isa, ak_hamming_distances_##isa, ak_hamming_near_##isa, near_stream, \
            ak_hamming_near_all_##isa                                         \
    }
static const struct ak_hamming_kernel kernels[] = {
#ifdef HAVE_AVX512_KERNELS
    KERNEL(avx512, ak_hamming_near_stream_avx512),
#endif
#ifdef HAVE_AVX2_KERNELS
    KERNEL(avx2, ak_hamming_near_avx2),
#endif
#ifdef HAVE_NEON_KERNELS
    KERNEL(neon, ak_hamming_near_neon),
#endif
    KERNEL(scalar, ak_hamming_near_scalar),
};

#define N_KERNELS (sizeof(kernels) / sizeof(kernels[0]))

/* Threads that meet here at first use choose the same, so no lock is needed. */
static _Atomic(const struct ak_hamming_kernel *) chosen;

const struct ak_hamming_kernel *ak_hamming_kernel(void)
{
    const struct ak_hamming_kernel *kernel =
        atomic_load_explicit(&chosen, memory_order_relaxed);

    if (kernel == NULL) {
        kernel = &kernels[ak_cpu_choose(needs, N_KERNELS)];
        atomic_store_explicit(&chosen, kernel, memory_order_relaxed);
    }
    return kernel;
}

size_t ak_hamming_n_kernels(void)
{
    return N_KERNELS;
}

const struct ak_hamming_kernel *ak_hamming_kernel_at(size_t i)
{
    return (needs[i].features & ~ak_cpu_features()) == 0 ? &kernels[i] : NULL;
}

void ak_hamming_pin(const struct ak_hamming_kernel *kernel)
{
    atomic_store_explicit(&chosen, kernel, memory_order_relaxed);
}
