/*
 * graph_text.c -- the text of a graph: a strict reader and the writer.
 *
 * The text may come from a file that somebody was given, so it is checked as
 * such: every count is bounded before anything is made of it.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/blob.h"
#include "core/base/mem.h"
#include "core/nn/graph_internal.h"

#define TITLE     "akin-net 1"
#define MAX_RUNS  4096
#define MAX_TOKEN 40 /* of a number */

/* ---- reading ------------------------------------------------------------ */

/* A piece of the text, not terminated. */
struct span {
    const char *at;
    size_t len;
};

struct parser {
    struct span left; /* what was not read yet */
    unsigned line;
    struct ak_graph *g;
    uint32_t cap; /* of g->layers */
    bool feature, output;
    struct ak_err *err;
};

static bool is(struct span s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

/* Up to the next `mark`, which is passed over, or to the end. */
static struct span cut(struct span *s, char mark)
{
    const char *end = s->len > 0 ? memchr(s->at, mark, s->len) : NULL;
    struct span piece = *s;

    if (end == NULL) {
        s->at += s->len;
        s->len = 0;
        return piece;
    }
    piece.len = (size_t)(end - s->at);
    s->at = end + 1;
    s->len -= piece.len + 1;
    return piece;
}

/* How much of a piece an error text shows. */
static int shown(struct span s)
{
    return s.len > 40 ? 40 : (int)s.len;
}

static enum ak_status bad(struct parser *p, const char *what, struct span s)
{
    return ak_fail(p->err, AK_EINVAL, "\"%.*s\" is no %s", shown(s), s.at,
                   what);
}

static enum ak_status read_uint(struct parser *p, struct span s, uint32_t min,
                                uint32_t max, const char *what, uint32_t *out)
{
    uint64_t value = 0;

    if (s.len == 0 || s.len > 9 || (s.len > 1 && s.at[0] == '0'))
        return bad(p, what, s);
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return bad(p, what, s);
        value = value * 10 + (uint64_t)(s.at[i] - '0');
    }
    if (value < min || value > max)
        return ak_fail(p->err, AK_EINVAL, "%s is %llu, must be %u..%u", what,
                       (unsigned long long)value, min, max);
    *out = (uint32_t)value;
    return AK_OK;
}

static enum ak_status read_float(struct parser *p, struct span s, float min,
                                 float max, const char *what, float *out)
{
    char text[MAX_TOKEN];
    char *end;

    if (s.len == 0 || s.len >= sizeof(text))
        return bad(p, what, s);
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    *out = strtof(text, &end);
    if (*end != '\0' || strspn(text, "0123456789.e+-") < s.len)
        return bad(p, what, s);
    if (!(*out >= min && *out <= max))
        return ak_fail(p->err, AK_EINVAL, "%s is %g, must be %g..%g", what,
                       (double)*out, (double)min, (double)max);
    return AK_OK;
}

static enum ak_status read_name(struct parser *p, struct span s,
                                char out[AK_NN_NAME])
{
    if (s.len == 0 || s.len >= AK_NN_NAME)
        return ak_fail(p->err, AK_EINVAL,
                       "a name of %zu characters, must be 1..%d", s.len,
                       AK_NN_NAME - 1);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || c == '.' || c == '_'))
            return bad(p, "name", s);
    }
    memcpy(out, s.at, s.len);
    out[s.len] = '\0';
    return AK_OK;
}

static enum ak_status read_layer_name(struct parser *p, struct span s,
                                      uint32_t *out)
{
    for (uint32_t i = 0; i < p->g->n_layers; i++)
        if (is(s, p->g->layers[i].name)) {
            *out = i;
            return AK_OK;
        }
    return ak_fail(p->err, AK_EINVAL, "there is no layer \"%.*s\" above",
                   shown(s), s.at);
}

/* Numbers with commas between: `least` or `most` of them. */
static enum ak_status read_uints(struct parser *p, struct span s, uint32_t min,
                                 uint32_t max, const char *what,
                                 uint32_t *values, uint32_t most, uint32_t *n)
{
    *n = 0;
    do {
        enum ak_status status;

        if (*n == most)
            return ak_fail(p->err, AK_EINVAL, "more than %u values of %s", most,
                           what);
        status = read_uint(p, cut(&s, ','), min, max, what, &values[(*n)++]);
        if (status != AK_OK)
            return status;
    } while (s.len > 0);
    return AK_OK;
}

