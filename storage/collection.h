/*
 * collection.h -- the file of one collection: records, rows, blocks, codes.
 *
 * Everything that changes a learner or an index is a *record* in one sequence.
 * Rows have *ordinals* in order of arrival, never reused; an upsert is a new
 * ordinal and a tombstone.  The vectors of a record are one immutable *block*,
 * or several if it is long.  Blocks lie in *spaces*: vectors of one extractor
 * each, which may have another length than those of the next.  Rows are what the
 * client gave beside the vector, and are shared by all versions.  Two caches, each with checksums, make a start
 * quick: *codes* by (version, segment) of AK_STORE_SEGMENT_ROWS rows, and
 * *packed* rows by segment.  The blocks of kind `external` hold the codes
 * themselves.
 *
 * Two handles.  A *store* writes: there is one per file, used by the writer
 * thread only, and it also does all checkpoints of the write-ahead log (SQLite
 * 3.40 has a race when two connections do).  A *view* reads: any number, each
 * used by one thread at a time; it sees what was committed when its call began.
 *
 * Every call may fail with AK_EIO (the system or the database refused; the text
 * says what), AK_EFULL (no room on the disk: nothing of it was written, and the
 * same may succeed when there is some), AK_ENOMEM or AK_ECORRUPT beside what is
 * said here.
 */
#ifndef AK_STORAGE_COLLECTION_H
#define AK_STORAGE_COLLECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define AK_STORE_KEY_MAX      128
#define AK_STORE_SEGMENT_ROWS 4096
#define AK_STORE_MAX_ID       INT64_MAX

struct ak_store;
struct ak_view;

enum ak_record_kind {
    AK_RECORD_BATCH = 1, /* rows to index and to learn from */
    AK_RECORD_UPSERT,    /* rows to index only */
    AK_RECORD_DELETE,    /* rows that are no more */
    AK_RECORD_RELABEL,   /* one row's new labels: one more update */
    AK_RECORD_FLUSH,     /* fix the feature map with what there is */
    AK_RECORD_PUBLISH,   /* freeze the learner here as the next version */
    AK_RECORD_ROLLBACK,  /* serve an earlier version */
    AK_RECORD_INSTALL    /* a rebuilt generation takes over */
};

/* An id as the client knows it: a number, or text that is not terminated. */
struct ak_row_id {
    uint64_t number; /* 0..AK_STORE_MAX_ID */
    const char *text;
    size_t len; /* 1..AK_STORE_KEY_MAX */
};

/* Bytes that are lent. */
struct ak_bytes {
    const void *data; /* NULL: absent */
    size_t len;
};

/* A space of vectors; number 0 is the one that the file began with. */
struct ak_space {
    uint64_t number;
    uint32_t row_bytes; /* of one row in a block */
};

/* ---------------------------------------------------------------- writing */

/*
 * Make a new file with `config` (opaque text, kept in it), or open one.
 * `string_ids` and `row_bytes` (of one row in space 0) are fixed in the file.
 * `check`, as after an unclean stop, runs SQLite's quick check first, which is
 * also done where there is a log; AK_ECORRUPT: the log is of another file.
 */
struct ak_store_shape {
    bool string_ids;
    uint32_t row_bytes;
    uint32_t code_bytes;
};
enum ak_status ak_store_create(const char *path,
                               const struct ak_store_shape *shape,
                               struct ak_bytes config, struct ak_store **out,
                               struct ak_err *err) AK_MUST_CHECK;
/* AK_EEXISTS of create, AK_ENOTFOUND of open: the file. */
enum ak_status ak_store_open(const char *path, bool check,
                             struct ak_store **out,
                             struct ak_err *err) AK_MUST_CHECK;
/* With `check`: its log was taken away, and what was in it is lost.  What is
   there is a prefix of the sequence. */
