/*
 * labels.c -- an array of names and an open-addressing table of their numbers.
 *
 * A reader-writer lock guards both: a search result asks for a few names, a
 * stream adds one now and then.
 */
#include "server/labels.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct name {
    size_t len;
    char text[];
};

struct ak_labels {
    pthread_rwlock_t lock;
    struct name **names;
    uint32_t n, cap;
    uint32_t *slots; /* number + 1, or 0; a power of two, at most half full */
    uint32_t n_slots;
};

/* FNV-1a. */
static uint32_t hash(const void *text, size_t len)
{
    const unsigned char *c = text;
    uint32_t h = 0x811c9dc5u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ c[i]) * 0x01000193u;
    return h;
}

enum ak_status ak_labels_create(struct ak_labels **out, struct ak_err *err)
{
    struct ak_labels *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for labels");
    pthread_rwlock_init(&l->lock, NULL);
    *out = l;
    return AK_OK;
}

void ak_labels_destroy(struct ak_labels *l)
{
    if (l == NULL)
        return;
    for (uint32_t i = 0; i < l->n; i++)
        free(l->names[i]);
    free(l->names);
    free(l->slots);
    pthread_rwlock_destroy(&l->lock);
    free(l);
}

/* The slot of a name, or the free one where it belongs. */
static uint32_t *slot_of(const struct ak_labels *l, const void *name,
                         size_t len)
{
    uint32_t i = hash(name, len) & (l->n_slots - 1);

    for (;; i = (i + 1) & (l->n_slots - 1)) {
        const struct name *n;

        if (l->slots[i] == 0)
            return &l->slots[i];
        n = l->names[l->slots[i] - 1];
        if (n->len == len && memcmp(n->text, name, len) == 0)
            return &l->slots[i];
    }
}

static bool make_room(struct ak_labels *l)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? 2 * l->cap : 32;
        struct name **names = realloc(l->names, cap * sizeof(*names));

        if (names == NULL)
            return false;
        l->names = names;
        l->cap = cap;
    }
    if (2 * (l->n + 1) > l->n_slots) {
        uint32_t n_slots = l->n_slots ? 2 * l->n_slots : 64;
        uint32_t *slots = calloc(n_slots, sizeof(*slots));

        if (slots == NULL)
            return false;
        free(l->slots);
        l->slots = slots;
        l->n_slots = n_slots;
        for (uint32_t i = 0; i < l->n; i++)
            *slot_of(l, l->names[i]->text, l->names[i]->len) = i + 1;
    }
    return true;
}

enum ak_status ak_labels_add(struct ak_labels *l, const void *name, size_t len,
                             struct ak_err *err)
{
    struct name *copy = malloc(sizeof(*copy) + len + 1);
    bool ok;

    if (copy == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a label");
    copy->len = len;
    memcpy(copy->text, name, len);
    copy->text[len] = '\0';
    pthread_rwlock_wrlock(&l->lock);
    ok = make_room(l);
    if (ok) {
        l->names[l->n] = copy;
        *slot_of(l, copy->text, len) = ++l->n;
    }
    pthread_rwlock_unlock(&l->lock);
    if (!ok) {
        free(copy);
        return ak_fail(err, AK_ENOMEM, "no memory for a label");
    }
    return AK_OK;
}

uint32_t ak_labels_count(struct ak_labels *l)
{
    uint32_t n;

    pthread_rwlock_rdlock(&l->lock);
    n = l->n;
    pthread_rwlock_unlock(&l->lock);
    return n;
}

const char *ak_labels_name(struct ak_labels *l, uint32_t number)
{
    const char *name;

    pthread_rwlock_rdlock(&l->lock);
    name = number < l->n ? l->names[number]->text : NULL;
    pthread_rwlock_unlock(&l->lock);
    return name;
}

bool ak_labels_find(struct ak_labels *l, const void *name, size_t len,
                    uint32_t *number)
{
    uint32_t found = 0;

    pthread_rwlock_rdlock(&l->lock);
    if (l->n_slots > 0)
        found = *slot_of(l, name, len);
    pthread_rwlock_unlock(&l->lock);
    if (found > 0)
        *number = found - 1;
    return found > 0;
}
