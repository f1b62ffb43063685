/*
 * finetune.h -- when a collection's network is trained on by itself: what is kept
 * of it, and the rule.
 *
 * The rule is a function of the settings, of what is kept and of what is seen, so
 * it says the same after a restart.  What is kept is written into the collection's
 * file before anything is done because of it (finetune_policy.c).
 */
#ifndef AK_SERVER_FINETUNE_H
#define AK_SERVER_FINETUNE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/blob.h"
#include "server/settings_finetune.h"

enum ak_finetune_why {
    AK_FINETUNE_NOT,
    AK_FINETUNE_IMAGES, /* so many were labelled */
    AK_FINETUNE_DRIFT   /* the alarm was raised */
};
const char *ak_finetune_why_name(enum ak_finetune_why why); /* "images" */

enum ak_finetune_outcome {
    AK_FINETUNE_NONE, /* there was none yet, or it is under way */
    AK_FINETUNE_PROMOTED,
    AK_FINETUNE_FAILED, /* its gate, that of the promotion, or anything else */
    AK_FINETUNE_CANCELED,
    AK_N_FINETUNE_OUTCOMES
};
const char *ak_finetune_outcome_name(enum ak_finetune_outcome outcome);

/* All of it is kept.  Counts are of the labelled images that ever came. */
struct ak_finetune_state {
    uint64_t mark; /* that the last fine-tuning had which came to something */
    uint64_t attempts; /* of the policy, so far: the number of the last */
    bool running;      /* the last is under way */
    enum ak_finetune_why why;
    uint64_t tried; /* that were there when it was decided on */
    uint64_t
        answered; /* the record of the alarm that was raised then; 0: none */
    unsigned failures;            /* in a row */
    int64_t started_ms, ended_ms; /* 0: never */
    enum ak_finetune_outcome outcome;
    uint64_t job, promotion; /* 0: none, or not known yet */
    uint64_t file;           /* of the collection whose jobs these are */
    uint32_t version;        /* that came of it; 0: none did */
    char error[256];
};

/* What is seen. */
struct ak_finetune_look {
    uint64_t labelled;  /* images, ever */
    uint64_t alarm_seq; /* since which record the alarm of drift is raised; 0 */
    int64_t now_ms;
};

/*
 * Whether one is to begin, and why.  None does while one is under way, nor until
 * ak_finetune_pause() has passed since the last ended, nor after one that failed
 * with no labelled image that it did not have: it would come to the same.  An alarm
 * is answered once, unless that failed.
 */
enum ak_finetune_why
ak_finetune_due(const struct ak_finetune_settings *settings,
                const struct ak_finetune_state *state,
                const struct ak_finetune_look *look);

/* Seconds of rest behind the last one: the cool-down, twice as long for each
   failure in a row, up to AK_FINETUNE_BACKOFF times. */
#define AK_FINETUNE_BACKOFF 64
uint64_t ak_finetune_pause(const struct ak_finetune_settings *settings,
                           const struct ak_finetune_state *state);

void ak_finetune_save(const struct ak_finetune_state *state,
                      struct ak_writer *w);
/* AK_ECORRUPT: then *state is as it was. */
enum ak_status ak_finetune_load(struct ak_finetune_state *state,
                                struct ak_reader *r) AK_MUST_CHECK;

#endif
