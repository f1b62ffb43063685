/*
 * client.c -- one connection pool to one daemon, on libcurl.
 *
 * Every attempt is a `struct call`: a curl handle, the body as it is sent and
 * the answer as it comes.  akin_send() runs one and repeats it; akin_start()
 * hands it to the multi handle, which akin_poll() drives.  curl keeps the
 * connections alive in both.
 */
#include "config.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "client/error.h"

#define DEFAULT_CONNECT_TIMEOUT 5000
#define DEFAULT_TIMEOUT         120000

/* No answer of the API comes near; what is larger is not akind. */
#define MAX_REPLY ((size_t)4 << 30)

/* A key file holds one line of this length at most. */
#define MAX_KEY 512

struct akin {
    char *url;    /* as given */
    char *base;   /* what paths are appended to, without a slash at the end */
    char *socket; /* path of a unix socket, or NULL */
    char *agent;
    char *authorization; /* whole header line, or NULL */
    unsigned connect_timeout_ms;
    unsigned timeout_ms;
    struct akin_retry retry;
    uint64_t seed;
    CURL *easy; /* of akin_send(); it keeps its connection */
    CURLM *multi;
    struct call *calls; /* in flight */
    size_t n_calls;
};

struct call {
    struct akin *client;
    CURL *easy;
    struct curl_slist *headers;
    char *url;
    char text[CURL_ERROR_SIZE];
    const struct akin_piece *pieces; /* lent, or `copy` */
    struct akin_piece *copy;
    size_t n_pieces;
    size_t piece; /* position of the next byte to send */
    size_t offset;
    struct akin_reply reply;
    size_t cap;
    bool no_memory;
    bool too_large;
    akin_data_fn *data;
    void *data_context;
    akin_done_fn *done;
    void *context;
    struct call *prev;
    struct call *next;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_status;

static void init_curl(void)
{
    curl_status = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static char *format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static char *format(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return n < 0 ? NULL : text;
}

/* ---- the answer -------------------------------------------------------- */

void akin_reply_clear(struct akin_reply *reply)
{
    free(reply->body);
    memset(reply, 0, sizeof(*reply));
    reply->model_version = reply->seq = reply->retry_after_ms = -1;
}

static size_t on_body(char *data, size_t size, size_t n, void *context)
{
    struct call *call = context;
    struct akin_reply *reply = &call->reply;

    n *= size;
    if (call->data != NULL) {
        long status = 0;

        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status < 400)
            return call->data(call->data_context, data, n) == 0 ? n : 0;
    }
    if (n > MAX_REPLY - reply->len) {
        call->too_large = true;
        return 0;
    }
    if (reply->len + n + 1 > call->cap) {
        size_t cap = 2 * (reply->len + n + 1);
        char *body = realloc(reply->body, cap);

        if (body == NULL) {
            call->no_memory = true;
            return 0;
        }
        reply->body = body;
        call->cap = cap;
    }
    memcpy(reply->body + reply->len, data, n);
    reply->len += n;
    reply->body[reply->len] = '\0';
    return n;
}

/* The value when `line` is the header `name`; its end in `*end`. */
static const char *header_value(const char *line, size_t len, const char *name,
                                const char **end)
{
    size_t n = strlen(name);
    const char *at = line + n + 1;

    *end = line + len;
    if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
        return NULL;
    while (at < *end && (*at == ' ' || *at == '\t'))
        at++;
    while (*end > at && isspace((unsigned char)(*end)[-1]))
        (*end)--;
    return at;
}

static void keep_text(const char *line, size_t len, const char *name, char *out,
                      size_t cap)
{
    const char *end;
    const char *at = header_value(line, len, name, &end);
    size_t n;

    if (at == NULL)
        return;
    n = (size_t)(end - at) < cap - 1 ? (size_t)(end - at) : cap - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)at[i] < ' ' ? ' ' : at[i];
    out[n] = '\0';
}

static void keep_number(const char *line, size_t len, const char *name,
                        int64_t *out)
{
    char text[32] = "";
    char *end;
    long long value;

    keep_text(line, len, name, text, sizeof(text));
    if (text[0] == '\0')
        return;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno == 0 && *end == '\0' && value >= 0)
        *out = value;
}

/* Seconds, or a date of HTTP. */
static void keep_retry_after(const char *line, size_t len, int64_t *out)
{
    char text[64] = "";
    int64_t seconds = -1;
    time_t at;

    keep_text(line, len, "Retry-After", text, sizeof(text));
    if (text[0] == '\0')
        return;
    keep_number(line, len, "Retry-After", &seconds);
    if (seconds >= 0) {
        *out = seconds > 86400 ? 86400000 : seconds * 1000;
        return;
    }
    at = curl_getdate(text, NULL);
    if (at >= 0) {
        seconds = (int64_t)at - (int64_t)time(NULL);
        *out = seconds < 0 ? 0 : seconds > 86400 ? 86400000 : seconds * 1000;
    }
}

