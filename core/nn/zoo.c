/*
 * zoo.c -- architectures as rows: stages of blocks, and blocks as texts.
 *
 * A block is lines of a graph (graph.h) with places to fill in:
 *
 *     $p  the prefix of its names      $i  the layer that it begins at
 *     $w  channels of its output       $c  channels of $i
 *     $s  stride                       $x  channels inside: times * $c
 *     $q  (w - c) / 2                  $k  classes
 *
 * Its last line is where the next block begins.  Another depth of a family is
 * a row with other repeats; another family is a block or two and its row.
 *
 * Sources:
 *   He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition",
 *     CVPR 2016, arXiv 1512.03385 (resnet; the CIFAR ones with shortcuts
 *     without parameters, "option A").  Names as in akamaster's
 *     pytorch_resnet_cifar10 and in torchvision.
 *   Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale
 *     Image Recognition", ICLR 2015, arXiv 1409.1556 (vgg16; the form for
 *     32x32 images that the pruning papers use).
 *   Liu et al., "Bi-Real Net", ECCV 2018, arXiv 1808.00278 (a skip around
 *     every convolution); vgg_small as the binarization papers have it.
 *   Howard et al., "MobileNets", 2017, arXiv 1704.04861, and Sandler et al.,
 *     "MobileNetV2", CVPR 2018, arXiv 1801.04381, with TensorFlow's padding
 *     and its 1,001 classes, of which the first is the background.
 */
#include "core/nn/zoo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/blob.h"

#define MAX_STAGES 24
#define BN_TF      " eps=0.001 momentum=0.01\n"

/* ---- blocks ------------------------------------------------------------- */

static const char conv_bn_relu[] = "conv $pconv $i out=$w k=3 pad=1\n"
                                   "bn $pbn $pconv\n"
                                   "relu $prelu $pbn\n";

/* The VGG of HRank and ABCPruner: its convolutions have biases. */
static const char vgg_conv[] = "conv $pconv $i out=$w k=3 pad=1 bias=1\n"
                               "bn $pbn $pconv\n"
                               "relu $prelu $pbn\n";

static const char resnet_stem[] = "conv conv1 $i out=$w k=3 pad=1\n"
                                  "bn bn1 conv1\n"
                                  "relu relu1 bn1\n";

#define BASIC_BODY                                 \
    "conv $pconv1 $i out=$w k=3 stride=$s pad=1\n" \
    "bn $pbn1 $pconv1\n"                           \
    "relu $prelu1 $pbn1\n"                         \
    "conv $pconv2 $prelu1 out=$w k=3 pad=1\n"      \
    "bn $pbn2 $pconv2\n"

static const char basic[] = BASIC_BODY "add $psum $pbn2,$i\n"
                                       "relu $pout $psum\n";

/* Option A: every other pixel, and zeros for the channels that are new. */
static const char basic_map[] =
    BASIC_BODY "map $pshortcut $i stride=$s from=-$q,0+$c,-$q\n"
               "add $psum $pbn2,$pshortcut\n"
               "relu $pout $psum\n";

/* Option B: a convolution of 1x1. */
static const char basic_conv[] =
    BASIC_BODY "conv $pdownsample.0 $i out=$w k=1 stride=$s\n"
               "bn $pdownsample.1 $pdownsample.0\n"
               "add $psum $pbn2,$pdownsample.1\n"
               "relu $pout $psum\n";

#define BIREAL_BODY(act)                         \
    act " $pact1 $psum1\n"                       \
        "conv $pconv2 $pact1 out=$w k=3 pad=1\n" \
        "bn $pbn2 $pconv2\n"                     \
        "add $psum2 $pbn2,$pact1\n" act " $pout $psum2\n"

#define BIREAL_HEAD                                \
    "conv $pconv1 $i out=$w k=3 stride=$s pad=1\n" \
    "bn $pbn1 $pconv1\n"

#define BIREAL(act) BIREAL_HEAD "add $psum1 $pbn1,$i\n" BIREAL_BODY(act)

#define BIREAL_MAP(act)                                           \
    BIREAL_HEAD "map $pshortcut $i stride=$s from=-$q,0+$c,-$q\n" \
                "add $psum1 $pbn1,$pshortcut\n" BIREAL_BODY(act)

static const char bireal_prelu[] = BIREAL("prelu");
static const char bireal_prelu_map[] = BIREAL_MAP("prelu");
static const char bireal_hardtanh[] = BIREAL("hardtanh");
static const char bireal_hardtanh_map[] = BIREAL_MAP("hardtanh");

