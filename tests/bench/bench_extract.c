/*
 * bench_extract -- one line of JSON a case: milliseconds from a decoded image to
 * its feature, one image and one thread, in f32 and, where the processor has it,
 * in bf16; and from a JPEG of a photograph's size to the network's pixels.
 *
 * usage: bench_extract [SECONDS [ARCH | FILE.akx]...]
 *
 * Default: 2 s a case, resnet20 resnet18, which have learnt nothing then.
 * `ms` is the median, `ms_min` the least, `ms_cpu` the mean of the thread's CPU
 * time, for a busy machine.  `off` of bf16 is how far its features are from
 * those of f32, as a share of their length: the median and the most of 100 made
 * images.  The daemon computes in f32.
 */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jpeglib.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/extract/network.h"
#include "core/image/decode.h"
#include "core/image/resize.h"
#include "core/nn/exec.h"
#include "core/nn/weights.h"
#include "core/nn/zoo.h"

enum { MOST = 100000, IMAGES = 100, PHOTO_W = 500, PHOTO_H = 375 };

static double seconds = 2;

static double read_clock(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(enum ak_status status, const struct ak_err *err)
{
    if (status == AK_OK)
        return;
    fprintf(stderr, "bench_extract: %s\n", err->text);
    exit(1);
}

static void *array(size_t n, size_t size)
{
    void *a = ak_array_new(n, size);

    if (a == NULL)
        exit(1);
    return a;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Coarse squares with noise: it compresses as a photograph does. */
static void make_image(uint64_t seed, uint32_t width, uint32_t height,
                       struct ak_image *out)
{
    struct ak_err err = {0};
    struct ak_rng rng;

    ak_rng_init(&rng, seed);
    must(ak_image_init(out, width, height, 3, &err), &err);
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < 3; c++) {
                struct ak_rng square;
                double v;

                ak_rng_init(&square, seed ^ (y / 24 * 1000 + x / 24 * 10 + c));
                v = 255 * ak_rng_unit(&square) + 8 * ak_rng_normal(&rng);
                out->pixels[(y * width + x) * 3 + c] = (uint8_t)(v < 0     ? 0
                                                                 : v > 255 ? 255
                                                                           : v);
            }
}

/* Runs until the time is up and prints the case; `more` is further members. */
static void measure(const char *name, const char *type, void (*run)(void *),
                    void *arg, const char *more)
{
    double *ms = array(MOST, sizeof(*ms));
    double end, cpu;
    size_t n = 0;

    run(arg);
    end = read_clock(CLOCK_MONOTONIC) + seconds;
    cpu = read_clock(CLOCK_THREAD_CPUTIME_ID);
    while (n < MOST && (n < 5 || read_clock(CLOCK_MONOTONIC) < end)) {
        double start = read_clock(CLOCK_MONOTONIC);

        run(arg);
        ms[n++] = 1e3 * (read_clock(CLOCK_MONOTONIC) - start);
    }
    cpu = 1e3 * (read_clock(CLOCK_THREAD_CPUTIME_ID) - cpu) / (double)n;
    qsort(ms, n, sizeof(*ms), by_value);
    printf("{\"bench\":\"extract\",\"case\":\"%s\",\"type\":\"%s\",\"ms\":%.4f,"
           "\"ms_min\":%.4f,\"ms_cpu\":%.4f,\"n\":%zu%s}\n",
           name, type, ms[n / 2], ms[0], cpu, n, more);
    fflush(stdout);
    ak_array_free(ms);
}

/* ------------------------------------------------------------------- networks */

static struct ak_model read_model(const char *name)
{
    struct ak_model m = {0};
    struct ak_err err = {0};
    FILE *f = fopen(name, "rb");
    uint8_t *bytes;
    long len;

    if (f == NULL) {
        must(ak_arch_graph(name, 0, &m.g, &err), &err);
        m.values = array(m.g->n_values, sizeof(*m.values));
        ak_weights_init(m.g, 1, m.values);
        return m;
    }
    fseek(f, 0, SEEK_END);
    len = ftell(f);
    rewind(f);
    bytes = array((size_t)len + 1, 1);
    if (fread(bytes, 1, (size_t)len, f) != (size_t)len)
        exit(1);
    fclose(f);
    must(ak_model_read(bytes, (size_t)len, &m, &err), &err);
    ak_array_free(bytes);
    return m;
}

struct network {
    struct ak_extractor *e;
    struct ak_image image;
    float *out;
};

static void run_extractor(void *arg)
{
    struct network *net = arg;
    struct ak_err err = {0};

    must(ak_extractor_extract(net->e, &net->image, net->out, &err), &err);
}

struct raw {
    struct ak_exec *exec;
    const struct ak_graph *g;
    float *x, *out;
};

static void run_raw(void *arg)
{
    struct raw *raw = arg;
    struct ak_err err = {0};

    must(ak_exec_forward(raw->exec, raw->x, 1, 0, &err), &err);
    must(ak_exec_output(raw->exec, raw->g->feature, raw->out, &err), &err);
}

static struct raw make_raw(const struct ak_model *m, enum ak_exec_type type)
{
    const struct ak_exec_params params = {
        .batch = 1, .type = type, .threads = 1};
    struct raw raw = {.g = m->g};
    struct ak_err err = {0};

    raw.x = array(ak_layer_size(&m->g->layers[0]), sizeof(float));
    raw.out = array(ak_layer_size(&m->g->layers[m->g->feature]), sizeof(float));
    must(ak_exec_create(NULL, m->g, &params, &raw.exec, &err), &err);
    must(ak_exec_load(raw.exec, m->values, &err), &err);
    return raw;
}

static void clear_raw(struct raw *raw)
{
    ak_exec_destroy(raw->exec);
    ak_array_free(raw->x);
    ak_array_free(raw->out);
}

/* How far bf16 is from f32 on made images. */
static void compare(const struct ak_model *m, char *out, size_t cap)
{
    struct raw a = make_raw(m, AK_EXEC_F32), b = make_raw(m, AK_EXEC_BF16);
    size_t dim = ak_layer_size(&m->g->layers[m->g->feature]);
    size_t size = ak_layer_size(&m->g->layers[0]);
    uint8_t *planes = array(size, 1);
    double off[IMAGES];

    for (int i = 0; i < IMAGES; i++) {
        struct ak_image image = {0};
        double length = 0, distance = 0;

        make_image(1000 + (uint64_t)i, m->g->layers[0].w, m->g->layers[0].h,
                   &image);
        for (size_t k = 0; k < size; k++)
            planes[k] = image.pixels[k];
        ak_graph_normalise(m->g, planes, a.x);
        memcpy(b.x, a.x, size * sizeof(float));
        run_raw(&a);
        run_raw(&b);
        for (size_t k = 0; k < dim; k++) {
            length += (double)a.out[k] * (double)a.out[k];
            distance += pow((double)a.out[k] - (double)b.out[k], 2);
        }
        off[i] = sqrt(distance / length);
        ak_image_clear(&image);
    }
    qsort(off, IMAGES, sizeof(off[0]), by_value);
    snprintf(out, cap, ",\"off\":%.5f,\"off_most\":%.5f", off[IMAGES / 2],
             off[IMAGES - 1]);
    clear_raw(&a);
    clear_raw(&b);
    ak_array_free(planes);
}

static void bench_network(const char *name)
{
    struct ak_model m = read_model(name);
    struct network net = {0};
    struct raw raw;
    struct ak_err err = {0};
    char off[64] = "";

    for (int t = AK_EXEC_F32; t <= AK_EXEC_BF16; t++) {
        if (t == AK_EXEC_BF16 && !ak_exec_can(ak_exec_engine(0), AK_EXEC_BF16))
            continue;
        if (t == AK_EXEC_BF16)
            compare(&m, off, sizeof(off));
        raw = make_raw(&m, (enum ak_exec_type)t);
        measure(name,
                t == AK_EXEC_BF16 ? "bf16, network only" : "f32, network only",
                run_raw, &raw, off);
        clear_raw(&raw);
    }
    net.out = array(ak_layer_size(&m.g->layers[m.g->feature]), sizeof(float));
    make_image(7, m.g->layers[0].w, m.g->layers[0].h, &net.image);
    must(ak_network_create("bench", &m, NULL, 1, &net.e, &err), &err);
    measure(name, "f32", run_extractor, &net, "");
    ak_extractor_unref(net.e);
    ak_image_clear(&net.image);
    ak_array_free(net.out);
}

/* --------------------------------------------------------------------- pictures */

struct photo {
    unsigned char *file;
    unsigned long len;
    uint32_t side;
};

/* Quality 90, colours at half the resolution, as cameras do. */
static void compress(const struct ak_image *image, struct photo *out)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;

    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out->file, &out->len);
    c.image_width = image->width;
    c.image_height = image->height;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 90, TRUE);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < c.image_height) {
        JSAMPROW row =
            image->pixels + (size_t)c.next_scanline * image->width * 3;

        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
}

