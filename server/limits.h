/*
 * limits.h -- what the data routes take, at most.
 *
 * Set from the configuration at the start and at a reload, by one thread; read
 * by any.  Each has its key in the table of settings (config.h).
 */
#ifndef AK_SERVER_LIMITS_H
#define AK_SERVER_LIMITS_H

#include <stddef.h>
#include <stdint.h>

struct ak_limits {
    size_t max_body_bytes;   /* of one batch, or of one chunk of a stream */
    size_t max_batch_items;  /* of a batch, a chunk, an encode */
    size_t max_search_batch; /* queries in one request */
    size_t max_labels_per_item;
    size_t max_label_bytes;
    size_t max_payload_bytes;  /* of one item, as compact JSON */
    size_t max_limit;          /* hits or items in one answer */
    size_t max_rerank;         /* candidates of one query */
    size_t max_filter_clauses; /* labels and ids in one filter */
    size_t max_line_bytes;     /* of a stream */
    uint64_t max_image_pixels;
    size_t max_image_bytes;
    uint64_t max_timeout_ms; /* that a request may ask for */
};

/* What is in force; the defaults until they are set. */
const struct ak_limits *ak_limits(void);
void ak_limits_set(const struct ak_limits *limits);

#endif
