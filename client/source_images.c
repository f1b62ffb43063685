/*
 * source_images.c -- a directory of JPEG and PNG files, the folder the label.
 *
 * DIR/boot/17.jpg is an image with the label "boot"; one that lies in DIR
 * itself has none.  Files are taken in the order of their names, so that their
 * ids stay the same.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "client/json.h"
#include "client/source_ops.h"
#include "client/tool.h"

struct picture {
    char *path;
    const char *name; /* in `path`, from the directory on */
    char *label;      /* NULL: none */
    size_t len;
    bool png;
};

struct images {
    struct source base;
    struct picture *pictures;
    size_t cap;
};

static struct images *images_of(struct source *source)
{
    return (struct images *)source;
}

static void images_close(struct source *source)
{
    struct images *m = images_of(source);

    for (size_t i = 0; i < m->base.n_rows; i++) {
        free(m->pictures[i].path);
        free(m->pictures[i].label);
    }
    free(m->pictures);
    free(m);
}

static size_t images_row_len(const struct source *source, uint32_t row)
{
    return ((const struct images *)source)->pictures[row].len + 512;
}

static const char *images_path(const struct source *source, uint32_t row)
{
    return ((const struct images *)source)->pictures[row].path;
}

static json_t *meta_of(const struct images *m, const uint32_t *rows, size_t n)
{
    json_t *items = json_array();

    for (size_t i = 0; i < n; i++) {
        const struct picture *p = &m->pictures[rows[i]];
        unsigned long long id = m->base.params.first_id + rows[i];
        char text[24];
        json_t *item;

        snprintf(text, sizeof(text), "p%zu", i);
        item = json_pack("{s:s}", "image", text);
        snprintf(text, sizeof(text), "%llu", id);
        if (m->base.params.text_ids)
            json_object_set_new(item, "id", json_string(p->name));
        else
            json_object_set_new(item, "id", json_integer((json_int_t)id));
        if (p->label != NULL)
            json_object_set_new(item, "labels", json_pack("[s]", p->label));
        if (json_array_append_new(items, item) != 0)
            break;
    }
    if (json_array_size(items) != n) {
        json_decref(items);
        return NULL;
    }
    return json_pack("{s:o}", "items", items);
}

static int images_build(struct source *source, const uint32_t *rows, size_t n,
                        struct source_batch *out)
{
    struct images *m = images_of(source);
    struct akin_error err = {0};
    struct akin_part *parts = calloc(n + 1, sizeof(*parts));
    char(*names)[24] = calloc(n + 1, sizeof(*names));
    void **files = calloc(n + 1, sizeof(*files));
    json_t *meta = meta_of(m, rows, n);
    char *text = meta != NULL ? json_dumps(meta, JSON_COMPACT) : NULL;
    int code = EXIT_OK;

    json_decref(meta);
    if (parts == NULL || names == NULL || files == NULL)
        code = tool_no_memory();
    else if (text == NULL)
        code = tool_usage("the name of an image is not UTF-8");
    else
        parts[0] = (struct akin_part){.name = "meta",
                                      .content_type = "application/json",
                                      .data = {text, strlen(text)}};
    for (size_t i = 0; i < n && code == EXIT_OK; i++) {
        const struct picture *p = &m->pictures[rows[i]];
        struct akin_part *part = &parts[i + 1];

        snprintf(names[i], sizeof(names[i]), "p%zu", i);
        part->name = names[i];
        part->content_type = p->png ? "image/png" : "image/jpeg";
        part->is_file = 1;
        code = tool_read_file(p->path, &files[i], &part->data.len);
        part->data.data = files[i];
    }
    if (code == EXIT_OK &&
        akin_body_parts(parts, n + 1, &out->body, &err) != AKIN_OK)
        code = tool_no_memory();
    for (size_t i = 0; files != NULL && i < n; i++)
        free(files[i]);
    free(files);
    free(names);
    free(parts);
    free(text);
    return code;
}

