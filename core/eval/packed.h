/*
 * packed.h -- whole files as data sets are stored: plain, gzipped or by xz.
 *
 * What a file is, its first bytes say and not its name.
 */
#ifndef AK_CORE_EVAL_PACKED_H
#define AK_CORE_EVAL_PACKED_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/*
 * The content of a file, at most `limit` bytes of it, into *data, to be freed
 * with free().  Memory is taken as bytes arrive.
 *
 * AK_ENOTFOUND: no such file.  AK_EIO: it cannot be read.  AK_ECORRUPT: packed
 * data that is damaged or cut short.  AK_ELIMIT: more than `limit` bytes.
 */
enum ak_status ak_packed_read(const char *path, size_t limit, uint8_t **data,
                              size_t *len, struct ak_err *err) AK_MUST_CHECK;

#endif
