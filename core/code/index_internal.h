/*
 * index_internal.h -- what an index is made of; core/code/ and its tests only.
 *
 * A snapshot is an array of segments; a segment is four counted parts.  Nothing
 * that a snapshot holds changes, with one exception: rows behind the snapshot's
 * length are written into the very same parts by the mutator.  Therefore
 *
 * - the mutator changes an object in place only for such rows, or if it is the
 *   only holder (`ak_part_owned()`); else it puts a copy in its place;
 * - a reader reads nothing of a row at or behind its snapshot's length, not even
 *   a lane in a register: the last group of codes is copied before the scan, and
 *   so are labels before they are compared 64 at a time;
 * - what several rows share (the words of tombstones, how much of an arena is
 *   used) is either copied on write or not read by readers.
 */
#ifndef AK_CORE_CODE_INDEX_INTERNAL_H
#define AK_CORE_CODE_INDEX_INTERNAL_H

#include "core/code/hamming.h"
#include "core/code/index.h"

#define AK_SEGMENT_GROUPS (AK_SEGMENT_ROWS / AK_HAMMING_GROUP)
#define AK_SEGMENT_WORDS  (AK_SEGMENT_ROWS / 64) /* of a bitmap of its rows */

/* ---------------------------------------------------------------- the parts */

/*
 * Memory for the codes of several segments, one after another, so that a scan
 * runs through long stretches.  Each is twice as long as the one before, up to a
 * huge page.
 */
struct ak_slab {
    struct ak_ref ref;
    size_t len;
    size_t n, used; /* segments; the mutator's */
    uint64_t *words;
};

/* The codes of one version, in the layout of hamming.h. */
struct ak_codes {
    struct ak_ref ref;
    size_t len; /* bytes of the codes */
    struct ak_slab *slab;
    uint64_t *words;
};

/*
 * Ids: integers, or strings one after another in an arena.  The arrays of the
 * index's kind are there, behind the object.  Integers of a full segment take
 * less: they are `base` plus 32 bits each, or plus the row.
 */
struct ak_ids {
    struct ak_ref ref;
    size_t len;
    uint64_t *numbers; /* (AK_SEGMENT_ROWS), or NULL */
    uint64_t base;
    uint32_t *offsets; /* (AK_SEGMENT_ROWS), or NULL */
    uint32_t *first;   /* (AK_SEGMENT_ROWS + 1); row i is first[i]..[i + 1] */
    char *text;        /* (cap) */
    uint32_t cap;
    uint32_t used; /* the mutator's */
};

/*
 * Labels.  A row with one label below AK_LABEL_LIST is that label.  Any other
 * has AK_LABEL_LIST + the place of its list, which is the count, then the
 * labels; or AK_LABEL_NONE.
 */
#define AK_LABEL_LIST 0x80000000u
#define AK_LABEL_NONE AK_NO_LABEL
struct ak_labels {
    struct ak_ref ref;
    size_t len;
    _Atomic(struct ak_label_index *) index; /* NULL until it is made */
    uint32_t cap;                           /* of lists; 0: no row has a list */
    uint32_t used;                          /* the mutator's */
    uint32_t rows[AK_SEGMENT_ROWS];
    uint32_t lists[];
};

struct ak_dead {
    struct ak_ref ref;
    uint64_t bits[AK_SEGMENT_WORDS];
};

/*
 * One that is full and has only dead rows is exchanged for the index's segment
 * for all of these (`all_dead`), so that readers meet nothing special.
 */
struct ak_segment {
    struct ak_ref ref;
    bool all_dead;
    struct ak_codes *codes;
    struct ak_ids *ids;
    struct ak_labels *labels; /* NULL: no row has labels */
    struct ak_dead *dead;     /* NULL: no row is dead */
};

/* --------------------------------------------------------------- segment.c */

/* Only its one holder can ask: nobody else can take another reference. */
static inline bool ak_part_owned(struct ak_ref *ref)
{
    /* Acquire: the last reader's reads come before what we write. */
    return atomic_load_explicit(&ref->holders, memory_order_acquire) == 1;
}

