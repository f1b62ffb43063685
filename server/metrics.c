#include "server/metrics.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define MAX_LABELS 8
#define MILLION    1e6

enum type { COUNTER, HISTOGRAM };
enum scale { SECONDS, NUMBERS };

struct family {
    const char *name;
    enum type type;
    enum scale scale;
    const char *label;
    const char *values[MAX_LABELS]; /* NULL after the last */
    const char *help;
};

static const struct family families[AK_N_METRICS] = {
    [AK_METRIC_HTTP_BODY_BYTES] = {.name = "http_request_body_bytes_total",
                                   .help = "Bytes of request bodies read."},
    [AK_METRIC_HTTP_REPLY_BYTES] = {.name = "http_response_body_bytes_total",
                                    .help = "Bytes of response bodies."},
    [AK_METRIC_HTTP_CONNECTIONS_TOTAL] = {.name = "http_connections_accepted_"
                                                  "total",
                                          .help = "Connections accepted."},
    [AK_METRIC_HTTP_REJECTED] = {.name = "http_connections_rejected_total",
                                 .label = "reason",
                                 .values = {"timeout", "draining", "address"},
                                 .help = "Connections ended by the server."},
    [AK_METRIC_HTTP_PROTOCOL_ERRORS] =
        {.name = "http_protocol_errors_total",
         .label = "kind",
         .values = {"framing", "target", "header", "foreign", "library"},
         .help = "Requests refused before they were routed."},
    [AK_METRIC_QUERY_STAGE_SECONDS] =
        {.name = "query_stage_duration_seconds",
         .type = HISTOGRAM,
         .label = "stage",
         .values = {"decode", "extract", "hash", "scan", "fetch", "rerank",
                    "queue", "other"},
         .help = "Time spent in a stage of a request."},
    [AK_METRIC_QUERY_CODES_SCANNED] = {.name = "query_codes_scanned_total",
                                       .help = "Codes compared with a query."},
    [AK_METRIC_QUERY_RESULTS] = {.name = "query_results",
                                 .type = HISTOGRAM,
                                 .scale = NUMBERS,
                                 .help = "Hits of a query."},
    [AK_METRIC_QUERY_INCOMPLETE] = {.name = "query_incomplete_total",
                                    .help = "Queries cut short by their time."},
    [AK_METRIC_QUERY_TOP_DISTANCE] = {.name = "query_top_distance",
                                      .type = HISTOGRAM,
                                      .scale = NUMBERS,
                                      .help = "Distance of the first hit, in "
                                              "bits."},
    [AK_METRIC_INGEST_ITEMS] = {.name = "ingest_items_total",
                                .label = "outcome",
                                .values = {"accepted", "replayed", "refused"},
                                .help = "Items that came to be stored."},
    [AK_METRIC_INGEST_BYTES] = {.name = "ingest_bytes_total",
                                .label = "format",
                                .values = {"json", "ndjson", "npy", "image"},
                                .help = "Bytes of bodies that brought items."},
    [AK_METRIC_INGEST_REFUSED] =
        {.name = "ingest_refused_total",
         .label = "reason",
         .values = {"queue", "memory", "disk"},
         .help = "Writes refused since there was no room for them."},
    [AK_METRIC_IMAGES_DECODED] = {.name = "images_decoded_total",
                                  .help = "Images that gave pixels."},
    [AK_METRIC_IMAGE_DECODE_FAILURES] = {.name = "image_decode_failures_total",
                                         .label = "reason",
                                         .values = {"undecodable", "too_large",
                                                    "crash", "timeout",
                                                    "unavailable"},
                                         .help = "Images that gave no pixels."},
    [AK_METRIC_IMAGE_DECODER_RESTARTS] =
        {.name = "image_decoder_restarts_total",
         .label = "reason",
         .values = {"served", "died", "timeout", "limits"},
         .help = "Decoders that were ended, to be replaced."},
    [AK_METRIC_JOBS_STARTED] = {.name = "jobs_started_total",
                                .help = "Jobs accepted."},
    [AK_METRIC_JOBS_ENDED] = {.name = "jobs_ended_total",
                              .label = "state",
                              .values = {"succeeded", "failed", "canceled"},
                              .help = "Jobs that came to an end."},
};

/* Upper bounds; the last bucket has none. */
static const double bounds[][AK_HISTOGRAM_BUCKETS - 1] = {
    [SECONDS] = {0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001,
                 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30},
    [NUMBERS] = {0, 1, 2, 4, 8, 12, 16, 20, 24, 32, 48, 64, 100, 128, 192, 256,
                 512, 1024},
};

union series {
    atomic_uint_fast64_t count;
    struct ak_histogram histogram;
};
static union series all[AK_N_METRICS][MAX_LABELS];

