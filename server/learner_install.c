/*
 * learner_install.c -- the learner gives way to another, and asks for one.
 *
 * At an INSTALL record the generation that it names takes over.  What it had
 * come to when the record was written is in the file; the records from there to
 * this one are followed here.  Should that not be there any more, since a
 * checkpoint behind the record was stored and then lost, the generation is made
 * again from the rows: it is a function of the records.
 */
#include "core/base/moment.h"
#include "server/engine_internal.h"
#include "server/head.h"
#include "server/jobs.h"
#include "server/log.h"
#include "server/shadow.h"

enum ak_status ak_generation_settings(struct ak_view *view, uint64_t number,
                                      const struct ak_settings *now,
                                      struct ak_settings *out,
                                      struct ak_err *err)
{
    struct ak_generation g;
    struct ak_settings then;
    struct ak_err why = {0};
    uint64_t space;
    enum ak_status status = ak_view_generation(view, number, &g, err);

    *out = *now;
    if (status == AK_ENOTFOUND && number == 0)
        return AK_OK; /* there was no other yet */
    if (status != AK_OK && status != AK_ECORRUPT)
        return status;
    space = g.space;
    status = ak_settings_of_text(now->name, g.settings, &then, &why);
    if (status != AK_OK)
        return ak_fail(err, status, "generation %llu: %s",
                       (unsigned long long)number, why.text);
    then.space = space;
    ak_settings_take_model(out, &then);
    return AK_OK;
}

/* ------------------------------------------------------------------ installing */

/* The generation as it was when its record was written, or else from its
   beginning. */
static enum ak_status load(struct ak_collection *c, struct ak_view *view,
                           uint64_t number, struct ak_shadow **out,
                           struct ak_err *err)
{
    struct ak_settings now, settings;
    struct ak_shadow_params params = {.settings = &settings, .number = number};
    struct ak_generation g;
    struct ak_err why = {0};
    enum ak_status status;

    ak_collection_settings(c, &now);
    status = ak_generation_settings(view, number, &now, &settings, err);
    if (status == AK_OK)
        status = ak_view_generation(view, number, &g, err);
    if (status != AK_OK && status != AK_ECORRUPT)
        return status;
    params.base_seq = g.base_seq;
    params.held = g.held;
    /* What it had come to has its head, so that the extractor is not needed. */
    status = ak_shadow_create(&params, out, err);
    if (status != AK_OK)
        return status;
    if (g.state.data != NULL)
        status = ak_shadow_load(*out, g.constants, g.state, &why);
    if (g.state.data != NULL && status == AK_OK)
        return AK_OK;
    ak_log_warn("engine", "a generation is made again from its rows",
                AK_TEXT("collection", now.name),
                AK_NUMBER("generation", number),
                AK_TEXT("reason", why.text[0] != '\0' ? why.text : NULL));
    ak_shadow_destroy(*out);
    *out = NULL;
    status = ak_head_get(c->engine->extractors, &settings, &params.head, err);
    if (status == AK_OK)
        status = ak_shadow_create(&params, out, err);
    ak_ref_drop((struct ak_ref *)params.head);
    return status;
}

static enum ak_status catch_up(struct ak_collection *c, struct ak_view *view,
                               struct ak_shadow *s, uint64_t until,
                               struct ak_err *err)
{
    enum ak_status status = AK_OK;
    bool idle = false;

    while (status == AK_OK &&
           !(idle && ak_shadow_phase(s) == AK_SHADOW_FOLLOW)) {
        ak_shadow_tested(s);
        status = ak_shadow_step(s, view, until, &idle, err);
        if (status == AK_OK && atomic_load(&c->engine->stopping))
            status = ak_fail(err, AK_ECANCELED, "the daemon is stopping");
    }
    if (status == AK_OK && ak_shadow_seq(s) != until)
        status = ak_fail(err, AK_ECORRUPT,
                         "a generation follows record %llu, must follow %llu",
                         (unsigned long long)ak_shadow_seq(s),
                         (unsigned long long)until);
    return status;
}

/* The trainer and its debt take the place of the learner's. */
static void take_over(struct ak_collection *c, struct ak_trainer *t,
                      const struct ak_debt *debt, const struct ak_record *rec,
                      uint64_t base)
{
    struct ak_learner *l = &c->learner;

    ak_trainer_destroy(l->trainer);
    l->trainer = t;
    ak_ref_drop((struct ak_ref *)l->map);
    l->map = NULL;
    ak_quality_remap(l->quality, ak_trainer_settings(t)->dim,
                     ak_trainer_method(t)->moving_map, rec->seq);
    l->constants_saved = false;
    l->saved_ns = 0; /* so that the next slice saves */
    ak_debt_clear(&l->debt);
    l->debt = *debt;
    l->generation = rec->version;
    l->debt_asked = 0;
    if (l->rebuild_due <= base)
        l->rebuild_due = l->rebuild_asked = 0;
}

enum ak_status ak_learner_install(struct ak_collection *c,
                                  const struct ak_record *rec,
                                  struct ak_err *err)
{
    struct ak_view *view = NULL;
    struct ak_shadow *s = NULL;
    struct ak_trainer *t = NULL;
    struct ak_debt debt = {0};
    struct ak_trained out;
    enum ak_status status = ak_collection_borrow(c, &view, err);

