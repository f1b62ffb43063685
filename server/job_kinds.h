/* job_kinds.h -- the kinds of jobs, each in a file of its own. */
#ifndef AK_SERVER_JOB_KINDS_H
#define AK_SERVER_JOB_KINDS_H

#include "server/job_kind.h"

extern const struct ak_run_kind ak_run_duplicates; /* job_duplicates.c */
extern const struct ak_run_kind ak_run_evaluate;   /* job_evaluate.c */
extern const struct ak_run_kind ak_run_rebuild;    /* job_rebuild.c */
extern const struct ak_run_kind ak_run_promote;    /* the same */
extern const struct ak_run_kind ak_run_verify;     /* job_verify.c */
extern const struct ak_run_kind ak_run_snapshot;   /* job_snapshot.c */
extern const struct ak_run_kind ak_run_restore;    /* job_restore.c */
extern const struct ak_run_kind ak_run_train;      /* job_train.c */
extern const struct ak_run_kind ak_run_finetune;   /* the same */

#endif
