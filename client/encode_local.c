#include "config.h"

#include "client/encode_local.h"

#include <stdlib.h>

#include "client/extractor.h"
#include "client/tool.h"
#include "core/base/mem.h"
#include "core/extract/network.h"
#include "core/hash/hcdh_head.h"
#include "core/image/decode.h"

/* The two halves of a network, and room for one image. */
struct coder {
    struct ak_extractor *extractor;
    struct ak_encoder *head;
    float *feature;
    void *scratch;
};

static void coder_clear(struct coder *c)
{
    ak_extractor_unref(c->extractor);
    ak_ref_drop((struct ak_ref *)c->head);
    ak_array_free(c->feature);
    ak_array_free(c->scratch);
}

static int coder_open(const char *path, struct coder *c, size_t *width)
{
    struct ak_encoder_info info;
    struct ak_model model = {0};
    struct ak_err err = {0};
    int code = extractor_open(path, &model);

    if (code == EXIT_OK && (ak_hcdh_head_of(&model, &c->head, &err) != AK_OK ||
                            ak_network_create("local", &model, NULL, 1,
                                              &c->extractor, &err) != AK_OK))
        code = tool_usage("%s: %s", path, err.text);
    ak_model_clear(&model);
    if (code != EXIT_OK)
        return code;
    ak_encoder_info(c->head, &info);
    *width = info.bits / 8;
    c->feature = ak_array_new(info.dim, sizeof(*c->feature));
    c->scratch = ak_array_new(1, ak_encoder_scratch(c->head));
    return c->feature != NULL && c->scratch != NULL ? EXIT_OK
                                                    : tool_no_memory();
}

static int encode_file(struct coder *c, const char *path, uint8_t *out)
{
    struct ak_image image = {0};
    struct ak_err err = {0};
    void *bytes = NULL;
    size_t len = 0;
    int code = tool_read_file(path, &bytes, &len);

    if (code == EXIT_OK &&
        (ak_image_decode(bytes, len, NULL, c->extractor->width,
                         c->extractor->height, &image, &err) != AK_OK ||
         ak_extractor_extract(c->extractor, &image, c->feature, &err) != AK_OK))
        code = tool_usage("%s: %s", path, err.text);
    if (code == EXIT_OK)
        ak_encoder_encode(c->head, c->feature, 1, out, c->scratch);
    ak_image_clear(&image);
    free(bytes);
    return code;
}

int encode_local(const char *model, const struct text_list *images,
                 uint8_t **codes, size_t *n, size_t *width)
{
    struct coder c = {0};
    uint8_t *all = NULL;
    int code = coder_open(model, &c, width);

    if (code == EXIT_OK) {
        all = calloc(images->n, *width);
        code = all != NULL ? EXIT_OK : tool_no_memory();
    }
    for (size_t i = 0; i < images->n && code == EXIT_OK; i++)
        code = encode_file(&c, images->items[i], all + i * *width);
    coder_clear(&c);
    if (code != EXIT_OK) {
        free(all);
        return code;
    }
    *codes = all;
    *n = images->n;
    return EXIT_OK;
}
