/*
 * settings.c -- the rules of a collection's settings, read from JSON.
 *
 * One walk over the body, a function an object, the first broken rule told with
 * its pointer.  A merge patch is applied to the JSON of the settings and the
 * result is read by the same walk, so that a rule is written once.
 */
#include "server/settings.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/code/code.h"
#include "core/hash/hash.h"
#include "core/image/pixels.h"
#include "server/json_memory.h"
#include "server/pointer.h"

#define MAX_DIM        65536
#define MAX_LABELS     65536
#define DEFAULT_LABELS 256
#define MAX_EVERY      1000000
#define DEFAULT_EVERY  50
#define DEFAULT_NEW    0.1
#define DEFAULT_GAIN   0.005
#define DEFAULT_DEPTH  100
#define MAX_DEPTH      4096 /* rows that a query is ranked against */
#define EXTERNAL       "external"
#define NAME_RULE      "^[a-z0-9][a-z0-9_-]{0,62}$"
#define POLICIES       "manual, every_batches, quality"
#define COUNT(array)   (sizeof(array) / sizeof((array)[0]))

static enum ak_status invalid(struct ak_fault *error, const char *pointer,
                              const char *fmt, ...) AK_PRINTF(3, 4);

static enum ak_status invalid(struct ak_fault *error, const char *pointer,
                              const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)ak_fault_vset(error, pointer, "validation-failed", fmt, ap);
    va_end(ap);
    return AK_EINVAL;
}

/* The text of a string; NULL for what is none, or has a zero byte. */
static const char *text_of(const json_t *value)
{
    const char *text = json_string_value(value);

    return text != NULL && strlen(text) == json_string_length(value) ? text
                                                                     : NULL;
}

static enum ak_status only(const json_t *object, const char *pointer,
                           const char *const *names, size_t n,
                           struct ak_fault *error)
{
    return ak_fault_keys(error, object, pointer, names, n, "no such field");
}

/* An integer within a range; absent leaves *out. */
static enum ak_status integer(const json_t *object, const char *key,
                              const char *pointer, json_int_t min,
                              json_int_t max, uint64_t *out,
                              struct ak_fault *error)
{
    const json_t *v = json_object_get(object, key);

    if (v == NULL)
        return AK_OK;
    if (!json_is_integer(v))
        return invalid(error, pointer, "must be an integer");
    if (json_integer_value(v) < min || json_integer_value(v) > max)
        return invalid(error, pointer,
                       "is %" JSON_INTEGER_FORMAT
                       ", must be %" JSON_INTEGER_FORMAT
                       "..%" JSON_INTEGER_FORMAT,
                       json_integer_value(v), min, max);
    *out = (uint64_t)json_integer_value(v);
    return AK_OK;
}

/* A number within a range; absent leaves *out. */
static enum ak_status number(const json_t *object, const char *key,
                             const char *pointer, double min, double max,
                             double *out, struct ak_fault *error)
{
    const json_t *v = json_object_get(object, key);

    if (v == NULL)
        return AK_OK;
    if (!json_is_number(v))
        return invalid(error, pointer, "must be a number");
    if (!(json_number_value(v) >= min && json_number_value(v) <= max))
        return invalid(error, pointer, "is %.9g, must be %.9g..%.9g",
                       json_number_value(v), min, max);
    *out = json_number_value(v);
    return AK_OK;
}

/* One of two words; absent leaves *second. */
static enum ak_status choice(const json_t *object, const char *key,
                             const char *pointer, const char *a, const char *b,
                             bool *second, struct ak_fault *error)
{
    const json_t *v = json_object_get(object, key);
    const char *word;

    if (v == NULL)
        return AK_OK;
    word = text_of(v);
    if (word == NULL)
        return invalid(error, pointer, "must be \"%s\" or \"%s\"", a, b);
    if (strcmp(word, a) != 0 && strcmp(word, b) != 0)
        return ak_fault_set(error, pointer, "unsupported-option",
                            "is \"%.60s\", must be \"%s\" or \"%s\"", word, a,
                            b);
    *second = strcmp(word, b) == 0;
    return AK_OK;
}

