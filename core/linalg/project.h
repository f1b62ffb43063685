/*
 * project.h -- products and distances of rows with a fixed order of summation.
 *
 * BLAS changes the last bits of a product with the number of rows, and where
 * only the sign is kept the last bit is a cliff.  Here each output is one chain
 * of fused multiply-adds over the input index in order, whatever the number of
 * rows and the instruction set: rows and outputs are what runs in parallel.
 *
 * The right-hand matrix is stored in panels of AK_PANEL columns, each panel
 * (d, AK_PANEL) row-major and the last one padded with zeroes:
 *
 *     entry (k, j) at packed[(j / AK_PANEL * d + k) * AK_PANEL + j % AK_PANEL]
 *
 * so that kernels read it in sequence, and no stride that is a power of two
 * makes rows fight for the same cache lines.
 */
#ifndef AK_CORE_LINALG_PROJECT_H
#define AK_CORE_LINALG_PROJECT_H

#include <stddef.h>

/* Columns in a panel; a multiple of the lanes of every instruction set. */
#define AK_PANEL 16

/* Panels that hold m columns, and the columns with the padding. */
static inline size_t ak_panels(size_t m)
{
    return (m + AK_PANEL - 1) / AK_PANEL;
}

static inline size_t ak_panel_columns(size_t m)
{
    return ak_panels(m) * AK_PANEL;
}

/* Place of entry (k, j) of a matrix with d rows. */
static inline size_t ak_panel_at(size_t d, size_t k, size_t j)
{
    return (j / AK_PANEL * d + k) * AK_PANEL + j % AK_PANEL;
}

/*
 * Between plain matrices and panels of d * ak_panel_columns(m) floats:
 * w (d, m) row-major, or rows (m, d) that become the columns.
 */
void ak_panels_pack(const float *w, size_t d, size_t m, float *packed);
void ak_panels_unpack(const float *packed, size_t d, size_t m, float *w);
void ak_panels_pack_rows(const float *rows, size_t m, size_t d, float *packed);
void ak_panels_unpack_rows(const float *packed, size_t m, size_t d,
                           float *rows);

/*
 * x (n, d) with rows ldx floats apart, packed (panels, d, AK_PANEL), y (n,
 * panels * AK_PANEL) with rows ldy apart.  Adds to what is in y:
 *
 *     product:  y_j = fma(x_k, w_kj, y_j)                 for k = 0, 1, ...
 *     squares:  y_j = fma(t, t, y_j), t = x_k - w_kj      for k = 0, 1, ...
 */
typedef void ak_project_fn(const float *x, size_t n, size_t ldx,
                           const float *packed, size_t d, size_t panels,
                           float *y, size_t ldy);

/*
 * v_i = exp(scale * v_i) for v_i >= 0 (infinity too) and scale < 0; zero where
 * the argument is below -87, and else within 2 units in the last place.  `n` is
 * a multiple of AK_PANEL.
 */
typedef void ak_exp_fn(float *v, size_t n, float scale);

struct ak_project_kernels {
    const char *isa;
    ak_project_fn *product;
    ak_project_fn *squares;
    ak_exp_fn *exp;
};

/*
 * The kernels for this machine, as ak_cpu_choose() has it.  Asks each time:
 * whoever works on many rows keeps the pointer, which is valid for ever.
 */
const struct ak_project_kernels *ak_project_kernels(void);

#endif
