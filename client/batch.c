/* batch.c -- rows as npy and as multipart npy, and sending them. */
#include "config.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/json.h"
#include "client/npy.h"

void akin_body_clear(struct akin_body *body)
{
    free(body->data);
    memset(body, 0, sizeof(*body));
}

static void put(struct akin_body *body, const void *data, size_t len)
{
    if (len > 0)
        memcpy((char *)body->data + body->len, data, len);
    body->len += len;
}

static void put_text(struct akin_body *body, const char *text)
{
    put(body, text, strlen(text));
}

static void put_npy(struct akin_body *body, const char *descr, size_t n,
                    size_t width, const void *data, size_t len)
{
    char header[NPY_MAX_HEADER];

    put(body, header, npy_header(descr, n, width, header));
    put(body, data, len);
}

/* Bytes of the vectors or codes; 0 when they are too many. */
static size_t data_len(const struct akin_rows *rows)
{
    size_t len;

    if (__builtin_mul_overflow(rows->n, rows->dim, &len) ||
        __builtin_mul_overflow(len, rows->vectors != NULL ? 4u : 1u, &len))
        return 0;
    return len;
}

static enum akin_result check_rows(const struct akin_rows *rows,
                                   struct akin_error *err)
{
    if (rows->n == 0 || rows->dim == 0)
        return akin_fail(err, AKIN_EARGUMENT,
                         "%zu rows of %zu, must be 1 or "
                         "more of each",
                         rows->n, rows->dim);
    if ((rows->vectors != NULL) == (rows->codes != NULL))
        return akin_fail(err, AKIN_EARGUMENT,
                         "rows hold either vectors or codes");
    if (rows->labels != NULL && rows->label_texts != NULL)
        return akin_fail(err, AKIN_EARGUMENT,
                         "labels are either integers or texts");
    if (rows->ids != NULL && rows->id_texts != NULL)
        return akin_fail(err, AKIN_EARGUMENT,
                         "ids are either integers or texts");
    if (data_len(rows) == 0 || data_len(rows) > SIZE_MAX / 2)
        return akin_fail(err, AKIN_EARGUMENT, "%zu rows of %zu are too many",
                         rows->n, rows->dim);
    return AKIN_OK;
}

/* ["a","b"] with the texts; NULL when memory is short or one is not UTF-8. */
static char *texts_json(const char *const *texts, size_t n)
{
    json_t *list = json_array();
    char *out = NULL;

    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(list, json_string(texts[i])) != 0)
            goto out;
    out = json_dumps(list, JSON_COMPACT);

out:
    json_decref(list);
    return out;
}

enum akin_result akin_body_npy(const struct akin_rows *rows,
                               struct akin_body *out, struct akin_error *err)
{
    struct akin_body body = {0};
    enum akin_result result = check_rows(rows, err);
    const void *data = rows->vectors != NULL ? (const void *)rows->vectors
                                             : (const void *)rows->codes;

    if (result != AKIN_OK)
        return result;
    body.data = malloc(data_len(rows) + NPY_MAX_HEADER);
    if (body.data == NULL)
        return akin_no_memory(err);
    put_npy(&body, rows->vectors != NULL ? "<f4" : "|u1", rows->n, rows->dim,
            data, data_len(rows));
    snprintf(body.content_type, sizeof(body.content_type), "application/x-npy");
    *out = body;
    return AKIN_OK;
}

static bool occurs(const char *text, const struct akin_part *parts,
                   size_t n_parts)
{
    for (size_t i = 0; i < n_parts; i++)
        if (parts[i].data.len > 0 &&
            memmem(parts[i].data.data, parts[i].data.len, text, strlen(text)) !=
                NULL)
            return true;
    return false;
}

/*
 * A boundary that no part holds, and the same one for the same parts: a repeat
 * of a request must be the same bytes, or its idempotency key does not fit.
 */
