/*
 * reservoir.c -- class-balancing reservoir sampling.
 *
 * Chrysakis and Moens, "Online Continual Learning from Imbalanced Data", ICML
 * 2020, algorithm 1: while there is room, a row is kept.  Then a class that is,
 * or once was, the largest is *full*: a row of it replaces one of its own, with
 * the chance that keeps these a uniform sample of it (Vitter's algorithm R); a
 * row of any other class replaces one of a largest class.
 *
 * Differences: rows may be taken out, and then there is room again; of several
 * largest classes the row to go is drawn from all.
 */
#include "server/reservoir.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/hash/label_map.h"

struct slot {
    uint64_t ordinal;
    uint32_t *labels; /* owned */
    uint32_t n_labels;
    uint32_t class;
    bool read; /* its vector is there */
};

struct class
{
    uint64_t seen;
    uint32_t held;
    bool full;
};

struct ak_reservoir {
    size_t cap, n, dim;
    struct ak_rng rng;
    struct ak_label_map map;
    struct class *classes; /* of the map, in its order */
    size_t cap_classes;
    size_t room;        /* slots that there is memory for, cap at most */
    struct slot *slots; /* (room) */
    float *x;           /* (room, dim) */
    uint32_t *order;    /* (room), scratch of a draw */
};

enum ak_status ak_reservoir_create(size_t rows, size_t dim, uint64_t seed,
                                   struct ak_reservoir **out,
                                   struct ak_err *err)
{
    struct ak_reservoir *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a reservoir");
    r->cap = rows;
    r->dim = dim;
    ak_rng_init(&r->rng, ak_rng_derive(seed, "reservoir"));
    *out = r;
    return AK_OK;
}

void ak_reservoir_destroy(struct ak_reservoir *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->n; i++)
        free(r->slots[i].labels);
    free(r->slots);
    free(r->classes);
    free(r->order);
    ak_array_free(r->x);
    ak_label_map_clear(&r->map);
    free(r);
}

size_t ak_reservoir_count(const struct ak_reservoir *r)
{
    return r->n;
}

size_t ak_reservoir_bytes(const struct ak_reservoir *r)
{
    return r->room * (sizeof(*r->slots) + sizeof(*r->order) +
                      r->dim * sizeof(*r->x)) +
           r->cap_classes * sizeof(*r->classes);
}

static enum ak_status no_memory(const struct ak_reservoir *r,
                                struct ak_err *err)
{
    return ak_fail(err, AK_ENOMEM, "no memory for a reservoir of %zu rows",
                   r->cap);
}

/* Memory for n slots; it grows by doubling, since many are never filled. */
static enum ak_status reserve(struct ak_reservoir *r, size_t n,
                              struct ak_err *err)
{
    size_t room = r->room > 0 ? r->room : 64;
    struct slot *slots;
    uint32_t *order;
    float *x;

    if (n <= r->room)
        return AK_OK;
    while (room < n)
        room *= 2;
    room = room < r->cap ? room : r->cap;
    slots = realloc(r->slots, room * sizeof(*slots));
    if (slots == NULL)
        return no_memory(r, err);
    r->slots = slots;
    order = realloc(r->order, room * sizeof(*order));
    if (order == NULL)
        return no_memory(r, err);
    r->order = order;
    x = ak_array_new(room * r->dim, sizeof(*x));
    if (x == NULL)
        return no_memory(r, err);
    if (r->n > 0)
        memcpy(x, r->x, r->n * r->dim * sizeof(*x));
    ak_array_free(r->x);
    r->x = x;
    r->room = room;
    return AK_OK;
}

static enum ak_status reserve_classes(struct ak_reservoir *r, size_t n,
                                      struct ak_err *err)
{
    size_t cap = r->cap_classes > 0 ? r->cap_classes : 16;
    struct class *classes;