static void add(atomic_uint_fast64_t *at, uint64_t n)
{
    atomic_fetch_add_explicit(at, n, memory_order_relaxed);
}

static uint64_t get(const atomic_uint_fast64_t *at)
{
    return atomic_load_explicit(at, memory_order_relaxed);
}

static void observe(struct ak_histogram *h, enum scale scale, double value)
{
    unsigned b = 0;

    while (b < AK_HISTOGRAM_BUCKETS - 1 && value > bounds[scale][b])
        b++;
    add(&h->counts[b], 1);
    if (value > 0)
        add(&h->sum, (uint64_t)(value * MILLION));
}

void ak_metric_add(enum ak_metric metric, unsigned label, uint64_t n)
{
    if (label < MAX_LABELS)
        add(&all[metric][label].count, n);
}

void ak_metric_observe(enum ak_metric metric, unsigned label, double value)
{
    if (label < MAX_LABELS)
        observe(&all[metric][label].histogram, families[metric].scale, value);
}

uint64_t ak_metric_value(enum ak_metric metric, unsigned label)
{
    return get(&all[metric][label].count);
}

unsigned ak_metric_stage(const char *name)
{
    const char *const *values = families[AK_METRIC_QUERY_STAGE_SECONDS].values;
    unsigned i = 0;

    while (i < AK_STAGE_OTHER && strcmp(values[i], name) != 0)
        i++;
    return i;
}

void ak_histogram_observe_ns(struct ak_histogram *h, uint64_t ns)
{
    observe(h, SECONDS, (double)ns / 1e9);
}

static void write_histogram(const struct ak_histogram *h, enum scale scale,
                            const char *name, const char *labels,
                            struct ak_text *t)
{
    const char *comma = labels[0] != '\0' ? "," : "";
    uint64_t total = 0;

    for (unsigned b = 0; b < AK_HISTOGRAM_BUCKETS; b++) {
        total += get(&h->counts[b]);
        ak_text_addf(t, "akind_%s_bucket{%s%sle=\"", name, labels, comma);
        if (b < AK_HISTOGRAM_BUCKETS - 1)
            ak_text_addf(t, "%g\"} %llu\n", bounds[scale][b],
                         (unsigned long long)total);
        else
            ak_text_addf(t, "+Inf\"} %llu\n", (unsigned long long)total);
    }
    ak_text_addf(t, "akind_%s_sum{%s} %.9g\n", name, labels,
                 (double)get(&h->sum) / MILLION);
    ak_text_addf(t, "akind_%s_count{%s} %llu\n", name, labels,
                 (unsigned long long)total);
}

void ak_histogram_write(const struct ak_histogram *h, const char *name,
                        const char *labels, struct ak_text *t)
{
    write_histogram(h, SECONDS, name, labels, t);
}

void ak_metric_write_head(struct ak_text *t, const char *name, const char *type,
                          const char *help)
{
    ak_text_addf(t, "# HELP akind_%s %s\n# TYPE akind_%s %s\n", name, help,
                 name, type);
}

void ak_metric_write_label(struct ak_text *t, const char *name,
                           const char *value)
{
    ak_text_addf(t, "%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            ak_text_addf(t, "\\%c", *value);
        else if (*value == '\n')
            ak_text_add(t, "\\n", 2);
        else
            ak_text_add(t, value, 1);
    }
    ak_text_add(t, "\"", 1);
}

void ak_metric_write(struct ak_text *t, const char *name, const char *label,
                     const char *label_value, double value)
{
    ak_text_addf(t, "akind_%s", name);
    if (label != NULL) {
        ak_text_add(t, "{", 1);
        ak_metric_write_label(t, label, label_value);
        ak_text_add(t, "}", 1);
    }
    if (isnan(value))
        ak_text_addf(t, " NaN\n");
    else
        ak_text_addf(t, " %.15g\n", value);
}

void ak_metrics_write(struct ak_text *t)
{
    for (int m = 0; m < AK_N_METRICS; m++) {
        const struct family *f = &families[m];
        char labels[64] = "";

        ak_metric_write_head(
            t, f->name, f->type == COUNTER ? "counter" : "histogram", f->help);
        for (unsigned l = 0; l == 0 || (l < MAX_LABELS && f->values[l]); l++) {
            union series *s = &all[m][l];

            if (f->type == COUNTER) {
                ak_metric_write(t, f->name, f->label, f->values[l],
                                (double)get(&s->count));
                continue;
            }
            if (f->label != NULL)
                snprintf(labels, sizeof(labels), "%s=\"%s\"", f->label,
                         f->values[l]);
            write_histogram(&s->histogram, f->scale, f->name, labels, t);
        }
    }
}
