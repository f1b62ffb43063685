/*
 * network.h -- a network as what turns an image into a feature vector.
 *
 * The image is scaled to the network's input by the average of areas, each side
 * by itself: nothing is cut off and the aspect ratio is not kept.  Grey becomes
 * three equal channels, or colour its luma, as the network wants.  Pixels are
 * normalised as its graph says.
 *
 * Any number of threads may extract at once, each image with one thread of its
 * own and always by itself: a batch would be summed in another order, and the
 * same image must give the same bytes whether it comes alone or among others,
 * first or last, in this thread or in another.  They are float for the same
 * reason that vectors are: what is near must not be rounded twice.  The bytes
 * are those of one machine and build: another processor may round otherwise.
 *
 * What is computed with is made when it is first needed and then kept, for at
 * most `computers` images at a time; who comes when all are busy waits.
 */
#ifndef AK_CORE_EXTRACT_NETWORK_H
#define AK_CORE_EXTRACT_NETWORK_H

#include "core/image/extract.h"
#include "core/nn/model.h"

/* What a network may cost to be an extractor: larger ones are AK_ELIMIT. */
#define AK_NETWORK_MACS        UINT64_C(40000000000) /* an image */
#define AK_NETWORK_ACTIVATIONS ((uint64_t)1 << 26)   /* values of an image */
#define AK_NETWORK_DIM         65536

/*
 * Whether a network can be an extractor: images have 1 or 3 channels, and the
 * bounds above are kept.  AK_EINVAL, AK_ELIMIT.
 */
enum ak_status ak_network_check(const struct ak_graph *g,
                                struct ak_err *err) AK_MUST_CHECK;

/*
 * An extractor of that name, held once.  The model becomes its own and is
 * zeroed, on success only.  `engine` NULL: the fastest; `computers` 0: 1.
 * AK_EINVAL, AK_ELIMIT, AK_ENOMEM; AK_EUNSUPPORTED: no engine has all of its
 * layers.
 */
enum ak_status ak_network_create(const char *name, struct ak_model *model,
                                 const char *engine, unsigned computers,
                                 struct ak_extractor **out,
                                 struct ak_err *err) AK_MUST_CHECK;

/* Memory that it holds now, in bytes. */
size_t ak_network_bytes(struct ak_extractor *e);

#endif
