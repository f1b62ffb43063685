/*
 * packed_internal.h -- the rows of a full segment as one value: how it is made,
 * row by row, and taken apart.
 *
 *     the numbers of its parts (u8 each): ids, dead, labels, and 0 to align
 *     base (u64)
 *     dead      AK_STORE_SEGMENT_ROWS bits, if any row is
 *     ids       u64 each, or u32 each to be added to base, or none, base + row;
 *               of texts u32 each and one more: where they begin
 *     labels    u32 each, or u32 each and one more: where the lists begin, and
 *               then the lists; or none
 *     text      of the ids
 *
 * So every array is aligned when the value is.
 */
#ifndef AK_STORAGE_PACKED_INTERNAL_H
#define AK_STORAGE_PACKED_INTERNAL_H

#include "core/base/blob.h"
#include "storage/collection.h"

#define AK_PACKED_WORDS (AK_STORE_SEGMENT_ROWS / 64)

/* Rows that are gathered; it is large.  Zeroed at first. */
struct ak_packing {
    size_t n;
    bool any_dead;
    uint64_t numbers[AK_STORE_SEGMENT_ROWS];
    uint64_t dead[AK_PACKED_WORDS];
    uint32_t text_first[AK_STORE_SEGMENT_ROWS + 1];
    uint32_t label_first[AK_STORE_SEGMENT_ROWS + 1];
    struct ak_writer text, labels;
};
/* Below AK_STORE_SEGMENT_ROWS rows.  A shortage of memory shows at the end. */
void ak_packing_add(struct ak_packing *p, const struct ak_row_id *id, bool dead,
                    const void *labels, size_t n_labels);
void ak_packing_clear(struct ak_packing *p);

/* Append the value of a full one to `out`; AK_ENOMEM. */
enum ak_status ak_packing_write(const struct ak_packing *p, bool texts,
                                struct ak_writer *out,
                                struct ak_err *err) AK_MUST_CHECK;
/* Lends of `data`, which is 8-byte aligned.  AK_ECORRUPT: no such value. */
enum ak_status ak_packed_read(const void *data, size_t len, bool texts,
                              struct ak_packed *out,
                              struct ak_err *err) AK_MUST_CHECK;

#endif
