/* problem.c -- errors: our own texts, and the daemon's problem documents. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/error.h"

static const char *const result_names[] = {
    [AKIN_OK] = "ok",
    [AKIN_EARGUMENT] = "argument",
    [AKIN_ECONNECT] = "connect",
    [AKIN_ETIMEOUT] = "timeout",
    [AKIN_EAUTH] = "auth",
    [AKIN_EPROBLEM] = "problem",
    [AKIN_EREPLY] = "reply",
    [AKIN_ENOMEM] = "no_memory",
};

#define SLUG_PREFIX "urn:akin:problem:"

const char *akin_result_name(enum akin_result result)
{
    size_t i = (size_t)result;

    if (i >= sizeof(result_names) / sizeof(result_names[0]))
        return "unknown";
    return result_names[i];
}

enum akin_result akin_fail(struct akin_error *err, enum akin_result result,
                           const char *fmt, ...)
{
    va_list ap;

    if (err == NULL)
        return result;
    memset(err, 0, sizeof(*err));
    err->result = result;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    return result;
}

enum akin_result akin_no_memory(struct akin_error *err)
{
    return akin_fail(err, AKIN_ENOMEM, "no memory");
}

/* Texts of the daemon end on a terminal: no control byte passes. */
static void copy_text(const char *text, char *out, size_t cap)
{
    size_t n = 0;

    for (; text != NULL && *text != '\0' && n + 1 < cap; text++)
        out[n++] = (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text;
    /* Cut between characters, not inside one. */
    if (text != NULL && *text != '\0')
        while (n > 0 && ((unsigned char)*text & 0xc0) == 0x80) {
            n--;
            text--;
        }
    out[n] = '\0';
}

static void copy_member(const json_t *object, const char *name, char *out,
                        size_t cap)
{
    copy_text(json_string_value(json_object_get(object, name)), out, cap);
}

static void copy_fields(const json_t *list, struct akin_error *err)
{
    size_t i;
    json_t *item;

    json_array_foreach(list, i, item)
    {
        struct akin_field_error *field = &err->fields[err->n_fields];

        if (err->n_fields == AKIN_MAX_FIELD_ERRORS)
            break;
        copy_member(item, "pointer", field->pointer, sizeof(field->pointer));
        copy_member(item, "code", field->code, sizeof(field->code));
        copy_member(item, "detail", field->detail, sizeof(field->detail));
        err->n_fields++;
    }
}

static void decode_document(const struct akin_reply *reply,
                            struct akin_error *err)
{
    json_t *root = json_loadb(reply->body, reply->len, 0, NULL);
    const char *type;

    if (!json_is_object(root)) {
        json_decref(root);
        return;
    }
    type = json_string_value(json_object_get(root, "type"));
    if (type != NULL && strncmp(type, SLUG_PREFIX, strlen(SLUG_PREFIX)) == 0)
        type += strlen(SLUG_PREFIX);
    copy_text(type, err->slug, sizeof(err->slug));
    copy_member(root, "title", err->title, sizeof(err->title));
    copy_member(root, "detail", err->detail, sizeof(err->detail));
    copy_member(root, "request_id", err->request_id, sizeof(err->request_id));
    err->expected = json_integer_value(json_object_get(root, "expected"));
    copy_fields(json_object_get(root, "errors"), err);
    json_decref(root);
}

enum akin_result akin_problem_decode(const struct akin_reply *reply,
                                     struct akin_error *err)
{
    enum akin_result result = reply->status == 401 || reply->status == 403
                                  ? AKIN_EAUTH
                                  : AKIN_EPROBLEM;

    if (reply->status < 400)
        return akin_fail(err, AKIN_EREPLY, "status %d is no problem",
                         reply->status);
    if (err == NULL)
        return result;
    memset(err, 0, sizeof(*err));
    err->result = result;
    err->status = reply->status;
    if (reply->body != NULL)
        decode_document(reply, err);
    if (err->title[0] == '\0')
        snprintf(err->title, sizeof(err->title), "HTTP status %d",
                 reply->status);
    if (err->request_id[0] == '\0')
        copy_text(reply->request_id, err->request_id, sizeof(err->request_id));
    snprintf(err->text, sizeof(err->text), "%s%s%s%s%s%s%s%s", err->title,
             err->detail[0] != '\0' ? ": " : "", err->detail,
             err->slug[0] != '\0' ? " [" : "", err->slug,
             err->slug[0] != '\0' ? "]" : "",
             err->request_id[0] != '\0' ? " " : "", err->request_id);
    return result;
}
