/*
 * job_classes.h -- classes by their names, across networks.
 *
 * A network numbers its classes as its data did.  One that was trained on the rows
 * of a collection has their names in its notes, a line "class: NAME" each, so that
 * a later one, whose data have these classes in another order and new ones, can
 * be compared with it and can begin with its classifier.  Names of data sets are
 * not kept.
 */
#ifndef AK_SERVER_WORKER_JOB_CLASSES_H
#define AK_SERVER_WORKER_JOB_CLASSES_H

#include "core/base/blob.h"
#include "core/nn/head.h"
#include "server/worker/job.h"

/* How many classes of the data have names; 0: none has. */
uint32_t ak_job_classes(const struct ak_job *job);

/*
 * *map (ak_job_classes()), the caller's to free with ak_array_free(): which class
 * of a network with these notes each of the data is, AK_HEAD_NEW where it has none
 * of the name, and always for one whose notes name none.  *known says how many are
 * there.  `notes` may be NULL.
 */
enum ak_status ak_job_classes_map(const struct ak_job *job, const char *notes,
                                  uint32_t **map, uint32_t *known,
                                  struct ak_err *err) AK_MUST_CHECK;

/* The lines for the notes of a network of the data; none where they would be more
   than a file may have. */
void ak_job_classes_write(const struct ak_job *job, struct ak_writer *notes);

#endif