/* All of these return NULL when memory is short, and only then. */
/* From *slab, which may be NULL, or from a new one that takes its place. */
struct ak_codes *ak_codes_new(size_t words, struct ak_slab **slab);
struct ak_ids *ak_ids_new(enum ak_id_kind kind, size_t text_cap);
struct ak_ids *ak_ids_copy(const struct ak_ids *ids, size_t text_cap);
/* A zeroed object of `len` bytes, which is ids from here on. */
void ak_ids_init(struct ak_ids *ids, size_t len);
/* The integers of a full segment in less memory; NULL as well if that is not
   possible. */
struct ak_ids *ak_ids_pack(const struct ak_ids *ids);
struct ak_labels *ak_labels_new(size_t list_cap);
/* A copy with the lists in use and room for `more`. */
struct ak_labels *ak_labels_copy(const struct ak_labels *labels, size_t more);
struct ak_dead *ak_dead_copy(const struct ak_dead *dead); /* NULL: none dead */
struct ak_segment *ak_segment_empty(void);                /* without parts */
struct ak_segment *ak_segment_new(size_t words, enum ak_id_kind kind,
                                  struct ak_slab **slab);
/* One of dead rows, to stand in many places. */
struct ak_segment *ak_segment_dead(size_t words, enum ak_id_kind kind);
/* A segment with the same parts, but for `codes` if that is not NULL. */
struct ak_segment *ak_segment_copy(const struct ak_segment *segment,
                                   struct ak_codes *codes);

/* Of integers. */
static inline uint64_t ak_ids_number(const struct ak_ids *ids, size_t row)
{
    if (ids->numbers != NULL)
        return ids->numbers[row];
    return ids->base + (ids->offsets != NULL ? ids->offsets[row] : row);
}

/* Room in the lists that these labels take. */
static inline size_t ak_labels_room(const uint32_t *labels, size_t n)
{
    return n == 0 || (n == 1 && labels[0] < AK_LABEL_LIST) ? 0 : n + 1;
}
/* There is room for a list. */
void ak_labels_put(struct ak_labels *to, size_t row, const uint32_t *labels,
                   size_t n);
size_t ak_labels_get(const struct ak_labels *from, size_t row,
                     const uint32_t **labels);

size_t ak_segment_bytes(const struct ak_segment *segment);

/* ---------------------------------------------------------- segment_fill.c */

/* Room in the lists for the labels of all rows. */
size_t ak_segment_lists(const struct ak_index_segment *from);
/* A full segment of columns, `lists` as above; NULL without memory. */
struct ak_segment *ak_segment_fill(uint32_t bits, enum ak_id_kind kind,
                                   const struct ak_index_segment *from,
                                   size_t lists, struct ak_slab **slab);

/* ----------------------------------------------------------- label_index.c */

struct ak_label_index;

/* Of a full segment; made at first use, by any thread.  NULL without memory. */
const struct ak_label_index *ak_labels_index(struct ak_labels *labels);
/* By the one holder, before a change. */
void ak_labels_drop_index(struct ak_labels *labels);
size_t ak_label_index_bytes(const struct ak_labels *labels);

/* Sets the bits in out (AK_SEGMENT_WORDS) of rows with one of the labels, which
   are sorted upwards. */
void ak_label_index_rows(const struct ak_label_index *index,
                         const uint32_t *labels, size_t n, uint64_t *out);

/* ---------------------------------------------------------------- column.c */

struct ak_column {
    uint32_t bits;
    size_t words;
    uint64_t rows;
    struct ak_codes **segments; /* NULL: of dead rows */
    size_t n_segments, cap;
    struct ak_slab *slab; /* of the last segment */
};

/* ------------------------------------------------------------- partition.c */

#define AK_PARTITION_MAX_BUCKETS 2048

/* A query that must compare more than one in so many of a partition's rows goes
   through all rows in order instead. */
#define AK_PARTITION_WORTH 2