static void choose_boundary(const struct akin_part *parts, size_t n_parts,
                            char out[32])
{
    unsigned i = 0;

    do
        snprintf(out, 32, "akin-boundary-%06u", i++);
    while (occurs(out, parts, n_parts));
}

enum akin_result akin_body_parts(const struct akin_part *parts, size_t n_parts,
                                 struct akin_body *out, struct akin_error *err)
{
    struct akin_body body = {0};
    char boundary[32];
    size_t len = 128;

    for (size_t i = 0; i < n_parts; i++)
        len += parts[i].head.len + parts[i].data.len + 256;
    body.data = malloc(len);
    if (body.data == NULL)
        return akin_no_memory(err);
    choose_boundary(parts, n_parts, boundary);
    for (size_t i = 0; i < n_parts; i++) {
        const struct akin_part *p = &parts[i];
        char head[256];

        snprintf(head, sizeof(head),
                 "%s--%s\r\n"
                 "Content-Disposition: form-data; name=\"%s\"%s%s%s\r\n"
                 "Content-Type: %s\r\n\r\n",
                 i > 0 ? "\r\n" : "", boundary, p->name,
                 p->is_file ? "; filename=\"" : "", p->is_file ? p->name : "",
                 p->is_file ? "\"" : "", p->content_type);
        put_text(&body, head);
        put(&body, p->head.data, p->head.len);
        put(&body, p->data.data, p->data.len);
    }
    put_text(&body, "\r\n--");
    put_text(&body, boundary);
    put_text(&body, "--\r\n");
    snprintf(body.content_type, sizeof(body.content_type),
             "multipart/form-data; boundary=%s", boundary);
    *out = body;
    return AKIN_OK;
}

/* A part that is an npy array; its header is made in `header`. */
static struct akin_part npy_part(const char *name, const char *descr, size_t n,
                                 size_t width, const void *data, size_t len,
                                 char header[NPY_MAX_HEADER])
{
    return (struct akin_part){
        .name = name,
        .content_type = "application/x-npy",
        .head = {header, npy_header(descr, n, width, header)},
        .data = {data, len},
    };
}

static struct akin_part json_part(const char *name, const char *text)
{
    return (struct akin_part){.name = name,
                              .content_type = "application/json",
                              .data = {text, strlen(text)}};
}

enum akin_result akin_body_rows(const struct akin_rows *rows,
                                struct akin_body *out, struct akin_error *err)
{
    struct akin_part parts[3];
    char headers[3][NPY_MAX_HEADER];
    size_t n = 1;
    char *labels = NULL;
    char *ids = NULL;
    enum akin_result result = check_rows(rows, err);

    if (result != AKIN_OK)
        return result;
    if (rows->vectors != NULL)
        parts[0] = npy_part("vectors", "<f4", rows->n, rows->dim, rows->vectors,
                            data_len(rows), headers[0]);
    else
        parts[0] = npy_part("codes", "|u1", rows->n, rows->dim, rows->codes,
                            data_len(rows), headers[0]);
    if (rows->label_texts != NULL) {
        labels = texts_json(rows->label_texts, rows->n);
        if (labels == NULL)
            return akin_fail(err, AKIN_EARGUMENT, "a label is not UTF-8");
        parts[n++] = json_part("labels", labels);
    } else if (rows->labels != NULL) {
        parts[n++] = npy_part("labels", "<i8", rows->n, 0, rows->labels,
                              8 * rows->n, headers[1]);
    }
    if (rows->id_texts != NULL) {
        ids = texts_json(rows->id_texts, rows->n);
        if (ids == NULL) {
            free(labels);
            return akin_fail(err, AKIN_EARGUMENT, "an id is not UTF-8");
        }
        parts[n++] = json_part("ids", ids);
    } else if (rows->ids != NULL) {
        parts[n++] = npy_part("ids", "<i8", rows->n, 0, rows->ids, 8 * rows->n,
                              headers[2]);
    }
    result = akin_body_parts(parts, n, out, err);
    free(labels);
    free(ids);
    return result;
}

