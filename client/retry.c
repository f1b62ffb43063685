/*
 * retry.c -- when a failed request is sent again, and after how long.
 *
 * Exponential backoff, each wait drawn from its upper half ("equal jitter",
 * Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015):
 * clients that failed together do not come back together, and none comes back
 * at once.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client/error.h"

#define DEFAULT_ATTEMPTS 5
#define DEFAULT_BASE_MS  100
#define DEFAULT_CAP_MS   10000

int akin_is_idempotent(const struct akin_request *request)
{
    return request->idempotency_key != NULL || request->producer != NULL ||
           request->repeatable || strcmp(request->method, "GET") == 0 ||
           strcmp(request->method, "HEAD") == 0;
}

/* Whether the same request may succeed later, unchanged. */
static int may_pass(enum akin_result result, const struct akin_error *err)
{
    if (result == AKIN_ECONNECT || result == AKIN_ETIMEOUT)
        return 1;
    if (result != AKIN_EPROBLEM || err == NULL)
        return 0;
    /* Read-only is what an operator wants, not a moment that passes. */
    if (strcmp(err->slug, "read-only") == 0)
        return 0;
    return err->status == 429 || err->status == 502 || err->status == 503 ||
           err->status == 504 || err->status == 507;
}

/* xorshift64* (Vigna, 2016): jitter needs spread, not quality. */
static uint64_t draw_below(uint64_t *seed, uint64_t n)
{
    uint64_t x = *seed != 0 ? *seed : 0x9e3779b97f4a7c15u;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *seed = x;
    return n == 0 ? 0 : (x * 0x2545f4914f6cdd1du >> 11) % n;
}

int64_t akin_retry_delay_ms(const struct akin_retry *retry,
                            const struct akin_request *request,
                            enum akin_result result,
                            const struct akin_error *err,
                            int64_t retry_after_ms, unsigned attempt,
                            uint64_t *seed)
{
    unsigned most =
        retry->max_attempts != 0 ? retry->max_attempts : DEFAULT_ATTEMPTS;
    uint64_t base = retry->base_ms != 0 ? retry->base_ms : DEFAULT_BASE_MS;
    uint64_t cap = retry->cap_ms != 0 ? retry->cap_ms : DEFAULT_CAP_MS;
    uint64_t wait = base;

    if (request->single || attempt >= most || !akin_is_idempotent(request) ||
        !may_pass(result, err))
        return -1;
    if (retry_after_ms >= 0)
        return retry_after_ms + (int64_t)draw_below(seed, base + 1);
    for (unsigned i = 1; i < attempt && wait < cap; i++)
        wait *= 2;
    if (wait > cap)
        wait = cap;
    return (int64_t)(wait / 2 + draw_below(seed, wait - wait / 2 + 1));
}

enum akin_result akin_random_key(char *key, struct akin_error *err)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[16];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return akin_fail(err, AKIN_EARGUMENT,
                         "the system gave no random bytes for a key");
    for (size_t i = 0; i < sizeof(bytes); i++) {
        key[2 * i] = digits[bytes[i] >> 4];
        key[2 * i + 1] = digits[bytes[i] & 15];
    }
    key[2 * sizeof(bytes)] = '\0';
    return AKIN_OK;
}

char *akin_path_segment(const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz0123456789-_.~";
    char *out = malloc(3 * strlen(text) + 1);
    size_t n = 0;

    if (out == NULL)
        return NULL;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (strchr(plain, c) != NULL) {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = digits[c >> 4];
            out[n++] = digits[c & 15];
        }
    }
    out[n] = '\0';
    return out;
}
