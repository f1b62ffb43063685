/*
 * routes_ops.c -- what an operator asks: alive, ready, metrics, statistics,
 * limits, version.  All answer while the collections are being loaded.
 */
#include <config.h> /* autoconf's: ours beside it has the same name */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>
#include <sqlite3.h>

#include "core/base/clock.h"
#include "core/base/cpu.h"
#include "server/build_info.h"
#include "server/decoder.h"
#include "server/http_internal.h"
#include "server/jobs.h"
#include "server/json_stats.h"
#include "server/memory.h"
#include "server/process.h"
#include "server/routes.h"

#define METRICS_TYPE    "text/plain; version=0.0.4; charset=utf-8"
#define MAX_COLLECTIONS 100 /* with series of their own */
#define MAX_NAME        64

/* --------------------------------------------------------- health and state */

static void healthz(struct ak_request *rq)
{
    ak_reply_json(rq, 200, json_pack("{s:s}", "status", "ok"));
}

static const char *state_of(struct ak_http *http, bool *ready)
{
    *ready = false;
    if (atomic_load(&http->draining))
        return "draining";
    if (!ak_http_ready(http))
        return "starting";
    *ready = true;
    return "ready";
}

static void readyz(struct ak_request *rq)
{
    struct ak_http *http = ak_request_http(rq);
    struct ak_decoder_state decoder;
    struct ak_engine_progress p;
    const char *state;
    bool ready;
    json_t *body;

    ak_engine_progress(http->engine, &p);
    ak_decoder_state(&decoder);
    state = state_of(http, &ready);
    body = json_pack(
        "{s:s, s:{s:s, s:s, s:s, s:s, s:s}, s:{s:I, s:I, s:I, s:I, s:I, s:I,"
        " s:I, s:I}}",
        "status", state, "checks", "accepting",
        atomic_load(&http->draining) ? "draining" : "ok", "storage",
        p.read_only  ? "read-only"
        : p.disk_low ? "disk-low"
                     : "ok",
        "collections",
        !p.ready                     ? "loading"
        : p.failed + p.logs_lost > 0 ? "degraded"
                                     : "ok",
        "extractors", p.extractors_damaged > 0 ? "degraded" : "ok", "decoder",
        decoder.in_process ? "in-process"
        : decoder.failing  ? "degraded"
                           : "ok",
        "progress", "collections", (json_int_t)p.collections, "loaded",
        (json_int_t)p.loaded, "failed", (json_int_t)p.failed, "logs_lost",
        (json_int_t)p.logs_lost, "rows", (json_int_t)p.rows, "rows_loaded",
        (json_int_t)p.rows_loaded, "extractors", (json_int_t)p.extractors,
        "extractors_damaged", (json_int_t)p.extractors_damaged);
    if (!ready)
        ak_reply_header(rq, "Retry-After", "1");
    ak_reply_json(rq, ready ? 200 : 503, body);
}

/* ----------------------------------------------------------------- metrics */

/* A field of a collection's status as a series. */
struct series {
    const char *family, *type, *help;
    const char *label, *value; /* beside `collection`; NULL: none */
    enum { WHOLE, REAL, FLAG } kind;
    size_t at;
    const char *k; /* of a further label `k`; NULL: none */
    bool adds;     /* of several collections, the sum means something */
};

#define FIELD(field)        offsetof(struct ak_collection_status, field)
#define WHOLE_AT(field)     WHOLE, FIELD(field), NULL
#define REAL_AT(field)      REAL, FIELD(field), NULL
#define FLAG_AT(field)      FLAG, FIELD(field), NULL
#define REAL_AT_K(field, k) REAL, FIELD(field), k

