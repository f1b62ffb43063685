#include "config.h"

#include "client/pictures.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/tool.h"
#include "core/eval/cifar.h"
#include "core/image/decode.h"
#include "core/image/resize.h"

#define PATH_ROOM 4096

void pictures_clear(struct pictures *p)
{
    free(p->pixels);
    free(p->labels);
    memset(p, 0, sizeof(*p));
}

/* Room for `more` images of `size` bytes behind those that are there. */
static int make_room(struct pictures *p, size_t more, size_t size)
{
    size_t n = p->view.n + more;
    uint8_t *pixels = realloc(p->pixels, n * size);
    uint32_t *labels;

    if (pixels == NULL)
        return tool_no_memory();
    p->pixels = pixels;
    labels = realloc(p->labels, n * sizeof(*labels));
    if (labels == NULL)
        return tool_no_memory();
    p->labels = labels;
    p->view = (struct ak_pictures){pixels, size, labels, p->view.n};
    return EXIT_OK;
}

/* ---- CIFAR-10 ------------------------------------------------------------ */

/* Appends FOLDER/NAME if it is there in any form. */
static int add_batch(struct pictures *p, const char *folder, const char *name)
{
    static const char *const ends[] = {".bin", ".bin.xz", ".bin.gz"};
    char path[PATH_ROOM];
    struct ak_err err = {0};
    uint8_t *records = NULL;
    size_t n = 0;
    int code;

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s%s", folder, name, ends[i]);
        if (access(path, F_OK) == 0)
            break;
        path[0] = '\0';
    }
    if (path[0] == '\0')
        return EXIT_OK;
    if (ak_cifar_read(path, &records, &n, &err) != AK_OK)
        return tool_usage("%s", err.text);
    code = make_room(p, n, AK_CIFAR_PIXELS);
    for (size_t i = 0; code == EXIT_OK && i < n; i++) {
        const uint8_t *record = records + i * AK_CIFAR_RECORD;

        p->labels[p->view.n] = record[0];
        memcpy(p->pixels + p->view.n * AK_CIFAR_PIXELS, record + 1,
               AK_CIFAR_PIXELS);
        p->view.n++;
    }
    free(records);
    return code;
}

static int load_cifar(const char *folder, const char *split,
                      const struct ak_layer *input, struct pictures *p)
{
    bool train = split == NULL || strcmp(split, "train") == 0;
    bool test = split == NULL || strcmp(split, "test") == 0;
    int code = EXIT_OK;

    if (input->c != 3 || input->h != 32 || input->w != 32)
        return tool_usage("the network takes images of %ux%ux%u, those of "
                          "cifar10 are 3x32x32",
                          input->c, input->h, input->w);
    for (int i = 1; train && code == EXIT_OK && i <= 5; i++) {
        char name[32];

        snprintf(name, sizeof(name), "data_batch_%d", i);
        code = add_batch(p, folder, name);
    }
    p->n_train = p->view.n;
    if (test && code == EXIT_OK)
        code = add_batch(p, folder, "test_batch");
    if (code == EXIT_OK && p->view.n == 0)
        code = tool_usage("%s: there is no %s.bin, .bin.xz or .bin.gz", folder,
                          train ? "data_batch_1" : "test_batch");
    p->has_parts = true;
    return code;
}

/* ---- folders -------------------------------------------------------------- */

