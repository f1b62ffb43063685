/* names.h -- texts numbered in the order in which they first came. */
#ifndef AK_CLIENT_NAMES_H
#define AK_CLIENT_NAMES_H

#include <stddef.h>
#include <stdint.h>

struct names {
    char **texts; /* (n), owned */
    uint32_t n;
    uint32_t cap;
    uint32_t *slots;  /* n + 1 at its place by hash; 0: empty */
    uint32_t n_slots; /* a power of two, or 0 */
};

#define NAMES_NONE UINT32_MAX

/* The number of `text`, which it gets if it is new; NAMES_NONE when memory is
   short. */
uint32_t names_add(struct names *names, const char *text);
/* NAMES_NONE when it is not there. */
uint32_t names_find(const struct names *names, const char *text);
void names_clear(struct names *names);

#endif
