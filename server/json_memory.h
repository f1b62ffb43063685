/*
 * json_memory.h -- jansson's memory, and what it does when there is none.
 *
 * jansson 2.14 does not look at each allocation of its own: when one fails, a
 * string that is read or a text that is written may lack bytes, its lexer may
 * read past its end, and an object may lack a member, and the call says that all
 * went well.  So its memory comes from here, and each thread remembers that some
 * was missing: what was built or written since then is not to be used.
 */
#ifndef AK_SERVER_JSON_MEMORY_H
#define AK_SERVER_JSON_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

/* Once, before jansson is used and before there are threads. */
void ak_json_memory_init(void);

/* Whether memory was missing on this thread since it asked last. */
bool ak_json_memory_short(void);

/* The text of `value`, to be freed with free(); NULL when `value` is, or when
   memory is or was short. */
char *ak_json_text(const json_t *value, size_t flags);
/* The value of a text; NULL when it is no JSON or memory is short, and `error`,
   which may be NULL, says which. */
json_t *ak_json_value(const char *text, size_t len, size_t flags,
                      json_error_t *error);

#endif