static int join(char path[PATH_ROOM], const char *folder, const char *name)
{
    int n = snprintf(path, PATH_ROOM, "%s/%s", folder, name);

    return n < 0 || n >= PATH_ROOM ? tool_usage("%s: too long a name", folder)
                                   : EXIT_OK;
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
static long find_line(const char *names, const char *name)
{
    char wanted[256], piece[256];
    long line = 0;

    normalise(name, strlen(name), wanted, sizeof(wanted));
    while (*names != '\0') {
        size_t len = strcspn(names, ",\n");

        normalise(names, len, piece, sizeof(piece));
        if (strcmp(piece, wanted) == 0)
            return line;
        line += names[len] == '\n';
        names += len + (names[len] != '\0');
    }
    return -1;
}

/* Planar pixels of the network's size at the end of p->pixels. */
static int add_image(struct pictures *p, const char *path,
                     const struct ak_layer *input, uint32_t label)
{
    size_t plane = (size_t)input->h * input->w;
    struct ak_image image = {0}, scaled = {0};
    struct ak_err err = {0};
    enum ak_status status;
    void *bytes = NULL;
    size_t len = 0;
    uint8_t *to;
    int code = make_room(p, 1, plane * input->c);

    if (code == EXIT_OK)
        code = tool_read_file(path, &bytes, &len);
    if (code != EXIT_OK)
        return code;
    status =
        ak_image_decode(bytes, len, NULL, input->w, input->h, &image, &err);
    free(bytes);
    if (status == AK_OK && input->c == 1)
        ak_image_make_grey(&image);
    else if (status == AK_OK)
        status = ak_image_make_rgb(&image, &err);
    if (status == AK_OK)
        status = ak_image_resize(&image, input->w, input->h, &scaled, &err);
    ak_image_clear(&image);
    if (status != AK_OK)
        return tool_usage("%s: %s", path, err.text);
    to = p->pixels + p->view.n * plane * input->c;
    for (size_t i = 0; i < plane; i++)
        for (uint32_t c = 0; c < input->c; c++)
            to[c * plane + i] = scaled.pixels[i * input->c + c];
    ak_image_clear(&scaled);
    p->labels[p->view.n++] = label;
    return EXIT_OK;
}

static int add_class(struct pictures *p, const char *folder,
                     const struct ak_layer *input, uint32_t label)
{
    struct dirent **files = NULL;
    int n = scandir(folder, &files, is_visible, alphasort);
    int code = EXIT_OK;

    for (int i = 0; i < n; i++) {
        char path[PATH_ROOM];
        struct stat st;

        if (code == EXIT_OK)
            code = join(path, folder, files[i]->d_name);
        free(files[i]);
        if (code == EXIT_OK && stat(path, &st) == 0 && S_ISREG(st.st_mode))
            code = add_image(p, path, input, label);
    }
    free(files);
    return code;
}

static int load_folder(const char *folder, const char *label_names,
                       const struct ak_layer *input, struct pictures *p)
{
    struct dirent **classes = NULL;
    void *names = NULL;
    size_t len;
    uint32_t next = 0;
    int code = label_names != NULL ? tool_read_file(label_names, &names, &len)
                                   : EXIT_OK;
    int n =
        code == EXIT_OK ? scandir(folder, &classes, is_visible, alphasort) : 0;

    if (input->c != 1 && input->c != 3)
        code = tool_usage("the network takes images of %u channels, must be 1 "
                          "or 3",
                          input->c);
    if (n < 0)
        code = tool_usage("%s: no such folder, or it cannot be read", folder);
    for (int i = 0; i < n; i++) {
        char path[PATH_ROOM];
        struct stat st;
        long line = next;

        if (code == EXIT_OK)
            code = join(path, folder, classes[i]->d_name);
        if (code == EXIT_OK && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
            if (names != NULL)
                line = find_line(names, classes[i]->d_name);
            code = line < 0 ? tool_usage("%s: no line is %s", label_names,
                                         classes[i]->d_name)
                            : add_class(p, path, input, (uint32_t)line);
            next++;
        }
        free(classes[i]);
    }
    free(classes);
    free(names);
    if (code == EXIT_OK && p->view.n == 0)
        code = tool_usage("%s: no image in %s/CLASS/", folder, folder);
    return code;
}

int pictures_load(const char *dataset, const char *folder, const char *split,
                  const char *label_names, const struct ak_layer *input,
                  struct pictures *out)
{
    struct pictures p = {0};
    int code;

    if (strcmp(dataset, "cifar10") == 0)
        code = load_cifar(folder, split, input, &p);
    else if (split != NULL)
        code =
            tool_usage("--split is for cifar10; name the folder of the part");
    else
        code = load_folder(folder, label_names, input, &p);
    if (code != EXIT_OK)
        pictures_clear(&p);
    else
        *out = p;
    return code;
}