static const char resnet_head[] = "gap pool $i\n"
                                  "linear linear pool out=$k\n"
                                  "feature pool\n"
                                  "output linear\n";

static const char bireal_head[] = "gap pool $i\n"
                                  "bn bn2 pool\n"
                                  "linear linear bn2 out=$k\n"
                                  "feature bn2\n"
                                  "output linear\n";

static const char maxpool2[] = "maxpool $ppool $i k=2\n";

static const char vgg_head[] = "gap pool $i\n"
                               "linear linear pool out=$k\n"
                               "feature pool\n"
                               "output linear\n";

static const char vgg_head_512[] = "gap pool $i\n"
                                   "linear linear1 pool out=512\n"
                                   "relu relu1 linear1\n"
                                   "linear linear2 relu1 out=$k\n"
                                   "feature relu1\n"
                                   "output linear2\n";

/* Convolution, pool, normalisation, in this order. */
static const char small_conv[] = "conv $pconv $i out=$w k=3 pad=1\n"
                                 "bn $pbn $pconv\n"
                                 "hardtanh $pact $pbn\n";
static const char small_conv_pool[] = "conv $pconv $i out=$w k=3 pad=1\n"
                                      "maxpool $ppool $pconv k=2\n"
                                      "bn $pbn $ppool\n"
                                      "hardtanh $pact $pbn\n";
static const char small_head[] = "linear linear $i out=$k\n"
                                 "feature $i\n"
                                 "output linear\n";

static const char resnet_stem_224[] =
    "conv conv1 $i out=$w k=7 stride=2 pad=3\n"
    "bn bn1 conv1\n"
    "relu relu1 bn1\n"
    "maxpool maxpool relu1 k=3 stride=2 pad=1\n";
static const char resnet_head_fc[] = "gap avgpool $i\n"
                                     "linear fc avgpool out=$k\n"
                                     "feature avgpool\n"
                                     "output fc\n";

static const char mobile_stem[] = "conv conv1 $i out=$w k=3 stride=2 pad=same\n"
                                  "bn bn1 conv1" BN_TF "relu6 relu1 bn1\n";

#define DEPTHWISE(in, channels)                     \
    "conv $pdw " in " out=" channels                \
    " k=3 stride=$s pad=same groups=" channels "\n" \
    "bn $pbn_dw $pdw" BN_TF "relu6 $prelu_dw $pbn_dw\n"

static const char separable[] =
    DEPTHWISE("$i", "$c") "conv $ppw $prelu_dw out=$w k=1\n"
                          "bn $pbn_pw $ppw" BN_TF "relu6 $prelu_pw $pbn_pw\n";

#define EXPAND                      \
    "conv $pexpand $i out=$x k=1\n" \
    "bn $pbn_expand $pexpand" BN_TF "relu6 $prelu_expand $pbn_expand\n"

#define PROJECT                             \
    "conv $pproject $prelu_dw out=$w k=1\n" \
    "bn $pbn_project $pproject" BN_TF

static const char inverted_first[] = DEPTHWISE("$i", "$c") PROJECT;
static const char inverted_down[] =
    EXPAND DEPTHWISE("$prelu_expand", "$x") PROJECT;
static const char inverted[] = EXPAND DEPTHWISE("$prelu_expand", "$x") PROJECT
    "add $psum $pbn_project,$i\n";

static const char mobile_last[] =
    "conv conv_last $i out=$w k=1\n"
    "bn bn_last conv_last" BN_TF "relu6 relu_last bn_last\n";

/* ---- architectures ------------------------------------------------------ */

struct stage {
    const char *first, *rest; /* blocks; rest NULL: as the first */
    const char *prefix;       /* of names; '#' is the number of the block */
    uint32_t repeat;
    uint32_t width;  /* 0: as it comes in */
    uint32_t stride; /* of the first block */
    uint32_t times;  /* of $x */
};

struct row {
    struct ak_arch about;
    uint32_t side;
    uint32_t classes;
    uint32_t percent;                /* of the widths in the stages */
    const char *norm;                /* mean and std of the input */
    struct stage stages[MAX_STAGES]; /* ended by a NULL block */
};

#define IMAGENET_NORM "mean=0.485,0.456,0.406 std=0.229,0.224,0.225"
#define CIFAR_NORM    "mean=0.4914,0.4822,0.4465 std=0.2023,0.1994,0.201"
#define HALF_NORM     "mean=0.5,0.5,0.5 std=0.5,0.5,0.5"

#define RESNET "He et al., CVPR 2016"

