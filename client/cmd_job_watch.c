/*
 * cmd_job_watch.c -- `akin job watch`: a job from now to its end.
 *
 * It reads the event stream of the job.  When that breaks, because the daemon
 * starts anew or the network does, it comes again with the id of the last event
 * and misses nothing but progress.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/commands.h"
#include "client/events.h"
#include "client/job.h"
#include "client/progress.h"
#include "core/base/clock.h"

#define IDLE_MS 45000 /* three keep-alives */
#define OVER    1     /* of on_event(): the last one was read */

struct watch {
    struct tool *tool;
    struct events events;
    struct progress progress;
    char phase[CELL];
    uint64_t start_ns;
    json_t *end; /* the job as it ended */
};

/* What the daemon thinks is left, and the figures of the job. */
static void add_figures(const json_t *data, char *what, size_t cap)
{
    const json_t *eta = json_object_get(data, "eta_seconds");
    size_t len = strlen(what);
    const char *name;
    char left[CELL];
    json_t *value;

    if (json_is_number(eta))
        snprintf(what + len, cap - len, ", ETA %s",
                 human_time(json_number_value(eta), left));
    json_object_foreach(json_object_get(data, "metrics"), name, value)
    {
        len = strlen(what);
        snprintf(what + len, cap - len, ", %s %.4g", name,
                 json_number_value(value));
    }
}

static void show_progress(struct watch *w, const json_t *data)
{
    const json_t *total = json_object_get(data, "total");
    struct progress_state s = {.live = -1,
                               .served = -1,
                               .seconds =
                                   (double)(ak_clock_ns() - w->start_ns) / 1e9};
    char phase[CELL], done[CELL], all[CELL], what[8 * CELL];

    cell_text(data, "phase", phase);
    s.rows = (uint64_t)json_integer_value(json_object_get(data, "done"));
    s.total = (uint64_t)json_integer_value(total);
    strcpy(w->phase, phase);
    snprintf(what, sizeof(what), "%s%s%s", human_count(s.rows, done),
             s.total > 0 ? " of " : "",
             s.total > 0 ? human_count(s.total, all) : "");
    add_figures(data, what, sizeof(what));
    s.what = what;
    cell_text(data, "state", phase);
    s.verb = strcmp(phase, "running") == 0 ? w->phase : phase;
    progress_show(&w->progress, &s, false);
}

static void show_line(struct watch *w, const json_t *data)
{
    char level[CELL];
    const char *text = json_string_value(json_object_get(data, "text"));

    progress_pause(&w->progress);
    tool_note(w->tool, "%s: %s", cell_text(data, "level", level),
              text != NULL ? text : "");
}

static int on_event(void *context, const struct event *event)
{
    struct watch *w = context;
    json_t *data = json_loads(event->data, 0, NULL);
    int code = 0;

    if (data == NULL)
        return 0;
    if (strcmp(event->name, "progress") == 0) {
        show_progress(w, data);
    } else if (strcmp(event->name, "log") == 0) {
        show_line(w, data);
    } else if (strcmp(event->name, "end") == 0) {
        w->end = json_incref(data);
        code = OVER;
    }
    json_decref(data);
    return code;
}

static int on_data(void *context, const char *data, size_t len)
{
    struct watch *w = context;

    return events_read(&w->events, data, len);
}

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

/* One connection; true when there is no use in another. */
static bool read_stream(struct watch *w, const char *path, int *code)
{
    char header[CELL + 32];
    const char *headers[] = {header};
    struct akin_error err = {0};
    struct akin_reply reply = {0};
    struct akin_request request = {.method = "GET",
                                   .path = path,
                                   .accept = "text/event-stream",
                                   .headers = headers,
                                   .n_headers = w->events.last_id[0] != '\0',
                                   .data = on_data,
                                   .context = w,
                                   .idle_ms = IDLE_MS,
                                   .single = 1};
    enum akin_result result;
    bool over;

    snprintf(header, sizeof(header), "Last-Event-ID: %s", w->events.last_id);
    events_restart(&w->events);
    result = akin_send(w->tool->client, &request, &reply, &err);
    /* What the daemon refuses for good, or what never was there. */
    over = w->end != NULL || reply.status == 204 ||
           (result == AKIN_EPROBLEM && reply.status != 503 &&
            reply.status != 429) ||
           result == AKIN_EAUTH || result == AKIN_EARGUMENT ||
           result == AKIN_ENOMEM ||
           (result == AKIN_ECONNECT && w->events.last_id[0] == '\0');
    if (over && w->end == NULL && result != AKIN_OK)
        *code = tool_failure(w->tool, &err);
    akin_reply_clear(&reply);
    return over;
}

int job_follow(struct tool *tool, uint64_t id, json_t **job)
{
    struct watch w = {.tool = tool, .start_ns = ak_clock_ns()};
    char *path = job_path(id, "/events");
    int code = path != NULL ? tool_connect(tool) : tool_no_memory();
    long wait = 200;

    w.events.each = on_event;
    w.events.context = &w;
    progress_init(&w.progress, tool);
    while (code == EXIT_OK && !read_stream(&w, path, &code)) {
        pause_ms(wait);
        wait = wait < 5000 ? 2 * wait : wait;
    }
    progress_pause(&w.progress);
    if (code == EXIT_OK && w.end == NULL)
        code =
            tool_call(tool, "GET", job_path(id, ""), NULL, CALL_AGAIN, &w.end);
    events_clear(&w.events);
    free(path);
    *job = w.end;
    return code;
}

bool job_succeeded(const json_t *job)
{
    char state[CELL];

    return strcmp(cell_text(job, "state", state), "succeeded") == 0;
}

int job_watch(struct tool *tool, uint64_t id)
{
    json_t *job = NULL;
    int code = job_follow(tool, id, &job);

    if (job != NULL) {
        job_print(tool, job);
        if (!job_succeeded(job))
            code = EXIT_NEGATIVE;
    }
    json_decref(job);
    return code;
}

static int run_watch(struct tool *tool, int argc, char **argv)
{
    uint64_t id;
    int code = job_id(argv[0], &id);

    (void)argc;
    return code == EXIT_OK ? job_watch(tool, id) : code;
}

const struct command cmd_job_watch = {
    .name = "job watch",
    .synopsis = "ID",
    .summary = "follow a job until it has ended",
    .about = "Ends with 1 when the job failed or was cancelled.\n",
    .examples = "  akin job watch 12\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_watch,
};
