/*
 * A search from end to end: how it is cut in parts, the scratch of each, and how
 * their hits are merged.  search_internal.h has the overview.
 *
 * Parts are ranges of queries when there are enough, as then nothing needs to be
 * merged; else ranges of rows, each of which finds its own k best.  The k best of
 * all are among them, and ranges of rows come in order of ordinals, so a merge of
 * sorted lists gives the very hits that one part would.
 */
#include "core/code/search_internal.h"

#include <assert.h>
#include <string.h>

#include "core/base/mem.h"

/* Queries go together as long as the scratch of a part stays below this. */
#define SCRATCH_LEN ((size_t)16 << 20)

/* Words of codes that are worth another thread, in one query: two threads from
   4,000,000 on, where they are nearly twice as fast. */
#define PART_WORDS ((size_t)2000000)

/* Of the rows of a partition, fewer than one in so many that pass a filter are
   compared by themselves. */
#define FEW_PASS 64

/* Threads, in short; they have scratch enough for a merge of so many. */
#define MAX_PARTS 1024

struct part {
    struct ak_scan scan;
    size_t first, n;          /* queries */
    uint64_t from, to;        /* rows */
    struct ak_query *queries; /* (chunk), each with its counts and buffer */
    struct ak_query **list;   /* (chunk) */
    struct ak_hit *hits;      /* (n, k) */
    size_t *n_hits;           /* (n) */
    uint64_t *pass;           /* which of the partition's rows pass a filter */
    uint64_t n_pass;          /* so many */
    bool visits;              /* the partition */
    uint64_t searched;
};

struct ak_search_job {
    const struct ak_snapshot *s;
    struct ak_search search;
    struct ak_filter *filter;
    size_t k, chunk;
    uint32_t limit; /* 1 + the largest distance wanted */
    bool by_rows;
    size_t n_parts;
    struct part *parts;
};

/* ------------------------------------------------------------------ planning */

