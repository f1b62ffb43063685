#include "core/code/index_internal.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/code/partition_internal.h"

struct ak_index {
    /*
     * Guards `current` alone, and only while a reference is taken or the
     * pointer exchanged; the mutator needs no lock for the rest, as there is
     * one at a time.
     */
    pthread_mutex_t lock;
    struct ak_snapshot *current;

    struct ak_snapshot next; /* the fields of the next snapshot, in progress */
    bool changed;            /* since the last commit */
    struct ak_segment **segments;
    size_t n_segments; /* may be more than the rows need */
    size_t cap;
    struct ak_slab *slab;    /* for the codes of the next segment */
    struct ak_segment *dead; /* for all that are full of dead rows, or NULL */
};

/* ----------------------------------------------------------- copy on write */

static void replace(struct ak_segment **at, struct ak_segment *segment)
{
    ak_ref_drop(&(*at)->ref);
    *at = segment;
}

/* Segment `i`, for its pointers to be changed; NULL without memory. */
static struct ak_segment *own_segment(struct ak_index *ix, size_t i)
{
    struct ak_segment *copy;

    if (ak_part_owned(&ix->segments[i]->ref))
        return ix->segments[i];
    copy = ak_segment_copy(ix->segments[i], NULL);
    if (copy != NULL)
        replace(&ix->segments[i], copy);
    return copy;
}

/* The tombstones of segment `i`, for a bit to be set. */
static enum ak_status own_dead(struct ak_index *ix, size_t i)
{
    struct ak_segment *segment = own_segment(ix, i);
    struct ak_dead *copy;

    if (segment == NULL)
        return AK_ENOMEM;
    if (segment->dead != NULL && ak_part_owned(&segment->dead->ref))
        return AK_OK;
    copy = ak_dead_copy(segment->dead);
    if (copy == NULL)
        return AK_ENOMEM;
    if (segment->dead != NULL)
        ak_ref_drop(&segment->dead->ref);
    segment->dead = copy;
    return AK_OK;
}

/* New labels for segment `i` with room for lists: a copy of what is there. */
static enum ak_status grow_labels(struct ak_index *ix, size_t i, size_t room)
{
    struct ak_segment *segment = own_segment(ix, i);
    struct ak_labels *copy;

    if (segment == NULL)
        return AK_ENOMEM;
    if (segment->labels == NULL) {
        copy = ak_labels_new(room);
    } else {
        /* Twice what there is, so that n appends copy O(n). */
        if (room > 0 && room < segment->labels->cap)
            room = segment->labels->cap;
        copy = ak_labels_copy(segment->labels, room);
    }
    if (copy == NULL)
        return AK_ENOMEM;
    if (segment->labels != NULL)
        ak_ref_drop(&segment->labels->ref);
    segment->labels = copy;
    return AK_OK;
}

static enum ak_status grow_text(struct ak_index *ix, size_t i, size_t more)
{
    struct ak_segment *segment = own_segment(ix, i);
    struct ak_ids *copy;
    size_t cap;

    if (segment == NULL)
        return AK_ENOMEM;
    cap = segment->ids->used + more;
    if (cap < 2 * (size_t)segment->ids->cap)
        cap = 2 * (size_t)segment->ids->cap;
    copy = ak_ids_copy(segment->ids, cap < UINT32_MAX ? cap : UINT32_MAX);
    if (copy == NULL)
        return AK_ENOMEM;
    ak_ref_drop(&segment->ids->ref);
    segment->ids = copy;
    return AK_OK;
}

/* ------------------------------------------------------------------ append */

/* What rows from..to of a batch, which go to one segment, need there. */
struct need {
    size_t text;
    size_t lists;
    bool labels;
    bool dead;
};

static size_t labels_of(const struct ak_index_batch *batch, size_t i,
                        const uint32_t **labels)
{
    if (batch->first == NULL)
        return 0;
    *labels = batch->labels + batch->first[i];
    return batch->first[i + 1] - batch->first[i];
}

static struct need count_need(const struct ak_index *ix,
                              const struct ak_index_batch *batch, size_t from,
                              size_t to)
{
    struct need need = {0};

    for (size_t i = from; i < to; i++) {
        const uint32_t *labels = NULL;
        size_t n = labels_of(batch, i, &labels);

        need.labels = need.labels || n > 0;
        need.lists += ak_labels_room(labels, n);
        need.dead = need.dead || (batch->dead != NULL && batch->dead[i]);
        if (ix->next.ids == AK_ID_STRING)
            need.text += batch->ids[i].len;
    }
    return need;
}

