/*
 * metrics.h -- what is counted, and how Prometheus reads it.
 *
 * One table in metrics.c (name, type, label, values of the label, help) holds
 * what the code counts as it goes; its series exist from the start with 0.  One
 * set a process; any thread; a count is one atomic addition.  What is looked up
 * when it is asked for (collections, the process) is written by routes_ops.c
 * with the writers below.  Names are without the prefix `akind_`.
 */
#ifndef AK_SERVER_METRICS_H
#define AK_SERVER_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "server/text.h"

enum ak_metric {
    AK_METRIC_HTTP_BODY_BYTES,        /* counter */
    AK_METRIC_HTTP_REPLY_BYTES,       /* counter */
    AK_METRIC_HTTP_CONNECTIONS_TOTAL, /* counter */
    AK_METRIC_HTTP_REJECTED,          /* counter: enum ak_rejected */
    AK_METRIC_HTTP_PROTOCOL_ERRORS,   /* counter: enum ak_protocol_error */
    AK_METRIC_QUERY_STAGE_SECONDS,    /* histogram: enum ak_stage */
    AK_METRIC_QUERY_CODES_SCANNED,    /* counter */
    AK_METRIC_QUERY_RESULTS,          /* histogram */
    AK_METRIC_QUERY_INCOMPLETE,       /* counter */
    AK_METRIC_QUERY_TOP_DISTANCE,     /* histogram: bits */
    AK_METRIC_INGEST_ITEMS,           /* counter: enum ak_item_outcome */
    AK_METRIC_INGEST_BYTES,           /* counter: enum ak_ingest_format */
    AK_METRIC_INGEST_REFUSED,         /* counter: enum ak_no_room */
    AK_METRIC_IMAGES_DECODED,         /* counter */
    AK_METRIC_IMAGE_DECODE_FAILURES,  /* counter: enum ak_image_failure */
    AK_METRIC_IMAGE_DECODER_RESTARTS, /* counter: enum ak_decoder_end */
    AK_METRIC_JOBS_STARTED,           /* counter */
    AK_METRIC_JOBS_ENDED,             /* counter: enum ak_job_end */
    AK_N_METRICS
};

enum ak_rejected {
    AK_REJECTED_TIMEOUT,
    AK_REJECTED_DRAINING,
    AK_REJECTED_ADDRESS
};
enum ak_protocol_error {
    AK_PROTOCOL_FRAMING,
    AK_PROTOCOL_TARGET,
    AK_PROTOCOL_HEADER,
    AK_PROTOCOL_FOREIGN,
    AK_PROTOCOL_LIBRARY
};
enum ak_stage {
    AK_STAGE_DECODE,
    AK_STAGE_EXTRACT,
    AK_STAGE_HASH,
    AK_STAGE_SCAN,
    AK_STAGE_FETCH,
    AK_STAGE_RERANK,
    AK_STAGE_QUEUE,
    AK_STAGE_OTHER
};
enum ak_item_outcome {
    AK_OUTCOME_ACCEPTED,
    AK_OUTCOME_REPLAYED,
    AK_OUTCOME_REFUSED
};
enum ak_ingest_format {
    AK_INGEST_JSON,
    AK_INGEST_NDJSON,
    AK_INGEST_NPY,
    AK_INGEST_IMAGE
};
enum ak_no_room { AK_NO_ROOM_QUEUE, AK_NO_ROOM_MEMORY, AK_NO_ROOM_DISK };
enum ak_job_end {
    AK_JOB_END_SUCCEEDED,
    AK_JOB_END_FAILED,
    AK_JOB_END_CANCELED
};
enum ak_image_failure {
    AK_IMAGE_UNDECODABLE,
    AK_IMAGE_TOO_LARGE,
    AK_IMAGE_CRASH,
    AK_IMAGE_TIMEOUT,
    AK_IMAGE_UNAVAILABLE
};
enum ak_decoder_end {
    AK_DECODER_END_SERVED,
    AK_DECODER_END_DIED,
    AK_DECODER_END_LATE,
    AK_DECODER_END_LIMITS
};

/* `label` is the index of a value of the metric's label, 0 when it has none. */
void ak_metric_add(enum ak_metric metric, unsigned label, uint64_t n);
/* A value of a histogram: seconds, or a number. */
void ak_metric_observe(enum ak_metric metric, unsigned label, double value);
uint64_t ak_metric_value(enum ak_metric metric, unsigned label);
/* Index of a stage's name; AK_STAGE_OTHER when it is none of them. */
unsigned ak_metric_stage(const char *name);

/* All of the table. */
void ak_metrics_write(struct ak_text *t);

/* A histogram on its own, of seconds, with the buckets of all others. */
#define AK_HISTOGRAM_BUCKETS 19 /* with the one without a bound */
struct ak_histogram {
    atomic_uint_fast64_t counts[AK_HISTOGRAM_BUCKETS];
    atomic_uint_fast64_t sum; /* millionths */
};
void ak_histogram_observe_ns(struct ak_histogram *h, uint64_t ns);
/* `labels`: `route="/x",method="GET"`, or "". */
void ak_histogram_write(const struct ak_histogram *h, const char *name,
                        const char *labels, struct ak_text *t);

/* Head of a family: `# HELP` and `# TYPE`. */
void ak_metric_write_head(struct ak_text *t, const char *name, const char *type,
                          const char *help);
/* A value; `label` may be NULL, and its value comes from outside. */
void ak_metric_write(struct ak_text *t, const char *name, const char *label,
                     const char *label_value, double value);
/* A value of a label with what must be escaped. */
void ak_metric_write_label(struct ak_text *t, const char *name,
                           const char *value);

#endif
