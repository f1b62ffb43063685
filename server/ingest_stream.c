/*
 * ingest_stream.c -- lines of JSON, any number of them, as batches.
 *
 * The bytes of a chunk of lines are gathered as they come.  When the chunk is
 * whole the upload is paused, the chunk is read on the pool and submitted, and
 * the upload goes on when it is committed: what the store cannot take waits in
 * the client's socket.  `lock` guards `busy` and `gone`, which decide who ends a
 * request whose client broke off: the one who finds nothing under way.
 *
 * The first chunk that is refused ends the stream: what was stored before is
 * told by its lines, and the one that failed by an `error` that is a problem.
 */
#include "server/ingest.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/digest.h"
#include "core/base/hex.h"
#include "server/json_memory.h"
#include "server/json_read.h"
#include "server/limits.h"
#include "server/metrics.h"
#include "server/op.h"
#include "server/pointer.h"

#define DEFAULT_CHUNK 256
#define FIRST_CAP     16384
#define RETRY_NS      50000000u
#define MAX_CHUNKS    100000

struct chunk_result {
    struct ak_receipt receipt;
    uint64_t first_line, last_line;
};

struct stream {
    struct ak_op *op;
    struct ak_op_key key;
    uint64_t chunk;         /* lines in one */
    struct ak_writer bytes; /* of the chunk that is gathered */
    size_t line_at;         /* where its last line begins */
    uint64_t n_lines;       /* in it */
    uint64_t line;          /* the number of its first one, from 1 */
    bool last;
    uint64_t retry_until_ns;
    uint64_t expected; /* by a gap: the number of the producer; 0: none */
    struct ak_json json;
    struct ak_rows rows;
    char chunk_key[80];
    struct ak_writer done; /* struct chunk_result */
    /* Held by the request, and by a chunk that lets the request go on: that may
       end it while the lock is still being given back. */
    atomic_uint holders;
    pthread_mutex_t lock;
    bool busy; /* a chunk is being read or stored */
    bool gone; /* nothing more will come */
};

static size_t n_done(const struct stream *st)
{
    return st->done.len / sizeof(struct chunk_result);
}

static void drop(struct stream *st)
{
    if (atomic_fetch_sub(&st->holders, 1) > 1)
        return;
    pthread_mutex_destroy(&st->lock);
    free(st);
}

static void clear(struct ak_op *op)
{
    struct stream *st = op->arg;

    ak_writer_clear(&st->bytes);
    ak_writer_clear(&st->done);
    ak_json_clear(&st->json);
    ak_rows_clear(&st->rows);
    drop(st);
}

/* ------------------------------------------------------------------ answers */

static json_t *result_json(const struct stream *st, size_t i)
{
    const struct chunk_result *all =
        (const struct chunk_result *)(const void *)st->done.data;
    const struct chunk_result *r = &all[i];
    bool strings = st->op->settings.string_ids;
    json_t *o = json_pack("{s:I, s:I, s:s, s:I, s:[I,I], s:b}", "chunk",
                          (json_int_t)i, "seq", (json_int_t)r->receipt.seq,
                          "state", ak_op_state_name(st->op->reached),
                          "accepted", (json_int_t)r->receipt.accepted, "lines",
                          (json_int_t)r->first_line, (json_int_t)r->last_line,
                          "replayed", r->receipt.replayed);

    if (o != NULL)
        json_object_set_new(
            o, "first_id",
            strings ? json_null()
                    : json_integer((json_int_t)r->receipt.first_id));
    return o;
}

static bool add_line(struct ak_writer *w, json_t *o)
{
    char *text = ak_json_text(o, JSON_COMPACT);

    json_decref(o);
    if (text == NULL)
        return false;
    ak_write_bytes(w, text, strlen(text));
    ak_write_u8(w, '\n');
    free(text);
    return w->status == AK_OK;
}