bool ak_settings_good_name(const char *name)
{
    size_t len = strlen(name);

    return len >= 1 && len < AK_SETTINGS_NAME && name[0] != '_' &&
           name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

bool ak_settings_learns(const struct ak_settings *s)
{
    const struct ak_hash_method *m = ak_hash_find(s->kind);

    return m != NULL && m->learns;
}

/* The method of this name if the daemon can feed it, or NULL. */
static const struct ak_hash_method *find_served(const char *kind)
{
    const struct ak_hash_method *m = ak_hash_find(kind);

    return m != NULL && m->streams ? m : NULL;
}

/* "hmoh, lsh, external" */
static void list_kinds(char *text, size_t cap)
{
    const struct ak_hash_method *m;
    size_t at = 0;

    text[0] = '\0';
    for (size_t i = 0; (m = ak_hash_method(i)) != NULL && at < cap; i++)
        if (m->streams)
            at += (size_t)snprintf(text + at, cap - at, "%s, ", m->name);
    if (at < cap)
        snprintf(text + at, cap - at, EXTERNAL);
}

static enum ak_status read_option(const struct ak_hash_option *o,
                                  const json_t *v, double *out,
                                  struct ak_fault *error)
{
    char at[sizeof(error->pointer)] = "/model/params";
    double x;

    ak_pointer_add(at, sizeof(at), o->name);
    if (!json_is_number(v))
        return invalid(error, at, "must be a number");
    x = json_number_value(v);
    if (o->integer && x != floor(x))
        return invalid(error, at, "is %.9g, must be an integer", x);
    if (!(x >= o->min && x <= o->max))
        return invalid(error, at, "is %.9g, must be %.9g..%.9g", x, o->min,
                       o->max);
    *out = x;
    return AK_OK;
}

static enum ak_status read_params(const struct ak_hash_method *m,
                                  const json_t *params, struct ak_settings *s,
                                  struct ak_fault *error)
{
    const char *names[AK_SETTINGS_OPTIONS + 1] = {NULL};
    size_t n = 0;
    enum ak_status status;

    if (m != NULL) {
        assert(m->n_options <= AK_SETTINGS_OPTIONS);
        names[n++] = "seed";
        for (size_t i = 0; i < m->n_options; i++) {
            names[n++] = m->options[i].name;
            s->options[i] = m->options[i].initial;
        }
    }
    status = only(params, "/model/params", names, n, error);
    if (status == AK_OK && m != NULL)
        status = integer(params, "seed", "/model/params/seed", 0, INT64_MAX,
                         &s->seed, error);
    for (size_t i = 0; m != NULL && i < m->n_options && status == AK_OK; i++) {
        const json_t *v = json_object_get(params, m->options[i].name);

        if (v != NULL)
            status = read_option(&m->options[i], v, &s->options[i], error);
    }
    return status;
}

static enum ak_status read_model(const json_t *model, struct ak_settings *s,
                                 struct ak_fault *error)
{
    static const char *const names[] = {"kind", "params", "head"};
    const char *kind = text_of(json_object_get(model, "kind"));
    const struct ak_hash_method *m;
    char kinds[128];
    enum ak_status status;

    status = only(model, "/model", names, COUNT(names), error);
    if (status != AK_OK)
        return status;
    list_kinds(kinds, sizeof(kinds));
    if (kind == NULL)
        return invalid(error, "/model/kind", "must be given, one of: %s",
                       kinds);
    m = find_served(kind);
    if ((m == NULL && strcmp(kind, EXTERNAL) != 0) ||
        strlen(kind) >= sizeof(s->kind))
        return ak_fault_set(error, "/model/kind", "unsupported-option",
                            "is \"%.40s\", built here are: %s", kind, kinds);
    strcpy(s->kind, kind);
    status = choice(model, "head", "/model/head", "learnt", "network", &s->head,
                    error);
    return status == AK_OK
               ? read_params(m, json_object_get(model, "params"), s, error)
               : status;
}

/* Only networks have a hash layer, of one kind. */
static enum ak_status check_head(const struct ak_settings *s,
                                 struct ak_fault *error)
{
    if (!s->head ||
        (strcmp(s->kind, "hcdh") == 0 && ak_settings_has_network(s)))
        return AK_OK;
    return ak_fault_set(
        error, "/model/head", "unsupported-option",
        "is \"network\", which takes kind hcdh and a network as "
        "extractor");
}

static enum ak_status read_bits(const json_t *body, struct ak_settings *s,
                                struct ak_fault *error)
{
    uint64_t bits = 0;
    enum ak_status status;

    if (json_object_get(body, "bits") == NULL)
        return invalid(error, "/bits", "must be given: a multiple of 8, %d..%d",
                       AK_CODE_MIN_BITS, AK_CODE_MAX_BITS);
    status = integer(body, "bits", "/bits", AK_CODE_MIN_BITS, AK_CODE_MAX_BITS,
                     &bits, error);
    if (status == AK_OK && bits % 8 != 0)
        return invalid(error, "/bits", "is %u, must be a multiple of 8, %d..%d",
                       (unsigned)bits, AK_CODE_MIN_BITS, AK_CODE_MAX_BITS);
    s->bits = (uint32_t)bits;
    return status;
}

bool ak_settings_has_network(const struct ak_settings *s)
{
    return s->extractor[0] != '\0' && !ak_pixels_is_name(s->extractor);
}

/* Built in: sets `dim`. */
static enum ak_status read_pixels(const char *name, struct ak_settings *s,
                                  struct ak_fault *error)
{
    struct ak_pixels_spec spec;
    struct ak_err err = {0};

    if (ak_pixels_parse(name, &spec, &err) != AK_OK)
        return invalid(error, "/extractor", "%s", err.text);
    strcpy(s->extractor, name);
    s->dim = ak_pixels_dim(&spec);
    return AK_OK;
}

/* {"name", "version"}: a network, and which one. */
static enum ak_status read_version(const json_t *extractor, uint64_t *version,
                                   struct ak_fault *error)
{
    static const char *const names[] = {"name", "version"};
    enum ak_status status =
        only(extractor, "/extractor", names, COUNT(names), error);

    if (status == AK_OK)
        status = integer(extractor, "version", "/extractor/version", 1,
                         UINT32_MAX, version, error);
    return status;
}

/* `null`, a name, or a name with a version. */
static enum ak_status read_extractor(const json_t *body, struct ak_settings *s,
                                     struct ak_fault *error)
{
    const json_t *v = json_object_get(body, "extractor");
    bool is_object = json_is_object(v);
    const char *name = text_of(is_object ? json_object_get(v, "name") : v);
    uint64_t version = 0;
    enum ak_status status = AK_OK;

    if (v == NULL || json_is_null(v))
        return AK_OK;
    if (is_object)
        status = read_version(v, &version, error);
    if (status != AK_OK)
        return status;
    if (name != NULL && ak_pixels_is_name(name) && !is_object)
        return read_pixels(name, s, error);
    if (name == NULL || !ak_settings_good_name(name) || ak_pixels_is_name(name))
        return invalid(error, is_object ? "/extractor/name" : "/extractor",
                       "must be null, a name such as \"pixels-28x28x1\", or "
                       "{\"name\", \"version\"} of a network");
    strcpy(s->extractor, name);
    s->extractor_version = (uint32_t)version;
    return AK_OK;
}

static enum ak_status read_features(const json_t *body, struct ak_settings *s,
                                    struct ak_fault *error)
{
    static const char *const names[] = {"dim", "store"};
    const json_t *features = json_object_get(body, "features");
    uint64_t dim = s->dim;
    bool half = false;
    enum ak_status status;

    status = only(features, "/features", names, COUNT(names), error);
    if (status == AK_OK)
        status =
            integer(features, "dim", "/features/dim", 1, MAX_DIM, &dim, error);
    if (status == AK_OK)
        status = choice(features, "store", "/features/store", "f32", "f16",
                        &half, error);
    if (status != AK_OK)
        return status;
    if (dim == 0 && s->extractor[0] == '\0')
        return invalid(error, "/features/dim",
                       "must be given when there is no extractor: 1..%d",
                       MAX_DIM);
    if (s->dim != 0 && dim != s->dim)
        return ak_fault_set(error, "/features/dim", "dim-mismatch",
                            "is %u, but extractor %s gives %u", (unsigned)dim,
                            s->extractor, s->dim);
    s->dim = (uint32_t)dim;
    s->format = half ? AK_FORMAT_F16 : AK_FORMAT_F32;
    return AK_OK;
}

/* Kind external keeps codes and nothing else of an item's looks. */
static enum ak_status read_external(const json_t *body, struct ak_settings *s,
                                    struct ak_fault *error)
{
    const json_t *extractor = json_object_get(body, "extractor");

    if (json_object_get(body, "features") != NULL)
        return ak_fault_set(error, "/features", "unsupported-option",
                            "kind " EXTERNAL
                            " takes codes; features beside them are "
                            "not built yet");
    if (extractor != NULL && !json_is_null(extractor))
        return ak_fault_set(error, "/extractor", "unsupported-option",
                            "must be null for kind " EXTERNAL
                            ", which takes codes");
    s->dim = 0;
    s->format = AK_FORMAT_CODE;
    return AK_OK;
}

static enum ak_status read_labels(const json_t *body, struct ak_settings *s,
                                  struct ak_fault *error)
{
    static const char *const names[] = {"mode", "max"};
    const json_t *labels = json_object_get(body, "labels");
    uint64_t max = DEFAULT_LABELS;
    enum ak_status status;

    status = only(labels, "/labels", names, COUNT(names), error);
    if (status == AK_OK)
        status = choice(labels, "mode", "/labels/mode", "single", "multi",
                        &s->multi_label, error);
    if (status == AK_OK)
        status =
            integer(labels, "max", "/labels/max", 1, MAX_LABELS, &max, error);
    s->max_labels = (uint32_t)max;
    return status;
}

/* In the order of enum ak_policy. */
static const char *const policies[] = {"manual", "every_batches", "quality"};

static enum ak_status read_policy(const json_t *publish, struct ak_settings *s,
                                  struct ak_fault *error)
{
    static const char at[] = "/publish/policy";
    const json_t *v = json_object_get(publish, "policy");
    const char *policy = v == NULL ? policies[0] : text_of(v);
    size_t i = 0;

    if (policy == NULL)
        return invalid(error, at, "must be one of: " POLICIES);
    while (i < COUNT(policies) && strcmp(policy, policies[i]) != 0)
        i++;
    if (i == COUNT(policies))
        return ak_fault_set(error, at, "unsupported-option",
                            "is \"%.60s\", must be one of: " POLICIES, policy);
    s->policy = (enum ak_policy)i;
    if (s->policy != AK_POLICY_MANUAL && !ak_settings_learns(s))
        return ak_fault_set(error, at, "unsupported-option",
                            "kind %s does not learn, so its policy is manual",
                            s->kind);
    return AK_OK;
}

static enum ak_status read_publish(const json_t *body, struct ak_settings *s,
                                   struct ak_fault *error)
{
    static const char *const names[] = {"policy",        "every_batches",
                                        "min_new_ratio", "min_quality_gain",
                                        "map_depth",     "rebuild_at_debt"};
    const json_t *publish = json_object_get(body, "publish");
    uint64_t every = DEFAULT_EVERY, depth = DEFAULT_DEPTH;
    enum ak_status status;

    status = only(publish, "/publish", names, COUNT(names), error);
    if (status == AK_OK)
        status = read_policy(publish, s, error);
    if (status == AK_OK)
        status = integer(publish, "every_batches", "/publish/every_batches", 1,
                         MAX_EVERY, &every, error);
    s->min_new_ratio = DEFAULT_NEW;
    s->min_quality_gain = DEFAULT_GAIN;
    if (status == AK_OK)
        status = number(publish, "min_new_ratio", "/publish/min_new_ratio", 0,
                        100, &s->min_new_ratio, error);
    if (status == AK_OK)
        status =
            number(publish, "min_quality_gain", "/publish/min_quality_gain", 0,
                   1, &s->min_quality_gain, error);
    if (status == AK_OK)
        status = integer(publish, "map_depth", "/publish/map_depth", 1,
                         MAX_DEPTH, &depth, error);
    s->rebuild_at_debt = 0;
    if (status == AK_OK)
        status = number(publish, "rebuild_at_debt", "/publish/rebuild_at_debt",
                        0, 1, &s->rebuild_at_debt, error);
    if (status == AK_OK && s->rebuild_at_debt > 0 && !ak_settings_learns(s))
        status = ak_fault_set(
            error, "/publish/rebuild_at_debt", "unsupported-option",
            "kind %s does not learn, so it has no debt", s->kind);
    s->every_batches = (uint32_t)every;
    s->quality_depth = (uint32_t)depth;
    return status;
}

/* A policy ends in a promotion, so it wants what one wants. */
static enum ak_status read_finetune(const json_t *body, struct ak_settings *s,
                                    struct ak_fault *error)
{
    static const char at[] = "/finetune/policy";
    enum ak_status status = ak_finetune_settings_parse(
        json_object_get(body, "finetune"), &s->finetune, error);

    if (status != AK_OK || !s->finetune.automatic)
        return status;
    if (!ak_settings_has_network(s))
        return ak_fault_set(
            error, at, "unsupported-option",
            "no network makes the vectors of this collection, so "
            "there is none to train on");
    if (!s->keep_images)
        return ak_fault_set(error, at, "unsupported-option",
                            "the collection stores no images to train on: its "
                            "images.store is \"none\"");
    if (!ak_settings_learns(s))
        return ak_fault_set(
            error, at, "unsupported-option",
            "kind %s does not learn, so no other network can be "
            "promoted",
            s->kind);
    return AK_OK;
}

static enum ak_status read_description(const json_t *body,
                                       struct ak_settings *s,
                                       struct ak_fault *error)
{
    const json_t *v = json_object_get(body, "description");

    if (v == NULL)
        return AK_OK;
    if (!json_is_string(v))
        return invalid(error, "/description", "must be a string");
    if (json_string_length(v) >= sizeof(s->description))
        return invalid(error, "/description",
                       "has %zu bytes, must have at most %zu",
                       json_string_length(v), sizeof(s->description) - 1);
    if (strlen(json_string_value(v)) != json_string_length(v))
        return invalid(error, "/description", "must not contain a zero byte");
    strcpy(s->description, json_string_value(v));
    return AK_OK;
}

static enum ak_status read_images(const json_t *body, struct ak_settings *s,
                                  struct ak_fault *error)
{
    static const char *const names[] = {"store"};
    const json_t *images = json_object_get(body, "images");
    enum ak_status status = only(images, "/images", names, COUNT(names), error);

    if (status == AK_OK)
        status = choice(images, "store", "/images/store", "none", "original",
                        &s->keep_images, error);
    return status;
}

enum ak_status ak_settings_parse(const char *name, const json_t *body,
                                 struct ak_settings *out,
                                 struct ak_fault *error)
{
    static const char *const names[] = {
        "description", "bits",   "ids",    "model",   "features",
        "extractor",   "images", "labels", "publish", "finetune"};
    struct ak_settings s;
    bool external;
    enum ak_status status;

    /* All bytes: equal settings may then be compared by memcmp(). */
    memset(&s, 0, sizeof(s));
    if (!ak_settings_good_name(name))
        return invalid(error, "", "the name is \"%.70s\", must match %s", name,
                       NAME_RULE);
    strcpy(s.name, name);
    status = only(body, "", names, COUNT(names), error);
    if (status == AK_OK)
        status = read_bits(body, &s, error);
    if (status == AK_OK)
        status = choice(body, "ids", "/ids", "integer", "string", &s.string_ids,
                        error);
    if (status == AK_OK)
        status = read_model(json_object_get(body, "model"), &s, error);
    external = strcmp(s.kind, EXTERNAL) == 0;
    if (status == AK_OK && external)
        status = read_external(body, &s, error);
    if (status == AK_OK && !external)
        status = read_extractor(body, &s, error);
    if (status == AK_OK && !external)
        status = read_features(body, &s, error);
    if (status == AK_OK)
        status = check_head(&s, error);
    if (status == AK_OK)
        status = read_images(body, &s, error);
    if (status == AK_OK)
        status = read_labels(body, &s, error);
    if (status == AK_OK)
        status = read_publish(body, &s, error);
    if (status == AK_OK)
        status = read_finetune(body, &s, error);
    if (status == AK_OK)
        status = read_description(body, &s, error);
    if (status == AK_OK)
        *out = s;
    return status;
}

uint32_t ak_settings_row_bytes(const struct ak_settings *s)
{
    switch (s->format) {
    case AK_FORMAT_F32:
        return s->dim * 4;
    case AK_FORMAT_F16:
        return s->dim * 2;
    case AK_FORMAT_CODE:
        break;
    }
    return (uint32_t)ak_code_bytes(s->bits);
}

struct ak_space ak_settings_space(const struct ak_settings *s)
{
    return (struct ak_space){s->space, ak_settings_row_bytes(s)};
}

/* ----------------------------------------------------------------- patches */

/* `target` after a merge patch (RFC 7396), a new reference; NULL: no memory. */
static json_t *merge(const json_t *target, const json_t *patch)
{
    const char *key;
    json_t *value, *result;

    if (!json_is_object(patch))
        return json_deep_copy(patch);
    result = json_is_object(target) ? json_deep_copy(target) : json_object();
    json_object_foreach((json_t *)(uintptr_t)patch, key, value)
    {
        if (result == NULL)
            break;
        if (json_is_null(value)) {
            json_object_del(result, key);
            continue;
        }
        if (json_object_set_new(
                result, key, merge(json_object_get(result, key), value)) != 0) {
            json_decref(result);
            result = NULL;
        }
    }
    return result;
}

/* What differs between the two and may not, or NULL. */
static const char *changed_field(const json_t *before, const json_t *after)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)before, key, value)
    {
        if (strcmp(key, "publish") != 0 && strcmp(key, "description") != 0 &&
            strcmp(key, "finetune") != 0 &&
            !json_equal(value, json_object_get(after, key)))
            return key;
    }
    return NULL;
}