#define CIFAR_RESNET(depth, n)                                               \
    {                                                                        \
        {"resnet" #depth, RESNET, "ResNet-" #depth " for 32x32 images"}, 32, \
            10, 100, IMAGENET_NORM,                                          \
        {                                                                    \
            {resnet_stem, NULL, "", 1, 16, 1, 0},                            \
                {basic, NULL, "layer1.#.", n, 16, 1, 0},                     \
                {basic_map, basic, "layer2.#.", n, 32, 2, 0},                \
                {basic_map, basic, "layer3.#.", n, 64, 2, 0},                \
                {resnet_head, NULL, "", 1, 0, 1, 0},                         \
        }                                                                    \
    }

#define BIREAL_RESNET(name, help, first, rest)                             \
    {                                                                      \
        {name, "Liu et al., ECCV 2018", help}, 32, 10, 100, IMAGENET_NORM, \
        {                                                                  \
            {resnet_stem, NULL, "", 1, 16, 1, 0},                          \
                {rest, NULL, "layer1.#.", 3, 16, 1, 0},                    \
                {first, rest, "layer2.#.", 3, 32, 2, 0},                   \
                {first, rest, "layer3.#.", 3, 64, 2, 0},                   \
                {bireal_head, NULL, "", 1, 0, 1, 0},                       \
        }                                                                  \
    }

#define VGG16(name, help, head)                                         \
    {                                                                   \
        {name, "Simonyan and Zisserman, ICLR 2015", help}, 32, 10, 100, \
            CIFAR_NORM,                                                 \
        {                                                               \
            {vgg_conv, NULL, "1.#.", 2, 64, 1, 0},                      \
                {maxpool2, NULL, "1.", 1, 0, 1, 0},                     \
                {vgg_conv, NULL, "2.#.", 2, 128, 1, 0},                 \
                {maxpool2, NULL, "2.", 1, 0, 1, 0},                     \
                {vgg_conv, NULL, "3.#.", 3, 256, 1, 0},                 \
                {maxpool2, NULL, "3.", 1, 0, 1, 0},                     \
                {vgg_conv, NULL, "4.#.", 3, 512, 1, 0},                 \
                {maxpool2, NULL, "4.", 1, 0, 1, 0},                     \
                {vgg_conv, NULL, "5.#.", 3, 512, 1, 0},                 \
                {head, NULL, "", 1, 0, 1, 0},                           \
        }                                                               \
    }

#define MOBILE_V1(name, help, side, percent)                                 \
    {                                                                        \
        {name, "Howard et al., 2017", help}, side, 1001, percent, HALF_NORM, \
        {                                                                    \
            {mobile_stem, NULL, "", 1, 32, 2, 0},                            \
                {separable, NULL, "1.", 1, 64, 1, 0},                        \
                {separable, NULL, "2.", 1, 128, 2, 0},                       \
                {separable, NULL, "3.", 1, 128, 1, 0},                       \
                {separable, NULL, "4.", 1, 256, 2, 0},                       \
                {separable, NULL, "5.", 1, 256, 1, 0},                       \
                {separable, NULL, "6.#.", 6, 512, 2, 0},                     \
                {separable, NULL, "7.#.", 2, 1024, 2, 0},                    \
                {resnet_head, NULL, "", 1, 0, 1, 0},                         \
        }                                                                    \
    }

static const struct row rows[] = {
    CIFAR_RESNET(20, 3),
    CIFAR_RESNET(32, 5),
    CIFAR_RESNET(44, 7),
    CIFAR_RESNET(56, 9),
    CIFAR_RESNET(110, 18),
    BIREAL_RESNET("resnet20_bireal",
                  "ResNet-20 with a skip around every convolution, PReLU",
                  bireal_prelu_map, bireal_prelu),
    BIREAL_RESNET("resnet20_bireal_hardtanh",
                  "ResNet-20 with a skip around every convolution, hardtanh",
                  bireal_hardtanh_map, bireal_hardtanh),
    VGG16("vgg16bn", "VGG-16 with batch normalisation for 32x32 images",
          vgg_head),
    VGG16("vgg16bn_fc512", "the same with a hidden layer of 512", vgg_head_512),
    {{"vgg_small", "as in the binarization papers",
      "six convolutions, for 32x32 images"},
     32,
     10,
     100,
     IMAGENET_NORM,
     {
         {small_conv, small_conv_pool, "1.#.", 2, 128, 1, 0},
         {small_conv, small_conv_pool, "2.#.", 2, 256, 1, 0},
         {small_conv, small_conv_pool, "3.#.", 2, 512, 1, 0},
         {small_head, NULL, "", 1, 0, 1, 0},
     }},
    {{"tiny", "ours", "two convolutions for 32x32 images, for tests"},
     32,
     10,
     100,
     CIFAR_NORM,
     {
         {conv_bn_relu, NULL, "1.", 1, 8, 1, 0},
         {maxpool2, NULL, "1.", 1, 0, 1, 0},
         {conv_bn_relu, NULL, "2.", 1, 16, 1, 0},
         {maxpool2, NULL, "2.", 1, 0, 1, 0},
         {vgg_head, NULL, "", 1, 0, 1, 0},
     }},
    {{"resnet18", RESNET, "ResNet-18 for 224x224 photographs"},
     224,
     1000,
     100,
     IMAGENET_NORM,
     {
         {resnet_stem_224, NULL, "", 1, 64, 1, 0},
         {basic, NULL, "layer1.#.", 2, 64, 1, 0},
         {basic_conv, basic, "layer2.#.", 2, 128, 2, 0},
         {basic_conv, basic, "layer3.#.", 2, 256, 2, 0},
         {basic_conv, basic, "layer4.#.", 2, 512, 2, 0},
         {resnet_head_fc, NULL, "", 1, 0, 1, 0},
     }},
    MOBILE_V1("mobilenet_v1", "MobileNet for 224x224 photographs", 224, 100),
    MOBILE_V1("mobilenet_v1_0.25_128",
              "a quarter of its channels, for 128x128 photographs", 128, 25),
    {{"mobilenet_v2", "Sandler et al., CVPR 2018",
      "MobileNetV2 for 224x224 photographs"},
     224,
     1001,
     100,
     HALF_NORM,
     {
         {mobile_stem, NULL, "", 1, 32, 2, 0},
         {inverted_first, NULL, "1.", 1, 16, 1, 1},
         {inverted_down, inverted, "2.#.", 2, 24, 2, 6},
         {inverted_down, inverted, "3.#.", 3, 32, 2, 6},
         {inverted_down, inverted, "4.#.", 4, 64, 2, 6},
         {inverted_down, inverted, "5.#.", 3, 96, 1, 6},
         {inverted_down, inverted, "6.#.", 3, 160, 2, 6},
         {inverted_down, inverted, "7.", 1, 320, 1, 6},
         {mobile_last, NULL, "", 1, 1280, 1, 0},
         {resnet_head, NULL, "", 1, 0, 1, 0},
     }},
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

/* ---- from rows to texts ------------------------------------------------- */

struct fill {
    char prefix[AK_NN_NAME];
    char input[AK_NN_NAME];
    uint32_t c, w, s, times, classes;
};

static void put(struct ak_writer *w, const char *text)
{
    ak_write_bytes(w, text, strlen(text));
}

static void put_number(struct ak_writer *w, uint32_t value)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", value);
    put(w, text);
}

static void put_place(struct ak_writer *w, char place, const struct fill *f)
{
    switch (place) {
    case 'p':
        put(w, f->prefix);
        break;
    case 'i':
        put(w, f->input);
        break;
    case 'w':
        put_number(w, f->w);
        break;
    case 'c':
        put_number(w, f->c);
        break;
    case 's':
        put_number(w, f->s);
        break;
    case 'x':
        put_number(w, f->times * f->c);
        break;
    case 'q':
        put_number(w, (f->w - f->c) / 2);
        break;
    default:
        put_number(w, f->classes);
    }
}

/* The lines of a block; f->input becomes the name in the last of them. */
static void put_block(struct ak_writer *w, const char *block, struct fill *f)
{
    size_t line = w->len;
    size_t from, len = 0;

    for (const char *c = block; *c != '\0'; c++) {
        if (*c == '$')
            put_place(w, *++c, f);
        else
            ak_write_u8(w, (uint8_t)*c);
        if (*c == '\n' && c[1] != '\0')
            line = w->len;
    }
    f->c = f->w;
    if (w->status != AK_OK)
        return;
    for (from = line; w->data[from] != ' '; from++)
        ;
    from++;
    while (w->data[from + len] != ' ' && w->data[from + len] != '\n')
        len++;
    snprintf(f->input, sizeof(f->input), "%.*s", (int)len,
             (const char *)w->data + from);
}

/* "layer1.#." with the number of a block. */
static void set_prefix(struct fill *f, const char *prefix, uint32_t number)
{
    const char *mark = strchr(prefix, '#');

    if (mark == NULL)
        snprintf(f->prefix, sizeof(f->prefix), "%s", prefix);
    else
        snprintf(f->prefix, sizeof(f->prefix), "%.*s%u%s", (int)(mark - prefix),
                 prefix, number, mark + 1);
}

static void put_stage(struct ak_writer *w, const struct row *row,
                      const struct stage *s, struct fill *f)
{
    for (uint32_t b = 0; b < s->repeat; b++) {
        set_prefix(f, s->prefix, b);
        f->w = s->width == 0 ? f->c : s->width * row->percent / 100;
        f->s = b == 0 ? s->stride : 1;
        f->times = s->times;
        put_block(w, b == 0 || s->rest == NULL ? s->first : s->rest, f);
    }
}

static const struct row *find_row(const char *name)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].about.name, name) == 0)
            return &rows[i];
    return NULL;
}