/* The lines of all chunks and, when it is not NULL, the one that failed. */
static void reply_lines(struct stream *st, json_t *failure)
{
    struct ak_op *op = st->op;
    struct ak_collection_status now;
    struct ak_writer w = {0};
    size_t n = n_done(st);
    const struct chunk_result *all =
        (const struct chunk_result *)(const void *)st->done.data;

    for (size_t i = 0; i < n; i++)
        if (!add_line(&w, result_json(st, i)))
            goto no_memory;
    if (failure != NULL && !add_line(&w, json_incref(failure)))
        goto no_memory;
    json_decref(failure);
    ak_collection_status(op->c, &now);
    ak_op_headers(op, now.published, all[n - 1].receipt.seq);
    ak_reply_bytes(op->rq, op->status, "application/x-ndjson", w.data, w.len);
    return;

no_memory:
    json_decref(failure);
    ak_writer_clear(&w);
    ak_op_fail(op, AK_ENOMEM, NULL);
}

/* The chunk that is gathered was refused: the stream ends. */
static void fail_chunk(struct stream *st, const char *slug,
                       const struct ak_fault *faults, size_t n,
                       const char *detail)
{
    struct ak_op *op = st->op;
    json_t *problem, *line;

    if (n_done(st) == 0) {
        /* Nothing is stored: a problem says it all. */
        if (strcmp(slug, "queue-full") == 0)
            ak_reply_header(op->rq, "Retry-After", "%u",
                            ak_collection_retry_seconds(op->c));
        ak_reply_faults(op->rq, slug, faults, n, detail);
        return;
    }
    problem = ak_problem_json(op->rq, slug, faults, n, detail);
    if (st->expected > 0 && problem != NULL)
        json_object_set_new(problem, "expected",
                            json_integer((json_int_t)st->expected));
    line =
        json_pack("{s:I, s:[I,I], s:o}", "chunk", (json_int_t)n_done(st),
                  "lines", (json_int_t)st->line,
                  (json_int_t)(st->line + st->n_lines - 1), "error", problem);
    if (line == NULL)
        ak_op_fail(op, AK_ENOMEM, NULL);
    else
        reply_lines(st, line);
}

static void waited(void *arg, enum ak_ack reached, bool in_time)
{
    struct ak_op *op = arg;

    op->reached =
        !in_time && op->ack == AK_ACK_LEARNED ? AK_ACK_DURABLE : reached;
    op->status = in_time ? 200 : 202;
    reply_lines(op->arg, NULL);
}

/* The last chunk is stored; what holds for it holds for all before. */
static void finish(struct stream *st)
{
    const struct chunk_result *all =
        (const struct chunk_result *)(const void *)st->done.data;
    struct ak_op *op = st->op;
    size_t n = n_done(st);

    if (n == 0) {
        ak_reply_problem(op->rq, "validation-failed",
                         "the body has no line with an item");
        return;
    }
    op->reached = AK_ACK_DURABLE;
    if (op->ack == AK_ACK_DURABLE)
        reply_lines(st, NULL);
    else
        ak_collection_wait(op->c, all[n - 1].receipt.seq, op->ack,
                           op->deadline_ns, waited, op);
}

/* ------------------------------------------------------------------- chunks */

/* The client broke off.  What is stored stays; the answer ends the request. */
static void reply_to_nobody(struct stream *st)
{
    ak_reply_problem(st->op->rq, "malformed-request", "the body ended early");
}

/* Ready for the next one, or the end. */
static void next_chunk(struct stream *st)
{
    bool gone;

    st->bytes.len = st->line_at = 0;
    st->line += st->n_lines;
    st->n_lines = 0;
    ak_rows_clear(&st->rows);
    memset(&st->rows, 0, sizeof(st->rows));
    if (st->last) {
        finish(st);
        return;
    }
    atomic_fetch_add(&st->holders, 1);
    pthread_mutex_lock(&st->lock);
    st->busy = false;
    gone = st->gone;
    if (!gone)
        ak_request_go_on(st->op->rq);
    pthread_mutex_unlock(&st->lock);
    if (gone)
        reply_to_nobody(st);
    drop(st);
}

