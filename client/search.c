/* search.c -- queries, their hits, and codes. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/json.h"
#include "client/npy.h"

/* A decimal of 64 bits with its sign and zero. */
#define ID_TEXT 24

/* What the texts of a list of hits live in. */
struct store {
    json_t *root;
    const char **labels;
    char *ids;
};

void akin_hits_clear(struct akin_hits *hits)
{
    struct store *store = hits->store;

    if (store != NULL) {
        json_decref(store->root);
        free(store->labels);
        free(store->ids);
        free(store);
    }
    free(hits->items);
    memset(hits, 0, sizeof(*hits));
}

static size_t count_labels(const json_t *items)
{
    size_t n = 0;
    size_t i;
    json_t *item;

    json_array_foreach(items, i, item) n +=
        json_array_size(json_object_get(item, "labels"));
    return n;
}

/* One hit; false when it lacks what the API promises. */
static int read_hit(const json_t *item, char *id, const char **labels,
                    struct akin_hit *hit)
{
    const json_t *value = json_object_get(item, "id");
    const json_t *distance = json_object_get(item, "distance");
    const json_t *list = json_object_get(item, "labels");

    if (json_is_integer(value)) {
        snprintf(id, ID_TEXT, "%lld", (long long)json_integer_value(value));
        hit->id = id;
    } else if (json_is_string(value)) {
        hit->id = json_string_value(value);
    } else {
        return 0;
    }
    if (!json_is_integer(distance) || json_integer_value(distance) < 0)
        return 0;
    hit->distance = (uint32_t)json_integer_value(distance);
    hit->score = json_number_value(json_object_get(item, "score"));
    hit->labels = labels;
    for (size_t i = 0; i < json_array_size(list); i++) {
        labels[i] = json_string_value(json_array_get(list, i));
        if (labels[i] == NULL)
            return 0;
        hit->n_labels++;
    }
    return 1;
}

/* `root` is one result; keeps a reference to it on success. */
static enum akin_result read_hits(json_t *root, int64_t model_version,
                                  struct akin_hits *out, struct akin_error *err)
{
    json_t *list = json_object_get(root, "items");
    size_t n = json_array_size(list);
    size_t n_labels = count_labels(list);
    const json_t *complete = json_object_get(root, "complete");
    struct akin_hits hits = {.n = n, .model_version = model_version};
    struct store *store = calloc(1, sizeof(*store));
    const char **labels;

    hits.items = calloc(n + 1, sizeof(*hits.items));
    hits.store = store;
    if (store != NULL) {
        store->labels = calloc(n_labels + 1, sizeof(*store->labels));
        store->ids = calloc(n + 1, ID_TEXT);
    }
    if (store == NULL || hits.items == NULL || store->labels == NULL ||
        store->ids == NULL) {
        akin_hits_clear(&hits);
        return akin_no_memory(err);
    }
    store->root = json_incref(root);
    hits.complete = !json_is_false(complete);
    hits.model_version =
        akin_json_integer(root, "model_version", model_version);
    if (!json_is_array(list)) {
        akin_hits_clear(&hits);
        return akin_fail(err, AKIN_EREPLY,
                         "the answer to a search holds no "
                         "`items`");
    }
    labels = store->labels;
    for (size_t i = 0; i < n; i++) {
        if (!read_hit(json_array_get(list, i), store->ids + i * ID_TEXT, labels,
                      &hits.items[i])) {
            akin_hits_clear(&hits);
            return akin_fail(err, AKIN_EREPLY,
                             "hit %zu of a search lacks its id or distance", i);
        }
        labels += hits.items[i].n_labels;
    }
    *out = hits;
    return AKIN_OK;
}

/* POST `body` to `path`, which is freed; NULL, with an error, on failure. */
static json_t *post(struct akin *client, char *path, const char *content_type,
                    const void *data, size_t len, int64_t *model_version,
                    enum akin_result *result, struct akin_error *err)
{
    struct akin_reply reply = {0};
    json_t *root = NULL;

    *result = path == NULL ? akin_no_memory(err) : AKIN_OK;
    if (*result == AKIN_OK)
        *result = akin_send(client,
                            &(struct akin_request){
                                .method = "POST",
                                .path = path,
                                .content_type = content_type,
                                .pieces = &(struct akin_piece){data, len},
                                .n_pieces = 1,
                                .repeatable = 1,
                            },
                            &reply, err);
    if (*result == AKIN_OK) {
        root = akin_reply_json(&reply, err);
        if (root == NULL)
            *result = AKIN_EREPLY;
        *model_version = reply.model_version;
    }
    akin_reply_clear(&reply);
    free(path);
    return root;
}

enum akin_result akin_search_vector(struct akin *client, const char *collection,
                                    const float *vector, size_t dim,
                                    unsigned limit, struct akin_hits *hits,
                                    struct akin_error *err)
{
    struct akin_body body = {0};
    int64_t version = -1;
    json_t *root;
    enum akin_result result = akin_body_npy(
        &(struct akin_rows){.n = 1, .dim = dim, .vectors = vector}, &body, err);