enum ak_status ak_settings_patch(struct ak_settings *s, const json_t *patch,
                                 struct ak_fault *error)
{
    json_t *before = NULL, *merged = NULL, *after = NULL;
    struct ak_settings next;
    enum ak_status status;
    const char *key;

    if (!json_is_object(patch))
        return invalid(error, "", "must be an object");
    before = ak_settings_json(s);
    merged = before == NULL ? NULL : merge(before, patch);
    if (merged == NULL) {
        status = AK_ENOMEM;
        goto out;
    }
    status = ak_settings_parse(s->name, merged, &next, error);
    if (status != AK_OK)
        goto out;
    after = ak_settings_json(&next);
    if (after == NULL) {
        status = AK_ENOMEM;
        goto out;
    }
    key = changed_field(before, after);
    if (key != NULL) {
        char at[sizeof(error->pointer)] = "";

        ak_pointer_add(at, sizeof(at), key);
        status = invalid(error, at,
                         "is fixed when the collection is made; only publish, "
                         "finetune and description can change");
        goto out;
    }
    *s = next;
out:
    json_decref(after);
    json_decref(merged);
    json_decref(before);
    return status;
}

/* ------------------------------------------------------------------- shown */

/* Options as numbers: integers as such, so that 300 is not shown as 300.0. */
static json_t *params_json(const struct ak_settings *s)
{
    const struct ak_hash_method *m = ak_hash_find(s->kind);
    json_t *params = json_object();

    if (m == NULL || params == NULL)
        return params;
    json_object_set_new(params, "seed", json_integer((json_int_t)s->seed));
    for (size_t i = 0; i < m->n_options; i++)
        json_object_set_new(params, m->options[i].name,
                            m->options[i].integer
                                ? json_integer((json_int_t)s->options[i])
                                : json_real(s->options[i]));
    if (json_object_size(params) != m->n_options + 1) {
        json_decref(params);
        return NULL;
    }
    return params;
}

