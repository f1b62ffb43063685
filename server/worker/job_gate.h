/*
 * job_gate.h -- whether a network may become the next version of an extractor.
 *
 * On the gate's part of the data, which neither trained nor chose anything:
 * top-1 accuracy, and the mean average precision of retrieval by the cosine of
 * the features (core/eval/features.h; at most 1,000 queries), or of a training to
 * codes by their Hamming distance.  They are compared
 * with the same of the published version on the same images, and with the least
 * that was asked for.
 *
 * job.json has "gate": {"max_accuracy_loss","max_map_loss","min_accuracy",
 * "min_map"}, each a number or absent, or null: then all is measured and nothing
 * fails.  The published version, if there is one, is FOLDER/published.akx.
 */
#ifndef AK_SERVER_WORKER_JOB_GATE_H
#define AK_SERVER_WORKER_JOB_GATE_H

#include "core/nn/exec.h"
#include "core/nn/model.h"
#include "server/worker/job_data.h"

struct ak_job_compute {
    const char *engine; /* as in ak_exec_create() */
    enum ak_exec_type type;
    uint32_t threads;
};

/*
 * Measure `model` with its values.  *report is the caller's, for the result:
 * {"images","queries","accuracy","map","published":null|{"accuracy","map"}}; with
 * null for an accuracy where the published version has too few classes, and for a
 * mAP where it makes no codes.  AK_ELIMIT:
 * it did not pass; the text says why.
 */
enum ak_status ak_job_gate(struct ak_job *job, const struct ak_job_data *data,
                           const struct ak_model *model,
                           const struct ak_job_compute *compute,
                           json_t **report, struct ak_err *err) AK_MUST_CHECK;

#endif
