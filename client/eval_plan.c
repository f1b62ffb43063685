#include "config.h"

#include "client/eval_plan.h"

#include <stdlib.h>
#include <string.h>

#include "client/tool.h"
#include "core/hash/hcdh_network.h"

#define NAMES_ROOM 512
#define WORD_ROOM  64

#define MOST_SET 3

/* Whether `all` runs a variant, or a variant in place of its method. */
enum in_all { ALSO, INSTEAD, BY_NAME };

/* Variants beside the methods themselves; shown right behind their method. */
static const struct {
    const char *name, *method;
    struct {
        const char *name;
        double value;
    } options[MOST_SET];
    enum ak_eval_scaling scaling;
    enum in_all in_all;
} known[] = {
    /* Where defaults are ours, those that the authors' code has for MNIST. */
    {"hmoh-paper",
     "hmoh",
     {{"bandwidth_divisor", 6}, {"anchor_rounds", 0}, {NULL, 0}},
     AK_SCALE_NONE,
     BY_NAME},
    {"sdoh-paper",
     "sdoh",
     {{"sigma", 0.3}, {NULL, 0}, {NULL, 0}},
     AK_SCALE_NONE,
     BY_NAME},

    /* With options that go beyond the paper. */
    {"hmoh+",
     "hmoh",
     {{"centred_kernel", 1}, {"pick_codes", 1}, {NULL, 0}},
     AK_SCALE_NONE,
     ALSO},
    {"hmoh++",
     "hmoh",
     {{"centred_kernel", 1}, {"pick_codes", 1}, {"whitened_kernel", 1}},
     AK_SCALE_NONE,
     ALSO},

    {"hcdh-linear",
     "hcdh",
     {{"hidden", 0}, {NULL, 0}, {NULL, 0}},
     AK_SCALE_NONE,
     INSTEAD},
    {"hcdh-hidden",
     "hcdh",
     {{"hidden", 256}, {NULL, 0}, {NULL, 0}},
     AK_SCALE_NONE,
     INSTEAD},
    {"lsh-centred",
     "lsh",
     {{NULL, 0}, {NULL, 0}, {NULL, 0}},
     AK_SCALE_CENTRE,
     ALSO},
};

#define N_KNOWN (sizeof(known) / sizeof(known[0]))

static const char *const scalings[] = {"none", "centre", "unit"};

const char *eval_scaling_name(enum ak_eval_scaling scaling)
{
    return scalings[scaling];
}

static size_t find_option(const struct ak_hash_method *m, const char *name)
{
    size_t i = 0;

    while (i < m->n_options && strcmp(m->options[i].name, name) != 0)
        i++;
    return i;
}

static void init(struct eval_variant *v, const struct ak_hash_method *m)
{
    *v = (struct eval_variant){.name = m->name, .method = m};
    for (size_t i = 0; i < m->n_options; i++)
        v->options[i] = m->options[i].initial;
}

static bool make_variant(const char *name, struct eval_variant *v)
{
    const struct ak_hash_method *m = ak_hash_find(name);

    if (m == NULL && strcmp(name, ak_hcdh_network_method.name) == 0)
        m = &ak_hcdh_network_method;
    if (m != NULL) {
        init(v, m);
        v->network = m == &ak_hcdh_network_method;
        return true;
    }
    for (size_t i = 0; i < N_KNOWN; i++) {
        if (strcmp(known[i].name, name) != 0)
            continue;
        init(v, ak_hash_find(known[i].method));
        v->name = known[i].name;
        v->scaling = known[i].scaling;
        for (size_t j = 0; j < MOST_SET && known[i].options[j].name != NULL;
             j++) {
            size_t at = find_option(v->method, known[i].options[j].name);

            v->options[at] = known[i].options[j].value;
        }
        return true;
    }
    return false;
}

