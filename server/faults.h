/*
 * faults.h -- what is wrong with a body, and where: up to 32 are told.
 *
 * Collected while a body is read, so that one answer names all of them.  The
 * slug of the answer is the code of the first fault.
 */
#ifndef AK_SERVER_FAULTS_H
#define AK_SERVER_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"
#include "server/http.h"

#define AK_FAULTS_MAX 32

struct ak_faults {
    size_t n;
    size_t more; /* beyond the list */
    /* For what has no pointer, such as a body that is no JSON: the slug of the
       answer and its text; NULL: the first fault's code is. */
    const char *slug;
    char detail[AK_ERR_TEXT];
    /* Last: only the first n are anything, so that it need not be zeroed. */
    struct ak_fault list[AK_FAULTS_MAX];
};

static inline bool ak_faults_none(const struct ak_faults *faults)
{
    return faults->n == 0 && faults->slug == NULL;
}

/* Add one; `code` is a constant.  Beyond the list it is counted only. */
void ak_faults_add(struct ak_faults *faults, const char *pointer,
                   const char *code, const char *fmt, ...) AK_PRINTF(4, 5);
/* The whole body is wrong. */
void ak_faults_whole(struct ak_faults *faults, const char *slug,
                     const char *fmt, ...) AK_PRINTF(3, 4);

/* The slug and the text of the answer; there is a fault. */
const char *ak_faults_slug(const struct ak_faults *faults);
const char *ak_faults_detail(const struct ak_faults *faults, char *text,
                             size_t cap);
void ak_faults_reply(struct ak_request *rq, const struct ak_faults *faults);

#endif
