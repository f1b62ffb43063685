#include "core/code/index_internal.h"

#include <string.h>

#include "core/base/mem.h"

enum ak_status ak_column_create(uint32_t bits, struct ak_column **out,
                                struct ak_err *err)
{
    struct ak_column *column = ak_array_new(1, sizeof(*column));

    if (column == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a column of codes");
    column->bits = bits;
    column->words = ak_code_words(bits);
    *out = column;
    return AK_OK;
}

void ak_column_destroy(struct ak_column *column)
{
    if (column == NULL)
        return;
    for (size_t i = 0; i < column->n_segments; i++)
        if (column->segments[i] != NULL)
            ak_ref_drop(&column->segments[i]->ref);
    if (column->slab != NULL)
        ak_ref_drop(&column->slab->ref);
    ak_array_free(column->segments);
    ak_array_free(column);
}

static enum ak_status reserve_places(struct ak_column *column, size_t wanted)
{
    size_t cap = wanted + wanted / 2 + 8;
    struct ak_codes **segments;

    if (wanted <= column->cap)
        return AK_OK;
    segments = ak_array_new(cap, sizeof(*segments));
    if (segments == NULL)
        return AK_ENOMEM;
    if (column->n_segments > 0)
        memcpy(segments, column->segments,
               column->n_segments * sizeof(*segments));
    ak_array_free(column->segments);
    column->segments = segments;
    column->cap = cap;
    return AK_OK;
}

/* Room for `n` rows more; segments that are not needed yet do no harm. */
static enum ak_status reserve(struct ak_column *column, size_t n)
{
    size_t wanted = ak_segments_of(column->rows + n);

    if (reserve_places(column, wanted) != AK_OK)
        return AK_ENOMEM;
    while (column->n_segments < wanted) {
        struct ak_codes *codes = ak_codes_new(column->words, &column->slab);

        if (codes == NULL)
            return AK_ENOMEM;
        column->segments[column->n_segments++] = codes;
    }
    return AK_OK;
}

enum ak_status ak_column_append(struct ak_column *column, const uint8_t *codes,
                                size_t n, struct ak_err *err)
{
    size_t len = ak_code_bytes(column->bits);
    uint64_t words[AK_CODE_MAX_WORDS];

    if (reserve(column, n) != AK_OK)
        return ak_fail(err, AK_ENOMEM, "no memory for the codes of %zu rows",
                       n);
    for (size_t i = 0; i < n; i++) {
        uint64_t row = column->rows + i;
        struct ak_codes *to = column->segments[row / AK_SEGMENT_ROWS];

        ak_code_load(codes + i * len, column->bits, words);
        ak_hamming_put(to->words, row % AK_SEGMENT_ROWS, column->words, words);
    }
    column->rows += n;
    return AK_OK;
}

enum ak_status ak_column_append_dead(struct ak_column *column,
                                     struct ak_err *err)
{
    size_t i = (size_t)(column->rows / AK_SEGMENT_ROWS);

    if (column->rows % AK_SEGMENT_ROWS != 0)
        return ak_fail(err, AK_EINVAL, "a segment behind %llu rows",
                       (unsigned long long)column->rows);
    if (reserve_places(column, i + 1) != AK_OK)
        return ak_fail(err, AK_ENOMEM, "no memory for a column of codes");
    /* What an append had reserved before it failed. */
    while (column->n_segments > i)
        ak_ref_drop(&column->segments[--column->n_segments]->ref);
    column->segments[column->n_segments++] = NULL;
    column->rows += AK_SEGMENT_ROWS;
    return AK_OK;
}

size_t ak_column_bytes(const struct ak_column *column)
{
    size_t bytes = sizeof(*column) + column->cap * sizeof(*column->segments);

    for (size_t i = 0; i < column->n_segments; i++)
        if (column->segments[i] != NULL)
            bytes += sizeof(struct ak_codes) + column->segments[i]->len;
    return bytes;
}

uint64_t ak_column_rows(const struct ak_column *column)
{
    return column->rows;
}
