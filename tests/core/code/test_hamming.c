#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/code/hamming.h"
#include "core/code/hamming_kernels.h"

#define MAX_CODES  77
#define MAX_GROUPS ((MAX_CODES + 7) / 8)

/* Bit by bit, from the bytes as they are at rest. */
static uint16_t naive(const uint8_t *a, const uint8_t *b, uint32_t bits)
{
    uint16_t sum = 0;

    for (uint32_t j = 0; j < bits; j++)
        sum = (uint16_t)(sum + ((a[j / 8] >> (7 - j % 8) & 1) !=
                                (b[j / 8] >> (7 - j % 8) & 1)));
    return sum;
}

struct codes {
    uint8_t bytes[MAX_CODES][AK_CODE_MAX_BITS / 8];
    uint8_t query[AK_CODE_MAX_BITS / 8];
    uint64_t query_words[AK_CODE_MAX_WORDS];
    uint64_t *words; /* (MAX_GROUPS, words, 8) */
};

/* Codes with distances all over 0..bits, in both layouts. */
static void draw(struct codes *c, uint32_t bits, struct ak_rng *rng)
{
    size_t words = ak_code_words(bits), len = ak_code_bytes(bits);
    uint64_t one[AK_CODE_MAX_WORDS];

    for (size_t b = 0; b < len; b++)
        c->query[b] = (uint8_t)ak_rng_u64(rng);
    ak_code_load(c->query, bits, c->query_words);
    for (size_t i = 0; i < MAX_CODES; i++) {
        uint64_t flips = ak_rng_below(rng, 4);

        for (size_t b = 0; b < len; b++) {
            uint8_t noise = (uint8_t)ak_rng_u64(rng);

            if (flips == 0)
                noise = 0;
            else if (flips == 1)
                noise = 0xff;
            else if (flips == 2)
                noise &= (uint8_t)ak_rng_u64(rng);
            c->bytes[i][b] = c->query[b] ^ noise;
        }
        ak_code_load(c->bytes[i], bits, one);
        ak_hamming_put(c->words, i, words, one);
    }
}

static const struct ak_hamming_kernel *runnable(size_t i)
{
    const struct ak_hamming_kernel *kernel = ak_hamming_kernel_at(i);

    if (kernel == NULL)
        print_message("# kernel %zu does not run on this machine\n", i);
    return kernel;
}

static void counts_bits_by_hand(void **state)
{
    _Alignas(64) uint64_t codes[8] = {0, 1, UINT64_MAX, 5};
    const uint64_t query[1] = {0};

    (void)state;
    for (size_t i = 0; i < ak_hamming_n_kernels(); i++) {
        const struct ak_hamming_kernel *kernel = runnable(i);
        uint16_t out[8];

        if (kernel == NULL)
            continue;
        kernel->distances(query, codes, 1, 1, out);
        assert_int_equal(out[0], 0);
        assert_int_equal(out[1], 1);
        assert_int_equal(out[2], 64);
        assert_int_equal(out[3], 2);
    }
}

static void a_code_comes_back_as_it_was_put(void **state)
{
    struct ak_rng rng;
    struct codes c;

    (void)state;
    ak_rng_init(&rng, 2);
    c.words = ak_array_new(MAX_GROUPS * 8 * AK_CODE_MAX_WORDS, 8);
    for (uint32_t bits = 8; bits <= AK_CODE_MAX_BITS; bits += 8) {
        uint64_t one[AK_CODE_MAX_WORDS];

        draw(&c, bits, &rng);
        for (size_t i = 0; i < MAX_CODES; i++) {
            ak_hamming_get(c.words, i, ak_code_words(bits), one);
            assert_memory_equal(one, c.bytes[i], ak_code_bytes(bits));
        }
    }
    ak_array_free(c.words);
}

