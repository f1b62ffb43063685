/* cmd_ingest.c -- `akin ingest`: stream labelled rows into a collection. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/commands.h"
#include "client/compare.h"
#include "client/json.h"
#include "client/producer.h"
#include "client/sender.h"
#include "client/source.h"
#include "core/base/clock.h"

/* The daemon's limit is 32 MiB a batch; the frame of a body is in it. */
#define MAX_BATCH_BYTES ((size_t)24 << 20)

static struct {
    struct text_list labels;
    struct text_list ids;
    const char *label_names;
    uint64_t batch;
    uint64_t in_flight;
    uint64_t max_bytes;
    uint64_t seed;
    bool in_order;
    uint64_t first_id;
    bool no_learn;
    bool strict;
    const char *ack;
    uint64_t ack_timeout;
    const char *producer;
    bool resume;
    double patience;
    const char *compare;
} o = {.batch = 256,
       .in_flight = 4,
       .max_bytes = 64,
       .ack = "durable",
       .ack_timeout = 600,
       .patience = 60};

static const struct option options[] = {
    {"labels", 'l', OPTION_FILES, "FILE",
     "labels of an idx or npy file: idx, npy, JSON, lines", &o.labels, 0, 0,
     NULL, NULL},
    {"label-names", 0, OPTION_FILE, "FILE",
     "one name a line, for labels that are numbers", &o.label_names, 0, 0, NULL,
     NULL},
    {"ids", 0, OPTION_FILES, "FILE", "ids of an idx or npy file", &o.ids, 0, 0,
     NULL, NULL},
    {"first-id", 0, OPTION_NUMBER, "N",
     "ids are this + the position in the files (0)", &o.first_id, 0,
     INT64_MAX / 2, NULL, NULL},
    {"batch", 'b', OPTION_NUMBER, "N", "rows of a batch (256)", &o.batch, 1,
     4096, NULL, NULL},
    {"in-flight", 'j', OPTION_NUMBER, "N", "batches in flight at most (4)",
     &o.in_flight, 1, 64, NULL, NULL},
    {"max-mib", 0, OPTION_NUMBER, "N", "MiB in flight at most (64)",
     &o.max_bytes, 1, 4096, NULL, NULL},
    {"seed", 0, OPTION_NUMBER, "N", "of the shuffle (0)", &o.seed, 0, 0, NULL,
     NULL},
    {"in-order", 0, OPTION_FLAG, NULL, "do not shuffle", &o.in_order, 0, 0,
     NULL, NULL},
    {"no-learn", 0, OPTION_FLAG, NULL, "store without learning from it",
     &o.no_learn, 0, 0, NULL, NULL},
    {"strict", 0, OPTION_FLAG, NULL,
     "stop at a picture that cannot be decoded, instead of skipping it",
     &o.strict, 0, 0, NULL, NULL},
    {"ack", 0, OPTION_CHOICE, NULL, "what to wait for at the end (durable)",
     &o.ack, 0, 0, "durable|learned|visible", NULL},
    {"ack-timeout", 0, OPTION_NUMBER, "SECONDS",
     "how long to wait for it (600)", &o.ack_timeout, 1, 86400, NULL, NULL},
    {"producer", 'p', OPTION_TEXT, "NAME",
     "who sends this, whom the same command finds again (a hash)", &o.producer,
     0, 0, NULL, NULL},
    {"resume", 0, OPTION_FLAG, NULL,
     "go on only: it is an error when nothing was sent before", &o.resume, 0, 0,
     NULL, NULL},
    {"patience", 0, OPTION_REAL, "SECONDS",
     "give up when nothing is accepted for so long (60)", &o.patience, 0, 0,
     NULL, NULL},
    {"compare-sqlite", 0, OPTION_FILE, "FILE",
     "then time plain SQLite inserts of the same, into FILE", &o.compare, 0, 0,
     NULL, NULL},
    {0},
};

/* ---- signals ------------------------------------------------------------ */

static volatile sig_atomic_t stop;

