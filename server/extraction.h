/*
 * extraction.h -- vectors of all rows in a space that is being made, computed of
 * their stored images.
 *
 * In the order of the rows, a slice at a time; the writer puts them into the
 * file.  What is there already is passed over, so it can be left and taken up.
 * The images of a slice are computed by all threads of the engine's pool for work
 * that are free, each by one; by one alone as long as batches bring images to be
 * computed.  A vector is the same whoever computes it.  One thread calls at a time.
 */
#ifndef AK_SERVER_EXTRACTION_H
#define AK_SERVER_EXTRACTION_H

#include "server/engine.h"
#include "server/job_kind.h"

struct ak_extraction;

/* `settings` are those of the new space; `run` is woken when it may go on. */
enum ak_status ak_extraction_create(struct ak_run *run,
                                    const struct ak_settings *settings,
                                    struct ak_extraction **out,
                                    struct ak_err *err) AK_MUST_CHECK;
/* What the writer still has goes on.  NULL is a no-op. */
void ak_extraction_destroy(struct ak_extraction *x);

enum ak_extraction_step {
    AK_EXTRACTION_MORE,
    AK_EXTRACTION_WAIT, /* for the writer */
    AK_EXTRACTION_IDLE  /* all rows of records up to *seq are there */
};
/* One slice.  AK_EFULL and so on: the writer could not put what it had. */
enum ak_status ak_extraction_run(struct ak_extraction *x, struct ak_view *view,
                                 enum ak_extraction_step *step, uint64_t *seq,
                                 struct ak_err *err) AK_MUST_CHECK;

/* Rows that are there, of how many; and those without a usable image. */
void ak_extraction_progress(const struct ak_extraction *x, uint64_t *done,
                            uint64_t *total, uint64_t *blank);

#endif