static size_t on_header(char *line, size_t size, size_t n, void *context)
{
    struct call *call = context;
    struct akin_reply *reply = &call->reply;
    char replayed[8] = "";

    n *= size;
    /* A new status line begins a new answer: the last was 100 Continue. */
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        reply->content_type[0] = reply->request_id[0] = '\0';
        reply->model_version = reply->seq = reply->retry_after_ms = -1;
        reply->replayed = 0;
        return n;
    }
    keep_text(line, n, "Content-Type", reply->content_type,
              sizeof(reply->content_type));
    keep_text(line, n, "X-Request-Id", reply->request_id,
              sizeof(reply->request_id));
    keep_number(line, n, "Akin-Model-Version", &reply->model_version);
    keep_number(line, n, "Akin-Seq", &reply->seq);
    keep_retry_after(line, n, &reply->retry_after_ms);
    keep_text(line, n, "Idempotency-Replayed", replayed, sizeof(replayed));
    if (strcasecmp(replayed, "true") == 0)
        reply->replayed = 1;
    return n;
}

/* ---- the request ------------------------------------------------------- */

static size_t on_read(char *out, size_t size, size_t n, void *context)
{
    struct call *call = context;
    size_t done = 0;

    n *= size;
    while (done < n && call->piece < call->n_pieces) {
        const struct akin_piece *piece = &call->pieces[call->piece];
        size_t step = piece->len - call->offset;

        if (step > n - done)
            step = n - done;
        if (step > 0)
            memcpy(out + done, (const char *)piece->data + call->offset, step);
        done += step;
        call->offset += step;
        if (call->offset == piece->len) {
            call->piece++;
            call->offset = 0;
        }
    }
    return done;
}

/* curl goes back to the start when a kept connection turns out to be closed. */
static int on_seek(void *context, curl_off_t offset, int origin)
{
    struct call *call = context;

    if (origin != SEEK_SET || offset != 0)
        return CURL_SEEKFUNC_CANTSEEK;
    call->piece = call->offset = 0;
    return CURL_SEEKFUNC_OK;
}

static void call_clear(struct call *call)
{
    curl_slist_free_all(call->headers);
    call->headers = NULL;
    free(call->url);
    call->url = NULL;
    free(call->copy);
    call->copy = NULL;
    akin_reply_clear(&call->reply);
}

static bool add_header(struct call *call, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static bool add_header(struct call *call, const char *fmt, ...)
{
    struct curl_slist *list;
    char *line = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&line, fmt, ap);
    va_end(ap);
    if (n < 0)
        return false;
    list = curl_slist_append(call->headers, line);
    free(line);
    if (list == NULL)
        return false;
    call->headers = list;
    return true;
}

static bool add_headers(struct call *call, const struct akin_request *request)
{
    const struct akin *client = call->client;

    if (client->authorization != NULL &&
        !add_header(call, "%s", client->authorization))
        return false;
    if (request->content_type != NULL &&
        !add_header(call, "Content-Type: %s", request->content_type))
        return false;
    /* curl adds one of its own when there is none. */
    if (request->content_type == NULL && !add_header(call, "Content-Type:"))
        return false;
    if (request->accept != NULL &&
        !add_header(call, "Accept: %s", request->accept))
        return false;
    if (request->idempotency_key != NULL &&
        !add_header(call, "Idempotency-Key: %s", request->idempotency_key))
        return false;
    if (request->producer != NULL &&
        !add_header(call, "Akin-Producer: %s; seq=%llu", request->producer,
                    (unsigned long long)request->producer_seq))
        return false;
    for (size_t i = 0; i < request->n_headers; i++)
        if (!add_header(call, "%s", request->headers[i]))
            return false;
    return true;
}

