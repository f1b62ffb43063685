/*
 * worker.h -- what akin-worker can be started for: one row of a table each.
 *
 * akin-worker is what akind does not do in its own process, since it may crash,
 * be killed for its memory, or be what hostile bytes aim at.  akind starts it
 * (server/program.h), talks to it over descriptors that it inherits, and watches
 * it.  It uses core/ and nothing of the daemon: no database, no socket of its
 * own.
 */
#ifndef AK_SERVER_WORKER_WORKER_H
#define AK_SERVER_WORKER_WORKER_H

struct ak_worker_mode {
    const char *option; /* "--decode" */
    const char *help;   /* one line */
    /* The arguments behind the option; returns the exit code, of sysexits.h. */
    int (*run)(int argc, char **argv);
};

extern const struct ak_worker_mode ak_worker_decode; /* decode.c */

/* The table; ends with NULL (main.c). */
extern const struct ak_worker_mode *const ak_worker_modes[];

extern const struct ak_worker_mode ak_worker_job; /* job.c */

#endif
