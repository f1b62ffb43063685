/*
 * search_peer.h -- another library's search over the same codes, if one was found
 * at build time (Debian's libfaiss-dev); plain C, so that C++ stays in one file.
 */
#ifndef AK_TESTS_BENCH_SEARCH_PEER_H
#define AK_TESTS_BENCH_SEARCH_PEER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct peer;

/* The i-th peer's name, such as "faiss-flat", or NULL.  The first are exact. */
const char *peer_name(size_t i);

/* Peer `i` with codes (n, bits / 8), which are copied; NULL if it cannot. */
struct peer *peer_create(size_t i, uint32_t bits, size_t n,
                         const uint8_t *codes);
void peer_destroy(struct peer *p);

/* distances (n, k) of the nearest it finds, nearest first, by one thread or
   more; INT32_MAX where it finds fewer. */
void peer_search(struct peer *p, const uint8_t *queries, size_t n, size_t k,
                 int threads, int32_t *distances);

#ifdef __cplusplus
}
#endif

#endif
