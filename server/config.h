/*
 * config.h -- what the daemon is set to: default, then file, then command line.
 *
 * One table in config.c (key, type, default, range, help) makes the parser, the
 * help, the sample file and the texts of errors.  The struct is plain to read
 * and does not change once it is loaded; a reload makes a new one.
 */
#ifndef AK_SERVER_CONFIG_H
#define AK_SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/base/err.h"

enum ak_config_action {
    AK_CONFIG_RUN,
    AK_CONFIG_HELP,
    AK_CONFIG_VERSION,
    AK_CONFIG_CHECK,
    AK_CONFIG_SAMPLE
};

struct ak_config {
    /* The process. */
    char *data_dir;
    char *datasets_dir;
    char *worker_program;
    char *shipped_extractors;
    char *listen;               /* "127.0.0.1:7337", "[::1]:0", "unix:/path" */
    char *allowed_hosts;        /* names, comma-separated */
    uint64_t log_level;         /* enum ak_log_level */
    uint64_t http_threads;      /* 0: one a core */
    uint64_t pool_threads;      /* 0: one a core */
    uint64_t decode_in_process; /* 0 or 1 */
    uint64_t decode_restart_images;
    uint64_t decode_timeout_ms;
    uint64_t max_connections;
    uint64_t max_connections_per_address; /* 0: no limit */
    uint64_t idle_timeout_ms;
    uint64_t header_timeout_ms;
    uint64_t request_timeout_ms;
    uint64_t drain_delay_ms;
    uint64_t drain_timeout_ms;

    /* Memory. */
    uint64_t queue_bytes;
    uint64_t collection_queue_bytes;
    uint64_t max_body_memory;
    uint64_t max_answer_memory;
    uint64_t max_file_memory;
    uint64_t disk_low_bytes; /* of the disk, not of memory */

    /* Limits on what comes in. */
    uint64_t max_body_bytes;
    uint64_t max_batch_items;
    uint64_t max_search_batch;
    uint64_t max_labels_per_item;
    uint64_t max_label_bytes;
    uint64_t max_payload_bytes;
    uint64_t max_limit;
    uint64_t max_rerank;
    uint64_t max_filter_clauses;
    uint64_t max_line_bytes;
    uint64_t max_image_pixels;
    uint64_t max_image_bytes;
    uint64_t max_extractor_bytes;
    uint64_t max_timeout_ms;
    uint64_t max_jobs;
    uint64_t max_running_jobs;

    enum ak_config_action action;
    char *file;        /* that was read; NULL: none */
    unsigned *origins; /* of each key: a line of the file, or what config.c
                          says */
};

/*
 * Read a command line, and the file that --config names.  AK_EINVAL has a text
 * fit to be shown, with the file and line; AK_EIO when the file cannot be read.
 */
enum ak_status ak_config_load(int argc, char *const *argv,
                              struct ak_config **out,
                              struct ak_err *err) AK_MUST_CHECK;
void ak_config_destroy(struct ak_config *config); /* NULL is a no-op */

/* What --help, --check-config and --sample-config print. */
void ak_config_print_help(FILE *to);
void ak_config_print(const struct ak_config *config, FILE *to);
void ak_config_print_sample(FILE *to);

/*
 * Settings of a reload that take effect only at a start and differ between
 * `now` and `next`: the i-th key of them, NULL after the last.
 */
const char *ak_config_needs_start(const struct ak_config *now,
                                  const struct ak_config *next, size_t i);

/* The limits of GET /v1/limits; `each` gets the name there: times are in
   seconds and their names say so. */
typedef void ak_config_limit_fn(void *arg, const char *name, double value);
void ak_config_each_limit(const struct ak_config *config,
                          ak_config_limit_fn *each, void *arg);

#endif
