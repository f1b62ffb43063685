/*
 * turns.c -- the numbers of one producer, when several are on their way at once.
 *
 * A producer that waits for each answer uses one core of many.  One that sends
 * several at a time finds that they overtake each other on their way through
 * the threads of HTTP and the pool, and every one that does would leave a gap,
 * be refused, and be sent again: nearly all of them, as it was measured.
 *
 * So a request with a number takes a *turn* when its headers are there.  A
 * submission that leaves a gap is *parked* while all the numbers that it waits
 * for have turns: it goes back to the writer when the one before it is
 * committed.  When one of those ends without that, or after PATIENCE, it is
 * tried once more, and then it is a gap.  Turns decide only how long a gap is
 * waited for; what happens once, and in which order, is the store's to say.
 *
 * Turns and parked submissions are guarded by the collection's lock.  What is
 * parked still counts in the queue.
 */
#include <string.h>

#include "core/base/clock.h"
#include "server/engine_internal.h"

#define MOST_AHEAD  64 /* numbers between the one expected and a parked one */
#define PATIENCE_NS UINT64_C(10000000000)

static bool is_of(const struct ak_turn *turn, struct ak_bytes name)
{
    return strlen(turn->producer) == name.len &&
           memcmp(turn->producer, name.data, name.len) == 0;
}

void ak_collection_begin_turn(struct ak_collection *c, struct ak_turn *turn)
{
    pthread_mutex_lock(&c->lock);
    turn->committed = false;
    turn->next = c->turns;
    c->turns = turn;
    pthread_mutex_unlock(&c->lock);
}

/* ----------------------------------------------------------------- the parked */

static const struct ak_change *change_of(const struct ak_job *job)
{
    return &((const struct ak_submit_job *)job)->submission->change;
}

/* Under the lock: take those of a producer with numbers from `first` to `last`
   off the list; `older_than` 0: of any age. */
static struct ak_job *take(struct ak_collection *c, struct ak_bytes name,
                           uint64_t first, uint64_t last, uint64_t older_than)
{
    struct ak_job *taken = NULL, **at = &c->parked;

    while (*at != NULL) {
        struct ak_submit_job *j = (struct ak_submit_job *)*at;
        const struct ak_change *change = change_of(*at);

        if ((name.data != NULL &&
             (change->key.len != name.len ||
              memcmp(change->key.data, name.data, name.len) != 0)) ||
            change->producer_seq < first || change->producer_seq > last ||
            (older_than > 0 && j->parked_ns > older_than)) {
            at = &j->job.next;
            continue;
        }
        *at = j->job.next;
        j->job.next = taken;
        taken = &j->job;
        atomic_fetch_sub(&c->parked_bytes, j->job.bytes);
        atomic_fetch_sub(&c->engine->parked_bytes, j->job.bytes);
        atomic_fetch_sub(&c->n_parked, 1);
    }
    return taken;
}

/* Without the lock: a closed lane is done with them at once. */
static void push_all(struct ak_collection *c, struct ak_job *jobs,
                     bool last_try)
{
    while (jobs != NULL) {
        struct ak_submit_job *j = (struct ak_submit_job *)jobs;

        jobs = j->job.next;
        j->last_try |= last_try;
        j->receipt = (struct ak_receipt){0};
        ak_writer_push(c->engine->writer, &c->lane, &j->job);
    }
}

/* Under the lock: whether all numbers from `expected` up to the one before
   `number` have turns that are not over. */
static bool all_under_way(const struct ak_collection *c, struct ak_bytes name,
                          uint64_t expected, uint64_t number)
{
    uint64_t seen = 0, n = number - expected;

    if (n > MOST_AHEAD)
        return false;
    for (const struct ak_turn *t = c->turns; t != NULL; t = t->next)
        if (t->number >= expected && t->number < number && is_of(t, name))
            seen |= UINT64_C(1) << (t->number - expected);
    return seen == (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1);
}

bool ak_turns_park(struct ak_collection *c, struct ak_submit_job *j)
{
    const struct ak_change *change = &j->submission->change;
    bool parked;

    if (j->last_try)
        return false;
    pthread_mutex_lock(&c->lock);
    parked = c->state == AK_SERVING && !atomic_load(&c->engine->stopping) &&
             all_under_way(c, change->key, j->receipt.expected,
                           change->producer_seq);
    if (parked) {
        j->parked_ns = ak_clock_ns();
        j->job.next = c->parked;
        c->parked = &j->job;
        atomic_fetch_add(&c->parked_bytes, j->job.bytes);
        atomic_fetch_add(&c->engine->parked_bytes, j->job.bytes);
        atomic_fetch_add(&c->n_parked, 1);
    }
    pthread_mutex_unlock(&c->lock);
    return parked;
}

void ak_turns_committed(struct ak_collection *c, const struct ak_change *change)
{
    struct ak_job *next;

    pthread_mutex_lock(&c->lock);
    for (struct ak_turn *t = c->turns; t != NULL; t = t->next)
        if (t->number == change->producer_seq && is_of(t, change->key))
            t->committed = true;
    next = take(c, change->key, change->producer_seq + 1,
                change->producer_seq + 1, 0);
    pthread_mutex_unlock(&c->lock);
    push_all(c, next, false);
}

void ak_collection_end_turn(struct ak_collection *c, struct ak_turn *turn)
{
    const struct ak_bytes name = {turn->producer, strlen(turn->producer)};
    struct ak_job *behind = NULL;
    struct ak_turn **at;

    pthread_mutex_lock(&c->lock);
    for (at = &c->turns; *at != turn;)
        at = &(*at)->next;
    *at = turn->next;
    if (!turn->committed)
        behind = take(c, name, turn->number + 1, UINT64_MAX, 0);
    pthread_mutex_unlock(&c->lock);
    push_all(c, behind, false);
}

void ak_turns_expire(struct ak_collection *c, uint64_t now_ns, bool all)
{
    static const struct ak_bytes anybody;
    struct ak_job *jobs;

    if (atomic_load(&c->n_parked) == 0)
        return;
    pthread_mutex_lock(&c->lock);
    jobs = take(c, anybody, 0, UINT64_MAX,
                all                    ? 0
                : now_ns > PATIENCE_NS ? now_ns - PATIENCE_NS
                                       : 1);
    pthread_mutex_unlock(&c->lock);
    push_all(c, jobs, true);
}
