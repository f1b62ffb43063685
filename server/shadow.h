/*
 * shadow.h -- a learner that is made anew, beside the one that lives.
 *
 * What it comes to is a function of its parameters and of the records alone:
 * the rows that live after record `base_seq`, with the labels that they have
 * then, in a seeded shuffle, are learnt as a set; then it follows the records
 * after `base_seq`.  How the work was cut into steps, saved and loaded does not
 * matter.
 *
 * With `held` the last labelled rows of the shuffle, a tenth of them at most,
 * are left out of the set, so that they can be a test; then they are fed one by
 * one.  When that would be fewer than AK_SHADOW_LEAST, none are.
 *
 * One with a `head` is what that is from the beginning.  The rows are gathered
 * all the same, to test it; that none has a label is no failure then.
 *
 * Rows that were upserted without learning help to fix a feature map, like any
 * row without a label, and are not learnt.
 *
 * One thread at a time.
 */
#ifndef AK_SERVER_SHADOW_H
#define AK_SERVER_SHADOW_H

#include "server/debt.h"
#include "server/trainer.h"

#define AK_SHADOW_HELD  1000
#define AK_SHADOW_LEAST 100

enum ak_shadow_phase {
    AK_SHADOW_GATHER, /* what lives, and with which labels */
    AK_SHADOW_TRAIN,
    AK_SHADOW_TEST, /* stands still until ak_shadow_tested() */
    AK_SHADOW_FEED,
    AK_SHADOW_FOLLOW
};

struct ak_shadow;

struct ak_shadow_params {
    const struct ak_settings *settings; /* copied */
    uint64_t number;                    /* of the generation */
    uint64_t base_seq;
    uint64_t held; /* rows held back, at most; 0: none */
    struct ak_encoder
        *head; /* it is this, and learns nothing; NULL: it learns */
};

enum ak_status ak_shadow_create(const struct ak_shadow_params *params,
                                struct ak_shadow **out,
                                struct ak_err *err) AK_MUST_CHECK;
void ak_shadow_destroy(struct ak_shadow *s); /* NULL is a no-op */

/*
 * One slice of the work, some ten milliseconds.  Records are followed up to
 * `until`; *idle is set when there is nothing to do: all were followed, or a
 * test is waited for.  AK_ENOTFOUND: there is no row with a label to learn.
 */
enum ak_status ak_shadow_step(struct ak_shadow *s, struct ak_view *view,
                              uint64_t until, bool *idle,
                              struct ak_err *err) AK_MUST_CHECK;

enum ak_shadow_phase ak_shadow_phase(const struct ak_shadow *s);
/* How far the phase is. */
void ak_shadow_progress(const struct ak_shadow *s, uint64_t *done,
                        uint64_t *total);
uint64_t ak_shadow_seq(const struct ak_shadow *s); /* followed */
uint64_t ak_shadow_base(const struct ak_shadow *s);
size_t ak_shadow_rows(const struct ak_shadow *s); /* with a label */

/*
 * In phase TEST: mAP of the held rows as queries, ranked against up to 4,096
 * rows of the set, under this learner and under `published`, which takes vectors
 * as `settings` say.  queries is 0 when none were held back.
 */
struct ak_shadow_test {
    uint64_t queries, database;
    double map, published_map;
};
enum ak_status ak_shadow_test(struct ak_shadow *s, struct ak_view *view,
                              const struct ak_encoder *published,
                              const struct ak_settings *settings,
                              struct ak_shadow_test *out,
                              struct ak_err *err) AK_MUST_CHECK;
void ak_shadow_tested(struct ak_shadow *s);

/* In phase FOLLOW: hand the trainer over, with its debt; what remains may only
   be destroyed. */
struct ak_trainer *ak_shadow_take(struct ak_shadow *s, struct ak_debt *debt);

/* From TRAIN on, once the feature map is fixed. */
bool ak_shadow_can_save(const struct ak_shadow *s);
enum ak_status ak_shadow_save_constants(const struct ak_shadow *s,
                                        struct ak_writer *w,
                                        struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_shadow_save_state(const struct ak_shadow *s,
                                    struct ak_writer *w,
                                    struct ak_err *err) AK_MUST_CHECK;
/* Into one made with the same parameters.  AK_ECORRUPT: it may only be
   destroyed. */
enum ak_status ak_shadow_load(struct ak_shadow *s, struct ak_bytes constants,
                              struct ak_bytes state,
                              struct ak_err *err) AK_MUST_CHECK;

/* The order in which a generation learns n rows. */
void ak_shadow_shuffle(uint64_t seed, uint64_t number, uint32_t *values,
                       uint32_t n);

#endif
