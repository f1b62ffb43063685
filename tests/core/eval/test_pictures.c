/* Data sets of images: folders, idx, and the parts they are split into. */
#include "tests/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/rng.h"
#include "core/eval/cifar.h"
#include "core/eval/features.h"
#include "core/eval/pictures.h"
#include "core/image/encode.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "test_pictures_XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

static const struct ak_layer input = {.c = 3, .h = 32, .w = 32};

static void put(const char *name, const void *bytes, size_t len)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static enum ak_status load(const char *part, const struct ak_layer *layer,
                           struct ak_picture_set *set, struct ak_err *err)
{
    struct ak_picture_source source = {
        .kind = ak_picture_kind(folder), .folder = folder, .part = part};

    return ak_picture_set_load(&source, layer, set, err);
}

/* Images of 4x2 whose pixels are i, each of class i % 3. */
static void put_idx(const char *part, uint8_t n)
{
    uint8_t images[16 + 255 * 8] = {0, 0, 8, 3, 0, 0, 0, n,
                                    0, 0, 0, 2, 0, 0, 0, 4};
    uint8_t labels[8 + 255] = {0, 0, 8, 1, 0, 0, 0, n};
    char name[64];

    for (uint8_t i = 0; i < n; i++) {
        memset(images + 16 + i * 8, i, 8);
        labels[8 + i] = i % 3;
    }
    snprintf(name, sizeof(name), "%s-images-idx3-ubyte", part);
    put(name, images, 16 + (size_t)n * 8);
    snprintf(name, sizeof(name), "%s-labels-idx1-ubyte", part);
    put(name, labels, 8 + (size_t)n);
}

static void idx_images_are_scaled_to_the_network(void **state)
{
    struct ak_picture_set set = {0};

    (void)state;
    put_idx("train", 20);
    put_idx("t10k", 5);
    assert_string_equal(ak_picture_kind(folder), "idx");
    assert_status(load(NULL, &input, &set, NULL), AK_OK);
    assert_int_equal(set.view.n, 25);
    assert_int_equal(set.n_train, 20);
    assert_true(set.has_parts);
    assert_int_equal(set.n_classes, 3);
    assert_int_equal(set.view.stride, 3 * 32 * 32);
    for (size_t i = 0; i < 25; i++) {
        const uint8_t *p = ak_picture(&set.view, i);

        assert_int_equal(set.labels[i], i % 20 % 3);
        for (size_t k = 0; k < set.view.stride; k++)
            assert_int_equal(p[k], i % 20);
    }
    ak_picture_set_clear(&set);
    assert_status(load("test", &input, &set, NULL), AK_OK);
    assert_int_equal(set.view.n, 5);
    ak_picture_set_clear(&set);
}

static void labels_must_be_as_many_as_images(void **state)
{
    uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 2};
    struct ak_picture_set set = {0};
    struct ak_err err = {0};

    (void)state;
    put_idx("train", 3);
    put("train-labels-idx1-ubyte", labels, sizeof(labels));
    assert_status(load(NULL, &input, &set, &err), AK_ECORRUPT);
    assert_non_null(strstr(err.text, "2 labels for 3 images"));
    assert_null(set.pixels);
}

static void cifar_records_are_taken_as_they_are_or_scaled(void **state)
{
    static uint8_t records[3 * AK_CIFAR_RECORD];
    static const struct ak_layer other = {.c = 3, .h = 16, .w = 16};
    struct ak_picture_set set = {0};
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 1);
    for (size_t i = 0; i < sizeof(records); i++)
        records[i] =
            (uint8_t)(i % AK_CIFAR_RECORD == 0 ? ak_rng_below(&rng, 10)
                                               : ak_rng_below(&rng, 256));
    put("data_batch_1.bin", records, sizeof(records));
    put("test_batch.bin", records, AK_CIFAR_RECORD);
    assert_string_equal(ak_picture_kind(folder), "cifar10");
    assert_status(load(NULL, &input, &set, NULL), AK_OK);
    assert_int_equal(set.view.n, 4);
    assert_int_equal(set.n_train, 3);
    assert_int_equal(set.n_classes, 10);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(set.labels[i], records[i * AK_CIFAR_RECORD]);
        assert_memory_equal(ak_picture(&set.view, i),
                            records + i * AK_CIFAR_RECORD + 1, AK_CIFAR_PIXELS);
    }
    ak_picture_set_clear(&set);
    /* Half the size: each pixel is the mean of four, rounded half up. */
    assert_status(load("train", &other, &set, NULL), AK_OK);
    assert_int_equal(set.view.n, 3);
    for (size_t c = 0; c < 3; c++) {
        const uint8_t *p = records + AK_CIFAR_RECORD + 1 + c * 1024;

        assert_int_equal(ak_picture(&set.view, 1)[c * 256 + 5 * 16 + 7],
                         (p[10 * 32 + 14] + p[10 * 32 + 15] + p[11 * 32 + 14] +
                          p[11 * 32 + 15] + 2) /
                             4);
    }
    ak_picture_set_clear(&set);
}

