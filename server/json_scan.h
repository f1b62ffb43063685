/* json_scan.h -- the two halves of json_body.h: the paths, and the scan. */
#ifndef AK_SERVER_JSON_SCAN_H
#define AK_SERVER_JSON_SCAN_H

#include "server/json_body.h"

/* Steps of a path, at most. */
#define AK_JSON_STEPS_MAX 8

struct ak_json_step {
    const char
        *key; /* lent from the rules, not terminated; NULL: each element */
    size_t len;
};

struct ak_json_path {
    struct ak_json_step steps[AK_JSON_STEPS_MAX];
    size_t n;
};

/*
 * Which hot paths begin with the way to a value is a set of bits.  At the root
 * it is all of them.
 */
struct ak_json_paths {
    struct ak_json_path list[AK_JSON_PATHS_MAX];
    size_t n;
    uint8_t all;
};

/* The rules are the program's own: that they are well made is asserted. */
void ak_json_paths_init(struct ak_json_paths *paths,
                        const struct ak_json_rules *rules);

/* Those of `set` that go on with each element of an array `depth` deep. */
uint8_t ak_json_paths_each(const struct ak_json_paths *paths, uint8_t set,
                           size_t depth);

/*
 * Those of `set` that go on with `key` (len) of an object `depth` deep.  If
 * `raw`, the key is as in the text, with its escapes.
 */
uint8_t ak_json_paths_key(const struct ak_json_paths *paths, uint8_t set,
                          size_t depth, const char *key, size_t len, int raw);

/* The path of `set` that ends `depth` deep, or NULL. */
const struct ak_json_path *ak_json_paths_end(const struct ak_json_paths *paths,
                                             uint8_t set, size_t depth);

/*
 * Check the nesting of `text` (*len), move the numbers of its hot arrays into
 * `json`, whose floats and slots are replaced, and close up the text to what is
 * left, whose length is then in `*len`.  Statuses as of ak_json_parse().
 */
enum ak_status ak_json_scan(struct ak_json *json, char *text, size_t *len,
                            const struct ak_json_paths *paths,
                            const struct ak_json_rules *rules,
                            struct ak_fault *fault) AK_MUST_CHECK;

#endif
