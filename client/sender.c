#include "client/sender.h"

#include <stdlib.h>
#include <string.h>

#include "client/json.h"
#include "client/skips.h"
#include "core/base/clock.h"

#define QUALITY_NS 200000000u /* between two looks at the quality */
#define POLL_MS    50u
#define MOST_GAPS  5 /* of one batch, with none under way before it */

enum slot_state { SLOT_FREE, SLOT_WAITING, SLOT_FLYING };

struct slot {
    struct sender *sender;
    enum slot_state state;
    struct source_batch batch;
    uint64_t number;
    unsigned attempt;
    unsigned gaps;
    struct skips skips;
    bool behind;      /* it overtook the one before it, and was refused */
    uint64_t due_ns;  /* when a waiting one may go */
    uint64_t sent_ns; /* when it went last */
};

struct sender {
    const struct sender_params *p;
    struct akin *client;
    struct slot *slots;
    struct progress progress;
    struct sender_result r;
    double window;
    uint64_t halved_ns; /* when the window was halved last */
    uint64_t pause_ns;  /* nothing goes before, after a refusal */
    uint64_t first;     /* batch to be sent first */
    uint64_t next;      /* batch to be made next */
    uint64_t lost;      /* lowest batch that was given up or dropped */
    size_t flying;
    size_t bytes; /* flying */
    size_t held;  /* of all batches that were made */
    uint64_t began_ns;
    uint64_t success_ns;
    uint64_t quality_ns;
    uint64_t seed;
    bool asking;   /* for the quality */
    bool checking; /* whether the last batch is what it was then */
    bool at_end;   /* the source has no more */
    int code;      /* what ends it all */
};

static struct progress_state state_of(const struct sender *s)
{
    return (struct progress_state){
        .verb = "ingest",
        .rows = s->r.rows + s->r.skipped,
        .total = source_rows(s->p->source),
        .bytes = s->r.bytes,
        .waits = s->r.waits,
        .skipped = s->r.replayed,
        .seconds = (double)(ak_clock_ns() - s->began_ns) * 1e-9,
        .live = s->r.live,
        .served = s->r.served,
    };
}

/* ---- one batch ---------------------------------------------------------- */

static void slot_clear(struct slot *slot)
{
    akin_body_clear(&slot->batch.body);
    skips_clear(&slot->skips);
}

static void slot_free(struct slot *slot)
{
    slot->sender->held -= slot->batch.body.len;
    slot_clear(slot);
    slot->state = SLOT_FREE;
}

/* A batch that will not be sent again by this run. */
static void slot_lose(struct sender *s, struct slot *slot)
{
    if (slot->number < s->lost)
        s->lost = slot->number;
    slot_free(slot);
}

/* All batches below are accepted, though some above may be too. */
static uint64_t resume_at(const struct sender *s)
{
    uint64_t least = s->next < s->lost ? s->next : s->lost;

    for (unsigned i = 0; i < s->p->in_flight; i++)
        if (s->slots[i].state != SLOT_FREE && s->slots[i].number < least)
            least = s->slots[i].number;
    return least < s->first ? s->first : least;
}

static void accept_batch(struct sender *s, struct slot *slot,
                         const struct akin_reply *reply,
                         const struct akin_receipt *receipt)
{
    double most = s->p->in_flight;

    s->checking = false;
    s->success_ns = ak_clock_ns();
    s->r.rows += (uint64_t)receipt->accepted;
    s->r.replayed += reply->replayed ? (uint64_t)receipt->accepted : 0;
    s->r.bytes += slot->batch.body.len;
    s->r.batches++;
    if (receipt->seq > s->r.last_seq)
        s->r.last_seq = receipt->seq;
    s->window += 1.0 / s->window;
    if (s->window > most)
        s->window = most;
    slot_free(slot);
}

/* Refused for now: half the window, once for all that flew together. */
static void back_off(struct sender *s, struct slot *slot, uint64_t wait_ns,
                     bool refused)
{
    uint64_t now = ak_clock_ns();

    s->r.waits++;
    slot->state = SLOT_WAITING;
    slot->due_ns = now + wait_ns;
    if (slot->due_ns > s->pause_ns && refused)
        s->pause_ns = slot->due_ns;
    if (slot->sent_ns >= s->halved_ns) {
        s->window = s->window / 2 < 1 ? 1 : s->window / 2;
        s->halved_ns = now;
    }
}

