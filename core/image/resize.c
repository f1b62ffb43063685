/*
 * resize.c -- area averaging with integer weights.
 *
 * A row of `in` pixels is cut into `out` equal parts.  In units of 1/out of a
 * source pixel, source pixel i spans [i*out, (i+1)*out) and part x spans
 * [x*in, (x+1)*in): the length of the overlap is an integer, and the overlaps
 * of a part sum to `in`.  An output pixel is then
 *
 *     sum over i, j of  wy(j) * wx(i) * pixel(j, i)  /  (in_height * in_width)
 *
 * with an exact numerator below 2^8 * 2^16 * 2^16.  The sum is separable, so
 * each source row is summed along x once, and those sums are added along y.
 */
#include "core/image/resize.h"

#include <string.h>

#include "core/base/mem.h"

/* What a part covers: `first` and `last` in part, all between in full. */
struct span {
    uint32_t first, last;
    uint32_t w_first, w_last; /* w_last is 0 when first == last */
};

static struct span span_of(uint32_t x, uint32_t in, uint32_t out)
{
    uint64_t begin = (uint64_t)x * in;
    uint64_t end = begin + in;
    struct span s;

    s.first = (uint32_t)(begin / out);
    s.last = (uint32_t)((end - 1) / out);
    if (s.first == s.last) {
        s.w_first = in;
        s.w_last = 0;
    } else {
        s.w_first = (uint32_t)(((uint64_t)s.first + 1) * out - begin);
        s.w_last = (uint32_t)(end - (uint64_t)s.last * out);
    }
    return s;
}

/* sums (out width, channels) = the weighed sums along one source row. */
static void sum_row(const uint8_t *row, uint32_t channels,
                    const struct span *spans, uint32_t width, uint32_t *sums)
{
    for (uint32_t x = 0; x < width; x++) {
        const struct span *s = &spans[x];

        for (uint32_t c = 0; c < channels; c++) {
            const uint8_t *p = row + (size_t)s->first * channels + c;
            const uint8_t *last = row + (size_t)s->last * channels + c;
            uint32_t edges = s->w_first * *p + s->w_last * *last;
            uint32_t full = 0;

            for (p += channels; p < last; p += channels)
                full += *p;
            sums[(size_t)x * channels + c] = edges + full * width;
        }
    }
}

enum ak_status ak_image_resize(const struct ak_image *in, uint32_t width,
                               uint32_t height, struct ak_image *out,
                               struct ak_err *err)
{
    struct ak_image made = {0};
    struct span *spans = NULL;
    uint32_t *sums = NULL;
    uint64_t *total = NULL;
    uint64_t area = (uint64_t)in->width * in->height;
    size_t stride = (size_t)in->width * in->channels;
    size_t n;
    uint32_t summed = UINT32_MAX; /* the row that `sums` is of */
    enum ak_status status;

    status = ak_image_init(&made, width, height, in->channels, err);
    if (status != AK_OK)
        return status;
    if (width == in->width && height == in->height) {
        memcpy(made.pixels, in->pixels, ak_image_len(in));
        *out = made;
        return AK_OK;
    }
    n = (size_t)width * in->channels;
    spans = ak_array_new(width, sizeof(*spans));
    sums = ak_array_new(n, sizeof(*sums));
    total = ak_array_new(n, sizeof(*total));
    if (spans == NULL || sums == NULL || total == NULL) {
        ak_image_clear(&made);
        status = ak_fail(err, AK_ENOMEM, "no memory to resize to %u x %u",
                         width, height);
        goto out;
    }
    for (uint32_t x = 0; x < width; x++)
        spans[x] = span_of(x, in->width, width);
    for (uint32_t y = 0; y < height; y++) {
        struct span s = span_of(y, in->height, height);

        memset(total, 0, n * sizeof(*total));
        for (uint32_t j = s.first; j <= s.last; j++) {
            uint64_t w = j == s.first  ? s.w_first
                         : j == s.last ? s.w_last
                                       : height;

            if (j != summed)
                sum_row(in->pixels + j * stride, in->channels, spans, width,
                        sums);
            summed = j;
            for (size_t i = 0; i < n; i++)
                total[i] += w * sums[i];
        }
        for (size_t i = 0; i < n; i++)
            made.pixels[y * n + i] = (uint8_t)((total[i] + area / 2) / area);
    }
    *out = made;

out:
    ak_array_free(total);
    ak_array_free(sums);
    ak_array_free(spans);
    return status;
}
