/* query.h -- what `search` and `encode` may be asked with. */
#ifndef AK_CLIENT_QUERY_H
#define AK_CLIENT_QUERY_H

#include "client/tool.h"

/*
 * Floats from "[0.1, ...]", "@file.json" or "@file.npy"; n rows of dim, freed
 * by free().  EXIT_OK, or the code of what was said.
 */
int vectors_read(const char *text, float **out, size_t *n, size_t *dim);

/* The filter of the API for items with any label of one list, and none of the
   other; NULL when both are empty. */
json_t *label_filter(const struct text_list *any, const struct text_list *none);

/* The bytes as base64 (RFC 4648); NULL when memory is short. */
char *base64_text(const void *data, size_t len);

#endif
