/*
 * job_data.h -- the images of a job: a data set on the disk, or the rows that
 * akind exported from a collection.
 *
 * job.json has "data": {"kind":"cifar10|idx|folder","folder":"/..."}, or
 * {"kind":"rows","n":N,"labelled":L,"classes":[NAME]}: then FOLDER/rows holds, in
 * the order of the collection, N records of u64 row, u32 class, u32 length, and the
 * bytes of the image as it was stored, all little-endian.  Classes are numbered by
 * their first record, and have the names of the collection's labels.  The number of
 * the row decides of which part an image is.  L is akind's, and goes into the
 * result.
 */
#ifndef AK_SERVER_WORKER_JOB_DATA_H
#define AK_SERVER_WORKER_JOB_DATA_H

#include "core/eval/pictures.h"
#include "server/worker/job.h"

struct ak_job_data {
    struct ak_picture_set set;
    struct ak_picture_parts parts; /* of the first of them; "params.splits" */
    size_t n_test;                 /* behind, of sets that have such a part */
    uint64_t *numbers;             /* of rows, as they came; else NULL */
};

/* Reads and splits, for a network that takes images of `input`.  AK_ECANCELED;
   else what pictures.h says. */
enum ak_status ak_job_data_load(struct ak_job *job,
                                const struct ak_layer *input,
                                struct ak_job_data *out,
                                struct ak_err *err) AK_MUST_CHECK;
void ak_job_data_clear(struct ak_job_data *data);

struct ak_pictures ak_job_data_train(const struct ak_job_data *data);
struct ak_pictures ak_job_data_search(const struct ak_job_data *data);
struct ak_pictures ak_job_data_gate(const struct ak_job_data *data);
struct ak_pictures ak_job_data_test(const struct ak_job_data *data);

#endif
