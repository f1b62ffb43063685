#include "core/base/cpu.h"

#include <stdlib.h>
#include <string.h>

unsigned ak_cpu_features(void)
{
    unsigned features = 0;

    /* The builtin also asks XGETBV, so a feature the operating system does not
       save across context switches counts as absent. */
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("popcnt"))
        features |= AK_CPU_AVX2;
    if (__builtin_cpu_supports("avx512f"))
        features |= AK_CPU_AVX512;
    if (__builtin_cpu_supports("avx512vpopcntdq"))
        features |= AK_CPU_AVX512_VPOPCNT;
#elif defined(__aarch64__)
    features |= AK_CPU_NEON;
#endif
    return features;
}

unsigned ak_cpu_choose(const struct ak_cpu_kernel *kernels, unsigned n)
{
    unsigned missing = ~ak_cpu_features();
    const char *wanted = getenv("AKIND_ISA");
    unsigned chosen = n;

    for (unsigned i = 0; i < n; i++) {
        if ((kernels[i].features & missing) != 0)
            continue;
        if (chosen == n || (wanted && strcmp(wanted, kernels[i].isa) == 0))
            chosen = i;
    }
    return chosen;
}
