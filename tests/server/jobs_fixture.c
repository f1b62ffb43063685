#include "tests/server/jobs_fixture.h"

#include <stdlib.h>
#include <unistd.h>

/* ------------------------------------------------------------------- engine */

static struct {
    struct ak_engine *engine;
    pthread_t thread;
    atomic_bool stopping;
} ticker;

static void *tick(void *arg)
{
    (void)arg;
    while (!atomic_load(&ticker.stopping)) {
        ak_engine_tick(ticker.engine);
        usleep(5000);
    }
    return NULL;
}

struct ak_engine *fixture_open(const struct ak_engine_params *params)
{
    struct ak_engine_params p = {.threads = 2,
                                 .queue_bytes = 64 << 20,
                                 .collection_queue_bytes = 32 << 20};
    struct ak_engine *e = NULL;
    struct ak_engine_progress progress;
    struct ak_err err = {0};

    if (params != NULL)
        p = *params;
    p.data_dir = fixture_dir;
    if (ak_engine_open(&p, &e, &err) != AK_OK)
        fail_msg("%s", err.text);
    do {
        usleep(1000);
        ak_engine_progress(e, &progress);
    } while (!progress.ready);
    assert_int_equal(progress.failed, 0);
    ticker.engine = e;
    atomic_store(&ticker.stopping, false);
    assert_int_equal(pthread_create(&ticker.thread, NULL, tick, NULL), 0);
    return e;
}

void fixture_close(struct ak_engine *e)
{
    atomic_store(&ticker.stopping, true);
    pthread_join(ticker.thread, NULL);
    ak_engine_close(e);
}

/* --------------------------------------------------------------------- jobs */

static void started(void *arg, enum ak_status status, uint64_t id,
                    bool replayed, const struct ak_err *err)
{
    struct box *b = arg;

    (void)replayed;
    (void)err;
    pthread_mutex_lock(&b->lock);
    b->status = status;
    b->receipt.seq = id;
    box_put(b);
}

static json_t *parse(const char *text)
{
    json_t *value =
        text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

    if (text != NULL && value == NULL)
        fail_msg("%s is no JSON", text);
    return value;
}

uint64_t fixture_start(struct ak_engine *e, const char *kind,
                       const char *target, const char *params, const char *gate,
                       enum ak_status *status)
{
    json_t *p = parse(params), *g = parse(gate);
    struct ak_run_request request = {
        .kind = kind, .target = target, .params = p, .gate = g};
    struct ak_fault fault = {0};
    struct ak_err err = {0};
    enum ak_status now;
    struct box b;

    box_init(&b);
    now =
        ak_jobs_submit(ak_engine_jobs(e), &request, &fault, started, &b, &err);
    json_decref(p);
    json_decref(g);
    if (now == AK_OK) {
        box_wait(&b);
        now = b.status;
    }
    if (status != NULL)
        *status = now;
    else if (now != AK_OK)
        fail_msg("%s", err.text);
    return now == AK_OK ? b.receipt.seq : 0;
}

static void asked(void *arg, enum ak_status status, const struct ak_err *err)
{
    struct box *b = arg;

    (void)err;
    pthread_mutex_lock(&b->lock);
    b->status = status;
    box_put(b);
}

void fixture_ask(struct ak_engine *e, uint64_t id, enum ak_run_wish wish)
{
    struct ak_err err = {0};
    struct box b;

    box_init(&b);
    if (ak_jobs_ask(ak_engine_jobs(e), id, wish, asked, &b, &err) != AK_OK)
        fail_msg("%s", err.text);
    box_wait(&b);
    assert_status(b.status, AK_OK);
}

int fixture_state(struct ak_engine *e, uint64_t id)
{
    json_t *o = ak_jobs_json(ak_engine_jobs(e), id);
    enum ak_run_state state;
    int found = -1;

    if (o != NULL &&
        ak_run_state_parse(json_string_value(json_object_get(o, "state")),
                           &state))
        found = (int)state;
    json_decref(o);
    return found;
}

char *fixture_member(struct ak_engine *e, uint64_t id, const char *name)
{
    json_t *o = ak_jobs_json(ak_engine_jobs(e), id);
    char *text =
        json_dumps(json_object_get(o, name), JSON_ENCODE_ANY | JSON_COMPACT);

    json_decref(o);
    assert_non_null(text);
    return text;
}

void fixture_wait_state(struct ak_engine *e, uint64_t id,
                        enum ak_run_state state)
{
    int now;

    while ((now = fixture_state(e, id)) != (int)state) {
        if (now < 0 || ak_run_ended((enum ak_run_state)now))
            fail_msg("job %llu is %s, expected %s: %s", (unsigned long long)id,
                     now < 0 ? "gone"
                             : ak_run_state_name((enum ak_run_state)now),
                     ak_run_state_name(state),
                     now < 0 ? "" : fixture_member(e, id, "error"));
        usleep(1000);
    }
}
