#include "core/code/kmodes.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/code/hamming.h"

#define ROUNDS 6

/* Eight numbers, which compilers turn into one register on every machine. */
typedef int16_t eight __attribute__((vector_size(16)));

static void take_nearer(uint16_t *best, uint16_t *index, const uint16_t *d,
                        size_t n, uint16_t centre)
{
    eight mine = {0};

    mine += (int16_t)centre;
    for (size_t i = 0; i < n; i += 8) {
        eight new, old, at, nearer;

        memcpy(&new, d + i, sizeof(new));
        memcpy(&old, best + i, sizeof(old));
        memcpy(&at, index + i, sizeof(at));
        nearer = (eight)(new < old);
        old = (new &nearer) | (old & ~nearer);
        at = (mine & nearer) | (at & ~nearer);
        memcpy(best + i, &old, sizeof(old));
        memcpy(index + i, &at, sizeof(at));
    }
}

void ak_nearest_centres(const uint64_t *centres, size_t k,
                        const uint64_t *codes, size_t n_groups, size_t words,
                        uint16_t *nearest, uint16_t *distance)
{
    const struct ak_hamming_kernel *kernel = ak_hamming_kernel();
    uint64_t centre[AK_CODE_MAX_WORDS];
    uint16_t d[AK_NEAREST_ROWS];

    for (size_t c = 0; c < k; c++) {
        ak_hamming_get(centres, c, words, centre);
        if (c == 0) {
            kernel->distances(centre, codes, n_groups, words, distance);
            memset(nearest, 0, n_groups * AK_HAMMING_GROUP * sizeof(*nearest));
            continue;
        }
        kernel->distances(centre, codes, n_groups, words, d);
        take_nearer(distance, nearest, d, n_groups * AK_HAMMING_GROUP,
                    (uint16_t)c);
    }
}

bool ak_kmodes_init(struct ak_kmodes *m, uint32_t bits, size_t n, size_t k,
                    uint64_t seed)
{
    size_t words = ak_code_words(bits);
    size_t padded = ak_hamming_groups(n) * AK_HAMMING_GROUP;

    *m = (struct ak_kmodes){.bits = bits, .words = words, .n = n, .k = k};
    ak_rng_init(&m->rng, seed);
    m->codes = ak_array_new(padded * words, sizeof(*m->codes));
    m->centres = ak_array_new(ak_hamming_groups(k) * AK_HAMMING_GROUP * words,
                              sizeof(*m->centres));
    m->nearest = ak_array_new(padded, sizeof(*m->nearest));
    m->distance = ak_array_new(padded, sizeof(*m->distance));
    m->counts = ak_array_new(k * bits, sizeof(*m->counts));
    m->members = ak_array_new(k, sizeof(*m->members));
    m->sums = ak_array_new(n, sizeof(*m->sums));
    return m->codes != NULL && m->centres != NULL && m->nearest != NULL &&
           m->distance != NULL && m->counts != NULL && m->members != NULL &&
           m->sums != NULL;
}

void ak_kmodes_clear(struct ak_kmodes *m)
{
    ak_array_free(m->codes);
    ak_array_free(m->centres);
    ak_array_free(m->nearest);
    ak_array_free(m->distance);
    ak_array_free(m->counts);
    ak_array_free(m->members);
    ak_array_free(m->sums);
    *m = (struct ak_kmodes){0};
}

static void copy_centre(struct ak_kmodes *m, size_t centre, size_t code)
{
    uint64_t words[AK_CODE_MAX_WORDS];

    ak_hamming_get(m->codes, code, m->words, words);
    ak_hamming_put(m->centres, centre, m->words, words);
}

