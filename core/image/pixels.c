#include "core/image/pixels.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/image/resize.h"

static const char prefix[] = "pixels-";

struct pixels {
    struct ak_extractor base;
    struct ak_pixels_spec spec;
};

_Static_assert(offsetof(struct pixels, base) == 0,
               "the casts below rely on it");

/* A decimal number of 1 to 4 digits without leading zero; 0 if there is none. */
static uint32_t number(const char **at)
{
    const char *p = *at;
    uint32_t value = 0;

    if (*p < '1' || *p > '9')
        return 0;
    for (; *p >= '0' && *p <= '9' && p - *at < 5; p++)
        value = value * 10 + (uint32_t)(*p - '0');
    *at = p;
    return value;
}

bool ak_pixels_is_name(const char *name)
{
    return strncmp(name, prefix, sizeof(prefix) - 1) == 0;
}

enum ak_status ak_pixels_parse(const char *name, struct ak_pixels_spec *out,
                               struct ak_err *err)
{
    const char *at = name + sizeof(prefix) - 1;
    struct ak_pixels_spec spec = {0};

    if (!ak_pixels_is_name(name))
        return ak_fail(err, AK_ENOTFOUND, "extractor \"%.63s\" is not known",
                       name);
    spec.width = number(&at);
    if (spec.width != 0 && *at++ == 'x') {
        spec.height = number(&at);
        if (spec.height != 0 && *at++ == 'x')
            spec.channels = number(&at);
    }
    if (spec.channels == 0 || *at != '\0')
        return ak_fail(err, AK_EINVAL,
                       "extractor is \"%.63s\", must be pixels-WxHxC such as "
                       "pixels-28x28x1",
                       name);
    if (spec.width > AK_PIXELS_SIDE_MAX || spec.height > AK_PIXELS_SIDE_MAX)
        return ak_fail(err, AK_EINVAL,
                       "extractor %.63s: sides are %u x %u, must be 1..%d",
                       name, spec.width, spec.height, AK_PIXELS_SIDE_MAX);
    if (spec.channels != 1 && spec.channels != 3)
        return ak_fail(err, AK_EINVAL,
                       "extractor %.63s: channels is %u, must be 1 or 3", name,
                       spec.channels);
    if (ak_pixels_dim(&spec) > AK_PIXELS_DIM_MAX)
        return ak_fail(err, AK_EINVAL,
                       "extractor %.63s: dimension is %u, must be at most %d",
                       name, ak_pixels_dim(&spec), AK_PIXELS_DIM_MAX);
    *out = spec;
    return AK_OK;
}

enum ak_status ak_pixels_of_image(const struct ak_pixels_spec *spec,
                                  const struct ak_image *image, float *out,
                                  struct ak_err *err)
{
    struct ak_image small = {0};
    enum ak_status status;

    status = ak_image_resize(image, spec->width, spec->height, &small, err);
    if (status != AK_OK)
        return status;
    if (spec->channels == 1)
        ak_image_make_grey(&small);
    else
        status = ak_image_make_rgb(&small, err);
    if (status == AK_OK)
        for (size_t i = 0; i < ak_image_len(&small); i++)
            out[i] = (float)small.pixels[i] / 255.0f;
    ak_image_clear(&small);
    return status;
}

enum ak_status ak_pixels_extract(const struct ak_pixels_spec *spec,
                                 const void *bytes, size_t len,
                                 const struct ak_image_limits *limits,
                                 float *out, struct ak_err *err)
{
    struct ak_image image = {0};
    enum ak_status status;

    status = ak_image_decode(bytes, len, limits, spec->width, spec->height,
                             &image, err);
    if (status != AK_OK)
        return status;
    status = ak_pixels_of_image(spec, &image, out, err);
    ak_image_clear(&image);
    return status;
}

static enum ak_status pixels_extract(const struct ak_extractor *e,
                                     const struct ak_image *image, float *out,
                                     struct ak_err *err)
{
    const struct pixels *p = (const struct pixels *)e;

    return ak_pixels_of_image(&p->spec, image, out, err);
}

static void pixels_destroy(struct ak_ref *ref)
{
    ak_array_free(ref);
}

static const struct ak_extractor_ops pixels_ops = {
    .kind = "pixels",
    .source = "",
    .help =
        "pixels-WxHxC: the image at W x H, grey (C=1) or RGB (C=3), in 0..1",
    .extract = pixels_extract,
};

enum ak_status ak_pixels_create(const char *name, struct ak_extractor **out,
                                struct ak_err *err)
{
    struct ak_pixels_spec spec;
    struct pixels *p;
    enum ak_status status;

    status = ak_pixels_parse(name, &spec, err);
    if (status != AK_OK)
        return status;
    p = ak_array_new(1, sizeof(*p));
    if (p == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for an extractor");
    ak_ref_init(&p->base.ref, pixels_destroy);
    p->base.ops = &pixels_ops;
    p->base.dim = ak_pixels_dim(&spec);
    p->base.width = spec.width;
    p->base.height = spec.height;
    snprintf(p->base.name, sizeof(p->base.name), "%s", name);
    p->spec = spec;
    *out = &p->base;
    return AK_OK;
}
