#include "core/nn/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/mem.h"

static const char magic[8] = {'A', 'K', 'I', 'N', 'N', 'E', 'T', '\n'};

enum ak_status ak_model_write(const struct ak_model *m, struct ak_writer *w,
                              struct ak_err *err)
{
    size_t from = w->len, len, notes = m->notes ? strlen(m->notes) : 0;
    char *text;
    enum ak_status status;

    if (notes > AK_MODEL_NOTES)
        return ak_fail(err, AK_EINVAL, "notes of %zu bytes, at most %d", notes,
                       AK_MODEL_NOTES);
    status = ak_graph_write(m->g, &text, &len, err);
    if (status != AK_OK)
        return status;
    ak_write_bytes(w, magic, sizeof(magic));
    ak_write_u32(w, AK_MODEL_VERSION);
    ak_write_u32(w, (uint32_t)notes);
    ak_write_bytes(w, m->notes, notes);
    ak_write_u32(w, (uint32_t)len);
    ak_write_bytes(w, text, len);
    free(text);
    for (uint32_t i = 0; i < m->g->n_params; i++)
        ak_write_f32s(w, m->values + m->g->params[i].offset, m->g->params[i].n);
    if (w->status == AK_OK)
        ak_write_u32(w, ak_crc32(w->data + from, w->len - from));
    return w->status == AK_OK
               ? AK_OK
               : ak_fail(err, w->status, "no memory for a model file");
}

static enum ak_status read_notes(struct ak_reader *r, struct ak_model *m,
                                 struct ak_err *err)
{
    uint32_t n = ak_read_u32(r);
    const uint8_t *text = n > AK_MODEL_NOTES ? NULL : ak_read_span(r, n);

    if (text == NULL || memchr(text, 0, n) != NULL)
        return ak_fail(err, AK_ECORRUPT,
                       "notes of %u bytes, must be 0..%d of the file's, "
                       "without zeros",
                       n, AK_MODEL_NOTES);
    m->notes = malloc((size_t)n + 1);
    if (m->notes == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for notes");
    memcpy(m->notes, text, n);
    m->notes[n] = '\0';
    return AK_OK;
}

static enum ak_status read_graph(struct ak_reader *r, struct ak_model *m,
                                 struct ak_err *err)
{
    uint32_t n = ak_read_u32(r);
    const uint8_t *text = ak_read_span(r, n);

    if (text == NULL)
        return ak_fail(err, AK_ECORRUPT, "a graph of %u bytes, ends before", n);
    return ak_graph_parse((const char *)text, n, &m->g, err);
}

static enum ak_status read_values(struct ak_reader *r, struct ak_model *m,
                                  struct ak_err *err)
{
    const struct ak_graph *g = m->g;
    size_t count = 0;

    for (uint32_t i = 0; i < g->n_params; i++)
        count += g->params[i].n;
    if (ak_reader_left(r) != count * sizeof(float))
        return ak_fail(err, AK_ECORRUPT,
                       "%zu bytes of values, the graph has %zu",
                       ak_reader_left(r), count * sizeof(float));
    m->values = ak_array_new(g->n_values, sizeof(*m->values));
    if (m->values == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu values", count);
    for (uint32_t i = 0; i < g->n_params; i++) {
        const struct ak_param *p = &g->params[i];
        float *values = m->values + p->offset;

        ak_read_f32s(r, values, p->n);
        for (size_t k = 0; k < p->n; k++)
            if (!isfinite(values[k]) ||
                (p->role == AK_PARAM_VAR && values[k] < 0)) {
                char name[AK_PARAM_TEXT];

                ak_param_name(g, p, name);
                return ak_fail(err, AK_ECORRUPT, "%s: value %zu is %g", name, k,
                               (double)values[k]);
            }
    }
    return AK_OK;
}

static enum ak_status read_head(struct ak_reader *r, const uint8_t *bytes,
                                size_t len, struct ak_err *err)
{
    const uint8_t *head;
    uint32_t version, crc;

    ak_reader_init(r, bytes, len);
    head = ak_read_span(r, sizeof(magic));
    if (head == NULL || memcmp(head, magic, sizeof(magic)) != 0)
        return ak_fail(err, AK_EINVAL, "not a model file of akin");
    version = ak_read_u32(r);
    if (r->status != AK_OK || ak_reader_left(r) < 4)
        return ak_fail(err, AK_ECORRUPT, "ends after %zu bytes", len);
    if (version != AK_MODEL_VERSION)
        return ak_fail(err, AK_EUNSUPPORTED,
                       "a model file of version %u, must be %d", version,
                       AK_MODEL_VERSION);
    memcpy(&crc, bytes + len - 4, sizeof(crc));
    if (crc != ak_crc32(bytes, len - 4))
        return ak_fail(err, AK_ECORRUPT,
                       "the checksum is %08x, of the content %08x", crc,
                       ak_crc32(bytes, len - 4));
    r->end -= 4;
    return AK_OK;
}

enum ak_status ak_model_read(const void *bytes, size_t len,
                             struct ak_model *out, struct ak_err *err)
{
    struct ak_model m = {0};
    struct ak_reader r;
    enum ak_status status = read_head(&r, bytes, len, err);

    if (status == AK_OK)
        status = read_notes(&r, &m, err);
    if (status == AK_OK)
        status = read_graph(&r, &m, err);
    if (status == AK_OK)
        status = read_values(&r, &m, err);
    if (status != AK_OK) {
        ak_model_clear(&m);
        return status;
    }
    *out = m;
    return AK_OK;
}

void ak_model_clear(struct ak_model *m)
{
    ak_graph_destroy(m->g);
    ak_array_free(m->values);
    free(m->notes);
    memset(m, 0, sizeof(*m));
}
