/* job.h -- what the commands about jobs share. */
#ifndef AK_CLIENT_JOB_H
#define AK_CLIENT_JOB_H

#include "client/tool.h"

/* Follow a job until it has ended: progress on stderr, its log too, what came
   of it on stdout.  EXIT_NEGATIVE when it failed or was cancelled. */
int job_watch(struct tool *tool, uint64_t id);

/* The same, but what it ended as goes to *job (owned; NULL: it is not known). */
int job_follow(struct tool *tool, uint64_t id, json_t **job);
bool job_succeeded(const json_t *job);

/* Start what `body` (stolen; NULL: no memory) asks for, and print its number, or
   follow it. */
int job_start(struct tool *tool, json_t *body, bool watch);

/* The job for a person, or as a line of JSON. */
void job_print(const struct tool *tool, const json_t *job);

/* "/v1/jobs/ID" and the rest; free it. */
char *job_path(uint64_t id, const char *rest);

/* Number of a job; EXIT_OK or said what is wrong. */
int job_id(const char *text, uint64_t *id);

/* A member of a job's params, budget or gate, if the option was given. */
void job_put_number(json_t *to, const char *name, bool is_given,
                    uint64_t value);
void job_put_real(json_t *to, const char *name, bool is_given, double value);

#endif