/* Bounds of an empty bucket, so that no query is ever near. */
#define AK_BUCKET_EMPTY_LOW  0x3fff
#define AK_BUCKET_EMPTY_HIGH 0

/*
 * The rows below `covered` that were alive when it was built: bucket after
 * bucket, in each by (distance to the centre, ordinal).  Of rows that died since
 * the snapshot knows.
 */
struct ak_partition {
    struct ak_ref ref;
    uint32_t bits;
    size_t words;
    uint64_t column;  /* number of the column whose codes these are */
    uint64_t covered; /* a multiple of 64 */
    uint64_t dead;    /* rows below it that were dead */
    size_t rows;      /* 0: it was found not to be worth its memory */
    bool forced;      /* tests: used whatever it costs */
    double share;     /* of its rows that a search compared when measured */
    size_t n_buckets;
    /*
     * (n_buckets, and up to a multiple of 8, which are empty): rows are at the
     * distances low..high from their centre; where those at `low` begin is
     * shells[at], and so on, with shells[at + high + 1 - low] behind the last.
     */
    int16_t *low, *high;
    uint32_t *at;
    uint32_t *shells;
    uint64_t *centres; /* in groups */
    uint64_t *codes;   /* in groups */
    uint32_t *ordinals;
    size_t len_codes, len_ordinals, len; /* bytes */
};

/* -------------------------------------------------------------- snapshot.c */

struct ak_snapshot {
    struct ak_ref ref;
    uint32_t bits;
    size_t words;
    enum ak_id_kind ids;
    uint64_t rows, live;
    struct ak_ref *model;
    uint64_t version;
    uint64_t column; /* which one it is: counts what was installed */
    struct ak_partition *partition; /* NULL: none */
    size_t n_segments;
    /* Behind the object, one for each segment: */
    struct ak_segment **segments;
    /* What a scan reads of them, side by side. */
    const uint64_t **codes;
    bool *has_dead;
};

/* Whether a search may go through the partition. */
static inline bool ak_snapshot_partitioned(const struct ak_snapshot *s)
{
    return s->partition != NULL && s->partition->rows > 0;
}

/*
 * A snapshot with references to these segments and to `model`; NULL when memory
 * is short.
 */
struct ak_snapshot *ak_snapshot_new(const struct ak_snapshot *fields,
                                    struct ak_segment *const *segments);

static inline size_t ak_segments_of(uint64_t rows)
{
    return (size_t)((rows + AK_SEGMENT_ROWS - 1) / AK_SEGMENT_ROWS);
}

/* Rows of segment `i` that the snapshot shows. */
static inline size_t ak_snapshot_segment_rows(const struct ak_snapshot *s,
                                              size_t i)
{
    uint64_t left = s->rows - (uint64_t)i * AK_SEGMENT_ROWS;

    return left < AK_SEGMENT_ROWS ? (size_t)left : AK_SEGMENT_ROWS;
}

/* ---------------------------------------------------------------- filter.c */

/* Rows of a segment that pass, as bits of out[0..AK_SEGMENT_WORDS).  The labels
   of each condition are sorted upwards. */
void ak_filter_whole(const struct ak_snapshot *s,
                     const struct ak_filter *filter, size_t segment,
                     uint64_t *out);

/*
 * The same for the 64-row words from `first` on, row by row.  `sorted`: the
 * labels are, which is used when they are many.
 */
void ak_filter_rows(const struct ak_snapshot *s, const struct ak_filter *filter,
                    bool sorted, size_t segment, size_t first, size_t n_words,
                    uint64_t *out);

/*
 * The first segment at or after `segment` in which a row might pass, going by
 * the ordinals that the filter names; the number of segments if there is none.
 */
size_t ak_filter_segment(const struct ak_snapshot *s,
                         const struct ak_filter *filter, size_t segment);

/* A copy with sorted labels, to be freed by ak_array_free(); or NULL. */
struct ak_filter *ak_filter_sorted(const struct ak_filter *filter);

#endif