const struct ak_arch *ak_arch_get(size_t i)
{
    return i < N_ROWS ? &rows[i].about : NULL;
}

const struct ak_arch *ak_arch_find(const char *name)
{
    const struct row *row = find_row(name);

    return row != NULL ? &row->about : NULL;
}

enum ak_status ak_arch_graph(const char *name, uint32_t classes,
                             struct ak_graph **out, struct ak_err *err)
{
    const struct row *row = find_row(name);
    struct ak_writer w = {0};
    struct fill f = {.input = "image", .c = 3};
    enum ak_status status;

    if (row == NULL)
        return ak_fail(err, AK_ENOTFOUND, "no architecture \"%s\"", name);
    f.classes = classes != 0 ? classes : row->classes;
    put(&w, "akin-net 1\ninput image 3 ");
    put_number(&w, row->side);
    put(&w, " ");
    put_number(&w, row->side);
    put(&w, " ");
    put(&w, row->norm);
    put(&w, "\n");
    for (const struct stage *s = row->stages; s->first != NULL; s++)
        put_stage(&w, row, s, &f);
    if (w.status != AK_OK)
        status = ak_fail(err, w.status, "no memory for a graph");
    else
        status = ak_graph_parse((const char *)w.data, w.len, out, err);
    if (status != AK_OK)
        ak_err_context(err, "%s", name);
    ak_writer_clear(&w);
    return status;
}