/* Rows of one family stand together; the first has type and help. */
static const struct series all_series[] = {
    {"collection_items", "gauge", "Living items.", NULL, NULL, WHOLE_AT(items),
     true},
    {"collection_rows", "gauge", "Rows ever, with those that were replaced.",
     NULL, NULL, WHOLE_AT(rows), true},
    {"collection_labels", "gauge", "Distinct labels.", NULL, NULL,
     WHOLE_AT(labels), true},
    {"collection_memory_bytes", "gauge", "Memory held.", "kind", "index",
     WHOLE_AT(memory_bytes), true},
    {"collection_memory_bytes", NULL, NULL, "kind", "learner",
     WHOLE_AT(learner_bytes), true},
    {"collection_memory_bytes", NULL, NULL, "kind", "publish",
     WHOLE_AT(publish_bytes), true},
    {"collection_memory_bytes", NULL, NULL, "kind", "partition",
     WHOLE_AT(partition_bytes), true},
    {"stream_seq", "gauge", "Last record that reached a stage.", "stage",
     "durable", WHOLE_AT(durable_seq), false},
    {"stream_seq", NULL, NULL, "stage", "learned", WHOLE_AT(learned_seq),
     false},
    {"stream_seq", NULL, NULL, "stage", "visible", WHOLE_AT(visible_seq),
     false},
    {"stream_lag_seconds", "gauge", "Age of the oldest record not learnt.",
     NULL, NULL, REAL_AT(lag_seconds), false},
    {"ingest_queue_records", "gauge", "Submitted and not committed.", NULL,
     NULL, WHOLE_AT(queue_records), true},
    {"ingest_queue_bytes", "gauge", "Submitted and not committed.", NULL, NULL,
     WHOLE_AT(queue_bytes), true},
    {"ingest_queue_oldest_seconds", "gauge",
     "Age of the oldest that was submitted and not committed.", NULL, NULL,
     REAL_AT(queue_oldest_seconds), false},
    {"learn_samples_total", "counter", "Rows learnt.", NULL, NULL,
     WHOLE_AT(learnt_rows), true},
    {"learn_skipped_rows_total", "counter", "Rows that were not learnt.", NULL,
     NULL, WHOLE_AT(skipped_rows), true},
    {"learn_batches_total", "counter", "Batches learnt.", NULL, NULL,
     WHOLE_AT(learnt_batches), true},
    {"learn_rejected_batches_total", "counter",
     "Batches that the learner refused.", NULL, NULL,
     WHOLE_AT(rejected_batches), true},
    {"learn_rollbacks_total", "counter",
     "Updates undone since a weight would not have been finite.", NULL, NULL,
     WHOLE_AT(rollbacks), true},
    {"learn_pending_rows", "gauge",
     "Rows waiting in the warm-up or for a block.", NULL, NULL,
     WHOLE_AT(pending_rows), true},
    {"learn_loss", "gauge", "Loss of the last batch.", NULL, NULL,
     REAL_AT(last_loss), false},
    {"learn_seconds_total", "counter", "Time spent learning.", NULL, NULL,
     REAL_AT(learn_seconds), true},
    {"index_seconds_total", "counter", "Time spent making rows searchable.",
     NULL, NULL, REAL_AT(index_seconds), true},
    {"publish_seconds_total", "counter", "Time spent encoding again.", NULL,
     NULL, REAL_AT(publish_seconds), true},
    {"quality_seconds_total", "counter", "Time spent measuring quality.", NULL,
     NULL, REAL_AT(quality_seconds), true},
    {"model_version", "gauge", "Version of the model.", "role", "published",
     WHOLE_AT(published), false},
    {"model_samples", "gauge", "Samples that the model has learnt.", "role",
     "live", WHOLE_AT(live_samples), false},
    {"publishes_total", "counter", "Versions that began to serve.", NULL, NULL,
     WHOLE_AT(publishes), true},
    {"publish_rows_total", "counter", "Rows encoded again.", NULL, NULL,
     WHOLE_AT(published_rows), true},
    {"publish_remaining_rows", "gauge", "Rows still to encode again.", NULL,
     NULL, WHOLE_AT(publish_remaining_rows), true},
    {"codes_stale_ratio", "gauge",
     "Share of the learnt samples that the published model has not.", NULL,
     NULL, REAL_AT(staleness), false},
    {"collection_debt_ratio", "gauge",
     "Share of the learnt rows that were deleted or relabelled since.", NULL,
     NULL, REAL_AT(debt), false},
    {"erasures_pending_rows", "gauge", "Rows that wait to be erased.", NULL,
     NULL, WHOLE_AT(erasures_pending), true},
    {"erased_rows_total", "counter", "Rows made unreadable.", NULL, NULL,
     WHOLE_AT(erased_rows), true},
    {"rebuilds_refused_total", "counter",
     "Rebuilds that their gate did not let through.", NULL, NULL,
     WHOLE_AT(rebuilds_refused), true},
    {"finetune_new_images", "gauge",
     "Labelled images that came since the last fine-tuning.", NULL, NULL,
     WHOLE_AT(new_images), true},
    {"finetune_running", "gauge",
     "1 while a fine-tuning of the policy is under way.", NULL, NULL,
     FLAG_AT(finetune_running), true},
    {"finetunes_started_total", "counter",
     "Fine-tunings that the policy began.", NULL, NULL,
     WHOLE_AT(finetunes_started), true},
    {"finetunes_ended_total", "counter",
     "Fine-tunings of the policy that ended.", "outcome", "promoted",
     WHOLE_AT(finetunes_ended[AK_FINETUNE_PROMOTED]), true},
    {"finetunes_ended_total", NULL, NULL, "outcome", "failed",
     WHOLE_AT(finetunes_ended[AK_FINETUNE_FAILED]), true},
    {"finetunes_ended_total", NULL, NULL, "outcome", "canceled",
     WHOLE_AT(finetunes_ended[AK_FINETUNE_CANCELED]), true},
    {"quality_map_ratio", "gauge", "mAP at R over the window.", "series",
     "served", REAL_AT(served.map_at_r), false},
    {"quality_map_ratio", NULL, NULL, "series", "live", REAL_AT(live.map_at_r),
     false},
    {"quality_precision_ratio", "gauge", "Precision at k over the window.",
     "series", "served", REAL_AT_K(served.precision[0], "1"), false},
    {"quality_precision_ratio", NULL, NULL, "series", "served",
     REAL_AT_K(served.precision[1], "10"), false},
    {"quality_precision_ratio", NULL, NULL, "series", "served",
     REAL_AT_K(served.precision[2], "100"), false},
    {"quality_precision_ratio", NULL, NULL, "series", "live",
     REAL_AT_K(live.precision[0], "1"), false},
    {"quality_precision_ratio", NULL, NULL, "series", "live",
     REAL_AT_K(live.precision[1], "10"), false},
    {"quality_precision_ratio", NULL, NULL, "series", "live",
     REAL_AT_K(live.precision[2], "100"), false},
    {"quality_drift_score", "gauge",
     "Statistic of the test for drift, which raises the alarm at 1.", NULL,
     NULL, REAL_AT(drift.score), false},
    {"quality_drift_alarm", "gauge", "1 while the alarm of drift is raised.",
     NULL, NULL, FLAG_AT(drift.alarm), true},
    {"quality_drift_alarms_total", "counter", "Alarms of drift.", NULL, NULL,
     WHOLE_AT(drift.alarms), true},
    {"publish_refused_total", "counter", "Marks at which the gate refused.",
     "reason", "no_gain", WHOLE_AT(refused[AK_GATE_NO_GAIN]), true},
    {"publish_refused_total", NULL, NULL, "reason", "worse",
     WHOLE_AT(refused[AK_GATE_WORSE]), true},
    {"publish_refused_total", NULL, NULL, "reason", "falling",
     WHOLE_AT(refused[AK_GATE_FALLING]), true},
    {"publish_refused_total", NULL, NULL, "reason", "older_classes",
     WHOLE_AT(refused[AK_GATE_OLDER_CLASSES]), true},
    {"publish_segments_reused_total", "counter",
     "Segments whose stored codes served again.", NULL, NULL,
     WHOLE_AT(reused_segments), true},
    {"code_bit_ones_ratio", "gauge",
     "Share of ones of a bit of the published codes, on a sample.", "stat",
     "min", REAL_AT(bits.ones_min), false},
    {"code_bit_ones_ratio", NULL, NULL, "stat", "mean", REAL_AT(bits.ones_mean),
     false},
    {"code_bit_ones_ratio", NULL, NULL, "stat", "max", REAL_AT(bits.ones_max),
     false},
    {"code_entropy_ratio", "gauge",
     "Mean entropy of the bits of the published codes, on a sample.", NULL,
     NULL, REAL_AT(bits.entropy), false},
    {"code_flip_ratio", "gauge",
     "Share of bits that the live model would change, on a sample.", NULL, NULL,
     REAL_AT(bits.flips), false},
    {"db_file_bytes", "gauge", "Size of the file.", NULL, NULL,
     WHOLE_AT(file_bytes), true},
};

