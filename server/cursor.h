/*
 * cursor.h -- where the next page begins, as opaque text.
 *
 * A cursor is the fields below with a checksum, in base64url.  It holds nothing
 * that its reader may not know; the checksum is there so that a cursor that was
 * cut, mixed up or edited is refused instead of answering some other page.
 */
#ifndef AK_SERVER_CURSOR_H
#define AK_SERVER_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AK_CURSOR_NAME 64
#define AK_CURSOR_TEXT 160 /* with its zero */

enum ak_cursor_kind {
    AK_CURSOR_COLLECTIONS = 1, /* `name`: the last one shown */
    AK_CURSOR_ITEMS,           /* `ordinal`: the first to look at */
    AK_CURSOR_SEARCH,          /* after (`distance`, `ordinal`) */
    AK_CURSOR_JOBS,            /* `ordinal`: the last one shown */
    AK_CURSOR_JOB_LOG,         /* likewise, of lines */
    AK_CURSOR_EXTRACTORS       /* `name`: the last one shown */
};

struct ak_cursor {
    enum ak_cursor_kind kind;
    uint64_t scope;   /* a hash of what was asked, which must be the same */
    uint64_t version; /* of the model */
    uint64_t ordinal;
    uint32_t distance;
    char name[AK_CURSOR_NAME];
};

/* The scope of a list: of whose it is and what it leaves out, each a text or
   NULL.  (That of a search is its own: ak_search_scope().) */
uint64_t ak_cursor_scope(const char *const *texts, size_t n);

/* Into `text`, which it returns; NULL when memory is short. */
const char *ak_cursor_write(const struct ak_cursor *cursor,
                            char text[AK_CURSOR_TEXT]);
/* False unless it is a whole cursor of that kind.  The reader compares the
   scope. */
bool ak_cursor_read(const char *text, enum ak_cursor_kind kind,
                    struct ak_cursor *out);

#endif