/* All names in order; of those that `all` runs, or of every one. */
static size_t list_names(const char *names[EVAL_MAX_VARIANTS], bool all)
{
    const struct ak_hash_method *m;
    size_t n = 0;

    for (size_t i = 0; (m = ak_hash_method(i)) != NULL; i++) {
        bool instead = false;

        for (size_t j = 0; j < N_KNOWN; j++)
            instead = instead || (known[j].in_all == INSTEAD &&
                                  strcmp(known[j].method, m->name) == 0);
        if (n < EVAL_MAX_VARIANTS && !(all && instead))
            names[n++] = m->name;
        for (size_t j = 0; j < N_KNOWN; j++)
            if (n < EVAL_MAX_VARIANTS &&
                strcmp(known[j].method, m->name) == 0 &&
                !(all && known[j].in_all == BY_NAME))
                names[n++] = known[j].name;
    }
    if (!all && n < EVAL_MAX_VARIANTS)
        names[n++] = ak_hcdh_network_method.name;
    return n;
}

const char *eval_variant_names(void)
{
    static char text[NAMES_ROOM];
    const char *names[EVAL_MAX_VARIANTS];
    size_t n = list_names(names, false), len = 0;

    for (size_t i = 0; i < n && len < sizeof(text); i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
                                i > 0 ? ", " : "", names[i]);
    return text;
}

/* The word up to the next comma; *at moves behind it.  False: too long. */
static bool next_word(const char **at, char word[WORD_ROOM])
{
    size_t len = strcspn(*at, ",");

    if (len >= WORD_ROOM)
        return false;
    memcpy(word, *at, len);
    word[len] = '\0';
    *at += len + ((*at)[len] == ',');
    return true;
}

static int unknown_method(const char *word)
{
    const char *names[EVAL_MAX_VARIANTS];
    size_t n = list_names(names, false);
    const char *near = nearest_word(word, names, n);

    return tool_usage("unknown method %s%s%s; known are %s", word,
                      near != NULL ? ", perhaps " : "",
                      near != NULL ? near : "", eval_variant_names());
}

static int add_variant(struct eval_plan *plan, const char *name)
{
    struct eval_variant *v = &plan->variants[plan->n_variants];

    for (size_t i = 0; i < plan->n_variants; i++)
        if (strcmp(plan->variants[i].name, name) == 0)
            return tool_usage("--method names %s twice", name);
    if (plan->n_variants == EVAL_MAX_VARIANTS)
        return tool_usage("more than %d methods", EVAL_MAX_VARIANTS);
    if (!make_variant(name, v))
        return unknown_method(name);
    plan->n_variants++;
    return EXIT_OK;
}

static int read_methods(const char *text, struct eval_plan *plan)
{
    const char *names[EVAL_MAX_VARIANTS];
    char word[WORD_ROOM];
    int code = EXIT_OK;

    if (strcmp(text, "all") == 0) {
        size_t n = list_names(names, true);

        for (size_t i = 0; code == EXIT_OK && i < n; i++)
            code = add_variant(plan, names[i]);
        return code;
    }
    do {
        if (!next_word(&text, word))
            return tool_usage("--method %.60s...: such a name is too long",
                              text);
        code = add_variant(plan, word);
    } while (code == EXIT_OK && *text != '\0');
    return code;
}

static int read_bits(const char *text, struct eval_plan *plan)
{
    char word[WORD_ROOM];
    uint64_t bits;

    do {
        if (!next_word(&text, word) || !number_parse(word, 8, 1024, &bits) ||
            bits % 8 != 0)
            return tool_usage("--bits has %.60s, must be 8..1024 and a "
                              "multiple of 8",
                              word[0] != '\0' ? word : "nothing");
        for (size_t i = 0; i < plan->n_bits; i++)
            if (plan->bits[i] == bits)
                return tool_usage("--bits has %s twice", word);
        if (plan->n_bits == EVAL_MAX_BITS)
            return tool_usage("--bits has more than %d numbers", EVAL_MAX_BITS);
        plan->bits[plan->n_bits++] = (uint32_t)bits;
    } while (*text != '\0');
    return EXIT_OK;
}

