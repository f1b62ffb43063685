/* cmd_score.c -- `akin score`: how good a live collection is, and a picture. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/filebytes.h"
#include "client/json.h"
#include "client/score.h"
#include "client/sheet.h"
#include "client/table.h"
#include "core/image/encode.h"

/* Beside a query on the contact sheet. */
#define SHEET_HITS 10

static struct {
    const char *images;
    const char *labels;
    const char *label_names;
    uint64_t n;
    uint64_t seed;
    uint64_t k;
    const char *rerank;
    uint64_t oversample;
    const char *sheet;
    const char *database;
    uint64_t first_id;
    uint64_t rows;
    double min_map;
    double min_precision;
} o = {.n = 1000, .k = 10, .rows = 12, .min_map = 0, .min_precision = 0};

static const struct option options[] = {
    {"images", 'i', OPTION_FILE, "IDX", "test images, an idx file", &o.images,
     0, 0, NULL, NULL},
    {"labels", 'l', OPTION_FILE, "FILE", "their labels", &o.labels, 0, 0, NULL,
     NULL},
    {"label-names", 0, OPTION_FILE, "FILE",
     "one name a line, as given to `akin ingest`", &o.label_names, 0, 0, NULL,
     NULL},
    {"number", 'n', OPTION_NUMBER, "N", "queries, chosen by the seed (1000)",
     &o.n, 1, 1000000, NULL, NULL},
    {"seed", 0, OPTION_NUMBER, "N", "of the choice (0)", &o.seed, 0, 0, NULL,
     NULL},
    {"limit", 'k', OPTION_NUMBER, "K", "hits of a query (10)", &o.k, 1, 1000,
     NULL, NULL},
    {"rerank", 0, OPTION_CHOICE, NULL, "order the hits more finely", &o.rerank,
     0, 0, "asymmetric|feature", NULL},
    {"oversample", 0, OPTION_NUMBER, "N",
     "candidates of a rerank, for each hit wanted (4)", &o.oversample, 1,
     1000000, NULL, NULL},
    {"sheet", 0, OPTION_FILE, "FILE",
     "write a contact sheet, a PNG: queries and their hits", &o.sheet, 0, 0,
     NULL, NULL},
    {"rows", 0, OPTION_NUMBER, "N", "queries on the sheet (12)", &o.rows, 1,
     100, NULL, NULL},
    {"database-images", 0, OPTION_FILE, "IDX",
     "images of the hits; else made of stored vectors", &o.database, 0, 0, NULL,
     NULL},
    {"first-id", 0, OPTION_NUMBER, "N",
     "id of the first of the database images (0)", &o.first_id, 0, 0, NULL,
     NULL},
    {"min-map", 0, OPTION_REAL, "X", "end with 1 when the mAP is below",
     &o.min_map, 0, 1, NULL, NULL},
    {"min-precision", 0, OPTION_REAL, "X",
     "end with 1 when the precision is below", &o.min_precision, 0, 1, NULL,
     NULL},
    {0},
};

/* ---- the contact sheet ---------------------------------------------------- */

struct pictures {
    struct tool *tool;
    const char *collection;
    const struct score *score;
    struct ak_idx database;
    uint8_t *pixels; /* of one image, made of a vector */
};

static uint8_t to_byte(double value)
{
    long byte = lround(value * 255.0);

    return byte < 0 ? 0 : byte > 255 ? 255 : (uint8_t)byte;
}

/* A stored item as pixels, lent until the next call; NULL: there are none. */
static const uint8_t *hit_pixels(struct pictures *p, uint32_t item)
{
    const char *id = p->score->ids.texts[item];
    char *segment;
    json_t *root = NULL;
    const json_t *vector;
    uint64_t number;
    bool ok;

    if (p->database.data != NULL) {
        if (!number_parse(id, o.first_id, 0, &number) ||
            number - o.first_id >= p->database.dims[0])
            return NULL;
        return p->database.data +
               (size_t)(number - o.first_id) * p->database.item;
    }
    segment = akin_path_segment(id);
    if (segment == NULL)
        return NULL;
    ok = tool_call(p->tool, "GET",
                   akin_collection_path(p->collection, "/items/%s?with=vector",
                                        segment),
                   NULL, CALL_AGAIN, &root) == EXIT_OK;
    free(segment);
    vector = json_object_get(root, "vector");
    ok = ok && json_array_size(vector) == p->score->dim;
    for (size_t i = 0; ok && i < p->score->dim; i++)
        p->pixels[i] = to_byte(json_number_value(json_array_get(vector, i)));
    json_decref(root);
    return ok ? p->pixels : NULL;
}

/*
 * Rows of the sheet: one query of each label in turn, in the order of the
 * queries.  Returns how many; `rows` has room for o.rows.
 */
static size_t choose_rows(const struct score *s, size_t *rows)
{
    size_t n = 0;
    size_t before;
    size_t round = 0;

    do {
        before = n;
        for (uint32_t l = 0; l < s->labels.n && n < o.rows; l++) {
            size_t seen = 0;

            for (size_t q = 0; q < s->n_queries; q++)
                if (s->query_labels[q] == l && seen++ == round) {
                    rows[n++] = q;
                    break;
                }
        }
        round++;
    } while (n > before && n < o.rows);
    return n;
}

