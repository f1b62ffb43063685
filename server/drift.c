/*
 * drift.c -- the one-sided cumulative sum of Page.
 *
 * Page, "Continuous inspection schemes", Biometrika 41, 1954; with the mean
 * taken from the stream, as here, also known as the test of Page and Hinkley.
 * For the AP x of each query, of which mu was expected with deviation sigma,
 *
 *     S = min(max(0, S + (mu - x) / sigma - k), 2 h)
 *
 * An alarm is raised when S > h and cleared when S = 0.  The cap bounds how long
 * that takes.  mu is the mean of the queries of x's label if there were
 * LABEL_KNOWN of them, else the mean over all; sigma is of x - mu.  All are
 * running means with weights of 1 / min(n, MEMORY), so that a change that stays
 * becomes what is expected, and there is no test for the first WARM queries.
 *
 * k = 1/4 watches for a fall by half a standard deviation or more.  By Siegmund,
 * "Sequential Analysis", 1985, the mean number of queries until a false alarm is
 * about (exp(2 k b) - 2 k b - 1) / (2 k^2) with b = h + 1.166: 3e5 for h = 20,
 * a false-alarm rate of 3 in a million queries when the mean is known.  A fall
 * by f sigma is found after about h / (f - k) queries, 27 for f = 1.  What was
 * measured stands in docs/quality.md and is held by a test.
 */
#include "server/drift.h"

#include <math.h>

#define K           0.25
#define H           20.0
#define WARM        500
#define MEMORY      4000
#define LABEL_KNOWN 30

/* A deviation that is next to nothing would make each query an outlier. */
#define LEAST_SIGMA 0.02

enum ak_drift_event ak_drift_add(struct ak_drift *d, uint64_t seq, double ap,
                                 uint64_t known, double expected)
{
    double mu = known >= LABEL_KNOWN ? expected : d->mean;
    double weight, sigma = sqrt(d->variance);
    enum ak_drift_event event = AK_DRIFT_NONE;

    if (d->n >= WARM) {
        double z = (mu - ap) / (sigma > LEAST_SIGMA ? sigma : LEAST_SIGMA);

        d->sum = fmin(fmax(0, d->sum + z - K), 2 * H);
        if (!d->alarm && d->sum > H) {
            d->alarm = true;
            d->alarms++;
            d->since_seq = seq;
            d->cleared_seq = 0;
            event = AK_DRIFT_RAISED;
        } else if (d->alarm && d->sum <= 0) {
            d->alarm = false;
            d->cleared_seq = seq;
            event = AK_DRIFT_CLEARED;
        }
    }
    d->n++;
    weight = 1.0 / (double)(d->n < MEMORY ? d->n : MEMORY);
    if (d->n == 1) {
        d->mean = ap;
        return event;
    }
    d->variance += weight * ((ap - mu) * (ap - mu) - d->variance);
    d->mean += weight * (ap - d->mean);
    return event;
}

void ak_drift_restart(struct ak_drift *d, uint64_t seq)
{
    if (d->alarm)
        d->cleared_seq = seq;
    d->alarm = false;
    d->n = 0;
    d->mean = d->variance = d->sum = 0;
}

struct ak_drift_report ak_drift_report(const struct ak_drift *d)
{
    return (struct ak_drift_report){.alarm = d->alarm,
                                    .score = d->sum / H,
                                    .mean = d->mean,
                                    .sigma = sqrt(d->variance),
                                    .queries = d->n,
                                    .alarms = d->alarms,
                                    .since_seq = d->since_seq,
                                    .cleared_seq = d->cleared_seq};
}

void ak_drift_save(const struct ak_drift *d, struct ak_writer *w)
{
    ak_write_u64(w, d->n);
    ak_write_f64(w, d->mean);
    ak_write_f64(w, d->variance);
    ak_write_f64(w, d->sum);
    ak_write_u8(w, d->alarm);
    ak_write_u64(w, d->alarms);
    ak_write_u64(w, d->since_seq);
    ak_write_u64(w, d->cleared_seq);
}

void ak_drift_load(struct ak_drift *d, struct ak_reader *r)
{
    d->n = ak_read_u64(r);
    d->mean = ak_read_f64(r);
    d->variance = ak_read_f64(r);
    d->sum = ak_read_f64(r);
    d->alarm = ak_read_u8(r) != 0;
    d->alarms = ak_read_u64(r);
    d->since_seq = ak_read_u64(r);
    d->cleared_seq = ak_read_u64(r);
}