bool ak_store_log_lost(const struct ak_store *store);
void ak_store_close(struct ak_store *store); /* NULL is a no-op */
/* An fsync of any of our files failed since the process began: what it said was
   written may not be on the disk, and only a new process can tell. */
bool ak_storage_sync_failed(void);
/*
 * What is kept of the files in memory, of all of them together: near the limit a
 * page that is read takes the place of one that was, so that a file has less
 * than its due (16 MiB for the writer, 2 MiB for a view) where there are many.
 * Once, before a file is opened; and what it is now.
 */
void ak_storage_limit_memory(uint64_t bytes);
uint64_t ak_storage_memory(void);
/* Remove a closed file and what SQLite keeps beside it; absent is fine. */
enum ak_status ak_store_remove(const char *path,
                               struct ak_err *err) AK_MUST_CHECK;

/*
 * A group of changes is one transaction: begin, changes, commit.  A change that
 * fails with AK_EINVAL, AK_ENOTFOUND, AK_EEXISTS, AK_ELIMIT or AK_ESEQUENCE was
 * undone alone and the group goes on; after any other failure the group must be
 * ended with ak_store_rollback().  After a failed commit nothing of the group
 * happened, and there is no group.  Commit returns when the bytes are on the
 * disk (synchronous=FULL).  After a failed fsync, which the text names, nothing
 * more is written: ak_store_begin() is AK_EIO until the file is opened anew.
 */
