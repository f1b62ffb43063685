#include "server/arena.h"

#include <stdint.h>
#include <string.h>

#include "core/base/mem.h"

#define BLOCK 16384
#define ALIGN 16

struct ak_arena_block {
    struct ak_arena_block *older;
    size_t cap; /* with this head */
};

#define HEAD ((sizeof(struct ak_arena_block) + ALIGN - 1) / ALIGN * ALIGN)

void *ak_arena_array(struct ak_arena *arena, size_t n, size_t size)
{
    struct ak_arena_block *b = arena->blocks;
    size_t len;

    if (__builtin_mul_overflow(n, size, &len) || len > SIZE_MAX / 2)
        return NULL;
    len = (len + ALIGN - 1) / ALIGN * ALIGN;
    if (b == NULL || b->cap - arena->used < len) {
        size_t cap = HEAD + (len > BLOCK - HEAD ? len : BLOCK - HEAD);

        b = ak_array_new(1, cap);
        if (b == NULL)
            return NULL;
        b->cap = cap;
        b->older = arena->blocks;
        arena->blocks = b;
        arena->used = HEAD;
        arena->bytes += cap;
    }
    arena->used += len;
    return (char *)b + arena->used - len;
}

char *ak_arena_copy(struct ak_arena *arena, const void *bytes, size_t len)
{
    char *p = ak_arena_array(arena, len + 1, 1);

    if (p != NULL && len > 0)
        memcpy(p, bytes, len);
    return p;
}

void ak_arena_clear(struct ak_arena *arena)
{
    while (arena->blocks != NULL) {
        struct ak_arena_block *b = arena->blocks;

        arena->blocks = b->older;
        ak_array_free(b);
    }
    memset(arena, 0, sizeof(*arena));
}
