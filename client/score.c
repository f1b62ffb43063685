#include "client/score.h"

#include <stdlib.h>
#include <string.h>

#include "client/filebytes.h"
#include "client/json.h"
#include "core/base/clock.h"
#include "core/base/hex.h"
#include "core/base/rng.h"
#include "core/eval/metrics.h"

/* Queries in one request: the API takes 1,024 and 32 MiB. */
#define CHUNK_ROWS  1024u
#define CHUNK_BYTES ((size_t)24 << 20)

void score_clear(struct score *s)
{
    ak_idx_clear(&s->images);
    names_clear(&s->labels);
    names_clear(&s->ids);
    free(s->rows);
    free(s->query_labels);
    free(s->query_codes);
    free(s->hits);
    free(s->n_hits);
    free(s->codes);
    free(s->item_labels);
    free(s->first);
    memset(s, 0, sizeof(*s));
}

bool score_is_right(const struct score *s, size_t item, uint32_t label)
{
    for (uint32_t i = s->first[item]; i < s->first[item + 1]; i++)
        if (s->item_labels[i] == label)
            return true;
    return false;
}

/* ---- queries ------------------------------------------------------------- */

/* As the daemon has them: a number is the label of its decimal text. */
static uint32_t label_number(struct score *s, const struct column *column,
                             size_t row)
{
    char text[24];

    if (column->texts != NULL)
        return names_add(&s->labels, column->texts[row]);
    snprintf(text, sizeof(text), "%lld", (long long)column->ints[row]);
    return names_add(&s->labels, text);
}

static int choose_queries(struct score *s, const struct score_params *p,
                          const struct column *labels)
{
    uint32_t n = s->images.dims[0];
    uint32_t *order = calloc(n + 1u, sizeof(*order));
    struct ak_rng rng;

    s->n_queries = p->n < n ? (size_t)p->n : n;
    s->rows = calloc(s->n_queries + 1, sizeof(*s->rows));
    s->query_labels = calloc(s->n_queries + 1, sizeof(*s->query_labels));
    if (order == NULL || s->rows == NULL || s->query_labels == NULL) {
        free(order);
        return tool_no_memory();
    }
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    ak_rng_init(&rng, ak_rng_derive(p->seed, "score"));
    ak_rng_shuffle(&rng, order, n);
    for (size_t i = 0; i < s->n_queries; i++) {
        s->rows[i] = order[i];
        s->query_labels[i] = label_number(s, labels, order[i]);
        if (s->query_labels[i] == NAMES_NONE) {
            free(order);
            return tool_no_memory();
        }
    }
    free(order);
    return EXIT_OK;
}

static int load_queries(struct score *s, const struct score_params *p)
{
    struct column labels = {0};
    int code = idx_read(p->images, 3, &s->images);

    if (code == EXIT_OK)
        code = column_load(p->labels, &labels);
    if (code == EXIT_OK && p->label_names != NULL)
        code = column_name(&labels, p->label_names);
    if (code == EXIT_OK && labels.n != s->images.dims[0])
        code = tool_usage("%s: %zu labels for the %u images of %s", p->labels,
                          labels.n, s->images.dims[0], p->images);
    if (code == EXIT_OK && s->images.item != s->dim)
        code = tool_usage("%s: images of %zu pixels, the collection takes "
                          "vectors of %zu",
                          p->images, s->images.item, s->dim);
    if (code == EXIT_OK)
        code = choose_queries(s, p, &labels);
    column_clear(&labels);
    return code;
}

static int look_at_collection(struct tool *tool, struct score *s,
                              const char *collection)
{
    json_t *root = NULL;
    int code =
        tool_call(tool, "GET", akin_collection_path(collection, "%s", ""), NULL,
                  CALL_AGAIN, &root);

    if (code != EXIT_OK)
        return code;
    s->bits = (uint32_t)akin_json_integer(root, "bits", 0);
    s->dim =
        (size_t)akin_json_integer(json_object_get(root, "features"), "dim", 0);
    json_decref(root);
    if (s->bits < 8 || s->bits > 1024 || s->bits % 8 != 0 || s->dim == 0)
        return tool_usage("collection %.63s takes no vectors, or tells no bits",
                          collection);
    return EXIT_OK;
}

