/* job_rebuild_ask.c -- what a rebuild or a promotion may be asked. */
#include <stdio.h>
#include <string.h>

#include "server/engine_internal.h"
#include "server/extractors.h"
#include "server/head.h"
#include "server/rebuild.h"

#define DEFAULT_LOSS 0.02

/* The gate: {"max_quality_loss"}, or null. */
static enum ak_status check_gate(struct ak_run_check *check,
                                 struct ak_fault *fault)
{
    static const char at[] = "/gate/max_quality_loss";
    static const char *const known[] = {"max_quality_loss"};
    const json_t *value;

    if (!check->gate_given) {
        json_decref(check->gate);
        check->gate = json_object();
    }
    if (json_is_null(check->gate))
        return AK_OK;
    if (ak_fault_keys(fault, check->gate, "/gate", known, 1,
                      "known here: max_quality_loss") != AK_OK)
        return AK_EINVAL;
    value = json_object_get(check->gate, "max_quality_loss");
    if (value == NULL)
        json_object_set_new(check->gate, "max_quality_loss",
                            json_real(DEFAULT_LOSS));
    else if (!json_is_number(value) || json_number_value(value) < 0 ||
             json_number_value(value) > 1)
        return ak_fault_set(fault, at, "validation-failed",
                            "must be a number, 0..1; null as gate: no gate");
    return AK_OK;
}

/* Which version and which dimension an extractor's name means: of one that is
   asked for the published one, else what the collection has. */
static enum ak_status resolve(struct ak_engine *engine, bool asked,
                              const struct ak_settings *now,
                              struct ak_settings *out, struct ak_fault *fault)
{
    struct ak_extractors *x = ak_engine_extractors(engine);
    struct ak_extractor_version v;

    if (!asked) {
        ak_settings_take_extractor(out, now);
        return AK_OK;
    }
    if (ak_settings_has_network(out) && out->extractor_version == 0 &&
        ak_extractors_find(x, out->extractor, 0, &v, NULL) == AK_OK)
        out->extractor_version = v.version;
    return ak_extractors_resolve(x, out, fault);
}

enum ak_status ak_rebuild_merge(struct ak_engine *engine,
                                const struct ak_settings *now,
                                const json_t *params, struct ak_settings *out,
                                struct ak_fault *fault)
{
    json_t *body = ak_settings_json(now), *theirs;
    json_t *model = json_object_get(params, "model");
    json_t *mine = json_object_get(body, "model");
    json_t *labels = json_object_get(params, "labels");
    json_t *extractor = json_object_get(params, "extractor");
    json_t *head = json_object_get(model, "head");
    const char *kind = json_string_value(json_object_get(model, "kind"));
    char pointer[sizeof(fault->pointer)];
    enum ak_status status;

    if (body == NULL)
        return ak_fault_set(fault, "", "internal", "memory is short");
    /* Another kind has other parameters, and another extractor another hash
       layer, or none. */
    if (kind != NULL && strcmp(kind, now->kind) != 0) {
        json_object_del(mine, "params");
        json_object_del(mine, "head");
    }
    if (extractor != NULL)
        json_object_del(mine, "head");
    if (head != NULL)
        json_object_set(mine, "head", head);
    theirs = json_object_get(model, "params");
    if (json_is_object(theirs) && json_object_get(mine, "params") != NULL)
        json_object_update(json_object_get(mine, "params"), theirs);
    else if (theirs != NULL)
        json_object_set(mine, "params", theirs);
    if (kind != NULL)
        json_object_set(mine, "kind", json_object_get(model, "kind"));
    if (extractor != NULL) {
        json_object_set(body, "extractor", extractor);
        json_object_del(json_object_get(body, "features"), "dim");
    }
    if (labels != NULL)
        json_object_set(json_object_get(body, "labels"), "max",
                        json_object_get(labels, "max"));
    status = ak_settings_parse(now->name, body, out, fault);
    json_decref(body);
    if (status == AK_OK)
        status = resolve(engine, extractor != NULL, now, out, fault);
    if (status == AK_OK)
        status = ak_head_choose(ak_engine_extractors(engine),
                                json_string_value(head), extractor != NULL, out,
                                fault);
    if (status != AK_OK) {
        snprintf(pointer, sizeof(pointer), "/params%.100s", fault->pointer);
        memcpy(fault->pointer, pointer, sizeof(pointer));
    }
    return status;
}

