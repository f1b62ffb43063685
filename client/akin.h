/*
 * akin.h -- a client for akind, the daemon for image retrieval.
 *
 * One header, plain C11, usable from C++.  Link with -lakin -lcurl -ljansson.
 *
 *     struct akin_error err = {0};
 *     struct akin *client = NULL;
 *     struct akin_hits hits = {0};
 *
 *     if (akin_create(NULL, &client, &err) != AKIN_OK ||
 *         akin_search_vector(client, "shoes", x, 512, 10, &hits, &err))
 *         fprintf(stderr, "%s\n", err.text);
 *
 * Every call that can fail returns `enum akin_result` and takes, last, a
 * `struct akin_error *` that may be NULL and is written on failure only.
 * Outputs are written on success only, unless said otherwise.  A client may be
 * used by one thread at a time; different clients share nothing.
 *
 * Requests are repeated when that is safe, which is for GET, for searches and
 * for what carries an idempotency key, and when it can help: the daemon cannot
 * be reached, is starting, or asks to come back later.
 */
#ifndef AKIN_H
#define AKIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AKIN_DEFAULT_URL "http://127.0.0.1:7337"

enum akin_result {
    AKIN_OK = 0,
    AKIN_EARGUMENT, /* the call is wrong: nothing was sent */
    AKIN_ECONNECT,  /* no connection, or it broke before the answer was in */
    AKIN_ETIMEOUT,  /* no answer in time */
    AKIN_EAUTH,     /* 401 or 403 */
    AKIN_EPROBLEM,  /* the daemon refused: see the fields of the error */
    AKIN_EREPLY,    /* the answer is not what the API promises */
    AKIN_ENOMEM
};

/* Short stable name, such as "connect"; never NULL. */
const char *akin_result_name(enum akin_result result);

/* ---- errors ------------------------------------------------------------ */

#define AKIN_MAX_FIELD_ERRORS 32

struct akin_field_error {
    char pointer[96]; /* JSON pointer into the request: "/items/17/vector" */
    char code[48];    /* "dim-mismatch" */
    char detail[192];
};

/*
 * What went wrong.  `text` is always there, one line for a person.  The rest
 * is filled from the daemon's problem document (RFC 9457) when there is one.
 */
struct akin_error {
    enum akin_result result;
    char text[800];
    int status; /* of HTTP; 0 when there was no answer */
    char slug[64];
    char title[128];
    char detail[384];
    char request_id[96];
    int64_t expected; /* of a sequence-gap: the number that fits; else 0 */
    size_t n_fields;  /* kept of `errors`, at most AKIN_MAX_FIELD_ERRORS */
    struct akin_field_error fields[AKIN_MAX_FIELD_ERRORS];
};

/* ---- a client ---------------------------------------------------------- */

/* When a failed request is sent again; zeroes mean the defaults. */
struct akin_retry {
    unsigned max_attempts; /* 5; 1: never again */
    unsigned base_ms;      /* 100: the first wait, doubled each time */
    unsigned cap_ms;       /* 10000: no wait is longer, but for Retry-After */
};

struct akin_options {
    const char *url; /* NULL: AKIN_DEFAULT_URL; or "unix:/run/akind.sock" */
    const char *key_file;        /* file with the API key; NULL: none */
    const char *agent;           /* User-Agent; NULL: "libakin/VERSION" */
    unsigned connect_timeout_ms; /* 0: 5000 */
    unsigned timeout_ms;         /* of a whole request; 0: 120000 */
    struct akin_retry retry;
};

struct akin;

/* `options` may be NULL.  Nothing is sent yet.  End with akin_destroy(). */
enum akin_result akin_create(const struct akin_options *options,
                             struct akin **out, struct akin_error *err);

/* Breaks off what is in flight, without calling back.  NULL is a no-op. */
void akin_destroy(struct akin *client);

/* Where the client connects to, as given. */
const char *akin_url(const struct akin *client);

/* ---- requests ---------------------------------------------------------- */

/* A body may come in pieces that are sent one after the other, uncopied. */
struct akin_piece {
    const void *data;
    size_t len;
};

/* Bytes of an answer below 400 as they come; other than 0 ends the request, as
   AKIN_ECONNECT. */
