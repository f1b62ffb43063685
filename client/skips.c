#include "client/skips.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFUSALS 2

/* Whether the fault is one of an image; which item of the body it is in. */
static bool is_of_image(const struct akin_field_error *field, size_t *item)
{
    static const char *const codes[] = {"image-undecodable", "image-too-large",
                                        "non-finite-value"};
    int end = 0;

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (strcmp(field->code, codes[i]) == 0)
            return sscanf(field->pointer, "/meta/items/%zu/image%n", item,
                          &end) == 1 &&
                   end > 0 && field->pointer[end] == '\0';
    return false;
}

/* The place in the whole batch of item `item` of the body; n: there is none. */
static size_t place_of(const struct skips *skips, size_t item)
{
    size_t place = 0;

    for (; place < skips->n; place++)
        if (!skips->left_out[place] && item-- == 0)
            break;
    return place;
}

bool skips_take(struct skips *skips, size_t n, const struct akin_error *err,
                struct skip found[AKIN_MAX_FIELD_ERRORS], size_t *n_found)
{
    size_t places[AKIN_MAX_FIELD_ERRORS], item;

    if (skips->n == 0) {
        skips->times = calloc(n + 1, sizeof(*skips->times));
        skips->left_out = calloc(n + 1, sizeof(*skips->left_out));
        skips->n = n;
    }
    if (skips->times == NULL || skips->left_out == NULL || err->n_fields == 0)
        return false;
    for (size_t i = 0; i < err->n_fields; i++) {
        if (!is_of_image(&err->fields[i], &item))
            return false;
        places[i] = place_of(skips, item);
        if (places[i] == n)
            return false;
    }
    *n_found = 0;
    for (size_t i = 0; i < err->n_fields; i++) {
        if (++skips->times[places[i]] < REFUSALS)
            continue;
        skips->left_out[places[i]] = true;
        found[(*n_found)++] = (struct skip){places[i], &err->fields[i]};
    }
    return true;
}

void skips_clear(struct skips *skips)
{
    free(skips->times);
    free(skips->left_out);
    *skips = (struct skips){0};
}