struct collections {
    size_t n;
    struct ak_collection_status *status;
    char (*names)[MAX_NAME];
};

static void collections_clear(struct collections *all)
{
    free(all->status);
    free(all->names);
}

/* A mean over nothing is no number. */
static void mark_unknown(struct ak_quality *q)
{
    if (q->queries > 0)
        return;
    q->map_at_r = NAN;
    for (int k = 0; k < AK_N_PRECISIONS; k++)
        q->precision[k] = NAN;
}

/* What each collection says now; its status is asked for once. */
static enum ak_status collections_read(struct ak_engine *engine,
                                       struct collections *out,
                                       struct ak_err *err)
{
    struct ak_settings *settings = malloc(sizeof(*settings));
    struct ak_collection **list = NULL;
    enum ak_status status;
    size_t n = 0;

    *out = (struct collections){0};
    if (settings == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a list of collections");
    status = ak_engine_list(engine, &list, &n, err);
    if (status == AK_OK) {
        out->status = calloc(n + 1, sizeof(out->status[0]));
        out->names = calloc(n + 1, sizeof(out->names[0]));
        if (out->status == NULL || out->names == NULL)
            status =
                ak_fail(err, AK_ENOMEM, "no memory for %zu collections", n);
        for (size_t i = 0; i < n; i++) {
            if (status == AK_OK) {
                struct ak_collection_status *s = &out->status[i];

                ak_collection_settings(list[i], settings);
                snprintf(out->names[i], MAX_NAME, "%s", settings->name);
                ak_collection_status(list[i], s);
                mark_unknown(&s->served);
                mark_unknown(&s->live);
                if (s->bits.rows == 0)
                    s->bits =
                        (struct ak_bits_summary){0, NAN, NAN, NAN, NAN, NAN};
                out->n++;
            }
            ak_collection_drop(list[i]);
        }
        free(list);
    }
    free(settings);
    if (status != AK_OK)
        collections_clear(out);
    return status;
}

static double value_of(const struct series *s,
                       const struct ak_collection_status *status)
{
    const char *at = (const char *)status + s->at;

    if (s->kind == WHOLE)
        return (double)*(const uint64_t *)(const void *)at;
    if (s->kind == FLAG)
        return *(const bool *)at;
    return *(const double *)(const void *)at;
}

static void write_value(struct ak_text *t, const struct series *s,
                        const char *collection, double value)
{
    ak_text_addf(t, "akind_%s{", s->family);
    ak_metric_write_label(t, "collection", collection);
    if (s->label != NULL) {
        ak_text_add(t, ",", 1);
        ak_metric_write_label(t, s->label, s->value);
    }
    if (s->k != NULL) {
        ak_text_add(t, ",", 1);
        ak_metric_write_label(t, "k", s->k);
    }
    if (isnan(value))
        ak_text_addf(t, "} NaN\n");
    else
        ak_text_addf(t, "} %.15g\n", value);
}

static void write_collections(struct ak_text *t, const struct collections *all)
{
    for (size_t i = 0; i < sizeof(all_series) / sizeof(all_series[0]); i++) {
        const struct series *s = &all_series[i];
        double other = 0;

        if (s->help != NULL)
            ak_metric_write_head(t, s->family, s->type, s->help);
        for (size_t c = 0; c < all->n; c++) {
            double value = value_of(s, &all->status[c]);

            if (c < MAX_COLLECTIONS)
                write_value(t, s, all->names[c], value);
            else
                other += value;
        }
        if (all->n > MAX_COLLECTIONS && s->adds)
            write_value(t, s, "_other", other);
    }
}

static void write_one(struct ak_text *t, const char *name, const char *type,
                      const char *help, double value)
{
    ak_metric_write_head(t, name, type, help);
    ak_metric_write(t, name, NULL, NULL, value);
}

/* Jobs that have not ended, by state. */
static const struct {
    enum ak_run_state state;
    const char *name;
} job_states[] = {
    {AK_RUN_QUEUED, "queued"},
    {AK_RUN_RUNNING, "running"},
    {AK_RUN_PAUSED, "paused"},
    {AK_RUN_INTERRUPTED, "interrupted"},
};
#define N_JOB_STATES (sizeof(job_states) / sizeof(job_states[0]))

static void write_jobs(struct ak_text *t, struct ak_engine *engine)
{
    unsigned counts[AK_JOB_STATES];

    ak_engine_count_jobs(engine, counts);
    ak_metric_write_head(t, "jobs", "gauge", "Jobs that have not ended.");
    for (size_t i = 0; i < N_JOB_STATES; i++)
        ak_metric_write(t, "jobs", "state", job_states[i].name,
                        counts[job_states[i].state]);
}

static json_t *json_jobs(struct ak_engine *engine)
{
    unsigned counts[AK_JOB_STATES];
    json_t *o = json_object();

    ak_engine_count_jobs(engine, counts);
    for (size_t i = 0; i < N_JOB_STATES; i++)
        json_object_set_new(o, job_states[i].name,
                            json_integer(counts[job_states[i].state]));
    return o;
}

static const char *isa(void)
{
    unsigned has = ak_cpu_features();
    const char *pinned = getenv("AKIND_ISA");

    if (pinned != NULL)
        return pinned;
    if (has & AK_CPU_AVX512_VPOPCNT)
        return "avx512-vpopcntdq";
    if (has & AK_CPU_AVX512)
        return "avx512";
    if (has & AK_CPU_AVX2)
        return "avx2";
    return has & AK_CPU_NEON ? "neon" : "scalar";
}

static size_t body_memory(struct ak_http *http)
{
    return atomic_load(&http->body_memory[0]) +
           atomic_load(&http->body_memory[1]);
}

static void write_process(struct ak_text *t, struct ak_http *http)
{
    const struct ak_config *config = atomic_load(&http->config);
    struct ak_decoder_state decoder;
    struct ak_engine_progress progress;
    struct ak_process p;
    bool ready;
    unsigned active = ak_http_active(http);
    unsigned connections = atomic_load(&http->connections);

    ak_metric_write_head(t, "build_info", "gauge", "What was built, always 1.");
    ak_text_addf(t, "akind_build_info{version=\"%s\",", PACKAGE_VERSION);
    ak_metric_write_label(t, "revision", AK_BUILD_GIT);
    ak_text_add(t, ",", 1);
    ak_metric_write_label(t, "isa", isa());
    ak_text_addf(t, "} 1\n");
    ak_process_read(&p);
    write_one(t, "start_time_seconds", "gauge", "Start of the daemon.",
              p.start_time);
    (void)state_of(http, &ready);
    write_one(t, "ready", "gauge", "1 when /readyz says so.", ready);
    ak_metric_write_head(t, "http_connections", "gauge", "Open connections.");
    ak_metric_write(t, "http_connections", "state", "active", active);
    ak_metric_write(t, "http_connections", "state", "idle",
                    connections > active ? connections - active : 0);
    write_one(t, "http_body_memory_bytes", "gauge",
              "Bodies that are being received.", (double)body_memory(http));
    ak_memory_write_metrics(http, t);
    write_one(t, "disk_free_bytes", "gauge", "Free space of data_dir.",
              (double)ak_process_disk_free(config->data_dir));
    ak_decoder_state(&decoder);
    write_one(t, "image_decoders_busy", "gauge", "Decoders with an image.",
              decoder.busy);
    ak_engine_progress(http->engine, &progress);
    write_one(t, "disk_low", "gauge",
              "1 while writes are refused for want of room.",
              progress.disk_low);
    ak_metric_write_head(t, "extractor_versions", "gauge",
                         "Versions of networks, by whether their files are "
                         "whole.");
    ak_metric_write(t, "extractor_versions", "state", "ok",
                    progress.extractors - progress.extractors_damaged);
    ak_metric_write(t, "extractor_versions", "state", "damaged",
                    progress.extractors_damaged);
    write_one(t, "process_cpu_seconds_total", "counter",
              "User and system time.", p.cpu_seconds);
    write_one(t, "process_resident_memory_bytes", "gauge", "Resident memory.",
              (double)p.resident_bytes);
    write_one(t, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
              (double)p.virtual_bytes);
    write_one(t, "process_threads", "gauge", "Threads.", (double)p.threads);
    write_one(t, "process_open_fds", "gauge", "Open files.",
              (double)p.open_fds);
    write_one(t, "process_max_fds", "gauge", "Most files that may be open.",
              (double)p.max_fds);
    write_one(t, "process_start_time_seconds", "gauge", "Start of the process.",
              p.start_time);
}

static void metrics(struct ak_request *rq)
{
    struct ak_http *http = ak_request_http(rq);
    struct collections all;
    struct ak_text t = {0};
    struct ak_err err = {0};
    enum ak_status status = collections_read(http->engine, &all, &err);

    if (status != AK_OK) {
        ak_reply_failure(rq, status, &err);
        return;
    }
    write_process(&t, http);
    ak_router_write_metrics(&http->router, &t);
    ak_metrics_write(&t);
    write_jobs(&t, http->engine);
    write_collections(&t, &all);
    collections_clear(&all);
    if (t.failed) {
        ak_text_clear(&t);
        ak_reply_failure(rq, AK_ENOMEM, NULL);
        return;
    }
    ak_reply_bytes(rq, 200, METRICS_TYPE, t.data, t.len);
}

/* -------------------------------------------------------------- statistics */

static json_t *json_collection(const char *name,
                               const struct ak_collection_status *s)
{
    return json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:{s:I, s:I, s:I}, s:f, s:{s:I, s:I},"
        " s:{s:I, s:I, s:I}, s:f, s:f, s:{s:o, s:o, s:o, s:o}, s:{s:I, s:I, "
        "s:I},"
        " s:{s:I, s:I, s:I, s:I, s:f}, s:{s:I, s:I, s:I, s:I},"
        " s:{s:f, s:f, s:f, s:f}}",
        "name", name, "status", s->state, "items", (json_int_t)s->items, "rows",
        (json_int_t)s->rows, "labels", (json_int_t)s->labels, "seq", "durable",
        (json_int_t)s->durable_seq, "learned", (json_int_t)s->learned_seq,
        "visible", (json_int_t)s->visible_seq, "lag_seconds", s->lag_seconds,
        "queue", "records", (json_int_t)s->queue_records, "bytes",
        (json_int_t)s->queue_bytes, "model_versions", "published",
        (json_int_t)s->published, "live_samples", (json_int_t)s->live_samples,
        "pending_rows", (json_int_t)s->pending_rows, "staleness", s->staleness,
        "debt", s->debt, "quality", "served", ak_json_quality(&s->served),
        "live", ak_json_quality(&s->live), "drift", ak_json_drift(&s->drift),
        "gate", ak_json_gate(&s->gate), "memory", "index_bytes",
        (json_int_t)s->memory_bytes, "learner_bytes",
        (json_int_t)s->learner_bytes, "file_bytes", (json_int_t)s->file_bytes,
        "learned", "rows", (json_int_t)s->learnt_rows, "skipped_rows",
        (json_int_t)s->skipped_rows, "batches", (json_int_t)s->learnt_batches,
        "rejected_batches", (json_int_t)s->rejected_batches, "last_loss",
        isfinite(s->last_loss) ? s->last_loss : 0.0, "publishing", "publishes",
        (json_int_t)s->publishes, "rows", (json_int_t)s->published_rows,
        "remaining_rows", (json_int_t)s->publish_remaining_rows,
        "reused_segments", (json_int_t)s->reused_segments, "seconds", "learn",
        s->learn_seconds, "index", s->index_seconds, "publish",
        s->publish_seconds, "quality", s->quality_seconds);
}

