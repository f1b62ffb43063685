/*
 * op.h -- one request to one collection, from its headers to its answer.
 *
 * A handler begins an op, reads what was asked into it, and either submits a
 * change and is called back with what came of it, or runs a reading function on
 * the pool.  The op lives as long as its request: the memory that a submission
 * points to is in it, so that a client that goes away takes nothing from under
 * the writer.  Whoever is called back has the op to himself.
 */
#ifndef AK_SERVER_OP_H
#define AK_SERVER_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "server/arena.h"
#include "server/engine.h"
#include "server/http.h"
#include "server/json_body.h"
#include "server/rows.h"

#define AK_OP_TIMEOUT_S 30
#define AK_COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct ak_op;
typedef void ak_op_fn(struct ak_op *op);

struct ak_op {
    struct ak_request *rq;
    struct ak_collection *c; /* held; NULL for routes without one */
    /* Of when the request came; of one that reads, with the extractor of the
       version that served then. */
    struct ak_settings settings;
    uint64_t begun_ns, deadline_ns;
    enum ak_ack ack;
    uint64_t min_seq;
    struct ak_arena arena;
    struct ak_json json; /* of the body */

    struct ak_submission submission;
    struct ak_receipt receipt;
    enum ak_ack reached;
    unsigned status; /* 200, or 202 when the time was up */
    ak_op_fn *next;
    void *arg;                       /* of the handler; in the arena */
    void (*clear)(struct ak_op *op); /* before the op ends; may be NULL */

    /* Zeroed until it is initialised, but for the list of its faults; last. */
    struct ak_rows rows;
};

/*
 * Begin: the query has only `names` (n of them) beside those that `flags` bring
 * with them, and is read; the collection {c} is held.  NULL: it was answered.
 */
enum {
    AK_OP_WRITES = 1 << 0, /* ack, timeout_seconds */
    AK_OP_READS = 1 << 1,  /* min_seq, timeout_seconds */
    AK_OP_NO_COLLECTION = 1 << 2
};
struct ak_op *ak_op_begin(struct ak_request *rq, unsigned flags,
                          const char *const *names, size_t n);

/*
 * Submit op->submission.change, whose kind and arguments are set, with the key
 * of the request; `answer` is called when the ack that was asked is reached or
 * its time is up, with receipt, reached and status set.  A failure is answered
 * here.  `bytes`: memory behind the change.
 */
void ak_op_submit(struct ak_op *op, size_t bytes, ak_op_fn *answer);

/* Key or producer of the request's headers; false: it was answered. */
struct ak_op_key {
    struct ak_bytes key; /* absent: none */
    uint64_t producer_seq;
};
bool ak_op_is_producer(const char *name);
bool ak_op_parse_producer(const char *text, struct ak_op_key *out);
bool ak_op_read_key(struct ak_op *op, struct ak_op_key *out);
/* SHA-256 of what was asked: its method and collection, `path` (as the route
   has it), and the body; the query is not in it, so a repeat may ask for
   another ack. */
enum ak_status ak_op_fingerprint(struct ak_op *op, const char *path,
                                 const void *body, size_t len, uint8_t out[32],
                                 struct ak_err *err) AK_MUST_CHECK;
/* What to say of AK_EEXISTS. */
const char *ak_op_key_taken(const struct ak_op *op);
/* Answer a submission that failed. */
void ak_op_refused(struct ak_op *op, enum ak_status status,
                   const struct ak_receipt *receipt, const struct ak_err *err);

/* {"seq", "state"} of a write that was done; NULL when memory is short. */
json_t *ak_op_receipt_json(const struct ak_op *op);
const char *ak_op_state_name(enum ak_ack ack);

/* Where the extractors are. */
struct ak_extractors *ak_op_extractors(const struct ak_op *op);
/* The rows of a body were read, since `start`: the stages `decode`, and
   `extract` if there were images. */
void ak_op_decoded(struct ak_op *op, const struct ak_rows *rows,
                   uint64_t start);

/* Run `fn` on the pool at once: what is too long for a thread of HTTP. */
void ak_op_offload(struct ak_op *op, ak_op_fn *fn);
/* The same of what reads many images: where a network looks at each, that is on
   a pool of its own, so that searches need not wait for it. */
void ak_op_offload_images(struct ak_op *op, ak_op_fn *fn);
/* Run `fn` on the pool when the collection shows record min_seq; when it does
   not in time the answer is 503 not-caught-up. */
void ak_op_run(struct ak_op *op, ak_op_fn *fn);
/* The same, but here and now if nothing is to be waited for. */
void ak_op_run_here(struct ak_op *op, ak_op_fn *fn);

/* Akin-Model-Version and Akin-Seq. */
void ak_op_headers(struct ak_op *op, uint64_t version, uint64_t seq);
/* The same of a change: the record that it appended, or the last one if it did
   not append any. */
void ak_op_receipt_headers(struct ak_op *op);

/* The body as a JSON object into op->json; false: it was answered. */
bool ak_op_read_json(struct ak_op *op);

/* A number of the query: `initial` when absent; false: it was answered. */
bool ak_op_query_number(struct ak_op *op, const char *name, uint64_t min,
                        uint64_t max, uint64_t initial, uint64_t *out);
/* The id {id} of the path; false: it was answered. */
bool ak_op_path_id(struct ak_op *op, struct ak_row_id *out);

/* One fault, answered. */
void ak_op_fault(struct ak_op *op, const char *pointer, const char *code,
                 const char *fmt, ...) AK_PRINTF(4, 5);
/* No memory, or a failure of the engine: answered. */
void ak_op_fail(struct ak_op *op, enum ak_status status,
                const struct ak_err *err);

#endif
