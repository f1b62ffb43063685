/*
 * head.c -- the classifier of a network, made for other classes.
 *
 * The graph is immutable, so its text is written with another line for the
 * output, and read again.
 */
#include "core/nn/head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/nn/weights.h"

#define HEAD "classes" /* of a layer that is put there */

/* Whether the output is a classifier: linear, and nobody's input. */
static bool has_head(const struct ak_graph *g)
{
    if (g->output == g->feature || g->layers[g->output].kind != AK_LAYER_LINEAR)
        return false;
    for (uint32_t i = g->output + 1; i < g->n_layers; i++)
        for (uint32_t k = 0; k < g->layers[i].n_in; k++)
            if (g->layers[i].in[k] == g->output)
                return false;
    return true;
}

/* A name that no layer has. */
static void free_name(const struct ak_graph *g, char name[AK_NN_NAME])
{
    strcpy(name, HEAD);
    for (unsigned i = 2; ak_graph_find(g, name) != UINT32_MAX; i++)
        snprintf(name, AK_NN_NAME, HEAD "%u", i);
}

static void put(struct ak_writer *w, const char *text, size_t len)
{
    ak_write_bytes(w, text, len);
}

/* "linear NAME INPUT out=N bias=B" */
static void put_head(struct ak_writer *w, const char *name, const char *input,
                     uint32_t n, bool bias)
{
    char line[2 * AK_NN_NAME + 64];
    int len = snprintf(line, sizeof(line), "linear %s %s out=%u bias=%d\n",
                       name, input, n, bias);

    put(w, line, (size_t)len);
}

/* The text of `g` with such a head: it has a line a layer behind its title, then
   those of feature and output. */
static void write_text(struct ak_writer *w, const struct ak_graph *g,
                       const char *text, uint32_t n)
{
    bool replace = has_head(g);
    const struct ak_layer *old = &g->layers[g->output];
    char name[AK_NN_NAME];
    const char *line = text, *end = strchr(text, '\n') + 1;

    if (replace)
        strcpy(name, old->name);
    else
        free_name(g, name);
    put(w, line, (size_t)(end - line));
    for (uint32_t i = 0; i < g->n_layers; i++) {
        line = end;
        end = strchr(line, '\n') + 1;
        if (replace && i == g->output)
            put_head(w, name, g->layers[old->in[0]].name, n, old->bias);
        else
            put(w, line, (size_t)(end - line));
    }
    if (!replace)
        put_head(w, name, g->layers[g->feature].name, n, true);
    line = end;
    end = strchr(line, '\n') + 1;
    put(w, line, (size_t)(end - line)); /* feature */
    put(w, "output ", 7);
    put(w, name, strlen(name));
    put(w, "\n", 1);
}

static enum ak_status make_graph(const struct ak_graph *g, uint32_t n,
                                 struct ak_graph **out, struct ak_err *err)
{
    struct ak_writer w = {0};
    char *text = NULL;
    size_t len;
    enum ak_status status = ak_graph_write(g, &text, &len, err);

    if (status != AK_OK)
        return status;
    write_text(&w, g, text, n);
    free(text);
    status = w.status != AK_OK
                 ? ak_fail(err, w.status, "no memory for a graph")
                 : ak_graph_parse((const char *)w.data, w.len, out, err);
    ak_writer_clear(&w);
    return status;
}

/* Rows of the head, which has the same number of inputs as before. */
static void take_rows(const struct ak_param *p, float *values,
                      const struct ak_param *was, const float *before,
                      const uint32_t *from)
{
    size_t row = p->n / p->dims[0];

    for (uint32_t i = 0; i < p->dims[0]; i++)
        if (from[i] < was->dims[0])
            memcpy(values + p->offset + i * row,
                   before + was->offset + from[i] * row, row * sizeof(*values));
}

static void take_values(const struct ak_graph *g, float *values,
                        const struct ak_model *m, const uint32_t *from)
{
    bool replaced = has_head(m->g);

    for (uint32_t i = 0; i < g->n_params; i++) {
        const struct ak_param *p = &g->params[i];
        uint32_t layer = ak_graph_find(m->g, g->layers[p->layer].name);
        const struct ak_param *was;

        if (layer == UINT32_MAX)
            continue; /* the head that was put there */
        was = ak_graph_param(m->g, layer, p->role);
        if (replaced && layer == m->g->output)
            take_rows(p, values, was, m->values, from);
        else
            memcpy(values + p->offset, m->values + was->offset,
                   p->n * sizeof(*values));
    }
}

enum ak_status ak_model_set_classes(struct ak_model *m, uint32_t n,
                                    const uint32_t *from, uint64_t seed,
                                    struct ak_err *err)
{
    struct ak_graph *g = NULL;
    enum ak_status status = make_graph(m->g, n, &g, err);
    float *values;

    if (status != AK_OK) {
        ak_err_context(err, "a head of %u classes", n);
        return status;
    }
    values = ak_array_new(g->n_values, sizeof(*values));
    if (values == NULL) {
        ak_graph_destroy(g);
        return ak_fail(err, AK_ENOMEM, "no memory for a network");
    }
    ak_weights_init(g, seed, values);
    take_values(g, values, m, from);
    ak_graph_destroy(m->g);
    ak_array_free(m->values);
    m->g = g;
    m->values = values;
    return AK_OK;
}