static enum ak_status too_many_labels(struct ak_err *err)
{
    return ak_fail(err, AK_ELIMIT, "more than %u labels in %d rows",
                   AK_LABEL_LIST / 4, AK_SEGMENT_ROWS);
}

static enum ak_status no_memory(struct ak_err *err)
{
    return ak_fail(err, AK_ENOMEM, "no memory for a segment of %d rows",
                   AK_SEGMENT_ROWS);
}

/* All that segment `i` needs before rows can be written that cannot fail. */
static enum ak_status prepare(struct ak_index *ix, size_t i,
                              const struct need *need, struct ak_err *err)
{
    const struct ak_segment *segment;

    if (i == ix->n_segments) {
        struct ak_segment *added =
            ak_segment_new(ix->next.words, ix->next.ids, &ix->slab);

        if (added == NULL)
            goto no_memory;
        ix->segments[ix->n_segments++] = added;
    }
    segment = ix->segments[i];
    if (need->text > UINT32_MAX - segment->ids->used)
        return ak_fail(err, AK_ELIMIT,
                       "the ids of %d rows take %zu bytes, must be at most %u",
                       AK_SEGMENT_ROWS, segment->ids->used + need->text,
                       UINT32_MAX);
    /* A quarter of the places: a copy may double what there is. */
    if (need->lists >= AK_LABEL_LIST / 4 ||
        (segment->labels != NULL && segment->labels->cap >= AK_LABEL_LIST / 4))
        return too_many_labels(err);
    if (need->text > segment->ids->cap - segment->ids->used &&
        grow_text(ix, i, need->text) != AK_OK)
        goto no_memory;
    segment = ix->segments[i];
    if (need->labels &&
        (segment->labels == NULL ||
         need->lists > segment->labels->cap - segment->labels->used) &&
        grow_labels(ix, i, need->lists) != AK_OK)
        goto no_memory;
    if (need->dead && own_dead(ix, i) != AK_OK)
        goto no_memory;
    return AK_OK;

no_memory:
    return no_memory(err);
}

static enum ak_status reserve(struct ak_index *ix, size_t n_segments,
                              struct ak_err *err)
{
    size_t cap = n_segments + n_segments / 2 + 8;
    struct ak_segment **segments;

    if (n_segments <= ix->cap)
        return AK_OK;
    segments = ak_array_new(cap, sizeof(*segments));
    if (segments == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu segments", cap);
    if (ix->n_segments > 0)
        memcpy(segments, ix->segments, ix->n_segments * sizeof(*segments));
    ak_array_free(ix->segments);
    ix->segments = segments;
    ix->cap = cap;
    return AK_OK;
}

static void kill_row(struct ak_index *ix, uint64_t ordinal)
{
    size_t row = ordinal % AK_SEGMENT_ROWS;
    struct ak_dead *dead = ix->segments[ordinal / AK_SEGMENT_ROWS]->dead;

    dead->bits[row / 64] |= (uint64_t)1 << (row % 64);
}

static bool is_all_dead(const struct ak_segment *segment)
{
    size_t w = 0;

    if (segment->dead == NULL)
        return false;
    while (w < AK_SEGMENT_WORDS && segment->dead->bits[w] == UINT64_MAX)
        w++;
    return w == AK_SEGMENT_WORDS;
}

/* A full segment gives its memory back when it has no living row; where there is
   none for what takes its place it stays. */
static void bury(struct ak_index *ix, size_t i)
{
    if (ix->segments[i]->all_dead || !is_all_dead(ix->segments[i]))
        return;
    if (ix->dead == NULL)
        ix->dead = ak_segment_dead(ix->next.words, ix->next.ids);
    if (ix->dead == NULL)
        return;
    ak_ref_take(&ix->dead->ref);
    replace(&ix->segments[i], ix->dead);
}

bool ak_index_all_dead(const struct ak_index *ix, uint64_t segment)
{
    return segment < ix->n_segments && ix->segments[segment]->all_dead;
}

static void write_row(struct ak_index *ix, uint64_t ordinal,
                      const struct ak_index_batch *batch, size_t i)
{
    struct ak_segment *segment = ix->segments[ordinal / AK_SEGMENT_ROWS];
    size_t row = ordinal % AK_SEGMENT_ROWS;
    const struct ak_id *id = &batch->ids[i];
    struct ak_ids *ids = segment->ids;
    uint64_t words[AK_CODE_MAX_WORDS];
    const uint32_t *labels = NULL;
    size_t n_labels = labels_of(batch, i, &labels);

    ak_code_load(batch->codes + i * ak_code_bytes(ix->next.bits), ix->next.bits,
                 words);
    ak_hamming_put(segment->codes->words, row, ix->next.words, words);
    if (ix->next.ids == AK_ID_INTEGER) {
        ids->numbers[row] = id->number;
    } else {
        if (id->len > 0)
            memcpy(ids->text + ids->used, id->text, id->len);
        ids->used += (uint32_t)id->len;
        ids->first[row + 1] = ids->used;
    }
    if (n_labels > 0)
        ak_labels_put(segment->labels, row, labels, n_labels);
    if (batch->dead != NULL && batch->dead[i])
        kill_row(ix, ordinal);
    else
        ix->next.live++;
}

/* A segment that is full: its ids change no more.  Without memory they stay as
   they are. */
static void seal(struct ak_index *ix, size_t i)
{
    struct ak_ids *packed = ak_ids_pack(ix->segments[i]->ids);
    struct ak_segment *segment = packed != NULL ? own_segment(ix, i) : NULL;

    if (segment != NULL) {
        ak_ref_drop(&segment->ids->ref);
        segment->ids = packed;
    } else if (packed != NULL) {
        ak_ref_drop(&packed->ref);
    }
}

enum ak_status ak_index_append(struct ak_index *ix,
                               const struct ak_index_batch *batch,
                               struct ak_err *err)
{
    uint64_t rows = ix->next.rows;
    size_t from = 0;

