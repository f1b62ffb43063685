/*
 * trainer.h -- one hash learner, fed from the rows of a collection.
 *
 * A trainer is what stands between the records of a collection and
 * ak_hash_update(): the warm-up that fixes a feature map, the gathering of
 * blocks for a method that learns block by block, the rehearsal of earlier
 * rows, passes over a set.  It knows no collection, no lock, no quality and no
 * version, so there may be several of one collection: the one that lives, and a
 * *shadow* of a rebuild.
 *
 * Two ways to feed it, in this order:
 *
 *   rows    ak_trainer_train() with a set, in as many calls as one likes, and
 *           ak_trainer_feed() with single rows in their order; then
 *           ak_trainer_begin() says which record the next one follows.  The
 *           live trainer leaves this out, and begins with the first record.
 *   records ak_trainer_follow() with each, strictly in order.
 *
 * What it is after that depends on the settings, on those rows and on those
 * records alone: not on how rows were cut into batches (unless an update was
 * refused), nor on when it was saved and loaded.  Rows are learnt with the
 * labels that they had in their record.
 *
 * A method that learns in blocks (ak_hash_block_rows() > 1) is fed whole ones:
 * rows with a learnable label are gathered until there is one.  A flush, or a
 * publish that a person asked for, fills a short one with rows from a reservoir
 * of those learnt before; a policy's publish leaves them for the next version,
 * since where it falls among the records is chance.  Of a gathered row the reference is saved and the vector is read again; one
 * that is deleted, or replaced by another under its id, is taken out of the
 * gathered rows and of the reservoir at that record.  So no vector is read of a
 * row that had ended when the state was saved.
 *
 * A method that learns by passes does not learn from records until it has been
 * trained; it counts their labelled rows as pending.  After that it follows
 * them in steps, half of which are rows from the reservoir.
 *
 * One thread at a time.
 */
#ifndef AK_SERVER_TRAINER_H
#define AK_SERVER_TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/blob.h"
#include "core/base/err.h"
#include "core/hash/hash.h"
#include "server/row_list.h"
#include "server/settings.h"
#include "storage/collection.h"

struct ak_trainer;

/* What came of a call. */
struct ak_trained {
    /* Rows learnt, with their mean loss, perhaps of earlier records; rows of
       this one that have no learnable label. */
    struct ak_hash_loss loss;
    uint64_t refused; /* updates that would have left a weight not finite: they
                         are undone, and their rows are given up */
    char reason[AK_ERR_TEXT]; /* of the last of them */
    bool warmed; /* this record ended the warm-up: nothing is learnt yet, and
                    the next record to follow is the first one again */
};

/* For the method, the shape and the seed of the settings, of which it keeps a
   copy; the kind is one of core/hash.  Errors as of ak_hash_create(). */
enum ak_status ak_trainer_create(const struct ak_settings *settings,
                                 struct ak_trainer **out,
                                 struct ak_err *err) AK_MUST_CHECK;
void ak_trainer_destroy(struct ak_trainer *t); /* NULL is a no-op */

/*
 * Before anything else, but for a load: the model is `e` and stays so
 * (ak_hash_take()).  Rows and records are passed over then, as learnt: it waits
 * for nothing.  AK_EINVAL.
 */
enum ak_status ak_trainer_take(struct ak_trainer *t, struct ak_encoder *e,
                               struct ak_err *err) AK_MUST_CHECK;
bool ak_trainer_has_taken(const struct ak_trainer *t);

/*
 * A failure of one of the three below is that of the view or of memory, or
 * AK_ECORRUPT: then the trainer may only be destroyed.  *out is set anew.
 *
 * Train with a set, in the order of the set, or by seeded passes over it
 * (`by_epochs`).  Its first rows fix the feature map.  A call learns at least
 * one block and about `most` rows; ak_trainer_progress() tells how far it is.
 * All calls get the same set, also after a load.  Rows without a label are
 * passed over.
 */
enum ak_status ak_trainer_train(struct ak_trainer *t, struct ak_view *view,
                                const struct ak_row_refs *set, size_t most,
                                struct ak_trained *out,
                                struct ak_err *err) AK_MUST_CHECK;

/* Rows learnt from a set of n, each as often as there are passes, of all that
   will be; equal at the end. */
void ak_trainer_progress(const struct ak_trainer *t, size_t n, uint64_t *done,
                         uint64_t *total);

/* Rows as if they came in a record, once the feature map is fixed; by a method
   `by_epochs` once it has been trained. */
enum ak_status ak_trainer_feed(struct ak_trainer *t, struct ak_view *view,
                               const struct ak_row_refs *rows,
                               struct ak_trained *out,
                               struct ak_err *err) AK_MUST_CHECK;

/* Learn what is gathered, as a flush record would. */
enum ak_status ak_trainer_flush(struct ak_trainer *t, struct ak_view *view,
                                struct ak_trained *out,
                                struct ak_err *err) AK_MUST_CHECK;

/* The next record to follow is the one after `seq`.  When no row was fed, the
   warm-up begins there. */
void ak_trainer_begin(struct ak_trainer *t, uint64_t seq);

/*
 * Take the record after ak_trainer_seq(), which `view` has just lent; what it
 * lends may be gone after a call that ends the warm-up.
 */
enum ak_status ak_trainer_follow(struct ak_trainer *t, struct ak_view *view,
                                 const struct ak_record *rec,
                                 struct ak_trained *out,
                                 struct ak_err *err) AK_MUST_CHECK;

/* The record that was followed last. */
uint64_t ak_trainer_seq(const struct ak_trainer *t);

/* The same, or the end of the warm-up if that is later: up to here, nothing
   about a record is forgotten. */
uint64_t ak_trainer_absorbed(const struct ak_trainer *t);

/* The record that ended the warm-up; 0: it goes on. */
uint64_t ak_trainer_warmed_at(const struct ak_trainer *t);

/* A method `by_epochs` that has not been trained: it waits for passes. */
bool ak_trainer_waits(const struct ak_trainer *t);

/* Rows that wait in the warm-up, for a block, or for the first passes. */
uint64_t ak_trainer_pending(const struct ak_trainer *t);

/* A flush would learn something, or end the warm-up. */
bool ak_trainer_can_flush(const struct ak_trainer *t);

const struct ak_hash_method *ak_trainer_method(const struct ak_trainer *t);
/* The learner, to freeze or to count. */
const struct ak_hash *ak_trainer_hash(const struct ak_trainer *t);
const struct ak_settings *ak_trainer_settings(const struct ak_trainer *t);
size_t ak_trainer_bytes(const struct ak_trainer *t); /* with the learner */

/*
 * Vectors of rows [first, first + n) as x (n, dim), lent until the next call
 * with other rows; what asks for the rows of a record before the record is
 * followed costs no second reading.
 */
enum ak_status ak_trainer_rows(struct ak_trainer *t, struct ak_view *view,
                               uint64_t first, size_t n, const float **x,
                               struct ak_err *err) AK_MUST_CHECK;

/*
 * State and constants, as of core/hash/hash.h; `state` is read to its end.  In
 * the warm-up the constants are not final and there is no state worth saving:
 * ak_trainer_can_save() is false.
 */
bool ak_trainer_can_save(const struct ak_trainer *t);
enum ak_status ak_trainer_save_constants(const struct ak_trainer *t,
                                         struct ak_writer *w,
                                         struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_trainer_save_state(const struct ak_trainer *t,
                                     struct ak_writer *w,
                                     struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_trainer_load(struct ak_trainer *t,
                               struct ak_reader *constants,
                               struct ak_reader *state,
                               struct ak_err *err) AK_MUST_CHECK;

#endif
