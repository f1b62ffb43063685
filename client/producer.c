#include "client/producer.h"

#include <stdio.h>
#include <string.h>

#include "client/json.h"
#include "core/base/digest.h"
#include "core/base/hex.h"

static bool is_name(const char *name)
{
    size_t n = strlen(name);

    return n >= 1 && n <= PRODUCER_MAX &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789._~-") == n;
}

int producer_name(struct tool *tool, const char *given,
                  const struct source *source, const char *collection,
                  bool learns, struct producer *out)
{
    struct akin_error err = {0};
    uint8_t digest[AK_SHA256_LEN];
    char identity[33];
    const struct ak_piece pieces[] = {{identity, 32},
                                      {collection, strlen(collection)},
                                      {learns ? "l" : "n", 1}};

    *out = (struct producer){0};
    if (given != NULL) {
        if (!is_name(given))
            return tool_usage("--producer is %.60s, must be 1 to %d characters "
                              "of A-Z a-z 0-9 . _ ~ -",
                              given, PRODUCER_MAX);
        snprintf(out->name, sizeof(out->name), "%s", given);
        return EXIT_OK;
    }
    if (!source_identity(source, identity)) {
        out->drawn = true;
        if (akin_random_key(out->name, &err) != AKIN_OK)
            return tool_failure(tool, &err);
        return EXIT_OK;
    }
    if (ak_sha256(pieces, 3, digest, NULL) != AK_OK)
        return tool_no_memory();
    ak_hex_encode(digest, 12, out->name);
    return EXIT_OK;
}

int producer_ask(struct tool *tool, const char *collection,
                 struct producer *producer)
{
    json_t *root = NULL;
    int64_t last;
    int code = tool_call(
        tool, "GET",
        akin_collection_path(collection, "/producers/%s", producer->name), NULL,
        CALL_AGAIN, &root);

    if (code != EXIT_OK)
        return code;
    last = akin_json_integer(root, "last_seq", -1);
    json_decref(root);
    if (last < 0) {
        fprintf(stderr, "akin: the answer names no last_seq\n");
        return EXIT_PROBLEM;
    }
    producer->last = (uint64_t)last;
    return EXIT_OK;
}
