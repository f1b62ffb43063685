/*
 * project_tile.h -- the loops of a vector kernel, for project_avx2.c and
 * project_avx512.c, each of which defines before it includes this:
 *
 *     VEC, LANES               the vector type and its floats
 *     V_LOAD, V_STORE, V_SET1, V_SUB, V_FMA(a, b, c) = a * b + c
 *     TILE_ROWS, TILE_PANELS   a tile that keeps its sums in registers
 *
 * A tile of rows and panels takes its sums from y, adds D_BLOCK or fewer terms
 * to each, in order, and puts them back; so neither the size of a tile nor the
 * cut of d into blocks is seen in the result.
 */
#define VECS (AK_PANEL / LANES)

/* Panels in a tile of one row, which has few sums and would wait for each. */
#define ROW_PANELS 4

/* Terms at a time: the panels of a tile then stay in the first-level cache. */
#define D_BLOCK 128

/* gcc keeps an array in registers only if the loops over it are unrolled. */
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif
#define INLINE static inline __attribute__((always_inline))

/* `from` is the first panel at the first term, `stride` a panel's floats. */
INLINE void tile(const float *x, size_t ldx, const float *from, size_t stride,
                 size_t d, float *y, size_t ldy, const int rows,
                 const int panels, const int squares)
{
    VEC sum[8][ROW_PANELS * VECS];

    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < panels * VECS; v++) sum[r][v] =
            V_LOAD(y + (size_t)r * ldy + v * LANES);
    for (size_t k = 0; k < d; k++) {
        VEC w[ROW_PANELS * VECS];

        UNROLL for (int v = 0; v < panels * VECS; v++) w[v] =
            V_LOAD(from + (size_t)(v / VECS) * stride + k * AK_PANEL +
                   v % VECS * LANES);
        UNROLL for (int r = 0; r < rows; r++)
        {
            VEC xk = V_SET1(x[(size_t)r * ldx + k]);

            UNROLL for (int v = 0; v < panels * VECS; v++)
            {
                VEC t = squares ? V_SUB(xk, w[v]) : w[v];

                sum[r][v] = V_FMA(squares ? t : xk, t, sum[r][v]);
            }
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < panels * VECS; v++)
            V_STORE(y + (size_t)r * ldy + v * LANES, sum[r][v]);
}

/* All rows, against `panels` panels. */
INLINE void column_of_tiles(const float *x, size_t n, size_t ldx,
                            const float *from, size_t stride, size_t d,
                            float *y, size_t ldy, const int panels,
                            const int squares)
{
    size_t i = 0;

    for (; n - i >= TILE_ROWS; i += TILE_ROWS)
        tile(x + i * ldx, ldx, from, stride, d, y + i * ldy, ldy, TILE_ROWS,
             panels, squares);
    for (; n - i >= 2; i += 2)
        tile(x + i * ldx, ldx, from, stride, d, y + i * ldy, ldy, 2, panels,
             squares);
    if (i < n)
        tile(x + i * ldx, ldx, from, stride, d, y + i * ldy, ldy, 1, panels,
             squares);
}

INLINE void one_row(const float *x, const float *packed, size_t d,
                    size_t panels, float *y, const int squares)
{
    size_t stride = d * AK_PANEL;
    size_t p = 0;

    for (; panels - p >= ROW_PANELS; p += ROW_PANELS)
        tile(x, 0, packed + p * stride, stride, d, y + p * AK_PANEL, 0, 1,
             ROW_PANELS, squares);
    for (; p < panels; p++)
        tile(x, 0, packed + p * stride, stride, d, y + p * AK_PANEL, 0, 1, 1,
             squares);
}

INLINE void all_tiles(const float *x, size_t n, size_t ldx, const float *packed,
                      size_t d, size_t panels, float *y, size_t ldy,
                      const int squares)
{
    size_t stride = d * AK_PANEL;

    if (n == 1) {
        one_row(x, packed, d, panels, y, squares);
        return;
    }
    for (size_t p = 0, width; p < panels; p += width) {
        size_t left = panels - p;

        /* Rather 2 and 2 than 3 and 1: one panel is all broadcasts. */
        width = left >= TILE_PANELS && left != TILE_PANELS + 1 ? TILE_PANELS
                : left >= 2 && TILE_PANELS >= 2                ? 2
                                                               : 1;
        for (size_t k = 0; k < d; k += D_BLOCK) {
            size_t some = d - k < D_BLOCK ? d - k : D_BLOCK;
            const float *from = packed + p * stride + k * AK_PANEL;
            float *out = y + p * AK_PANEL;

            if (width == TILE_PANELS)
                column_of_tiles(x + k, n, ldx, from, stride, some, out, ldy,
                                TILE_PANELS, squares);
            else if (width == 2)
                column_of_tiles(x + k, n, ldx, from, stride, some, out, ldy, 2,
                                squares);
            else
                column_of_tiles(x + k, n, ldx, from, stride, some, out, ldy, 1,
                                squares);
        }
    }
}
