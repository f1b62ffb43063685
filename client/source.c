/* source.c -- kinds of sources, and how rows become numbered batches. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/source_ops.h"
#include "client/tool.h"
#include "core/base/digest.h"
#include "core/base/hex.h"
#include "core/base/rng.h"

/* Of a file, to tell it from others. */
#define IDENTITY_BYTES 65536

static bool ends_with(const char *path, const char *ending)
{
    size_t len = strlen(path);
    size_t n = strlen(ending);

    return len > n && strcmp(path + len - n, ending) == 0;
}

static bool is_lines(const char *path)
{
    static const char *const endings[] = {".ndjson", ".jsonl", ".ndjson.gz",
                                          ".jsonl.gz", ".json"};

    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
        if (ends_with(path, endings[i]))
            return true;
    return false;
}

static int make_order(struct source *source)
{
    struct ak_rng rng;
    uint32_t n = (uint32_t)source->n_rows;

    source->order = malloc((source->n_rows + 1) * sizeof(*source->order));
    if (source->order == NULL)
        return tool_no_memory();
    for (uint32_t i = 0; i < n; i++)
        source->order[i] = i;
    if (!source->params.in_order) {
        ak_rng_init(&rng, ak_rng_derive(source->params.seed, "ingest"));
        ak_rng_shuffle(&rng, source->order, n);
    }
    return EXIT_OK;
}

/* Cut the order into batches of at most so many rows and so many bytes. */
static int make_batches(struct source *source)
{
    const struct source_params *p = &source->params;
    uint64_t rows = 0;
    size_t bytes = 0;

    source->starts = malloc((source->n_rows + 2) * sizeof(*source->starts));
    if (source->starts == NULL)
        return tool_no_memory();
    source->starts[0] = 0;
    for (uint64_t i = 0; i < source->n_rows; i++) {
        size_t len = source->ops->row_len(source, source->order[i]);

        if (rows > 0 && (rows == p->batch || bytes + len > p->max_bytes)) {
            source->starts[++source->n_batches] = i;
            rows = 0;
            bytes = 0;
        }
        rows++;
        bytes += len;
    }
    if (rows > 0)
        source->starts[++source->n_batches] = source->n_rows;
    return EXIT_OK;
}

int source_open(const struct source_params *params, struct source **out)
{
    struct source *source = NULL;
    const char *first = params->files[0];
    struct stat st;
    int code;

    if (strcmp(first, "-") == 0) {
        if (params->n_files > 1)
            return tool_usage("- stands alone, not among files");
        return stream_open(params, out);
    }
    if (stat(first, &st) != 0)
        return tool_usage("%s: %s", first, strerror(errno));
    if (S_ISDIR(st.st_mode))
        code = images_open(params, &source);
    else if (is_lines(first))
        code = lines_open(params, &source);
    else
        code = vectors_open(params, &source);
    if (code != EXIT_OK)
        return code;
    if (source->n_rows == 0)
        code = tool_usage("%s: holds no row", first);
    else if (source->n_rows > UINT32_MAX)
        code = tool_usage("%llu rows, at most %u can be shuffled",
                          (unsigned long long)source->n_rows, UINT32_MAX);
    if (code == EXIT_OK)
        code = make_order(source);
    if (code == EXIT_OK)
        code = make_batches(source);
    if (code != EXIT_OK) {
        source_close(source);
        return code;
    }
    *out = source;
    return EXIT_OK;
}

void source_close(struct source *source)
{
    if (source == NULL)
        return;
    free(source->order);
    free(source->starts);
    source->ops->close(source);
}

uint64_t source_rows(const struct source *source)
{
    return source->n_rows;
}

uint64_t source_batches(const struct source *source)
{
    return source->n_batches;
}

uint64_t source_rows_before(const struct source *source, uint64_t number)
{
    return source
        ->starts[number < source->n_batches ? number : source->n_batches];
}

int source_batch(struct source *source, uint64_t number,
                 struct source_batch *out)
{
    struct source_batch batch = {0};
    uint64_t first;
    int code;

    if (source->ops->next != NULL)
        return source->ops->next(source, out);
    if (number < source->n_batches) {
        first = source->starts[number];
        batch.rows = (size_t)(source->starts[number + 1] - first);
        code = source->ops->build(source, source->order + first, batch.rows,
                                  &batch);
        if (code != EXIT_OK)
            return code;
    }
    *out = batch;
    return EXIT_OK;
}

const char *source_row_path(const struct source *source, uint64_t number,
                            size_t place)
{
    return source->ops->path != NULL && number < source->n_batches
               ? source->ops->path(
                     source, source->order[source->starts[number] + place])
               : NULL;
}

int source_batch_without(struct source *source, uint64_t number,
                         const bool *left_out, struct source_batch *out)
{
    struct source_batch batch = {0};
    uint64_t first = source->starts[number];
    size_t n = (size_t)(source->starts[number + 1] - first);
    uint32_t *rows = malloc((n + 1) * sizeof(*rows));
    int code;

    if (rows == NULL)
        return tool_no_memory();
    for (size_t i = 0; i < n; i++)
        if (!left_out[i])
            rows[batch.rows++] = source->order[first + i];
    code = source->ops->build(source, rows, batch.rows, &batch);
    free(rows);
    if (code == EXIT_OK)
        *out = batch;
    return code;
}

int source_vectors(struct source *source, uint64_t number,
                   struct akin_rows *out)
{
    if (source->ops->vectors == NULL)
        return tool_usage("a source of %s has no vectors to compare with",
                          source->ops->name);
    if (number >= source->n_batches) {
        *out = (struct akin_rows){0};
        return EXIT_OK;
    }
    return source->ops->vectors(
        source, source->order + source->starts[number],
        (size_t)(source->starts[number + 1] - source->starts[number]), out);
}

bool identify_file(const char *path, FILE *out)
{
    char *head = malloc(IDENTITY_BYTES);
    FILE *file = fopen(path, "re");
    struct stat st;
    bool ok = false;

    if (file != NULL && head != NULL && fstat(fileno(file), &st) == 0) {
        size_t n = fread(head, 1, IDENTITY_BYTES, file);

        fprintf(out, "%lld %zu:", (long long)st.st_size, n);
        fwrite(head, 1, n, out);
        ok = !ferror(file);
    }
    if (file != NULL)
        fclose(file);
    free(head);
    return ok;
}

bool source_identity(const struct source *source, char out[33])
{
    const struct source_params *p = &source->params;
    uint8_t digest[AK_SHA256_LEN];
    char *text = NULL;
    size_t len = 0;
    FILE *stream;
    bool ok;

    if (source->ops->identify == NULL)
        return false;
    stream = open_memstream(&text, &len);
    if (stream == NULL)
        return false;
    fprintf(stream, "1 %s %llu %zu %llu %d %llu\n", source->ops->name,
            (unsigned long long)p->batch, p->max_bytes,
            (unsigned long long)p->seed, p->in_order,
            (unsigned long long)p->first_id);
    ok = source->ops->identify(source, stream);
    for (size_t i = 0; ok && i < p->labels.n; i++)
        ok = identify_file(p->labels.items[i], stream);
    for (size_t i = 0; ok && i < p->ids.n; i++)
        ok = identify_file(p->ids.items[i], stream);
    if (ok && p->label_names != NULL)
        ok = identify_file(p->label_names, stream);
    if (fclose(stream) != 0)
        ok = false;
    ok = ok &&
         ak_sha256(&(struct ak_piece){text, len}, 1, digest, NULL) == AK_OK;
    free(text);
    if (ok)
        ak_hex_encode(digest, 16, out);
    return ok;
}
