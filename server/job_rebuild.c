/*
 * job_rebuild.c -- the job `rebuild`: a new generation of a collection's
 * learner.
 *
 * A shadow learner (shadow.h) is made from the rows of now and follows the
 * records until there are no more.  If the gate lets it, one transaction writes
 * what it has come to and its INSTALL record; from there on it is the learner's
 * (learner_install.c), who freezes it as the next version, which the indexer
 * encodes and serves like any other.  So until that record there is no visible
 * change, and after it there is no way back but a rollback to the version
 * before.
 *
 * How far the shadow is goes into the collection's file every few seconds,
 * beside the number of the job, by which it is found again.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/moment.h"
#include "server/engine_internal.h"
#include "server/extraction.h"
#include "server/head.h"
#include "server/job_kinds.h"
#include "server/log.h"
#include "server/process.h"
#include "server/rebuild.h"
#include "server/shadow.h"

#define SAVE_REST   20 /* times what the last save took */
#define FORMAT      1
#define SPARE_BYTES ((uint64_t)64 << 20)

static const char *const phase_names[] = {"gather", "train", "test", "feed",
                                          "follow"};

enum where {
    BEGIN,   /* no generation yet */
    WRITING, /* the writer has something that must be there first */
    WORK,
    SERVE /* installed; until its version serves */
};

struct rebuild {
    atomic_uint refs; /* the run's, and what the writer has */
    struct ak_view *view;
    struct ak_shadow *shadow;
    struct ak_extraction *extraction; /* NULL: the vectors stay as they are */
    uint64_t extracted;               /* rows of records up to it are there */
    enum where where;
    bool constants_saved;
    bool resting; /* a pause has asked for a save */
    uint64_t saved_ns;
    atomic_uint_fast64_t save_cost_ns; /* the writer's */
    uint64_t installed;                /* its record */

    uint64_t number;            /* of the generation */
    struct ak_shadow_test test; /* kept in the checkpoint of the job */

    /* Of the writer. */
    atomic_bool saving, written;
    enum ak_status status; /* of what was written */
    struct ak_err err;
};

static void release(struct rebuild *r)
{
    if (r != NULL && atomic_fetch_sub(&r->refs, 1) == 1)
        free(r);
}

/* ---------------------------------------------------------------- the writer */

enum what { BEGIN_ONE, PUT_ONE, INSTALL_ONE, DROP_ONE };

struct write_job {
    struct ak_job job; /* first */
    enum what what;
    struct ak_collection *c; /* held */
    struct ak_run *run;      /* held; NULL: of DROP_ONE */
    struct rebuild *r;       /* held; NULL: likewise */
    struct ak_generation generation;
    struct ak_settings settings;
    bool extracts; /* BEGIN_ONE: with another extractor */
    char *text, *before;
    struct ak_writer constants, state;
    uint64_t number, seq;
    uint64_t begun_ns;
};

static struct ak_bytes bytes_of(const struct ak_writer *w)
{
    return (struct ak_bytes){w->len > 0 ? w->data : NULL, w->len};
}

static enum ak_status write_apply(struct ak_job *job, struct ak_store *store,
                                  struct ak_err *err)
{
    struct write_job *j = (struct write_job *)job;
    struct ak_bytes text = {j->text, j->text != NULL ? strlen(j->text) : 0};
    struct ak_bytes before = {j->before, j->before ? strlen(j->before) : 0};
    enum ak_status status = AK_OK;
    struct ak_space space = {0, 0};

    switch (j->what) {
    case BEGIN_ONE:
        j->generation.settings = text;
        if (j->extracts)
            status = ak_store_add_space(
                store, ak_settings_row_bytes(&j->settings), &space, err);
        else
            space.number = j->settings.space;
        j->generation.space = j->settings.space = space.number;
        if (status == AK_OK)
            status = ak_store_begin_generation(store, &j->generation, before,
                                               &j->number, err);
        return status;
    case PUT_ONE:
        return ak_store_put_generation(store, j->number,
                                       bytes_of(&j->constants),
                                       bytes_of(&j->state), err);
    case INSTALL_ONE:
        status =
            ak_store_put_generation(store, j->number, bytes_of(&j->constants),
                                    bytes_of(&j->state), err);
        if (status == AK_OK)
            status = ak_store_install(store, j->number, text, ak_time_ms(),
                                      &j->seq, err);
        return status;
    case DROP_ONE:
        /* Its space goes by the clock: nobody takes it any more. */
        return ak_store_drop_generation(store, err);
    }
    return status;
}

