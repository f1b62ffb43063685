#include "core/code/hamming_kernels.h"

/*
 * Bits are counted in parallel within a word, as the baseline of x86-64 has no
 * instruction for it and the compiler would call a function.  The counts of the
 * eight bytes are added up over up to 16 words (16 x 8 = 128 fits).
 *
 * Warren, "Hacker's Delight", 2nd edition, Addison-Wesley, 2012, section 5-1.
 */
static uint64_t count_bytes(uint64_t v)
{
    v -= v >> 1 & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
    return (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
}

static uint32_t distance(const uint64_t *query, const uint64_t *code,
                         size_t words)
{
    uint64_t bytes = 0;

    for (size_t w = 0; w < words; w++)
        bytes += count_bytes(query[w] ^ code[w * AK_HAMMING_GROUP]);
    /* The sum may be 1024: to 16 bits before the product adds all up. */
    bytes = (bytes & 0x00ff00ff00ff00ffu) + (bytes >> 8 & 0x00ff00ff00ff00ffu);
    return (uint32_t)(bytes * 0x0001000100010001u >> 48);
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

void ak_hamming_near_all_scalar(struct ak_near_query *queries,
                                const uint64_t *codes, size_t n_groups,
                                size_t words)
{
    for (size_t q = 0; q < AK_HAMMING_QUERIES; q++)
        queries[q].n =
            ak_hamming_near_scalar(queries[q].words, codes, n_groups, words,
                                   queries[q].bound, queries[q].out);
}
