/*
 * routes_extractors.c -- networks: listed, shown, imported, exported, removed.
 *
 * An import is written to a file as it comes.  A body that is no model file of
 * ours is read as safetensors of the architecture that is named, and becomes one
 * here; from then on both go the same way.
 */
#include "server/routes.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hex.h"
#include "core/base/mem.h"
#include "core/image/pixels.h"
#include "core/nn/import.h"
#include "core/nn/model.h"
#include "core/nn/zoo.h"
#include "server/config.h"
#include "server/cursor.h"
#include "server/extractor_files.h"
#include "server/extractors.h"
#include "server/limits.h"
#include "server/op.h"
#include "server/upload.h"

#define PAGE        100
#define TYPE        "application/octet-stream"
#define MAX_EXPORTS 4 /* each is a whole file in memory */

static atomic_uint exporting;

static const char *name_of(const struct ak_op *op)
{
    return ak_request_param(op->rq, "e");
}

/* --------------------------------------------------------------------- reading */

static void get_extractors(struct ak_request *rq)
{
    static const char *const names[] = {"cursor", "limit"};
    struct ak_op *op =
        ak_op_begin(rq, AK_OP_NO_COLLECTION, names, AK_COUNT(names));
    const char *text = ak_request_query(rq, "cursor");
    struct ak_cursor cursor = {0};
    char next[AK_CURSOR_TEXT];
    uint64_t limit;
    json_t *list;
    bool more;

    if (op == NULL || !ak_op_query_number(op, "limit", 1,
                                          ak_limits()->max_limit, PAGE, &limit))
        return;
    if (text != NULL && !ak_cursor_read(text, AK_CURSOR_EXTRACTORS, &cursor)) {
        ak_reply_problem(rq, "invalid-cursor",
                         "the cursor is not one of a list of extractors");
        return;
    }
    list = ak_extractors_list(ak_op_extractors(op), cursor.name, limit, &more);
    if (list != NULL && more) {
        const char *last = json_string_value(json_object_get(
            json_array_get(list, json_array_size(list) - 1), "name"));

        cursor = (struct ak_cursor){.kind = AK_CURSOR_EXTRACTORS};
        snprintf(cursor.name, sizeof(cursor.name), "%s", last);
        if (ak_cursor_write(&cursor, next) == NULL) {
            json_decref(list);
            list = NULL;
        }
    }
    ak_reply_json(rq, 200,
                  list != NULL ? json_pack("{s:o, s:s?}", "items", list,
                                           "next_cursor", more ? next : NULL)
                               : NULL);
}

static void reply_extractor(struct ak_op *op, unsigned status)
{
    struct ak_err err = {0};
    json_t *o = ak_extractors_json(ak_op_extractors(op), name_of(op), &err);

    if (o == NULL) {
        ak_op_fail(op, err.status, &err);
        return;
    }
    if (json_object_set_new(
            o, "collections",
            ak_extractors_users(ak_op_extractors(op), name_of(op))) != 0) {
        json_decref(o);
        o = NULL;
    }
    ak_reply_json(op->rq, status, o);
}

static void get_extractor(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_NO_COLLECTION, NULL, 0);

    if (op != NULL)
        reply_extractor(op, 200);
}

/* -------------------------------------------------------------------- exporting */

static void export_version(struct ak_op *op)
{
    const uint32_t *version = op->arg;
    struct ak_err err = {0};
    void *bytes = NULL;
    size_t len = 0;
    enum ak_status status = ak_extractors_read(
        ak_op_extractors(op), name_of(op), *version, &bytes, &len, &err);

    if (status == AK_ECORRUPT) {
        ak_reply_problem(op->rq, "state-conflict", "%s", err.text);
    } else if (status != AK_OK) {
        ak_op_fail(op, status, &err);
    } else {
        ak_reply_header(op->rq, "Content-Disposition",
                        "attachment; filename=\"%s-%" PRIu32 ".akx\"",
                        name_of(op), *version);
        ak_reply_bytes(op->rq, 200, TYPE, bytes, len);
    }
}

static void export_over(void *arg)
{
    (void)arg;
    atomic_fetch_sub(&exporting, 1);
}

static void get_export(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_NO_COLLECTION, NULL, 0);
    const char *text = ak_request_param(rq, "v");
    size_t digits = strlen(text);
    uint64_t version = 0;
    uint32_t *arg;

    if (op == NULL)
        return;
    if (digits >= 1 && digits <= 10 && text[0] != '0' &&
        strspn(text, "0123456789") == digits)
        version = strtoull(text, NULL, 10);
    arg = ak_arena_array(&op->arena, 1, sizeof(*arg));
    if (version == 0 || version > UINT32_MAX) {
        ak_reply_problem(rq, "not-found", "there is no such version");
    } else if (arg == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
    } else if (atomic_fetch_add(&exporting, 1) >= MAX_EXPORTS) {
        atomic_fetch_sub(&exporting, 1);
        ak_reply_problem(rq, "rate-limited", "%d exports are under way",
                         MAX_EXPORTS);
    } else {
        ak_request_on_end(rq, export_over, NULL);
        *arg = (uint32_t)version;
        op->arg = arg;
        ak_op_offload(op, export_version);
    }
}

