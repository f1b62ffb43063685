/*
 * label_map.h -- label numbers to classes 0, 1, 2 ... in order of first sight.
 *
 * For core/hash/ and its tests.  The caller owns the struct; zeroed, it is an
 * empty map.
 */
#ifndef AK_CORE_HASH_LABEL_MAP_H
#define AK_CORE_HASH_LABEL_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/blob.h"
#include "core/base/err.h"

#define AK_NO_CLASS UINT32_MAX

struct ak_label_map {
    uint32_t n;       /* classes */
    uint32_t *labels; /* (cap) label of each class */
    uint32_t *slots;  /* (n_slots) class + 1 or 0: open addressing */
    size_t cap, n_slots;
};

void ak_label_map_clear(struct ak_label_map *m);

/* Room for n classes in all, so that as many ak_label_map_add() cannot fail. */
enum ak_status ak_label_map_reserve(struct ak_label_map *m, size_t n,
                                    struct ak_err *err) AK_MUST_CHECK;

/* The class of a label, or AK_NO_CLASS. */
uint32_t ak_label_map_find(const struct ak_label_map *m, uint32_t label);

/* The next class, for a label that has none; room was reserved. */
uint32_t ak_label_map_add(struct ak_label_map *m, uint32_t label);

/* Forget all classes from n on. */
void ak_label_map_truncate(struct ak_label_map *m, uint32_t n);

void ak_label_map_write(const struct ak_label_map *m, struct ak_writer *w);
enum ak_status ak_label_map_read(struct ak_label_map *m, uint32_t most,
                                 struct ak_reader *r,
                                 struct ak_err *err) AK_MUST_CHECK;

#endif
