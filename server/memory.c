#include "server/memory.h"

#include <string.h>

#include "server/http_internal.h"
#include "storage/collection.h"

/* Threads of the pools that read bodies: of searches, of images. */
#define READING_POOLS 2
/* Of a body that is being read: its rows, as numbers and as they are stored. */
#define COPIES 2

void ak_memory_read(struct ak_http *http,
                    struct ak_memory_part parts[AK_MEMORY_PARTS])
{
    const struct ak_config *c = atomic_load(&http->config);
    uint64_t a_connection = AK_MEMORY_A_CONNECTION + AK_SMALL_ANSWER;
    uint64_t readers = READING_POOLS * ak_engine_threads(http->engine);
    const struct ak_memory_part all[AK_MEMORY_PARTS] = {
        {"queue", c->queue_bytes, ak_engine_queue_bytes(http->engine), true},
        {"bodies", c->max_body_memory, atomic_load(&http->body_memory[0]),
         true},
        {"deletes", c->max_body_memory / AK_DELETES_SHARE,
         atomic_load(&http->body_memory[1]), true},
        {"reading", readers * COPIES * c->max_body_bytes, 0, false},
        {"answers", c->max_answer_memory, atomic_load(&http->answer_memory),
         true},
        {"connections", http->max_connections * a_connection,
         atomic_load(&http->connections) * a_connection, true},
        {"files", c->max_file_memory, ak_storage_memory(), true},
    };

    memcpy(parts, all, sizeof(all));
}

void ak_memory_write_metrics(struct ak_http *http, struct ak_text *t)
{
    struct ak_memory_part parts[AK_MEMORY_PARTS];

    ak_memory_read(http, parts);
    ak_metric_write_head(t, "memory_bytes", "gauge",
                         "Memory of what clients make it hold.");
    for (size_t i = 0; i < AK_MEMORY_PARTS; i++)
        if (parts[i].counted)
            ak_metric_write(t, "memory_bytes", "part", parts[i].name,
                            (double)parts[i].used);
    ak_metric_write_head(t, "memory_most_bytes", "gauge",
                         "The same, at most, by the settings.");
    for (size_t i = 0; i < AK_MEMORY_PARTS; i++)
        ak_metric_write(t, "memory_most_bytes", "part", parts[i].name,
                        (double)parts[i].most);
}

json_t *ak_memory_json(struct ak_http *http)
{
    struct ak_memory_part parts[AK_MEMORY_PARTS];
    json_t *o = json_object();
    uint64_t most = 0;

    ak_memory_read(http, parts);
    for (size_t i = 0; i < AK_MEMORY_PARTS; i++) {
        json_t *part =
            json_pack("{s:I}", "most_bytes", (json_int_t)parts[i].most);

        most += parts[i].most;
        if (parts[i].counted)
            json_object_set_new(part, "bytes",
                                json_integer((json_int_t)parts[i].used));
        json_object_set_new(o, parts[i].name, part);
    }
    return json_pack("{s:I, s:o}", "most_bytes", (json_int_t)most, "parts", o);
}
