/* pointer.h -- JSON pointers (RFC 6901) in fixed room, for what is told. */
#ifndef AK_SERVER_POINTER_H
#define AK_SERVER_POINTER_H

#include <stddef.h>

/*
 * Add "/key" to the pointer in `text` (cap bytes with its zero), with `~` and
 * `/` escaped.  What does not fit is left out, at the border of a character.
 */
void ak_pointer_add(char *text, size_t cap, const char *key);
/* Add "/17". */
void ak_pointer_add_index(char *text, size_t cap, size_t index);

#endif