/* The error of a batch tells which lines of a source it means. */
static void give_up(struct sender *s, const struct slot *slot,
                    const struct akin_error *err)
{
    progress_pause(&s->progress);
    if (s->code == EXIT_OK) {
        s->code = tool_failure(s->p->tool, err);
        if (!s->p->tool->json)
            fprintf(stderr, "  in batch %llu\n",
                    (unsigned long long)slot->number);
        if (!s->p->tool->json && s->checking)
            fprintf(stderr,
                    "  producer %s has sent something else under this number: "
                    "other files or options want another --producer\n",
                    s->p->producer);
    }
}

static bool before_is_under_way(const struct sender *s, uint64_t number)
{
    for (unsigned i = 0; i < s->p->in_flight; i++)
        if (s->slots[i].state != SLOT_FREE && s->slots[i].number < number)
            return true;
    return false;
}

/*
 * It has overtaken the one before it, and goes again after that one.  When none
 * is under way it has been accepted since; if the gap stays the collection is
 * not what it was.
 */
static bool falls_behind(struct sender *s, struct slot *slot)
{
    slot->behind = true;
    if (!before_is_under_way(s, slot->number) && ++slot->gaps > MOST_GAPS)
        return false;
    slot->state = SLOT_WAITING;
    slot->due_ns = 0;
    return true;
}

/* The pictures of the batch that is refused are said, and it is made without
   them. */
static void leave_out(struct sender *s, struct slot *slot,
                      const struct skip *found, size_t n)
{
    struct source_batch batch;
    int code;

    progress_pause(&s->progress);
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "akin: %s: skipped: %s [%s]\n",
                source_row_path(s->p->source, slot->number, found[i].place),
                found[i].why->detail, found[i].why->code);
    code = source_batch_without(s->p->source, slot->number,
                                slot->skips.left_out, &batch);
    if (code != EXIT_OK) {
        s->code = s->code != EXIT_OK ? s->code : code;
        slot_lose(s, slot);
        return;
    }
    s->r.skipped += n;
    s->held -= slot->batch.body.len;
    s->held += batch.body.len;
    akin_body_clear(&slot->batch.body);
    slot->batch.body = batch.body;
}

/* Whether the batch is refused for pictures alone, and goes again. */
static bool goes_without(struct sender *s, struct slot *slot,
                         const struct akin_error *err)
{
    struct skip found[AKIN_MAX_FIELD_ERRORS];
    size_t n;

    if (s->p->strict || s->code != EXIT_OK ||
        source_row_path(s->p->source, slot->number, 0) == NULL ||
        !skips_take(&slot->skips, slot->batch.rows, err, found, &n))
        return false;
    s->success_ns = ak_clock_ns();
    slot->state = SLOT_WAITING;
    slot->due_ns = 0;
    if (n > 0)
        leave_out(s, slot, found, n);
    return true;
}

static void on_batch(void *context, enum akin_result result,
                     const struct akin_reply *reply,
                     const struct akin_error *err)
{
    /* Attempts are not counted: patience ends them. */
    static const struct akin_retry policy = {.max_attempts = UINT32_MAX};
    struct slot *slot = context;
    struct sender *s = slot->sender;
    struct akin_error bad = {0};
    struct akin_receipt receipt;
    int64_t wait;

    s->flying--;
    s->bytes -= slot->batch.body.len;
    if (result == AKIN_OK) {
        if (akin_receipt_decode(reply, &receipt, &bad) == AKIN_OK) {
            accept_batch(s, slot, reply, &receipt);
            return;
        }
        give_up(s, slot, &bad);
        slot_lose(s, slot);
        return;
    }
    if (result == AKIN_EPROBLEM && strcmp(err->slug, "sequence-gap") == 0 &&
        falls_behind(s, slot))
        return;
    if (result == AKIN_EPROBLEM && goes_without(s, slot, err))
        return;
    wait = akin_retry_delay_ms(
        &policy, &(struct akin_request){.method = "POST", .repeatable = 1},
        result, err, reply->retry_after_ms, slot->attempt, &s->seed);
    if (wait < 0 || (double)(ak_clock_ns() - s->success_ns) * 1e-9 >
                        s->p->patience_seconds) {
        give_up(s, slot, err);
        slot_lose(s, slot);
        return;
    }
    back_off(s, slot, (uint64_t)wait * 1000000u, result == AKIN_EPROBLEM);
}

