#include "server/rerank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/linalg/vectors.h"

bool ak_rerank_find(const char *name, enum ak_rerank *out)
{
    if (strcmp(name, "asymmetric") == 0)
        *out = AK_RERANK_ASYMMETRIC;
    else if (strcmp(name, "feature") == 0)
        *out = AK_RERANK_FEATURE;
    else
        return false;
    return true;
}

double ak_rerank_total(const float *y, uint32_t bits)
{
    double total = 0;

    for (uint32_t j = 0; j < bits; j++)
        total += fabs((double)y[j]);
    return total;
}

float ak_rerank_asymmetric(const float *y, double total, const uint8_t *query,
                           const uint8_t *code, uint32_t bits)
{
    double against = 0;

    if (!(total > 0))
        return 1;
    /* From the most significant bit of a byte, which is the first. */
    for (uint32_t i = 0; i < bits / 8; i++) {
        unsigned differs = (unsigned)(query[i] ^ code[i]) << 24;

        while (differs != 0) {
            unsigned j = (unsigned)__builtin_clz(differs);

            against += fabs((double)y[8 * i + j]);
            differs &= ~(0x80000000u >> j);
        }
    }
    return (float)(1 - against / total);
}

float ak_rerank_feature(const float *q, const float *x, size_t dim)
{
    return (float)(1 / (1 + sqrt(ak_square_distance(q, x, dim))));
}

static int compare(const void *a, const void *b)
{
    const struct ak_candidate *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->hit.distance != y->hit.distance)
        return x->hit.distance < y->hit.distance ? -1 : 1;
    return (x->hit.ordinal > y->hit.ordinal) -
           (x->hit.ordinal < y->hit.ordinal);
}

void ak_rerank_sort(struct ak_candidate *list, size_t n)
{
    qsort(list, n, sizeof(*list), compare);
}