/* Memory follows, as after any record (collection.c). */
static void installed(struct write_job *j)
{
    struct ak_collection *c = j->c;

    pthread_mutex_lock(&c->lock);
    ak_settings_take_model(&c->settings, &j->settings);
    if (j->seq > c->reached.seq[AK_ACK_DURABLE]) {
        c->reached.seq[AK_ACK_DURABLE] = j->seq;
        c->last_commit_ns = ak_clock_ns();
        if (j->seq > c->reached.seq[AK_ACK_LEARNED])
            ak_lag_commit(&c->lag, j->seq, c->last_commit_ns);
        c->wal_dirty = true;
    }
    pthread_mutex_unlock(&c->lock);
    ak_actor_wake(&c->indexer.actor);
    ak_actor_wake(&c->learner.actor);
}

static void free_write(struct write_job *j)
{
    ak_writer_clear(&j->constants);
    ak_writer_clear(&j->state);
    free(j->text);
    free(j->before);
    release(j->r);
    ak_run_drop(j->run);
    ak_collection_drop(j->c);
    free(j);
}

static void write_done(struct ak_job *job, enum ak_status status,
                       const struct ak_err *err)
{
    struct write_job *j = (struct write_job *)job;
    struct rebuild *r = j->r;
    struct ak_err why = {0};

    if (status == AK_OK && j->what == INSTALL_ONE) {
        ak_moment(AK_AT_INSTALLED);
        installed(j);
    }
    if (status == AK_OK && j->what == PUT_ONE)
        ak_moment(AK_AT_GENERATION_SAVE);
    if (status == AK_OK && j->what == BEGIN_ONE && j->extracts)
        status = ak_collection_add_space(j->c, &j->settings, &why);
    if (status == AK_OK && j->what == DROP_ONE)
        ak_collection_keep_spaces(j->c);
    if (status != AK_OK && status != AK_ENOTFOUND)
        ak_log_warn("engine", "a generation was not stored",
                    AK_TEXT("collection", j->c->settings.name),
                    AK_NUMBER("generation", j->number),
                    AK_TEXT("reason", err->text));
    if (r != NULL && j->what == PUT_ONE) {
        atomic_store(&r->save_cost_ns, ak_clock_ns() - j->begun_ns);
        atomic_store(&r->saving, false);
    } else if (r != NULL) {
        r->number = j->number;
        r->installed = j->seq;
        r->status = status;
        if (status != AK_OK)
            r->err = why.text[0] != '\0' ? why : *err;
        atomic_store(&r->written, true);
    }
    if (j->run != NULL)
        ak_run_wake(j->run);
    free_write(j);
}

static struct write_job *new_write(enum what what, struct ak_collection *c,
                                   struct ak_run *run, struct rebuild *r)
{
    struct write_job *j = calloc(1, sizeof(*j));

    if (j == NULL)
        return NULL;
    j->job.apply = write_apply;
    j->job.done = write_done;
    j->what = what;
    j->c = ak_collection_ref(c);
    j->run = run != NULL ? ak_run_hold(run) : NULL;
    j->r = r;
    if (r != NULL)
        atomic_fetch_add(&r->refs, 1);
    j->number = r != NULL ? r->number : 0;
    j->begun_ns = ak_clock_ns();
    return j;
}

static void push(struct write_job *j)
{
    j->job.bytes = j->constants.len + j->state.len + sizeof(*j);
    ak_writer_push(j->c->engine->writer, &j->c->lane, &j->job);
}

