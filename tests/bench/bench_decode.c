/*
 * bench_decode -- what it costs to decode an image in another process, one line
 * of JSON a case.
 *
 *     bench_decode [SECONDS]
 *
 * A PNG of 28 x 28, a JPEG of 224 x 224 and one of 4000 x 3000, each decoded in
 * the process itself and by akin-worker (server/decoder.h), in turns of SECONDS
 * (0.5) that alternate, five of each.  us: of the fastest turn.  cpu_us: of
 * processor time, ours and the worker's, over all turns: with others on the
 * machine it is what to look at.  The last line is what a start costs: an image
 * with a worker of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <jpeglib.h>

#include "core/base/blob.h"
#include "core/base/clock.h"
#include "core/base/rng.h"
#include "core/image/encode.h"
#include "server/decoder.h"

enum { TURNS = 5, TIMEOUT_MS = 30000 };

struct picture {
    const char *name;
    uint32_t width, height, channels, hint;
};

/* A slope with some noise in it, so that there is something to decode. */
static void paint(struct ak_image *image)
{
    struct ak_rng rng;
    size_t n = ak_image_len(image);

    ak_rng_init(&rng, 1);
    for (size_t i = 0; i < n; i++) {
        size_t at = i / image->channels;
        size_t x = at % image->width, y = at / image->width;
        uint64_t noise = ak_rng_u64(&rng) & 15;

        image->pixels[i] =
            (uint8_t)(x * 120 / image->width + y * 110 / image->height + noise);
    }
}

static void write_jpeg(const struct ak_image *image, struct ak_writer *w)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    unsigned long len = 0;

    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &bytes, &len);
    c.image_width = image->width;
    c.image_height = image->height;
    c.input_components = (int)image->channels;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 85, TRUE);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < c.image_height) {
        uint8_t *row =
            image->pixels + (size_t)c.next_scanline * image->width * 3;

        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    ak_write_bytes(w, bytes, len);
    jpeg_destroy_compress(&c);
    free(bytes);
}

static double seconds_of(int who)
{
    struct rusage u;

    getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

struct cost {
    double us, cpu_us; /* of an image */
    double cpu, n;
};

static void turn(const struct picture *p, const struct ak_writer *file,
                 const struct ak_decoder_params *params, double seconds,
                 struct cost *cost)
{
    double cpu = seconds_of(RUSAGE_SELF) + seconds_of(RUSAGE_CHILDREN), us;
    uint64_t begin = 0, ns;
    long n = -1;

    if (ak_decoder_start(params, NULL) != AK_OK)
        exit(1);
    do {
        struct ak_image image = {0};
        struct ak_err err = {0};

        if (ak_decoder_decode(file->data, file->len, p->hint, p->hint, &image,
                              &err) != AK_OK) {
            fprintf(stderr, "bench_decode: %s: %s\n", p->name, err.text);
            exit(1);
        }
        ak_image_clear(&image);
        /* The first is not counted: a start may be in it. */
        if (n++ < 0)
            begin = ak_clock_ns();
        ns = ak_clock_ns() - begin;
    } while (n == 0 || (double)ns < seconds * 1e9);
    ak_decoder_stop();
    us = (double)ns / 1e3 / (double)n;
    if (cost->us == 0 || us < cost->us)
        cost->us = us;
    cost->cpu += seconds_of(RUSAGE_SELF) + seconds_of(RUSAGE_CHILDREN) - cpu;
    cost->n += (double)n;
    cost->cpu_us = cost->cpu * 1e6 / cost->n;
}

int main(int argc, char **argv)
{
    static const struct picture pictures[] = {
        {"png-28x28", 28, 28, 1, 28},
        {"jpeg-224x224", 224, 224, 3, 224},
        {"jpeg-4000x3000", 4000, 3000, 3, 224},
    };
    const struct ak_decoder_params inside = {.in_process = true,
                                             .timeout_ms = TIMEOUT_MS};
    struct ak_decoder_params outside = {.program = "server/akin-worker",
                                        .threads = 1,
                                        .restart_images = 1000,
                                        .timeout_ms = TIMEOUT_MS};
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.5;
    struct ak_writer files[3] = {0};
    struct cost alone = {0};

    for (size_t i = 0; i < sizeof(pictures) / sizeof(pictures[0]); i++) {
        const struct picture *p = &pictures[i];
        struct cost in = {0}, out = {0};
        struct ak_image image = {0};

        if (ak_image_init(&image, p->width, p->height, p->channels, NULL) !=
            AK_OK)
            return 1;
        paint(&image);
        if (p->channels == 3)
            write_jpeg(&image, &files[i]);
        else if (ak_image_encode_png(&image, &files[i], NULL) != AK_OK)
            return 1;
        ak_image_clear(&image);
        for (int t = 0; t < TURNS; t++) {
            turn(p, &files[i], &inside, seconds, &in);
            turn(p, &files[i], &outside, seconds, &out);
        }
        printf("{\"bench\":\"decode\",\"image\":\"%s\",\"bytes\":%zu,"
               "\"hint\":%u,\"us\":%.1f,\"worker_us\":%.1f,\"extra_us\":%.1f,"
               "\"cpu_us\":%.1f,\"worker_cpu_us\":%.1f,\"extra_cpu_us\":%.1f}"
               "\n",
               p->name, files[i].len, (unsigned)p->hint, in.us, out.us,
               out.us - in.us, in.cpu_us, out.cpu_us, out.cpu_us - in.cpu_us);
        fflush(stdout);
    }
    outside.restart_images = 1;
    turn(&pictures[0], &files[0], &outside, seconds, &alone);
    printf("{\"bench\":\"decode\",\"image\":\"png-28x28\",\"restart_images\":1,"
           "\"worker_us\":%.1f,\"worker_cpu_us\":%.1f}\n",
           alone.us, alone.cpu_us);
    for (size_t i = 0; i < 3; i++)
        ak_writer_clear(&files[i]);
    return 0;
}