static void try_again(void *arg, enum ak_ack reached, bool in_time)
{
    struct stream *st = arg;

    (void)reached;
    (void)in_time;
    ak_collection_submit(st->op->c, &st->op->submission);
}

static void submitted(struct ak_submission *s, enum ak_status status,
                      const struct ak_receipt *receipt,
                      const struct ak_err *err)
{
    struct stream *st = s->arg;
    struct chunk_result result = {.first_line = st->line,
                                  .last_line = st->line + st->n_lines - 1};
    char detail[AK_ERR_TEXT];

    if (status == AK_EBUSY && ak_clock_ns() < st->retry_until_ns) {
        /* A record that never comes is a timer. */
        ak_collection_wait(st->op->c, UINT64_MAX, AK_ACK_VISIBLE,
                           ak_clock_ns() + RETRY_NS, try_again, st);
        return;
    }
    if (status == AK_EINVAL || status == AK_EEXISTS || status == AK_EBUSY) {
        snprintf(detail, sizeof(detail), "%s",
                 status == AK_EEXISTS ? ak_op_key_taken(st->op)
                 : status == AK_EBUSY ? "the queue of writes stays full"
                 : err != NULL        ? err->text
                                      : "refused");
        fail_chunk(st,
                   status == AK_EEXISTS ? "idempotency-key-reused"
                   : status == AK_EBUSY ? "queue-full"
                                        : "validation-failed",
                   NULL, 0, detail);
        return;
    }
    if (status != AK_OK && n_done(st) == 0) {
        ak_op_refused(st->op, status, receipt, err);
        return;
    }
    if (status == AK_ESEQUENCE)
        st->expected = receipt->expected;
    if (status != AK_OK) {
        fail_chunk(st,
                   status == AK_ENOTFOUND   ? "not-found"
                   : status == AK_ESEQUENCE ? "sequence-gap"
                   : status == AK_EFULL     ? "disk-full"
                                            : "internal",
                   NULL, 0,
                   status == AK_ENOTFOUND   ? "the collection is gone"
                   : status == AK_ESEQUENCE ? "a batch is missing before it"
                   : status == AK_EFULL     ? "there is no room on the disk"
                                            : "the log says why");
        return;
    }
    result.receipt = *receipt;
    ak_ingest_count(receipt);
    ak_write_bytes(&st->done, &result, sizeof(result));
    if (st->done.status != AK_OK)
        ak_op_fail(st->op, AK_ENOMEM, NULL);
    else
        next_chunk(st);
}

/* Chunk n of a keyed stream has the key (key, n), or the number S + n. */
static enum ak_status set_key(struct stream *st, struct ak_err *err)
{
    struct ak_change *change = &st->op->submission.change;
    uint64_t n = n_done(st);
    uint8_t sum[AK_SHA256_LEN];
    const struct ak_piece pieces[] = {
        {st->key.key.data, st->key.key.len}, {"", 1}, {&n, sizeof(n)}};
    enum ak_status status;

    if (st->key.key.data == NULL)
        return AK_OK;
    change->key = st->key.key;
    if (st->key.producer_seq > 0) {
        change->producer_seq = st->key.producer_seq + n;
    } else {
        status = ak_sha256(pieces, AK_COUNT(pieces), sum, err);
        if (status != AK_OK)
            return status;
        /* A colon is in no key of a client. */
        memcpy(st->chunk_key, "chunk:", 6);
        ak_hex_encode(sum, sizeof(sum), st->chunk_key + 6);
        change->key = (struct ak_bytes){st->chunk_key, strlen(st->chunk_key)};
    }
    return ak_op_fingerprint(st->op, "POST batches lines", st->bytes.data,
                             st->bytes.len, change->fingerprint, err);
}