/* Puts the shadow's state into a job; `all`: with the constants. */
static enum ak_status fill(struct write_job *j, const struct ak_shadow *s,
                           bool all, struct ak_err *err)
{
    enum ak_status status = ak_shadow_save_state(s, &j->state, err);

    if (status == AK_OK && all)
        status = ak_shadow_save_constants(s, &j->constants, err);
    return status;
}

/* ----------------------------------------------------------------- beginning */

static void keep_test(struct ak_run *run, const struct ak_shadow_test *test)
{
    struct ak_writer w = {0};

    ak_write_u32(&w, FORMAT);
    ak_write_u64(&w, test->queries);
    ak_write_u64(&w, test->database);
    ak_write_f64(&w, test->map);
    ak_write_f64(&w, test->published_map);
    if (w.status == AK_OK)
        ak_run_checkpoint(run, w.data, w.len);
    ak_writer_clear(&w);
}

/* Left as it is when it was not kept. */
static void load_test(struct ak_bytes checkpoint, struct ak_shadow_test *test)
{
    struct ak_shadow_test found;
    struct ak_reader r;

    if (checkpoint.data == NULL)
        return;
    ak_reader_init(&r, checkpoint.data, checkpoint.len);
    if (ak_read_u32(&r) != FORMAT)
        return;
    found.queries = ak_read_u64(&r);
    found.database = ak_read_u64(&r);
    found.map = ak_read_f64(&r);
    found.published_map = ak_read_f64(&r);
    if (ak_reader_finish(&r) == AK_OK)
        *test = found;
}

/* What is encoded anew must have room beside what is there. */
static enum ak_status check_disk(struct ak_collection *c, struct ak_err *err)
{
    struct ak_snapshot *s = ak_collection_snapshot(c);
    uint64_t rows = ak_snapshot_rows(s), free_bytes, wanted;

    ak_snapshot_drop(s);
    free_bytes = ak_process_disk_free(c->engine->params.data_dir);
    wanted = 2 * rows * c->shape.code_bytes + SPARE_BYTES;
    if (free_bytes > 0 && free_bytes < wanted)
        return ak_fail(err, AK_EIO,
                       "%llu bytes are free on the disk, a rebuild wants %llu",
                       (unsigned long long)free_bytes,
                       (unsigned long long)wanted);
    return AK_OK;
}

/* Of what it had come to, or from its beginning. */
static enum ak_status start_shadow(struct ak_run *run, struct rebuild *r,
                                   const struct ak_shadow_params *params,
                                   const struct ak_generation *g,
                                   struct ak_err *err)
{
    struct ak_err why = {0};
    enum ak_status status = ak_shadow_create(params, &r->shadow, err);

    if (status != AK_OK || g->state.data == NULL)
        return status;
    status = ak_shadow_load(r->shadow, g->constants, g->state, &why);
    r->constants_saved = status == AK_OK;
    if (status == AK_OK)
        return AK_OK;
    ak_run_log(run, AK_LOG_WARN, "begins anew: %s", why.text);
    ak_shadow_destroy(r->shadow);
    r->shadow = NULL;
    return ak_shadow_create(params, &r->shadow, err);
}

static enum ak_status make_shadow(struct ak_run *run, struct rebuild *r,
                                  struct ak_err *err)
{
    struct ak_settings now, settings;
    struct ak_shadow_params params = {.settings = &settings,
                                      .number = r->number};
    struct ak_generation g;
    enum ak_status status;

    ak_collection_settings(ak_run_collection(run), &now);
    status = ak_generation_settings(r->view, r->number, &now, &settings, err);
    if (status == AK_OK)
        status = ak_head_get(ak_engine_extractors(ak_run_engine(run)),
                             &settings, &params.head, err);
    if (status != AK_OK)
        return status;
    status = ak_view_generation(r->view, r->number, &g, err);
    if (status == AK_OK || status == AK_ECORRUPT) {
        params.base_seq = g.base_seq;
        params.held = g.held;
        status =
            settings.space == now.space
                ? AK_OK
                : ak_extraction_create(run, &settings, &r->extraction, err);
        if (status == AK_OK)
            status = start_shadow(run, r, &params, &g, err);
    }
    ak_ref_drop((struct ak_ref *)params.head);
    return status;
}

