/* job_kinds.c -- the kinds of jobs that there are. */
#include "server/job_kinds.h"

const struct ak_run_kind *const ak_run_kinds[] = {
    &ak_run_duplicates, &ak_run_evaluate,
    &ak_run_rebuild,    &ak_run_promote,
    &ak_run_verify,     &ak_run_snapshot,
    &ak_run_restore,    &ak_run_train,
    &ak_run_finetune,   NULL,
};