static json_t *json_http(struct ak_http *http)
{
    uint64_t classes[6] = {0}, total = 0;

    for (size_t i = 0; i <= http->router.n; i++) {
        for (unsigned h = 0; h < 2; h++) {
            for (unsigned c = 0; c < AK_N_CODES; c++) {
                uint64_t n = atomic_load(&http->router.entries[i].counts[h][c]);

                total += n;
                classes[c < AK_N_CODES - 1 ? ak_http_codes[c] / 100 : 0] += n;
            }
        }
    }
    return json_pack(
        "{s:I, s:{s:I, s:I, s:I, s:I}, s:I, s:I, s:I, s:I, s:I}",
        "requests_total", (json_int_t)total, "by_class", "2xx",
        (json_int_t)classes[2], "3xx", (json_int_t)classes[3], "4xx",
        (json_int_t)classes[4], "5xx", (json_int_t)classes[5], "active",
        (json_int_t)ak_http_active(http), "connections",
        (json_int_t)atomic_load(&http->connections), "request_bytes_total",
        (json_int_t)ak_metric_value(AK_METRIC_HTTP_BODY_BYTES, 0),
        "response_bytes_total",
        (json_int_t)ak_metric_value(AK_METRIC_HTTP_REPLY_BYTES, 0),
        "body_memory_bytes", (json_int_t)body_memory(http));
}

