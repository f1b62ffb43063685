/* eval_network.h -- a run of `akin eval` that trains the network along. */
#ifndef AK_CLIENT_EVAL_NETWORK_H
#define AK_CLIENT_EVAL_NETWORK_H

#include "client/eval_data.h"
#include "core/eval/protocol.h"

/*
 * One run of HCDH end to end: the extractor of `data` gets a hash layer of
 * run->bits and is trained with the images of the stream; then its features of
 * all images are coded and ranked.  run->options are those of
 * ak_hcdh_network_method.  AK_EINVAL, AK_ENUMERIC, AK_ECANCELED, AK_ENOMEM.
 */
enum ak_status
eval_network(const struct eval_data *data, enum ak_exec_type type,
             const struct ak_split *split, const struct ak_eval_run *run,
             struct ak_eval_outcome *out, struct ak_err *err) AK_MUST_CHECK;

#endif
