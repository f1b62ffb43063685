/* cpu.h -- which instruction sets this machine and its kernel support. */
#ifndef AK_CORE_BASE_CPU_H
#define AK_CORE_BASE_CPU_H

enum ak_cpu_feature {
    AK_CPU_AVX2 = 1 << 0,           /* AVX2, FMA and POPCNT */
    AK_CPU_AVX512 = 1 << 1,         /* AVX512F */
    AK_CPU_AVX512_VPOPCNT = 1 << 2, /* AVX512VPOPCNTDQ */
    AK_CPU_NEON = 1 << 3
};

/* Bit set of ak_cpu_feature.  Cheap enough to call again; not cached. */
unsigned ak_cpu_features(void);

/*
 * Which of `n` kernels to run, listed best first with the scalar one last:
 * the first that needs nothing the machine lacks.  The environment variable
 * AKIND_ISA, when it names a kernel that can run here, pins that one.
 */
struct ak_cpu_kernel {
    const char *isa;   /* "scalar", "avx2", "avx512", "neon" */
    unsigned features; /* ak_cpu_feature bits that it needs */
};
unsigned ak_cpu_choose(const struct ak_cpu_kernel *kernels, unsigned n);

#endif
