#include "core/code/hamming_kernels.h"

static uint32_t distance(const uint64_t *query, const uint64_t *code,
                         size_t words)
{
    uint32_t sum = 0;

    for (size_t w = 0; w < words; w++)
        sum += (uint32_t)__builtin_popcountll(query[w] ^
                                              code[w * AK_HAMMING_GROUP]);
    return sum;
}

void ak_hamming_distances_scalar(const uint64_t *query, const uint64_t *codes,
                                 size_t n_groups, size_t words, uint16_t *out)
{
    for (size_t i = 0; i < n_groups * AK_HAMMING_GROUP; i++)
        out[i] =
            (uint16_t)distance(query, codes + ak_hamming_at(i, words), words);
}

size_t ak_hamming_near_scalar(const uint64_t *query, const uint64_t *codes,
                              size_t n_groups, size_t words, uint32_t bound,
                              struct ak_near *out)
{
    size_t n = 0;

    for (size_t i = 0; i < n_groups * AK_HAMMING_GROUP; i++) {
        uint32_t d = distance(query, codes + ak_hamming_at(i, words), words);

        if (d < bound)
            out[n++] = (struct ak_near){(uint16_t)i, (uint16_t)d};
    }
    return n;
}
