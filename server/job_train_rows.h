/*
 * job_train_rows.h -- the stored images of a collection into a file for a worker.
 *
 * Items with a label and an image that live when it begins, in order of arrival;
 * of several labels the first one counts.  A slice at a time.  The form of the
 * file is said in server/worker/job_data.h.
 */
#ifndef AK_SERVER_JOB_TRAIN_ROWS_H
#define AK_SERVER_JOB_TRAIN_ROWS_H

#include <jansson.h>

#include "server/engine.h"

struct ak_train_rows;

/* `c` is held until the end; a file at `path` is written anew.  AK_EIO. */
enum ak_status ak_train_rows_create(struct ak_collection *c, const char *path,
                                    struct ak_train_rows **out,
                                    struct ak_err *err) AK_MUST_CHECK;
void ak_train_rows_destroy(struct ak_train_rows *r); /* NULL is a no-op */

struct ak_train_rows_progress {
    uint64_t done, total; /* rows looked at */
    uint64_t images, classes;
    bool over; /* the file is complete and synced */
};
/* Some ten milliseconds of it.  AK_EIO, AK_EFULL; AK_ENOTFOUND: the collection
   is gone. */
enum ak_status ak_train_rows_step(struct ak_train_rows *r,
                                  struct ak_train_rows_progress *progress,
                                  struct ak_err *err) AK_MUST_CHECK;

/* The names of the classes in the order of their numbers, lent until the end. */
const json_t *ak_train_rows_classes(const struct ak_train_rows *r);

#endif