static void stats(struct ak_request *rq)
{
    struct ak_http *http = ak_request_http(rq);
    const struct ak_config *config = ak_request_config(rq);
    struct collections all;
    struct ak_process p;
    struct ak_err err = {0};
    char now[AK_TIME_TEXT], started[AK_TIME_TEXT];
    json_t *items;
    bool ready;
    const char *state = state_of(http, &ready);
    enum ak_status status = collections_read(http->engine, &all, &err);

    if (status != AK_OK) {
        ak_reply_failure(rq, status, &err);
        return;
    }
    ak_process_read(&p);
    items = json_array();
    for (size_t i = 0; i < all.n; i++)
        json_array_append_new(items,
                              json_collection(all.names[i], &all.status[i]));
    collections_clear(&all);
    ak_reply_json(
        rq, 200,
        json_pack("{s:s, s:s, s:{s:s, s:f, s:f, s:I, s:I, s:I, s:I}, s:I,"
                  " s:o, s:o, s:o, s:{s:o}}",
                  "status", state, "time", ak_time_format(ak_time_ms(), now),
                  "process", "started",
                  ak_time_format((int64_t)(p.start_time * 1000), started),
                  "uptime_seconds",
                  (double)(ak_clock_ns() - http->started_ns) / 1e9,
                  "cpu_seconds", p.cpu_seconds, "resident_bytes",
                  (json_int_t)p.resident_bytes, "threads",
                  (json_int_t)p.threads, "open_fds", (json_int_t)p.open_fds,
                  "max_fds", (json_int_t)p.max_fds, "disk_free_bytes",
                  (json_int_t)ak_process_disk_free(config->data_dir), "memory",
                  ak_memory_json(http), "http", json_http(http), "jobs",
                  json_jobs(http->engine), "collections", "items", items));
}

