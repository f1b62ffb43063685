/*
 * codebook.c -- Hadamard target codes, as in HCOH and HMOH.
 *
 * Lin, Ji, Liu and Wu, "Supervised Online Hashing via Hadamard Codebook
 * Learning", ACM Multimedia 2018 (arXiv:1905.03694); Lin et al., "Hadamard
 * Matrix Guided Online Hashing", IJCV 128, 2020 (arXiv:1905.04454).
 *
 * Differences from the released code, and why:
 *
 *  - Rows are shuffled for HMOH too.  Taken in order, the first 16 rows of a
 *    Sylvester matrix repeat every 16 columns, so with ten classes all bits
 *    beyond the 16th were copies.  For the same reason independent rows come
 *    first (core/linalg/hadamard.h), and a draw is repeated if codes or columns
 *    of it are equal.
 *  - Column 0 of the matrix is +1 for every class.  Where order == bits nothing
 *    can be done about it short of dropping a bit; it stays, as in the paper.
 *  - Columns of V are not scaled to unit length: only signs are used.
 *  - The released filling of tied votes can write outside of the tied entries;
 *    what it means to do is done.
 *  - Classes may exceed the order; picking the best draw is ours as well.
 */
#include "core/hash/codebook.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/code/code.h"
#include "core/linalg/hadamard.h"

/* Draws of (shuffle, V) when picking; without, draws until one is in order. */
#define PICK_DRAWS  500
#define RETRY_DRAWS 50

/* Entries of V over all draws, at most: about a second. */
#define DRAW_BUDGET (UINT32_C(1) << 25)

/* 47 is a prime and 3 modulo 4. */
#define PALEY_ORDER 48

/* Random rows tried for a class beyond the order. */
#define EXTRA_DRAWS 500

static size_t row_words(const struct ak_codebook *b)
{
    return (b->order + 63) / 64;
}

static uint32_t distance(const uint64_t *a, const uint64_t *b, size_t words)
{
    uint32_t d = 0;

    for (size_t i = 0; i < words; i++)
        d += (uint32_t)__builtin_popcountll(a[i] ^ b[i]);
    return d;
}

/* The code of a row: V' row, a sum in the order of the rows of V. */
static void code_of_row(const struct ak_codebook *b, const uint64_t *row,
                        float *sum, uint64_t *code)
{
    memset(code, 0, ak_code_words(b->bits) * sizeof(*code));
    if (b->v == NULL) {
        memcpy(code, row, ak_code_words(b->bits) * sizeof(*code));
        return;
    }
    memset(sum, 0, b->bits * sizeof(*sum));
    for (uint32_t i = 0; i < b->order; i++) {
        const float *v = b->v + (size_t)i * b->bits;

        if (row[i / 64] >> (i % 64) & 1)
            for (uint32_t j = 0; j < b->bits; j++)
                sum[j] += v[j];
        else
            for (uint32_t j = 0; j < b->bits; j++)
                sum[j] -= v[j];
    }
    for (uint32_t j = 0; j < b->bits; j++)
        if (sum[j] > 0.0f)
            code[j / 64] |= UINT64_C(1) << (j % 64);
}

/* The row of the matrix that class c, below the order, gets. */
static void matrix_row(const struct ak_codebook *b, uint32_t c, uint64_t *row)
{
    if (b->paley)
        ak_hadamard_paley_row(b->row_of[c], b->order - 1, row);
    else
        ak_hadamard_row(b->row_of[c], b->order, row);
}

static void draw(struct ak_codebook *b, struct ak_rng *rows, struct ak_rng *v)
{
    for (uint32_t i = 0; i < b->order; i++)
        b->row_of[i] = i;
    ak_rng_shuffle(rows, b->row_of, b->order);
    if (!b->paley)
        ak_hadamard_independent_first(b->row_of, b->order);
    for (size_t i = 0; b->v != NULL && i < (size_t)b->order * b->bits; i++)
        b->v[i] = ak_rng_normal(v);
}

