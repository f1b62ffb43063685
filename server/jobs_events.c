/*
 * jobs_events.c -- what happens to a run, for those who watch it.
 *
 * The last events are kept in a ring.  An event's id is a time in milliseconds,
 * pushed on where two would be alike: so ids grow over a restart too, and the
 * end of a run is known by the time at which it ended.
 *
 * A watch reads at its own pace.  When the ring has gone over what it would
 * read next, it is ended: the client comes again with its last id.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/jobs_internal.h"
#include "server/json_memory.h"
#include "server/text.h"

#define KEEP_ALIVE_NS UINT64_C(15000000000)
#define PROGRESS_NS   UINT64_C(250000000) /* between two events of progress */
#define RING_MS       60000               /* that a ring outlives its run */

static uint64_t next_id(struct ak_run *run)
{
    uint64_t now = (uint64_t)ak_time_ms();

    run->last_event = now > run->last_event ? now : run->last_event + 1;
    return run->last_event;
}

/* The text of an event; NULL when memory is short.  `data` is stolen. */
static char *event_text(uint64_t id, const char *name, json_t *data,
                        size_t *len)
{
    char *json = ak_json_text(data, JSON_COMPACT);
    struct ak_text t = {0};

    json_decref(data);
    if (json == NULL)
        return NULL;
    ak_text_addf(&t, "id: %llu\nevent: %s\ndata: ", (unsigned long long)id,
                 name);
    ak_text_add(&t, json, strlen(json));
    ak_text_add(&t, "\n\n", 2);
    free(json);
    if (t.failed) {
        ak_text_clear(&t);
        return NULL;
    }
    *len = t.len;
    return t.data;
}

static json_t *state_json(const struct ak_run *run)
{
    json_t *o = ak_run_progress_json(run);

    if (o != NULL)
        json_object_set_new(o, "state",
                            json_string(ak_run_state_name(run->state)));
    return o;
}

static void add(struct ak_run *run, uint64_t id, const char *name, json_t *data)
{
    struct ak_run_event *e;
    size_t len;
    char *text = event_text(id, name, data, &len);

    if (run->events == NULL)
        run->events = calloc(AK_RUN_EVENTS, sizeof(run->events[0]));
    if (text == NULL || run->events == NULL) {
        free(text);
        return;
    }
    e = &run->events[run->n_events % AK_RUN_EVENTS];
    free(e->text);
    *e = (struct ak_run_event){id, text, len};
    run->n_events++;
}

/* Asked for only while somebody watches: who comes later reads the state from
   the run. */
void ak_run_tell_progress(struct ak_run *run)
{
    add(run, next_id(run), "progress", state_json(run));
    run->event_ns = ak_clock_ns();
    run->told = true;
}

void ak_run_tell_line(struct ak_run *run, const struct ak_run_line *line)
{
    add(run, next_id(run), "log",
        ak_run_line_json(line->n, line->time_ms, line->level, line->text));
}

void ak_run_set_end(struct ak_run *run, enum ak_run_state state)
{
    run->end = state;
    run->end_ms = (int64_t)next_id(run);
    run->told = true; /* the next event is the end */
}

void ak_run_tell_end(struct ak_run *run)
{
    run->ended_ms = run->end_ms;
    add(run, (uint64_t)run->end_ms, "end", ak_run_json(run));
}

void ak_run_free_events(struct ak_run *run)
{
    for (size_t i = 0; run->events != NULL && i < AK_RUN_EVENTS; i++)
        free(run->events[i].text);
    free(run->events);
    run->events = NULL;
}

void ak_run_wake_watches(struct ak_run *run)
{
    struct ak_run_watcher list[AK_RUN_WATCHES];
    size_t n = 0;

    pthread_mutex_lock(&run->jobs->lock);
    for (struct ak_run_watch *w = run->watches; w != NULL; w = w->next) {
        list[n] = w->watcher;
        list[n].hold(list[n].arg);
        n++;
    }
    pthread_mutex_unlock(&run->jobs->lock);
    for (size_t i = 0; i < n; i++) {
        list[i].wake(list[i].arg);
        list[i].drop(list[i].arg);
    }
}

void ak_run_tick_events(struct ak_run *run, uint64_t now_ns)
{
    bool wake = false;

    pthread_mutex_lock(&run->jobs->lock);
    if (!run->told && !ak_run_ended(run->state) && run->watches != NULL &&
        now_ns - run->event_ns >= PROGRESS_NS) {
        ak_run_tell_progress(run);
        wake = true;
    }
    for (struct ak_run_watch *w = run->watches; w != NULL; w = w->next) {
        if (!w->comment && now_ns - w->sent_ns >= KEEP_ALIVE_NS) {
            w->comment = true;
            wake = true;
        }
    }
    if (ak_run_ended(run->state) && run->watches == NULL &&
        ak_time_ms() - run->ended_ms > RING_MS)
        ak_run_free_events(run);
    pthread_mutex_unlock(&run->jobs->lock);
    if (wake)
        ak_run_wake_watches(run);
}

