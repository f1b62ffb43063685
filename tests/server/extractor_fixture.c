#include "tests/server/extractor_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/nn/model.h"
#include "core/nn/weights.h"

static const char text[] =
    "akin-net 1\n"
    "input image 3 12 12 mean=0.5,0.4,0.3 std=0.2,0.2,0.2\n"
    "conv conv1 image out=8 k=3 pad=1\n"
    "bn bn1 conv1\n"
    "relu relu1 bn1\n"
    "gap pool relu1\n"
    "linear linear pool out=4\n"
    "feature pool\n"
    "output linear\n";

struct ak_writer model_bytes(uint64_t seed)
{
    char notes[64];
    struct ak_model m = {.notes = notes};
    struct ak_writer w = {0};

    snprintf(notes, sizeof(notes), "arch: tiny\nseed: %llu\n",
             (unsigned long long)seed);
    assert_status(ak_graph_parse(text, strlen(text), &m.g, NULL), AK_OK);
    m.values = ak_array_new(m.g->n_values, sizeof(*m.values));
    ak_weights_init(m.g, seed, m.values);
    assert_status(ak_model_write(&m, &w, NULL), AK_OK);
    m.notes = NULL;
    ak_model_clear(&m);
    return w;
}

void file_of(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

void model_file(struct ak_engine *e, uint64_t seed,
                char path[AK_EXTRACTORS_PATH])
{
    struct ak_writer w = model_bytes(seed);

    assert_status(ak_extractors_room(ak_engine_extractors(e), path, NULL),
                  AK_OK);
    file_of(path, w.data, w.len);
    ak_writer_clear(&w);
}

struct put_box {
    struct box box; /* first */
    uint32_t version;
};

static void was_put(void *arg, enum ak_status status, uint32_t version,
                    const struct ak_err *err)
{
    struct put_box *b = arg;

    pthread_mutex_lock(&b->box.lock);
    b->box.status = status;
    b->version = version;
    snprintf(b->box.text, sizeof(b->box.text), "%s", err->text);
    box_put(&b->box);
}

static void was_removed(void *arg, enum ak_status status,
                        const struct ak_err *err)
{
    was_put(arg, status, 0, err);
}

static enum ak_status outcome(struct put_box *b, uint32_t *version,
                              struct ak_err *err)
{
    box_wait(&b->box);
    if (version != NULL)
        *version = b->version;
    if (b->box.status != AK_OK)
        return ak_fail(err, b->box.status, "%s", b->box.text);
    return AK_OK;
}

enum ak_status put_file(struct ak_engine *e, const char *name, const char *path,
                        uint64_t job, uint32_t *version, struct ak_err *err)
{
    struct put_box b;

    box_init(&b.box);
    ak_extractors_put(ak_engine_extractors(e), name, path, job, was_put, &b);
    return outcome(&b, version, err);
}

uint32_t put_model(struct ak_engine *e, const char *name, uint64_t seed)
{
    char path[AK_EXTRACTORS_PATH];
    struct ak_err err = {0};
    uint32_t version = 0;

    model_file(e, seed, path);
    if (put_file(e, name, path, 0, &version, &err) != AK_OK)
        fail_msg("%s", err.text);
    return version;
}

enum ak_status remove_extractor(struct ak_engine *e, const char *name,
                                struct ak_err *err)
{
    struct put_box b;

    box_init(&b.box);
    ak_extractors_remove(ak_engine_extractors(e), name, was_removed, &b);
    return outcome(&b, NULL, err);
}