    if (n <= r->cap_classes)
        return AK_OK;
    while (cap < n)
        cap *= 2;
    classes = realloc(r->classes, cap * sizeof(*classes));
    if (classes == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu classes", n);
    r->classes = classes;
    r->cap_classes = cap;
    return AK_OK;
}

static enum ak_status class_of(struct ak_reservoir *r, uint32_t label,
                               uint32_t *class, struct ak_err *err)
{
    enum ak_status status;

    *class = ak_label_map_find(&r->map, label);
    if (*class != AK_NO_CLASS)
        return AK_OK;
    status = ak_label_map_reserve(&r->map, (size_t)r->map.n + 1, err);
    if (status == AK_OK)
        status = reserve_classes(r, (size_t)r->map.n + 1, err);
    if (status != AK_OK)
        return status;
    *class = ak_label_map_add(&r->map, label);
    r->classes[*class] = (struct class){.seen = 0};
    return AK_OK;
}

static uint32_t largest(const struct ak_reservoir *r)
{
    uint32_t most = 0;

    for (uint32_t c = 0; c < r->map.n; c++)
        most = r->classes[c].held > most ? r->classes[c].held : most;
    return most;
}

/* Those that are largest now are full from here on. */
static void mark_full(struct ak_reservoir *r)
{
    uint32_t most = largest(r);

    for (uint32_t c = 0; c < r->map.n; c++)
        r->classes[c].full |= r->classes[c].held == most;
}

/* A random slot of a class, or of any of the largest. */
static size_t pick(struct ak_reservoir *r, uint32_t class, bool of_largest)
{
    uint32_t most = of_largest ? largest(r) : 0;
    uint32_t n = 0;

    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t c = r->slots[i].class;

        if (of_largest ? r->classes[c].held == most : c == class)
            r->order[n++] = i;
    }
    return r->order[ak_rng_below(&r->rng, n)];
}

/* The slot that a row of a class goes to; `cap` for none. */
static size_t place_for(struct ak_reservoir *r, uint32_t class)
{
    struct class *c = &r->classes[class];

    if (r->n < r->cap)
        return r->n;
    if (!c->full)
        return pick(r, class, true);
    /* All of it may have been taken out. */
    if (c->held == 0 || ak_rng_below(&r->rng, c->seen) >= c->held)
        return r->cap;
    return pick(r, class, false);
}

