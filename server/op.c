#include "server/op.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/digest.h"
#include "server/extractors.h"
#include "server/id_json.h"
#include "server/json_read.h"
#include "server/limits.h"

#define MAX_QUERY 16
#define KEY_ALPHABET \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"
#define KEY_MIN 8
/* Of the arena's first block: most requests need no more. */
#define ARENA_LEN 2048
#define NS_S      1000000000u

static void op_end(void *arg)
{
    struct ak_op *op = arg;

    if (op->clear != NULL)
        op->clear(op);
    ak_collection_drop(op->c);
    ak_rows_clear(&op->rows);
    ak_json_clear(&op->json);
    ak_arena_clear(&op->arena);
}

/* ------------------------------------------------------------------ answers */

void ak_op_fault(struct ak_op *op, const char *pointer, const char *code,
                 const char *fmt, ...)
{
    struct ak_fault fault;
    char detail[sizeof(fault.pointer) + sizeof(fault.detail) + 2];
    va_list ap;

    va_start(ap, fmt);
    (void)ak_fault_vset(&fault, pointer, code, fmt, ap);
    va_end(ap);
    snprintf(detail, sizeof(detail), "%s: %s", fault.pointer, fault.detail);
    ak_reply_faults(op->rq, code, &fault, 1, detail);
}

void ak_op_fail(struct ak_op *op, enum ak_status status,
                const struct ak_err *err)
{
    ak_reply_failure(op->rq, status, err);
}

void ak_op_headers(struct ak_op *op, uint64_t version, uint64_t seq)
{
    ak_reply_number(op->rq, "Akin-Model-Version", version);
    ak_reply_number(op->rq, "Akin-Seq", seq);
}

void ak_op_receipt_headers(struct ak_op *op)
{
    struct ak_collection_status now;

    ak_collection_status(op->c, &now);
    ak_op_headers(op, now.published,
                  op->receipt.seq != 0 ? op->receipt.seq : now.durable_seq);
}

const char *ak_op_state_name(enum ak_ack ack)
{
    switch (ack) {
    case AK_ACK_DURABLE:
        return "durable";
    case AK_ACK_LEARNED:
        return "learned";
    case AK_ACK_VISIBLE:
    case AK_ACK_SERVED:
        break;
    }
    return "visible";
}