/* ---- the database --------------------------------------------------------- */

static int grow(struct score *s)
{
    size_t cap = s->cap == 0 ? 4096 : 2 * s->cap;
    uint8_t *codes = realloc(s->codes, cap * (s->bits / 8));
    uint32_t *first;

    if (codes == NULL)
        return tool_no_memory();
    s->codes = codes;
    first = realloc(s->first, (cap + 1) * sizeof(*first));
    if (first == NULL)
        return tool_no_memory();
    s->first = first;
    s->first[0] = 0;
    s->cap = cap;
    return EXIT_OK;
}

static int add_label(struct score *s, const char *text)
{
    uint32_t number = names_add(&s->labels, text);

    if (s->n_item_labels == s->label_cap) {
        size_t cap = s->label_cap == 0 ? 4096 : 2 * s->label_cap;
        uint32_t *more = realloc(s->item_labels, cap * sizeof(*more));

        if (more == NULL)
            return tool_no_memory();
        s->item_labels = more;
        s->label_cap = cap;
    }
    if (number == NAMES_NONE)
        return tool_no_memory();
    s->item_labels[s->n_item_labels++] = number;
    return EXIT_OK;
}

static const char *id_text(const json_t *id, char out[CELL])
{
    if (json_is_string(id))
        return json_string_value(id);
    snprintf(out, CELL, "%lld", (long long)json_integer_value(id));
    return out;
}

static int add_item(void *context, json_t *item)
{
    struct score *s = context;
    const json_t *code = json_object_get(item, "code");
    size_t len = s->bits / 8;
    char id[CELL];
    size_t i;
    json_t *label;

    if (s->n_items == s->cap && grow(s) != EXIT_OK)
        return EXIT_NEGATIVE;
    if (!json_is_string(code) ||
        !ak_hex_decode(json_string_value(code), json_string_length(code),
                       s->codes + s->n_items * len, len))
        return tool_usage("item %s came without a code of %u bits",
                          id_text(json_object_get(item, "id"), id), s->bits);
    if (names_add(&s->ids, id_text(json_object_get(item, "id"), id)) !=
        s->n_items)
        return tool_usage("item %s came twice",
                          id_text(json_object_get(item, "id"), id));
    json_array_foreach(json_object_get(item, "labels"), i, label)
    {
        if (!json_is_string(label) ||
            add_label(s, json_string_value(label)) != EXIT_OK)
            return EXIT_NEGATIVE;
    }
    s->first[++s->n_items] = (uint32_t)s->n_item_labels;
    return EXIT_OK;
}

/* ---- asking --------------------------------------------------------------- */

static int keep_hits(struct score *s, size_t query,
                     const struct akin_hits *hits)
{
    for (size_t i = 0; i < hits->n && i < s->k; i++) {
        struct score_hit *hit = &s->hits[query * s->k + i];

        hit->item = names_find(&s->ids, hits->items[i].id);
        hit->distance = hits->items[i].distance;
        if (hit->item == NAMES_NONE)
            return tool_usage("hit %s is not among the stored items; was the "
                              "collection written to meanwhile?",
                              hits->items[i].id);
        s->n_hits[query]++;
    }
    return EXIT_OK;
}

static int same_version(struct score *s, int64_t version)
{
    if (s->model_version < 0)
        s->model_version = version;
    if (s->model_version == version)
        return EXIT_OK;
    fprintf(stderr,
            "akin: a new model was published while the score was taken (%lld, "
            "then %lld); run it again\n",
            (long long)s->model_version, (long long)version);
    return EXIT_NEGATIVE;
}

