/* What a batch of 1,000 x 512 floats in JSON costs, one line of JSON a case. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/blob.h"
#include "core/base/clock.h"
#include "core/base/rng.h"
#include "server/json_body.h"

enum { ROWS = 1000, DIM = 512, ROUNDS = 15 };

static void write_batch(struct ak_writer *w, int digits)
{
    struct ak_rng rng;
    char text[64];
    int n;

    ak_rng_init(&rng, 1);
    ak_write_bytes(w, "{\"items\":[", 10);
    for (int i = 0; i < ROWS; i++) {
        n = snprintf(text, sizeof(text), "%s{\"id\":%d,\"vector\":[",
                     i == 0 ? "" : ",", i);
        ak_write_bytes(w, text, (size_t)n);
        for (int j = 0; j < DIM; j++) {
            n = snprintf(text, sizeof(text), "%s%.*g", j == 0 ? "" : ",",
                         digits, (double)ak_rng_normal(&rng));
            ak_write_bytes(w, text, (size_t)n);
        }
        ak_write_bytes(w, "],\"labels\":[\"boot\"]}", 20);
    }
    ak_write_bytes(w, "]}", 2);
}

/* Milliseconds of the fastest of some rounds; 0 for jansson alone. */
static double measure(const struct ak_writer *w,
                      const struct ak_json_rules *rules)
{
    struct ak_json json = {0};
    double best = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        struct ak_writer copy = {0};
        uint64_t begin;
        double ms;

        ak_write_bytes(&copy, w->data, w->len);
        begin = ak_clock_ns();
        if (ak_json_parse(&json, (char *)copy.data, copy.len, rules, NULL) !=
            AK_OK)
            exit(1);
        ms = (double)(ak_clock_ns() - begin) / 1e6;
        best = ms < best ? ms : best;
        ak_writer_clear(&copy);
    }
    ak_json_clear(&json);
    return best;
}

int main(void)
{
    static const char *const hot[] = {"items[].vector"};
    const struct ak_json_rules fast = {hot, 1, SIZE_MAX, SIZE_MAX};
    const struct ak_json_rules slow = {hot, 0, SIZE_MAX, SIZE_MAX};
    static const int digits[] = {6, 9, 17};

    for (size_t i = 0; i < sizeof(digits) / sizeof(digits[0]); i++) {
        struct ak_writer w = {0};
        double ms;

        write_batch(&w, digits[i]);
        ms = measure(&w, &fast);
        printf("{\"bench\":\"json\",\"rows\":%d,\"dim\":%d,\"digits\":%d,"
               "\"bytes\":%zu,\"ms\":%.2f,\"ns_a_float\":%.1f,"
               "\"jansson_ms\":%.2f}\n",
               ROWS, DIM, digits[i], w.len, ms, ms * 1e6 / (ROWS * DIM),
               measure(&w, &slow));
        ak_writer_clear(&w);
    }
    return 0;
}