struct score {
    uint32_t flaws; /* columns constant, or like or opposite to another */
    uint32_t least; /* smallest distance of two codes */
    uint64_t sum;   /* of all distances */
};

/* Columns of the table codes (n, words) that tell the classes nothing new. */
static uint32_t count_flaws(const struct ak_codebook *b, const uint64_t *codes,
                            uint32_t n, uint64_t *columns)
{
    size_t words = ak_code_words(b->bits);
    uint32_t flaws = 0;

    /* Columns are turned so that they begin with 0, and told apart by a 64-bit
       hash of their entries, which for up to 64 classes is the column itself. */
    for (uint32_t j = 0; j < b->bits; j++) {
        uint64_t turn = codes[j / 64] >> (j % 64) & 1, hash = 0;
        uint32_t ones = 0;
        bool flaw;

        for (uint32_t c = 0; c < n; c++) {
            uint64_t bit = (codes[c * words + j / 64] >> (j % 64) & 1) ^ turn;

            hash = (n > 64 ? hash * 0x9e3779b97f4a7c15u : hash << 1) + bit;
            ones += (uint32_t)bit;
        }
        flaw = ones == 0;
        for (uint32_t i = 0; i < j && !flaw; i++)
            flaw = columns[i] == hash;
        columns[j] = hash;
        flaws += flaw;
    }
    return flaws;
}

/* How good the codes of the first `n` classes of this draw are. */
static struct score rate(const struct ak_codebook *b, uint32_t n, uint64_t *row,
                         uint64_t *codes, uint64_t *columns, float *sum)
{
    size_t words = ak_code_words(b->bits);
    struct score s = {.least = UINT32_MAX};

    for (uint32_t c = 0; c < n; c++) {
        matrix_row(b, c, row);
        code_of_row(b, row, sum, codes + c * words);
        for (uint32_t a = 0; a < c; a++) {
            uint32_t d = distance(codes + a * words, codes + c * words, words);

            s.least = d < s.least ? d : s.least;
            s.sum += d;
        }
    }
    s.flaws = count_flaws(b, codes, n, columns);
    return s;
}

/* With `pick` distances decide; without, only what is plainly wrong does. */
static bool is_better(const struct score *a, const struct score *b, bool pick)
{
    if (pick)
        return a->least != b->least ? a->least > b->least : a->sum > b->sum;
    if ((a->least > 0) != (b->least > 0))
        return a->least > 0;
    return a->flaws < b->flaws;
}

/*
 * Draw again and again from one pair of generators; their states before the
 * best draw are enough to repeat it.
 */
static enum ak_status choose_draw(struct ak_codebook *b, bool pick,
                                  struct ak_err *err)
{
    uint32_t n = b->declared < b->order ? b->declared : b->order;
    size_t size = (size_t)b->order * b->bits;
    uint32_t draws = pick ? PICK_DRAWS : RETRY_DRAWS;
    uint64_t *row = ak_array_new(row_words(b), sizeof(*row));
    uint64_t *codes = ak_array_new(n * ak_code_words(b->bits), sizeof(*codes));
    uint64_t *columns = ak_array_new(b->bits, sizeof(*columns));
    struct ak_rng rows, v, best_rows, best_v;
    struct score best = {0};
    enum ak_status status = AK_OK;

    ak_rng_init(&rows, ak_rng_derive(b->seed, "hadamard rows"));
    ak_rng_init(&v, ak_rng_derive(b->seed, "hadamard projection"));
    best_rows = rows;
    best_v = v;
    if (row == NULL || codes == NULL || columns == NULL) {
        status = ak_fail(err, AK_ENOMEM, "no memory for %u target codes", n);
        goto out;
    }
    if (draws > DRAW_BUDGET / size)
        draws = DRAW_BUDGET / size > 4 ? (uint32_t)(DRAW_BUDGET / size) : 4;
    /* Rows of the matrix itself are all equally far apart: no draw is better. */
    if (b->v == NULL)
        draws = 0;
    for (uint32_t i = 0; i < draws; i++) {
        struct ak_rng rows_now = rows, v_now = v;
        struct score s;

        draw(b, &rows, &v);
        s = rate(b, n, row, codes, columns, b->sum);
        if (i == 0 || is_better(&s, &best, pick)) {
            best = s;
            best_rows = rows_now;
            best_v = v_now;
        }
        if (!pick && s.least > 0 && s.flaws == 0)
            break;
    }
    draw(b, &best_rows, &best_v);

out:
    ak_array_free(columns);
    ak_array_free(codes);
    ak_array_free(row);
    return status;
}