static int ask(struct tool *tool, struct score *s, const struct score_params *p,
               size_t first, size_t n, float *x)
{
    const struct akin_search_options options = {.limit = (unsigned)s->k,
                                                .rerank = p->rerank,
                                                .oversample =
                                                    (unsigned)p->oversample};
    const char *collection = p->collection;
    struct akin_error err = {0};
    struct akin_hits *hits = calloc(n, sizeof(*hits));
    uint8_t *codes = NULL;
    size_t len = s->bits / 8;
    size_t code_len = 0;
    int64_t version = -1;
    uint64_t began;
    int code = EXIT_OK;

    if (hits == NULL)
        return tool_no_memory();
    for (size_t i = 0; i < n; i++)
        ak_idx_floats(s->images.data +
                          (size_t)s->rows[first + i] * s->images.item,
                      s->dim, x + i * s->dim);
    began = ak_clock_ns();
    if (akin_search_rows(tool->client, collection, x, n, s->dim, &options, hits,
                         &err) != AKIN_OK) {
        code = tool_failure(tool, &err);
        free(hits);
        return code;
    }
    s->search_seconds += (double)(ak_clock_ns() - began) * 1e-9;
    for (size_t i = 0; i < n; i++) {
        if (code == EXIT_OK)
            code = keep_hits(s, first + i, &hits[i]);
        if (code == EXIT_OK)
            code = same_version(s, hits[i].model_version);
        akin_hits_clear(&hits[i]);
    }
    free(hits);
    if (code == EXIT_OK &&
        akin_encode(tool->client, collection, x, n, s->dim, &codes, &code_len,
                    &version, &err) != AKIN_OK)
        code = tool_failure(tool, &err);
    if (code == EXIT_OK && code_len != len)
        code = tool_usage("codes of %zu bytes, %zu expected", code_len, len);
    if (code == EXIT_OK && version >= 0)
        code = same_version(s, version);
    if (code == EXIT_OK)
        memcpy(s->query_codes + first * len, codes, n * len);
    free(codes);
    return code;
}

static int ask_all(struct tool *tool, struct score *s,
                   const struct score_params *p)
{
    size_t step = CHUNK_BYTES / (s->dim * sizeof(float));
    float *x;
    int code = EXIT_OK;

    step = step > CHUNK_ROWS ? CHUNK_ROWS : step < 1 ? 1 : step;
    x = calloc(step, s->dim * sizeof(*x));
    s->query_codes = calloc(s->n_queries + 1, s->bits / 8);
    s->hits = calloc(s->n_queries * s->k + 1, sizeof(*s->hits));
    s->n_hits = calloc(s->n_queries + 1, sizeof(*s->n_hits));
    if (x == NULL || s->query_codes == NULL || s->hits == NULL ||
        s->n_hits == NULL)
        code = tool_no_memory();
    for (size_t i = 0; i < s->n_queries && code == EXIT_OK; i += step)
        code = ask(tool, s, p, i,
                   s->n_queries - i < step ? s->n_queries - i : step, x);
    free(x);
    return code;
}

int score_fetch(struct tool *tool, const struct score_params *p,
                struct score *out)
{
    int code;

    memset(out, 0, sizeof(*out));
    out->k = (size_t)p->k;
    out->model_version = -1;
    code = tool_connect(tool);
    if (code == EXIT_OK)
        code = look_at_collection(tool, out, p->collection);
    if (code == EXIT_OK)
        code = load_queries(out, p);
    if (code == EXIT_OK)
        code = grow(out);
    if (code == EXIT_OK)
        code = tool_list(
            tool,
            akin_collection_path(p->collection, "/items?limit=1000&with=code"),
            add_item, out);
    if (code == EXIT_OK && out->n_items == 0)
        code = tool_usage("collection %.63s is empty", p->collection);
    if (code == EXIT_OK)
        code = ask_all(tool, out, p);
    return code;
}

/* ---- measuring ------------------------------------------------------------ */

static uint32_t distance(const uint8_t *a, const uint8_t *b, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += (uint32_t)__builtin_popcount(a[i] ^ b[i]);
    return sum;
}

