/* cmd_duplicates.c -- `akin duplicates`: stored items that are nearly the
   same. */
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/job.h"
#include "client/json.h"
#include "client/query.h"
#include "client/table.h"

#define IDS_WIDTH 60 /* of the ids of a cluster, more or less */

static struct {
    uint64_t max_distance, limit;
    double feature_distance, min_similarity;
    bool has_max_distance, has_limit, has_feature_distance, has_min_similarity;
    bool pairs;
    struct text_list labels, not_labels;
} o;

static const struct option options[] = {
    {"max-distance", 'd', OPTION_NUMBER, "N",
     "bits in which codes may differ (a sixteenth of them)", &o.max_distance, 0,
     1024, NULL, &o.has_max_distance},
    {"feature-distance", 0, OPTION_REAL, "X",
     "stored features must be as near, too", &o.feature_distance, 0, 0, NULL,
     &o.has_feature_distance},
    {"min-similarity", 0, OPTION_REAL, "X",
     "or their cosine at least so large, 0..1", &o.min_similarity, 0, 1, NULL,
     &o.has_min_similarity},
    {"limit", 'k', OPTION_NUMBER, "K", "clusters and pairs listed (100)",
     &o.limit, 1, 1000, NULL, &o.has_limit},
    {"label", 'l', OPTION_LIST, "LABEL",
     "only items with it; repeated: with any of them", &o.labels, 0, 0, NULL,
     NULL},
    {"not-label", 0, OPTION_LIST, "LABEL", "no item with it", &o.not_labels, 0,
     0, NULL, NULL},
    {"pairs", 0, OPTION_FLAG, NULL, "list the nearest pairs, not the clusters",
     &o.pairs, 0, 0, NULL, NULL},
    {0},
};

static json_t *params(void)
{
    json_t *root = json_object();
    json_t *filter = label_filter(&o.labels, &o.not_labels);

    if (o.has_max_distance)
        json_object_set_new(root, "max_distance",
                            json_integer((json_int_t)o.max_distance));
    if (o.has_limit)
        json_object_set_new(root, "limit", json_integer((json_int_t)o.limit));
    if (o.has_feature_distance)
        json_object_set_new(root, "feature_distance",
                            json_real(o.feature_distance));
    if (o.has_min_similarity)
        json_object_set_new(root, "min_similarity",
                            json_real(o.min_similarity));
    if (filter != NULL)
        json_object_set_new(root, "filter", filter);
    return root;
}

