/*
 * jobs_fixture.h -- an engine whose clock ticks, and jobs of it.  What goes
 * wrong fails the test.
 */
#ifndef AK_TESTS_SERVER_JOBS_FIXTURE_H
#define AK_TESTS_SERVER_JOBS_FIXTURE_H

#include "server/jobs.h"
#include "tests/server/engine_fixture.h"

/* As open_engine(), with a thread that ticks until fixture_close().  `params`
   may be NULL; its data_dir is set. */
struct ak_engine *fixture_open(const struct ak_engine_params *params);
void fixture_close(struct ak_engine *e);

/* Start a job, whose params and gate are JSON texts or NULL.  0 when it is
   refused, which fails the test if `status` is NULL. */
uint64_t fixture_start(struct ak_engine *e, const char *kind,
                       const char *target, const char *params, const char *gate,
                       enum ak_status *status);
void fixture_ask(struct ak_engine *e, uint64_t id, enum ak_run_wish wish);
/* Its state, or -1; and wait until it is that one. */
int fixture_state(struct ak_engine *e, uint64_t id);
void fixture_wait_state(struct ak_engine *e, uint64_t id,
                        enum ak_run_state state);
/* A member of the job as JSON text, to be freed: "result", "error". */
char *fixture_member(struct ak_engine *e, uint64_t id, const char *name);

#endif