/* The job goes on with the generation that it had begun. */
static enum ak_status take_up(struct ak_run *run, struct rebuild *r,
                              struct ak_err *err)
{
    struct ak_generation g;
    enum ak_status status = AK_OK;

    load_test(ak_run_last_checkpoint(run), &r->test);
    status = ak_view_generation_of(r->view, ak_run_id(run), &r->number, err);
    if (status == AK_ENOTFOUND)
        return AK_OK;
    if (status == AK_OK)
        status = ak_view_generation(r->view, r->number, &g, err);
    if (status != AK_OK && status != AK_ECORRUPT)
        return status;
    if (g.install_seq > 0) {
        r->installed = g.install_seq;
        r->where = SERVE;
        (void)ak_run_no_return(run);
        return AK_OK;
    }
    r->where = WORK;
    return make_shadow(run, r, err);
}

static void set_rebuilding(struct ak_collection *c, bool rebuilding,
                           bool failed)
{
    pthread_mutex_lock(&c->lock);
    c->rebuilding = rebuilding;
    c->rebuild_failed = c->rebuild_failed || failed;
    pthread_mutex_unlock(&c->lock);
    if (!rebuilding)
        ak_actor_wake(&c->learner.actor);
}

static enum ak_status rebuild_begin(struct ak_run *run, struct ak_err *err)
{
    struct ak_collection *c = ak_run_collection(run);
    struct rebuild *r = calloc(1, sizeof(*r));
    enum ak_status status;

    if (r == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a rebuild");
    *ak_run_data(run) = r;
    atomic_init(&r->refs, 1);
    atomic_init(&r->saving, false);
    atomic_init(&r->written, false);
    atomic_init(&r->save_cost_ns, 0);
    r->saved_ns = ak_clock_ns();
    status = ak_collection_open_view(c, &r->view, err);
    if (status == AK_OK)
        status = take_up(run, r, err);
    if (status == AK_OK && r->where == BEGIN)
        status = check_disk(c, err);
    set_rebuilding(c, true, false);
    return status;
}

/* A generation of the rows of now. */
static enum ak_status begin_generation(struct ak_run *run, struct rebuild *r,
                                       struct ak_err *err)
{
    struct ak_collection *c = ak_run_collection(run);
    struct ak_fault fault = {0};
    struct ak_settings now;
    struct write_job *j = new_write(BEGIN_ONE, c, run, r);

    if (j == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a rebuild");
    pthread_mutex_lock(&c->lock);
    now = c->settings;
    j->generation.base_seq = c->reached.seq[AK_ACK_DURABLE];
    pthread_mutex_unlock(&c->lock);
    j->generation.job = ak_run_id(run);
    j->generation.held = json_is_null(ak_run_gate(run)) ? 0 : AK_SHADOW_HELD;
    if (ak_rebuild_merge(c->engine, &now, ak_run_params(run), &j->settings,
                         &fault) != AK_OK) {
        free_write(j);
        return ak_fail(err, AK_EINVAL, "%s: %s", fault.pointer, fault.detail);
    }
    if (j->generation.base_seq == 0 && !j->settings.head) {
        free_write(j);
        return ak_fail(err, AK_ENOTFOUND,
                       "there is no row with a label to learn from");
    }
    j->settings.space = now.space;
    j->extracts = ak_rebuild_extracts(ak_run_params(run)) &&
                  !ak_settings_same_extractor(&now, &j->settings);
    j->text = ak_settings_text(&j->settings);
    j->before = ak_settings_text(&now);
    if (j->text == NULL || j->before == NULL) {
        free_write(j);
        return ak_fail(err, AK_ENOMEM, "no memory for a rebuild");
    }
    r->where = WRITING;
    push(j);
    return AK_OK;
}

/* ------------------------------------------------------------------- working */

/* What the shadow has come to, unless that is on its way already. */
static void put(struct ak_run *run, struct rebuild *r)
{
    struct ak_err err = {0};
    struct write_job *j;

    if (r->where != WORK || r->shadow == NULL ||
        !ak_shadow_can_save(r->shadow) || atomic_exchange(&r->saving, true))
        return;
    j = new_write(PUT_ONE, ak_run_collection(run), run, r);
    if (j == NULL || fill(j, r->shadow, !r->constants_saved, &err) != AK_OK) {
        if (j != NULL)
            free_write(j);
        atomic_store(&r->saving, false);
        return;
    }
    r->constants_saved = true;
    r->saved_ns = ak_clock_ns();
    push(j);
}

static void rebuild_save(struct ak_run *run)
{
    struct rebuild *r = *ak_run_data(run);

    if (ak_clock_ns() - r->saved_ns >=
        SAVE_REST * atomic_load(&r->save_cost_ns))
        put(run, r);
}

/* What it has come to is in the file before it rests, and then it goes: a rebuild
   that rests has no memory, and policies publish. */
static bool rebuild_rest(struct ak_run *run)
{
    struct rebuild *r = *ak_run_data(run);

    if (r->where == WRITING && !atomic_load(&r->written))
        return false;
    if (!r->resting)
        put(run, r);
    r->resting = true;
    return !atomic_load(&r->saving);
}

/* What the gate says; AK_ELIMIT: it is refused. */
static enum ak_status judge(struct ak_run *run, struct rebuild *r,
                            struct ak_err *err)
{
    struct ak_collection *c = ak_run_collection(run);
    const struct ak_shadow_test *t = &r->test;
    double loss = json_number_value(
        json_object_get(ak_run_gate(run), "max_quality_loss"));