static json_t *extractor_json(const struct ak_settings *s)
{
    if (s->extractor[0] == '\0')
        return json_null();
    if (s->extractor_version == 0)
        return json_string(s->extractor);
    return json_pack("{s:s, s:I}", "name", s->extractor, "version",
                     (json_int_t)s->extractor_version);
}

json_t *ak_settings_json(const struct ak_settings *s)
{
    json_t *features = NULL, *extractor, *params, *o;

    params = params_json(s);
    if (params == NULL)
        return NULL;
    if (s->format != AK_FORMAT_CODE) {
        features = json_pack("{s:I, s:s}", "dim", (json_int_t)s->dim, "store",
                             s->format == AK_FORMAT_F16 ? "f16" : "f32");
        if (features == NULL) {
            json_decref(params);
            return NULL;
        }
    }
    extractor = extractor_json(s);
    o = json_pack(
        "{s:s, s:I, s:s, s:{s:s, s:o, s:s*}, s:o*, s:o, s:{s:s}, s:{s:s, s:I},"
        " s:{s:s, s:I, s:f, s:f, s:I, s:f}, s:o}",
        "description", s->description, "bits", (json_int_t)s->bits, "ids",
        s->string_ids ? "string" : "integer", "model", "kind", s->kind,
        "params", params, "head", s->head ? "network" : NULL, "features",
        features, "extractor", extractor, "images", "store",
        s->keep_images ? "original" : "none", "labels", "mode",
        s->multi_label ? "multi" : "single", "max", (json_int_t)s->max_labels,
        "publish", "policy", policies[s->policy], "every_batches",
        (json_int_t)s->every_batches, "min_new_ratio", s->min_new_ratio,
        "min_quality_gain", s->min_quality_gain, "map_depth",
        (json_int_t)s->quality_depth, "rebuild_at_debt", s->rebuild_at_debt,
        "finetune", ak_finetune_settings_json(&s->finetune));
    return o;
}

