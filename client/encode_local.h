/* encode_local.h -- codes that a network makes by itself, without a daemon. */
#ifndef AK_CLIENT_ENCODE_LOCAL_H
#define AK_CLIENT_ENCODE_LOCAL_H

#include <stddef.h>
#include <stdint.h>

#include "client/options.h"

/*
 * Codes of image files by the hash layer of a model file (.akx), which are those
 * of a daemon that has taken it over: *codes (n, width) to be freed.  EXIT_OK, or
 * the code of what was said.
 */
int encode_local(const char *model, const struct text_list *images,
                 uint8_t **codes, size_t *n, size_t *width);

#endif