/* --------------------------------------------------------------------- removing */

static void removed(void *arg, enum ak_status status, const struct ak_err *err)
{
    struct ak_op *op = arg;

    if (status == AK_OK)
        ak_reply_empty(op->rq, 204);
    else if (status == AK_EBUSY)
        ak_reply_problem(op->rq, "state-conflict", "%s", err->text);
    else
        ak_op_fail(op, status, err);
}

static void delete_extractor(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_NO_COLLECTION, NULL, 0);

    if (op != NULL)
        ak_extractors_remove(ak_op_extractors(op), name_of(op), removed, op);
}

/* -------------------------------------------------------------------- importing */

/* What was asked, as long as the request. */
struct import {
    struct ak_extractor_put put;
    const char *arch; /* NULL: the body is a model file */
    struct ak_op *op;
    char path[AK_EXTRACTORS_PATH];
};

static void imported(void *arg, enum ak_status status, uint32_t version,
                     const struct ak_err *err)
{
    struct import *im = arg;
    struct ak_op *op = im->op;

    switch (status) {
    case AK_OK:
        if (im->put.replayed)
            ak_reply_header(op->rq, "Idempotency-Replayed", "true");
        ak_reply_header(op->rq, "Location", "/v1/extractors/%s", name_of(op));
        ak_reply_header(op->rq, "Akin-Extractor-Version", "%" PRIu32, version);
        reply_extractor(op, im->put.added ? 201 : 200);
        break;
    case AK_EEXISTS:
        ak_reply_problem(op->rq, "idempotency-key-reused", "%s", err->text);
        break;
    case AK_EINVAL:
    case AK_ECORRUPT:
    case AK_ELIMIT:
    case AK_EUNSUPPORTED:
        ak_reply_problem(op->rq, "validation-failed", "%s", err->text);
        break;
    default:
        ak_op_fail(op, status, err);
    }
}

/* The model of a safetensors file, in bytes of our own. */
static enum ak_status convert(const struct import *im,
                              const struct ak_upload *upload,
                              struct ak_writer *out, struct ak_err *err)
{
    char hex[2 * AK_SHA256_LEN + 1], notes[AK_NN_NAME + 160];
    struct ak_safetensors st = {0};
    struct ak_model m = {0};
    uint8_t sha256[AK_SHA256_LEN];
    void *bytes = NULL;
    size_t len;
    enum ak_status status = ak_arch_graph(im->arch, 0, &m.g, err);

    if (status == AK_OK)
        status = ak_extractor_file_read(upload->path, UINT64_MAX, &bytes, &len,
                                        sha256, err);
    if (status == AK_OK)
        status = ak_safetensors_parse(bytes, len, &st, err);
    if (status == AK_OK &&
        (m.values = ak_array_new(m.g->n_values, sizeof(*m.values))) == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for a network");
    if (status == AK_OK && ak_safetensors_find(&st, "00_conv.weight") != NULL)
        status = ak_fail(err, AK_EINVAL,
                         "tensors that were quantised need the scales beside "
                         "them: make a model file with akin extractor import "
                         "--graph");
    if (status == AK_OK)
        status = ak_import_named(m.g, &st, m.values, err);
    ak_hex_encode(upload->sha256, AK_SHA256_LEN, hex);
    snprintf(notes, sizeof(notes),
             "arch: %s\nimported from: safetensors, SHA-256 %s\n", im->arch,
             hex);
    m.notes = notes;
    if (status == AK_OK)
        status = ak_model_write(&m, out, err);
    m.notes = NULL;
    ak_safetensors_clear(&st);
    free(bytes);
    ak_model_clear(&m);
    return status;
}

/* Whether the file begins as a model of ours. */
static bool is_model(const char *path)
{
    static const char magic[] = "AKINNET\n";
    char head[sizeof(magic) - 1];
    FILE *f = fopen(path, "rbe");
    bool is = f != NULL && fread(head, 1, sizeof(head), f) == sizeof(head) &&
              memcmp(head, magic, sizeof(head)) == 0;

    if (f != NULL)
        fclose(f);
    return is;
}

/* Key and body together, as of other requests. */
static enum ak_status take_fingerprint(struct import *im,
                                       const struct ak_upload *upload,
                                       struct ak_err *err)
{
    uint8_t head[AK_SHA256_LEN];
    const struct ak_piece pieces[] = {{head, sizeof(head)},
                                      {upload->sha256, sizeof(upload->sha256)}};
    enum ak_status status = ak_request_fingerprint(im->op->rq, head, err);