    if (status != AK_OK)
        return status;
    status = load(c, view, rec->version, &s, err);
    if (status == AK_OK)
        status = catch_up(c, view, s, rec->seq - 1, err);
    if (status == AK_OK) {
        t = ak_shadow_take(s, &debt);
        status = ak_trainer_follow(t, view, rec, &out, err);
    }
    if (status == AK_OK) {
        take_over(c, t, &debt, rec, ak_shadow_base(s));
        ak_moment(AK_AT_TAKEN_OVER);
        ak_log_info("engine", "a generation took over",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("generation", rec->version),
                    AK_NUMBER("seq", rec->seq),
                    AK_NUMBER("samples", ak_hash_samples(ak_trainer_hash(t))));
    } else {
        ak_trainer_destroy(t);
        ak_debt_clear(&debt);
    }
    ak_shadow_destroy(s);
    ak_collection_return(c, view);
    return status;
}

/* --------------------------------------------------------------------- asking */

/* So much more debt until it is asked for again, when it was of no use. */
#define DEBT_STEP 1.5

enum ak_status ak_learner_count_debt(struct ak_collection *c,
                                     const struct ak_record *rec,
                                     struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    uint64_t seq = rec->seq;
    enum ak_status status;
    double ratio, limit;

    /* A model that was taken over owes nothing to the rows. */
    if (ak_trainer_has_taken(l->trainer))
        return AK_OK;
    status = ak_debt_follow(&l->debt, l->view, rec, err);
    ratio = ak_debt_ratio(&l->debt);
    pthread_mutex_lock(&c->lock);
    c->status.debt = ratio;
    limit = c->settings.rebuild_at_debt;
    pthread_mutex_unlock(&c->lock);
    if (status == AK_OK && limit > 0 && ratio >= limit && l->rebuild_due == 0 &&
        (double)l->debt.gone >= DEBT_STEP * (double)l->debt_asked) {
        l->rebuild_due = seq;
        l->rebuild_why = AK_REBUILD_DEBT;
        l->debt_asked = l->debt.gone;
    }
    return status;
}

/* The job was refused; it is asked for again. */
static void asked(void *arg, enum ak_status status, uint64_t id, bool replayed,
                  const struct ak_err *err)
{
    struct ak_collection *c = arg;

    (void)id;
    (void)replayed;
    if (status != AK_OK)
        ak_log_warn("engine", "a rebuild was not started",
                    AK_TEXT("collection", c->settings.name),
                    AK_TEXT("reason", err->text));
    pthread_mutex_lock(&c->lock);
    c->rebuild_refused = status != AK_OK;
    pthread_mutex_unlock(&c->lock);
    ak_collection_drop(c);
}

static enum ak_status start(struct ak_collection *c, enum ak_rebuild_why why,
                            struct ak_err *err)
{
    /* What a person asked for is done without a test; what the daemon does by
       itself is tested. */
    json_t *gate = why == AK_REBUILD_DEBT ? NULL : json_null();
    json_t *params = json_pack("{s:s}", "reason", ak_rebuild_why_name(why));
    struct ak_run_request request = {.kind = "rebuild",
                                     .target = c->settings.name,
                                     .params = params,
                                     .gate = gate};
    struct ak_fault fault = {0};
    enum ak_status status;

    ak_collection_ref(c);
    status = ak_jobs_submit(c->engine->jobs, &request, &fault, asked, c, err);
    if (status != AK_OK)
        ak_collection_drop(c);
    json_decref(params);
    json_decref(gate);
    return status;
}

const char *ak_rebuild_why_name(enum ak_rebuild_why why)
{
    switch (why) {
    case AK_REBUILD_DEBT:
        return "debt";
    case AK_REBUILD_FIRST:
        return "first training";
    case AK_REBUILD_PUBLISH:
        break;
    }
    return "publish";
}

void ak_learner_ask_rebuild(struct ak_collection *c)
{
    struct ak_learner *l = &c->learner;
    struct ak_err err = {0};
    bool failed, refused;
    enum ak_status status;

    pthread_mutex_lock(&c->lock);
    failed = c->rebuild_failed;
    refused = c->rebuild_refused;
    c->rebuild_failed = c->rebuild_refused = false;
    pthread_mutex_unlock(&c->lock);
    if (refused)
        l->rebuild_asked = 0;
    if (failed && l->rebuild_asked > 0) {
        /* Who waits for it is told that nothing changed. */
        ak_collection_advance(c, AK_ACK_SERVED, l->rebuild_asked);
        if (l->rebuild_due == l->rebuild_asked)
            l->rebuild_due = 0;
        l->rebuild_asked = 0;
    }
    if (l->rebuild_due == 0 || l->rebuild_asked > 0)
        return;
    status = start(c, l->rebuild_why, &err);
    if (status == AK_OK)
        l->rebuild_asked = l->rebuild_due;
    else if (status != AK_EBUSY && status != AK_ELIMIT &&
             status != AK_ECANCELED)
        ak_log_warn("engine", "a rebuild was not started",
                    AK_TEXT("collection", c->settings.name),
                    AK_TEXT("reason", err.text));
}