/* METHOD.NAME=VALUE for all variants that it means. */
static int read_option(const char *text, struct eval_plan *plan)
{
    const char *dot = strchr(text, '.');
    const char *equals = dot != NULL ? strchr(dot, '=') : NULL;
    char method[WORD_ROOM], name[WORD_ROOM];
    struct eval_variant probe;
    char *end;
    double value;
    bool used = false;

    if (equals == NULL || dot - text >= WORD_ROOM ||
        equals - dot - 1 >= WORD_ROOM)
        return tool_usage("--option %.60s: must be METHOD.NAME=VALUE", text);
    snprintf(method, sizeof(method), "%.*s", (int)(dot - text), text);
    snprintf(name, sizeof(name), "%.*s", (int)(equals - dot - 1), dot + 1);
    value = strtod(equals + 1, &end);
    if (equals[1] == '\0' || *end != '\0')
        return tool_usage("--option %.60s: %.40s is no number", text,
                          equals + 1);
    if (!make_variant(method, &probe))
        return unknown_method(method);
    if (find_option(probe.method, name) == probe.method->n_options)
        return tool_usage("--option %.60s: %s has no option %s; `akin methods` "
                          "lists them",
                          text, probe.method->name, name);
    for (size_t i = 0; i < plan->n_variants; i++) {
        struct eval_variant *v = &plan->variants[i];
        size_t at = find_option(v->method, name);

        if (strcmp(v->name, method) != 0 &&
            strcmp(v->method->name, method) != 0)
            continue;
        v->options[at] = value;
        v->set[at] = true;
        used = true;
    }
    if (!used)
        return tool_usage("--option %.60s: %s is not among the methods", text,
                          method);
    return EXIT_OK;
}

static void write_label(struct eval_variant *v, bool scaled)
{
    size_t len = (size_t)snprintf(v->label, sizeof(v->label), "%s", v->name);

    for (size_t i = 0; i < v->method->n_options && len < sizeof(v->label); i++)
        if (v->set[i])
            len += (size_t)snprintf(v->label + len, sizeof(v->label) - len,
                                    " %s=%g", v->method->options[i].name,
                                    v->options[i]);
    if (scaled && len < sizeof(v->label))
        snprintf(v->label + len, sizeof(v->label) - len, " %s",
                 scalings[v->scaling]);
}

int eval_plan_make(const char *methods, const char *bits,
                   const struct text_list *options, const char *scaling,
                   struct eval_plan *out)
{
    int code;

    *out = (struct eval_plan){0};
    code = read_methods(methods, out);
    if (code == EXIT_OK)
        code = read_bits(bits, out);
    for (size_t i = 0; code == EXIT_OK && i < options->n; i++)
        code = read_option(options->items[i], out);
    for (size_t i = 0; scaling != NULL && i < out->n_variants; i++)
        for (size_t s = 0; s < sizeof(scalings) / sizeof(scalings[0]); s++)
            if (strcmp(scalings[s], scaling) == 0)
                out->variants[i].scaling = (enum ak_eval_scaling)s;
    for (size_t i = 0; i < out->n_variants; i++)
        write_label(&out->variants[i], scaling != NULL);
    return code;
}

int eval_plan_fit(struct eval_plan *plan, uint32_t dim, uint32_t n_classes)
{
    for (size_t i = 0; i < plan->n_variants; i++) {
        struct eval_variant *v = &plan->variants[i];
        size_t at = find_option(v->method, "classes");

        if (at < v->method->n_options && !v->set[at] &&
            n_classes > v->options[at] &&
            n_classes <= v->method->options[at].max)
            v->options[at] = n_classes;
        for (size_t b = 0; b < plan->n_bits; b++) {
            const struct ak_hash_params params = {dim, plan->bits[b], 1, 0};
            struct ak_hash *h = NULL;
            struct ak_err err = {0};

            if ((v->network ? ak_hash_check_options(v->method, v->options,
                                                    v->options, &err)
                            : ak_hash_create(v->method->name, &params,
                                             v->options, &h, &err)) != AK_OK)
                return tool_usage("%s with %u bits: %s", v->name, plan->bits[b],
                                  err.text);
            ak_hash_destroy(h);
        }
    }
    return EXIT_OK;
}