/* The first finishes what is in flight, the second ends at once. */
static void on_interrupt(int number)
{
    (void)number;
    if (stop)
        _exit(EXIT_INTERRUPTED);
    stop = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_interrupt,
                               .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- the run ------------------------------------------------------------ */

/* Built in, by its name, or a network with its version. */
static bool has_extractor(const json_t *root)
{
    const json_t *extractor = json_object_get(root, "extractor");

    return json_is_string(extractor) || json_is_object(extractor);
}

/* What the collection says about how to send. */
static int look_at_collection(struct tool *tool, const char *name,
                              struct source_params *params)
{
    json_t *root = NULL;
    const json_t *dim;
    const char *ids;
    const char *kind;
    int code = tool_call(tool, "GET", akin_collection_path(name, "%s", ""),
                         NULL, CALL_AGAIN, &root);

    if (code != EXIT_OK)
        return code;
    ids = json_string_value(json_object_get(root, "ids"));
    kind = json_string_value(
        json_object_get(json_object_get(root, "model"), "kind"));
    dim = json_object_get(json_object_get(root, "features"), "dim");
    params->text_ids = ids != NULL && strcmp(ids, "string") == 0;
    params->codes = kind != NULL && strcmp(kind, "external") == 0;
    params->images = has_extractor(root);
    if (json_is_integer(dim) && json_integer_value(dim) > 0)
        params->dim = (uint64_t)json_integer_value(dim);
    json_decref(root);
    return EXIT_OK;
}

static void nap(unsigned ms)
{
    struct timespec t = {.tv_nsec = (long)ms * 1000000};

    nanosleep(&t, NULL);
}

/*
 * Waits until the stream of the collection has reached `seq` in `field`;
 * seconds since `began_ns` into *seconds, below 0 when it did not come to that.
 */
static int wait_for(struct tool *tool, const char *collection,
                    const char *field, int64_t seq, uint64_t began_ns,
                    double *seconds)
{
    uint64_t until = ak_clock_ns() + o.ack_timeout * 1000000000u;

    *seconds = -1;
    for (unsigned ms = 10;; ms = ms < 200 ? ms + 10 : 200) {
        json_t *root = NULL;
        int64_t reached;
        int code =
            tool_call(tool, "GET", akin_collection_path(collection, "/stream"),
                      NULL, CALL_AGAIN, &root);

        if (code != EXIT_OK)
            return code;
        reached = akin_json_integer(root, field, -1);
        json_decref(root);
        if (reached >= seq) {
            *seconds = (double)(ak_clock_ns() - began_ns) * 1e-9;
            return EXIT_OK;
        }
        if (stop)
            return EXIT_INTERRUPTED;
        if (ak_clock_ns() > until) {
            fprintf(stderr,
                    "akin: %s is %lld after %llu s, %lld is waited "
                    "for\n",
                    field, (long long)reached,
                    (unsigned long long)o.ack_timeout, (long long)seq);
            return EXIT_TIMEOUT;
        }
        nap(ms);
    }
}

struct times {
    double learned; /* since the first byte; below 0: not waited for */
    double visible;
};

static int wait_for_ack(struct tool *tool, const char *collection,
                        const struct sender_result *r, uint64_t began_ns,
                        struct times *times)
{
    int code = EXIT_OK;

    if (strcmp(o.ack, "durable") == 0 || r->last_seq < 0)
        return EXIT_OK;
    code = wait_for(tool, collection, "learned_seq", r->last_seq, began_ns,
                    &times->learned);
    if (code == EXIT_OK && strcmp(o.ack, "visible") == 0)
        code = wait_for(tool, collection, "visible_seq", r->last_seq, began_ns,
                        &times->visible);
    return code;
}

/* ---- the report ---------------------------------------------------------- */

static double rate(uint64_t rows, double seconds)
{
    return seconds > 0 ? (double)rows / seconds : 0;
}

static json_t *real_or_null(double value)
{
    return value >= 0 ? json_real(value) : json_null();
}

static void report_json(const struct sender_result *r,
                        const struct times *times, const char *producer,
                        const struct compare_result *compared)
{
    json_t *root = json_pack(
        "{s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:f,s:f,s:o,s:o,s:o,s:o}",
        "complete", r->complete, "rows", (json_int_t)r->rows, "replayed_rows",
        (json_int_t)r->replayed, "skipped", (json_int_t)r->skipped, "batches",
        (json_int_t)r->batches, "bytes", (json_int_t)r->bytes, "waits",
        (json_int_t)r->waits, "last_seq", (json_int_t)r->last_seq, "next_batch",
        (json_int_t)r->next_batch, "producer", producer, "durable_seconds",
        r->seconds, "rows_per_second", rate(r->rows, r->seconds),
        "learned_seconds", real_or_null(times->learned), "visible_seconds",
        real_or_null(times->visible), "live", real_or_null(r->live), "served",
        real_or_null(r->served));

    if (compared != NULL)
        json_object_set_new(root, "sqlite",
                            json_pack("{s:I,s:f,s:f}", "rows",
                                      (json_int_t)compared->rows, "seconds",
                                      compared->seconds, "rows_per_second",
                                      rate(compared->rows, compared->seconds)));
    tool_print_json(root);
    json_decref(root);
}

static void report_line(const char *what, uint64_t rows, double seconds)
{
    char a[CELL], b[CELL];

    if (seconds >= 0)
        printf("%-10s %10s rows %9.2f s %10s rows/s\n", what,
               human_count(rows, a), seconds,
               human_count((uint64_t)rate(rows, seconds), b));
}

static void report(const struct sender_result *r, const struct times *times,
                   const struct compare_result *compared)
{
    char a[CELL], b[CELL];

    report_line("durable", r->rows, r->seconds);
    report_line("learned", r->rows, times->learned);
    report_line("searchable", r->rows, times->visible);
    if (compared != NULL)
        report_line("sqlite", compared->rows, compared->seconds);
    printf("%s in %s batch%s", human_bytes((double)r->bytes, a),
           human_count(r->batches, b), r->batches == 1 ? "" : "es");
    if (r->waits > 0)
        printf(", %s wait%s", human_count(r->waits, a),
               r->waits == 1 ? "" : "s");
    if (r->replayed > 0)
        printf(", %s rows were there before", human_count(r->replayed, a));
    if (r->skipped > 0)
        printf(", %s picture%s skipped", human_count(r->skipped, a),
               r->skipped == 1 ? "" : "s");
    putchar('\n');
}

static void say_how_to_resume(const struct sender_result *r,
                              const struct producer *producer, bool is_stream)
{
    char a[CELL];

    if (is_stream)
        fprintf(stderr,
                "akin: %s rows are stored; send the same stream again with "
                "--producer %s to go on\n",
                human_count(r->rows, a), producer->name);
    else
        fprintf(stderr,
                "akin: %s rows are stored; run the same command again to go "
                "on\n",
                human_count(r->rows, a));
}

static int ingest(struct tool *tool, struct source *source,
                  const char *collection, const char *path,
                  const struct producer *producer)
{
    struct sender_result r;
    struct times times = {-1, -1};
    struct compare_result compared;
    bool is_stream = source_rows(source) == 0;
    uint64_t began = ak_clock_ns();
    int code = sender_run(
        &(struct sender_params){
            .tool = tool,
            .source = source,
            .collection = collection,
            .method = o.no_learn ? "PUT" : "POST",
            .path = path,
            .producer = producer->name,
            .last = producer->last,
            .in_flight = (unsigned)o.in_flight,
            .bytes_in_flight = (size_t)o.max_bytes << 20,
            .patience_seconds = o.patience,
            .strict = o.strict,
            .watch_quality = !tool->quiet && !o.no_learn,
            .stop = &stop,
        },
        &r);
    bool has_compared = false;

    if (r.complete)
        code = wait_for_ack(tool, collection, &r, began, &times);
    if (code == EXIT_OK && r.complete && o.compare != NULL) {
        code = compare_sqlite(source, 0, o.compare, &compared);
        has_compared = code == EXIT_OK;
    }
    if (tool->json)
        report_json(&r, &times, producer->name,
                    has_compared ? &compared : NULL);
    else if (r.batches > 0)
        report(&r, &times, has_compared ? &compared : NULL);
    if (!r.complete && !tool->json)
        say_how_to_resume(&r, producer, is_stream);
    if (code == EXIT_OK && stop)
        code = EXIT_INTERRUPTED;
    return code == EXIT_OK && r.skipped > 0 ? EXIT_NEGATIVE : code;
}

static int find_producer(struct tool *tool, const struct source *source,
                         const char *collection, struct producer *out)
{
    int code =
        producer_name(tool, o.producer, source, collection, !o.no_learn, out);

    if (code == EXIT_OK && !out->drawn)
        code = producer_ask(tool, collection, out);
    if (code != EXIT_OK || !o.resume || out->last > 0)
        return code;
    if (out->drawn)
        return tool_usage("--resume wants --producer for a stream, which "
                          "cannot be told from others");
    fprintf(stderr, "akin: producer %s has sent nothing to %s yet\n", out->name,
            collection);
    return EXIT_NEGATIVE;
}

static int run_ingest(struct tool *tool, int argc, char **argv)
{
    struct source_params params = {
        .files = argv + 1,
        .n_files = (size_t)argc - 1,
        .labels = o.labels,
        .ids = o.ids,
        .label_names = o.label_names,
        .batch = o.batch,
        .max_bytes = MAX_BATCH_BYTES,
        .seed = o.seed,
        .in_order = o.in_order,
        .first_id = o.first_id,
    };
    struct source *source = NULL;
    char *path = NULL;
    struct producer producer;
    int code = tool_connect(tool);

    if (code == EXIT_OK)
        code = look_at_collection(tool, argv[0], &params);
    if (code == EXIT_OK)
        code = source_open(&params, &source);
    if (code == EXIT_OK)
        code = find_producer(tool, source, argv[0], &producer);
    if (code != EXIT_OK)
        goto out;
    path =
        akin_collection_path(argv[0], "/%s", o.no_learn ? "items" : "batches");
    if (path == NULL) {
        code = tool_no_memory();
        goto out;
    }
    catch_signals();
    code = ingest(tool, source, argv[0], path, &producer);

out:
    free(path);
    source_close(source);
    return code;
}

const struct command cmd_ingest = {
    .name = "ingest",
    .synopsis = "COLLECTION FILE... [OPTION]...",
    .summary = "stream labelled rows in: they are stored, searchable, learnt",
    .about =
        "FILE is an idx file (.gz too) or a .npy of vectors with --labels, an "
        "NDJSON file\nof items, a directory of JPEG and PNG files whose "
        "folders are the labels, or -\nfor NDJSON from stdin. Bytes of idx "
        "become vectors of byte / 255.\n\n"
        "Rows are shuffled by --seed, since a model that learns as it goes "
        "wants no\nlabel at a time. Batches are numbered by their producer, "
        "and the daemon takes each\nnumber once and in order: the same command "
        "again goes on where it was killed,\nand doubles nothing. To send the "
        "same files again on purpose, say another\n--producer.\n\n"
        "A picture that the daemon cannot decode, or that is too large for it, "
        "is said on\nstderr and skipped; the exit status is 1 then. --strict "
        "stops at the first.\n",
    .examples = "  akin ingest digits train-images-idx3-ubyte.gz -l "
                "train-labels-idx1-ubyte.gz\n"
                "  akin ingest shoes vectors.npy -l labels.npy --ack learned\n"
                "  akin ingest shoes items.ndjson --batch 512\n"
                "  akin ingest shoes photos/\n"
                "  crawler | akin ingest shoes - --producer night-7\n",
    .options = options,
    .min_args = 2,
    .max_args = -1,
    .run = run_ingest,
};