static bool is_clean(const char *text)
{
    for (; text != NULL && *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

/* `least` to 128 characters that a key or a name may have. */
static bool is_key(const char *text, size_t least)
{
    size_t n = strlen(text);

    return n >= least && n <= 128 &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789._~-") == n;
}

/* What would break the framing of a request must not come from a caller. */
static enum akin_result check_request(const struct akin_request *request,
                                      struct akin_error *err)
{
    if (request->method == NULL || request->method[0] == '\0' ||
        strspn(request->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") !=
            strlen(request->method))
        return akin_fail(err, AKIN_EARGUMENT,
                         "the method must be a word of capitals");
    if (request->path == NULL || request->path[0] != '/' ||
        !is_clean(request->path) || strchr(request->path, ' ') != NULL)
        return akin_fail(err, AKIN_EARGUMENT,
                         "the path must begin with / and hold no blank");
    if (!is_clean(request->content_type) || !is_clean(request->accept))
        return akin_fail(err, AKIN_EARGUMENT, "a header holds a control byte");
    for (size_t i = 0; i < request->n_headers; i++)
        if (!is_clean(request->headers[i]))
            return akin_fail(err, AKIN_EARGUMENT,
                             "a header holds a control byte");
    if (request->producer != NULL && request->idempotency_key != NULL)
        return akin_fail(err, AKIN_EARGUMENT,
                         "a request has a key or a producer, not both");
    if (request->producer != NULL &&
        (!is_key(request->producer, 1) || request->producer_seq == 0))
        return akin_fail(err, AKIN_EARGUMENT,
                         "a producer has a name of 1 to 128 characters of "
                         "A-Z a-z 0-9 . _ ~ - and a number from 1 on");
    if (request->idempotency_key != NULL &&
        !is_key(request->idempotency_key, 8))
        return akin_fail(err, AKIN_EARGUMENT,
                         "the idempotency key must be 8 to 128 characters of "
                         "A-Z a-z 0-9 . _ ~ -");
    return AKIN_OK;
}

/* Set up `call` on `easy`, which is fresh or was reset. */
static enum akin_result call_init(struct call *call, struct akin *client,
                                  CURL *easy,
                                  const struct akin_request *request,
                                  struct akin_error *err)
{
    unsigned timeout =
        request->timeout_ms != 0 ? request->timeout_ms : client->timeout_ms;
    curl_off_t len = 0;
    enum akin_result result = check_request(request, err);

    memset(call, 0, sizeof(*call));
    akin_reply_clear(&call->reply);
    call->client = client;
    call->easy = easy;
    if (result != AKIN_OK)
        return result;
    call->data = request->data;
    call->data_context = request->context;
    call->pieces = request->pieces;
    call->n_pieces = request->n_pieces;
    for (size_t i = 0; i < request->n_pieces; i++)
        len += (curl_off_t)request->pieces[i].len;
    call->url = format("%s%s", client->base, request->path);
    if (call->url == NULL || !add_headers(call, request)) {
        call_clear(call);
        return akin_no_memory(err);
    }
    curl_easy_setopt(easy, CURLOPT_URL, call->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    if (client->socket != NULL)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    else if (strncmp(client->base, "http://127.", 11) == 0 ||
             strncmp(client->base, "http://localhost", 16) == 0 ||
             strncmp(client->base, "http://[::1]", 12) == 0)
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, client->agent);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->text);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)client->connect_timeout_ms);
    if (request->idle_ms != 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                         (long)(request->idle_ms + 999) / 1000);
    } else {
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout);
    }
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    /* The default of 64 KiB takes 13 rounds for a batch of 256 images. */
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 128L << 10);
    if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (request->n_pieces > 0 || strcmp(request->method, "POST") == 0 ||
               strcmp(request->method, "PUT") == 0 ||
               strcmp(request->method, "PATCH") == 0) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(easy, CURLOPT_READDATA, call);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, len);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    /* When a kept connection breaks, curl sends again by itself. */
    if (!akin_is_idempotent(request))
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    return AKIN_OK;
}

/* What one attempt came to. */
static enum akin_result call_finish(struct call *call, CURLcode code,
                                    struct akin_error *err)
{
    const char *url = call->client->url;
    const char *text =
        call->text[0] != '\0' ? call->text : curl_easy_strerror(code);
    long status = 0;

    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    /*
     * A daemon that refuses a body answers and closes; when its answer is in,
     * it counts, whatever became of the rest of the upload.
     */
    if (code == CURLE_SEND_ERROR && status >= 400)
        code = CURLE_OK;
    if (call->no_memory || code == CURLE_OUT_OF_MEMORY)
        return akin_no_memory(err);
    if (call->too_large)
        return akin_fail(err, AKIN_EREPLY, "the answer of %s is over %zu bytes",
                         url, MAX_REPLY);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return akin_fail(err, AKIN_ETIMEOUT, "no answer from %s: %s", url,
                         text);
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
        return akin_fail(err, AKIN_EARGUMENT, "%s is no URL: %s", url, text);
    if (code != CURLE_OK)
        return akin_fail(err, AKIN_ECONNECT, "cannot reach akind at %s: %s",
                         url, text);
    call->reply.status = (int)status;
    if (call->reply.body == NULL) {
        call->reply.body = calloc(1, 1);
        if (call->reply.body == NULL)
            return akin_no_memory(err);
    }
    return status >= 400 ? akin_problem_decode(&call->reply, err) : AKIN_OK;
}