static void draw_row(struct sheet *sheet, unsigned row, struct pictures *p,
                     size_t q)
{
    const struct score *s = p->score;
    uint32_t label = s->query_labels[q];

    sheet_put(sheet, row, 0,
              s->images.data + (size_t)s->rows[q] * s->images.item,
              s->labels.texts[label], false);
    for (size_t i = 0; i < s->n_hits[q] && i < SHEET_HITS; i++) {
        const struct score_hit *hit = &s->hits[q * s->k + i];
        bool right = score_is_right(s, hit->item, label);
        const char *own =
            s->first[hit->item] < s->first[hit->item + 1]
                ? s->labels.texts[s->item_labels[s->first[hit->item]]]
                : "no label";

        sheet_put(sheet, row, (unsigned)i + 1, hit_pixels(p, hit->item),
                  right ? s->labels.texts[label] : own, !right);
    }
}

static int save_sheet(const struct sheet *sheet)
{
    struct ak_writer w = {0};
    struct ak_err err = {0};
    int code = EXIT_OK;

    if (ak_image_encode_png(sheet_image(sheet), &w, &err) != AK_OK)
        code = tool_usage("%s: %s", o.sheet, err.text);
    if (code == EXIT_OK)
        code = tool_write_file(o.sheet, w.data, w.len);
    ak_writer_clear(&w);
    return code;
}

static int make_sheet(struct tool *tool, const char *collection,
                      const struct score *s, const struct score_result *r)
{
    struct pictures p = {.tool = tool, .collection = collection, .score = s};
    struct ak_err err = {0};
    struct sheet *sheet = NULL;
    size_t *rows = calloc(o.rows + 1, sizeof(*rows));
    char title[128], note[192], count[CELL];
    size_t n = rows != NULL ? choose_rows(s, rows) : 0;
    unsigned hits = (unsigned)(s->k < SHEET_HITS ? s->k : SHEET_HITS);
    int code = EXIT_OK;

    p.pixels = malloc(s->dim + 1);
    if (n == 0 || p.pixels == NULL)
        code = tool_no_memory();
    if (code == EXIT_OK && o.database != NULL)
        code = idx_read(o.database, 3, &p.database);
    if (code == EXIT_OK && o.database != NULL && p.database.item != s->dim)
        code = tool_usage("%s: images of %zu pixels, %zu expected", o.database,
                          p.database.item, s->dim);
    if (code == EXIT_OK &&
        sheet_create((unsigned)n, hits, s->images.dims[2], s->images.dims[1],
                     &sheet, &err) != AK_OK)
        code = tool_usage("%s", err.text);
    if (code != EXIT_OK)
        goto out;
    snprintf(title, sizeof(title), "%.60s: queries and their %u nearest",
             collection, hits);
    snprintf(note, sizeof(note),
             "%s items, %u bits, model %lld   mAP %.3f   P@%zu %.3f   "
             "wrong ones framed",
             human_count(s->n_items, count), s->bits,
             (long long)s->model_version, r->map, s->k, r->precision);
    sheet_title(sheet, title, note);
    for (size_t i = 0; i < n; i++)
        draw_row(sheet, (unsigned)i, &p, rows[i]);
    code = save_sheet(sheet);

out:
    sheet_destroy(sheet);
    ak_idx_clear(&p.database);
    free(p.pixels);
    free(rows);
    return code;
}

/* ---- the report ----------------------------------------------------------- */

static int worse_first(const void *a, const void *b, void *context)
{
    const struct score_result *r = context;
    double x = r->label_map[*(const uint32_t *)a];
    double y = r->label_map[*(const uint32_t *)b];

    return x < y ? -1 : x > y ? 1 : 0;
}

static int print_labels(const struct score *s, const struct score_result *r)
{
    static const char *const titles[] = {"LABEL", ">QUERIES", ">mAP", ">P@K"};
    uint32_t *order = calloc(r->n_labels + 1u, sizeof(*order));
    struct table table;
    uint32_t n = 0;
    int code = EXIT_OK;

    if (order == NULL)
        return tool_no_memory();
    for (uint32_t l = 0; l < r->n_labels; l++)
        if (r->label_map[l] >= 0)
            order[n++] = l;
    qsort_r(order, n, sizeof(*order), worse_first,
            (void *)(uintptr_t)(const void *)r);
    table_init(&table, titles, 4);
    for (uint32_t i = 0; i < n && i < 12; i++) {
        uint32_t l = order[i];

        table_cell(&table, "%s", s->labels.texts[l]);
        table_cell(&table, "%zu", r->label_queries[l]);
        table_cell(&table, "%.3f", r->label_map[l]);
        table_cell(&table, "%.3f", r->label_precision[l]);
    }
    if (!table_print(&table, stdout, tool_colour(1)))
        code = tool_no_memory();
    if (n > 12)
        printf("and %u labels that are better\n", n - 12);
    table_clear(&table);
    free(order);
    return code;
}