    ak_run_metric(run, "test_queries", (double)t->queries);
    ak_run_metric(run, "map", t->map);
    ak_run_metric(run, "published_map", t->published_map);
    ak_run_log(run, AK_LOG_INFO,
               "mAP %.4f, published %.4f, of %llu queries among %llu rows",
               t->map, t->published_map, (unsigned long long)t->queries,
               (unsigned long long)t->database);
    if (t->map >= t->published_map - loss)
        return AK_OK;
    ak_log_warn("engine", "a rebuild is worse than what is published",
                AK_TEXT("collection", c->settings.name), AK_REAL("map", t->map),
                AK_REAL("published_map", t->published_map));
    pthread_mutex_lock(&c->lock);
    c->status.rebuilds_refused++;
    pthread_mutex_unlock(&c->lock);
    return ak_fail(err, AK_ELIMIT,
                   "mAP is %.4f, that of the published model %.4f: a loss of "
                   "%.4f, at most %.4f is let through",
                   t->map, t->published_map, t->published_map - t->map, loss);
}

static enum ak_status test(struct ak_run *run, struct rebuild *r,
                           struct ak_err *err)
{
    struct ak_collection *c = ak_run_collection(run);
    struct ak_snapshot *s = ak_collection_snapshot(c);
    struct ak_settings served;
    enum ak_status status;

    ak_collection_settings_of(c, ak_snapshot_version(s), &served);
    status = ak_shadow_test(r->shadow, r->view, ak_collection_model(s), &served,
                            &r->test, err);
    ak_snapshot_drop(s);
    if (status == AK_OK)
        status = judge(run, r, err);
    if (status != AK_OK)
        return status;
    keep_test(run, &r->test);
    ak_shadow_tested(r->shadow);
    return AK_OK;
}

/* The lag is nil: write what it has come to, and the record. */
static enum ak_run_step install(struct ak_run *run, struct rebuild *r,
                                struct ak_err *err)
{
    struct ak_settings now;
    struct write_job *j;

