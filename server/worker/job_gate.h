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
 * Both rank the same queries, so the differences of their AP are paired, and the
 * gain in mAP has a lower bound (core/eval/paired.h): what is better by chance is
 * told from what is better.
 *
 * job.json has "gate": {"max_accuracy_loss","max_map_loss","min_accuracy",
 * "min_map","min_map_gain"}, each a number or absent, or null: then all is measured
 * and nothing fails.  A min_map_gain above -1 must be beaten by the lower bound, of
 * at least 30 queries.  The published version, if there is one, is
 * FOLDER/published.akx.
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
 * {"images","queries","accuracy","map","published":null|{"accuracy","map",
 * "map_gain":null|{"mean","lower"}}}; with null for an accuracy where the published
 * version has not all the classes of the data, or where that is not known
 * (job_classes.h), and for a mAP and its gain where it makes no codes.  AK_ELIMIT:
 * it did not pass; the text says why.
 */
enum ak_status ak_job_gate(struct ak_job *job, const struct ak_job_data *data,
                           const struct ak_model *model,
                           const struct ak_job_compute *compute,
                           json_t **report, struct ak_err *err) AK_MUST_CHECK;

#endif