static enum ak_status init_with(struct ak_codebook *b, uint32_t bits,
                                uint32_t declared, bool pick, bool paley,
                                uint64_t seed, struct ak_err *err)
{
    enum ak_status status;

    memset(b, 0, sizeof(*b));
    b->paley = paley;
    b->order =
        paley ? bits : ak_hadamard_order(bits > declared ? bits : declared);
    b->bits = bits;
    b->declared = declared;
    b->seed = seed;
    b->row_of = ak_array_new(b->order, sizeof(*b->row_of));
    b->vote = ak_array_new(b->order, sizeof(*b->vote));
    b->tied = ak_array_new(b->order, sizeof(*b->tied));
    b->sum = ak_array_new(bits, sizeof(*b->sum));
    if (b->order != bits)
        b->v = ak_array_new((size_t)b->order * bits, sizeof(*b->v));
    if (b->row_of == NULL || b->vote == NULL || b->tied == NULL ||
        b->sum == NULL || (b->order != bits && b->v == NULL)) {
        ak_codebook_clear(b);
        return ak_fail(err, AK_ENOMEM, "no memory for codes of order %u",
                       b->order);
    }
    status = choose_draw(b, pick, err);
    if (status != AK_OK)
        ak_codebook_clear(b);
    return status;
}

enum ak_status ak_codebook_init(struct ak_codebook *b, uint32_t bits,
                                uint32_t declared, bool pick, uint64_t seed,
                                struct ak_err *err)
{
    return init_with(b, bits, declared, pick, false, seed, err);
}

enum ak_status ak_codebook_init_deep(struct ak_codebook *b, uint32_t bits,
                                     uint32_t declared, uint64_t seed,
                                     struct ak_err *err)
{
    return init_with(b, bits, declared, true,
                     bits == PALEY_ORDER && declared <= PALEY_ORDER, seed, err);
}

void ak_codebook_clear(struct ak_codebook *b)
{
    ak_array_free(b->row_of);
    ak_array_free(b->v);
    ak_array_free(b->rows);
    ak_array_free(b->codes);
    ak_array_free(b->vote);
    ak_array_free(b->tied);
    ak_array_free(b->sum);
    memset(b, 0, sizeof(*b));
}

static enum ak_status reserve(struct ak_codebook *b, size_t n,
                              struct ak_err *err)
{
    size_t cap = b->cap ? b->cap : 16;
    size_t wide = row_words(b), words = ak_code_words(b->bits);
    uint64_t *rows, *codes;

    if (b->rows != NULL && n <= b->cap)
        return AK_OK;
    while (cap < n)
        cap *= 2;
    rows = ak_array_new(cap * wide, sizeof(*rows));
    codes = ak_array_new(cap * words, sizeof(*codes));
    if (rows == NULL || codes == NULL) {
        ak_array_free(rows);
        ak_array_free(codes);
        return ak_fail(err, AK_ENOMEM, "no memory for %zu target codes", n);
    }
    if (b->n > 0) {
        memcpy(rows, b->rows, b->n * wide * sizeof(*rows));
        memcpy(codes, b->codes, b->n * words * sizeof(*codes));
    }
    ak_array_free(b->rows);
    ak_array_free(b->codes);
    b->rows = rows;
    b->codes = codes;
    b->cap = cap;
    return AK_OK;
}