    if (reserve(ix, ak_segments_of(rows + batch->n), err) != AK_OK)
        return AK_ENOMEM;
    while (from < batch->n) {
        size_t left = AK_SEGMENT_ROWS - (rows + from) % AK_SEGMENT_ROWS;
        size_t to = batch->n - from < left ? batch->n : from + left;
        struct need need = count_need(ix, batch, from, to);
        enum ak_status status =
            prepare(ix, (size_t)((rows + from) / AK_SEGMENT_ROWS), &need, err);

        if (status != AK_OK)
            return status;
        from = to;
    }
    for (size_t i = 0; i < batch->n; i++)
        write_row(ix, rows + i, batch, i);
    for (uint64_t at = rows / AK_SEGMENT_ROWS;
         at < (rows + batch->n) / AK_SEGMENT_ROWS; at++) {
        if (ix->next.ids == AK_ID_INTEGER)
            seal(ix, (size_t)at);
        bury(ix, (size_t)at);
    }
    ix->next.rows += batch->n;
    ix->changed = ix->changed || batch->n > 0;
    return AK_OK;
}

enum ak_status ak_index_append_segment(struct ak_index *ix,
                                       const struct ak_index_segment *segment,
                                       struct ak_err *err)
{
    size_t i = (size_t)(ix->next.rows / AK_SEGMENT_ROWS);
    size_t lists = ak_segment_lists(segment);
    struct ak_segment *added;

    if (ix->next.rows % AK_SEGMENT_ROWS != 0)
        return ak_fail(err, AK_EINVAL, "a segment behind %llu rows",
                       (unsigned long long)ix->next.rows);
    if (lists >= AK_LABEL_LIST / 4)
        return too_many_labels(err);
    if (reserve(ix, i + 1, err) != AK_OK)
        return AK_ENOMEM;
    added =
        ak_segment_fill(ix->next.bits, ix->next.ids, segment, lists, &ix->slab);
    if (added == NULL)
        return no_memory(err);
    if (i < ix->n_segments)
        replace(&ix->segments[i], added);
    else
        ix->segments[ix->n_segments++] = added;
    ix->next.rows += AK_SEGMENT_ROWS;
    ix->next.live += AK_SEGMENT_ROWS;
    for (size_t w = 0; w < AK_SEGMENT_WORDS && segment->dead != NULL; w++)
        ix->next.live -= (uint64_t)__builtin_popcountll(segment->dead[w]);
    bury(ix, i);
    ix->changed = true;
    return AK_OK;
}

/* ---------------------------------------------------------- kill and relabel */

static enum ak_status check_row(const struct ak_index *ix, uint64_t ordinal,
                                struct ak_err *err)
{
    if (ordinal < ix->next.rows)
        return AK_OK;
    return ak_fail(err, AK_ENOTFOUND, "row is %llu, must be below %llu",
                   (unsigned long long)ordinal,
                   (unsigned long long)ix->next.rows);
}

enum ak_status ak_index_kill(struct ak_index *ix, uint64_t ordinal,
                             struct ak_err *err)
{
    size_t i = (size_t)(ordinal / AK_SEGMENT_ROWS);
    size_t row = ordinal % AK_SEGMENT_ROWS;
    enum ak_status status = check_row(ix, ordinal, err);

