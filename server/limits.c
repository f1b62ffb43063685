#include "server/limits.h"

#include <stdatomic.h>
#include <stdlib.h>

struct set {
    struct ak_limits limits;
    struct set *before;
};

static struct set initial = {.limits = {
                                 .max_body_bytes = (size_t)32 << 20,
                                 .max_batch_items = 4096,
                                 .max_search_batch = 1024,
                                 .max_labels_per_item = 64,
                                 .max_label_bytes = 256,
                                 .max_payload_bytes = 16 << 10,
                                 .max_limit = 1000,
                                 .max_rerank = 10000,
                                 .max_filter_clauses = 4096,
                                 .max_line_bytes = (size_t)1 << 20,
                                 .max_image_pixels = (uint64_t)64 << 20,
                                 .max_image_bytes = (size_t)16 << 20,
                                 .max_timeout_ms = 600000,
                             }};

/* What was in force before stays, since a request may still read it: a reload
   is rare and a set is small. */
static _Atomic(struct set *) in_force = &initial;

const struct ak_limits *ak_limits(void)
{
    return &atomic_load(&in_force)->limits;
}

void ak_limits_set(const struct ak_limits *limits)
{
    struct set *s = malloc(sizeof(*s));

    if (s == NULL)
        return;
    *s = (struct set){*limits, atomic_load(&in_force)};
    atomic_store(&in_force, s);
}