/* One line; what is wrong with it is told with its number. */
static void read_line(struct stream *st, size_t number, uint8_t *line,
                      size_t len)
{
    static const char *const hot[] = {"vector"};
    struct ak_faults faults = {0};
    char pointer[128] = "";

    if (ak_read_json(&st->json, line, len, hot, 1, AK_JSON_VALUES_HERE,
                     &faults)) {
        ak_rows_add_item(&st->rows, number, st->json.root, &st->json, NULL);
        return;
    }
    ak_pointer_add_index(pointer, sizeof(pointer), number);
    if (faults.slug != NULL) {
        ak_faults_add(&st->rows.faults, pointer, faults.slug, "%s",
                      faults.detail);
        return;
    }
    snprintf(pointer + strlen(pointer), sizeof(pointer) - strlen(pointer), "%s",
             faults.list[0].pointer);
    ak_faults_add(&st->rows.faults, pointer, faults.list[0].code, "%s",
                  faults.list[0].detail);
}

static bool is_blank(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r')
            return false;
    return true;
}

static void read_lines(struct stream *st)
{
    uint8_t *p = st->bytes.data, *end = p + st->bytes.len;
    size_t max = ak_limits()->max_line_bytes;

    ak_rows_init(&st->rows, &st->op->settings, ak_op_extractors(st->op), 0);
    st->rows.prefix = "";
    for (size_t i = 0; p < end && ak_rows_going(&st->rows); i++) {
        uint8_t *stop = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((stop != NULL ? stop : end) - p);

        if (len > max)
            ak_rows_fault(&st->rows, st->line + i, "", "validation-failed",
                          "the line has %zu bytes or more, at most %zu are "
                          "taken",
                          len, max);
        else if (!is_blank(p, len))
            read_line(st, st->line + i, p, len);
        p += len + 1;
    }
}

/* On the pool: the chunk that is gathered becomes a submission. */
static void submit_chunk(struct ak_op *op)
{
    struct stream *st = op->arg;
    struct ak_submission *s = &op->submission;
    uint64_t start = ak_clock_ns();
    char detail[512];
    struct ak_err err = {0};
    enum ak_status status = set_key(st, &err);

    if (status == AK_OK) {
        read_lines(st);
        status = st->rows.status;
    }
    if (status == AK_OK && st->rows.n == 0 &&
        ak_faults_none(&st->rows.faults)) {
        next_chunk(st); /* blank lines only */
        return;
    }
    if (status == AK_OK)
        ak_rows_finish(&st->rows);
    ak_op_decoded(op, &st->rows, start);
    if (status == AK_OK && st->rows.status != AK_OK)
        status = st->rows.status;
    if (status == AK_OK && !ak_faults_none(&st->rows.faults)) {
        ak_faults_detail(&st->rows.faults, detail, sizeof(detail));
        ak_metric_add(AK_METRIC_INGEST_ITEMS, AK_OUTCOME_REFUSED, st->rows.n);
        fail_chunk(st, ak_faults_slug(&st->rows.faults), st->rows.faults.list,
                   st->rows.faults.n, detail);
        return;
    }
    if (status == AK_OK)
        status = ak_rows_store(&st->rows, &s->change.rows, &err);
    if (status != AK_OK) {
        ak_op_fail(op, status, &err);
        return;
    }
    s->bytes = st->bytes.cap + ak_rows_bytes(&st->rows);
    s->change.now_ms = ak_time_ms();
    st->retry_until_ns =
        ak_clock_ns() + (uint64_t)AK_OP_TIMEOUT_S * 1000000000u;
    ak_collection_submit(op->c, s);
}

/* ------------------------------------------------------------------ the body */

/* A chunk is whole.  The upload is paused first: what is called back may be
   done before this returns. */
static void dispatch(struct stream *st)
{
    if (n_done(st) == MAX_CHUNKS) {
        fail_chunk(st, "body-too-large", NULL, 0,
                   "a stream has at most 100000 chunks; begin another");
        return;
    }
    pthread_mutex_lock(&st->lock);
    st->busy = true;
    pthread_mutex_unlock(&st->lock);
    ak_op_offload_images(st->op, submit_chunk);
}

