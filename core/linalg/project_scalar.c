/* The definition of the kernels: plain loops, fused by the C library. */
#include "core/linalg/project_kernels.h"

#include <math.h>
#include <string.h>

void ak_product_scalar(const float *x, size_t n, size_t ldx,
                       const float *packed, size_t d, size_t panels, float *y,
                       size_t ldy)
{
    for (size_t p = 0; p < panels; p++)
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < d; k++)
                for (size_t j = 0; j < AK_PANEL; j++) {
                    float *out = &y[i * ldy + p * AK_PANEL + j];

                    *out = fmaf(x[i * ldx + k],
                                packed[(p * d + k) * AK_PANEL + j], *out);
                }
}

void ak_squares_scalar(const float *x, size_t n, size_t ldx,
                       const float *packed, size_t d, size_t panels, float *y,
                       size_t ldy)
{
    for (size_t p = 0; p < panels; p++)
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < d; k++)
                for (size_t j = 0; j < AK_PANEL; j++) {
                    float *out = &y[i * ldy + p * AK_PANEL + j];
                    float t =
                        x[i * ldx + k] - packed[(p * d + k) * AK_PANEL + j];

                    *out = fmaf(t, t, *out);
                }
}

static float exp_of(float t)
{
    float r, k, f, p;
    uint32_t bits, steps;

    if (!(t >= AK_EXP_LEAST))
        return 0.0f;
    r = fmaf(t, AK_EXP_LOG2E, AK_EXP_SHIFT);
    k = r - AK_EXP_SHIFT;
    f = fmaf(k, -AK_EXP_LN2_HIGH, t);
    f = fmaf(k, -AK_EXP_LN2_LOW, f);
    p = AK_EXP_C7;
    p = fmaf(p, f, AK_EXP_C6);
    p = fmaf(p, f, AK_EXP_C5);
    p = fmaf(p, f, AK_EXP_C4);
    p = fmaf(p, f, AK_EXP_C3);
    p = fmaf(p, f, AK_EXP_C2);
    p = fmaf(p, f, 1.0f);
    p = fmaf(p, f, 1.0f);
    memcpy(&steps, &r, sizeof(steps));
    memcpy(&bits, &p, sizeof(bits));
    /* The bits of SHIFT above the low 9 leave at the top of the word. */
    bits += steps << 23;
    memcpy(&p, &bits, sizeof(p));
    return p;
}

void ak_exp_scalar(float *v, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++)
        v[i] = exp_of(scale * v[i]);
}
