/* json_stats.h -- figures of quality as JSON; NULL when memory is short. */
#ifndef AK_SERVER_JSON_STATS_H
#define AK_SERVER_JSON_STATS_H

#include <jansson.h>

#include "server/quality_report.h"

/* null when nothing is known. */
json_t *ak_json_quality(const struct ak_quality *q);
json_t *ak_json_score(const struct ak_score *score);
json_t *ak_json_drift(const struct ak_drift_report *d);
json_t *ak_json_gate(const struct ak_gate_decision *d);

#endif
