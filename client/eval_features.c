/*
 * eval_features.c -- see eval_features.h.  The cache, little-endian:
 *
 *     8        "AKINFEA\n"
 *     4        version, 1
 *     4        CRC-32 of the network: its graph and values
 *     4        CRC-32 of the pixels
 *     4        type of numbers, as in exec.h
 *     8, 4     images n, floats of a feature d
 *     4 * n d  the features
 *     4        CRC-32 of all before
 */
#include "config.h"

#include "client/eval_features.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/progress.h"
#include "core/base/clock.h"
#include "core/base/digest.h"
#include "core/base/mem.h"
#include "core/image/resize.h"
#include "core/nn/evaluate.h"

#define VERSION 1
#define BATCH   64
#define CHUNK   512 /* images that are scaled before they are computed */

static const char magic[8] = {'A', 'K', 'I', 'N', 'F', 'E', 'A', '\n'};

/* ---- computing ------------------------------------------------------------ */

/* One planar image to the size of `input`, planar too. */
static enum ak_status scale(const uint8_t *pixels, const struct eval_images *in,
                            const struct ak_layer *input, uint8_t *to,
                            struct ak_err *err)
{
    size_t plane = (size_t)in->side * in->side;
    size_t scaled_plane = (size_t)input->w * input->h;
    struct ak_image image = {0}, scaled = {0};
    enum ak_status status =
        ak_image_init(&image, in->side, in->side, in->channels, err);

    if (status != AK_OK)
        return status;
    for (size_t i = 0; i < plane; i++)
        for (uint32_t c = 0; c < in->channels; c++)
            image.pixels[i * in->channels + c] = pixels[c * plane + i];
    status = ak_image_resize(&image, input->w, input->h, &scaled, err);
    for (size_t i = 0; status == AK_OK && i < scaled_plane; i++)
        for (uint32_t c = 0; c < in->channels; c++)
            to[c * scaled_plane + i] = scaled.pixels[i * in->channels + c];
    ak_image_clear(&image);
    ak_image_clear(&scaled);
    return status;
}

enum ak_status eval_features(const struct ak_graph *g, const float *values,
                             enum ak_exec_type type,
                             const struct eval_images *images,
                             eval_features_progress_fn *progress, void *context,
                             float *x, struct ak_err *err)
{
    const struct ak_layer *input = &g->layers[0];
    const struct ak_exec_params params = {.batch = BATCH, .type = type};
    size_t from = (size_t)images->channels * images->side * images->side;
    size_t size = ak_layer_size(input);
    size_t dim = ak_layer_size(&g->layers[g->feature]);
    bool same = input->h == images->side && input->w == images->side;
    struct ak_exec *exec = NULL;
    struct ak_evaluation unused;
    uint32_t *labels;
    uint8_t *scaled = NULL;
    enum ak_status status;

    if (input->c != images->channels)
        return ak_fail(err, AK_EINVAL,
                       "the network takes images of %u channels, these have %u",
                       input->c, images->channels);
    /* Nobody asks how often the network is right: any label will do. */
    labels = ak_array_new(CHUNK, sizeof(*labels));
    if (!same)
        scaled = ak_array_raw(CHUNK * size, 1);
    status = labels == NULL || (!same && scaled == NULL)
                 ? ak_fail(err, AK_ENOMEM, "no memory for %d images", CHUNK)
                 : ak_exec_create(NULL, g, &params, &exec, err);
    if (status == AK_OK)
        status = ak_exec_load(exec, values, err);
    for (size_t i = 0, n; status == AK_OK && i < images->n; i += n) {
        struct ak_pictures pictures = {images->pixels + i * from, from, labels,
                                       0};

        n = images->n - i < CHUNK ? images->n - i : CHUNK;
        for (size_t k = 0; !same && status == AK_OK && k < n; k++)
            status = scale(images->pixels + (i + k) * from, images, input,
                           scaled + k * size, err);
        if (!same)
            pictures = (struct ak_pictures){scaled, size, labels, 0};
        pictures.n = n;
        if (status == AK_OK)
            status = ak_evaluate(exec, g, &pictures, BATCH, NULL, NULL,
                                 x + i * dim, &unused, err);
        if (status == AK_OK && progress != NULL &&
            !progress(context, i + n, images->n))
            status = ak_fail(err, AK_ECANCELED, "cancelled at image %zu of %zu",
                             i + n, images->n);
    }
    ak_exec_destroy(exec);
    ak_array_free(scaled);
    ak_array_free(labels);
    return status;
}

