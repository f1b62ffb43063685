/*
 * job_options.h -- what a request for a job may say, as rows of a table.
 *
 * A kind lists the members of params, of the budget and of the gate with their
 * types, ranges and defaults; one function checks an object against a list.
 */
#ifndef AK_SERVER_JOB_OPTIONS_H
#define AK_SERVER_JOB_OPTIONS_H

#include <jansson.h>

#include "server/settings.h"

enum ak_job_option_type {
    AK_OPTION_NAME,    /* ^[a-z0-9][a-z0-9_-]{0,62}$ */
    AK_OPTION_TEXT,    /* looked at by who asked for it */
    AK_OPTION_CHOICE,  /* one of `choices` */
    AK_OPTION_INTEGER, /* min..max */
    AK_OPTION_NUMBER,  /* min..max */
    AK_OPTION_BOOLEAN, /* true or false */
    AK_OPTION_OBJECT   /* looked at by its own list */
};

struct ak_job_option {
    const char *name;
    enum ak_job_option_type type;
    double min, max;
    const char *choices; /* "f32|bf16" */
    /* Filled in where it is absent, as JSON; NULL: stays absent. */
    const char *initial;
};

/*
 * `object` is the value at `pointer` ("/params"); defaults are filled in.
 * AK_EINVAL with a fault at the first member that is wrong; AK_ENOMEM.
 */
enum ak_status ak_job_options_check(json_t *object, const char *pointer,
                                    const struct ak_job_option *options,
                                    size_t n,
                                    struct ak_fault *fault) AK_MUST_CHECK;

#endif
