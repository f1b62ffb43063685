/*
 * bench_nn -- one line of JSON a case: images a second of whole training steps
 * (augmentation, forward, loss, backward, update) beside dnnl_sgemm of 1024^3,
 * which runs in between; and milliseconds of one image on one thread.
 *
 * usage: bench_nn [SECONDS [THREADS [ARCH]...]]
 *
 * Default: 4 s a case, 2 threads, resnet20 resnet56 vgg16bn vgg_small.  Figures
 * are medians; `share` is what 6 operations a product of the network make, over
 * what sgemm makes, and `cpu_share` the same by CPU time, for a busy machine.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/nn/onednn_internal.h"
#include "core/nn/train.h"
#include "core/nn/weights.h"
#include "core/nn/zoo.h"

enum { IMAGES = 1024, BATCH = 128, GEMM = 1024, MOST = 4096 };

static double seconds = 4;
static uint32_t threads = 2;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Of all threads: what counts when others use the machine too. */
static double cpu(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(enum ak_status status, const struct ak_err *err)
{
    if (status == AK_OK)
        return;
    fprintf(stderr, "bench_nn: %s\n", err->text);
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

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), by_value);
    return values[n / 2];
}

static double peak_mib(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

/* Seconds of one product, and of CPU; 0 without oneDNN. */
static double time_gemm(double *cpu_s)
{
#ifdef HAVE_DNNL
    static float *a, *b, *c;
    double start, cpu_start;

    if (a == NULL) {
        a = array((size_t)GEMM * GEMM, sizeof(float));
        b = array((size_t)GEMM * GEMM, sizeof(float));
        c = array((size_t)GEMM * GEMM, sizeof(float));
        for (size_t i = 0; i < (size_t)GEMM * GEMM; i++)
            a[i] = b[i] = (float)(i % 7);
    }
    start = now();
    cpu_start = cpu();
    ak_dn_gemm(threads, GEMM, a, b, c);
    *cpu_s = cpu() - cpu_start;
    return now() - start;
#else
    *cpu_s = 0;
    return 0;
#endif
}

static struct ak_pictures noise(void)
{
    static uint8_t *pixels;
    static uint32_t *labels;
    struct ak_rng rng;

    if (pixels == NULL) {
        pixels = array((size_t)IMAGES * 3072, 1);
        labels = array(IMAGES, sizeof(*labels));
        ak_rng_init(&rng, 1);
        for (size_t i = 0; i < (size_t)IMAGES * 3072; i++)
            pixels[i] = (uint8_t)ak_rng_u64(&rng);
        for (size_t i = 0; i < IMAGES; i++)
            labels[i] = (uint32_t)ak_rng_below(&rng, 10);
    }
    return (struct ak_pictures){pixels, 3072, labels, IMAGES};
}

static void train(const char *arch, enum ak_exec_type type)
{
    struct ak_pictures data = noise();
    struct ak_train_params params;
    struct ak_graph *g = NULL;
    struct ak_graph_cost cost;
    struct ak_trainer *t = NULL;
    struct ak_err err = {0};
    static double steps[MOST], gemms[MOST], cpus[MOST], cpu_gemms[MOST];
    double start, made, step, gemm, rate, cpu_step, cpu_gemm;
    size_t n = 0;

    must(ak_arch_graph(arch, 0, &g, &err), &err);
    ak_graph_count(g, &cost);
    ak_train_defaults(&params);
    params.batch = BATCH;
    params.epochs = 10000;
    params.threads = threads;
    params.type = type;
    start = now();
    must(ak_trainer_create(g, &data, &params, NULL, &t, &err), &err);
    must(ak_trainer_step(t, &err), &err);
    made = now() - start;
    must(ak_trainer_step(t, &err), &err);
    for (start = now(); n < MOST && now() - start < seconds; n++) {
        double from = now(), cpu_from = cpu();

        must(ak_trainer_step(t, &err), &err);
        cpus[n] = cpu() - cpu_from;
        steps[n] = now() - from;
        gemms[n] = time_gemm(&cpu_gemms[n]);
    }
    step = median(steps, n);
    gemm = median(gemms, n);
    cpu_step = median(cpus, n);
    cpu_gemm = median(cpu_gemms, n);
    rate = 6.0 * (double)cost.macs * BATCH / step;
    printf(
        "{\"bench\": \"nn_train\", \"arch\": \"%s\", \"engine\": \"%s\", "
        "\"type\": \"%s\", \"threads\": %u, \"batch\": %d, \"steps\": %zu, "
        "\"images_per_s\": %.0f, \"best\": %.0f, \"gflops\": %.0f, "
        "\"sgemm_gflops\": %.0f, \"share\": %.3f, \"images_per_cpu_s\": %.0f, "
        "\"cpu_share\": %.3f, \"first_step_s\": %.2f, "
        "\"mib\": %.0f, \"peak_rss_mib\": %.0f}\n",
        arch, ak_exec_engine(0), type == AK_EXEC_BF16 ? "bf16" : "f32", threads,
        BATCH, n, BATCH / step, BATCH / steps[0], rate / 1e9,
        gemm > 0 ? 2e-9 * GEMM * GEMM * GEMM / gemm : 0,
        gemm > 0 ? rate * gemm / (2.0 * GEMM * GEMM * GEMM) : 0,
        BATCH / cpu_step,
        6.0 * (double)cost.macs * BATCH / cpu_step * cpu_gemm /
            (2.0 * GEMM * GEMM * GEMM),
        made, (double)ak_trainer_bytes(t) / (1 << 20), peak_mib());
    fflush(stdout);
    ak_trainer_destroy(t);
    ak_graph_destroy(g);
}

static void infer(const char *arch, enum ak_exec_type type)
{
    const struct ak_exec_params params = {
        .batch = 1, .type = type, .threads = 1};
    struct ak_graph *g = NULL;
    struct ak_exec *e = NULL;
    struct ak_err err = {0};
    static double times[MOST];
    float *values, *x, *y;
    double start;
    size_t n = 0;

    must(ak_arch_graph(arch, 0, &g, &err), &err);
    values = array(g->n_values, sizeof(*values));
    x = array(ak_layer_size(&g->layers[0]), sizeof(*x));
    y = array(ak_layer_size(&g->layers[g->feature]), sizeof(*y));
    ak_weights_init(g, 1, values);
    must(ak_exec_create(NULL, g, &params, &e, &err), &err);
    must(ak_exec_load(e, values, &err), &err);
    must(ak_exec_forward(e, x, 1, 0, &err), &err);
    for (start = now(); n < MOST && now() - start < seconds / 2; n++) {
        double from = now();

        must(ak_exec_forward(e, x, 1, 0, &err), &err);
        must(ak_exec_output(e, g->feature, y, &err), &err);
        times[n] = now() - from;
    }
    printf("{\"bench\": \"nn_infer\", \"arch\": \"%s\", \"engine\": \"%s\", "
           "\"type\": \"%s\", \"threads\": 1, \"batch\": 1, \"ms\": %.3f, "
           "\"best_ms\": %.3f, \"mib\": %.1f}\n",
           arch, ak_exec_engine(0), type == AK_EXEC_BF16 ? "bf16" : "f32",
           1e3 * median(times, n), 1e3 * times[0],
           (double)ak_exec_bytes(e) / (1 << 20));
    fflush(stdout);
    ak_exec_destroy(e);
    ak_array_free(y);
    ak_array_free(x);
    ak_array_free(values);
    ak_graph_destroy(g);
}

int main(int argc, char **argv)
{
    static const char *const usual[] = {"resnet20", "resnet56", "vgg16bn",
                                        "vgg_small"};
    static const char *const single[] = {"resnet20", "resnet18"};
    int n = argc > 3 ? argc - 3 : 4;

    if (argc > 1)
        seconds = atof(argv[1]);
    if (argc > 2)
        threads = (uint32_t)atoi(argv[2]);
    for (unsigned type = AK_EXEC_F32; type <= AK_EXEC_BF16; type++) {
        if (!ak_exec_can(NULL, (enum ak_exec_type)type))
            continue;
        for (int i = 0; i < n; i++)
            train(argc > 3 ? argv[3 + i] : usual[i], (enum ak_exec_type)type);
        for (size_t i = 0; argc <= 3 && i < 2; i++)
            infer(single[i], (enum ak_exec_type)type);
    }
    return 0;
}
