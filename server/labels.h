/*
 * labels.h -- the names of a collection's labels, by number and by name.
 *
 * Numbers are given by the store in order of first appearance and are never
 * taken back, so the list only grows; names stay where they are for as long as
 * it lives.  Any thread.
 */
#ifndef AK_SERVER_LABELS_H
#define AK_SERVER_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct ak_labels;

enum ak_status ak_labels_create(struct ak_labels **out,
                                struct ak_err *err) AK_MUST_CHECK;
void ak_labels_destroy(struct ak_labels *labels); /* NULL is a no-op */

/* Append the name of number ak_labels_count(). */
enum ak_status ak_labels_add(struct ak_labels *labels, const void *name,
                             size_t len, struct ak_err *err) AK_MUST_CHECK;
uint32_t ak_labels_count(struct ak_labels *labels);
const char *ak_labels_name(struct ak_labels *labels, uint32_t number);
bool ak_labels_find(struct ak_labels *labels, const void *name, size_t len,
                    uint32_t *number);

#endif