    if (result != AKIN_OK)
        return result;
    root = post(client,
                akin_collection_path(collection, "/search?limit=%u", limit),
                body.content_type, body.data, body.len, &version, &result, err);
    if (root != NULL)
        result = read_hits(root, version, hits, err);
    json_decref(root);
    akin_body_clear(&body);
    return result;
}

enum akin_result akin_search_id(struct akin *client, const char *collection,
                                int64_t id, const char *id_text, unsigned limit,
                                struct akin_hits *hits, struct akin_error *err)
{
    json_t *id_json = id_text != NULL ? json_string(id_text) : json_integer(id);
    json_t *query = json_pack("{s:{s:o?},s:i}", "query", "id", id_json, "limit",
                              (int)limit);
    char *text = query != NULL ? json_dumps(query, JSON_COMPACT) : NULL;
    enum akin_result result = AKIN_OK;
    int64_t version = -1;
    json_t *root = NULL;

    if (text == NULL)
        result = akin_fail(err, AKIN_EARGUMENT, "the id is not UTF-8");
    else
        root = post(client, akin_collection_path(collection, "/search"),
                    "application/json", text, strlen(text), &version, &result,
                    err);
    if (root != NULL)
        result = read_hits(root, version, hits, err);
    json_decref(root);
    json_decref(query);
    free(text);
    return result;
}

static char *batch_path(const char *collection,
                        const struct akin_search_options *o)
{
    if (o->rerank == NULL)
        return akin_collection_path(collection, "/search/batch?limit=%u",
                                    o->limit);
    if (o->oversample == 0)
        return akin_collection_path(collection,
                                    "/search/batch?limit=%u&rerank=%.32s",
                                    o->limit, o->rerank);
    return akin_collection_path(
        collection, "/search/batch?limit=%u&rerank=%.32s&oversample=%u",
        o->limit, o->rerank, o->oversample);
}

enum akin_result akin_search_rows(struct akin *client, const char *collection,
                                  const float *vectors, size_t n, size_t dim,
                                  const struct akin_search_options *options,
                                  struct akin_hits *hits,
                                  struct akin_error *err)
{
    struct akin_body body = {0};
    int64_t version = -1;
    json_t *root;
    json_t *list;
    enum akin_result result = akin_body_npy(
        &(struct akin_rows){.n = n, .dim = dim, .vectors = vectors}, &body,
        err);

    if (result != AKIN_OK)
        return result;
    root = post(client, batch_path(collection, options), body.content_type,
                body.data, body.len, &version, &result, err);
    akin_body_clear(&body);
    if (root == NULL)
        return result;
    list = json_object_get(root, "results");
    if (json_array_size(list) != n)
        result = akin_fail(err, AKIN_EREPLY,
                           "%zu results for a batch of %zu queries",
                           json_array_size(list), n);
    version = akin_json_integer(root, "model_version", version);
    for (size_t i = 0; result == AKIN_OK && i < n; i++) {
        result = read_hits(json_array_get(list, i), version, &hits[i], err);
        if (result != AKIN_OK)
            while (i-- > 0)
                akin_hits_clear(&hits[i]);
    }
    json_decref(root);
    return result;
}

enum akin_result akin_search_batch(struct akin *client, const char *collection,
                                   const float *vectors, size_t n, size_t dim,
                                   unsigned limit, struct akin_hits *hits,
                                   struct akin_error *err)
{
    return akin_search_rows(client, collection, vectors, n, dim,
                            &(struct akin_search_options){.limit = limit}, hits,
                            err);
}

enum akin_result akin_encode(struct akin *client, const char *collection,
                             const float *vectors, size_t n, size_t dim,
                             uint8_t **codes, size_t *code_len,
                             int64_t *model_version, struct akin_error *err)
{
    struct akin_rows rows = {.n = n, .dim = dim, .vectors = vectors};
    struct akin_body body = {0};
    struct akin_reply reply = {0};
    struct npy_view view;
    char *path = NULL;
    enum akin_result result = akin_body_npy(&rows, &body, err);

    if (result != AKIN_OK)
        return result;
    path = akin_collection_path(collection, "/encode");
    result = path == NULL ? akin_no_memory(err) : AKIN_OK;
    if (result != AKIN_OK)
        goto out;
    result = akin_send(client,
                       &(struct akin_request){
                           .method = "POST",
                           .path = path,
                           .content_type = body.content_type,
                           .accept = "application/x-npy",
                           .pieces = &(struct akin_piece){body.data, body.len},
                           .n_pieces = 1,
                           .repeatable = 1,
                       },
                       &reply, err);
    if (result == AKIN_OK)
        result = npy_parse(reply.body, reply.len, &view, err);
    if (result != AKIN_OK)
        goto out;
    if (view.item_len != 1 || view.n != n || view.width == 0) {
        result =
            akin_fail(err, AKIN_EREPLY, "%zu codes for %zu vectors", view.n, n);
        goto out;
    }
    *codes = malloc(n * view.width);
    if (*codes == NULL) {
        result = akin_no_memory(err);
        goto out;
    }
    memcpy(*codes, view.data, n * view.width);
    *code_len = view.width;
    *model_version = reply.model_version;

out:
    akin_reply_clear(&reply);
    akin_body_clear(&body);
    free(path);
    return result;
}