    if (status == AK_OK)
        status = ak_sha256(pieces, AK_COUNT(pieces), im->put.fingerprint, err);
    return status;
}

/* On the pool: all of the body is in the file. */
static void import_file(void *arg, const struct ak_upload *upload)
{
    struct import *im = arg;
    struct ak_op *op = im->op;
    struct ak_extractors *x = ak_op_extractors(op);
    struct ak_writer bytes = {0};
    struct ak_err err = {0};
    uint32_t version = 0;
    enum ak_status status = take_fingerprint(im, upload, &err);

    if (status == AK_OK)
        status = ak_extractors_replay(x, &im->put, &version, &err);
    if (status != AK_OK || version > 0) {
        im->put.replayed = status == AK_OK;
        imported(im, status, version, &err);
        return;
    }
    if (is_model(upload->path) != (im->arch == NULL)) {
        ak_op_fault(op, "/arch", "validation-failed",
                    im->arch == NULL
                        ? "the body is no model file of akin; of safetensors "
                          "say which architecture they are of: ?arch=resnet20"
                        : "a model file of akin says itself what it is");
        return;
    }
    im->put.file = upload->path;
    if (im->arch != NULL) {
        status = convert(im, upload, &bytes, &err);
        if (status == AK_OK)
            status = ak_extractors_room(x, im->path, &err);
        if (status == AK_OK)
            status =
                ak_extractor_file_write(im->path, bytes.data, bytes.len, &err);
        ak_writer_clear(&bytes);
        im->put.file = im->path;
    }
    if (status != AK_OK)
        imported(im, status, 0, &err);
    else
        ak_extractors_submit(x, &im->put, imported, im);
}

/* After the headers; false: it was answered. */
static bool read_import(struct ak_op *op, struct import *im)
{
    struct ak_op_key key;

    if (!ak_settings_good_name(name_of(op)) || ak_pixels_is_name(name_of(op))) {
        ak_op_fault(op, "/name", "validation-failed",
                    "is \"%.70s\", must match ^[a-z0-9][a-z0-9_-]{0,62}$ and "
                    "not begin with pixels-",
                    name_of(op));
        return false;
    }
    im->arch = ak_request_query(op->rq, "arch");
    if (im->arch != NULL && ak_arch_find(im->arch) == NULL) {
        ak_op_fault(op, "/arch", "unsupported-option",
                    "is \"%.60s\", which is no architecture that is known here",
                    im->arch);
        return false;
    }
    if (!ak_op_read_key(op, &key))
        return false;
    if (key.producer_seq > 0) {
        ak_op_fault(op, "/Akin-Producer", "validation-failed",
                    "is for batches; send an Idempotency-Key");
        return false;
    }
    im->op = op;
    im->put.name = name_of(op);
    im->put.key = key.key.data;
    return true;
}

static void put_import(struct ak_request *rq)
{
    static const char *const names[] = {"arch"};
    struct ak_op *op;
    struct import *im;
    struct ak_err err = {0};
    enum ak_status status;

    if (ak_request_complete(rq)) {
        ak_reply_problem(rq, "validation-failed",
                         "the body is empty; it is a model file of akin, or "
                         "safetensors");
        return;
    }
    if (strcmp(ak_request_type(rq), TYPE) != 0) {
        ak_reply_problem(rq, "unsupported-media-type", "accepted here: " TYPE);
        return;
    }
    op = ak_op_begin(rq, AK_OP_NO_COLLECTION, names, AK_COUNT(names));
    if (op == NULL)
        return;
    im = ak_arena_array(&op->arena, 1, sizeof(*im));
    if (im == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    if (!read_import(op, im))
        return;
    status = ak_extractors_room(ak_op_extractors(op), im->path, &err);
    if (status != AK_OK)
        ak_op_fail(op, status, &err);
    else
        ak_upload_begin(op, im->path,
                        ak_request_config(rq)->max_extractor_bytes, import_file,
                        im);
}

const struct ak_route ak_routes_extractors[] = {
    {"GET", "/v1/extractors", get_extractors, 0, "networks, by name"},
    {"GET", "/v1/extractors/{e}", get_extractor, 0,
     "a network's versions: what they are and cost, and who uses it"},
    {"DELETE", "/v1/extractors/{e}", delete_extractor, AK_ROUTE_DELETES,
     "remove a network that no collection uses"},
    {"PUT", "/v1/extractors/{e}/import", put_import,
     AK_ROUTE_WRITES | AK_ROUTE_STREAMS,
     "add a version: a model file, or safetensors of an architecture"},
    {"GET", "/v1/extractors/{e}/versions/{v}/export", get_export, 0,
     "the model file of a version"},
    {0},
};
