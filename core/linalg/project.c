#include "config.h"

#include "core/linalg/project.h"

#include <string.h>

#include "core/linalg/project_kernels.h"

static const struct ak_cpu_kernel needs[] = {
#ifdef HAVE_AVX512_KERNELS
    {"avx512", AK_CPU_AVX512},
#endif
#ifdef HAVE_AVX2_KERNELS
    {"avx2", AK_CPU_AVX2},
#endif
    {"scalar", 0},
};

static const struct ak_project_kernels kernels[] = {
#ifdef HAVE_AVX512_KERNELS
    {"avx512", ak_product_avx512, ak_squares_avx512, ak_exp_avx512},
#endif
#ifdef HAVE_AVX2_KERNELS
    {"avx2", ak_product_avx2, ak_squares_avx2, ak_exp_avx2},
#endif
    {"scalar", ak_product_scalar, ak_squares_scalar, ak_exp_scalar},
};

#define N_KERNELS (sizeof(kernels) / sizeof(kernels[0]))
_Static_assert(N_KERNELS == sizeof(needs) / sizeof(needs[0]),
               "the two tables go together");

const struct ak_project_kernels *ak_project_kernels(void)
{
    return &kernels[ak_cpu_choose(needs, N_KERNELS)];
}

const struct ak_project_kernels *ak_project_kernels_at(unsigned i)
{
    unsigned missing = ~ak_cpu_features();

    for (unsigned k = 0; k < N_KERNELS; k++)
        if ((needs[k].features & missing) == 0 && i-- == 0)
            return &kernels[k];
    return NULL;
}

void ak_panels_pack(const float *w, size_t d, size_t m, float *packed)
{
    memset(packed, 0, d * ak_panel_columns(m) * sizeof(*packed));
    for (size_t k = 0; k < d; k++)
        for (size_t j = 0; j < m; j++)
            packed[ak_panel_at(d, k, j)] = w[k * m + j];
}

void ak_panels_unpack(const float *packed, size_t d, size_t m, float *w)
{
    for (size_t k = 0; k < d; k++)
        for (size_t j = 0; j < m; j++)
            w[k * m + j] = packed[ak_panel_at(d, k, j)];
}

void ak_panels_pack_rows(const float *rows, size_t m, size_t d, float *packed)
{
    memset(packed, 0, d * ak_panel_columns(m) * sizeof(*packed));
    for (size_t j = 0; j < m; j++)
        for (size_t k = 0; k < d; k++)
            packed[ak_panel_at(d, k, j)] = rows[j * d + k];
}

void ak_panels_unpack_rows(const float *packed, size_t m, size_t d, float *rows)
{
    for (size_t j = 0; j < m; j++)
        for (size_t k = 0; k < d; k++)
            rows[j * d + k] = packed[ak_panel_at(d, k, j)];
}
