/* train_bounds.h -- what a training may take, what it leaves out and what it must
   reach: of the jobs `train` and `finetune`, and of a policy that starts them. */
#ifndef AK_SERVER_TRAIN_BOUNDS_H
#define AK_SERVER_TRAIN_BOUNDS_H

#include "server/job_options.h"

/* The objects at `pointer`; defaults are filled in, but for `threads` of a budget,
   which stays absent.  As ak_job_options_check(). */
enum ak_status ak_train_check_budget(json_t *object, const char *pointer,
                                     struct ak_fault *fault) AK_MUST_CHECK;
enum ak_status ak_train_check_gate(json_t *object, const char *pointer,
                                   struct ak_fault *fault) AK_MUST_CHECK;
/* The parts of the images; of a fine-tuning the gate's is larger unless another is
   asked for, since a stream has fewer images than a set, and a gain shows only on
   enough of them. */
enum ak_status ak_train_check_splits(json_t *object, const char *pointer,
                                     bool finetune,
                                     struct ak_fault *fault) AK_MUST_CHECK;

/* What a fine-tuning does unless it is asked for something else: far smaller
   steps than a network needs that has learnt nothing (docs/networks.md has what
   was measured). */
#define AK_FINETUNE_EPOCHS "5"
#define AK_FINETUNE_BATCH  "128"
#define AK_FINETUNE_RATE   "0.02"

#endif
