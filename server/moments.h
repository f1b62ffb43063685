/*
 * moments.h -- a signal to akind itself at a named moment, for tests.
 */
#ifndef AK_SERVER_MOMENTS_H
#define AK_SERVER_MOMENTS_H

#include "core/base/err.h"

/*
 * `text` is NULL, for nothing, or "NAME:NTH:SIGNAL[:TIMES]": when the process
 * passes the moment NAME (core/base/moment.h) for the NTH time, it sends itself
 * the SIGNAL of that number, TIMES times: 9 ends it there, 15 tells it to stop.
 * Before there are threads.  AK_EINVAL: it is of another form, or no moment has
 * that name, so that a test never waits for what cannot come.
 */
enum ak_status ak_moments_set(const char *text,
                              struct ak_err *err) AK_MUST_CHECK;

#endif