typedef int akin_data_fn(void *context, const char *data, size_t len);

struct akin_request {
    const char *method; /* "GET" */
    const char *path;   /* "/v1/collections?limit=10", already encoded */
    const char *content_type;
    const char *accept; /* NULL: whatever the daemon likes to give */
    const struct akin_piece *pieces;
    size_t n_pieces;
    const char *idempotency_key; /* NULL: none, and a write is sent once */
    /* Or, instead: who sends it, who counts from 1; a repeat is harmless, too. */
    const char *producer;
    uint64_t producer_seq;
    const char *const *headers; /* further "Name: value" lines */
    size_t n_headers;
    int repeatable;      /* a repeat is harmless without a key: a search */
    int single;          /* never repeated, whatever comes back */
    unsigned timeout_ms; /* 0: the client's */
    /* A stream, such as of events: its bytes go to `data` instead of the reply.
       With `idle_ms` it may take any time, but not be silent for so long. */
    akin_data_fn *data;
    void *context;
    unsigned idle_ms;
};

/*
 * An answer, of any status.  Texts are empty and numbers -1 where the header
 * was absent.  Free with akin_reply_clear().
 */
struct akin_reply {
    int status;
    char *body; /* owned, terminated by a zero that `len` does not count */
    size_t len;
    char content_type[96];
    char request_id[96];
    int64_t model_version;
    int64_t seq;
    int64_t retry_after_ms;
    int replayed;      /* the daemon had answered this key before */
    unsigned attempts; /* how often the request was sent */
};

void akin_reply_clear(struct akin_reply *reply);

/*
 * Send and wait, again where the retry policy says so.  AKIN_OK for an answer
 * below 400.  For one of 400 and above the error is filled *and* the reply is
 * there, so that its body can be shown; without an answer it stays empty.
 */
enum akin_result akin_send(struct akin *client,
                           const struct akin_request *request,
                           struct akin_reply *reply, struct akin_error *err);

/*
 * The end of a request begun with akin_start(): `result` as akin_send() has
 * it; `err` is NULL for AKIN_OK.  `reply` is the callee's to read; it is freed
 * after the return.  May start further requests.
 */
typedef void akin_done_fn(void *context, enum akin_result result,
                          const struct akin_reply *reply,
                          const struct akin_error *err);

/*
 * Begin one attempt, of which several may be in flight, and return.  `request`
 * is copied but for the bytes of its pieces, which must live until `done` has
 * been called.
 */
enum akin_result akin_start(struct akin *client,
                            const struct akin_request *request,
                            akin_done_fn *done, void *context,
                            struct akin_error *err);

/* Move what is in flight, for at most `timeout_ms`, and call `done`s. */
enum akin_result akin_poll(struct akin *client, unsigned timeout_ms,
                           struct akin_error *err);

/* Requests begun whose `done` was not called yet. */
size_t akin_in_flight(const struct akin *client);

/*
 * Whether, after `attempt` failed attempts (1 or more), `request` should be
 * sent again: milliseconds to wait, or -1 for no.  Waits grow exponentially,
 * at random between half and the whole; what `retry_after_ms` says is kept,
 * with a little on top so that clients do not come back in step.  `seed` is the
 * caller's random state.
 */
int64_t akin_retry_delay_ms(const struct akin_retry *retry,
                            const struct akin_request *request,
                            enum akin_result result,
                            const struct akin_error *err,
                            int64_t retry_after_ms, unsigned attempt,
                            uint64_t *seed);

/* A fresh random idempotency key, 32 hexadecimal digits, into `key` (33). */
enum akin_result akin_random_key(char *key, struct akin_error *err);

/* Percent-encode `text` for one segment of a path.  Free the result; NULL when
   memory is short. */
char *akin_path_segment(const char *text);

/*
 * Fill `err` from an answer of status 400 or more: from its problem document,
 * or, where it has none, from the status alone.  Returns AKIN_EAUTH,
 * AKIN_EPROBLEM or AKIN_EREPLY (a status below 400).
 */
enum akin_result akin_problem_decode(const struct akin_reply *reply,
                                     struct akin_error *err);

/* ---- batches ----------------------------------------------------------- */