static void put_png(const char *name, uint8_t value)
{
    struct ak_image image = {0};
    struct ak_writer w = {0};

    assert_status(ak_image_init(&image, 5, 3, 3, NULL), AK_OK);
    memset(image.pixels, value, ak_image_len(&image));
    assert_status(ak_image_encode_png(&image, &w, NULL), AK_OK);
    put(name, w.data, w.len);
    ak_writer_clear(&w);
    ak_image_clear(&image);
}

static void make_dir(const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void a_folder_has_a_folder_a_class(void **state)
{
    static const struct ak_layer grey = {.c = 1, .h = 4, .w = 4};
    struct ak_picture_set set = {0};
    struct ak_err err = {0};

    (void)state;
    make_dir("boot");
    make_dir("sandal");
    put_png("sandal/1.png", 200);
    put_png("boot/2.png", 100);
    put_png("boot/1.png", 50);
    put_png("boot/.hidden.png", 1);
    put("boots.txt", "no class", 8);
    assert_string_equal(ak_picture_kind(folder), "folder");
    assert_status(load(NULL, &grey, &set, &err), AK_OK);
    assert_int_equal(set.view.n, 3);
    assert_int_equal(set.n_classes, 2);
    assert_int_equal(set.labels[0], 0);
    assert_int_equal(set.labels[2], 1);
    assert_int_equal(ak_picture(&set.view, 0)[0], 50);
    assert_int_equal(ak_picture(&set.view, 1)[15], 100);
    assert_int_equal(ak_picture(&set.view, 2)[3], 200);
    ak_picture_set_clear(&set);
    assert_status(load("train", &grey, &set, NULL), AK_EINVAL);
    put("boot/3.png", "no image", 8);
    assert_status(load(NULL, &grey, &set, &err), AK_EINVAL);
    assert_non_null(strstr(err.text, "boot/3.png"));
}

static bool stop_at_once(void *context, size_t done, size_t total)
{
    (void)total;
    *(size_t *)context = done;
    return false;
}

static void what_is_missing_or_stopped_is_told(void **state)
{
    struct ak_picture_source source = {.kind = "folder", .folder = folder};
    struct ak_picture_set set = {0};
    size_t at = 0;

    (void)state;
    assert_status(ak_picture_set_load(&source, &input, &set, NULL),
                  AK_ENOTFOUND);
    source.folder = "no-such-folder";
    assert_status(ak_picture_set_load(&source, &input, &set, NULL),
                  AK_ENOTFOUND);
    source.kind = "imagenet";
    assert_status(ak_picture_set_load(&source, &input, &set, NULL), AK_EINVAL);
    put_idx("train", 255);
    put_idx("t10k", 255);
    source = (struct ak_picture_source){.kind = "idx",
                                        .folder = folder,
                                        .progress = stop_at_once,
                                        .context = &at};
    assert_status(ak_picture_set_load(&source, &input, &set, NULL),
                  AK_ECANCELED);
    assert_int_equal(at, 256);
}

/* ---- parts ------------------------------------------------------------------ */

/* n images of one byte, their number, with labels of 4 classes. */
static void make_set(struct ak_picture_set *set, size_t n)
{
    set->pixels = malloc(n);
    set->labels = malloc(n * sizeof(*set->labels));
    for (size_t i = 0; i < n; i++) {
        set->pixels[i] = (uint8_t)i;
        set->labels[i] = (uint32_t)(i < n / 2 ? 0 : 1 + i % 3);
    }
    set->view = (struct ak_pictures){set->pixels, 1, set->labels, n};
    set->cap = n;
}

static void parts_are_balanced_and_lose_nothing(void **state)
{
    struct ak_picture_parts p = {.search = 0.1, .gate = 0.2, .seed = 7};
    struct ak_picture_set set = {0};
    size_t gate[4] = {0}, search[4] = {0}, seen[240] = {0};

    (void)state;
    make_set(&set, 240);
    assert_status(ak_picture_set_split(&set, 240, &p, NULL), AK_OK);
    assert_int_equal(p.n_train, 168);
    assert_int_equal(p.n_search, 24);
    assert_int_equal(p.n_gate, 48);
    for (size_t i = 0; i < 240; i++) {
        size_t was = set.pixels[i];

        seen[was]++;
        assert_int_equal(set.labels[i], was < 120 ? 0 : 1 + was % 3);
        if (i >= p.n_train + p.n_search)
            gate[set.labels[i]]++;
        else if (i >= p.n_train)
            search[set.labels[i]]++;
        /* Each part keeps the order of the set. */
        if (i > 0 && i != p.n_train && i != p.n_train + p.n_search)
            assert_true(set.pixels[i - 1] < set.pixels[i]);
    }
    for (size_t i = 0; i < 240; i++)
        assert_int_equal(seen[i], 1);
    for (size_t c = 0; c < 4; c++) {
        assert_int_equal(gate[c], c == 0 ? 24 : 8);
        assert_int_equal(search[c], c == 0 ? 12 : 4);
    }
    ak_picture_set_clear(&set);
}

static void parts_follow_from_their_seed(void **state)
{
    struct ak_picture_parts p = {.search = 0.1, .gate = 0.1, .seed = 1};
    struct ak_picture_set a = {0}, b = {0}, c = {0};

    (void)state;
    make_set(&a, 200);
    make_set(&b, 200);
    make_set(&c, 200);
    assert_status(ak_picture_set_split(&a, 200, &p, NULL), AK_OK);
    assert_status(ak_picture_set_split(&b, 200, &p, NULL), AK_OK);
    p.seed = 2;
    assert_status(ak_picture_set_split(&c, 200, &p, NULL), AK_OK);
    assert_memory_equal(a.pixels, b.pixels, 200);
    assert_memory_not_equal(a.pixels, c.pixels, 200);
    ak_picture_set_clear(&a);
    ak_picture_set_clear(&b);
    ak_picture_set_clear(&c);
}

/* Half of the images gone, which moves the places of the others: of these nearly
   all stay in the part that they were in. */
static void parts_follow_the_numbers_of_images(void **state)
{
    struct ak_picture_parts p = {.gate = 0.3, .seed = 5};
    struct ak_picture_set all = {0}, half = {0};
    bool in_gate[240] = {false};
    uint64_t numbers[120];
    size_t same = 0, places = 0;

    (void)state;
    make_set(&all, 240);
    assert_status(ak_picture_set_split(&all, 240, &p, NULL), AK_OK);
    for (size_t i = p.n_train; i < 240; i++)
        in_gate[all.pixels[i]] = true;
    for (int numbered = 0; numbered < 2; numbered++) {
        size_t n = 0;

        make_set(&half, 240);
        for (size_t i = 0; i < 240; i += 2, n++) {
            half.pixels[n] = half.pixels[i];
            half.labels[n] = half.labels[i];
            numbers[n] = i;
        }
        p.numbers = numbered ? numbers : NULL;
        assert_status(ak_picture_set_split(&half, n, &p, NULL), AK_OK);
        for (size_t i = p.n_train; i < n; i++)
            *(numbered ? &same : &places) += in_gate[half.pixels[i]];
        ak_picture_set_clear(&half);
    }
    /* 36 of 120 are the gate's; by chance a third of them were before. */
    print_message("# %zu of 36 by numbers, %zu by places\n", same, places);
    assert_int_equal(p.n_gate, 36);
    assert_true(same >= 28);
    assert_true(places <= 20);
    ak_picture_set_clear(&all);
}

static void a_class_keeps_an_image_to_train_on(void **state)
{
    struct ak_picture_parts p = {.search = 0.45, .gate = 0.5};
    struct ak_picture_set set = {0};

    (void)state;
    make_set(&set, 8);
    assert_status(ak_picture_set_split(&set, 8, &p, NULL), AK_OK);
    for (uint32_t c = 0; c < 4; c++) {
        bool found = false;

        for (size_t i = 0; i < p.n_train; i++)
            found = found || set.labels[i] == c;
        assert_true(found);
    }
    p.gate = 0.55;
    assert_status(ak_picture_set_split(&set, 8, &p, NULL), AK_EINVAL);
    ak_picture_set_clear(&set);
}

/* ---- features ---------------------------------------------------------------- */

static void features_that_tell_classes_apart_are_perfect(void **state)
{
    const float x[] = {1, 0, 3, 0.1f, 0, 1, 0.1f, 7};
    const uint32_t labels[] = {4, 4, 9, 9};
    struct ak_feature_rank rank;

    (void)state;
    assert_status(
        ak_eval_features(x, labels, 4, 2, 100, NULL, NULL, NULL, &rank, NULL),
        AK_OK);
    assert_int_equal(rank.queries, 4);
    assert_true(rank.map == 1);
}

static void features_that_are_all_alike_earn_nothing(void **state)
{
    const float x[] = {1, 1, 1, 1, 1, 1};
    const uint32_t labels[] = {0, 0, 0, 1, 1, 1};
    struct ak_feature_rank rank;

    (void)state;
    assert_status(
        ak_eval_features(x, labels, 6, 1, 100, NULL, NULL, NULL, &rank, NULL),
        AK_OK);
    /* Two relevant rows come last of five: (1 / 4 + 2 / 5) / 2. */
    assert_float_equal(rank.map, 0.325, 1e-9);
}

/* By the definition: the rank of each relevant row, counted. */
static double slow_map(const float *x, const uint32_t *labels, size_t n,
                       uint32_t dim)
{
    double sum = 0;

    for (size_t q = 0; q < n; q++) {
        double likeness[64], ap = 0;
        size_t relevant = 0;

        for (size_t i = 0; i < n; i++) {
            double xy = 0, xx = 0, yy = 0;

            for (uint32_t d = 0; d < dim; d++) {
                xy += (double)x[q * dim + d] * x[i * dim + d];
                xx += (double)x[q * dim + d] * x[q * dim + d];
                yy += (double)x[i * dim + d] * x[i * dim + d];
            }
            likeness[i] = xy * xy / (xx * yy) * (xy < 0 ? -1 : 1);
        }
        for (size_t i = 0; i < n; i++) {
            size_t rank = 1, found = 1;

            if (i == q || labels[i] != labels[q])
                continue;
            for (size_t k = 0; k < n; k++)
                if (k != q && likeness[k] > likeness[i]) {
                    rank++;
                    found += labels[k] == labels[q];
                }
            ap += (double)found / (double)rank;
            relevant++;
        }
        sum += ap / (double)relevant;
    }
    return sum / (double)n;
}

static void the_map_of_features_is_that_of_the_slow_one(void **state)
{
    float x[60 * 5];
    double ap[60], sum = 0;
    uint32_t labels[60];
    struct ak_feature_rank rank;
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 3);
    for (size_t i = 0; i < 60 * 5; i++)
        x[i] = ak_rng_normal(&rng);
    for (size_t i = 0; i < 60; i++)
        labels[i] = (uint32_t)(i % 4);
    assert_status(
        ak_eval_features(x, labels, 60, 5, 60, NULL, NULL, ap, &rank, NULL),
        AK_OK);
    assert_float_equal(rank.map, slow_map(x, labels, 60, 5), 1e-6);
    for (size_t i = 0; i < rank.queries; i++)
        sum += ap[i];
    assert_true(fabs(sum / (double)rank.queries - rank.map) < 1e-12);
    assert_status(
        ak_eval_features(x, labels, 1, 5, 60, NULL, NULL, NULL, &rank, NULL),
        AK_EINVAL);
    x[7] = NAN;
    assert_status(
        ak_eval_features(x, labels, 60, 5, 60, NULL, NULL, NULL, &rank, NULL),
        AK_ENUMERIC);
}

#define IN_FOLDER(f) \
    cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(idx_images_are_scaled_to_the_network),
        IN_FOLDER(labels_must_be_as_many_as_images),
        IN_FOLDER(cifar_records_are_taken_as_they_are_or_scaled),
        IN_FOLDER(a_folder_has_a_folder_a_class),
        IN_FOLDER(what_is_missing_or_stopped_is_told),
        cmocka_unit_test(parts_are_balanced_and_lose_nothing),
        cmocka_unit_test(parts_follow_from_their_seed),
        cmocka_unit_test(parts_follow_the_numbers_of_images),
        cmocka_unit_test(a_class_keeps_an_image_to_train_on),
        cmocka_unit_test(features_that_tell_classes_apart_are_perfect),
        cmocka_unit_test(features_that_are_all_alike_earn_nothing),
        cmocka_unit_test(the_map_of_features_is_that_of_the_slow_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