static void send_slot(struct sender *s, struct slot *slot)
{
    struct akin_error err = {0};
    struct akin_piece piece = {slot->batch.body.data, slot->batch.body.len};

    slot->attempt++;
    slot->state = SLOT_FLYING;
    slot->sent_ns = ak_clock_ns();
    s->flying++;
    s->bytes += piece.len;
    if (akin_start(s->client,
                   &(struct akin_request){
                       .method = s->p->method,
                       .path = s->p->path,
                       .content_type = slot->batch.body.content_type,
                       .pieces = &piece,
                       .n_pieces = 1,
                       .producer = s->p->producer,
                       .producer_seq = slot->number + 1,
                   },
                   on_batch, slot, &err) != AKIN_OK) {
        s->flying--;
        s->bytes -= piece.len;
        give_up(s, slot, &err);
        slot_lose(s, slot);
    }
}

/* ---- all of them -------------------------------------------------------- */

static bool stopping(const struct sender *s)
{
    return s->code != EXIT_OK || *s->p->stop != 0;
}

/* Whether it may go now, with the others that fly; one always may. */
static bool may_fly(const struct sender *s, const struct slot *slot,
                    uint64_t now)
{
    size_t len = slot->batch.body.len;

    if (slot->state != SLOT_WAITING || slot->due_ns > now ||
        (slot->behind && before_is_under_way(s, slot->number)) ||
        (s->checking && slot->number != s->first))
        return false;
    return s->flying == 0 || (s->flying + 1 <= (size_t)s->window &&
                              s->bytes + len <= s->p->bytes_in_flight);
}

/* The lowest number first. */
static struct slot *next_slot(struct sender *s, uint64_t now)
{
    struct slot *best = NULL;

    for (unsigned i = 0; i < s->p->in_flight; i++)
        if (may_fly(s, &s->slots[i], now) &&
            (best == NULL || s->slots[i].number < best->number))
            best = &s->slots[i];
    return best;
}

static void send_waiting(struct sender *s, uint64_t now)
{
    struct slot *slot;

    while ((slot = next_slot(s, now)) != NULL)
        send_slot(s, slot);
}

static void make_batch(struct sender *s, struct slot *slot)
{
    int code = source_batch(s->p->source, s->next, &slot->batch);

    if (code != EXIT_OK) {
        progress_pause(&s->progress);
        s->code = code;
        return;
    }
    if (slot->batch.rows == 0) {
        s->at_end = true;
        return;
    }
    s->held += slot->batch.body.len;
    slot->number = s->next++;
    if (slot->number < s->first) { /* of a stream */
        s->r.rows += slot->batch.rows;
        s->r.replayed += slot->batch.rows;
        slot_free(slot);
        return;
    }
    slot->attempt = slot->gaps = 0;
    slot->behind = false;
    slot->due_ns = 0;
    slot->state = SLOT_WAITING;
}

static void make_batches(struct sender *s)
{
    for (unsigned i = 0; i < s->p->in_flight; i++)
        /* Of a stream, those that are there leave the slot free. */
        while (s->slots[i].state == SLOT_FREE && !stopping(s) && !s->at_end &&
               (s->held == 0 || s->held < s->p->bytes_in_flight))
            make_batch(s, &s->slots[i]);
}

static void on_quality(void *context, enum akin_result result,
                       const struct akin_reply *reply,
                       const struct akin_error *err)
{
    struct sender *s = context;
    json_t *root;
    const json_t *quality;

    (void)err;
    s->asking = false;
    if (result != AKIN_OK)
        return;
    root = json_loadb(reply->body, reply->len, 0, NULL);
    quality = json_object_get(root, "quality");
    s->r.live = quality_value(quality, "live");
    s->r.served = quality_value(quality, "served");
    json_decref(root);
}

/* A look that fails is not worth a word: the next one may not. */
static void ask_quality(struct sender *s, uint64_t now)
{
    char *path;

    if (!s->p->watch_quality || s->asking || now - s->quality_ns < QUALITY_NS)
        return;
    path = akin_collection_path(s->p->collection, "%s", "");
    if (path == NULL)
        return;
    s->quality_ns = now;
    s->asking =
        akin_start(s->client,
                   &(struct akin_request){
                       .method = "GET", .path = path, .timeout_ms = 5000},
                   on_quality, s, NULL) == AKIN_OK;
    free(path);
}