/* All widths, and numbers of groups with every tail of a step. */
static void every_kernel_agrees_with_a_loop_over_bits(void **state)
{
    struct ak_rng rng;
    struct codes c;

    (void)state;
    ak_rng_init(&rng, 1);
    c.words = ak_array_new(MAX_GROUPS * 8 * AK_CODE_MAX_WORDS, 8);
    for (uint32_t bits = 8; bits <= AK_CODE_MAX_BITS; bits += 8) {
        size_t words = ak_code_words(bits);
        uint16_t expected[MAX_CODES];

        draw(&c, bits, &rng);
        for (size_t i = 0; i < MAX_CODES; i++)
            expected[i] = naive(c.query, c.bytes[i], bits);
        for (size_t k = 0; k < ak_hamming_n_kernels(); k++) {
            const struct ak_hamming_kernel *kernel = ak_hamming_kernel_at(k);

            for (size_t n = 0; n <= MAX_CODES && kernel; n += 7) {
                uint16_t out[MAX_GROUPS * 8 + 1];

                out[ak_hamming_groups(n) * 8] = 0xabcd;
                kernel->distances(c.query_words, c.words, ak_hamming_groups(n),
                                  words, out);
                assert_memory_equal(out, expected, n * sizeof(out[0]));
                assert_int_equal(out[ak_hamming_groups(n) * 8], 0xabcd);
            }
        }
    }
    ak_array_free(c.words);
}

static void assert_near(ak_hamming_near_fn *near, const struct codes *c,
                        size_t n_groups, size_t words, uint32_t bound,
                        const struct ak_near *expected, size_t n)
{
    /* Exactly as long as promised, for the sanitizer. */
    struct ak_near *out = malloc(8 * n_groups * sizeof(*out) + 1);

    assert_int_equal(
        near(c->query_words, c->words, n_groups, words, bound, out), n);
    assert_memory_equal(out, expected, n * sizeof(*out));
    free(out);
}

static void every_kernel_names_the_same_near_codes(void **state)
{
    struct ak_rng rng;
    struct codes c;

    (void)state;
    ak_rng_init(&rng, 3);
    c.words = ak_array_new(MAX_GROUPS * 8 * AK_CODE_MAX_WORDS, 8);
    for (uint32_t bits = 8; bits <= AK_CODE_MAX_BITS; bits += 8) {
        size_t words = ak_code_words(bits);

        draw(&c, bits, &rng);
        for (size_t g = 0; g <= MAX_CODES / 8; g++) {
            uint32_t bounds[] = {
                0,    1,       bits / 4, (uint32_t)ak_rng_below(&rng, bits + 1),
                bits, bits + 1};

            for (size_t b = 0; b < sizeof(bounds) / sizeof(bounds[0]); b++) {
                struct ak_near expected[MAX_CODES];
                size_t n = 0;

                for (size_t i = 0; i < 8 * g; i++) {
                    uint16_t d = naive(c.query, c.bytes[i], bits);

                    if (d < bounds[b])
                        expected[n++] = (struct ak_near){(uint16_t)i, d};
                }
                for (size_t k = 0; k < ak_hamming_n_kernels(); k++) {
                    const struct ak_hamming_kernel *kernel =
                        ak_hamming_kernel_at(k);

                    if (kernel == NULL)
                        continue;
                    assert_near(kernel->near, &c, g, words, bounds[b], expected,
                                n);
                    assert_near(kernel->near_stream, &c, g, words, bounds[b],
                                expected, n);
                }
            }
        }
    }
    ak_array_free(c.words);
}