static bool images_identify(const struct source *source, FILE *out)
{
    const struct images *m = (const struct images *)source;

    for (size_t i = 0; i < source->n_rows; i++)
        fprintf(out, "%s %zu\n", m->pictures[i].name, m->pictures[i].len);
    return true;
}

static const struct source_ops images_ops = {
    .name = "images",
    .row_len = images_row_len,
    .build = images_build,
    .path = images_path,
    .identify = images_identify,
    .close = images_close,
};

/* 1 for PNG, 0 for JPEG, -1 for what is neither. */
static int picture_kind(const char *name)
{
    const char *dot = strrchr(name, '.');

    if (dot == NULL)
        return -1;
    if (strcasecmp(dot, ".png") == 0)
        return 1;
    return strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0 ? 0
                                                                         : -1;
}

/* Takes `path`. */
static int add_picture(struct images *m, char *path, size_t root_len,
                       const char *label, const struct stat *st)
{
    struct picture *p;

    if (m->base.n_rows == m->cap) {
        struct picture *more;

        m->cap = 2 * m->cap + 256;
        more = realloc(m->pictures, m->cap * sizeof(*more));
        if (more == NULL) {
            free(path);
            return tool_no_memory();
        }
        m->pictures = more;
    }
    p = &m->pictures[m->base.n_rows];
    *p = (struct picture){.path = path,
                          .name = path + root_len + 1,
                          .len = (size_t)st->st_size,
                          .png = picture_kind(path) == 1};
    m->base.n_rows++;
    if (label != NULL) {
        p->label = strdup(label);
        if (p->label == NULL)
            return tool_no_memory();
    }
    return EXIT_OK;
}

/* `label` is the folder below the root that `dir` lies in; NULL at the root. */
static int walk(struct images *m, const char *dir, size_t root_len,
                const char *label)
{
    struct dirent **entries = NULL;
    int n = scandir(dir, &entries, NULL, alphasort);
    int code = n < 0 ? tool_usage("%s: %s", dir, strerror(errno)) : EXIT_OK;

    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        char *path = NULL;
        struct stat st;

        if (code != EXIT_OK || name[0] == '.') {
            free(entries[i]);
            continue;
        }
        if (asprintf(&path, "%s/%s", dir, name) < 0) {
            code = tool_no_memory();
        } else if (stat(path, &st) != 0) {
            code = tool_usage("%s: %s", path, strerror(errno));
            free(path);
        } else if (S_ISDIR(st.st_mode)) {
            code = walk(m, path, root_len, label != NULL ? label : name);
            free(path);
        } else if (S_ISREG(st.st_mode) && picture_kind(name) >= 0) {
            code = add_picture(m, path, root_len, label, &st);
        } else {
            free(path);
        }
        free(entries[i]);
    }
    free(entries);
    return code;
}

int images_open(const struct source_params *params, struct source **out)
{
    struct images *m;
    int code = EXIT_OK;

    if (!params->images)
        return tool_usage("%s: images need a collection with an extractor "
                          "(akin collection create NAME --extractor "
                          "pixels-28x28x1)",
                          params->files[0]);
    if (params->labels.n > 0 || params->ids.n > 0 ||
        params->label_names != NULL)
        return tool_usage("the label of an image is its folder: no --labels, "
                          "--ids or --label-names");
    m = calloc(1, sizeof(*m));
    if (m == NULL)
        return tool_no_memory();
    m->base.ops = &images_ops;
    m->base.params = *params;
    for (size_t i = 0; i < params->n_files && code == EXIT_OK; i++) {
        char *root = strdup(params->files[i]);
        size_t len = root != NULL ? strlen(root) : 0;

        while (len > 1 && root[len - 1] == '/')
            root[--len] = '\0';
        code = root == NULL ? tool_no_memory() : walk(m, root, len, NULL);
        free(root);
    }
    if (code != EXIT_OK) {
        images_close(&m->base);
        return code;
    }
    *out = &m->base;
    return EXIT_OK;
}
