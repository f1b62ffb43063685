/*
 * cifar.h -- the records of CIFAR-10's binary version.
 *
 * A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
 * A record is one byte of label and 3,072 of pixels: 1,024 red ones row by row,
 * then green, then blue.  No header, so a file is what its size says.
 */
#ifndef AK_CORE_EVAL_CIFAR_H
#define AK_CORE_EVAL_CIFAR_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define AK_CIFAR_PIXELS  3072
#define AK_CIFAR_RECORD  (1 + AK_CIFAR_PIXELS)
#define AK_CIFAR_CLASSES 10
#define AK_CIFAR_MOST    100000 /* records in a file, at most */

/*
 * The records of a file, plain or packed (packed.h): *data (n, AK_CIFAR_RECORD)
 * to be freed with free().  AK_ECORRUPT: not a whole number of records, none,
 * or a label above 9; else what ak_packed_read() returns.
 */
enum ak_status ak_cifar_read(const char *path, uint8_t **data, size_t *n,
                             struct ak_err *err) AK_MUST_CHECK;

#endif
