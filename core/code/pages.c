#include "core/code/pages.h"

#include <stdint.h>
#include <sys/mman.h>

#include "core/base/mem.h"

static size_t round_up(size_t len)
{
    return (len + AK_HUGE_PAGE - 1) & ~(AK_HUGE_PAGE - 1);
}

void *ak_pages_new(size_t len)
{
    size_t whole, before, after;
    char *pages;

    if (len < AK_HUGE_PAGE)
        return ak_array_new(1, len);
    if (len > SIZE_MAX / 2)
        return NULL;
    whole = round_up(len) + AK_HUGE_PAGE;
    pages = mmap(NULL, whole, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    /* What is in excess of a boundary goes back at both ends. */
    before = (AK_HUGE_PAGE - (uintptr_t)pages % AK_HUGE_PAGE) % AK_HUGE_PAGE;
    after = whole - before - round_up(len);
    if (before > 0)
        munmap(pages, before);
    pages += before;
    if (after > 0)
        munmap(pages + round_up(len), after);
#ifdef MADV_HUGEPAGE
    /* A wish: where it is refused, small pages serve. */
    (void)madvise(pages, round_up(len), MADV_HUGEPAGE);
#endif
    return pages;
}

void ak_pages_free(void *pages, size_t len)
{
    if (pages == NULL)
        return;
    if (len < AK_HUGE_PAGE)
        ak_array_free(pages);
    else
        munmap(pages, round_up(len));
}
