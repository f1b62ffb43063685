/*
 * settings.h -- what one collection is set to: the body of PUT
 * /v1/collections/{c}, checked and with its defaults filled in.
 *
 * The struct is plain and copied freely.  ak_settings_text() gives the
 * canonical JSON of it, which the collection's file keeps and which two equal
 * settings share byte for byte.
 */
#ifndef AK_SERVER_SETTINGS_H
#define AK_SERVER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "core/base/err.h"
#include "server/fault.h"
#include "server/settings_finetune.h"
#include "storage/collection.h"

#define AK_SETTINGS_NAME        64   /* with its zero */
#define AK_SETTINGS_DESCRIPTION 1025 /* bytes of UTF-8, with its zero */
#define AK_SETTINGS_OPTIONS     16   /* of a hash method, at most */

enum ak_format { AK_FORMAT_F32, AK_FORMAT_F16, AK_FORMAT_CODE };
enum ak_policy { AK_POLICY_MANUAL, AK_POLICY_EVERY_BATCHES, AK_POLICY_QUALITY };

struct ak_settings {
    char name[AK_SETTINGS_NAME]; /* of the collection; not in the text */
    char description[AK_SETTINGS_DESCRIPTION];
    char kind[16]; /* a hash method of core/hash, or "external" */
    bool head;     /* the model is the hash layer of the extractor's network */
    uint32_t bits;
    uint32_t dim;          /* 0: kind external, which has codes only */
    enum ak_format format; /* of a row in a block; CODE for external */
    bool string_ids;
    bool multi_label;    /* false: at most one label an item */
    uint32_t max_labels; /* learnt; beyond it stored and filterable only */
    uint64_t seed;
    double options[AK_SETTINGS_OPTIONS]; /* in the order of the method */
    char extractor[AK_SETTINGS_NAME];    /* "pixels-28x28x1", "cnn", or "" */
    uint32_t extractor_version;          /* of a network; 0: none, or the one
                                            that is published (see below) */
    uint64_t space;   /* of the vectors that come in; not in the text */
    bool images_only; /* there are several spaces; likewise */
    bool keep_images;
    enum ak_policy policy;
    double rebuild_at_debt; /* debt that starts a rebuild; 0: none does */
    uint32_t every_batches; /* learnt batches between two publishes, or marks */
    double min_new_ratio;   /* of policy quality: new samples, of those that the
                                published model has learnt */
    double min_quality_gain; /* to be beaten by the lower bound of the gain */
    uint32_t quality_depth;  /* R of mAP@R */
    struct ak_finetune_settings finetune;
};

/* Whether it may be a name in the API: ^[a-z0-9][a-z0-9_-]{0,62}$ */
bool ak_settings_good_name(const char *name);

/* Bytes of one row in a block, as stored. */
uint32_t ak_settings_row_bytes(const struct ak_settings *s);
/* The space that vectors of these settings lie in. */
struct ak_space ak_settings_space(const struct ak_settings *s);

/*
 * Read a PUT body into *out, defaults filled in.  AK_EINVAL fills in the fault.  Of
 * an extractor that is given by its name alone the version is 0, and perhaps
 * `dim`: what they are depends on what there is (ak_extractors_resolve()).
 */
enum ak_status ak_settings_parse(const char *name, const json_t *body,
                                 struct ak_settings *out,
                                 struct ak_fault *fault) AK_MUST_CHECK;

/* Apply a merge patch (RFC 7396) of what may change: publish, finetune,
   description. */
enum ak_status ak_settings_patch(struct ak_settings *s, const json_t *patch,
                                 struct ak_fault *fault) AK_MUST_CHECK;

/* Take over what a learner is made with: kind, head, options, seed, max_labels,
   and the extractor of what it learns from. */
void ak_settings_take_model(struct ak_settings *s,
                            const struct ak_settings *from);
/* Of that only the extractor: its name, version, dim and space. */
void ak_settings_take_extractor(struct ak_settings *s,
                                const struct ak_settings *from);

/* Whether images become the same vectors under both. */
bool ak_settings_same_extractor(const struct ak_settings *a,
                                const struct ak_settings *b);

/* The settings as the API shows them; NULL when memory is short. */
json_t *ak_settings_json(const struct ak_settings *s);
/* Canonical text, to be freed with free(); NULL when memory is short. */
char *ak_settings_text(const struct ak_settings *s);
/* Such a text read again.  AK_ECORRUPT: it is none. */
enum ak_status ak_settings_of_text(const char *name, struct ak_bytes text,
                                   struct ak_settings *out, struct ak_err *err);

/* Whether images become vectors by a network, not by what is built in. */
bool ak_settings_has_network(const struct ak_settings *s);

/* Whether its kind has a learner: not `lsh`, not `external`. */
bool ak_settings_learns(const struct ak_settings *s);

#endif
