/*
 * reservoir.h -- a bounded sample of the rows that were learnt, balanced over
 * their classes, to rehearse from.
 *
 * A function of its seed and of the calls in their order; what is drawn is part
 * of that.  It holds references and labels; vectors are a cache beside them,
 * which a save leaves out.  A row with several labels counts to the first.  One
 * thread.
 */
#ifndef AK_SERVER_RESERVOIR_H
#define AK_SERVER_RESERVOIR_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/blob.h"
#include "core/base/err.h"
#include "server/row_list.h"

struct ak_reservoir;

/* Of at most `rows` rows, 1 or more. */
enum ak_status ak_reservoir_create(size_t rows, size_t dim, uint64_t seed,
                                   struct ak_reservoir **out,
                                   struct ak_err *err) AK_MUST_CHECK;
void ak_reservoir_destroy(struct ak_reservoir *r); /* NULL is a no-op */
size_t ak_reservoir_count(const struct ak_reservoir *r);
size_t ak_reservoir_bytes(const struct ak_reservoir *r);

/* A row that was learnt, with a label or more; it may push out another. */
enum ak_status ak_reservoir_offer(struct ak_reservoir *r, uint64_t ordinal,
                                  const uint32_t *labels, size_t n_labels,
                                  const float *x,
                                  struct ak_err *err) AK_MUST_CHECK;

/* Take out rows whose ordinals are in `gone`, sorted. */
void ak_reservoir_remove(struct ak_reservoir *r, const uint64_t *gone,
                         size_t n_gone);

/* Append n different rows, or all that there are, to `to`. */
enum ak_status ak_reservoir_draw(struct ak_reservoir *r, size_t n,
                                 struct ak_view *view,
                                 const struct ak_settings *settings,
                                 struct ak_row_list *to,
                                 struct ak_err *err) AK_MUST_CHECK;

void ak_reservoir_save(const struct ak_reservoir *r, struct ak_writer *w);
enum ak_status ak_reservoir_load(struct ak_reservoir *r, struct ak_reader *in,
                                 struct ak_err *err) AK_MUST_CHECK;

#endif
