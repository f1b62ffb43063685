#include "tests/storage/power.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/rng.h"
#include "tests/data.h"
#include "tests/test.h"

#define SECTOR    512
#define MAX_FILES 16

/* One change since the last sync. */
struct change {
    uint8_t *data; /* NULL: of the size */
    size_t n;
    uint64_t at;
};

struct file {
    char name[64];
    struct bytes {
        uint8_t *data;
        size_t len;
    } synced;
    struct change *changes;
    size_t n_changes, cap_changes;
    bool certain; /* that the file is there */
    bool removed; /* but perhaps not on the disk */
};

static struct file files[MAX_FILES];
static size_t n_files;
static void (*on_moment)(void *arg);
static void *moment_arg;
static bool recording, lying;

static void moment(void)
{
    if (!recording)
        return;
    recording = false;
    on_moment(moment_arg);
    recording = true;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static struct file *find(const char *path)
{
    for (size_t i = 0; i < n_files; i++)
        if (strcmp(files[i].name, last_part(path)) == 0)
            return &files[i];
    return NULL;
}

static struct file *find_or_add(const char *path)
{
    struct file *f = find(path);

    if (f != NULL)
        return f;
    assert_true(n_files < MAX_FILES);
    f = &files[n_files++];
    *f = (struct file){0};
    assert_true(strlen(last_part(path)) < sizeof(f->name));
    snprintf(f->name, sizeof(f->name), "%s", last_part(path));
    return f;
}

static void resize(struct bytes *b, size_t len)
{
    uint8_t *data = realloc(b->data, len > 0 ? len : 1);

    assert_non_null(data);
    if (len > b->len)
        memset(data + b->len, 0, len - b->len);
    b->data = data;
    b->len = len;
}

static void put(struct bytes *b, const uint8_t *data, size_t n, uint64_t at)
{
    if (n == 0)
        return;
    if (at + n > b->len)
        resize(b, (size_t)at + n);
    memcpy(b->data + at, data, n);
}

static void forget_changes(struct file *f)
{
    for (size_t i = 0; i < f->n_changes; i++)
        free(f->changes[i].data);
    f->n_changes = 0;
}

/* --------------------------------------------------------------- recording */

void power_record(void (*fn)(void *arg), void *arg, bool lies)
{
    on_moment = fn;
    moment_arg = arg;
    lying = lies;
    recording = true;
}

void power_end(void)
{
    recording = false;
    for (size_t i = 0; i < n_files; i++) {
        forget_changes(&files[i]);
        free(files[i].changes);
        free(files[i].synced.data);
    }
    n_files = 0;
}

void power_opened(const char *path, bool was_there)
{
    struct file *f;

    if (!recording || (find(path) != NULL && !find(path)->removed))
        return;
    f = find_or_add(path);
    forget_changes(f);
    f->certain = was_there;
    f->removed = false;
    resize(&f->synced, 0);
    if (was_there) {
        size_t len;
        uint8_t *data = ak_test_read_file(path, &len);

        put(&f->synced, data, len, 0);
        free(data);
    }
    moment();
}

void power_changed(const char *path, const void *data, size_t n, uint64_t at)
{
    struct file *f = find(path);
    struct change *c;

    if (!recording || f == NULL)
        return;
    moment();
    if (f->n_changes == f->cap_changes) {
        f->cap_changes = f->cap_changes > 0 ? 2 * f->cap_changes : 64;
        f->changes = realloc(f->changes, f->cap_changes * sizeof(*f->changes));
        assert_non_null(f->changes);
    }
    c = &f->changes[f->n_changes++];
    *c = (struct change){.n = n, .at = at};
    if (data != NULL) {
        c->data = malloc(n > 0 ? n : 1);
        assert_non_null(c->data);
        memcpy(c->data, data, n);
    }
    moment();
}

static void apply(struct bytes *b, const struct change *c)
{
    if (c->data != NULL)
        put(b, c->data, c->n, c->at);
    else
        resize(b, (size_t)c->at);
}

void power_synced(const char *path)
{
    struct file *f = find(path);

    if (!recording || f == NULL)
        return;
    moment();
    if (!lying) {
        for (size_t i = 0; i < f->n_changes; i++)
            apply(&f->synced, &f->changes[i]);
        forget_changes(f);
        f->certain = true;
    }
    moment();
}

void power_removed(const char *path, bool synced)
{
    struct file *f = find(path);

    if (!recording || f == NULL)
        return;
    moment();
    f->removed = true;
    if (synced)
        f->certain = false;
    moment();
}

/* ----------------------------------------------------------------- failing */

/* A change of which the disk has kept each sector with the same chance. */
static void apply_torn(struct bytes *b, const struct change *c, double chance,
                       struct ak_rng *rng)
{
    size_t step;

    if (c->data == NULL) {
        if (ak_rng_unit(rng) < chance)
            apply(b, c);
        return;
    }
    for (size_t done = 0; done < c->n; done += step) {
        step = SECTOR - (size_t)((c->at + done) % SECTOR);
        step = step < c->n - done ? step : c->n - done;
        if (ak_rng_unit(rng) < chance)
            put(b, c->data + done, step, c->at + done);
    }
}

static void write_file(const char *dir, const struct file *f,
                       const struct bytes *b, bool there)
{
    char path[512];
    FILE *out;

    snprintf(path, sizeof(path), "%s/%s", dir, f->name);
    if (!there) {
        unlink(path);
        return;
    }
    out = fopen(path, "wb");
    assert_non_null(out);
    if (b->len > 0)
        assert_int_equal(fwrite(b->data, 1, b->len, out), b->len);
    assert_int_equal(fclose(out), 0);
}

void power_fail(uint64_t seed, const char *dir)
{
    /* Nothing, all, or any part; and all but the last that was under way. */
    static const double chances[] = {0, 1, 0.5, 0.1, 0.9};
    struct ak_rng rng;

    ak_rng_init(&rng, seed);
    for (size_t i = 0; i < n_files; i++) {
        const struct file *f = &files[i];
        double chance = chances[ak_rng_below(&rng, 5)];
        size_t n = f->n_changes;
        struct bytes b = {0};
        bool there;

        if (ak_rng_below(&rng, 3) == 0 && n > 0)
            n = (size_t)ak_rng_below(&rng, n);
        put(&b, f->synced.data, f->synced.len, 0);
        for (size_t k = 0; k < n; k++)
            apply_torn(&b, &f->changes[k], chance, &rng);
        there = f->removed ? f->certain && ak_rng_below(&rng, 2) == 0
                           : f->certain || ak_rng_below(&rng, 2) == 0;
        write_file(dir, f, &b, there);
        free(b.data);
    }
}