/* ---- the cache ------------------------------------------------------------ */

/* What a cache must have been made of. */
static int make_header(const struct ak_model *model, enum ak_exec_type type,
                       const struct eval_images *images, size_t dim,
                       struct ak_writer *w)
{
    size_t size = (size_t)images->channels * images->side * images->side;
    const struct ak_model bare = {model->g, model->values, NULL};
    struct ak_writer bytes = {0};
    struct ak_err err = {0};

    if (ak_model_write(&bare, &bytes, &err) != AK_OK) {
        ak_writer_clear(&bytes);
        return tool_usage("%s", err.text);
    }
    ak_write_bytes(w, magic, sizeof(magic));
    ak_write_u32(w, VERSION);
    ak_write_u32(w, ak_crc32(bytes.data, bytes.len));
    ak_write_u32(w, ak_crc32(images->pixels, images->n * size));
    ak_write_u32(w, type);
    ak_write_u64(w, images->n);
    ak_write_u32(w, (uint32_t)dim);
    ak_writer_clear(&bytes);
    return w->status == AK_OK ? EXIT_OK : tool_no_memory();
}

/* *found: the file is there and has them; what is there must be a cache. */
static int read_cache(const char *path, const struct ak_writer *header,
                      float *x, size_t n, bool *found)
{
    size_t expected = header->len + n * sizeof(*x) + sizeof(uint32_t);
    void *data = NULL;
    const uint8_t *bytes;
    uint32_t crc;
    size_t len;
    int code = EXIT_OK;

    if (access(path, F_OK) != 0)
        return EXIT_OK;
    code = tool_read_file(path, &data, &len);
    if (code != EXIT_OK)
        return code;
    bytes = data;
    if (len < sizeof(magic) || memcmp(bytes, magic, sizeof(magic)) != 0) {
        code =
            tool_usage("%s: is no file of features, and is left alone", path);
    } else if (len == expected &&
               memcmp(bytes, header->data, header->len) == 0) {
        memcpy(&crc, bytes + len - sizeof(crc), sizeof(crc));
        *found = crc == ak_crc32(bytes, len - sizeof(crc));
        if (*found)
            memcpy(x, bytes + header->len, n * sizeof(*x));
    }
    free(data);
    return code;
}

static int write_cache(const char *path, struct ak_writer *header,
                       const float *x, size_t n)
{
    ak_write_f32s(header, x, n);
    if (header->status == AK_OK)
        ak_write_u32(header, ak_crc32(header->data, header->len));
    return header->status == AK_OK
               ? tool_write_file(path, header->data, header->len)
               : tool_no_memory();
}

struct show {
    struct progress progress;
    struct progress_state state;
    uint64_t start_ns;
};

static bool show_done(void *context, size_t done, size_t n)
{
    struct show *show = context;

    show->state.rows = done;
    show->state.total = n;
    show->state.seconds = (double)(ak_clock_ns() - show->start_ns) / 1e9;
    progress_show(&show->progress, &show->state, done == n);
    return true;
}

int eval_features_cached(const struct tool *tool, const struct ak_model *model,
                         enum ak_exec_type type, const char *cache,
                         const struct eval_images *images, float **x)
{
    size_t dim = ak_layer_size(&model->g->layers[model->g->feature]);
    size_t n = images->n * dim;
    float *made = ak_array_raw(n, sizeof(*made));
    struct show show = {.state = {.verb = "features", .live = -1, .served = -1},
                        .start_ns = ak_clock_ns()};
    struct ak_writer header = {0};
    struct ak_err err = {0};
    bool found = false;
    int code = made == NULL ? tool_no_memory() : EXIT_OK;

    if (code == EXIT_OK && cache != NULL)
        code = make_header(model, type, images, dim, &header);
    if (code == EXIT_OK && cache != NULL)
        code = read_cache(cache, &header, made, n, &found);
    progress_init(&show.progress, tool);
    if (code == EXIT_OK && !found &&
        eval_features(model->g, model->values, type, images, show_done, &show,
                      made, &err) != AK_OK)
        code = tool_usage("%s", err.text);
    for (size_t i = 0; code == EXIT_OK && i < n; i++)
        if (!isfinite(made[i]))
            code = tool_usage("the network makes %g of image %zu",
                              (double)made[i], i / dim);
    if (code == EXIT_OK && cache != NULL && !found)
        code = write_cache(cache, &header, made, n);
    ak_writer_clear(&header);
    if (code == EXIT_OK)
        *x = made;
    else
        ak_array_free(made);
    return code;
}