/* Until the next waiting batch is due, and no longer than a look's pause. */
static unsigned poll_ms(const struct sender *s, uint64_t now)
{
    uint64_t ms = POLL_MS;

    for (unsigned i = 0; i < s->p->in_flight; i++) {
        const struct slot *slot = &s->slots[i];
        uint64_t due = slot->due_ns > s->pause_ns ? slot->due_ns : s->pause_ns;

        /* One that is due waits for room, which an answer makes. */
        if (slot->state == SLOT_WAITING && due > now &&
            (due - now) / 1000000u + 1 < ms)
            ms = (due - now) / 1000000u + 1;
    }
    return (unsigned)ms;
}

static bool has_waiting(const struct sender *s)
{
    for (unsigned i = 0; i < s->p->in_flight; i++)
        if (s->slots[i].state == SLOT_WAITING)
            return true;
    return false;
}

/* Those that only overtook another count as in flight when the run is
   interrupted. */
static void drop_waiting(struct sender *s)
{
    for (unsigned i = 0; i < s->p->in_flight; i++)
        if (s->slots[i].state == SLOT_WAITING &&
            !(s->code == EXIT_OK && s->slots[i].behind))
            slot_lose(s, &s->slots[i]);
    for (unsigned i = 0; i < s->p->in_flight; i++)
        if (s->slots[i].state == SLOT_WAITING && s->slots[i].number > s->lost)
            slot_lose(s, &s->slots[i]);
}

static void loop(struct sender *s)
{
    struct akin_error err = {0};

    for (;;) {
        uint64_t now = ak_clock_ns();
        struct progress_state state;

        if (stopping(s))
            drop_waiting(s);
        else if (now >= s->pause_ns)
            make_batches(s);
        if (now >= s->pause_ns)
            send_waiting(s, now);
        if (s->flying == 0 && !has_waiting(s) && (stopping(s) || s->at_end))
            return;
        ask_quality(s, now);
        if (akin_poll(s->client, poll_ms(s, now), &err) != AKIN_OK) {
            s->code = tool_failure(s->p->tool, &err);
            return;
        }
        state = state_of(s);
        progress_show(&s->progress, &state, false);
    }
}

/* Where to begin: with the last batch that is there. */
static void begin(struct sender *s)
{
    const struct source *source = s->p->source;

    s->checking = s->p->last > 0;
    s->first = s->checking ? s->p->last - 1 : 0;
    if (source_rows(source) > 0) {
        s->next = s->first;
        s->r.rows = s->r.replayed = source_rows_before(source, s->first);
    }
}

/* The source came to its end before it came to what is there. */
static void check_length(struct sender *s)
{
    if (s->code != EXIT_OK || !s->at_end || !s->checking)
        return;
    s->code = tool_usage("producer %s has sent %llu batches and these are "
                         "fewer: other files or options want another "
                         "--producer",
                         s->p->producer, (unsigned long long)s->p->last);
}

int sender_run(const struct sender_params *params, struct sender_result *out)
{
    struct sender s = {.p = params,
                       .window = params->in_flight,
                       .lost = UINT64_MAX,
                       .r = {.last_seq = -1, .live = -1, .served = -1}};
    struct progress_state state;

    s.client = params->tool->client;
    s.slots = calloc(params->in_flight, sizeof(*s.slots));
    if (s.slots == NULL)
        return tool_no_memory();
    for (unsigned i = 0; i < params->in_flight; i++)
        s.slots[i].sender = &s;
    progress_init(&s.progress, params->tool);
    s.began_ns = s.success_ns = ak_clock_ns();
    s.seed = s.began_ns;
    begin(&s);
    loop(&s);
    check_length(&s);
    s.r.seconds = (double)(ak_clock_ns() - s.began_ns) * 1e-9;
    state = state_of(&s);
    progress_show(&s.progress, &state, true);
    /* The last look at the quality must not call back into this frame. */
    while (s.asking && akin_poll(s.client, POLL_MS, NULL) == AKIN_OK)
        ;
    s.r.next_batch = resume_at(&s);
    s.r.complete = s.code == EXIT_OK && s.at_end && *params->stop == 0;
    for (unsigned i = 0; i < params->in_flight; i++)
        slot_clear(&s.slots[i]);
    free(s.slots);
    *out = s.r;
    return s.code;
}
