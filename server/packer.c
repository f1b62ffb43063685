/*
 * packer.c -- packed rows, which let a start do without the table of rows.
 *
 * The indexer packs a segment at once when it is full, or when a start found it
 * not packed, in slices of its own that come after records and versions.  Each
 * is read once, so that ends.
 *
 * A row that ends or gets other labels unpacks its segment, and rows do so as
 * long as somebody sends deletes.  To pack it at once would be to read 4,096
 * rows for every row that is changed.  So it is packed again when none of its
 * rows has changed for a minute: a burst of changes costs one packing.  And
 * never more than one such segment every tenth of a second, a hundredth of a
 * core, for changes spread thinly over many segments would keep all of them due.
 * Whatever is not packed when the daemon stops is walked at the next start, and
 * packed after it; a stop does not wait for it.
 *
 * All is the indexer's but `wake_ns`, by which the clock knows when to wake it.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/engine_internal.h"
#include "server/log.h"

#define AT_ONCE  UINT64_C(1) /* of due_ns */
#define QUIET_NS UINT64_C(60000000000)
#define REST_NS  UINT64_C(100000000)
/* Nothing is packed while so much waits to be written. */
#define QUEUE_BYTES (1 << 20)
/* Rows of kind external that came in records shorter than this on average get
   stored codes, since a start would read too many blocks. */
#define SHORT_RECORD 512

void ak_packer_init(struct ak_packer *p)
{
    atomic_init(&p->wake_ns, UINT64_MAX);
    p->quiet_ns = QUIET_NS;
}

void ak_packer_clear(struct ak_packer *p)
{
    free(p->due_ns);
}

/* ------------------------------------------------------------- what is due */

static void set_due(struct ak_packer *p, uint64_t segment, uint64_t due)
{
    p->due_ns[segment] = due;
    if (due != 0 && due < atomic_load(&p->wake_ns))
        atomic_store(&p->wake_ns, due);
}

/* The segments from here on up to n; without memory they are not packed. */
static void grow(struct ak_packer *p, size_t n, uint64_t due)
{
    if (n > p->cap) {
        size_t cap = n + n / 2 + 64;
        uint64_t *due_ns = realloc(p->due_ns, cap * sizeof(*due_ns));

        if (due_ns == NULL)
            return;
        p->due_ns = due_ns;
        p->cap = cap;
    }
    while (p->n < n) {
        p->due_ns[p->n] = 0;
        set_due(p, p->n++, due);
    }
}

void ak_packer_found(struct ak_collection *c, uint64_t segment, bool packed)
{
    grow(&c->indexer.packer, (size_t)segment + 1, packed ? 0 : AT_ONCE);
}

void ak_packer_changed(struct ak_collection *c, uint64_t ordinal)
{
    struct ak_packer *p = &c->indexer.packer;
    uint64_t segment = ordinal / AK_SEGMENT_ROWS;

    if (segment < p->n)
        set_due(p, segment, ak_clock_ns() + p->quiet_ns);
}

/* A segment to be packed now, or the number of them; *next is when there is
   one. */
static size_t find_due(struct ak_packer *p, uint64_t now, uint64_t *next)
{
    bool rested = now >= p->packed_ns + REST_NS;

    *next = UINT64_MAX;
    for (size_t i = 0; i < p->n; i++) {
        size_t at = (p->at + i) % p->n;
        uint64_t due = p->due_ns[at];

        if (due == AT_ONCE || (due != 0 && due <= now && rested)) {
            p->at = at + 1;
            return at;
        }
        if (due != 0 && due < *next)
            *next = due;
    }
    if (*next < p->packed_ns + REST_NS)
        *next = p->packed_ns + REST_NS;
    return p->n;
}

/* ------------------------------------------------------------- one segment */

struct packed_job {
    struct ak_job job; /* first */
    struct ak_collection *c;
    uint64_t segment, seq;
    size_t len;
    uint8_t packed[];
};

static enum ak_status packed_apply(struct ak_job *job, struct ak_store *store,
                                   struct ak_err *err)
{
    struct packed_job *j = (struct packed_job *)job;
    struct ak_bytes packed = {j->packed, j->len};
    bool stored;

