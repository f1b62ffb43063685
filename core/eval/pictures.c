#include "core/eval/pictures.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/eval/cifar.h"
#include "core/eval/idx.h"
#include "core/eval/packed.h"
#include "core/image/decode.h"
#include "core/image/resize.h"

#define PATH_ROOM  4096
#define CIFAR_SIDE 32
#define TOLD_EVERY 256 /* images between two calls of progress */

static const char *const ends[] = {"", ".gz", ".xz"};
#define N_ENDS (sizeof(ends) / sizeof(ends[0]))

void ak_picture_set_clear(struct ak_picture_set *set)
{
    free(set->pixels);
    free(set->labels);
    memset(set, 0, sizeof(*set));
}

/* Room for `more` images of `size` bytes behind those that are there. */
static enum ak_status make_room(struct ak_picture_set *set, size_t more,
                                size_t size, struct ak_err *err)
{
    size_t n = set->view.n + more, bytes;
    size_t cap = n > 2 * set->cap ? n : 2 * set->cap;
    uint32_t *labels;
    uint8_t *pixels;

    if (n <= set->cap)
        return AK_OK;
    if (__builtin_mul_overflow(cap, size, &bytes))
        return ak_fail(err, AK_ENOMEM, "no memory for %zu images", n);
    pixels = realloc(set->pixels, bytes);
    if (pixels == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu images", n);
    set->pixels = pixels;
    labels = realloc(set->labels, cap * sizeof(*labels));
    if (labels == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu images", n);
    set->labels = labels;
    set->cap = cap;
    set->view = (struct ak_pictures){pixels, size, labels, set->view.n};
    return AK_OK;
}

static void append_label(struct ak_picture_set *set, uint32_t label)
{
    set->labels[set->view.n++] = label;
    if (label >= set->n_classes)
        set->n_classes = label + 1;
}

/* After each image: whether to go on. */
static enum ak_status tell(const struct ak_picture_source *source, size_t done,
                           size_t total, struct ak_err *err)
{
    if (source->progress != NULL && (done % TOLD_EVERY == 0 || done == total) &&
        !source->progress(source->context, done, total))
        return ak_fail(err, AK_ECANCELED, "stopped while images were read");
    return AK_OK;
}

/* Takes `image` to the network's size, as planar pixels at the end of the set;
   the image is cleared. */
static enum ak_status add_image(struct ak_picture_set *set,
                                struct ak_image *image,
                                const struct ak_layer *input, uint32_t label,
                                struct ak_err *err)
{
    size_t plane = (size_t)input->h * input->w;
    struct ak_image scaled = {0};
    enum ak_status status = AK_OK;
    uint8_t *to;

    if (input->c != 1 && input->c != 3)
        status = ak_fail(err, AK_EINVAL,
                         "the network takes images of %u channels, must be 1 "
                         "or 3",
                         input->c);
    else if (input->c == 1)
        ak_image_make_grey(image);
    else
        status = ak_image_make_rgb(image, err);
    if (status == AK_OK)
        status = ak_image_resize(image, input->w, input->h, &scaled, err);
    ak_image_clear(image);
    if (status == AK_OK)
        status = make_room(set, 1, plane * input->c, err);
    if (status != AK_OK) {
        ak_image_clear(&scaled);
        return status;
    }
    to = set->pixels + set->view.n * plane * input->c;
    for (size_t i = 0; i < plane; i++)
        for (uint32_t c = 0; c < input->c; c++)
            to[c * plane + i] = scaled.pixels[i * input->c + c];
    ak_image_clear(&scaled);
    append_label(set, label);
    return AK_OK;
}

enum ak_status ak_picture_set_add(struct ak_picture_set *set, const void *bytes,
                                  size_t len, const struct ak_layer *input,
                                  uint32_t label, struct ak_err *err)
{
    struct ak_image image = {0};
    enum ak_status status =
        ak_image_decode(bytes, len, NULL, input->w, input->h, &image, err);

    return status == AK_OK ? add_image(set, &image, input, label, err) : status;
}

/* FOLDER/NAME in any form, or false. */
static bool find_file(char path[PATH_ROOM], const char *folder,
                      const char *name)
{
    for (size_t i = 0; i < N_ENDS; i++) {
        int n = snprintf(path, PATH_ROOM, "%s/%s%s", folder, name, ends[i]);

        if (n > 0 && n < PATH_ROOM && access(path, F_OK) == 0)
            return true;
    }
    return false;
}

static bool wants(const struct ak_picture_source *source, const char *part)
{
    return source->part == NULL || strcmp(source->part, part) == 0;
}

/* ---- CIFAR-10 ------------------------------------------------------------ */

/* Planes of 32x32 to an image of another size. */
static enum ak_status add_record(struct ak_picture_set *set,
                                 const uint8_t *record,
                                 const struct ak_layer *input,
                                 struct ak_err *err)
{
    struct ak_image image = {0};
    enum ak_status status =
        ak_image_init(&image, CIFAR_SIDE, CIFAR_SIDE, 3, err);

    if (status != AK_OK)
        return status;
    for (size_t i = 0; i < CIFAR_SIDE * CIFAR_SIDE; i++)
        for (size_t c = 0; c < 3; c++)
            image.pixels[3 * i + c] =
                record[1 + c * CIFAR_SIDE * CIFAR_SIDE + i];
    return add_image(set, &image, input, record[0], err);
}

/* Appends FOLDER/NAME if it is there in any form. */
static enum ak_status add_batch(struct ak_picture_set *set,
                                const struct ak_picture_source *source,
                                const char *name, const struct ak_layer *input,
                                struct ak_err *err)
{
    bool same =
        input->c == 3 && input->h == CIFAR_SIDE && input->w == CIFAR_SIDE;
    char path[PATH_ROOM];
    uint8_t *records = NULL;
    enum ak_status status;
    size_t n = 0;

    if (!find_file(path, source->folder, name))
        return AK_OK;
    status = ak_cifar_read(path, &records, &n, err);
    if (status == AK_OK && same)
        status = make_room(set, n, AK_CIFAR_PIXELS, err);
    for (size_t i = 0; status == AK_OK && i < n; i++) {
        const uint8_t *record = records + i * AK_CIFAR_RECORD;

        if (same) {
            memcpy(set->pixels + set->view.n * AK_CIFAR_PIXELS, record + 1,
                   AK_CIFAR_PIXELS);
            append_label(set, record[0]);
        } else {
            status = add_record(set, record, input, err);
        }
        if (status == AK_OK)
            status = tell(source, set->view.n, 0, err);
    }
    free(records);
    return status;
}

static enum ak_status load_cifar(const struct ak_picture_source *source,
                                 const struct ak_layer *input,
                                 struct ak_picture_set *set, struct ak_err *err)
{
    enum ak_status status = AK_OK;

    for (int i = 1; wants(source, "train") && status == AK_OK && i <= 5; i++) {
        char name[32];

        snprintf(name, sizeof(name), "data_batch_%d.bin", i);
        status = add_batch(set, source, name, input, err);
    }
    set->n_train = set->view.n;
    if (wants(source, "test") && status == AK_OK)
        status = add_batch(set, source, "test_batch.bin", input, err);
    if (status == AK_OK && set->view.n == 0)
        status = ak_fail(
            err, AK_ENOTFOUND, "%s: there is no %s.bin, .bin.xz or .bin.gz",
            source->folder,
            wants(source, "train") ? "data_batch_1" : "test_batch");
    set->has_parts = true;
    set->n_classes = AK_CIFAR_CLASSES;
    return status;
}

/* ---- idx ------------------------------------------------------------------ */

static enum ak_status add_idx_images(struct ak_picture_set *set,
                                     const struct ak_picture_source *source,
                                     const struct ak_idx *images,
                                     const struct ak_idx *labels,
                                     const struct ak_layer *input,
                                     struct ak_err *err)
{
    enum ak_status status = AK_OK;

    for (uint32_t i = 0; status == AK_OK && i < images->dims[0]; i++) {
        struct ak_image image = {0};

        status =
            ak_image_init(&image, images->dims[2], images->dims[1], 1, err);
        if (status != AK_OK)
            break;
        memcpy(image.pixels, images->data + i * images->item, images->item);
        status = add_image(set, &image, input, labels->data[i], err);
        if (status == AK_OK)
            status = tell(source, set->view.n, 0, err);
    }
    return status;
}

/* Appends a part if it is there. */
static enum ak_status add_idx(struct ak_picture_set *set,
                              const struct ak_picture_source *source,
                              const char *part, const struct ak_layer *input,
                              struct ak_err *err)
{
    char name[64], path[PATH_ROOM];
    struct ak_idx images = {0}, labels = {0};
    enum ak_status status;

    snprintf(name, sizeof(name), "%s-images-idx3-ubyte", part);
    if (!find_file(path, source->folder, name))
        return AK_OK;
    status = ak_idx_read(path, 3, &images, err);
    snprintf(name, sizeof(name), "%s-labels-idx1-ubyte", part);
    if (status == AK_OK && !find_file(path, source->folder, name))
        status = ak_fail(err, AK_ENOTFOUND, "%s: there is no %s",
                         source->folder, name);
    if (status == AK_OK)
        status = ak_idx_read(path, 1, &labels, err);
    if (status == AK_OK && labels.dims[0] != images.dims[0])
        status = ak_fail(err, AK_ECORRUPT, "%s: %u labels for %u images of %s",
                         path, labels.dims[0], images.dims[0], part);
    if (status == AK_OK)
        status = add_idx_images(set, source, &images, &labels, input, err);
    ak_idx_clear(&images);
    ak_idx_clear(&labels);
    return status;
}

static enum ak_status load_idx(const struct ak_picture_source *source,
                               const struct ak_layer *input,
                               struct ak_picture_set *set, struct ak_err *err)
{
    enum ak_status status = AK_OK;

    if (wants(source, "train"))
        status = add_idx(set, source, "train", input, err);
    set->n_train = set->view.n;
    if (status == AK_OK && wants(source, "test"))
        status = add_idx(set, source, "t10k", input, err);
    if (status == AK_OK && set->view.n == 0)
        status =
            ak_fail(err, AK_ENOTFOUND, "%s: there is no %s-images-idx3-ubyte",
                    source->folder, wants(source, "train") ? "train" : "t10k");
    set->has_parts = true;
    return status;
}

/* ---- folders -------------------------------------------------------------- */

static enum ak_status join(char path[PATH_ROOM], const char *folder,
                           const char *name, struct ak_err *err)
{
    int n = snprintf(path, PATH_ROOM, "%s/%s", folder, name);

    return n < 0 || n >= PATH_ROOM
               ? ak_fail(err, AK_EINVAL, "%.100s: too long a name", folder)
               : AK_OK;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Letters and digits, small; one blank for what is between them. */
static void normalise(const char *from, size_t len, char *to, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < len && n + 1 < cap; i++) {
        unsigned char c = (unsigned char)from[i];

        if (isalnum(c))
            to[n++] = (char)tolower(c);
        else if (n > 0 && to[n - 1] != ' ')
            to[n++] = ' ';
    }
    while (n > 0 && to[n - 1] == ' ')
        n--;
    to[n] = '\0';
}

/* The line of `names` that has `name`, -1 if none has. */
static long find_line(const char *names, const char *end, const char *name)
{
    char wanted[256], piece[256];
    long line = 0;

    normalise(name, strlen(name), wanted, sizeof(wanted));
    while (names < end) {
        const char *to = names;

        while (to < end && *to != ',' && *to != '\n')
            to++;
        normalise(names, (size_t)(to - names), piece, sizeof(piece));
        if (strcmp(piece, wanted) == 0)
            return line;
        line += to < end && *to == '\n';
        names = to + 1;
    }
    return -1;
}

static enum ak_status add_file(struct ak_picture_set *set, const char *path,
                               const struct ak_layer *input, uint32_t label,
                               struct ak_err *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    enum ak_status status =
        ak_packed_read(path, AK_PICTURE_FILE, &bytes, &len, err);

    if (status != AK_OK)
        return status;
    status = ak_picture_set_add(set, bytes, len, input, label, err);
    free(bytes);
    if (status != AK_OK)
        ak_err_context(err, "%s", path);
    return status;
}

static void free_entries(struct dirent **entries, int n)
{
    for (int i = 0; i < n; i++)
        free(entries[i]);
    free(entries);
}

static enum ak_status add_class(struct ak_picture_set *set,
                                const struct ak_picture_source *source,
                                const char *folder,
                                const struct ak_layer *input, uint32_t label,
                                struct ak_err *err)
{
    struct dirent **files = NULL;
    int n = scandir(folder, &files, is_visible, alphasort);
    enum ak_status status = AK_OK;

    if (n < 0)
        return ak_fail(err, AK_EIO, "%s: %s", folder, strerror(errno));
    for (int i = 0; status == AK_OK && i < n; i++) {
        char path[PATH_ROOM];
        struct stat st;

        status = join(path, folder, files[i]->d_name, err);
        if (status != AK_OK || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
            continue;
        status = add_file(set, path, input, label, err);
        if (status == AK_OK)
            status = tell(source, set->view.n, 0, err);
    }
    free_entries(files, n);
    return status;
}

static enum ak_status load_classes(const struct ak_picture_source *source,
                                   struct dirent **classes, int n,
                                   const struct ak_layer *input,
                                   struct ak_picture_set *set,
                                   struct ak_err *err)
{
    uint8_t *names = NULL;
    size_t len = 0;
    uint32_t next = 0;
    enum ak_status status = AK_OK;

    if (source->label_names != NULL)
        status = ak_packed_read(source->label_names, AK_PICTURE_FILE, &names,
                                &len, err);
    for (int i = 0; status == AK_OK && i < n; i++) {
        const char *name = classes[i]->d_name;
        char path[PATH_ROOM];
        struct stat st;
        long line = next;

        status = join(path, source->folder, name, err);
        if (status != AK_OK || stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
            continue;
        if (names != NULL)
            line =
                find_line((const char *)names, (const char *)names + len, name);
        if (line < 0)
            status = ak_fail(err, AK_EINVAL, "%s: no line is %s",
                             source->label_names, name);
        else
            status = add_class(set, source, path, input, (uint32_t)line, err);
        next++;
    }
    free(names);
    return status;
}

static enum ak_status load_folder(const struct ak_picture_source *source,
                                  const struct ak_layer *input,
                                  struct ak_picture_set *set,
                                  struct ak_err *err)
{
    struct dirent **classes = NULL;
    enum ak_status status;
    int n;

    if (source->part != NULL)
        return ak_fail(err, AK_EINVAL,
                       "a folder has no parts; name the folder of the part");
    n = scandir(source->folder, &classes, is_visible, alphasort);
    if (n < 0)
        return ak_fail(err, AK_ENOTFOUND,
                       "%s: no such folder, or it cannot be read",
                       source->folder);
    status = load_classes(source, classes, n, input, set, err);
    free_entries(classes, n);
    if (status == AK_OK && set->view.n == 0)
        status = ak_fail(err, AK_ENOTFOUND, "%s: no image in %s/CLASS/",
                         source->folder, source->folder);
    return status;
}

/* ---- kinds ----------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *sign[2]; /* a folder with one of these files is of the kind */
    enum ak_status (*load)(const struct ak_picture_source *source,
                           const struct ak_layer *input,
                           struct ak_picture_set *set, struct ak_err *err);
} kinds[] = {
    {"cifar10", {"data_batch_1.bin", "test_batch.bin"}, load_cifar},
    {"idx", {"train-images-idx3-ubyte", "t10k-images-idx3-ubyte"}, load_idx},
    {"folder", {NULL, NULL}, load_folder},
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

const char *ak_picture_kind(const char *folder)
{
    char path[PATH_ROOM];

    for (size_t i = 0; i < N_KINDS; i++)
        for (size_t s = 0; s < 2 && kinds[i].sign[s] != NULL; s++)
            if (find_file(path, folder, kinds[i].sign[s]))
                return kinds[i].name;
    return "folder";
}

enum ak_status ak_picture_set_load(const struct ak_picture_source *source,
                                   const struct ak_layer *input,
                                   struct ak_picture_set *out,
                                   struct ak_err *err)
{
    struct ak_picture_set set = {0};
    enum ak_status status = AK_EINVAL;
    size_t i = 0;

    while (i < N_KINDS && strcmp(kinds[i].name, source->kind) != 0)
        i++;
    if (i == N_KINDS)
        return ak_fail(err, AK_EINVAL,
                       "%.40s is no kind of data set; there are cifar10, idx "
                       "and folder",
                       source->kind);
    status = kinds[i].load(source, input, &set, err);
    if (status != AK_OK) {
        ak_picture_set_clear(&set);
        return status;
    }
    *out = set;
    return AK_OK;
}
