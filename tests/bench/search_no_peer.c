#include "tests/bench/search_peer.h"

const char *peer_name(size_t i)
{
    (void)i;
    return NULL;
}

struct peer *peer_create(size_t i, uint32_t bits, size_t n,
                         const uint8_t *codes)
{
    (void)i;
    (void)bits;
    (void)n;
    (void)codes;
    return NULL;
}

void peer_destroy(struct peer *p)
{
    (void)p;
}

void peer_search(struct peer *p, const uint8_t *queries, size_t n, size_t k,
                 int threads, int32_t *distances)
{
    (void)p;
    (void)queries;
    (void)n;
    (void)k;
    (void)threads;
    (void)distances;
}
