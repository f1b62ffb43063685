/*
 * debt.h -- how much of what a learner learnt is not so any more.
 *
 * Rows learnt that were deleted or replaced since, or that got other labels, as
 * a share of all rows learnt: what a rebuild would put right.  A function of
 * the records.  A row that ends after it got other labels counts twice; the
 * share is cut at 1.
 */
#ifndef AK_SERVER_DEBT_H
#define AK_SERVER_DEBT_H

#include "core/base/blob.h"
#include "storage/collection.h"

struct ak_debt {
    uint64_t learnt; /* rows with a label, of batches */
    uint64_t gone;   /* of them */
    /* The batch that was looked up last. */
    uint64_t first, n;
    uint8_t *labelled; /* (n) */
};

void ak_debt_clear(struct ak_debt *d);
double ak_debt_ratio(const struct ak_debt *d);

/* Take a record; what it lends may be gone afterwards. */
enum ak_status ak_debt_follow(struct ak_debt *d, struct ak_view *view,
                              const struct ak_record *rec,
                              struct ak_err *err) AK_MUST_CHECK;

void ak_debt_save(const struct ak_debt *d, struct ak_writer *w);
void ak_debt_load(struct ak_debt *d, struct ak_reader *r);

#endif