static enum ak_status read_pad(struct parser *p, struct span s,
                               struct ak_layer *l)
{
    uint32_t n;
    enum ak_status status;

    if (is(s, "same")) {
        l->same = true;
        return AK_OK;
    }
    status = read_uints(p, s, 0, AK_NN_SIDE, "pad", l->pad, 4, &n);
    if (status == AK_OK && n == 1)
        l->pad[1] = l->pad[2] = l->pad[3] = l->pad[0];
    else if (status == AK_OK && n != 4)
        status =
            ak_fail(p->err, AK_EINVAL, "%u values of pad, must be 1 or 4", n);
    return status;
}

static enum ak_status read_kernel(struct parser *p, struct span s,
                                  struct ak_layer *l)
{
    uint32_t k[2], n;
    enum ak_status status = read_uints(p, s, 1, AK_NN_SIDE, "k", k, 2, &n);

    if (status == AK_OK) {
        l->kh = k[0];
        l->kw = k[n - 1];
    }
    return status;
}

/* "-8,0+16": eight zeros, then channels 0 to 15. */
static enum ak_status read_runs(struct parser *p, struct span s,
                                struct ak_layer *l)
{
    uint32_t cap = 1;

    for (size_t i = 0; i < s.len; i++)
        cap += s.at[i] == ',';
    if (cap > MAX_RUNS)
        return ak_fail(p->err, AK_ELIMIT, "%u runs of channels, at most %d",
                       cap, MAX_RUNS);
    l->runs = ak_array_new(cap, sizeof(*l->runs));
    if (l->runs == NULL)
        return ak_fail(p->err, AK_ENOMEM, "no memory for %u runs", cap);
    do {
        struct span piece = cut(&s, ',');
        struct ak_map_run *r = &l->runs[l->n_runs++];
        enum ak_status status;

        r->zero = piece.len > 0 && piece.at[0] == '-';
        if (r->zero) {
            piece.at++;
            piece.len--;
            status =
                read_uint(p, piece, 1, AK_NN_CHANNELS, "run of zeros", &r->n);
        } else {
            struct span first = cut(&piece, '+');

            status =
                read_uint(p, first, 0, AK_NN_CHANNELS, "channel", &r->first);
            if (status == AK_OK)
                status = read_uint(p, piece, 1, AK_NN_CHANNELS,
                                   "run of channels", &r->n);
        }
        if (status != AK_OK)
            return status;
    } while (s.len > 0);
    return AK_OK;
}

static enum ak_status read_channels(struct parser *p, struct span s, float min,
                                    float max, const char *what,
                                    struct ak_layer *l, float *out)
{
    for (uint32_t c = 0; c < l->c; c++) {
        enum ak_status status =
            read_float(p, cut(&s, ','), min, max, what, &out[c]);

        if (status != AK_OK)
            return status;
    }
    if (s.len > 0)
        return ak_fail(p->err, AK_EINVAL, "more than %u values of %s", l->c,
                       what);
    return AK_OK;
}

static const char *const key_names[AK_KEYS] = {
    [AK_KEY_OUT] = "out",       [AK_KEY_K] = "k",
    [AK_KEY_STRIDE] = "stride", [AK_KEY_PAD] = "pad",
    [AK_KEY_GROUPS] = "groups", [AK_KEY_BIAS] = "bias",
    [AK_KEY_EPS] = "eps",       [AK_KEY_MOMENTUM] = "momentum",
    [AK_KEY_SLOPE] = "slope",   [AK_KEY_P] = "p",
    [AK_KEY_FROM] = "from",     [AK_KEY_MEAN] = "mean",
    [AK_KEY_STD] = "std",
};

static enum ak_status read_value(struct parser *p, unsigned key, struct span s,
                                 struct ak_layer *l)
{
    uint32_t flag = 0;
    enum ak_status status;

