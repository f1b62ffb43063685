/* job_train.h -- what the jobs `train` and `finetune` are asked. */
#ifndef AK_SERVER_JOB_TRAIN_H
#define AK_SERVER_JOB_TRAIN_H

#include "server/job_kind.h"
#include "server/job_worker.h"

/* As in job_kind.h.  What comes of it says the same for both: `from` and
   `from_version`, or `arch`; `dataset` or `collection`. */
enum ak_status ak_train_check(struct ak_run_check *check,
                              struct ak_fault *fault);
enum ak_status ak_finetune_check(struct ak_run_check *check,
                                 struct ak_fault *fault);

/* Where a data set is; false: there is none of that name. */
bool ak_train_dataset(const struct ak_engine *engine, const char *name,
                      char path[AK_JOB_WORKER_PATH]);

#endif