    if (!ak_run_no_return(run))
        return AK_STEP_MORE; /* it is cancelled before it is stepped again */
    j = new_write(INSTALL_ONE, ak_run_collection(run), run, r);
    if (j == NULL) {
        ak_fail(err, AK_ENOMEM, "no memory for a rebuild");
        return AK_STEP_FAILED;
    }
    ak_collection_settings(ak_run_collection(run), &now);
    if (ak_generation_settings(r->view, r->number, &now, &j->settings, err) !=
            AK_OK ||
        fill(j, r->shadow, true, err) != AK_OK) {
        free_write(j);
        return AK_STEP_FAILED;
    }
    j->text = ak_settings_text(&j->settings);
    if (j->text == NULL) {
        free_write(j);
        ak_fail(err, AK_ENOMEM, "no memory for a rebuild");
        return AK_STEP_FAILED;
    }
    atomic_store(&r->written, false);
    r->where = WRITING;
    push(j);
    return AK_STEP_WAIT;
}

/* Vectors of what has come before the shadow learns it: DONE, if it may go on. */
static enum ak_run_step extract(struct ak_run *run, struct rebuild *r,
                                struct ak_err *err)
{
    enum ak_extraction_step step;
    uint64_t done, total, blank;

    if (r->extraction == NULL) {
        r->extracted = INT64_MAX;
        return AK_STEP_DONE;
    }
    if (ak_extraction_run(r->extraction, r->view, &step, &r->extracted, err) !=
        AK_OK)
        return AK_STEP_FAILED;
    ak_extraction_progress(r->extraction, &done, &total, &blank);
    ak_run_metric(run, "images", (double)done);
    ak_run_metric(run, "images_blank", (double)blank);
    if (step == AK_EXTRACTION_IDLE)
        return AK_STEP_DONE;
    /* Later on it is some rows at a time, between steps of what is shown. */
    if (ak_shadow_phase(r->shadow) == AK_SHADOW_GATHER)
        ak_run_progress(run, "extract", done, total);
    return step == AK_EXTRACTION_MORE ? AK_STEP_MORE : AK_STEP_WAIT;
}

static enum ak_run_step work(struct ak_run *run, struct rebuild *r,
                             struct ak_err *err)
{
    enum ak_shadow_phase phase;
    uint64_t done, total;
    bool idle;
    enum ak_run_step wait = extract(run, r, err);
    enum ak_status status;

    if (wait != AK_STEP_DONE)
        return wait;
    status = ak_shadow_step(r->shadow, r->view, r->extracted, &idle, err);
    if (status == AK_OK) {
        phase = ak_shadow_phase(r->shadow);
        ak_shadow_progress(r->shadow, &done, &total);
        if (phase == AK_SHADOW_FOLLOW) {
            pthread_mutex_lock(&ak_run_collection(run)->lock);
            total = ak_run_collection(run)->reached.seq[AK_ACK_DURABLE];
            pthread_mutex_unlock(&ak_run_collection(run)->lock);
        }
        ak_run_progress(run, phase_names[phase], done, total);
        ak_run_metric(run, "rows", (double)ak_shadow_rows(r->shadow));
    }
    if (status == AK_OK && idle && phase == AK_SHADOW_TEST)
        status = test(run, r, err);
    else if (status == AK_OK && idle)
        return install(run, r, err);
    return status == AK_OK ? AK_STEP_MORE : AK_STEP_FAILED;
}

/* ------------------------------------------------------------------- the end */

static enum ak_status match(void *arg, const struct ak_version *v,
                            struct ak_err *err)
{
    struct ak_version *wanted = arg;

    (void)err;
    if (v->at_seq == wanted->at_seq)
        *wanted = *v;
    return AK_OK;
}

static json_t *test_json(const struct rebuild *r, const json_t *gate)
{
    if (json_is_null(gate))
        return json_null();
    if (r->test.queries == 0)
        return json_pack("{s:b, s:s}", "passed", true, "note",
                         "too few rows to test it");
    return json_pack("{s:b, s:I, s:I, s:f, s:f}", "passed", true, "queries",
                     (json_int_t)r->test.queries, "database",
                     (json_int_t)r->test.database, "map", r->test.map,
                     "published_map", r->test.published_map);
}

static enum ak_run_step serve(struct ak_run *run, struct rebuild *r,
                              struct ak_err *err)
{
    struct ak_collection *c = ak_run_collection(run);
    struct ak_version v = {.at_seq = r->installed};
    uint64_t remaining;
    bool served, broken;

