#include "server/faults.h"

#include <stdarg.h>
#include <stdio.h>

void ak_faults_add(struct ak_faults *faults, const char *pointer,
                   const char *code, const char *fmt, ...)
{
    struct ak_fault *f = &faults->list[faults->n];
    va_list ap;

    if (faults->n == AK_FAULTS_MAX) {
        faults->more++;
        return;
    }
    faults->n++;
    va_start(ap, fmt);
    (void)ak_fault_vset(f, pointer, code, fmt, ap);
    va_end(ap);
}

void ak_faults_whole(struct ak_faults *faults, const char *slug,
                     const char *fmt, ...)
{
    va_list ap;

    if (faults->slug != NULL)
        return;
    faults->slug = slug;
    va_start(ap, fmt);
    vsnprintf(faults->detail, sizeof(faults->detail), fmt, ap);
    va_end(ap);
}

const char *ak_faults_slug(const struct ak_faults *faults)
{
    return faults->slug != NULL ? faults->slug : faults->list[0].code;
}

const char *ak_faults_detail(const struct ak_faults *faults, char *text,
                             size_t cap)
{
    const struct ak_fault *first = &faults->list[0];

    if (faults->slug != NULL)
        snprintf(text, cap, "%s", faults->detail);
    else if (faults->n + faults->more == 1)
        snprintf(text, cap, "%s: %s", first->pointer, first->detail);
    else
        snprintf(text, cap, "%zu faults, the first at %s: %s",
                 faults->n + faults->more, first->pointer, first->detail);
    return text;
}

void ak_faults_reply(struct ak_request *rq, const struct ak_faults *faults)
{
    char detail[512];

    ak_faults_detail(faults, detail, sizeof(detail));
    if (faults->slug != NULL)
        ak_reply_problem(rq, faults->slug, "%s", detail);
    else
        ak_reply_faults(rq, ak_faults_slug(faults), faults->list, faults->n,
                        detail);
}