/* ---------------------------------------------------------------- watching */

/* Where a watch that has seen up to `last` begins, under the lock. */
static void place(struct ak_run_watch *w, uint64_t last)
{
    struct ak_run *run = w->run;
    uint64_t first =
        run->n_events > AK_RUN_EVENTS ? run->n_events - AK_RUN_EVENTS : 0;

    w->at = run->n_events;
    if (run->events != NULL && last > 0) {
        while (w->at > first &&
               run->events[(w->at - 1) % AK_RUN_EVENTS].id > last)
            w->at--;
        if (w->at > first || first == 0)
            return; /* nothing is missing between */
        w->at = run->n_events;
    }
    /* How it stands now, and then what comes. */
    if (ak_run_ended(run->state)) {
        w->text = event_text((uint64_t)run->ended_ms, "end", ak_run_json(run),
                             &w->len);
        w->last = true;
    } else {
        w->text = event_text(run->last_event > 0 ? run->last_event
                                                 : (uint64_t)run->created_ms,
                             "progress", state_json(run), &w->len);
    }
    w->over = w->text == NULL;
}

enum ak_status ak_jobs_watch(struct ak_jobs *jobs, uint64_t id, uint64_t last,
                             const struct ak_run_watcher *watcher,
                             struct ak_run_watch **out, struct ak_err *err)
{
    struct ak_run_watch *w = calloc(1, sizeof(*w));
    enum ak_status status = AK_OK;
    struct ak_run *run;

    if (w == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to watch a job");
    pthread_mutex_lock(&jobs->lock);
    run = ak_jobs_find(jobs, id);
    if (run == NULL)
        status = ak_fail(err, AK_ENOTFOUND, "there is no job %llu",
                         (unsigned long long)id);
    else if (ak_run_ended(run->state) && last >= (uint64_t)run->ended_ms)
        status = ak_fail(err, AK_ECANCELED, "the job has ended");
    else if (jobs->n_watches == AK_RUN_WATCHES)
        status = ak_fail(err, AK_ELIMIT, "%d watch already", AK_RUN_WATCHES);
    if (status == AK_OK) {
        w->run = ak_run_hold(run);
        w->watcher = *watcher;
        w->sent_ns = ak_clock_ns();
        place(w, last);
        w->next = run->watches;
        run->watches = w;
        jobs->n_watches++;
    }
    pthread_mutex_unlock(&jobs->lock);
    if (status != AK_OK) {
        free(w);
        return status;
    }
    *out = w;
    return AK_OK;
}

/* The next text to be read, under the lock; false: there is none now. */
static bool next_text(struct ak_run_watch *w)
{
    struct ak_run *run = w->run;
    const struct ak_run_event *e;

    if (w->text != NULL)
        return true;
    w->read = 0;
    if (w->at < run->n_events) {
        e = &run->events[w->at % AK_RUN_EVENTS];
        w->text =
            run->n_events - w->at <= AK_RUN_EVENTS ? strdup(e->text) : NULL;
        if (w->text == NULL) { /* fell behind, or memory is short */
            w->over = true;
            return false;
        }
        w->len = e->len;
        w->at++;
        w->last = w->at == run->n_events && ak_run_ended(run->state);
    } else if (ak_run_ended(run->state)) {
        w->over = true;
    } else if (w->comment) {
        w->text = strdup(":\n\n");
        w->len = w->text != NULL ? 3 : 0;
    }
    w->comment = false;
    return w->text != NULL;
}

size_t ak_run_watch_read(struct ak_run_watch *w, char *out, size_t cap)
{
    struct ak_jobs *jobs = w->run->jobs;
    size_t n = 0;

    pthread_mutex_lock(&jobs->lock);
    while (!w->over && n < cap && next_text(w)) {
        size_t piece = w->len - w->read < cap - n ? w->len - w->read : cap - n;

        memcpy(out + n, w->text + w->read, piece);
        n += piece;
        w->read += piece;
        if (w->read < w->len)
            continue;
        free(w->text);
        w->text = NULL;
        w->over = w->last;
    }
    if (n > 0)
        w->sent_ns = ak_clock_ns();
    else if (w->over)
        n = AK_RUN_WATCH_END;
    pthread_mutex_unlock(&jobs->lock);
    return n;
}

void ak_run_watch_close(struct ak_run_watch *w)
{
    struct ak_run *run = w->run;
    struct ak_run_watch **at = &run->watches;

    pthread_mutex_lock(&run->jobs->lock);
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    run->jobs->n_watches--;
    pthread_mutex_unlock(&run->jobs->lock);
    free(w->text);
    free(w);
    ak_run_drop(run);
}
