/*
 * drift.h -- whether what is served has begun to find less than it did.
 *
 * Watches the AP of one arriving query after the other under the published
 * model: a model that stays while the stream changes.  Raises an alarm when
 * they fall below what was expected for long enough, and clears it when they
 * have come back, or what is expected has come down to them.
 */
#ifndef AK_SERVER_DRIFT_H
#define AK_SERVER_DRIFT_H

#include "core/base/blob.h"
#include "server/quality_report.h"

struct ak_drift {
    uint64_t n;            /* queries */
    double mean, variance; /* of the AP, and of what was not expected */
    double sum;            /* the statistic, in standard deviations */
    bool alarm;
    uint64_t alarms, since_seq, cleared_seq;
};

enum ak_drift_event { AK_DRIFT_NONE, AK_DRIFT_RAISED, AK_DRIFT_CLEARED };

/*
 * A query of batch `seq` had this AP.  `known` queries of its label had a mean
 * of `expected`, which is used in place of the mean over all when they are
 * enough: then a stream that brings its classes in bursts does not look like
 * one that changes.
 */
enum ak_drift_event ak_drift_add(struct ak_drift *d, uint64_t seq, double ap,
                                 uint64_t known, double expected);

/* Begin anew; what was counted stays, and an alarm is over. */
void ak_drift_restart(struct ak_drift *d, uint64_t seq);

struct ak_drift_report ak_drift_report(const struct ak_drift *d);

void ak_drift_save(const struct ak_drift *d, struct ak_writer *w);
void ak_drift_load(struct ak_drift *d, struct ak_reader *r);

#endif