    if (status != AK_OK)
        return status;
    if (ix->segments[i]->dead != NULL &&
        (ix->segments[i]->dead->bits[row / 64] >> (row % 64) & 1) != 0)
        return ak_fail(err, AK_ENOTFOUND, "row %llu is dead already",
                       (unsigned long long)ordinal);
    if (own_dead(ix, i) != AK_OK)
        return ak_fail(err, AK_ENOMEM, "no memory for a tombstone");
    kill_row(ix, ordinal);
    bury(ix, i);
    ix->next.live--;
    ix->changed = true;
    return AK_OK;
}

enum ak_status ak_index_relabel(struct ak_index *ix, uint64_t ordinal,
                                const uint32_t *labels, size_t n_labels,
                                struct ak_err *err)
{
    size_t i = (size_t)(ordinal / AK_SEGMENT_ROWS);
    size_t room = ak_labels_room(labels, n_labels);
    enum ak_status status = check_row(ix, ordinal, err);
    struct ak_labels *own;

    if (status != AK_OK)
        return status;
    if (ix->segments[i]->all_dead)
        return AK_OK;
    own = ix->segments[i]->labels;
    if (room >= AK_LABEL_LIST / 4 ||
        (own != NULL && own->cap >= AK_LABEL_LIST / 4))
        return too_many_labels(err);
    if (own == NULL && n_labels == 0)
        return AK_OK;
    /* The labels may be owned by a segment that is not. */
    if ((own == NULL || !ak_part_owned(&ix->segments[i]->ref) ||
         !ak_part_owned(&own->ref) || room > own->cap - own->used) &&
        grow_labels(ix, i, room) != AK_OK)
        return ak_fail(err, AK_ENOMEM, "no memory for labels");
    ak_labels_drop_index(ix->segments[i]->labels);
    ak_labels_put(ix->segments[i]->labels, ordinal % AK_SEGMENT_ROWS, labels,
                  n_labels);
    ix->changed = true;
    return AK_OK;
}

uint64_t ak_index_rows(const struct ak_index *ix)
{
    return ix->next.rows;
}

/* -------------------------------------------------------------- publication */

static void publish(struct ak_index *ix, struct ak_snapshot *s)
{
    struct ak_snapshot *old;

    pthread_mutex_lock(&ix->lock);
    old = ix->current;
    ix->current = s;
    pthread_mutex_unlock(&ix->lock);
    ak_snapshot_drop(old);
    ix->changed = false;
}

enum ak_status ak_index_commit(struct ak_index *ix, struct ak_err *err)
{
    struct ak_snapshot *s;

    if (!ix->changed)
        return AK_OK;
    s = ak_snapshot_new(&ix->next, ix->segments);
    if (s == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a snapshot");
    publish(ix, s);
    return AK_OK;
}

static void drop_slab(struct ak_slab *slab)
{
    if (slab != NULL)
        ak_ref_drop(&slab->ref);
}

static void drop_partition(struct ak_index *ix)
{
    if (ix->next.partition != NULL)
        ak_ref_drop(&ix->next.partition->ref);
    ix->next.partition = NULL;
}

static void drop_segments(struct ak_segment **segments, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ak_ref_drop(&segments[i]->ref);
    ak_array_free(segments);
}

/* The segments of the index with the codes of `column`, which may have some of
   rows that died since; NULL without memory. */
static struct ak_segment **with_column(const struct ak_index *ix,
                                       const struct ak_column *column)
{
    size_t n = ak_segments_of(ix->next.rows);
    struct ak_segment **segments = ak_array_new(ix->cap, sizeof(*segments));

    for (size_t i = 0; i < n && segments != NULL; i++) {
        if (ix->segments[i]->all_dead) {
            ak_ref_take(&ix->segments[i]->ref);
            segments[i] = ix->segments[i];
            continue;
        }
        assert(column->segments[i] != NULL); /* the dead do not rise */
        segments[i] = ak_segment_copy(ix->segments[i], column->segments[i]);
        if (segments[i] == NULL) {
            drop_segments(segments, i);
            segments = NULL;
        }
    }
    return segments;
}

enum ak_status ak_index_install(struct ak_index *ix, struct ak_column *column,
                                struct ak_ref *model, uint64_t version,
                                struct ak_err *err)
{
    struct ak_snapshot fields = ix->next;
    struct ak_segment **segments = ix->segments;
    struct ak_snapshot *s;