    switch (key) {
    case AK_KEY_OUT:
        return read_uint(p, s, 1, AK_NN_CHANNELS, "out", &l->c);
    case AK_KEY_K:
        return read_kernel(p, s, l);
    case AK_KEY_STRIDE:
        return read_uint(p, s, 1, AK_NN_SIDE, "stride", &l->stride);
    case AK_KEY_PAD:
        return read_pad(p, s, l);
    case AK_KEY_GROUPS:
        return read_uint(p, s, 1, AK_NN_CHANNELS, "groups", &l->groups);
    case AK_KEY_BIAS:
        status = read_uint(p, s, 0, 1, "bias", &flag);
        l->bias = flag != 0;
        return status;
    case AK_KEY_EPS:
        return read_float(p, s, 1e-12f, 1.0f, "eps", &l->eps);
    case AK_KEY_MOMENTUM:
        return read_float(p, s, 0.0f, 1.0f, "momentum", &l->momentum);
    case AK_KEY_SLOPE:
        return read_float(p, s, -10.0f, 10.0f, "slope", &l->slope);
    case AK_KEY_P:
        return read_float(p, s, 0.0f, 0.95f, "p", &l->p);
    case AK_KEY_FROM:
        return read_runs(p, s, l);
    case AK_KEY_MEAN:
        return read_channels(p, s, -1e6f, 1e6f, "mean", l, l->mean);
    default:
        return read_channels(p, s, 1e-6f, 1e6f, "std", l, l->std);
    }
}

static enum ak_status read_options(struct parser *p, struct span s,
                                   struct ak_layer *l)
{
    const struct ak_layer_rule *rule = &ak_layer_rules[l->kind];
    unsigned given = 0;

    while (s.len > 0) {
        struct span piece = cut(&s, ' ');
        struct span name = cut(&piece, '=');
        unsigned key = 0;
        enum ak_status status;

        while (key < AK_KEYS && !is(name, key_names[key]))
            key++;
        if (key == AK_KEYS || (rule->keys & 1u << key) == 0)
            return ak_fail(p->err, AK_EINVAL, "%s has no option \"%.*s\"",
                           rule->name, shown(name), name.at);
        if (given & 1u << key)
            return ak_fail(p->err, AK_EINVAL, "%s is given twice",
                           key_names[key]);
        given |= 1u << key;
        status = read_value(p, key, piece, l);
        if (status != AK_OK)
            return status;
    }
    for (unsigned key = 0; key < AK_KEYS; key++)
        if (rule->required & ~given & 1u << key)
            return ak_fail(p->err, AK_EINVAL, "%s needs %s=", rule->name,
                           key_names[key]);
    if ((rule->keys & 1u << AK_KEY_K) && !(given & 1u << AK_KEY_STRIDE))
        l->stride = l->kind == AK_LAYER_CONV ? 1 : l->kh;
    return AK_OK;
}

static enum ak_status read_inputs(struct parser *p, struct span *s,
                                  struct ak_layer *l)
{
    const struct ak_layer_rule *rule = &ak_layer_rules[l->kind];
    struct span names;

    if (l->kind == AK_LAYER_INPUT) {
        static const char *const what[] = {"channels", "height", "width"};
        uint32_t *const sides[] = {&l->c, &l->h, &l->w};

        if (p->g->n_layers > 0)
            return ak_fail(p->err, AK_EINVAL, "a second input");
        for (int i = 0; i < 3; i++) {
            enum ak_status status =
                read_uint(p, cut(s, ' '), 1, AK_NN_SIDE, what[i], sides[i]);

            if (status != AK_OK)
                return status;
        }
        if (l->c > 4)
            return ak_fail(p->err, AK_EINVAL, "%u channels, must be 1..4",
                           l->c);
        return AK_OK;
    }
    names = cut(s, ' ');
    do {
        enum ak_status status;

        if (l->n_in == rule->max_in)
            return ak_fail(p->err, AK_EINVAL, "%s takes %u inputs, not more",
                           rule->name, rule->max_in);
        status = read_layer_name(p, cut(&names, ','), &l->in[l->n_in++]);
        if (status != AK_OK)
            return status;
    } while (names.len > 0);
    if (l->n_in < rule->min_in)
        return ak_fail(p->err, AK_EINVAL, "%s needs %u inputs, has %u",
                       rule->name, rule->min_in, l->n_in);
    return AK_OK;
}

static enum ak_status room_for_layer(struct parser *p)
{
    struct ak_layer *layers;
    uint32_t cap = p->cap * 2 + 64;