size_t ak_search_parts(const struct ak_snapshot *s, const struct ak_search *q,
                       size_t threads)
{
    uint64_t words = s->rows * s->words, n;

    if (ak_snapshot_partitioned(s))
        words = (uint64_t)((double)words * s->partition->share);
    n = words * q->n / PART_WORDS;
    /* Half a part is worth it: two threads at 4 M words, three at 6 M. */
    if (ak_snapshot_partitioned(s) && n > q->n)
        n = q->n;
    if (n > threads)
        n = threads;
    if (n > MAX_PARTS)
        n = MAX_PARTS;
    return n == 0 ? 1 : (size_t)n;
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Groups in a call: what a partition needs; else no more than there are rows. */
static size_t call_groups(const struct ak_search_job *job)
{
    size_t n = AK_VISIT_GROUPS;

    if (ak_snapshot_partitioned(job->s))
        return n;
    while (n < AK_SCAN_GROUPS && n * AK_HAMMING_GROUP < job->s->rows)
        n *= 2;
    return n;
}

/* The next `n` elements of a piece of memory that is divided up; of none, only
   the length is counted, which is SIZE_MAX when it cannot be. */
static void *divide(char *memory, size_t *used, size_t n, size_t size)
{
    size_t from = *used, bytes;

    if (__builtin_mul_overflow(n, size, &bytes) ||
        __builtin_add_overflow(from, bytes, used) ||
        __builtin_add_overflow(*used, 63, used)) {
        *used = SIZE_MAX;
        return NULL;
    }
    *used &= ~(size_t)63;
    return memory == NULL ? NULL : memory + from;
}

/* What a part works with, and its hits. */
static void divide_part(const struct ak_search_job *job, struct part *part,
                        char *memory, size_t *used)
{
    size_t n_near = job->search.n > 2 ? AK_HAMMING_QUERIES : 1;
    size_t near = part->scan.max_groups * AK_HAMMING_GROUP;
    size_t chunk = min(job->chunk, part->n);
    size_t room = AK_TOPK_ROOM(job->k), counts = job->limit + 2;
    uint64_t *buffers;
    uint32_t *count;

    for (size_t i = 0; i < n_near; i++)
        part->scan.near[i] =
            divide(memory, used, near, sizeof(*part->scan.near[i]));
    part->queries = divide(memory, used, chunk, sizeof(*part->queries));
    part->list = divide(memory, used, chunk, sizeof(struct ak_query *));
    buffers = divide(memory, used, chunk, room * sizeof(*buffers));
    count = divide(memory, used, chunk, counts * sizeof(*count));
    part->n_hits = divide(memory, used, part->n, sizeof(*part->n_hits));
    part->hits = divide(memory, used, part->n, job->k * sizeof(*part->hits));
    for (size_t i = 0; i < chunk && memory != NULL; i++) {
        part->queries[i].top.buffer = buffers + i * room;
        part->queries[i].top.counts = count + i * counts;
    }
}

static void set_range(const struct ak_search_job *job, size_t i,
                      struct part *part)
{
    size_t segments = job->s->n_segments, parts = job->n_parts;

    part->first = 0;
    part->n = job->search.n;
    part->from = 0;
    part->to = job->s->rows;
    if (job->by_rows) {
        part->from = (uint64_t)(segments * i / parts) * AK_SEGMENT_ROWS;
        if (i + 1 < parts)
            part->to = (uint64_t)(segments * (i + 1) / parts) * AK_SEGMENT_ROWS;
    } else {
        /* The kernel takes so many at once; a bucket is visited by one. */
        size_t step = ak_snapshot_partitioned(job->s) ? 1 : AK_HAMMING_QUERIES;
        size_t steps = (job->search.n + step - 1) / step;

        part->first = steps * i / parts * step;
        part->n =
            min(steps * (i + 1) / parts * step, job->search.n) - part->first;
    }
}

static void plan(struct ak_search_job *job)
{
    const struct ak_search *search = &job->search;
    size_t one;

    job->k = min(search->limit, (size_t)job->s->live);
    job->limit = (search->max_distance < job->s->bits ? search->max_distance
                                                      : job->s->bits) +
                 1;
    if (job->k == 0)
        job->n_parts = 1;
    one = sizeof(struct ak_query) + AK_TOPK_ROOM(job->k) * sizeof(uint64_t) +
          (job->limit + 2) * sizeof(uint32_t);
    job->chunk = SCRATCH_LEN / job->n_parts / one;
    if (job->chunk == 0)
        job->chunk = 1;
    job->by_rows = job->n_parts > search->n / AK_HAMMING_QUERIES &&
                   !ak_snapshot_partitioned(job->s);
}

/* One piece of memory for all: short searches are over in the time that a few
   more would take.  Returns its length; without `memory` that is all. */
static size_t lay_out(struct ak_search_job *job, char *memory)
{
    size_t used = 0;
    struct ak_search_job *at = divide(memory, &used, 1, sizeof(*job));

    job->parts = divide(memory, &used, job->n_parts, sizeof(*job->parts));
    for (size_t i = 0; i < job->n_parts; i++) {
        struct part part = {.scan = {.s = job->s,
                                     .search = at != NULL ? &at->search : NULL,
                                     .kernel = ak_hamming_kernel(),
                                     .max_groups = call_groups(job),
                                     .complete = true}};

        set_range(job, i, &part);
        if (job->k > 0)
            divide_part(job, &part, memory, &used);
        if (memory != NULL)
            job->parts[i] = part;
    }
    if (memory != NULL)
        *at = *job;
    return used;
}

/* What only a filter needs. */
static bool prepare_filter(struct ak_search_job *job)
{
    job->filter = ak_filter_sorted(job->search.filter);
    if (job->filter == NULL)
        return false;
    for (size_t i = 0; i < job->n_parts; i++) {
        struct part *part = &job->parts[i];

        part->scan.filter = job->filter;
        if (job->k == 0 || !ak_snapshot_partitioned(job->s))
            continue;
        part->pass = ak_array_new(ak_segments_of(job->s->partition->covered) *
                                      AK_SEGMENT_WORDS,
                                  sizeof(*part->pass));
        if (part->pass == NULL)
            return false;
    }
    return true;
}

enum ak_status ak_search_job_create(const struct ak_snapshot *s,
                                    const struct ak_search *q, size_t n_parts,
                                    struct ak_search_job **out,
                                    struct ak_err *err)
{
    struct ak_search_job planned = {.s = s, .search = *q, .n_parts = n_parts};
    struct ak_search_job *job;

    assert(q->n > 0 && q->limit > 0 && n_parts > 0 && n_parts <= MAX_PARTS);
    plan(&planned);
    job = ak_array_raw(lay_out(&planned, NULL), 1);
    if (job != NULL)
        lay_out(&planned, (char *)job);
    if (job == NULL || (q->filter != NULL && !prepare_filter(job))) {
        ak_search_job_destroy(job);
        return ak_fail(err, AK_ENOMEM, "no memory to search %zu queries", q->n);
    }
    *out = job;
    return AK_OK;
}

void ak_search_job_destroy(struct ak_search_job *job)
{
    if (job == NULL)
        return;
    for (size_t i = 0; i < job->n_parts; i++)
        ak_array_free(job->parts[i].pass);
    ak_array_free(job->filter);
    ak_array_free(job);
}

/* ------------------------------------------------------------------- running */

static void begin(const struct ak_search_job *job, struct ak_query *q,
                  uint32_t limit, bool ordered)
{
    ak_topk_init(&q->top, job->k, limit, ordered, q->top.counts, q->top.buffer);
}

/* Queries whose nearest bucket is the same follow each other: it is in the
   cache then. */
static void sort_by_bucket(struct ak_query **list, size_t n)
{
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            struct ak_query *q = list[i];
            size_t j = i;

            for (; j >= gap && list[j - gap]->bucket > q->bucket; j -= gap)
                list[j] = list[j - gap];
            list[j] = q;
        }
}

