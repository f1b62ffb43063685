#include "server/limits.h"

static struct ak_limits in_force = {
    .max_body_bytes = (size_t)32 << 20,
    .max_batch_items = 4096,
    .max_search_batch = 1024,
    .max_labels_per_item = 64,
    .max_label_bytes = 256,
    .max_payload_bytes = 16 << 10,
    .max_limit = 1000,
    .max_filter_clauses = 4096,
    .max_line_bytes = (size_t)1 << 20,
    .max_image_pixels = (uint64_t)64 << 20,
    .max_image_bytes = (size_t)16 << 20,
    .max_timeout_ms = 600000,
};

const struct ak_limits *ak_limits(void)
{
    return &in_force;
}

void ak_limits_set(const struct ak_limits *limits)
{
    in_force = *limits;
}