static void wait_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000),
                         .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

enum akin_result akin_send(struct akin *client,
                           const struct akin_request *request,
                           struct akin_reply *reply, struct akin_error *err)
{
    struct akin_error own = {0};
    struct call call;

    if (err == NULL)
        err = &own;
    akin_reply_clear(reply);
    for (unsigned attempt = 1;; attempt++) {
        enum akin_result result;
        int64_t wait;

        result = call_init(&call, client, client->easy, request, err);
        if (result != AKIN_OK)
            return result;
        result = call_finish(&call, curl_easy_perform(client->easy), err);
        /* The handle outlives this call and must not point into it. */
        curl_easy_reset(client->easy);
        call.reply.attempts = attempt;
        wait = result == AKIN_OK
                   ? -1
                   : akin_retry_delay_ms(&client->retry, request, result, err,
                                         call.reply.retry_after_ms, attempt,
                                         &client->seed);
        if (wait < 0) {
            *reply = call.reply;
            call.reply.body = NULL;
            call_clear(&call);
            return result;
        }
        call_clear(&call);
        wait_ms(wait);
    }
}

/* ---- several in flight ------------------------------------------------- */

static void call_unlink(struct call *call)
{
    struct akin *client = call->client;

    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        client->calls = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    client->n_calls--;
}

static void call_destroy(struct call *call)
{
    curl_multi_remove_handle(call->client->multi, call->easy);
    curl_easy_cleanup(call->easy);
    call_clear(call);
    free(call);
}

enum akin_result akin_start(struct akin *client,
                            const struct akin_request *request,
                            akin_done_fn *done, void *context,
                            struct akin_error *err)
{
    size_t n = request->n_pieces;
    struct call *call = malloc(sizeof(*call));
    CURL *easy = curl_easy_init();
    enum akin_result result;

    if (call == NULL || easy == NULL) {
        curl_easy_cleanup(easy);
        free(call);
        return akin_no_memory(err);
    }
    result = call_init(call, client, easy, request, err);
    if (result != AKIN_OK) {
        curl_easy_cleanup(easy);
        free(call);
        return result;
    }
    call->copy = calloc(n + 1, sizeof(*call->copy));
    if (call->copy != NULL && n > 0)
        memcpy(call->copy, request->pieces, n * sizeof(*call->copy));
    call->pieces = call->copy;
    call->done = done;
    call->context = context;
    if (call->copy == NULL ||
        curl_multi_add_handle(client->multi, easy) != CURLM_OK) {
        curl_easy_cleanup(easy);
        call_clear(call);
        free(call);
        return akin_no_memory(err);
    }
    call->next = client->calls;
    if (call->next != NULL)
        call->next->prev = call;
    client->calls = call;
    client->n_calls++;
    return AKIN_OK;
}

static void finish_one(struct akin *client, CURL *easy, CURLcode code)
{
    struct akin_error err = {0};
    struct call *call = NULL;
    enum akin_result result;

    for (call = client->calls; call != NULL && call->easy != easy;)
        call = call->next;
    if (call == NULL)
        return;
    result = call_finish(call, code, &err);
    call->reply.attempts = 1;
    call_unlink(call);
    call->done(call->context, result, &call->reply,
               result == AKIN_OK ? NULL : &err);
    call_destroy(call);
}

enum akin_result akin_poll(struct akin *client, unsigned timeout_ms,
                           struct akin_error *err)
{
    int running = 0;
    int left;
    CURLMsg *message;
    CURLMcode code = curl_multi_perform(client->multi, &running);

    if (code == CURLM_OK && (size_t)running == client->n_calls) {
        code = curl_multi_poll(client->multi, NULL, 0, (int)timeout_ms, NULL);
        if (code == CURLM_OK)
            code = curl_multi_perform(client->multi, &running);
    }
    if (code != CURLM_OK)
        return akin_fail(err, AKIN_ECONNECT, "%s", curl_multi_strerror(code));
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL)
        if (message->msg == CURLMSG_DONE)
            finish_one(client, message->easy_handle, message->data.result);
    return AKIN_OK;
}

size_t akin_in_flight(const struct akin *client)
{
    return client->n_calls;
}

/* ---- the client -------------------------------------------------------- */