enum ak_status ak_reservoir_offer(struct ak_reservoir *r, uint64_t ordinal,
                                  const uint32_t *labels, size_t n_labels,
                                  const float *x, struct ak_err *err)
{
    uint32_t class, *copy;
    struct slot *s;
    size_t at;
    enum ak_status status = class_of(r, labels[0], &class, err);

    if (status == AK_OK && r->n < r->cap)
        status = reserve(r, r->n + 1, err);
    if (status != AK_OK)
        return status;
    copy = malloc(n_labels * sizeof(*copy));
    if (copy == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu labels", n_labels);
    memcpy(copy, labels, n_labels * sizeof(*copy));
    r->classes[class].seen++;
    at = place_for(r, class);
    if (at == r->cap) {
        free(copy);
        return AK_OK;
    }
    s = &r->slots[at];
    if (at == r->n) {
        r->n++;
    } else {
        r->classes[s->class].held--;
        free(s->labels);
    }
    *s = (struct slot){.ordinal = ordinal,
                       .labels = copy,
                       .n_labels = (uint32_t)n_labels,
                       .class = class,
                       .read = true};
    memcpy(r->x + at * r->dim, x, r->dim * sizeof(*x));
    r->classes[class].held++;
    if (r->n == r->cap)
        mark_full(r);
    return AK_OK;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

void ak_reservoir_remove(struct ak_reservoir *r, const uint64_t *gone,
                         size_t n_gone)
{
    if (n_gone == 0)
        return;
    for (size_t i = 0; i < r->n;) {
        struct slot *s = &r->slots[i];

        if (!bsearch(&s->ordinal, gone, n_gone, sizeof(*gone), by_number)) {
            i++;
            continue;
        }
        r->classes[s->class].held--;
        free(s->labels);
        r->n--;
        if (i == r->n)
            break;
        *s = r->slots[r->n];
        memcpy(r->x + i * r->dim, r->x + r->n * r->dim, r->dim * sizeof(*r->x));
    }
}

/* All vectors that are missing, since in order they are cheaper. */
static enum ak_status fetch(struct ak_reservoir *r, struct ak_view *view,
                            const struct ak_settings *settings,
                            struct ak_err *err)
{
    uint64_t *ordinals = NULL;
    float *x = NULL;
    size_t n = 0;
    enum ak_status status = AK_OK;

    for (size_t i = 0; i < r->n; i++)
        n += !r->slots[i].read;
    if (n == 0)
        return AK_OK;
    ordinals = calloc(n, sizeof(*ordinals));
    x = ak_array_new(n * r->dim, sizeof(*x));
    if (ordinals == NULL || x == NULL) {
        status = ak_fail(err, AK_ENOMEM, "no memory to read %zu rows", n);
        goto out;
    }
    n = 0;
    for (size_t i = 0; i < r->n; i++)
        if (!r->slots[i].read)
            ordinals[n++] = r->slots[i].ordinal;
    status = ak_rows_read(view, settings, ordinals, n, x, err);
    n = 0;
    for (size_t i = 0; status == AK_OK && i < r->n; i++) {
        if (r->slots[i].read)
            continue;
        memcpy(r->x + i * r->dim, x + n++ * r->dim, r->dim * sizeof(*x));
        r->slots[i].read = true;
    }

out:
    ak_array_free(x);
    free(ordinals);
    return status;
}

enum ak_status ak_reservoir_draw(struct ak_reservoir *r, size_t n,
                                 struct ak_view *view,
                                 const struct ak_settings *settings,
                                 struct ak_row_list *to, struct ak_err *err)
{
    enum ak_status status = fetch(r, view, settings, err);

    for (uint32_t i = 0; i < r->n; i++)
        r->order[i] = i;
    for (size_t i = 0; status == AK_OK && i < n && i < r->n; i++) {
        size_t other = i + (size_t)ak_rng_below(&r->rng, r->n - i);
        uint32_t at = r->order[other];
        const struct slot *s = &r->slots[at];

        r->order[other] = r->order[i];
        r->order[i] = at;
        status = ak_row_list_push(to, s->ordinal, s->labels, s->n_labels,
                                  r->x + at * r->dim, err);
    }
    return status;
}

/* The generator, the classes, the slots. */
void ak_reservoir_save(const struct ak_reservoir *r, struct ak_writer *w)
{
    ak_write_u64(w, r->rng.state);
    ak_label_map_write(&r->map, w);
    for (uint32_t c = 0; c < r->map.n; c++) {
        ak_write_u64(w, r->classes[c].seen);
        ak_write_u8(w, r->classes[c].full);
    }
    ak_write_u64(w, r->n);
    for (size_t i = 0; i < r->n; i++) {
        const struct slot *s = &r->slots[i];

        ak_write_u64(w, s->ordinal);
        ak_write_u32(w, s->n_labels);
        ak_write_u32s(w, s->labels, s->n_labels);
    }
}

static enum ak_status damaged(struct ak_err *err)
{
    return ak_fail(err, AK_ECORRUPT, "a saved reservoir is damaged");
}

static enum ak_status load_slot(struct ak_reservoir *r, struct slot *s,
                                struct ak_reader *in, struct ak_err *err)
{
    s->ordinal = ak_read_u64(in);
    s->n_labels = ak_read_u32(in);
    if (in->status != AK_OK || s->n_labels == 0 ||
        s->n_labels > ak_reader_left(in) / sizeof(uint32_t))
        return damaged(err);
    s->labels = malloc(s->n_labels * sizeof(*s->labels));
    if (s->labels == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %u labels", s->n_labels);
    r->n++; /* from here on its labels are freed with it */
    ak_read_u32s(in, s->labels, s->n_labels);
    s->class = ak_label_map_find(&r->map, s->labels[0]);
    if (in->status != AK_OK || s->class == AK_NO_CLASS)
        return damaged(err);
    r->classes[s->class].held++;
    s->read = false;
    return AK_OK;
}

enum ak_status ak_reservoir_load(struct ak_reservoir *r, struct ak_reader *in,
                                 struct ak_err *err)
{
    uint64_t n;
    enum ak_status status;

    r->rng.state = ak_read_u64(in);
    status = ak_label_map_read(&r->map, UINT32_MAX, in, err);
    if (status == AK_OK)
        status = reserve_classes(r, r->map.n, err);
    if (status != AK_OK)
        return status;
    for (uint32_t c = 0; c < r->map.n; c++) {
        r->classes[c] = (struct class){.seen = ak_read_u64(in)};
        r->classes[c].full = ak_read_u8(in) != 0;
    }
    n = ak_read_u64(in);
    if (in->status != AK_OK || n > r->cap)
        return damaged(err);
    status = reserve(r, (size_t)n, err);
    if (status != AK_OK)
        return status;
    for (uint64_t i = 0; i < n; i++) {
        status = load_slot(r, &r->slots[i], in, err);
        if (status != AK_OK)
            return status;
    }
    return AK_OK;
}