char *ak_settings_text(const struct ak_settings *s)
{
    json_t *o = ak_settings_json(s);
    char *text = ak_json_text(o, JSON_COMPACT);

    json_decref(o);
    return text;
}

enum ak_status ak_settings_of_text(const char *name, struct ak_bytes text,
                                   struct ak_settings *out, struct ak_err *err)
{
    struct ak_fault why = {0};
    json_error_t where;
    json_t *json = ak_json_value(text.data, text.len, 0, &where);
    enum ak_status status;

    if (json == NULL)
        return ak_fail(err,
                       json_error_code(&where) == json_error_out_of_memory
                           ? AK_ENOMEM
                           : AK_ECORRUPT,
                       "settings: %s", where.text);
    status = ak_settings_parse(name, json, out, &why);
    json_decref(json);
    if (status == AK_ENOMEM)
        return ak_fail(err, AK_ENOMEM, "no memory for settings");
    if (status != AK_OK)
        return ak_fail(err, AK_ECORRUPT, "settings: %s: %s", why.pointer,
                       why.detail);
    return AK_OK;
}

bool ak_settings_same_extractor(const struct ak_settings *a,
                                const struct ak_settings *b)
{
    return strcmp(a->extractor, b->extractor) == 0 &&
           a->extractor_version == b->extractor_version;
}

void ak_settings_take_model(struct ak_settings *s,
                            const struct ak_settings *from)
{
    memcpy(s->kind, from->kind, sizeof(s->kind));
    s->head = from->head;
    memcpy(s->options, from->options, sizeof(s->options));
    s->seed = from->seed;
    s->max_labels = from->max_labels;
    ak_settings_take_extractor(s, from);
}

void ak_settings_take_extractor(struct ak_settings *s,
                                const struct ak_settings *from)
{
    memcpy(s->extractor, from->extractor, sizeof(s->extractor));
    s->extractor_version = from->extractor_version;
    s->dim = from->dim;
    s->space = from->space;
}
