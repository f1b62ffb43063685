/*
 * A filter that is accepted keeps, in a search of a small index, the rows that
 * a slow reading of its JSON keeps; one that is refused says where.
 */
#include <string.h>

#include "core/code/index.h"
#include "server/filter_json.h"
#include "tests/fuzz/fuzz.h"

/* Row i has the id i, or "i<i>", and the labels "l<i % 3>" and "l<3 + i % 2>";
   every seventh is dead. */
enum { ROWS = 40, LABELS = 5 };

static bool label_number(void *arg, const char *name, size_t len,
                         uint32_t *number)
{
    (void)arg;
    if (len != 2 || name[0] != 'l' || name[1] < '0' || name[1] >= '0' + LABELS)
        return false;
    *number = (uint32_t)(name[1] - '0');
    return true;
}

static bool row_of(const struct ak_row_id *id, uint64_t *row)
{
    char text[8];

    for (*row = 0; *row < ROWS; ++*row) {
        snprintf(text, sizeof(text), "i%u", (unsigned)*row);
        if (id->text != NULL ? id->len == strlen(text) &&
                                   memcmp(id->text, text, id->len) == 0
                             : id->number == *row)
            return true;
    }
    return false;
}

static enum ak_status rows_of(void *arg, const struct ak_row_id *ids, size_t n,
                              uint64_t *ordinals, size_t *n_rows,
                              struct ak_err *err)
{
    (void)arg;
    (void)err;
    *n_rows = 0;
    for (size_t i = 0; i < n; i++)
        *n_rows += row_of(&ids[i], &ordinals[*n_rows]);
    return AK_OK;
}

static struct ak_snapshot *index_of_rows(void)
{
    static struct ak_index *ix;
    static struct ak_snapshot *s;
    struct ak_id ids[ROWS] = {{0}};
    uint32_t labels[2 * ROWS], first[ROWS + 1] = {0};
    uint8_t codes[ROWS];
    bool dead[ROWS];

    if (s != NULL)
        return s;
    for (uint32_t i = 0; i < ROWS; i++) {
        ids[i].number = i;
        labels[2 * i] = i % 3;
        labels[2 * i + 1] = 3 + i % 2;
        first[i + 1] = 2 * i + 2;
        codes[i] = (uint8_t)i;
        dead[i] = i % 7 == 6;
    }
    FUZZ_CHECK(ak_index_create(8, AK_ID_INTEGER, &ix, NULL) == AK_OK);
    FUZZ_CHECK(ak_index_append(ix,
                               &(struct ak_index_batch){ROWS, ids, labels,
                                                        first, codes, dead},
                               NULL) == AK_OK);
    FUZZ_CHECK(ak_index_commit(ix, NULL) == AK_OK);
    s = ak_index_snapshot(ix);
    ak_index_destroy(ix);
    return s;
}

/* ------------------------------------------------------- the slow reading */

static bool has_label(uint64_t row, const json_t *label)
{
    char text[32];
    const char *name = json_string_value(label);
    size_t len = json_string_length(label);
    uint32_t number;

    if (json_is_integer(label)) {
        snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT,
                 json_integer_value(label));
        name = text;
        len = strlen(text);
    }
    return label_number(NULL, name, len, &number) &&
           (number == row % 3 || number == 3 + row % 2);
}

static bool is_id(uint64_t row, const json_t *id)
{
    char text[8];

    snprintf(text, sizeof(text), "i%u", (unsigned)row);
    if (json_is_integer(id))
        return json_integer_value(id) == (json_int_t)row;
    return json_string_length(id) == strlen(text) &&
           strcmp(json_string_value(id), text) == 0;
}

static bool holds(uint64_t row, const json_t *condition)
{
    const json_t *any = json_object_get(condition, "labels_any"),
                 *ids = json_object_get(condition, "ids"),
                 *label = json_object_get(condition, "label");

    if (label != NULL)
        return has_label(row, label);
    for (size_t i = 0; i < json_array_size(any); i++)
        if (has_label(row, json_array_get(any, i)))
            return true;
    for (size_t i = 0; i < json_array_size(ids); i++)
        if (is_id(row, json_array_get(ids, i)))
            return true;
    return false;
}

static size_t n_that_hold(uint64_t row, const json_t *filter,
                          const char *clause)
{
    const json_t *list = json_object_get(filter, clause);
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(list); i++)
        n += holds(row, json_array_get(list, i));
    return n;
}

static bool passes(uint64_t row, const json_t *filter)
{
    size_t n_must = json_array_size(json_object_get(filter, "must")),
           n_should = json_array_size(json_object_get(filter, "should"));

    return row % 7 != 6 && n_that_hold(row, filter, "must") == n_must &&
           (n_should == 0 || n_that_hold(row, filter, "should") > 0) &&
           n_that_hold(row, filter, "must_not") == 0;
}

/* ------------------------------------------------------------- the harness */

static void search(const json_t *json, const struct ak_filter *filter)
{
    const uint8_t query = 0;
    const struct ak_search q = {.codes = &query,
                                .n = 1,
                                .limit = ROWS,
                                .max_distance = UINT32_MAX,
                                .filter = filter};
    struct ak_search_result result;
    struct ak_hit hits[ROWS];
    bool found[ROWS] = {false};

    FUZZ_CHECK(ak_snapshot_search(index_of_rows(), &q, hits, &result, NULL) ==
               AK_OK);
    for (size_t i = 0; i < result.n_hits; i++) {
        FUZZ_CHECK(!found[hits[i].ordinal]);
        found[hits[i].ordinal] = true;
    }
    for (uint64_t row = 0; row < ROWS; row++)
        FUZZ_CHECK(found[row] == passes(row, json));
}

static void read_as(const json_t *json, bool string_ids)
{
    const struct ak_settings settings = {.bits = 8, .string_ids = string_ids};
    const struct ak_filter_names names = {NULL, label_number, rows_of};
    struct ak_arena arena = {0};
    struct ak_faults faults = {.n = 0};
    struct ak_filter_text *text;
    const struct ak_filter *filter;

    if (ak_filter_read(json, "/filter", &settings, &arena, &text, &faults) ==
        AK_OK) {
        FUZZ_CHECK(ak_faults_none(&faults));
        FUZZ_CHECK(ak_filter_bind(text, &names, &arena, &filter, NULL) ==
                   AK_OK);
        FUZZ_CHECK((filter == NULL) == json_is_null(json));
        search(json, filter);
    } else {
        FUZZ_CHECK(text == NULL && faults.n > 0);
        FUZZ_CHECK(strncmp(faults.list[0].pointer, "/filter", 7) == 0);
    }
    ak_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *json = json_loadb(
        (const char *)data, size,
        JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

    if (json == NULL)
        return 0;
    read_as(json, false);
    read_as(json, true);
    json_decref(json);
    return 0;
}