    /* If it is not, a record that comes makes it due again. */
    return ak_store_put_packed(store, j->segment, j->seq, packed, &stored, err);
}

static void packed_done(struct ak_job *job, enum ak_status status,
                        const struct ak_err *err)
{
    struct packed_job *j = (struct packed_job *)job;

    if (status != AK_OK && status != AK_ENOTFOUND)
        ak_log_warn("engine", "packed rows were not stored",
                    AK_TEXT("collection", j->c->settings.name),
                    AK_NUMBER("segment", j->segment),
                    AK_TEXT("reason", err->text));
    ak_collection_drop(j->c);
    free(j);
}

static enum ak_status pack_rows(struct ak_collection *c, uint64_t segment,
                                struct ak_err *err)
{
    struct ak_bytes packed = {0};
    struct packed_job *j;
    uint64_t seq;
    enum ak_status status =
        ak_view_pack(c->indexer.view, segment, &packed, &seq, err);

    if (status != AK_OK)
        return status;
    j = malloc(sizeof(*j) + packed.len);
    if (j == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to pack rows");
    memset(j, 0, sizeof(*j));
    j->job.apply = packed_apply;
    j->job.done = packed_done;
    j->job.bytes = packed.len;
    j->c = ak_collection_ref(c);
    j->segment = segment;
    j->seq = seq;
    j->len = packed.len;
    memcpy(j->packed, packed.data, packed.len);
    ak_writer_push(c->engine->writer, &c->lane, &j->job);
    return AK_OK;
}

/* Codes of kind external are in the blocks, as many as there were records. */
static enum ak_status pack_codes(struct ak_collection *c, uint64_t segment,
                                 struct ak_err *err)
{
    const struct ak_space space = {0, c->shape.row_bytes};
    uint64_t first = segment * AK_SEGMENT_ROWS, n = 0;
    uint8_t *codes;
    enum ak_status status =
        ak_view_count_blocks(c->indexer.view, segment, &n, err);

    if (status != AK_OK || n <= AK_SEGMENT_ROWS / SHORT_RECORD)
        return status;
    codes = malloc((size_t)AK_SEGMENT_ROWS * c->shape.code_bytes);
    if (codes == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to pack codes");
    status = ak_view_block(c->indexer.view, &space, first, AK_SEGMENT_ROWS,
                           codes, err);
    if (status == AK_OK)
        ak_indexer_store_codes(c, 0, segment, codes);
    free(codes);
    return status;
}

static void pack(struct ak_collection *c, uint64_t segment, bool codes)
{
    struct ak_err err = {0};
    struct ak_snapshot *s = ak_index_snapshot(c->index);
    enum ak_status status = pack_rows(c, segment, &err);

    if (status == AK_OK && codes && ak_snapshot_model(s) == NULL)
        status = pack_codes(c, segment, &err);
    ak_snapshot_drop(s);
    if (status != AK_OK)
        ak_log_warn("engine", "rows were not packed",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("segment", segment), AK_TEXT("reason", err.text));
}

bool ak_packer_slice(struct ak_collection *c)
{
    struct ak_packer *p = &c->indexer.packer;
    uint64_t now = ak_clock_ns(), next;
    struct ak_lane_load load;
    size_t segment;
    bool again;

    grow(p, (size_t)(ak_index_rows(c->index) / AK_SEGMENT_ROWS), AT_ONCE);
    if (atomic_load(&p->wake_ns) > now)
        return false;
    ak_lane_load(c->engine->writer, &c->lane, &load);
    if (load.bytes > QUEUE_BYTES) {
        atomic_store(&p->wake_ns, now + REST_NS);
        return false;
    }
    segment = find_due(p, now, &next);
    if (segment == p->n) {
        atomic_store(&p->wake_ns, next);
        return false;
    }
    again = p->due_ns[segment] != AT_ONCE;
    if (again) {
        p->packed_ns = now;
        p->n_again++;
    }
    set_due(p, segment, 0);
    pack(c, segment, !again); /* codes never change */
    return true;
}