/*
 * Rows to be stored, learnt, searched or encoded.  Exactly one of `vectors`
 * (n, dim) and `codes` (n, dim bytes).  Labels: none, one integer a row, or one
 * text a row; ids: none (the daemon assigns them), integers, or texts.
 */
struct akin_rows {
    size_t n;
    size_t dim;
    const float *vectors;
    const uint8_t *codes;
    const int64_t *labels;
    const char *const *label_texts;
    const int64_t *ids;
    const char *const *id_texts;
};

/* A body and its content type; free with akin_body_clear(). */
struct akin_body {
    void *data;
    size_t len;
    char content_type[96];
};

void akin_body_clear(struct akin_body *body);

/* The multipart body of npy parts that `batches`, `items` and `encode` take. */
enum akin_result akin_body_rows(const struct akin_rows *rows,
                                struct akin_body *out, struct akin_error *err);

/* The vectors or codes alone, as one .npy file of shape (n, dim). */
enum akin_result akin_body_npy(const struct akin_rows *rows,
                               struct akin_body *out, struct akin_error *err);

enum akin_ack { AKIN_DURABLE, AKIN_LEARNED, AKIN_VISIBLE };

struct akin_receipt {
    int64_t seq; /* -1: the daemon appended no record, as for no rows */
    int64_t accepted;
    int64_t first_id; /* -1 when the ids are texts */
    char state[16];   /* the level reached: "durable" */
    int replayed;     /* it had been accepted before under this key */
};

/*
 * Store rows and learn from them, in one atomic batch.  `key` makes a repeat
 * harmless; NULL gives it a random one, which covers the retries of this call.
 */
enum akin_result akin_ingest(struct akin *client, const char *collection,
                             const struct akin_rows *rows, enum akin_ack ack,
                             const char *key, struct akin_receipt *receipt,
                             struct akin_error *err);

/* ---- search ------------------------------------------------------------ */

struct akin_hit {
    const char *id; /* integers as decimal text */
    uint32_t distance;
    double score;
    const char *const *labels;
    size_t n_labels;
};

/* Owned; free with akin_hits_clear(), which ends the texts too. */
struct akin_hits {
    struct akin_hit *items;
    size_t n;
    int complete; /* 0: the search ran out of time */
    int64_t model_version;
    void *store;
};

void akin_hits_clear(struct akin_hits *hits);

/* The `limit` nearest stored items to vector (dim). */
enum akin_result akin_search_vector(struct akin *client, const char *collection,
                                    const float *vector, size_t dim,
                                    unsigned limit, struct akin_hits *hits,
                                    struct akin_error *err);

/* Those nearest to a stored item; `id` is a number when `id_text` is NULL. */
enum akin_result akin_search_id(struct akin *client, const char *collection,
                                int64_t id, const char *id_text, unsigned limit,
                                struct akin_hits *hits, struct akin_error *err);

/*
 * Those nearest to each of n vectors (n, dim), scanned together.  `hits` (n)
 * receives one list a row, each to be cleared.  With `rerank`, "asymmetric" or
 * "feature", the `limit` x `oversample` nearest are put in a finer order.
 */
struct akin_search_options {
    unsigned limit;
    const char *rerank;  /* NULL: the order of the distances */
    unsigned oversample; /* 0: as the daemon has it */
};
enum akin_result akin_search_rows(struct akin *client, const char *collection,
                                  const float *vectors, size_t n, size_t dim,
                                  const struct akin_search_options *options,
                                  struct akin_hits *hits,
                                  struct akin_error *err);

/* The same without a rerank. */
enum akin_result akin_search_batch(struct akin *client, const char *collection,
                                   const float *vectors, size_t n, size_t dim,
                                   unsigned limit, struct akin_hits *hits,
                                   struct akin_error *err);

/*
 * The codes of n vectors (n, dim) under the published model, nothing stored.
 * `codes` receives n x `code_len` bytes, allocated: free() them.
 */
enum akin_result akin_encode(struct akin *client, const char *collection,
                             const float *vectors, size_t n, size_t dim,
                             uint8_t **codes, size_t *code_len,
                             int64_t *model_version, struct akin_error *err);

#ifdef __cplusplus
}
#endif

#endif