    if (p->g->n_layers == AK_NN_LAYERS)
        return ak_fail(p->err, AK_ELIMIT, "more than %d layers", AK_NN_LAYERS);
    if (p->g->n_layers < p->cap)
        return AK_OK;
    layers = ak_array_new(cap, sizeof(*layers));
    if (layers == NULL)
        return ak_fail(p->err, AK_ENOMEM, "no memory for %u layers", cap);
    if (p->cap > 0)
        memcpy(layers, p->g->layers, p->cap * sizeof(*layers));
    ak_array_free(p->g->layers);
    p->g->layers = layers;
    p->cap = cap;
    return AK_OK;
}

static void set_defaults(struct ak_layer *l)
{
    l->stride = l->groups = 1;
    l->eps = 1e-5f;
    l->momentum = 0.1f;
    l->slope = 0.25f;
    l->p = 0.5f;
    l->bias = l->kind == AK_LAYER_LINEAR;
    for (int c = 0; c < 4; c++)
        l->std[c] = 1.0f;
}

static enum ak_status read_layer(struct parser *p, unsigned kind, struct span s)
{
    enum ak_status status = room_for_layer(p);
    struct ak_layer *l;
    uint32_t twin;
    struct span name = cut(&s, ' ');

    if (status != AK_OK)
        return status;
    if ((kind == AK_LAYER_INPUT) != (p->g->n_layers == 0))
        return ak_fail(p->err, AK_EINVAL, "%s, must be the input first",
                       ak_layer_rules[kind].name);
    /* Not counted until it is whole, but its runs are freed with the graph. */
    l = &p->g->layers[p->g->n_layers];
    l->kind = (enum ak_layer_kind)kind;
    set_defaults(l);
    status = read_name(p, name, l->name);
    if (status != AK_OK)
        return status;
    twin = ak_graph_find(p->g, l->name);
    if (twin != UINT32_MAX)
        return ak_fail(p->err, AK_EINVAL, "a second layer \"%s\"", l->name);
    status = read_inputs(p, &s, l);
    p->g->n_layers++;
    if (status == AK_OK)
        status = read_options(p, s, l);
    if (status == AK_OK)
        status = ak_layer_rules[kind].shape(p->g, l, p->err);
    return status;
}

static enum ak_status read_line(struct parser *p, struct span line)
{
    struct span word = cut(&line, ' ');
    bool *done = is(word, "feature")  ? &p->feature
                 : is(word, "output") ? &p->output
                                      : NULL;

    if (done != NULL) {
        if (*done)
            return ak_fail(p->err, AK_EINVAL, "a second %.*s", (int)word.len,
                           word.at);
        *done = true;
        return read_layer_name(
            p, line, done == &p->feature ? &p->g->feature : &p->g->output);
    }
    for (unsigned kind = 0; kind < AK_LAYER_KINDS; kind++)
        if (is(word, ak_layer_rules[kind].name))
            return read_layer(p, kind, line);
    return bad(p, "kind of layer", word);
}

static enum ak_status read_all(struct parser *p)
{
    enum ak_status status = AK_OK;

    p->line = 1;
    if (!is(cut(&p->left, '\n'), TITLE))
        return ak_fail(p->err, AK_EINVAL, "must be \"%s\"", TITLE);
    while (status == AK_OK && p->left.len > 0) {
        p->line++;
        status = read_line(p, cut(&p->left, '\n'));
    }
    if (status == AK_OK && p->g->n_layers == 0)
        status = ak_fail(p->err, AK_EINVAL, "ends without an input");
    if (status == AK_OK && !(p->feature && p->output))
        status = ak_fail(p->err, AK_EINVAL, "ends without %s",
                         p->feature ? "output" : "feature");
    return status;
}

enum ak_status ak_graph_parse(const char *text, size_t len,
                              struct ak_graph **out, struct ak_err *err)
{
    struct parser p = {.left = {text, len}, .err = err};
    enum ak_status status;