/* The smallest distance of `code` to a code in use; stops at or below `enough`. */
static uint32_t nearest(const struct ak_codebook *b, const uint64_t *code,
                        uint32_t enough)
{
    size_t words = ak_code_words(b->bits);
    uint32_t least = UINT32_MAX;

    for (uint32_t c = 0; c < b->n && (c == 0 || least > enough); c++) {
        uint32_t d = distance(code, b->codes + c * words, words);

        least = d < least ? d : least;
    }
    return least;
}

static void random_row(struct ak_codebook *b, struct ak_rng *rng, uint64_t *row)
{
    for (size_t i = 0; i < row_words(b); i++)
        row[i] = ak_rng_u64(rng);
    if (b->order < 64)
        row[0] &= (UINT64_C(1) << b->order) - 1;
}

/*
 * The best of the random rows.  Keeps no copy of it: the generator's state
 * before the row is enough to draw it again.
 */
static void extra_class(struct ak_codebook *b, uint64_t *row, uint64_t *code)
{
    struct ak_rng rng, best;
    uint32_t farthest = 0;

    ak_rng_init(&rng, ak_rng_derive(b->seed, "extra class") + b->n);
    best = rng;
    for (int i = 0; i < EXTRA_DRAWS; i++) {
        struct ak_rng before = rng;
        uint32_t d;

        random_row(b, &rng, row);
        code_of_row(b, row, b->sum, code);
        d = nearest(b, code, farthest);
        if (d > farthest) {
            farthest = d;
            best = before;
        }
    }
    random_row(b, &best, row);
    code_of_row(b, row, b->sum, code);
}

enum ak_status ak_codebook_grow(struct ak_codebook *b, uint32_t n,
                                struct ak_err *err)
{
    enum ak_status status = reserve(b, n, err);

    if (status != AK_OK)
        return status;
    for (; b->n < n; b->n++) {
        uint64_t *row = b->rows + b->n * row_words(b);
        uint64_t *code = b->codes + b->n * ak_code_words(b->bits);

        if (b->n < b->order) {
            matrix_row(b, b->n, row);
            code_of_row(b, row, b->sum, code);
        }
        if (b->n >= b->order || nearest(b, code, 0) == 0)
            extra_class(b, row, code);
    }
    return AK_OK;
}

void ak_codebook_truncate(struct ak_codebook *b, uint32_t n)
{
    if (n < b->n)
        b->n = n;
}

int ak_codebook_bit(const struct ak_codebook *b, uint32_t c, uint32_t j)
{
    const uint64_t *code = b->codes + c * ak_code_words(b->bits);

    return code[j / 64] >> (j % 64) & 1 ? 1 : -1;
}

/*
 * With p entries positive, q negative and z tied: min(|p - q|, z) of the tied
 * take the rarer sign, half of the rest are +1 and half -1, and a last odd one
 * is a coin toss.
 */
static void fill_ties(struct ak_codebook *b, const uint32_t *classes, size_t n,
                      uint32_t positive, uint32_t ties)
{
    uint32_t negative = b->order - positive - ties;
    uint32_t gap =
        positive > negative ? positive - negative : negative - positive;
    float rarer = positive > negative ? -1.0f : 1.0f;
    uint64_t seed = ak_rng_derive(b->seed, "ties");
    uint32_t even, half;
    struct ak_rng rng;

    for (size_t l = 0; l < n; l++) {
        ak_rng_init(&rng, seed ^ classes[l]);
        seed = ak_rng_u64(&rng);
    }
    ak_rng_init(&rng, seed);
    ak_rng_shuffle(&rng, b->tied, ties);
    even = gap < ties ? gap : ties;
    half = (ties - even) / 2 + ((ties - even) % 2 & (ak_rng_u64(&rng) >> 63));
    for (uint32_t i = 0; i < ties; i++)
        b->vote[b->tied[i]] = i < even ? rarer : i < even + half ? 1.0f : -1.0f;
}