enum ak_status ak_store_begin(struct ak_store *store,
                              struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_store_commit(struct ak_store *store,
                               struct ak_err *err) AK_MUST_CHECK;
void ak_store_rollback(struct ak_store *store);

/*
 * Copy the log into the file, as far as readers let it, so that it starts over;
 * never waits.  `truncate` empties it as well, and is AK_EBUSY when readers held
 * it for a second.  Not within a group.  ak_store_begin() copies a log that
 * grew to 64 MiB by itself.
 */
enum ak_status ak_store_checkpoint_wal(struct ak_store *store, bool truncate,
                                       struct ak_err *err) AK_MUST_CHECK;
/* Size of the log that was written since it started over. */
uint64_t ak_store_wal_bytes(const struct ak_store *store);

/*
 * Copy the whole file to a new one at `path`, some pages at a time and between
 * groups, so that changes go on meanwhile and are copied too: it is the state of
 * the moment in which a step says that it is over, which is a prefix of the
 * sequence.  At most one at a time.  A step that fails ends it, as does
 * ak_store_close(); the caller then removes the file.  The copy has no log, and
 * is not on the disk before the caller has synced it.
 */
struct ak_store_copy {
    uint64_t done, total; /* bytes; the total grows with the file */
    bool over;
    /* When it is over: what the copy has. */
    uint64_t last_seq, next_ordinal, live_rows, published;
};
/* AK_EEXISTS: there is something at `path`.  AK_EBUSY: one is under way. */
enum ak_status ak_store_begin_copy(struct ak_store *store, const char *path,
                                   struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_store_copy(struct ak_store *store, int pages,
                             struct ak_store_copy *out,
                             struct ak_err *err) AK_MUST_CHECK;
void ak_store_end_copy(struct ak_store *store); /* none: a no-op */
/* SQLite's quick check of a copy.  `older`: of a format that a store would have
   to bring up before it can be viewed. */
enum ak_status ak_store_check_copy(const char *path, bool *older,
                                   struct ak_err *err) AK_MUST_CHECK;
/* A file that came from elsewhere, in a group: its generations belong to no job
   here, one that was being made is dropped, and it is another file than the one
   that it was copied from.  The log shall be copied after it. */
enum ak_status ak_store_forget_jobs(struct ak_store *store,
                                    struct ak_err *err) AK_MUST_CHECK;

/* Rows of a batch or an upsert. */
struct ak_store_rows {
    size_t n;
    struct ak_space space; /* in which they come; zeroed: 0 */
    const void *block;     /* n * row_bytes: vectors (or codes) as stored */
    /* (n), or NULL: the numbers after the greatest ever given or assigned, from
       0; where ids are text, their decimal texts (a given text that is a decimal
       number counts as given). */
    const struct ak_row_id *ids;
    const struct ak_bytes
        *labels;                 /* names; of row i: [first[i], first[i + 1]) */
    const uint32_t *label_first; /* (n + 1), or NULL: no labels */
    const struct ak_bytes *payloads; /* (n) JSON text, or NULL; absent: none */
    const struct ak_bytes *images;   /* (n) or NULL; kept as they came */
};

/* One request: at most one record, with the key that makes it happen once. */
struct ak_change {
    enum ak_record_kind kind;
    struct ak_store_rows rows; /* BATCH, UPSERT */

    /* DELETE: by id, or by ordinal (dead ones are passed over). */
    const struct ak_row_id *ids;
    size_t n_ids;
    /* With ids: what these rows held, and what they held before they were
       replaced or deleted, shall be erased. */
    bool erase;
    const uint64_t *ordinals;
    size_t n_ordinals;

    /* RELABEL: row ids[0]; what is absent stays.  A change of payload alone
       appends no record. */
    bool set_labels;
    const struct ak_bytes *labels;
    size_t n_labels;
    bool set_payload;
    struct ak_bytes payload; /* absent with set_payload: remove it */

    /* ROLLBACK: the version to serve; AK_ENOTFOUND if it is not kept. */
    uint64_t version;

    /* With any record: the collection's text from here on (a rollback pins the
       policy); absent: as it is.  A change of kind 0 writes only this. */
    struct ak_bytes config;

    /* FLUSH, PUBLISH by a policy: the record that made it due, so that a replay
       does not append it twice; 0: by a person.  When there is one of the same
       kind and cause, or one of this kind that came after the cause, nothing is
       appended and the answer has that one's seq. */
    uint64_t cause;

    /* Exactly once.  `key` is an Idempotency-Key (chunked streams add their
       chunk number to it), or a producer's name with `producer_seq` > 0. */
    struct ak_bytes key; /* absent: none */
    uint64_t producer_seq;
    uint8_t fingerprint[32]; /* SHA-256 of what was asked */
    int64_t now_ms;          /* keys are kept 24 hours from it */
};

struct ak_receipt {
    uint64_t seq; /* of the record; 0 if none was appended */
    uint64_t first_ordinal;
    uint64_t first_id; /* assigned or given first number; 0 for given texts */
    uint64_t accepted; /* rows stored, or deleted, or relabelled */
    uint64_t missing;  /* ids to delete that there were not; one that is given
                          twice is missing once */
    uint64_t erasing;  /* rows noted to be erased; first_ordinal is the first */
    uint64_t labelled_images; /* by which the count of ak_store_info has grown;
                                 0 of what was replayed */
    bool replayed;     /* the key had been used by the same request, whose
                          receipt this is; of a producer's number more than 1,000
                          back only this much is known, the rest is 0 */
    uint64_t expected; /* AK_ESEQUENCE: producer_seq that would be accepted */
};

/*
 * Do one change.  On AK_OK the receipt is filled; it counts when the group is
 * committed.
 *
 * A DELETE that finds nothing appends no record, nor does a number of a producer
 * with no rows.  A producer begins with 1.
 *
 * AK_EEXISTS: the key was used by another request.  AK_ESEQUENCE: a producer's
 * gap; of the receipt only `expected` is written.  AK_ENOTFOUND: RELABEL of an
 * id that there is not, ROLLBACK to a version that is not kept or was not
 * published yet.  AK_EINVAL: two rows with one id, no rows and no number, an id
 * or key too long.  AK_ELIMIT: a value above 64 MiB, or no number left to assign.
 */
enum ak_status ak_store_apply(struct ak_store *store,
                              const struct ak_change *change,
                              struct ak_receipt *receipt,
                              struct ak_err *err) AK_MUST_CHECK;

/* Learner checkpoint; replaces the one before.  `constants` absent: unchanged. */
struct ak_checkpoint {
    uint64_t learned_seq;
    struct ak_bytes constants;
    struct ak_bytes state;
    char fingerprint[128]; /* of library and machine, for the log */
};
enum ak_status ak_store_put_checkpoint(struct ak_store *store,
                                       const struct ak_checkpoint *checkpoint,
                                       struct ak_err *err) AK_MUST_CHECK;

/* What came of a record, for GET .../batches/{seq}.  JSON text of ours.
   AK_ENOTFOUND: there is no such record. */
enum ak_status ak_store_put_outcome(struct ak_store *store, uint64_t seq,
                                    struct ak_bytes outcome,
                                    struct ak_err *err) AK_MUST_CHECK;

enum ak_version_state {
    AK_VERSION_ENCODING = 1, /* frozen; its codes are not complete */
    AK_VERSION_PUBLISHED,
    AK_VERSION_PREVIOUS, /* its codes are kept for a rollback */
    AK_VERSION_RETIRED   /* only the model is kept */
};
struct ak_version {
    uint64_t version;
    enum ak_version_state state;
    uint64_t at_seq; /* the publish record; 0 for version 0 */
    uint64_t samples;
    int64_t created_ms;
    double served_quality; /* NaN: not known */
    uint64_t model_len;
    uint64_t space; /* whose vectors the model takes */
};

/*
 * Freeze: a new version in state ENCODING with its model file.  Answers with
 * the number given: one more than the greatest, or 0 for the first; and if
 * there is a version of this at_seq already, with that one, unchanged.
 */
enum ak_status ak_store_put_version(struct ak_store *store,
                                    const struct ak_version *version,
                                    struct ak_bytes model, uint64_t *number,
                                    struct ak_err *err) AK_MUST_CHECK;
/* Codes of a full segment: AK_STORE_SEGMENT_ROWS * code_bytes bytes, else
   AK_EINVAL.  Put again they replace.  Those of erased rows become zeroes.
   AK_ENOTFOUND: no such version. */
enum ak_status ak_store_put_codes(struct ak_store *store, uint64_t version,
                                  uint64_t segment, struct ak_bytes codes,
                                  struct ak_err *err) AK_MUST_CHECK;
/*
 * What ak_view_pack() made of the rows of a segment as of record `seq`.  If they
 * have changed since, *stored is false and nothing is written.  From then on the
 * change that ends or relabels one of them deletes it in its own transaction, so
 * what is there is right.  AK_EINVAL: the segment is not full.
 */
enum ak_status ak_store_put_packed(struct ak_store *store, uint64_t segment,
                                   uint64_t seq, struct ak_bytes packed,
                                   bool *stored,
                                   struct ak_err *err) AK_MUST_CHECK;
/*
 * Flip: `version` becomes PUBLISHED, the published one PREVIOUS, and the
 * previous one RETIRED (its codes go), as do those in state ENCODING that are of
 * records before its own.  `served_quality` is the last of the one that stops
 * serving.  Flipping to the published version is a no-op.
 * AK_ENOTFOUND: no such version.
 */
enum ak_status ak_store_flip(struct ak_store *store, uint64_t version,
                             double served_quality,
                             struct ak_err *err) AK_MUST_CHECK;
/* A version in state ENCODING that will not be: RETIRED, its codes go.  Of a
   RETIRED one too, if a rollback to it was given up.  AK_EINVAL: it serves, or
   did so last. */
enum ak_status ak_store_drop_version(struct ak_store *store, uint64_t version,
                                     struct ak_err *err) AK_MUST_CHECK;
/*
 * Make rows unreadable that were noted to be erased, and that ended by record
 * `seq` at the latest: a replay begins behind it.  Some at a time: *n of them,
 * 0 when there are none.  The log still has them until it is emptied.
 */
enum ak_status ak_store_erase(struct ak_store *store, uint64_t seq, uint64_t *n,
                              struct ak_err *err) AK_MUST_CHECK;

/*
 * A generation: a learner that is made anew from the rows that live after record
 * `base_seq`, beside the one that serves, and then takes over by an INSTALL
 * record.  What it is depends on this and on the records; `constants` and
 * `state` are how far its making has come, and stay until a checkpoint of the
 * learner lies behind its record.  Number 0 is what the collection began with.
 */
struct ak_generation {
    uint64_t number;
    uint64_t base_seq;
    uint64_t install_seq;             /* its record; 0: none yet */
    uint64_t held;                    /* rows held back as a test, at most */
    uint64_t job;                     /* that makes it */
    uint64_t space;                   /* whose vectors it learns from */
    struct ak_bytes settings;         /* text, as `config` */
    struct ak_bytes constants, state; /* absent: none (any more) */
};
/*
 * Begin one, with the number that follows the greatest installed; one that was
 * begun and not installed is replaced.  `before`: settings of number 0, kept
 * when they are not known yet.
 */
enum ak_status ak_store_begin_generation(struct ak_store *store,
                                         const struct ak_generation *generation,
                                         struct ak_bytes before,
                                         uint64_t *number,
                                         struct ak_err *err) AK_MUST_CHECK;
/* How far it is; `constants` absent: unchanged.  AK_ENOTFOUND: it is not there,
   or was installed. */
enum ak_status ak_store_put_generation(struct ak_store *store, uint64_t number,
                                       struct ak_bytes constants,
                                       struct ak_bytes state,
                                       struct ak_err *err) AK_MUST_CHECK;
/* Append its INSTALL record; `config` becomes the collection's.  All or
   nothing; what it is then is what was put last.  AK_ENOTFOUND as above. */
enum ak_status ak_store_install(struct ak_store *store, uint64_t number,
                                struct ak_bytes config, int64_t now_ms,
                                uint64_t *seq,
                                struct ak_err *err) AK_MUST_CHECK;
/* Other text for its settings, that mean the same: in a file that came from
   elsewhere an extractor may have another version.  AK_ENOTFOUND. */
enum ak_status ak_store_set_generation(struct ak_store *store, uint64_t number,
                                       struct ak_bytes settings,
                                       struct ak_err *err) AK_MUST_CHECK;
/* Forget the one that is being made; absent is fine. */
enum ak_status ak_store_drop_generation(struct ak_store *store,
                                        struct ak_err *err) AK_MUST_CHECK;

/*
 * Begin a space, with a number that was never used.  A row has a vector in the
 * space in which it came.  In others it has one when somebody computed it and
 * put it there, so what a later space holds is a cache of what an extractor says
 * of the stored images.
 */
enum ak_status ak_store_add_space(struct ak_store *store, uint32_t row_bytes,
                                  struct ak_space *out,
                                  struct ak_err *err) AK_MUST_CHECK;
/* Vectors of rows [first, first + n).  Those of erased rows become zeroes.
   AK_EEXISTS: one of them has one there.  AK_ENOTFOUND: no such row or space. */
enum ak_status ak_store_put_vectors(struct ak_store *store,
                                    const struct ak_space *space,
                                    uint64_t first, size_t n, const void *block,
                                    struct ak_err *err) AK_MUST_CHECK;
/* Forget a space and its vectors, some at a time: *more says that it is not over.
   AK_EINVAL: a version or a generation that is kept takes them. */
enum ak_status ak_store_drop_space(struct ak_store *store, uint64_t number,
                                   bool *more,
                                   struct ak_err *err) AK_MUST_CHECK;

/* A space that could be dropped; *found false: there is none. */
enum ak_status ak_store_unused_space(struct ak_store *store, uint64_t *number,
                                     bool *found,
                                     struct ak_err *err) AK_MUST_CHECK;

/* How far a policy of fine-tuning is, in the words of who has one; replaces what
   was there. */
enum ak_status ak_store_put_finetune(struct ak_store *store,
                                     struct ak_bytes state,
                                     struct ak_err *err) AK_MUST_CHECK;

/* Forget keys older than 24 h and outcomes beyond 7 days or 100,000. */
enum ak_status ak_store_tidy(struct ak_store *store, int64_t now_ms,
                             struct ak_err *err) AK_MUST_CHECK;

/* ---------------------------------------------------------------- reading */

/* AK_ENOTFOUND: no such file.  Of an earlier format, before a store brought it
   up, or of a later one: AK_ECORRUPT. */
enum ak_status ak_view_open(const char *path, struct ak_view **out,
                            struct ak_err *err) AK_MUST_CHECK;
/* The same of a copy (below): nothing is put beside it. */
enum ak_status ak_view_open_copy(const char *path, struct ak_view **out,
                                 struct ak_err *err) AK_MUST_CHECK;
void ak_view_close(struct ak_view *view); /* NULL is a no-op */
/* What it keeps beside the file's pages, of its last calls; and give it back, but
   for a little. */
size_t ak_view_bytes(const struct ak_view *view);
void ak_view_trim(struct ak_view *view);

/*
 * Several calls on one state of the file: between hold and release a view sees
 * what was committed when it was first read.  Short: it keeps the log growing.
 */
enum ak_status ak_view_hold(struct ak_view *view,
                            struct ak_err *err) AK_MUST_CHECK;
void ak_view_release(struct ak_view *view);

struct ak_store_info {
    struct ak_store_shape shape;
    uint64_t last_seq;     /* 0: no record */
    uint64_t next_ordinal; /* rows ever */
    uint64_t live_rows;
    uint64_t n_labels;          /* label numbers are below this */
    uint64_t published;         /* version; there is always one */
    uint64_t last_rollback_seq; /* 0: none */
    uint64_t labelled_images; /* how often a row with an image got labels: with
                                   its record, or by a relabel; never less */
    uint64_t covered_bytes;   /* size of the file */
};
enum ak_status ak_view_info(struct ak_view *view, struct ak_store_info *out,
                            struct ak_err *err) AK_MUST_CHECK;
/* The text given at creation or by the last change; owned by the view until its
   next call. */
enum ak_status ak_view_config(struct ak_view *view, struct ak_bytes *config,
                              struct ak_err *err) AK_MUST_CHECK;

/*
 * The first record after `seq`; AK_ENOTFOUND when there is none.  Arrays are
 * owned by the view until its next ak_view_record().
 */
struct ak_record {
    uint64_t seq;
    enum ak_record_kind kind;
    int64_t time_ms;
    uint64_t first_ordinal; /* BATCH, UPSERT; RELABEL: the row */
    uint64_t n;             /* rows, or ordinals of DELETE */
    const uint32_t
        *labels; /* numbers as of this record: BATCH, UPSERT, RELABEL */
    const uint32_t *label_first; /* (n + 1) */
    const uint64_t *ordinals;    /* DELETE: its rows; UPSERT, BATCH: the rows it
                                 replaced, n_ordinals of them */
    uint64_t n_ordinals;
    uint64_t version; /* ROLLBACK */
    uint64_t cause;
};
enum ak_status ak_view_record(struct ak_view *view, uint64_t seq,
                              struct ak_record *out,
                              struct ak_err *err) AK_MUST_CHECK;

/*
 * Vectors (or codes) in a space of rows [first, first + n) into out (n *
 * row_bytes), across blocks, each block's checksum checked.  AK_ENOTFOUND past
 * the end.  Where a row has none there it is computed by the view's fill (below);
 * AK_ECORRUPT without one.
 */
enum ak_status ak_view_block(struct ak_view *view, const struct ak_space *space,
                             uint64_t first, size_t n, void *out,
                             struct ak_err *err) AK_MUST_CHECK;
/*
 * Who computes a vector (row_bytes, into `out`) of a row's image, which is absent
 * when the row has none (any more): the same bytes each time.
 */
typedef enum ak_status ak_view_fill(void *arg, const struct ak_space *space,
                                    struct ak_bytes image, void *out,
                                    struct ak_err *err);
void ak_view_set_fill(struct ak_view *view, ak_view_fill *fill, void *arg);

/*
 * The same as far as rows have a vector there, and nothing is computed: *got of
 * them, 0 when the first has none.
 */
enum ak_status ak_view_vectors(struct ak_view *view,
                               const struct ak_space *space, uint64_t first,
                               size_t n, void *out, size_t *got,
                               struct ak_err *err) AK_MUST_CHECK;
/* The spaces there are, by number; AK_ECANCELED from `each` ends the walk with
   AK_OK. */
typedef enum ak_status
ak_view_each_space(void *arg, const struct ak_space *space, struct ak_err *err);
enum ak_status ak_view_spaces(struct ak_view *view, ak_view_each_space *each,
                              void *arg, struct ak_err *err) AK_MUST_CHECK;

/*
 * A row as of now.  What it lends lives until the view's next call.  `dead` is
 * the seq of the record that ended it, 0 while it lives.
 */
struct ak_row {
    uint64_t ordinal;
    struct ak_row_id id;
    const uint32_t *labels;
    size_t n_labels;
    struct ak_bytes payload;
    uint64_t seq; /* the record that brought it */
    uint64_t dead;
};
/* The living row of an id; AK_ENOTFOUND. */
enum ak_status ak_view_find(struct ak_view *view, const struct ak_row_id *id,
                            struct ak_row *out,
                            struct ak_err *err) AK_MUST_CHECK;
/* Rows from `ordinal` upwards, dead or alive, while `each` returns AK_OK.
   AK_ECANCELED from it ends the walk with AK_OK. */
typedef enum ak_status ak_view_each_row(void *arg, const struct ak_row *row,
                                        struct ak_err *err);
enum ak_status ak_view_rows(struct ak_view *view, uint64_t ordinal,
                            ak_view_each_row *each, void *arg,
                            struct ak_err *err) AK_MUST_CHECK;

/*
 * The rows of a full segment in columns, as an index takes them: what a start
 * reads instead of the rows.  Dead rows have no labels here.
 */
#define AK_PACKED_NO_LABEL UINT32_MAX
struct ak_packed {
    /* Ids that are numbers: `numbers`, or else base + offsets[i], or else
       base + i. */
    uint64_t base;
    const uint32_t *offsets;
    const uint64_t *numbers;
    /* Ids that are texts: text[text_first[i]..text_first[i + 1]). */
    const char *text;
    const uint32_t *text_first;
    const uint64_t *dead; /* bits; NULL: all live */
    /* NULL: none.  With `label_first` those of row i are
       labels[label_first[i]..label_first[i + 1]); without it there is one each,
       or AK_PACKED_NO_LABEL. */
    const uint32_t *labels;
    const uint32_t *label_first;
};
/* Lent until the view's next call.  AK_ENOTFOUND: not stored (walk the rows);
   AK_ECORRUPT: its checksum or its shape is wrong (walk them, and say so). */
enum ak_status ak_view_packed(struct ak_view *view, uint64_t segment,
                              struct ak_packed *out,
                              struct ak_err *err) AK_MUST_CHECK;
/* Pack the rows of a segment, for ak_store_put_packed(): the bytes, lent until
   the next call, and the record as of which they are.  AK_ENOTFOUND: it is not
   full. */
enum ak_status ak_view_pack(struct ak_view *view, uint64_t segment,
                            struct ak_bytes *packed, uint64_t *seq,
                            struct ak_err *err) AK_MUST_CHECK;
/* How many blocks hold the vectors of a segment. */
enum ak_status ak_view_count_blocks(struct ak_view *view, uint64_t segment,
                                    uint64_t *n,
                                    struct ak_err *err) AK_MUST_CHECK;

/* The image of a row as it came; AK_ENOTFOUND.  Lent until the next call. */
enum ak_status ak_view_image(struct ak_view *view, uint64_t ordinal,
                             struct ak_bytes *out,
                             struct ak_err *err) AK_MUST_CHECK;

/* Name of a label number (lent until the next call), and back. */
enum ak_status ak_view_label(struct ak_view *view, uint32_t number,
                             struct ak_bytes *name,
                             struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_view_label_number(struct ak_view *view, struct ak_bytes name,
                                    uint32_t *number,
                                    struct ak_err *err) AK_MUST_CHECK;

/*
 * The checkpoint; AK_ENOTFOUND before the first.  Lent until the next call.
 */
enum ak_status ak_view_checkpoint(struct ak_view *view,
                                  struct ak_checkpoint *out,
                                  struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_view_outcome(struct ak_view *view, uint64_t seq,
                               struct ak_bytes *outcome,
                               struct ak_err *err) AK_MUST_CHECK;

/* The last number of a producer and the record of its request: 0 for a name that
   has sent nothing, and where the request appended no record. */
enum ak_status ak_view_producer(struct ak_view *view, struct ak_bytes name,
                                uint64_t *last, uint64_t *seq,
                                struct ak_err *err) AK_MUST_CHECK;

/* Rows that wait to be erased. */
enum ak_status ak_view_erasures(struct ak_view *view, uint64_t *pending,
                                struct ak_err *err) AK_MUST_CHECK;

/* What ak_store_put_finetune() put last, lent until the next call.  AK_ENOTFOUND;
   AK_ECORRUPT. */
enum ak_status ak_view_finetune(struct ak_view *view, struct ak_bytes *state,
                                struct ak_err *err) AK_MUST_CHECK;

/* A generation.  Lent until the next call.  AK_ENOTFOUND.  AK_ECORRUPT: its
   state is damaged; all but that is filled in. */
enum ak_status ak_view_generation(struct ak_view *view, uint64_t number,
                                  struct ak_generation *out,
                                  struct ak_err *err) AK_MUST_CHECK;
/* The number of the one that a job makes, or has made; AK_ENOTFOUND. */
enum ak_status ak_view_generation_of(struct ak_view *view, uint64_t job,
                                     uint64_t *number,
                                     struct ak_err *err) AK_MUST_CHECK;
/* The one whose learner makes the versions after record `seq` - 1: the last that
   was installed up to `seq`; 0: none was. */
enum ak_status ak_view_generation_at(struct ak_view *view, uint64_t seq,
                                     uint64_t *number,
                                     struct ak_err *err) AK_MUST_CHECK;
/* The one installed last (0: none was), and the one that is being made (0: none
   is). */
enum ak_status ak_view_generations(struct ak_view *view, uint64_t *installed,
                                   uint64_t *begun,
                                   struct ak_err *err) AK_MUST_CHECK;

/* Versions by number, all states; the model file of one. */
typedef enum ak_status ak_view_each_version(void *arg,
                                            const struct ak_version *version,
                                            struct ak_err *err);
enum ak_status ak_view_versions(struct ak_view *view,
                                ak_view_each_version *each, void *arg,
                                struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_view_model(struct ak_view *view, uint64_t version,
                             struct ak_bytes *model,
                             struct ak_err *err) AK_MUST_CHECK;
/* Codes of a segment into out; AK_ENOTFOUND: not stored (encode them);
   AK_ECORRUPT: the checksum is wrong (encode them too, and say so). */
enum ak_status ak_view_codes(struct ak_view *view, uint64_t version,
                             uint64_t segment, void *out,
                             struct ak_err *err) AK_MUST_CHECK;

#endif