/* What is gathered grows by doubling; false: there is no memory for it. */
static bool hold(struct stream *st, size_t more)
{
    size_t need = st->bytes.len + more, cap = FIRST_CAP;

    while (cap < need)
        cap *= 2;
    return need <= st->bytes.cap || ak_request_hold(st->op->rq, cap);
}

static size_t stream_data(struct ak_request *rq, void *arg,
                          const uint8_t *bytes, size_t len)
{
    struct stream *st = arg;
    size_t taken = 0, max = ak_limits()->max_body_bytes;
    bool endless = false;

    while (taken < len && st->n_lines < st->chunk && !endless) {
        const uint8_t *stop = memchr(bytes + taken, '\n', len - taken);
        size_t n =
            stop != NULL ? (size_t)(stop - bytes) + 1 - taken : len - taken;

        if (st->bytes.len + n > max) {
            st->n_lines++;
            fail_chunk(st, "body-too-large", NULL, 0,
                       "a chunk has more bytes than a batch may have; give "
                       "fewer lines by ?chunk=");
            return len;
        }
        if (!hold(st, n)) {
            st->n_lines++;
            fail_chunk(st, "queue-full", NULL, 0,
                       "the bodies of all requests together have as much "
                       "memory as they may");
            return len;
        }
        ak_write_bytes(&st->bytes, bytes + taken, n);
        if (st->bytes.status != AK_OK) {
            ak_op_fail(st->op, AK_ENOMEM, NULL);
            return len;
        }
        taken += n;
        st->n_lines += stop != NULL;
        if (stop != NULL)
            st->line_at = st->bytes.len;
        /* Not gathered to its end: that it is too long is told when it is
           read. */
        endless = st->bytes.len - st->line_at > ak_limits()->max_line_bytes;
    }
    ak_metric_add(AK_METRIC_INGEST_BYTES, AK_INGEST_NDJSON, taken);
    if (st->n_lines == st->chunk || endless) {
        st->n_lines += endless;
        ak_request_pause(rq);
        dispatch(st);
    }
    return taken;
}

static void stream_end(struct ak_request *rq, void *arg)
{
    struct stream *st = arg;

    (void)rq;
    st->last = true;
    if (st->bytes.len == 0) {
        finish(st);
        return;
    }
    if (st->bytes.data[st->bytes.len - 1] != '\n')
        st->n_lines++;
    dispatch(st);
}

static void stream_gone(struct ak_request *rq, void *arg)
{
    struct stream *st = arg;
    bool busy;

    (void)rq;
    pthread_mutex_lock(&st->lock);
    st->gone = true;
    busy = st->busy;
    pthread_mutex_unlock(&st->lock);
    if (!busy)
        reply_to_nobody(st);
}

void ak_ingest_stream(struct ak_request *rq)
{
    static const char *const names[] = {"chunk"};
    struct ak_op *op = ak_op_begin(rq, AK_OP_WRITES, names, AK_COUNT(names));
    struct stream *st;

    if (op == NULL)
        return;
    st = calloc(1, sizeof(*st));
    if (st == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    atomic_init(&st->holders, 1);
    pthread_mutex_init(&st->lock, NULL);
    op->arg = st;
    op->clear = clear;
    st->op = op;
    st->line = 1;
    if (!ak_op_query_number(op, "chunk", 1, ak_limits()->max_batch_items,
                            DEFAULT_CHUNK, &st->chunk) ||
        !ak_op_read_key(op, &st->key))
        return;
    op->submission.change.kind = AK_RECORD_BATCH;
    op->submission.done = submitted;
    op->submission.arg = st;
    ak_request_stream(rq, &(struct ak_stream){.data = stream_data,
                                              .end = stream_end,
                                              .gone = stream_gone,
                                              .arg = st});
}
