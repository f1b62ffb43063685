#include "server/row_list.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/engine.h"

/* Rows that are read in one piece. */
#define PIECE 512

struct wanted {
    uint64_t ordinal;
    size_t place;
};

static int by_ordinal(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;

    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

/* Length of the run of neighbours at the head of `w`. */
static size_t run_of(const struct wanted *w, size_t n)
{
    size_t i = 1;

    while (i < n && i < PIECE && w[i].ordinal == w[0].ordinal + i)
        i++;
    return i;
}

enum ak_status ak_rows_read(struct ak_view *view,
                            const struct ak_settings *settings,
                            const uint64_t *ordinals, size_t n, float *x,
                            struct ak_err *err)
{
    const struct ak_space space = ak_settings_space(settings);
    size_t room = n < PIECE ? n : PIECE, dim = settings->dim;
    struct wanted *wanted = calloc(n + 1, sizeof(*wanted));
    void *block = calloc(room + 1, ak_settings_row_bytes(settings));
    float *piece = ak_array_new(room * dim, sizeof(*piece));
    enum ak_status status = AK_OK;

    if (wanted == NULL || block == NULL || piece == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory to read %zu rows", n);
    for (size_t i = 0; status == AK_OK && i < n; i++)
        wanted[i] = (struct wanted){ordinals[i], i};
    if (status == AK_OK)
        qsort(wanted, n, sizeof(*wanted), by_ordinal);
    for (size_t at = 0; status == AK_OK && at < n;) {
        size_t run = run_of(wanted + at, n - at);

        status =
            ak_view_block(view, &space, wanted[at].ordinal, run, block, err);
        if (status != AK_OK)
            break;
        ak_collection_unpack(settings, block, run, piece);
        for (size_t i = 0; i < run; i++)
            memcpy(x + wanted[at + i].place * dim, piece + i * dim,
                   dim * sizeof(*x));
        at += run;
    }
    ak_array_free(piece);
    free(block);
    free(wanted);
    return status;
}

void ak_row_list_init(struct ak_row_list *l, size_t dim)
{
    memset(l, 0, sizeof(*l));
    l->dim = dim;
}

void ak_row_list_clear(struct ak_row_list *l)
{
    free(l->ordinals);
    free(l->first);
    free(l->labels);
    ak_array_free(l->x);
    ak_row_list_init(l, l->dim);
}

void ak_row_list_reset(struct ak_row_list *l)
{
    l->n = l->n_unread = 0;
}

size_t ak_row_list_bytes(const struct ak_row_list *l)
{
    return l->cap * (sizeof(*l->ordinals) + sizeof(*l->first) +
                     l->dim * sizeof(*l->x)) +
           l->cap_labels * sizeof(*l->labels);
}

static enum ak_status no_memory(size_t n, struct ak_err *err)
{
    return ak_fail(err, AK_ENOMEM, "no memory for a list of %zu rows", n);
}

enum ak_status ak_row_list_reserve(struct ak_row_list *l, size_t n,
                                   struct ak_err *err)
{
    uint64_t *ordinals;
    uint32_t *first;
    float *x;

    if (n <= l->cap)
        return AK_OK;
    ordinals = realloc(l->ordinals, n * sizeof(*ordinals));
    if (ordinals == NULL)
        return no_memory(n, err);
    l->ordinals = ordinals;
    first = realloc(l->first, (n + 1) * sizeof(*first));
    if (first == NULL)
        return no_memory(n, err);
    l->first = first;
    l->first[0] = 0;
    x = ak_array_new(n * l->dim, sizeof(*x));
    if (x == NULL)
        return no_memory(n, err);
    if (l->n > 0)
        memcpy(x, l->x, l->n * l->dim * sizeof(*x));
    ak_array_free(l->x);
    l->x = x;
    l->cap = n;
    return AK_OK;
}

static enum ak_status reserve_labels(struct ak_row_list *l, size_t n,
                                     struct ak_err *err)
{
    size_t cap = l->cap_labels > 0 ? l->cap_labels : 64;
    uint32_t *labels;

    if (n <= l->cap_labels)
        return AK_OK;
    while (cap < n)
        cap *= 2;
    labels = realloc(l->labels, cap * sizeof(*labels));
    if (labels == NULL)
        return no_memory(l->n, err);
    l->labels = labels;
    l->cap_labels = cap;
    return AK_OK;
}

enum ak_status ak_row_list_push(struct ak_row_list *l, uint64_t ordinal,
                                const uint32_t *labels, size_t n_labels,
                                const float *x, struct ak_err *err)
{
    enum ak_status status = AK_OK;
    size_t at;

    if (l->n == l->cap)
        status = ak_row_list_reserve(l, l->cap > 0 ? 2 * l->cap : 16, err);
    at = l->n > 0 ? l->first[l->n] : 0;
    if (status == AK_OK)
        status = reserve_labels(l, at + n_labels, err);
    if (status != AK_OK)
        return status;
    if (n_labels > 0)
        memcpy(l->labels + at, labels, n_labels * sizeof(*labels));
    l->ordinals[l->n] = ordinal;
    l->first[l->n + 1] = (uint32_t)(at + n_labels);
    memcpy(l->x + l->n * l->dim, x, l->dim * sizeof(*x));
    l->n++;
    return AK_OK;
}

void ak_row_list_cut(struct ak_row_list *l, size_t n)
{
    if (n < l->n)
        l->n = n;
    if (l->n_unread > l->n)
        l->n_unread = l->n;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Row i goes to place `to`, not behind it. */
static void move_row(struct ak_row_list *l, size_t i, size_t to)
{
    uint32_t from = l->first[i], n = l->first[i + 1] - from;

    if (i == to)
        return;
    l->ordinals[to] = l->ordinals[i];
    memmove(l->labels + l->first[to], l->labels + from, n * sizeof(*l->labels));
    l->first[to + 1] = l->first[to] + n;
    memcpy(l->x + to * l->dim, l->x + i * l->dim, l->dim * sizeof(*l->x));
}

size_t ak_row_list_remove(struct ak_row_list *l, const uint64_t *gone,
                          size_t n_gone)
{
    size_t kept = 0, unread = l->n_unread, before = l->n;

    if (n_gone == 0 || l->n == 0)
        return 0;
    for (size_t i = 0; i < l->n; i++) {
        if (bsearch(&l->ordinals[i], gone, n_gone, sizeof(*gone), by_number)) {
            l->n_unread -= i < unread;
            continue;
        }
        move_row(l, i, kept++);
    }
    l->n = kept;
    return before - kept;
}

enum ak_status ak_row_list_fetch(struct ak_row_list *l, struct ak_view *view,
                                 const struct ak_settings *settings,
                                 struct ak_err *err)
{
    enum ak_status status = AK_OK;

    if (l->n_unread > 0)
        status =
            ak_rows_read(view, settings, l->ordinals, l->n_unread, l->x, err);
    if (status == AK_OK)
        l->n_unread = 0;
    return status;
}

void ak_row_list_save(const struct ak_row_list *l, struct ak_writer *w)
{
    ak_write_u64(w, l->n);
    if (l->n == 0)
        return;
    ak_write_u64s(w, l->ordinals, l->n);
    ak_write_u32s(w, l->first, l->n + 1);
    ak_write_u32s(w, l->labels, l->first[l->n]);
}

enum ak_status ak_row_list_load(struct ak_row_list *l, size_t most,
                                struct ak_reader *r, struct ak_err *err)
{
    uint64_t n = ak_read_u64(r);
    enum ak_status status;

    ak_row_list_reset(l);
    if (r->status != AK_OK || n > most || n > ak_reader_left(r) / 8)
        return ak_fail(err, AK_ECORRUPT,
                       "a list of %llu rows, at most %zu can be",
                       (unsigned long long)n, most);
    if (n == 0)
        return AK_OK;
    status = ak_row_list_reserve(l, (size_t)n, err);
    if (status != AK_OK)
        return status;
    ak_read_u64s(r, l->ordinals, (size_t)n);
    ak_read_u32s(r, l->first, (size_t)n + 1);
    for (size_t i = 0; r->status == AK_OK && i < n; i++)
        if (l->first[i] > l->first[i + 1] || l->first[0] != 0)
            r->status = AK_ECORRUPT;
    if (r->status != AK_OK || l->first[n] > ak_reader_left(r) / 4)
        return ak_fail(err, AK_ECORRUPT, "a list of %llu rows is cut short",
                       (unsigned long long)n);
    status = reserve_labels(l, l->first[n], err);
    if (status != AK_OK)
        return status;
    ak_read_u32s(r, l->labels, l->first[n]);
    l->n = l->n_unread = (size_t)n;
    return AK_OK;
}
