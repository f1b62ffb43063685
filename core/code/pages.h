/* pages.h -- memory for what is read from end to end. */
#ifndef AK_CORE_CODE_PAGES_H
#define AK_CORE_CODE_PAGES_H

#include <stddef.h>

#define AK_HUGE_PAGE ((size_t)2 << 20)

/*
 * `len` zeroed bytes at a 64-byte boundary; of at least AK_HUGE_PAGE bytes, at
 * such a boundary and in huge pages where the machine allows them.  NULL when
 * memory is short.
 */
void *ak_pages_new(size_t len);
void ak_pages_free(void *pages, size_t len); /* NULL is a no-op */

#endif