static enum ak_status only(const json_t *object, const char *pointer,
                           const char *const *names, size_t n,
                           struct ak_fault *fault)
{
    return ak_fault_keys(fault, object, pointer, names, n,
                         "a rebuild does not change it");
}

static enum ak_status check_params(const json_t *params, bool extracts,
                                   struct ak_fault *fault)
{
    static const char *const names[] = {"model", "labels", "reason",
                                        "extractor"};
    static const char *const model[] = {"kind", "params", "head"};
    static const char *const labels[] = {"max"};
    enum ak_status status =
        only(params, "/params", names, extracts ? 4 : 3, fault);
    const json_t *reason = json_object_get(params, "reason");

    if (status == AK_OK)
        status = only(json_object_get(params, "model"), "/params/model", model,
                      3, fault);
    if (status == AK_OK)
        status = only(json_object_get(params, "labels"), "/params/labels",
                      labels, 1, fault);
    if (status == AK_OK && reason != NULL &&
        (!json_is_string(reason) || json_string_length(reason) > 64))
        status = ak_fault_set(fault, "/params/reason", "validation-failed",
                              "must be a string of at most 64 bytes");
    return status;
}

bool ak_rebuild_extracts(const json_t *params)
{
    return json_object_get(params, "extractor") != NULL;
}

static enum ak_status check(struct ak_run_check *check, bool extracts,
                            struct ak_settings *now, struct ak_settings *next,
                            struct ak_fault *fault)
{
    const struct ak_hash_method *method;
    enum ak_status status;

    ak_collection_settings(check->c, now);
    method = ak_hash_find(now->kind);
    if (method == NULL || !method->learns)
        return ak_fault_set(
            fault, "/target", "unsupported-option",
            "its kind does not learn, so there is nothing to rebuild");
    if (json_object_size(check->budget) > 0)
        return ak_fault_set(fault, "/budget", "unknown-field",
                            "a rebuild has no budget");
    status = check_params(check->params, extracts, fault);
    if (status == AK_OK)
        status =
            ak_rebuild_merge(check->engine, now, check->params, next, fault);
    if (status != AK_OK)
        return status;
    method = ak_hash_find(next->kind);
    if (method == NULL || !method->learns || !method->streams)
        return ak_fault_set(fault, "/params/model/kind", "unsupported-option",
                            "does not learn from a stream");
    return check_gate(check, fault);
}

enum ak_status ak_rebuild_check(struct ak_run_check *c, struct ak_fault *fault)
{
    struct ak_settings now, next;

    return check(c, false, &now, &next, fault);
}

enum ak_status ak_promote_check(struct ak_run_check *c, struct ak_fault *fault)
{
    static const char at[] = "/params/extractor";
    struct ak_settings now, next;
    json_t *extractor;
    enum ak_status status;

    extractor = json_object_get(c->params, "extractor");
    if (extractor == NULL || json_is_null(extractor))
        return ak_fault_set(
            fault, at, "validation-failed",
            "must be given: a name, or {\"name\", \"version\"}");
    ak_collection_settings(c->c, &now);
    if (now.extractor[0] == '\0' || !now.keep_images)
        return ak_fault_set(
            fault, "/target", "unsupported-option",
            "it does not store images (images.store \"original\"), "
            "of which another extractor could make vectors");
    status = check(c, true, &now, &next, fault);
    if (status != AK_OK)
        return status;
    if (ak_settings_same_extractor(&now, &next) && now.head == next.head)
        return ak_fault_set(fault, at, "state-conflict",
                            "is what the collection has");
    /* A name means the version of now, whenever the job begins. */
    extractor = ak_settings_has_network(&next)
                    ? json_pack("{s:s, s:I}", "name", next.extractor, "version",
                                (json_int_t)next.extractor_version)
                    : json_string(next.extractor);
    if (json_object_set_new(c->params, "extractor", extractor) != 0)
        return ak_fault_set(fault, "", "internal", "memory is short");
    return AK_OK;
}