    if (column != NULL && column->bits != ix->next.bits)
        return ak_fail(err, AK_EINVAL, "codes have %u bits, must have %u",
                       column->bits, ix->next.bits);
    if (column != NULL && column->rows != ix->next.rows)
        return ak_fail(err, AK_EINVAL, "codes of %llu rows, must be of %llu",
                       (unsigned long long)column->rows,
                       (unsigned long long)ix->next.rows);
    if (column != NULL)
        segments = with_column(ix, column);
    if (segments == NULL && column != NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to install codes");
    fields.model = model;
    fields.version = version;
    if (column != NULL) {
        fields.column++;
        fields.partition = NULL;
    }
    s = ak_snapshot_new(&fields, segments);
    if (s == NULL) {
        if (column != NULL)
            drop_segments(segments, ak_segments_of(fields.rows));
        return ak_fail(err, AK_ENOMEM, "no memory for a snapshot");
    }
    if (column != NULL) {
        drop_partition(ix);
        drop_segments(ix->segments, ix->n_segments);
        ix->segments = segments;
        ix->n_segments = ak_segments_of(fields.rows);
        drop_slab(ix->slab);
        ix->slab = column->slab;
        column->slab = NULL;
        ak_column_destroy(column);
    }
    ak_ref_take(model);
    ak_ref_drop(ix->next.model);
    ix->next = fields;
    publish(ix, s);
    return AK_OK;
}

enum ak_status ak_index_partition(struct ak_index *ix,
                                  const struct ak_partition_build *b,
                                  struct ak_err *err)
{
    struct ak_partition *p = ak_partition_build_result(b);
    struct ak_snapshot fields = ix->next;
    struct ak_snapshot *s;

    assert(p != NULL);
    if (p->column != ix->next.column)
        return ak_fail(err, AK_EBUSY,
                       "the partition is of codes that are not installed");
    fields.partition = p;
    s = ak_snapshot_new(&fields, ix->segments);
    if (s == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a snapshot");
    ak_ref_take(&p->ref);
    drop_partition(ix);
    ix->next.partition = p;
    publish(ix, s);
    return AK_OK;
}

struct ak_snapshot *ak_index_snapshot(struct ak_index *ix)
{
    struct ak_snapshot *s;

    pthread_mutex_lock(&ix->lock);
    s = ix->current;
    ak_ref_take(&s->ref);
    pthread_mutex_unlock(&ix->lock);
    return s;
}

/* -------------------------------------------------------------------- life */

enum ak_status ak_index_create(uint32_t bits, enum ak_id_kind ids,
                               struct ak_index **out, struct ak_err *err)
{
    struct ak_index *ix = ak_array_new(1, sizeof(*ix));

    assert(bits >= AK_CODE_MIN_BITS && bits <= AK_CODE_MAX_BITS);
    if (ix == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for an index");
    ix->next.bits = bits;
    ix->next.words = ak_code_words(bits);
    ix->next.ids = ids;
    ix->current = ak_snapshot_new(&ix->next, NULL);
    if (ix->current == NULL || pthread_mutex_init(&ix->lock, NULL) != 0) {
        ak_snapshot_drop(ix->current);
        ak_array_free(ix);
        return ak_fail(err, AK_ENOMEM, "no memory for an index");
    }
    *out = ix;
    return AK_OK;
}

void ak_index_destroy(struct ak_index *ix)
{
    if (ix == NULL)
        return;
    ak_snapshot_drop(ix->current);
    drop_segments(ix->segments, ix->n_segments);
    drop_slab(ix->slab);
    if (ix->dead != NULL)
        ak_ref_drop(&ix->dead->ref);
    ak_ref_drop(ix->next.model);
    drop_partition(ix);
    pthread_mutex_destroy(&ix->lock);
    ak_array_free(ix);
}