/* ---- hash heads ---------------------------------------------------------- */

static const char hash_head[] = "linear hash $i out=$w\n"
                                "tanh hash_tanh hash\n"
                                "linear hash_classes hash_tanh out=$k\n"
                                "feature $i\n"
                                "output hash_classes\n";

/* The layers that the feature is made of, itself among them. */
static void mark_needed(const struct ak_graph *g, bool *needed)
{
    needed[g->feature] = true;
    for (uint32_t i = g->feature + 1; i-- > 0;)
        for (uint32_t k = 0; needed[i] && k < g->layers[i].n_in; k++)
            needed[g->layers[i].in[k]] = true;
}

/* The title and the lines of those layers: a text has a line a layer. */
static void put_needed(struct ak_writer *w, const char *text,
                       const bool *needed, uint32_t n)
{
    const char *line = text, *end = strchr(text, '\n') + 1;

    ak_write_bytes(w, line, (size_t)(end - line));
    for (uint32_t i = 0; i < n; i++) {
        line = end;
        end = strchr(line, '\n') + 1;
        if (needed[i])
            ak_write_bytes(w, line, (size_t)(end - line));
    }
}

enum ak_status ak_arch_hash_head(const struct ak_graph *backbone, uint32_t bits,
                                 uint32_t classes, struct ak_graph **out,
                                 struct ak_err *err)
{
    bool needed[AK_NN_LAYERS] = {false};
    struct fill f = {.w = bits, .classes = classes};
    struct ak_writer w = {0};
    char *text = NULL;
    size_t len;
    enum ak_status status;

    mark_needed(backbone, needed);
    for (uint32_t i = 0; i < backbone->n_layers; i++)
        if (needed[i] && strncmp(backbone->layers[i].name, AK_HASH_PREFIX,
                                 strlen(AK_HASH_PREFIX)) == 0)
            return ak_fail(err, AK_EINVAL,
                           "a layer before the feature is called \"%s\", which "
                           "is a name of hash heads",
                           backbone->layers[i].name);
    status = ak_graph_write(backbone, &text, &len, err);
    if (status != AK_OK)
        return status;
    put_needed(&w, text, needed, backbone->n_layers);
    free(text);
    snprintf(f.input, sizeof(f.input), "%s",
             backbone->layers[backbone->feature].name);
    put_block(&w, hash_head, &f);
    if (w.status != AK_OK)
        status = ak_fail(err, w.status, "no memory for a graph");
    else
        status = ak_graph_parse((const char *)w.data, w.len, out, err);
    if (status != AK_OK)
        ak_err_context(err, "hash head");
    ak_writer_clear(&w);
    return status;
}