/*
 * The `n` queries of the list through the partition.  Those for which it is of no
 * use are moved to the list's front, and begin again with what bound they have.
 * Returns how many these are.
 */
static size_t visit(const struct ak_search_job *job, struct part *part,
                    size_t n)
{
    struct ak_query **list = part->list;
    size_t n_in_order = 0;

    if (n > 2) {
        for (size_t i = 0; i < n; i++)
            ak_visit_nearest(&part->scan, list[i]);
        sort_by_bucket(list, n);
    }
    for (size_t i = 0; i < n; i++) {
        struct ak_query *q = list[i];

        if (!ak_scan_in_time(&part->scan))
            break;
        ak_visit_partition(&part->scan, q);
        if (!q->in_order)
            continue;
        begin(job, q, ak_topk_reach(&q->top), true);
        list[i] = list[n_in_order];
        list[n_in_order++] = q;
    }
    return n_in_order;
}

static void run_chunk(const struct ak_search_job *job, struct part *part,
                      size_t first, size_t n)
{
    const struct ak_snapshot *s = job->s;
    uint64_t covered = part->visits ? s->partition->covered : 0, searched = 0;
    size_t n_in_order = n;

    for (size_t i = 0; i < n; i++) {
        struct ak_query *q = &part->queries[i];

        ak_code_load(job->search.codes + (first + i) * ak_code_bytes(s->bits),
                     s->bits, q->words);
        q->in_order = false;
        begin(job, q, job->limit, !part->visits);
        part->list[i] = q;
    }
    part->scan.compared = 0;
    if (part->visits)
        n_in_order = visit(job, part, n);
    ak_scan_alike(&part->scan, part->list, n_in_order, part->from, part->to,
                  &searched);
    if (n_in_order < n) {
        searched = 0;
        part->scan.block = ak_scan_first_block(&part->scan, job->k);
        ak_scan_rows(&part->scan, part->list + n_in_order, n - n_in_order,
                     covered, part->to, &searched);
        /* What the partition need not compare counts as well; but when time was
           up, only what was, on average. */
        if (part->scan.complete)
            searched = job->filter == NULL ? s->live : part->n_pass + searched;
        else
            searched += min((size_t)part->scan.compared / (n - n_in_order),
                            s->partition->rows);
    }
    part->searched = searched;
    for (size_t i = 0; i < n; i++) {
        size_t at = first - part->first + i;

        part->n_hits[at] =
            ak_topk_finish(&part->queries[i].top, part->hits + at * job->k);
    }
}

/*
 * Whether the part goes through the partition.  Under a filter its hits are
 * looked up among the rows that pass; when these are few, it is faster to compare
 * nothing else.
 */