static void measure_hits(const struct score *s, struct score_result *r)
{
    size_t len = s->bits / 8;
    double sum = 0;

    for (size_t q = 0; q < s->n_queries; q++) {
        size_t right = 0;

        for (size_t i = 0; i < s->n_hits[q]; i++) {
            const struct score_hit *hit = &s->hits[q * s->k + i];

            right += score_is_right(s, hit->item, s->query_labels[q]);
            r->hits++;
            r->agreeing +=
                hit->distance == distance(s->query_codes + q * len,
                                          s->codes + hit->item * len, len);
        }
        if (s->n_hits[q] > 0) {
            double precision = (double)right / (double)s->n_hits[q];

            sum += precision;
            r->label_precision[s->query_labels[q]] += precision;
        }
        r->label_queries[s->query_labels[q]]++;
    }
    r->precision = sum / (double)s->n_queries;
    for (uint32_t l = 0; l < r->n_labels; l++)
        if (r->label_queries[l] > 0)
            r->label_precision[l] /= (double)r->label_queries[l];
}

/* The queries of one label, ranked; adds to the sums over all. */
static int measure_label(const struct score *s, uint32_t label, uint8_t *codes,
                         uint32_t *labels, uint32_t *first, double sums[3],
                         struct score_result *r)
{
    const struct ak_eval_params params = {.bits = s->bits};
    struct ak_eval_items queries = {
        .codes = codes, .labels = labels, .first = first};
    struct ak_eval_items database = {.codes = s->codes,
                                     .labels = s->item_labels,
                                     .first = s->first,
                                     .n = s->n_items};
    struct ak_eval_result result;
    struct ak_err err = {0};
    size_t len = s->bits / 8;

    r->label_map[label] = -1;
    for (size_t q = 0; q < s->n_queries; q++) {
        if (s->query_labels[q] != label)
            continue;
        memcpy(codes + queries.n * len, s->query_codes + q * len, len);
        labels[queries.n] = label;
        first[queries.n] = (uint32_t)queries.n;
        queries.n++;
        first[queries.n] = (uint32_t)queries.n;
    }
    if (queries.n == 0)
        return EXIT_OK;
    if (ak_eval_rank(&params, &queries, &database, &result, &err) != AK_OK)
        return tool_usage("%s", err.text);
    if (result.queries == 0)
        return EXIT_OK;
    r->label_map[label] = result.map;
    sums[0] += (double)result.queries;
    sums[1] += (double)result.queries * result.map;
    sums[2] += (double)result.queries * result.map_ordered;
    return EXIT_OK;
}

int score_measure(const struct score *s, struct score_result *out)
{
    struct score_result r = {.n_labels = s->labels.n};
    uint8_t *codes = calloc(s->n_queries + 1, s->bits / 8);
    uint32_t *labels = calloc(s->n_queries + 1, sizeof(*labels));
    uint32_t *first = calloc(s->n_queries + 1, sizeof(*first));
    double sums[3] = {0};
    int code = EXIT_OK;

    r.label_map = calloc(r.n_labels + 1u, sizeof(*r.label_map));
    r.label_precision = calloc(r.n_labels + 1u, sizeof(*r.label_precision));
    r.label_queries = calloc(r.n_labels + 1u, sizeof(*r.label_queries));
    if (codes == NULL || labels == NULL || first == NULL ||
        r.label_map == NULL || r.label_precision == NULL ||
        r.label_queries == NULL)
        code = tool_no_memory();
    if (code == EXIT_OK)
        measure_hits(s, &r);
    for (uint32_t l = 0; l < r.n_labels && code == EXIT_OK; l++)
        code = measure_label(s, l, codes, labels, first, sums, &r);
    if (code == EXIT_OK && sums[0] > 0) {
        r.map = sums[1] / sums[0];
        r.map_ordered = sums[2] / sums[0];
    }
    free(codes);
    free(labels);
    free(first);
    if (code == EXIT_OK)
        *out = r;
    else
        score_result_clear(&r);
    return code;
}

void score_result_clear(struct score_result *r)
{
    free(r->label_map);
    free(r->label_precision);
    free(r->label_queries);
    memset(r, 0, sizeof(*r));
}