/* Four queries at once name what each names alone. */
static void every_kernel_takes_four_queries_at_once(void **state)
{
    struct ak_rng rng;
    struct codes c;

    (void)state;
    ak_rng_init(&rng, 4);
    c.words = ak_array_new(MAX_GROUPS * 8 * AK_CODE_MAX_WORDS, 8);
    for (uint32_t bits = 8; bits <= AK_CODE_MAX_BITS; bits += 8) {
        size_t words = ak_code_words(bits);

        draw(&c, bits, &rng);
        for (size_t g = 0; g <= MAX_CODES / 8; g++) {
            for (size_t k = 0; k < ak_hamming_n_kernels(); k++) {
                const struct ak_hamming_kernel *kernel =
                    ak_hamming_kernel_at(k);
                uint64_t query[AK_HAMMING_QUERIES][AK_CODE_MAX_WORDS];
                struct ak_near_query queries[AK_HAMMING_QUERIES];

                if (kernel == NULL)
                    continue;
                for (size_t q = 0; q < AK_HAMMING_QUERIES; q++) {
                    ak_hamming_get(c.words, ak_rng_below(&rng, MAX_CODES),
                                   words, query[q]);
                    queries[q] = (struct ak_near_query){
                        .words = query[q],
                        .bound = (uint32_t)ak_rng_below(&rng, bits + 2),
                        .out = malloc(8 * g * sizeof(struct ak_near) + 1)};
                }
                kernel->near_all(queries, c.words, g, words);
                for (size_t q = 0; q < AK_HAMMING_QUERIES; q++) {
                    struct ak_near expected[MAX_CODES + 8];
                    size_t n =
                        ak_hamming_near_scalar(query[q], c.words, g, words,
                                               queries[q].bound, expected);

                    assert_int_equal(queries[q].n, n);
                    assert_memory_equal(queries[q].out, expected,
                                        n * sizeof(*expected));
                    free(queries[q].out);
                }
            }
        }
    }
    ak_array_free(c.words);
}

static void positions_reach_the_end_of_the_longest_call(void **state)
{
    uint64_t *codes = ak_array_new(AK_HAMMING_MAX_GROUPS * 8, 8);
    struct ak_near *out = ak_array_new(AK_HAMMING_MAX_GROUPS * 8, sizeof(*out));
    const uint64_t query[1] = {0};

    (void)state;
    for (size_t i = 0; i < AK_HAMMING_MAX_GROUPS * 8 - 1; i++)
        codes[i] = UINT64_MAX;
    for (size_t k = 0; k < ak_hamming_n_kernels(); k++) {
        const struct ak_hamming_kernel *kernel = ak_hamming_kernel_at(k);

        if (kernel == NULL)
            continue;
        assert_int_equal(
            kernel->near(query, codes, AK_HAMMING_MAX_GROUPS, 1, 64, out), 1);
        assert_int_equal(out[0].position, 65535);
        assert_int_equal(out[0].distance, 0);
    }
    ak_array_free(codes);
    ak_array_free(out);
}

static void the_environment_pins_a_kernel(void **state)
{
    const char *set = getenv("AKIND_ISA");
    char *before = set != NULL ? strdup(set) : NULL;

    (void)state;
    for (size_t k = 0; k < ak_hamming_n_kernels(); k++) {
        const struct ak_hamming_kernel *kernel = ak_hamming_kernel_at(k);

        if (kernel == NULL)
            continue;
        setenv("AKIND_ISA", kernel->isa, 1);
        ak_hamming_pin(NULL);
        assert_ptr_equal(ak_hamming_kernel(), kernel);
    }
    unsetenv("AKIND_ISA");
    if (before != NULL)
        setenv("AKIND_ISA", before, 1);
    free(before);
    ak_hamming_pin(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_bits_by_hand),
        cmocka_unit_test(a_code_comes_back_as_it_was_put),
        cmocka_unit_test(every_kernel_agrees_with_a_loop_over_bits),
        cmocka_unit_test(every_kernel_names_the_same_near_codes),
        cmocka_unit_test(every_kernel_takes_four_queries_at_once),
        cmocka_unit_test(positions_reach_the_end_of_the_longest_call),
        cmocka_unit_test(the_environment_pins_a_kernel),
    };

    return cmocka_run_group_tests_name("hamming", tests, NULL, NULL);
}