void ak_codebook_target(struct ak_codebook *b, const uint32_t *classes,
                        size_t n, float *target)
{
    uint32_t positive = 0, ties = 0;

    if (n == 1) {
        for (uint32_t j = 0; j < b->bits; j++)
            target[j] = (float)ak_codebook_bit(b, classes[0], j);
        return;
    }
    for (uint32_t i = 0; i < b->order; i++) {
        int sum = 0;

        for (size_t l = 0; l < n; l++) {
            const uint64_t *row = b->rows + classes[l] * row_words(b);

            sum += row[i / 64] >> (i % 64) & 1 ? 1 : -1;
        }
        b->vote[i] = (float)((sum > 0) - (sum < 0));
        positive += sum > 0;
        if (sum == 0)
            b->tied[ties++] = i;
    }
    if (ties > 0)
        fill_ties(b, classes, n, positive, ties);
    if (b->v == NULL) {
        memcpy(target, b->vote, b->bits * sizeof(*target));
        return;
    }
    memset(target, 0, b->bits * sizeof(*target));
    for (uint32_t i = 0; i < b->order; i++)
        for (uint32_t j = 0; j < b->bits; j++)
            target[j] += b->vote[i] * b->v[(size_t)i * b->bits + j];
    for (uint32_t j = 0; j < b->bits; j++)
        target[j] = target[j] > 0.0f ? 1.0f : -1.0f;
}

size_t ak_codebook_bytes(const struct ak_codebook *b)
{
    size_t n =
        b->order * (sizeof(*b->row_of) + sizeof(*b->vote) + sizeof(*b->tied)) +
        b->bits * sizeof(*b->sum);

    if (b->v != NULL)
        n += (size_t)b->order * b->bits * sizeof(*b->v);
    return n +
           b->cap * (row_words(b) + ak_code_words(b->bits)) * sizeof(uint64_t);
}

void ak_codebook_write_constants(const struct ak_codebook *b,
                                 struct ak_writer *w)
{
    ak_write_u32(w, b->order);
    ak_write_u32s(w, b->row_of, b->order);
    if (b->v != NULL)
        ak_write_f32s(w, b->v, (size_t)b->order * b->bits);
}

/* The saved draw replaces the one that create() made, should a build differ. */
enum ak_status ak_codebook_read_constants(struct ak_codebook *b,
                                          struct ak_reader *r,
                                          struct ak_err *err)
{
    uint32_t order = ak_read_u32(r);

    if (r->status == AK_OK && order != b->order)
        return ak_fail(err, AK_ECORRUPT, "codes of order %u, must be %u", order,
                       b->order);
    ak_read_u32s(r, b->row_of, b->order);
    for (uint32_t i = 0; i < b->order; i++)
        if (b->row_of[i] >= b->order)
            return ak_fail(err, AK_ECORRUPT,
                           "code row %u is %u, must be below %u", i,
                           b->row_of[i], b->order);
    if (b->v != NULL)
        ak_read_f32s(r, b->v, (size_t)b->order * b->bits);
    return AK_OK;
}

void ak_codebook_write_rows(const struct ak_codebook *b, struct ak_writer *w)
{
    ak_write_u64s(w, b->rows, b->n * row_words(b));
}

enum ak_status ak_codebook_read_rows(struct ak_codebook *b, uint32_t n,
                                     struct ak_reader *r, struct ak_err *err)
{
    enum ak_status status;

    if (ak_reader_left(r) / sizeof(uint64_t) / row_words(b) < n)
        return ak_fail(err, AK_ECORRUPT,
                       "%u code rows of %zu words in %zu bytes", n,
                       row_words(b), ak_reader_left(r));
    status = reserve(b, n, err);
    if (status != AK_OK)
        return status;
    ak_read_u64s(r, b->rows, n * row_words(b));
    for (b->n = 0; b->n < n; b->n++)
        code_of_row(b, b->rows + b->n * row_words(b), b->sum,
                    b->codes + b->n * ak_code_words(b->bits));
    return AK_OK;
}
