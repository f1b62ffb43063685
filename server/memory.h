/*
 * memory.h -- what the daemon may take beside the collections, and takes.
 *
 * Each part is bounded by settings, and all of them together are what the load
 * of clients can make it take: what is refused beyond them is 429 or waits.
 * Beside them are the program and its libraries (some 25 MiB), the collections
 * (akind_collection_memory_bytes), networks, and what the allocator keeps of
 * what was freed.
 */
#ifndef AK_SERVER_MEMORY_H
#define AK_SERVER_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "server/http.h"
#include "server/text.h"

#define AK_MEMORY_PARTS 7

struct ak_memory_part {
    const char *name;
    uint64_t most; /* as the settings say */
    uint64_t used;
    bool counted; /* `used` is known */
};

void ak_memory_read(struct ak_http *http,
                    struct ak_memory_part parts[AK_MEMORY_PARTS]);

/* The families memory_bytes, of what is counted, and memory_most_bytes. */
void ak_memory_write_metrics(struct ak_http *http, struct ak_text *t);
/* {"most_bytes", "parts": {NAME: {"bytes", "most_bytes"}}}, without "bytes" where
   that is not counted; NULL when memory is short. */
json_t *ak_memory_json(struct ak_http *http);

#endif