/* Ids with spaces between them, and how many more there are; free it. */
static char *ids_text(const json_t *ids, uint64_t size)
{
    char *text = NULL, *item;
    size_t len = 0, i, shown = 0;
    FILE *out = open_memstream(&text, &len);
    json_t *id;

    if (out == NULL)
        return NULL;
    json_array_foreach(ids, i, id)
    {
        if (ftell(out) > IDS_WIDTH)
            break;
        item = json_is_string(id) ? strdup(json_string_value(id))
                                  : json_dumps(id, JSON_ENCODE_ANY);
        fprintf(out, "%s%s", i > 0 ? " " : "", item != NULL ? item : "?");
        free(item);
        shown++;
    }
    if (shown < size)
        fprintf(out, "%sand %llu more", shown > 0 ? " " : "",
                (unsigned long long)(size - shown));
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static void add_ids(struct table *table, const json_t *ids, uint64_t size)
{
    char *text = ids_text(ids, size);

    table_cell(table, "%s", text != NULL ? text : "?");
    free(text);
}

static bool print_clusters(const json_t *result)
{
    static const char *const titles[] = {">SIZE", "ITEMS"};
    struct table table;
    char cell[CELL];
    json_t *cluster;
    bool printed;
    size_t i;

    table_init(&table, titles, 2);
    json_array_foreach(json_object_get(result, "clusters"), i, cluster)
    {
        table_cell(&table, "%s", cell_text(cluster, "size", cell));
        add_ids(&table, json_object_get(cluster, "ids"),
                (uint64_t)akin_json_integer(cluster, "size", 0));
    }
    printed = table_print(&table, stdout, tool_colour(1));
    table_clear(&table);
    return printed;
}

static bool print_pairs(const json_t *result)
{
    static const char *const titles[] = {">DISTANCE", "ITEMS", ">FEATURES"};
    bool features = o.has_feature_distance || o.has_min_similarity;
    struct table table;
    char cell[CELL];
    json_t *pair;
    bool printed;
    size_t i;

    table_init(&table, titles, features ? 3 : 2);
    json_array_foreach(json_object_get(result, "pairs"), i, pair)
    {
        const json_t *ids = json_object_get(pair, "ids");

        table_cell(&table, "%s", cell_text(pair, "distance", cell));
        add_ids(&table, ids, json_array_size(ids));
        if (features)
            table_cell(&table, "%s",
                       cell_text(pair,
                                 o.has_min_similarity ? "similarity"
                                                      : "feature_distance",
                                 cell));
    }
    printed = table_print(&table, stdout, tool_colour(1));
    table_clear(&table);
    return printed;
}

static uint64_t count_of(const json_t *result, const char *name)
{
    return (uint64_t)akin_json_integer(result, name, 0);
}

static int print_result(const struct tool *tool, const json_t *result)
{
    const char *what = o.pairs ? "pairs" : "clusters";
    const json_t *truncated = json_object_get(result, "truncated");
    char clusters[CELL], members[CELL], items[CELL];
    uint64_t all = count_of(result, "all_pairs");
    bool printed = true;

    if (count_of(result, "n_clusters") > 0)
        printed = o.pairs ? print_pairs(result) : print_clusters(result);
    if (json_is_true(json_object_get(truncated, what)))
        tool_note(tool, "akin: there are more %s; --limit shows more", what);
    tool_note(tool,
              "%s clusters of %s items, of %s; %.3g %% of all pairs compared",
              human_count(count_of(result, "n_clusters"), clusters),
              human_count(count_of(result, "in_clusters"), members),
              human_count(count_of(result, "items"), items),
              all > 0 ? 100 * (double)count_of(result, "compared") / (double)all
                      : 0.0);
    return printed ? EXIT_OK : tool_no_memory();
}

static int run_duplicates(struct tool *tool, int argc, char **argv)
{
    json_t *body = json_pack("{s:s, s:s, s:o}", "kind", "duplicates", "target",
                             argv[0], "params", params());
    json_t *job = NULL, *end = NULL;
    int code;

    (void)argc;
    if (body == NULL)
        return tool_no_memory();
    if (o.has_feature_distance && o.has_min_similarity) {
        json_decref(body);
        return tool_usage("say one of --feature-distance, --min-similarity");
    }
    code = tool_call(tool, "POST", strdup("/v1/jobs"), body, CALL_KEYED, &job);
    if (code != EXIT_OK)
        return code;
    code = job_follow(tool, (uint64_t)akin_json_integer(job, "id", 0), &end);
    json_decref(job);
    if (end == NULL)
        return code;
    if (!job_succeeded(end)) {
        job_print(tool, end);
        code = EXIT_NEGATIVE;
    } else if (tool->json) {
        tool_print_json(json_object_get(end, "result"));
    } else {
        code = print_result(tool, json_object_get(end, "result"));
    }
    json_decref(end);
    return code;
}

const struct command cmd_duplicates = {
    .name = "duplicates",
    .synopsis = "COLLECTION [OPTION]...",
    .summary = "stored items that are nearly the same",
    .about = "It is a job of the daemon, which goes on when the tool is ended; "
             "see akin job.\nEnds with 1 when the job failed or was "
             "cancelled.\n",
    .examples = "  akin duplicates shoes\n"
                "  akin duplicates shoes --max-distance 8 --min-similarity "
                ".98\n"
                "  akin duplicates shoes --label boot --pairs --json\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_duplicates,
};