static void add_limit(void *arg, const char *name, double value)
{
    json_object_set_new(arg, name,
                        value == floor(value) ? json_integer((json_int_t)value)
                                              : json_real(value));
}

static void limits(struct ak_request *rq)
{
    json_t *body = json_object();

    if (body != NULL)
        ak_config_each_limit(ak_request_config(rq), add_limit, body);
    ak_reply_json(rq, 200, body);
}

static void version(struct ak_request *rq)
{
    ak_reply_json(rq, 200,
                  json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s}}",
                            "name", "akind", "version", PACKAGE_VERSION,
                            "revision", AK_BUILD_GIT, "isa", isa(), "api", "v1",
                            "libraries", "sqlite", sqlite3_libversion(),
                            "libmicrohttpd", MHD_get_version(), "jansson",
                            JANSSON_VERSION, "libevent", event_get_version()));
}

const struct ak_route ak_routes_ops[] = {
    {"GET", "/healthz", healthz, AK_ROUTE_STARTING, "whether it is alive"},
    {"GET", "/readyz", readyz, AK_ROUTE_STARTING,
     "whether it serves, and how far the loading is"},
    {"GET", "/metrics", metrics, AK_ROUTE_STARTING, "for Prometheus"},
    {"GET", "/v1/stats", stats, AK_ROUTE_STARTING, "all in one call"},
    {"GET", "/v1/limits", limits, AK_ROUTE_STARTING, "what is accepted"},
    {"GET", "/version", version, AK_ROUTE_STARTING, "what was built"},
    {0},
};