static void run_decode(void *arg)
{
    struct photo *photo = arg;
    struct ak_image image = {0}, small = {0};
    struct ak_err err = {0};

    must(ak_image_decode(photo->file, photo->len, NULL, photo->side,
                         photo->side, &image, &err),
         &err);
    must(ak_image_resize(&image, photo->side, photo->side, &small, &err), &err);
    ak_image_clear(&image);
    ak_image_clear(&small);
}

static void bench_photo(uint32_t width, uint32_t height, uint32_t side)
{
    struct photo photo = {.side = side};
    struct ak_image image = {0};
    char name[64], more[64];

    make_image(3, width, height, &image);
    compress(&image, &photo);
    snprintf(name, sizeof(name), "jpeg %ux%u to %u", width, height, side);
    snprintf(more, sizeof(more), ",\"bytes\":%lu", photo.len);
    measure(name, "decode and resize", run_decode, &photo, more);
    free(photo.file);
    ak_image_clear(&image);
}

int main(int argc, char **argv)
{
    static const char *const archs[] = {"resnet20", "resnet18"};

    if (argc > 1)
        seconds = strtod(argv[1], NULL);
    if (argc <= 2)
        for (size_t i = 0; i < 2; i++)
            bench_network(archs[i]);
    for (int i = 2; i < argc; i++)
        bench_network(argv[i]);
    bench_photo(224, 224, 224);
    bench_photo(PHOTO_W, PHOTO_H, 224);
    bench_photo(4 * PHOTO_W, 4 * PHOTO_H, 224);
    return 0;
}
