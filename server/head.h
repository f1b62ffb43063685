/*
 * head.h -- the hash model that an extractor brings along.
 *
 * A network that was trained to make codes (core/hash/hcdh_network.h) has its
 * hash layer in its model file.  A generation of kind hcdh whose settings say
 * `head` does not learn a model of its extractor's features: it is that layer.
 */
#ifndef AK_SERVER_HEAD_H
#define AK_SERVER_HEAD_H

#include "core/hash/encoder.h"
#include "server/extractors.h"

/*
 * Whether the settings of a generation shall have a head, by what was asked:
 * `wanted` "network" or "learnt", or NULL: then as its extractor is (`promoted`:
 * it is another one), or as the settings have it.  Sets s->head.  AK_EINVAL
 * fills in the fault: the extractor's codes do not fit, or it makes none.
 */
enum ak_status ak_head_choose(struct ak_extractors *x, const char *wanted,
                              bool promoted, struct ak_settings *s,
                              struct ak_fault *fault) AK_MUST_CHECK;

/*
 * The head of settings, held; *out is NULL for settings without.  AK_ENOTFOUND;
 * AK_ECORRUPT: the file is damaged; AK_EINVAL: it does not fit; AK_ENOMEM.
 */
enum ak_status ak_head_get(struct ak_extractors *x, const struct ak_settings *s,
                           struct ak_encoder **out,
                           struct ak_err *err) AK_MUST_CHECK;

#endif
