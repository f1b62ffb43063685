/* program.h -- where akin-worker is. */
#ifndef AK_SERVER_PROGRAM_H
#define AK_SERVER_PROGRAM_H

#include "core/base/err.h"

/*
 * The path of akin-worker, the caller's to free: beside the program that runs,
 * else where it was installed.  AK_ENOTFOUND names both places; AK_ENOMEM.
 */
enum ak_status ak_program_worker(char **path, struct ak_err *err) AK_MUST_CHECK;

#endif
