#include "client/names.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a (Fowler, Noll, Vo), then open addressing, one after the other. */
static uint32_t place_of(const struct names *names, const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    uint32_t at;

    for (const char *c = text; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    at = (uint32_t)(hash ^ hash >> 32) & (names->n_slots - 1);
    while (names->slots[at] != 0 &&
           strcmp(names->texts[names->slots[at] - 1], text) != 0)
        at = (at + 1) & (names->n_slots - 1);
    return at;
}

static int grow(struct names *names)
{
    uint32_t cap = names->cap == 0 ? 64 : 2 * names->cap;
    char **texts = realloc(names->texts, cap * sizeof(*texts));
    uint32_t *slots;

    if (texts == NULL)
        return 0;
    names->texts = texts;
    slots = calloc(2 * (size_t)cap, sizeof(*slots));
    if (slots == NULL)
        return 0;
    free(names->slots);
    names->slots = slots;
    names->n_slots = 2 * cap;
    names->cap = cap;
    for (uint32_t i = 0; i < names->n; i++)
        slots[place_of(names, names->texts[i])] = i + 1;
    return 1;
}

uint32_t names_find(const struct names *names, const char *text)
{
    uint32_t found;

    if (names->n_slots == 0)
        return NAMES_NONE;
    found = names->slots[place_of(names, text)];
    return found == 0 ? NAMES_NONE : found - 1;
}

uint32_t names_add(struct names *names, const char *text)
{
    uint32_t found = names_find(names, text);

    if (found != NAMES_NONE)
        return found;
    if (names->n == names->cap && (names->n >= UINT32_MAX / 8 || !grow(names)))
        return NAMES_NONE;
    names->texts[names->n] = strdup(text);
    if (names->texts[names->n] == NULL)
        return NAMES_NONE;
    names->slots[place_of(names, text)] = names->n + 1;
    return names->n++;
}

void names_clear(struct names *names)
{
    for (uint32_t i = 0; i < names->n; i++)
        free(names->texts[i]);
    free(names->texts);
    free(names->slots);
    memset(names, 0, sizeof(*names));
}
