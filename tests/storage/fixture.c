#include "tests/storage/fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"

int make_folder_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return -1;
    *state = f;
    snprintf(f->dir, sizeof(f->dir), "akin-test-XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/1.db", f->dir);
    return 0;
}

static int make_with(void **state, bool string_ids)
{
    const struct ak_store_shape shape = {string_ids, ROW_BYTES, CODE_BYTES};
    struct fixture *f;

    if (make_folder_fixture(state) != 0)
        return -1;
    f = *state;
    if (ak_store_create(f->path, &shape, bytes_of("{}"), &f->store, &f->err) !=
            AK_OK ||
        ak_view_open(f->path, &f->view, &f->err) != AK_OK) {
        fprintf(stderr, "%s\n", f->err.text);
        return -1;
    }
    return 0;
}

int make_fixture(void **state)
{
    return make_with(state, false);
}

int make_text_fixture(void **state)
{
    return make_with(state, true);
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char inner[512];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        if (unlink(inner) != 0)
            remove_tree(inner);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(path);
}

int remove_fixture(void **state)
{
    struct fixture *f = *state;

    close_all(f);
    remove_tree(f->dir);
    free(f);
    return 0;
}

const struct ak_space first_space = {0, ROW_BYTES};

struct ak_bytes bytes_of(const char *text)
{
    return (struct ak_bytes){text, strlen(text)};
}

bool same_text(struct ak_bytes bytes, const char *text)
{
    return bytes.data != NULL && bytes.len == strlen(text) &&
           memcmp(bytes.data, text, bytes.len) == 0;
}

void fill_block(uint8_t *block, size_t n, uint64_t tag)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value = tag + i;

        memcpy(block + i * ROW_BYTES, &value, ROW_BYTES);
    }
}

void assert_block(struct ak_view *view, uint64_t first, size_t n, uint64_t tag)
{
    uint8_t *found = ak_array_new(n, ROW_BYTES);
    uint8_t *expected = ak_array_new(n, ROW_BYTES);

    assert_non_null(found);
    assert_non_null(expected);
    fill_block(expected, n, tag);
    assert_status(ak_view_block(view, &first_space, first, n, found, NULL),
                  AK_OK);
    assert_memory_equal(found, expected, n * ROW_BYTES);
    ak_array_free(found);
    ak_array_free(expected);
}

enum ak_status apply_alone(struct fixture *f, const struct ak_change *change,
                           struct ak_receipt *receipt)
{
    enum ak_status status;

    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    status = ak_store_apply(f->store, change, receipt, &f->err);
    assert_status(ak_store_commit(f->store, NULL), AK_OK);
    return status;
}

struct ak_receipt put_rows(struct fixture *f, size_t n,
                           const struct ak_row_id *ids, uint64_t tag)
{
    uint8_t *block = ak_array_new(n, ROW_BYTES);
    struct ak_change change = {
        .kind = AK_RECORD_BATCH,
        .rows = {.n = n, .block = block, .ids = ids},
    };
    struct ak_receipt receipt = {0};

    assert_non_null(block);
    fill_block(block, n, tag);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    ak_array_free(block);
    return receipt;
}

struct packed_walk {
    struct ak_packed packed;
    size_t i;
};

static struct ak_row_id packed_id(const struct ak_packed *p, size_t i)
{
    if (p->text_first != NULL)
        return (struct ak_row_id){.text = p->text + p->text_first[i],
                                  .len =
                                      p->text_first[i + 1] - p->text_first[i]};
    if (p->numbers != NULL)
        return (struct ak_row_id){.number = p->numbers[i]};
    return (struct ak_row_id){
        .number = p->base + (p->offsets != NULL ? p->offsets[i] : i)};
}

static size_t packed_labels(const struct ak_packed *p, size_t i,
                            const uint32_t **labels)
{
    if (p->labels == NULL)
        return 0;
    *labels = p->labels + (p->label_first != NULL ? p->label_first[i] : i);
    if (p->label_first != NULL)
        return p->label_first[i + 1] - p->label_first[i];
    return **labels != AK_PACKED_NO_LABEL;
}

static enum ak_status same_as_packed(void *arg, const struct ak_row *row,
                                     struct ak_err *err)
{
    struct packed_walk *w = arg;
    struct ak_row_id id;
    const uint32_t *labels = NULL;
    size_t i = w->i;
    bool dead;

    (void)err;
    if (i == AK_STORE_SEGMENT_ROWS)
        return AK_ECANCELED;
    id = packed_id(&w->packed, i);
    dead =
        w->packed.dead != NULL && (w->packed.dead[i / 64] >> i % 64 & 1) != 0;
    assert_int_equal(id.number, row->id.number);
    assert_int_equal(id.len, row->id.len);
    if (id.len > 0)
        assert_memory_equal(id.text, row->id.text, id.len);
    assert_int_equal(dead, row->dead != 0);
    assert_int_equal(packed_labels(&w->packed, i, &labels),
                     dead ? 0 : row->n_labels);
    if (!dead && row->n_labels > 0)
        assert_memory_equal(labels, row->labels,
                            row->n_labels * sizeof(*labels));
    w->i++;
    return AK_OK;
}

bool packed_and_right(struct fixture *f, uint64_t segment)
{
    struct packed_walk w = {.i = 0};
    struct ak_view *packer;
    enum ak_status status;

    assert_status(ak_view_open(f->path, &packer, &f->err), AK_OK);
    status = ak_view_packed(packer, segment, &w.packed, &f->err);
    if (status != AK_ENOTFOUND) {
        assert_status(status, AK_OK);
        assert_status(ak_view_rows(f->view, segment * AK_STORE_SEGMENT_ROWS,
                                   same_as_packed, &w, &f->err),
                      AK_OK);
        assert_int_equal(w.i, AK_STORE_SEGMENT_ROWS);
    }
    ak_view_close(packer);
    return status == AK_OK;
}

void close_all(struct fixture *f)
{
    ak_view_close(f->view);
    ak_store_close(f->store);
    f->view = NULL;
    f->store = NULL;
}

void open_all(struct fixture *f)
{
    assert_status(ak_store_open(f->path, true, &f->store, &f->err), AK_OK);
    assert_status(ak_view_open(f->path, &f->view, &f->err), AK_OK);
}

void damage(struct fixture *f, const char *sql)
{
    sqlite3 *db;

    close_all(f);
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_changes(db) > 0 || strstr(sql, "PRAGMA") != NULL,
                     1);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}
