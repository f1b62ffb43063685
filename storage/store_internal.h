/*
 * store_internal.h -- the writer's side of a collection's file, as its parts
 * share it: store.c (life, groups, the log), store_apply.c (changes),
 * store_copy.c (copies), store_key.c (exactly once), store_version.c (versions
 * and codes), store_space.c (vectors), store_packed.c (packed rows).
 */
#ifndef AK_STORAGE_STORE_INTERNAL_H
#define AK_STORAGE_STORE_INTERNAL_H

#include "core/base/blob.h"
#include "storage/sqlite_internal.h"

/* The row of table `state`: what is known without counting. */
struct ak_store_state {
    uint64_t last_seq;
    uint64_t next_ordinal;
    uint64_t live_rows;
    uint64_t n_labels;
    int64_t last_id; /* greatest number ever given to a row; -1: none */
    uint64_t published;
    uint64_t last_rollback_seq;
    uint64_t labelled_images;
};

/*
 * This connection is the only one that writes, so `now` is right without being
 * read again; a change that is undone brings back `before`, a group that is
 * undone `committed`.
 */
struct ak_store {
    struct ak_db db;
    struct ak_store_shape shape;
    struct ak_store_state committed, before, now;
    bool in_group;
    int64_t changes; /* rows changed by the connection before the group */
    bool broken;     /* the group can only be rolled back */
    uint32_t page_bytes;
    uint64_t wal_pages;     /* in the log after the last commit */
    uint64_t checkpoint_at; /* copy the log when it has so many */
    /*
     * The record that last ended or relabelled a row of each full segment, since
     * the file was opened at `opened_seq`; 0: none.
     */
    uint64_t *changed_seq;
    size_t n_changed;
    uint64_t opened_seq;
    uint64_t unpacked; /* 1 + the segment that this change unpacked last */
    bool log_lost;     /* there was none where there had been one */
    char *path;
    struct ak_copy *copy; /* under way, or NULL; store_copy.c */
    /* Scratch of one change: the parts of its record. */
    struct ak_writer ordinals, label_first, labels, row_labels;
};

/*
 * Around all that is written: what failed so that the group may go on
 * (AK_EINVAL, AK_ENOTFOUND, AK_EEXISTS, AK_ELIMIT, AK_ESEQUENCE) is undone
 * alone, after anything else the group is broken.
 */
enum ak_status ak_store_enter(struct ak_store *store,
                              struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_store_leave(struct ak_store *store, enum ak_status status,
                              struct ak_err *err) AK_MUST_CHECK;

/*
 * Look a change's key up.  `replayed` in the receipt says that it had been used
 * by this request, whose receipt it then is.
 */
enum ak_status ak_store_key_find(struct ak_store *store,
                                 const struct ak_change *change,
                                 struct ak_receipt *receipt,
                                 struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_store_key_put(struct ak_store *store,
                                const struct ak_change *change,
                                const struct ak_receipt *receipt,
                                struct ak_err *err) AK_MUST_CHECK;

/* store_apply.c: a record without rows, and the collection's text. */
enum ak_status ak_store_append(struct ak_store *store,
                               const struct ak_change *change, uint64_t *seq,
                               struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_store_set_config(struct ak_store *store,
                                   const struct ak_bytes *config,
                                   struct ak_err *err) AK_MUST_CHECK;
/* store_space.c: n rows from `first` on, which have none there. */
enum ak_status ak_store_insert_blocks(struct ak_store *store,
                                      const struct ak_space *space,
                                      uint64_t first, size_t n,
                                      const void *block,
                                      struct ak_err *err) AK_MUST_CHECK;
/* Zeroes over the vector that a row has in a space; *space moves to the next in
   which it has one, *more is false at the end. */
enum ak_status ak_store_erase_vector(struct ak_store *store, uint64_t ordinal,
                                     uint64_t *space, bool *more,
                                     struct ak_err *err) AK_MUST_CHECK;
/* store_erase.c: `blob` of a row with a part of it overwritten by zeroes; *copy
   is the caller's to free. */
enum ak_status ak_store_zeroed(const struct ak_store *store,
                               struct ak_bytes blob, size_t at, size_t len,
                               uint8_t **copy,
                               struct ak_err *err) AK_MUST_CHECK;
/* store_erase.c: note all ended rows of an id, *n of them new; *first is the
   first that was ever noted. */
enum ak_status ak_store_note_erasure(struct ak_store *store,
                                     const struct ak_row_id *id, uint64_t *n,
                                     uint64_t *first,
                                     struct ak_err *err) AK_MUST_CHECK;
/* store_packed.c: a row of this ordinal ends, or gets other labels, by the next
   record. */
enum ak_status ak_store_unpack(struct ak_store *store, uint64_t ordinal,
                               struct ak_err *err) AK_MUST_CHECK;
/* store_generation.c: what a checkpoint at `seq` leaves unneeded. */
enum ak_status ak_store_trim_generations(struct ak_store *store, uint64_t seq,
                                         struct ak_err *err) AK_MUST_CHECK;

/* AK_ENOTFOUND: no such version; `state` may be NULL. */
enum ak_status ak_store_version_state(struct ak_store *store, uint64_t version,
                                      enum ak_version_state *state,
                                      struct ak_err *err) AK_MUST_CHECK;

#endif
