// Faiss's binary indexes as peers of bench_search.
#include "tests/bench/search_peer.h"

#include <climits>
#include <cmath>
#include <memory>
#include <vector>

#include <faiss/IndexBinaryFlat.h>
#include <faiss/IndexBinaryHNSW.h>
#include <faiss/IndexBinaryHash.h>
#include <faiss/IndexBinaryIVF.h>
#include <omp.h>

struct peer {
    std::unique_ptr<faiss::IndexBinary> quantizer, index;
    std::vector<faiss::IndexBinary::idx_t> ids;
};

static const char *const names[] = {"faiss-flat", "faiss-ivf", "faiss-hnsw",
                                    "faiss-multihash"};

const char *peer_name(size_t i)
{
    return i < sizeof(names) / sizeof(names[0]) ? names[i] : nullptr;
}

// The parameters are those that Faiss's wiki gives for a million vectors.
struct peer *peer_create(size_t i, uint32_t bits, size_t n,
                         const uint8_t *codes)
try {
    std::unique_ptr<peer> p(new peer);
    int d = static_cast<int>(bits);

    if (i == 0) {
        p->index.reset(new faiss::IndexBinaryFlat(d));
    } else if (i == 1) {
        size_t lists = static_cast<size_t>(4 * std::sqrt(double(n)));

        p->quantizer.reset(new faiss::IndexBinaryFlat(d));
        std::unique_ptr<faiss::IndexBinaryIVF> ivf(
            new faiss::IndexBinaryIVF(p->quantizer.get(), d, lists));
        ivf->nprobe = 16;
        ivf->cp.niter = 5;
        ivf->train(static_cast<faiss::IndexBinary::idx_t>(
                       n < 64 * lists ? n : 64 * lists),
                   codes);
        p->index = std::move(ivf);
    } else if (i == 2) {
        p->index.reset(new faiss::IndexBinaryHNSW(d, 16));
    } else {
        p->index.reset(new faiss::IndexBinaryMultiHash(d, 4, 16));
    }
    p->index->add(static_cast<faiss::IndexBinary::idx_t>(n), codes);
    return p.release();
} catch (const std::exception &) {
    return nullptr;
}

void peer_destroy(struct peer *p)
{
    delete p;
}

void peer_search(struct peer *p, const uint8_t *queries, size_t n, size_t k,
                 int threads, int32_t *distances)
{
    p->ids.resize(n * k);
    omp_set_num_threads(threads);
    p->index->search(static_cast<faiss::IndexBinary::idx_t>(n), queries,
                     static_cast<faiss::IndexBinary::idx_t>(k), distances,
                     p->ids.data());
    for (size_t i = 0; i < n * k; i++)
        if (p->ids[i] < 0)
            distances[i] = INT_MAX;
}
