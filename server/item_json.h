/* item_json.h -- one stored row as the API shows it. */
#ifndef AK_SERVER_ITEM_JSON_H
#define AK_SERVER_ITEM_JSON_H

#include <jansson.h>

#include "server/lookup.h"

enum { AK_ITEM_VECTOR = 1 << 0, AK_ITEM_CODE = 1 << 1 };

/* Copy of a row that outlives the view's next call; in the arena. */
enum ak_status ak_item_copy(const struct ak_row *row, struct ak_arena *arena,
                            struct ak_row *out,
                            struct ak_err *err) AK_MUST_CHECK;

/* {"id", "labels", "payload"} and what `with` asks for. */
enum ak_status ak_item_json(struct ak_lookup *l, const struct ak_row *row,
                            unsigned with, json_t **out,
                            struct ak_err *err) AK_MUST_CHECK;

/* A list such as "vector,code"; false: not one. */
bool ak_item_parse_with(const char *text, unsigned *out);

#endif