    if (len > AK_NN_TEXT)
        return ak_fail(err, AK_ELIMIT, "a graph of %zu bytes, at most %u", len,
                       AK_NN_TEXT);
    p.g = ak_array_new(1, sizeof(*p.g));
    if (p.g == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a graph");
    status = read_all(&p);
    if (status != AK_OK)
        ak_err_context(err, "line %u of the graph", p.line);
    else
        status = ak_graph_finish(p.g, err);
    if (status != AK_OK) {
        ak_graph_destroy(p.g);
        return status;
    }
    *out = p.g;
    return AK_OK;
}

/* ---- writing ------------------------------------------------------------ */

AK_PRINTF(2, 3)
static void put(struct ak_writer *w, const char *fmt, ...)
{
    char text[AK_NN_NAME * 2];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    ak_write_bytes(w, text, (size_t)n);
}

/* In as few digits as give the same float back. */
static void put_float(struct ak_writer *w, float value)
{
    char text[MAX_TOKEN];
    int digits = 1;

    do
        snprintf(text, sizeof(text), "%.*g", digits, (double)value);
    while (strtof(text, NULL) != value && digits++ < 9);
    put(w, "%s", text);
}

static void put_pad(struct ak_writer *w, const struct ak_layer *l)
{
    const uint32_t *p = l->pad;

    if (l->same)
        put(w, " pad=same");
    else if (p[0] == p[1] && p[0] == p[2] && p[0] == p[3])
        put(w, " pad=%u", p[0]);
    else
        put(w, " pad=%u,%u,%u,%u", p[0], p[1], p[2], p[3]);
}

static void put_channels(struct ak_writer *w, const char *name,
                         const struct ak_layer *l, const float *values)
{
    for (uint32_t c = 0; c < l->c; c++) {
        if (c == 0)
            put(w, " %s=", name);
        else
            put(w, ",");
        put_float(w, values[c]);
    }
}

static void put_runs(struct ak_writer *w, const struct ak_layer *l)
{
    for (uint32_t i = 0; i < l->n_runs; i++) {
        const struct ak_map_run *r = &l->runs[i];

        put(w, "%s", i == 0 ? " from=" : ",");
        if (r->zero)
            put(w, "-%u", r->n);
        else
            put(w, "%u+%u", r->first, r->n);
    }
}

static void put_real(struct ak_writer *w, unsigned keys, unsigned key,
                     float value)
{
    if ((keys & 1u << key) == 0)
        return;
    put(w, " %s=", key_names[key]);
    put_float(w, value);
}

static void put_options(struct ak_writer *w, const struct ak_layer *l)
{
    unsigned keys = ak_layer_rules[l->kind].keys;

    if (keys & 1u << AK_KEY_OUT)
        put(w, " out=%u", l->c);
    if (keys & 1u << AK_KEY_K && l->kh == l->kw)
        put(w, " k=%u", l->kh);
    else if (keys & 1u << AK_KEY_K)
        put(w, " k=%u,%u", l->kh, l->kw);
    if (keys & 1u << AK_KEY_STRIDE)
        put(w, " stride=%u", l->stride);
    if (keys & 1u << AK_KEY_PAD)
        put_pad(w, l);
    if (keys & 1u << AK_KEY_GROUPS)
        put(w, " groups=%u", l->groups);
    if (keys & 1u << AK_KEY_BIAS)
        put(w, " bias=%d", l->bias);
    put_real(w, keys, AK_KEY_EPS, l->eps);
    put_real(w, keys, AK_KEY_MOMENTUM, l->momentum);
    put_real(w, keys, AK_KEY_SLOPE, l->slope);
    put_real(w, keys, AK_KEY_P, l->p);
    put_runs(w, l);
    if (keys & 1u << AK_KEY_MEAN) {
        put_channels(w, "mean", l, l->mean);
        put_channels(w, "std", l, l->std);
    }
}

enum ak_status ak_graph_write(const struct ak_graph *g, char **out, size_t *len,
                              struct ak_err *err)
{
    struct ak_writer w = {0};

    put(&w, "%s\n", TITLE);
    for (uint32_t i = 0; i < g->n_layers; i++) {
        const struct ak_layer *l = &g->layers[i];

        put(&w, "%s %s", ak_layer_rules[l->kind].name, l->name);
        if (l->kind == AK_LAYER_INPUT)
            put(&w, " %u %u %u", l->c, l->h, l->w);
        for (uint32_t k = 0; k < l->n_in; k++)
            put(&w, "%s%s", k == 0 ? " " : ",", g->layers[l->in[k]].name);
        put_options(&w, l);
        put(&w, "\n");
    }
    put(&w, "feature %s\n", g->layers[g->feature].name);
    put(&w, "output %s\n", g->layers[g->output].name);
    *len = w.len;
    ak_write_u8(&w, 0);
    if (w.status != AK_OK) {
        ak_writer_clear(&w);
        return ak_fail(err, AK_ENOMEM, "no memory for the text of a graph");
    }
    *out = (char *)w.data;
    return AK_OK;
}
