/* rebuild.h -- what the jobs `rebuild` and `promote` are asked. */
#ifndef AK_SERVER_REBUILD_H
#define AK_SERVER_REBUILD_H

#include "server/job_kind.h"

/* As in job_kind.h; the params of a promotion name an extractor, and which of its
   versions is written there. */
enum ak_status ak_rebuild_check(struct ak_run_check *check,
                                struct ak_fault *fault);
enum ak_status ak_promote_check(struct ak_run_check *check,
                                struct ak_fault *fault);

/* Whether the params name an extractor. */
bool ak_rebuild_extracts(const json_t *params);

/* The settings as they will be.  AK_EINVAL with a fault. */
enum ak_status ak_rebuild_merge(struct ak_engine *engine,
                                const struct ak_settings *now,
                                const json_t *params, struct ak_settings *out,
                                struct ak_fault *fault) AK_MUST_CHECK;

#endif