/* Distances to the nearest of centres first..first + n, or of those before. */
static void find_distances(struct ak_kmodes *m, size_t first)
{
    size_t n_groups = ak_hamming_groups(m->n), some;
    const size_t at_once = AK_NEAREST_ROWS / AK_HAMMING_GROUP;
    uint64_t centre[AK_CODE_MAX_WORDS];
    uint16_t d[AK_NEAREST_ROWS];

    ak_hamming_get(m->centres, first, m->words, centre);
    for (size_t g = 0; g < n_groups; g += some) {
        size_t at = g * AK_HAMMING_GROUP;

        some = n_groups - g < at_once ? n_groups - g : at_once;
        ak_hamming_kernel()->distances(centre, m->codes + at * m->words, some,
                                       m->words, d);
        if (first == 0)
            memcpy(m->distance + at, d, some * AK_HAMMING_GROUP * sizeof(d[0]));
        else
            take_nearer(m->distance + at, m->nearest + at, d,
                        some * AK_HAMMING_GROUP, (uint16_t)first);
    }
}

/* Each centre is a code, drawn by the square of its distance to those before. */
static void seed(struct ak_kmodes *m)
{
    copy_centre(m, 0, (size_t)ak_rng_below(&m->rng, m->n));
    for (size_t c = 1; c < m->k; c++) {
        uint64_t sum = 0, drawn;
        size_t low = 0, high = m->n - 1;

        find_distances(m, c - 1);
        for (size_t i = 0; i < m->n; i++) {
            sum += (uint64_t)m->distance[i] * m->distance[i];
            m->sums[i] = sum;
        }
        drawn = sum == 0 ? 0 : ak_rng_below(&m->rng, sum);
        while (low < high) {
            size_t middle = low + (high - low) / 2;

            if (m->sums[middle] <= drawn)
                low = middle + 1;
            else
                high = middle;
        }
        copy_centre(m, c, low);
    }
}

static void assign(struct ak_kmodes *m)
{
    size_t n_groups = ak_hamming_groups(m->n), some;
    const size_t at_once = AK_NEAREST_ROWS / AK_HAMMING_GROUP;

    for (size_t g = 0; g < n_groups; g += some) {
        size_t at = g * AK_HAMMING_GROUP;

        some = n_groups - g < at_once ? n_groups - g : at_once;
        ak_nearest_centres(m->centres, m->k, m->codes + at * m->words, some,
                           m->words, m->nearest + at, m->distance + at);
    }
}

static void count_bits(struct ak_kmodes *m)
{
    uint64_t words[AK_CODE_MAX_WORDS];

    memset(m->counts, 0, m->k * m->bits * sizeof(*m->counts));
    memset(m->members, 0, m->k * sizeof(*m->members));
    for (size_t i = 0; i < m->n; i++) {
        uint32_t *counts = m->counts + (size_t)m->nearest[i] * m->bits;

        ak_hamming_get(m->codes, i, m->words, words);
        m->members[m->nearest[i]]++;
        for (uint32_t j = 0; j < m->bits; j++)
            counts[j] += (uint32_t)(words[j / 64] >> (j % 64)) & 1u;
    }
}

/* A centre without members moves to the code that is farthest from its own. */
static void reseed(struct ak_kmodes *m, size_t centre)
{
    size_t farthest = 0;

    for (size_t i = 1; i < m->n; i++)
        if (m->distance[i] > m->distance[farthest])
            farthest = i;
    copy_centre(m, centre, farthest);
    m->distance[farthest] = 0;
}

static void move_centres(struct ak_kmodes *m)
{
    for (size_t c = 0; c < m->k; c++) {
        const uint32_t *counts = m->counts + c * m->bits;
        uint64_t words[AK_CODE_MAX_WORDS] = {0};

        if (m->members[c] == 0) {
            reseed(m, c);
            continue;
        }
        for (uint32_t j = 0; j < m->bits; j++)
            if (2 * (uint64_t)counts[j] > m->members[c])
                words[j / 64] |= (uint64_t)1 << (j % 64);
        ak_hamming_put(m->centres, c, m->words, words);
    }
}

bool ak_kmodes_step(struct ak_kmodes *m)
{
    if (m->round == 0) {
        seed(m);
    } else {
        assign(m);
        count_bits(m);
        move_centres(m);
    }
    return m->round++ < ROUNDS;
}
