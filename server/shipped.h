/* shipped.h -- the extractors that a new data directory begins with. */
#ifndef AK_SERVER_SHIPPED_H
#define AK_SERVER_SHIPPED_H

#include "server/extractors.h"

/*
 * Put a copy of each NAME.akx in the folder `dir`.  `done` is called once, when
 * all are there or refused, which the log says; perhaps before this returns.  A
 * folder that is not there has none.
 */
void ak_shipped_put(struct ak_extractors *x, const char *dir,
                    void (*done)(void *arg), void *arg);

#endif