static bool decide(const struct ak_search_job *job, struct part *part)
{
    const struct ak_snapshot *s = job->s;
    uint64_t covered;

    if (!ak_snapshot_partitioned(s))
        return false;
    part->scan.some_died = s->rows - s->live != s->partition->dead;
    if (job->filter == NULL)
        return true;
    covered = s->partition->covered;
    part->n_pass = 0;
    for (size_t i = 0; i < ak_segments_of(covered); i++) {
        uint64_t *pass = part->pass + i * AK_SEGMENT_WORDS;
        uint64_t rows = covered - (uint64_t)i * AK_SEGMENT_ROWS;

        if (ak_filter_segment(s, job->filter, i) != i)
            continue;
        ak_filter_whole(s, job->filter, i, pass);
        for (size_t w = 0; w < AK_SEGMENT_WORDS && w * 64 < rows; w++)
            part->n_pass += (uint64_t)__builtin_popcountll(pass[w]);
    }
    part->scan.pass = part->pass;
    return s->partition->forced || part->n_pass >= covered / FEW_PASS;
}

void ak_search_job_run(struct ak_search_job *job, size_t part_index)
{
    struct part *part = &job->parts[part_index];
    size_t chunk;

    /* Nothing is alive, and there is but one part. */
    if (job->k == 0)
        return;
    chunk = min(job->chunk, part->n);
    part->visits = decide(job, part);
    for (size_t from = 0; from < part->n; from += chunk)
        run_chunk(job, part, part->first + from, min(chunk, part->n - from));
}

/* -------------------------------------------------------------------- results */

static bool comes_before(const struct ak_hit *a, const struct ak_hit *b)
{
    if (a->distance != b->distance)
        return a->distance < b->distance;
    return a->ordinal < b->ordinal;
}

/* The first k of the lists of all parts for query `i`. */
static size_t merge(const struct ak_search_job *job, size_t i, size_t *at,
                    struct ak_hit *hits)
{
    size_t n = 0;

    memset(at, 0, job->n_parts * sizeof(*at));
    while (n < job->k) {
        const struct ak_hit *best = NULL;
        size_t from = 0;

        for (size_t p = 0; p < job->n_parts; p++) {
            const struct part *part = &job->parts[p];
            const struct ak_hit *hit = &part->hits[i * job->k + at[p]];

            if (at[p] == part->n_hits[i] ||
                (best != NULL && !comes_before(hit, best)))
                continue;
            best = hit;
            from = p;
        }
        if (best == NULL)
            break;
        hits[n++] = *best;
        at[from]++;
    }
    return n;
}

static void finish_rows(struct ak_search_job *job, struct ak_hit *hits,
                        struct ak_search_result *results)
{
    struct ak_search_result result = {.complete = true};

    for (size_t p = 0; p < job->n_parts; p++) {
        result.searched += job->parts[p].searched;
        result.complete = result.complete && job->parts[p].scan.complete;
    }
    for (size_t i = 0; i < job->search.n; i++) {
        results[i] = result;
        /* What the parts worked with is no longer needed. */
        results[i].n_hits =
            merge(job, i, (size_t *)(void *)job->parts[0].scan.near[0],
                  hits + i * job->search.limit);
    }
}

void ak_search_job_finish(struct ak_search_job *job, struct ak_hit *hits,
                          struct ak_search_result *results)
{
    size_t limit = job->search.limit;

    if (job->k == 0) {
        for (size_t i = 0; i < job->search.n; i++)
            results[i] = (struct ak_search_result){.complete = true};
        return;
    }
    if (job->by_rows) {
        finish_rows(job, hits, results);
        return;
    }
    for (size_t p = 0; p < job->n_parts; p++) {
        const struct part *part = &job->parts[p];

        for (size_t i = 0; i < part->n; i++) {
            size_t at = part->first + i;

            results[at] = (struct ak_search_result){
                part->n_hits[i], part->searched, part->scan.complete};
            if (part->n_hits[i] > 0)
                memcpy(hits + at * limit, part->hits + i * job->k,
                       part->n_hits[i] * sizeof(*hits));
        }
    }
}

enum ak_status ak_snapshot_search(const struct ak_snapshot *s,
                                  const struct ak_search *search,
                                  struct ak_hit *hits,
                                  struct ak_search_result *results,
                                  struct ak_err *err)
{
    struct ak_search_job *job = NULL;
    enum ak_status status = ak_search_job_create(s, search, 1, &job, err);

    if (status != AK_OK)
        return status;
    ak_search_job_run(job, 0);
    ak_search_job_finish(job, hits, results);
    ak_search_job_destroy(job);
    return AK_OK;
}