static int print_report(const struct score *s, const struct score_result *r)
{
    char a[CELL], b[CELL];
    int code;

    printf("%s queries, %s items, %u bits, model version %lld\n\n",
           human_count(s->n_queries, a), human_count(s->n_items, b), s->bits,
           (long long)s->model_version);
    printf("mAP    %.4f   over the full ranking, ties averaged (%.4f in order "
           "of arrival)\n",
           r->map, r->map_ordered);
    snprintf(b, sizeof(b), "P@%zu", s->k);
    printf("%-6s %.4f   of the hits of live searches, %.2f ms a query in "
           "batches\n",
           b, r->precision, 1e3 * s->search_seconds / (double)s->n_queries);
    printf("%s of %s hits are at the distance of their codes\n\n",
           human_count(r->agreeing, a), human_count(r->hits, b));
    puts("worst labels first:");
    code = print_labels(s, r);
    return code;
}

static void print_json(const struct score *s, const struct score_result *r)
{
    json_t *labels = json_array();
    json_t *root;

    for (uint32_t l = 0; l < r->n_labels; l++)
        if (r->label_map[l] >= 0)
            json_array_append_new(
                labels,
                json_pack("{s:s,s:I,s:f,s:f}", "label", s->labels.texts[l],
                          "queries", (json_int_t)r->label_queries[l], "map",
                          r->label_map[l], "precision", r->label_precision[l]));
    root = json_pack("{s:I,s:I,s:i,s:I,s:f,s:f,s:f,s:I,s:I,s:I,s:f,s:o}",
                     "queries", (json_int_t)s->n_queries, "items",
                     (json_int_t)s->n_items, "bits", (int)s->bits,
                     "model_version", (json_int_t)s->model_version, "map",
                     r->map, "map_ordered", r->map_ordered, "precision",
                     r->precision, "k", (json_int_t)s->k, "hits",
                     (json_int_t)r->hits, "agreeing", (json_int_t)r->agreeing,
                     "search_seconds", s->search_seconds, "labels", labels);
    tool_print_json(root);
    json_decref(root);
}

/* EXIT_OK when the figures are what they must be. */
static int judge(const struct score_result *r)
{
    int code = EXIT_OK;

    if (r->agreeing != r->hits) {
        fprintf(stderr,
                "akin: %llu of %llu hits are not at the distance of their "
                "codes\n",
                (unsigned long long)(r->hits - r->agreeing),
                (unsigned long long)r->hits);
        code = EXIT_NEGATIVE;
    }
    if (r->map < o.min_map) {
        fprintf(stderr, "akin: mAP is %.4f, below %.4f\n", r->map, o.min_map);
        code = EXIT_NEGATIVE;
    }
    if (r->precision < o.min_precision) {
        fprintf(stderr, "akin: precision is %.4f, below %.4f\n", r->precision,
                o.min_precision);
        code = EXIT_NEGATIVE;
    }
    return code;
}

static int run_score(struct tool *tool, int argc, char **argv)
{
    struct score_params params = {.collection = argv[0],
                                  .images = o.images,
                                  .labels = o.labels,
                                  .label_names = o.label_names,
                                  .n = o.n,
                                  .seed = o.seed,
                                  .k = o.k,
                                  .rerank = o.rerank,
                                  .oversample = o.oversample};
    struct score score = {0};
    struct score_result result = {0};
    int code;

    (void)argc;
    if (o.images == NULL || o.labels == NULL)
        return tool_usage("--images and --labels are needed: what to ask, and "
                          "what is right");
    if (o.oversample != 0 && o.rerank == NULL)
        return tool_usage("--oversample is of a --rerank");
    code = score_fetch(tool, &params, &score);
    if (code == EXIT_OK)
        code = score_measure(&score, &result);
    if (code == EXIT_OK && tool->json)
        print_json(&score, &result);
    else if (code == EXIT_OK)
        code = print_report(&score, &result);
    if (code == EXIT_OK && o.sheet != NULL) {
        code = make_sheet(tool, argv[0], &score, &result);
        if (code == EXIT_OK)
            tool_note(tool, "contact sheet: %s", o.sheet);
    }
    if (code == EXIT_OK)
        code = judge(&result);
    score_result_clear(&result);
    score_clear(&score);
    return code;
}

const struct command cmd_score = {
    .name = "score",
    .synopsis = "COLLECTION --images IDX --labels FILE [OPTION]...",
    .summary = "the quality of a live collection, measured with test images",
    .about =
        "Asks the test images as queries and counts the right ones among the "
        "hits (P@K);\nfetches all stored codes and the queries' own, and ranks "
        "the whole collection\nfor each (mAP); checks that hits and codes "
        "agree. "
        "An item is right when it has\nthe label of the query.\n",
    .examples =
        "  akin score digits -i t10k-images-idx3-ubyte.gz -l "
        "t10k-labels-idx1-ubyte.gz\n"
        "  akin score digits -i images.idx -l labels.idx --sheet hits.png "
        "--min-map 0.8\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_score,
};
