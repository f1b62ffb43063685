/*
 * Queries of one batch are alike, as far as the distance of their k-th hit goes.
 * A few scouts go through the rows first; what they find tells the others how
 * far to look, so that hardly a row is looked at that falls out again.  With
 * random codes and k = 100 that is a fifth of the time.
 *
 * It is a guess, and the answer does not depend on it: a query that finds fewer
 * than k hits within its guess goes through the rows once more without.
 */
#include "core/code/search_internal.h"

/* Enough to know how far their distances spread. */
#define SCOUTS (2 * AK_HAMMING_QUERIES)

/* Below so many queries, to read all codes once more for the scouts costs more
   than they save; the more so the longer the codes are. */
#define MIN_QUERIES(words) (SCOUTS * (3 + (words)))

static void begin(struct ak_query *q, uint32_t limit)
{
    ak_topk_init(&q->top, q->top.k, limit, true, q->top.counts, q->top.buffer);
}

/*
 * 1 + the distance within which others will have k hits: as far beyond the
 * farthest scout as that is beyond the nearest, but at least 1, which hardly any
 * is.  To go once more costs as much as thousands of hits that fall out.
 * UINT32_MAX when a scout found fewer than k.
 */
static uint32_t guess_limit(struct ak_query *const *scouts)
{
    uint32_t least = UINT32_MAX, most = 0;

    for (size_t i = 0; i < SCOUTS; i++) {
        uint32_t kth = scouts[i]->top.kth;

        if (kth == scouts[i]->top.limit)
            return UINT32_MAX;
        least = kth < least ? kth : least;
        most = kth > most ? kth : most;
    }
    return 1 + most + (most > least ? most - least : 1);
}

/* Those with fewer than k hits within a guess come to the front of the list. */
static size_t find_stragglers(struct ak_query **list, size_t n)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        struct ak_query *q = list[i];

        if (q->top.kth < q->top.limit || q->top.limit == q->limit)
            continue;
        list[i] = list[found];
        list[found++] = q;
    }
    return found;
}

void ak_scan_alike(struct ak_scan *scan, struct ak_query **list, size_t n,
                   uint64_t from, uint64_t to, uint64_t *searched)
{
    size_t first_block;
    uint64_t again = 0;
    uint32_t guess;

    if (n == 0)
        return;
    first_block = ak_scan_first_block(scan, list[0]->top.k);
    scan->block = first_block;
    if (n < MIN_QUERIES(scan->s->words)) {
        ak_scan_rows(scan, list, n, from, to, searched);
        return;
    }
    ak_scan_rows(scan, list, SCOUTS, from, to, &again);
    guess = guess_limit(list);
    list += SCOUTS;
    n -= SCOUTS;
    for (size_t i = 0; i < n; i++) {
        struct ak_query *q = list[i];

        q->limit = q->top.limit;
        if (guess < q->limit) {
            begin(q, guess);
            q->in_order = true;
        }
    }
    scan->block = guess == UINT32_MAX ? first_block : scan->max_groups;
    ak_scan_rows(scan, list, n, from, to, searched);
    n = find_stragglers(list, n);
    if (n == 0)
        return;
    /* Of the rows that they have seen they know the nearest only. */
    if (!scan->complete) {
        *searched = 0;
        return;
    }
    for (size_t i = 0; i < n; i++)
        begin(list[i], list[i]->limit);
    scan->block = first_block;
    again = 0;
    ak_scan_rows(scan, list, n, from, to, &again);
    if (!scan->complete)
        *searched = again;
}