    pthread_mutex_lock(&c->lock);
    served = c->reached.seq[AK_ACK_SERVED] >= r->installed;
    broken = c->status.broken;
    remaining = c->status.publish_remaining_rows;
    pthread_mutex_unlock(&c->lock);
    ak_run_progress(run, "encode", remaining > 0 ? 0 : 1, remaining + 1);
    if (broken && !served) {
        ak_fail(err, AK_EIO, "learning or indexing stopped; see the log");
        return AK_STEP_FAILED;
    }
    if (!served)
        return AK_STEP_WAIT;
    if (ak_view_versions(r->view, match, &v, err) != AK_OK)
        return AK_STEP_FAILED;
    ak_run_result(run, json_pack("{s:I, s:I, s:I, s:I, s:o}", "generation",
                                 (json_int_t)r->number, "seq",
                                 (json_int_t)r->installed, "version",
                                 (json_int_t)v.version, "samples",
                                 (json_int_t)v.samples, "gate",
                                 test_json(r, ak_run_gate(run))));
    return AK_STEP_DONE;
}

/* The writer has answered. */
static enum ak_run_step written(struct ak_run *run, struct rebuild *r,
                                struct ak_err *err)
{
    atomic_store(&r->written, false);
    if (r->status != AK_OK) {
        *err = r->err;
        return AK_STEP_FAILED;
    }
    if (r->installed > 0) {
        ak_shadow_destroy(r->shadow);
        ak_extraction_destroy(r->extraction);
        r->shadow = NULL;
        r->extraction = NULL;
        r->where = SERVE;
        return AK_STEP_MORE;
    }
    r->where = WORK;
    return make_shadow(run, r, err) == AK_OK ? AK_STEP_MORE : AK_STEP_FAILED;
}

static enum ak_run_step rebuild_step(struct ak_run *run, struct ak_err *err)
{
    struct rebuild *r = *ak_run_data(run);

    r->resting = false;
    switch (r->where) {
    case BEGIN:
        return begin_generation(run, r, err) == AK_OK ? AK_STEP_WAIT
                                                      : AK_STEP_FAILED;
    case WRITING:
        return atomic_load(&r->written) ? written(run, r, err) : AK_STEP_WAIT;
    case WORK:
        return work(run, r, err);
    case SERVE:
        break;
    }
    return serve(run, r, err);
}

/* What was written for a generation that will not be: also of one whose number
   the writer has not told yet, since it does this after that. */
static void drop(struct ak_collection *c)
{
    struct write_job *j = new_write(DROP_ONE, c, NULL, NULL);

    if (j != NULL) /* else the next rebuild replaces it */
        push(j);
}

static void rebuild_end(struct ak_run *run, enum ak_run_state why)
{
    struct rebuild *r = *ak_run_data(run);
    struct ak_collection *c = ak_run_collection(run);
    bool failed = why == AK_RUN_CANCELED || why == AK_RUN_FAILED;

    if (c != NULL && failed)
        drop(c);
    if (c != NULL)
        set_rebuilding(c, false, failed);
    if (r == NULL)
        return;
    ak_shadow_destroy(r->shadow);
    ak_extraction_destroy(r->extraction);
    ak_view_close(r->view);
    r->shadow = NULL;
    r->extraction = NULL;
    r->view = NULL;
    *ak_run_data(run) = NULL;
    release(r);
}

const struct ak_run_kind ak_run_rebuild = {
    .name = "rebuild",
    .help = "learn again from the rows of now, perhaps with other parameters",
    .on_collection = true,
    .exclusive = "generation",
    .check = ak_rebuild_check,
    .begin = rebuild_begin,
    .step = rebuild_step,
    .save = rebuild_save,
    .rest = rebuild_rest,
    .end = rebuild_end,
};

const struct ak_run_kind ak_run_promote = {
    .name = "promote",
    .help = "the same with another extractor, or another version of it",
    .on_collection = true,
    .exclusive = "generation",
    .check = ak_promote_check,
    .begin = rebuild_begin,
    .step = rebuild_step,
    .save = rebuild_save,
    .rest = rebuild_rest,
    .end = rebuild_end,
};