json_t *ak_op_receipt_json(const struct ak_op *op)
{
    json_t *o = json_object();

    /* A change of a payload alone appends no record, so it has no number. */
    if (o == NULL ||
        json_object_set_new(o, "seq",
                            op->receipt.seq == 0
                                ? json_null()
                                : json_integer((json_int_t)op->receipt.seq)) !=
            0 ||
        json_object_set_new(o, "state",
                            json_string(ak_op_state_name(op->reached))) != 0) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* ---------------------------------------------------------------- the query */

static bool read_timeout(struct ak_op *op)
{
    const char *text = ak_request_query(op->rq, "timeout_seconds");
    double max = (double)ak_limits()->max_timeout_ms / 1e3;
    double seconds = AK_OP_TIMEOUT_S;
    char *end;

    if (text != NULL) {
        seconds = strtod(text, &end);
        if (text[0] < '0' || text[0] > '9' || *end != '\0' ||
            !(seconds <= max)) {
            ak_op_fault(op, "/timeout_seconds", "validation-failed",
                        "must be a number of seconds, 0..%g", max);
            return false;
        }
    }
    op->deadline_ns = op->begun_ns + (uint64_t)(seconds * NS_S);
    return true;
}

static bool read_ack(struct ak_op *op)
{
    static const char *const names[] = {"durable", "learned", "visible"};
    const char *text = ak_request_query(op->rq, "ack");

    for (size_t i = 0; i < AK_COUNT(names); i++) {
        if (text == NULL || strcmp(text, names[i]) == 0) {
            op->ack = (enum ak_ack)i;
            return true;
        }
    }
    ak_op_fault(op, "/ack", "validation-failed",
                "must be one of: durable, learned, visible");
    return false;
}

bool ak_op_query_number(struct ak_op *op, const char *name, uint64_t min,
                        uint64_t max, uint64_t initial, uint64_t *out)
{
    const char *text = ak_request_query(op->rq, name);
    char pointer[64];
    uint64_t n = 0;
    size_t len;

    *out = initial;
    if (text == NULL)
        return true;
    len = strlen(text);
    if (len >= 1 && len <= 19 && strspn(text, "0123456789") == len)
        n = strtoull(text, NULL, 10);
    if (len < 1 || len > 19 || strspn(text, "0123456789") != len || n < min ||
        n > max) {
        snprintf(pointer, sizeof(pointer), "/%s", name);
        ak_op_fault(op, pointer, "validation-failed",
                    "must be an integer, %" PRIu64 "..%" PRIu64, min, max);
        return false;
    }
    *out = n;
    return true;
}

bool ak_op_path_id(struct ak_op *op, struct ak_row_id *out)
{
    char why[AK_ID_WHY];

    if (ak_id_parse(ak_request_param(op->rq, "id"), op->settings.string_ids,
                    out, why))
        return true;
    ak_op_fault(op, "/id", "validation-failed", "%s", why);
    return false;
}

static bool read_query(struct ak_op *op, unsigned flags,
                       const char *const *names, size_t n)
{
    const char *all[MAX_QUERY];
    size_t n_all = 0;

    while (n_all < n) {
        all[n_all] = names[n_all];
        n_all++;
    }
    if (flags & AK_OP_WRITES)
        all[n_all++] = "ack";
    if (flags & AK_OP_READS)
        all[n_all++] = "min_seq";
    if (flags & (AK_OP_WRITES | AK_OP_READS))
        all[n_all++] = "timeout_seconds";
    if (!ak_request_only(op->rq, all, n_all))
        return false;
    if (!read_timeout(op))
        return false;
    if (flags & AK_OP_WRITES && !read_ack(op))
        return false;
    return !(flags & AK_OP_READS) ||
           ak_op_query_number(op, "min_seq", 0, INT64_MAX, 0, &op->min_seq);
}

static bool hold_collection(struct ak_op *op, unsigned flags)
{
    const char *name = ak_request_param(op->rq, "c");
    struct ak_err err = {0};
    enum ak_status status =
        ak_engine_get(ak_request_engine(op->rq), name, &op->c, &err);

    switch (status) {
    case AK_OK:
        if (flags & AK_OP_READS)
            ak_collection_served_settings(op->c, &op->settings);
        else
            ak_collection_settings(op->c, &op->settings);
        return true;
    case AK_ENOTFOUND:
        ak_reply_problem(op->rq, "not-found", "there is no such collection");
        break;
    case AK_EBUSY:
        ak_reply_problem(op->rq, "starting", "the collection is being loaded");
        break;
    case AK_EIO:
    case AK_ECORRUPT:
        ak_reply_problem(op->rq, "starting",
                         "the collection could not be loaded; the log of the "
                         "daemon says why");
        break;
    default:
        ak_op_fail(op, status, &err);
        break;
    }
    return false;
}

struct ak_op *ak_op_begin(struct ak_request *rq, unsigned flags,
                          const char *const *names, size_t n)
{
    struct ak_op *op = ak_request_alloc(rq, sizeof(*op));
    void *memory = ak_request_alloc(rq, ARENA_LEN);

    if (op == NULL || memory == NULL) {
        ak_reply_failure(rq, AK_ENOMEM, NULL);
        return NULL;
    }
    memset(op, 0, offsetof(struct ak_op, rows.faults.list));
    ak_arena_lend(&op->arena, memory, ARENA_LEN);
    op->rq = rq;
    op->begun_ns = ak_clock_ns();
    op->status = 200;
    ak_request_on_end(rq, op_end, op);
    if (!read_query(op, flags, names, n))
        return NULL;
    if (!(flags & AK_OP_NO_COLLECTION) && !hold_collection(op, flags))
        return NULL;
    return op;
}

/* ----------------------------------------------------------------- the body */

bool ak_op_read_json(struct ak_op *op)
{
    struct ak_faults faults = {0};
    size_t len;
    uint8_t *bytes = ak_request_body(op->rq, &len);

    if (strcmp(ak_request_type(op->rq), "application/json") != 0 &&
        strcmp(ak_request_type(op->rq), "application/merge-patch+json") != 0) {
        ak_reply_problem(op->rq, "unsupported-media-type",
                         "accepted here: application/json");
        return false;
    }
    if (ak_read_json(&op->json, bytes, len, NULL, 0, AK_JSON_VALUES_HERE,
                     &faults) &&
        !json_is_object(op->json.root))
        ak_faults_add(&faults, "", "validation-failed", "must be an object");
    if (ak_faults_none(&faults))
        return true;
    ak_faults_reply(op->rq, &faults);
    return false;
}

/* --------------------------------------------------------------------- keys */

static bool key_refused(struct ak_op *op)
{
    ak_op_fault(op, "/Idempotency-Key", "validation-failed",
                "must have %d..%d characters of A-Z a-z 0-9 . _ ~ -", KEY_MIN,
                AK_STORE_KEY_MAX);
    return false;
}

bool ak_op_is_producer(const char *name)
{
    size_t len = strlen(name);

    return len >= 1 && len <= AK_STORE_KEY_MAX &&
           strspn(name, KEY_ALPHABET) == len;
}

/* "NAME; seq=S" */
bool ak_op_parse_producer(const char *text, struct ak_op_key *out)
{
    size_t len = strspn(text, KEY_ALPHABET), digits;
    const char *p = text + len;

    p += strspn(p, " ");
    if (len < 1 || len > AK_STORE_KEY_MAX || *p != ';')
        return false;
    p++;
    p += strspn(p, " ");
    if (strncmp(p, "seq=", 4) != 0)
        return false;
    p += 4;
    digits = strspn(p, "0123456789");
    if (digits < 1 || digits > 18 || p[digits] != '\0')
        return false;
    out->key = (struct ak_bytes){text, len};
    out->producer_seq = strtoull(p, NULL, 10);
    return out->producer_seq >= 1;
}

static bool read_producer(struct ak_op *op, const char *text,
                          struct ak_op_key *out)
{
    if (ak_op_parse_producer(text, out))
        return true;
    ak_op_fault(op, "/Akin-Producer", "validation-failed",
                "must be \"NAME; seq=S\": a name of 1..%d characters of A-Z "
                "a-z 0-9 . _ ~ - and a number from 1 on",
                AK_STORE_KEY_MAX);
    return false;
}

bool ak_op_read_key(struct ak_op *op, struct ak_op_key *out)
{
    const char *key = ak_request_header(op->rq, "Idempotency-Key");
    const char *producer = ak_request_header(op->rq, "Akin-Producer");
    size_t len;

    memset(out, 0, sizeof(*out));
    if (key != NULL && producer != NULL) {
        ak_op_fault(op, "/Akin-Producer", "validation-failed",
                    "must not be sent with Idempotency-Key");
        return false;
    }
    if (producer != NULL)
        return read_producer(op, producer, out);
    if (key == NULL)
        return true;
    len = strlen(key);
    if (len < KEY_MIN || len > AK_STORE_KEY_MAX ||
        strspn(key, KEY_ALPHABET) != len)
        return key_refused(op);
    out->key = (struct ak_bytes){key, len};
    return true;
}

enum ak_status ak_op_fingerprint(struct ak_op *op, const char *path,
                                 const void *body, size_t len, uint8_t out[32],
                                 struct ak_err *err)
{
    const struct ak_piece pieces[] = {
        {op->settings.name, strlen(op->settings.name) + 1},
        {path, strlen(path) + 1},
        {body, len},
    };

    return ak_sha256(pieces, AK_COUNT(pieces), out, err);
}

/* --------------------------------------------------------------- submitting */

/* A gap of a producer tells what would have been accepted. */
static void reply_gap(struct ak_op *op, const struct ak_receipt *receipt)
{
    uint64_t expected = receipt != NULL ? receipt->expected : 0;

    ak_reply_problem_with(op->rq, "sequence-gap",
                          json_pack("{s:I}", "expected", (json_int_t)expected),
                          "seq %" PRIu64 " given, %" PRIu64 " is the next",
                          op->submission.change.producer_seq, expected);
}

const char *ak_op_key_taken(const struct ak_op *op)
{
    return op->submission.change.producer_seq > 0
               ? "the producer's seq was used by another request"
               : "the key was used by another request";
}

void ak_op_refused(struct ak_op *op, enum ak_status status,
                   const struct ak_receipt *receipt, const struct ak_err *err)
{
    bool has_key = op->submission.change.key.data != NULL;

    switch (status) {
    case AK_EBUSY:
        ak_reply_header(op->rq, "Retry-After", "%u",
                        ak_collection_retry_seconds(op->c));
        ak_reply_problem(op->rq, "queue-full",
                         "the queue of writes is full, try again later");
        break;
    case AK_ESEQUENCE:
        reply_gap(op, receipt);
        break;
    case AK_EEXISTS:
        if (has_key)
            ak_reply_problem(op->rq, "idempotency-key-reused", "%s",
                             ak_op_key_taken(op));
        else
            ak_op_fail(op, status, err);
        break;
    default:
        ak_op_fail(op, status, err);
        break;
    }
}

static void answer_now(struct ak_op *op)
{
    if (op->receipt.replayed)
        ak_reply_header(op->rq, "Idempotency-Replayed", "true");
    op->next(op);
}

static void waited(void *arg, enum ak_ack reached, bool in_time)
{
    struct ak_op *op = arg;

    /* What is searched but not learnt has not come as far as was asked. */
    op->reached =
        !in_time && op->ack == AK_ACK_LEARNED ? AK_ACK_DURABLE : reached;
    op->status = in_time ? 200 : 202;
    answer_now(op);
}

static void submitted(struct ak_submission *s, enum ak_status status,
                      const struct ak_receipt *receipt,
                      const struct ak_err *err)
{
    struct ak_op *op = s->arg;

    if (status != AK_OK) {
        ak_op_refused(op, status, receipt, err);
        return;
    }
    op->receipt = *receipt;
    op->reached = AK_ACK_DURABLE;
    if (op->ack != AK_ACK_DURABLE && receipt->seq != 0)
        ak_collection_wait(op->c, receipt->seq, op->ack, op->deadline_ns,
                           waited, op);
    else
        answer_now(op);
}

void ak_op_submit(struct ak_op *op, size_t bytes, ak_op_fn *answer)
{
    struct ak_submission *s = &op->submission;

    s->bytes = sizeof(*op) + op->arena.bytes + bytes;
    s->change.now_ms = ak_time_ms();
    s->done = submitted;
    s->arg = op;
    op->next = answer;
    ak_collection_submit(op->c, s);
}

/* ------------------------------------------------------------------ reading */

static void run(void *arg)
{
    struct ak_op *op = arg;

    op->next(op);
}

static void caught_up(void *arg, enum ak_ack reached, bool in_time)
{
    struct ak_op *op = arg;

    (void)reached;
    if (in_time)
        ak_engine_run(ak_request_engine(op->rq), run, op);
    else
        ak_reply_problem(op->rq, "not-caught-up",
                         "record %" PRIu64 " is not visible yet", op->min_seq);
}

/* True when the wait was arranged. */
static bool wait_for_min_seq(struct ak_op *op, ak_op_fn *fn)
{
    op->next = fn;
    if (op->min_seq == 0 || op->c == NULL ||
        ak_collection_visible_seq(op->c) >= op->min_seq)
        return false;
    ak_collection_wait(op->c, op->min_seq, AK_ACK_VISIBLE, op->deadline_ns,
                       caught_up, op);
    return true;
}

void ak_op_offload(struct ak_op *op, ak_op_fn *fn)
{
    op->next = fn;
    ak_engine_run(ak_request_engine(op->rq), run, op);
}

void ak_op_offload_images(struct ak_op *op, ak_op_fn *fn)
{
    op->next = fn;
    if (ak_settings_has_network(&op->settings))
        ak_engine_run_images(ak_request_engine(op->rq), run, op);
    else
        ak_engine_run(ak_request_engine(op->rq), run, op);
}

struct ak_extractors *ak_op_extractors(const struct ak_op *op)
{
    return ak_engine_extractors(ak_request_engine(op->rq));
}

void ak_op_decoded(struct ak_op *op, const struct ak_rows *rows, uint64_t start)
{
    uint64_t ns = ak_clock_ns() - start;

    ak_request_stage(op->rq, "decode", ns - rows->extract_ns);
    if (rows->extract_ns > 0)
        ak_request_stage(op->rq, "extract", rows->extract_ns);
}

void ak_op_run(struct ak_op *op, ak_op_fn *fn)
{
    if (!wait_for_min_seq(op, fn))
        ak_op_offload(op, fn);
}

void ak_op_run_here(struct ak_op *op, ak_op_fn *fn)
{
    if (!wait_for_min_seq(op, fn))
        fn(op);
}