static enum akin_result read_key(const char *path, char **header,
                                 struct akin_error *err)
{
    char key[MAX_KEY + 2] = "";
    FILE *file = fopen(path, "re");
    size_t n;

    if (file == NULL)
        return akin_fail(err, AKIN_EARGUMENT, "key file %s: %s", path,
                         strerror(errno));
    n = fread(key, 1, sizeof(key) - 1, file);
    if (ferror(file)) {
        int saved = errno;

        fclose(file);
        return akin_fail(err, AKIN_EARGUMENT, "key file %s: %s", path,
                         strerror(saved));
    }
    fclose(file);
    while (n > 0 && isspace((unsigned char)key[n - 1]))
        key[--n] = '\0';
    if (n == 0 || n > MAX_KEY || strlen(key) != n || !is_clean(key) ||
        strchr(key, ' ') != NULL)
        return akin_fail(err, AKIN_EARGUMENT,
                         "key file %s: must hold one key on one line", path);
    *header = format("Authorization: Bearer %s", key);
    return *header != NULL ? AKIN_OK : akin_no_memory(err);
}

static enum akin_result set_url(struct akin *client, const char *url,
                                struct akin_error *err)
{
    size_t n;

    client->url = strdup(url);
    if (client->url == NULL)
        return akin_no_memory(err);
    if (strncmp(url, "unix:", 5) == 0) {
        if (url[5] != '/')
            return akin_fail(err, AKIN_EARGUMENT,
                             "%s: the path after unix: must begin with /", url);
        client->socket = strdup(url + 5);
        client->base = strdup("http://localhost");
        return client->socket != NULL && client->base != NULL
                   ? AKIN_OK
                   : akin_no_memory(err);
    }
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return akin_fail(err, AKIN_EARGUMENT,
                         "%s: must begin with http://, https:// or unix:", url);
    if (!is_clean(url) || strpbrk(url, " ?#@") != NULL)
        return akin_fail(err, AKIN_EARGUMENT,
                         "%s: must be a scheme, a host, a port and perhaps a "
                         "path, and hold no name or key",
                         url);
    client->base = strdup(url);
    if (client->base == NULL)
        return akin_no_memory(err);
    for (n = strlen(client->base); n > 0 && client->base[n - 1] == '/'; n--)
        client->base[n - 1] = '\0';
    return AKIN_OK;
}

enum akin_result akin_create(const struct akin_options *options,
                             struct akin **out, struct akin_error *err)
{
    static const struct akin_options defaults;
    const struct akin_options *o = options != NULL ? options : &defaults;
    struct akin *client = calloc(1, sizeof(*client));
    enum akin_result result;
    struct timespec now;

    if (client == NULL)
        return akin_no_memory(err);
    pthread_once(&curl_once, init_curl);
    if (curl_status != CURLE_OK) {
        result = akin_fail(err, AKIN_ENOMEM, "curl: %s",
                           curl_easy_strerror(curl_status));
        goto failed;
    }
    result = set_url(client, o->url != NULL ? o->url : AKIN_DEFAULT_URL, err);
    if (result != AKIN_OK)
        goto failed;
    if (o->key_file != NULL) {
        result = read_key(o->key_file, &client->authorization, err);
        if (result != AKIN_OK)
            goto failed;
    }
    client->agent =
        strdup(o->agent != NULL ? o->agent : "libakin/" PACKAGE_VERSION);
    client->connect_timeout_ms = o->connect_timeout_ms != 0
                                     ? o->connect_timeout_ms
                                     : DEFAULT_CONNECT_TIMEOUT;
    client->timeout_ms = o->timeout_ms != 0 ? o->timeout_ms : DEFAULT_TIMEOUT;
    client->retry = o->retry;
    clock_gettime(CLOCK_MONOTONIC, &now);
    client->seed = (uint64_t)now.tv_nsec ^ (uint64_t)(uintptr_t)client;
    client->easy = curl_easy_init();
    client->multi = curl_multi_init();
    if (client->agent == NULL || client->easy == NULL ||
        client->multi == NULL) {
        result = akin_no_memory(err);
        goto failed;
    }
    *out = client;
    return AKIN_OK;

failed:
    akin_destroy(client);
    return result;
}

void akin_destroy(struct akin *client)
{
    if (client == NULL)
        return;
    while (client->calls != NULL) {
        struct call *call = client->calls;

        call_unlink(call);
        call_destroy(call);
    }
    curl_multi_cleanup(client->multi);
    curl_easy_cleanup(client->easy);
    free(client->url);
    free(client->base);
    free(client->socket);
    free(client->agent);
    free(client->authorization);
    free(client);
}

const char *akin_url(const struct akin *client)
{
    return client->url;
}