char *akin_collection_path(const char *collection, const char *fmt, ...)
{
    char *segment = akin_path_segment(collection);
    char *rest = NULL;
    char *path = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&rest, fmt, ap);
    va_end(ap);
    if (n < 0)
        rest = NULL;
    if (segment != NULL && rest != NULL &&
        asprintf(&path, "/v1/collections/%s%s", segment, rest) < 0)
        path = NULL;
    free(segment);
    free(rest);
    return path;
}

json_t *akin_reply_json(const struct akin_reply *reply, struct akin_error *err)
{
    json_error_t why;
    json_t *root = json_loadb(reply->body, reply->len, 0, &why);

    if (json_is_object(root))
        return root;
    if (root == NULL)
        akin_fail(err, AKIN_EREPLY,
                  "the answer is no JSON: %s at byte %d of %zu", why.text,
                  why.position, reply->len);
    else
        akin_fail(err, AKIN_EREPLY, "the answer is no JSON object");
    json_decref(root);
    return NULL;
}

int64_t akin_json_integer(const json_t *object, const char *name,
                          int64_t missing)
{
    const json_t *value = json_object_get(object, name);

    return json_is_integer(value) ? (int64_t)json_integer_value(value)
                                  : missing;
}

enum akin_result akin_receipt_decode(const struct akin_reply *reply,
                                     struct akin_receipt *receipt,
                                     struct akin_error *err)
{
    json_t *root = akin_reply_json(reply, err);
    const char *state;
    bool has_seq;

    if (root == NULL)
        return AKIN_EREPLY;
    state = json_string_value(json_object_get(root, "state"));
    receipt->seq = akin_json_integer(root, "seq", -1);
    has_seq = receipt->seq >= 0 || json_is_null(json_object_get(root, "seq"));
    receipt->accepted = akin_json_integer(root, "accepted", -1);
    receipt->first_id = akin_json_integer(root, "first_id", -1);
    receipt->replayed = reply->replayed;
    snprintf(receipt->state, sizeof(receipt->state), "%s",
             state != NULL ? state : "");
    json_decref(root);
    if (!has_seq || receipt->accepted < 0)
        return akin_fail(err, AKIN_EREPLY,
                         "the answer to a batch names no seq or no count");
    return AKIN_OK;
}

enum akin_result akin_ingest(struct akin *client, const char *collection,
                             const struct akin_rows *rows, enum akin_ack ack,
                             const char *key, struct akin_receipt *receipt,
                             struct akin_error *err)
{
    static const char *const acks[] = {"durable", "learned", "visible"};
    struct akin_body body = {0};
    struct akin_reply reply = {0};
    struct akin_receipt got;
    char own[33];
    char *path = NULL;
    enum akin_result result;

    if ((size_t)ack >= sizeof(acks) / sizeof(acks[0]))
        return akin_fail(err, AKIN_EARGUMENT, "ack is %d, must be 0..2",
                         (int)ack);
    if (key == NULL) {
        result = akin_random_key(own, err);
        if (result != AKIN_OK)
            return result;
        key = own;
    }
    result = akin_body_rows(rows, &body, err);
    if (result != AKIN_OK)
        return result;
    path = akin_collection_path(collection, "/batches?ack=%s", acks[ack]);
    if (path == NULL) {
        result = akin_no_memory(err);
        goto out;
    }
    result = akin_send(client,
                       &(struct akin_request){
                           .method = "POST",
                           .path = path,
                           .content_type = body.content_type,
                           .pieces = &(struct akin_piece){body.data, body.len},
                           .n_pieces = 1,
                           .idempotency_key = key,
                       },
                       &reply, err);
    if (result == AKIN_OK)
        result = akin_receipt_decode(&reply, &got, err);
    if (result == AKIN_OK && receipt != NULL)
        *receipt = got;

out:
    akin_reply_clear(&reply);
    akin_body_clear(&body);
    free(path);
    return result;
}
