/*
 * numbered.h -- changes that are known from their number alone, so that a file
 * can be checked by one who only knows how far its writer got.
 *
 * Every seventh replaces the row with id 0, the others are batches of one to
 * five rows.  Each appends one record, so the number is its seq.  A group is
 * three changes.
 */
#ifndef AK_TESTS_STORAGE_NUMBERED_H
#define AK_TESTS_STORAGE_NUMBERED_H

#include "tests/storage/fixture.h"

#define GROUP_CHANGES 3

size_t numbered_rows(uint64_t c);

/* Apply change c, whose rows begin at ordinal `first`. */
enum ak_status numbered_apply(struct ak_store *store, uint64_t c,
                              uint64_t first, struct ak_receipt *receipt,
                              struct ak_err *err);

/*
 * The open file holds changes 1..last, each once and whole, for some `last`
 * that ends a group and is at least `reported`; returns it.  Each is sent again
 * as by a client that never got its answer, and is known.
 */
uint64_t numbered_check(struct fixture *f, uint64_t reported);

#endif
