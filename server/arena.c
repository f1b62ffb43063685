#include "server/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The first block is short: most requests need no more. */
#define FIRST_BLOCK 2048
#define BLOCK       16384
#define ALIGN       16

struct ak_arena_block {
    struct ak_arena_block *older;
    size_t cap; /* with this head */
};

#define HEAD ((sizeof(struct ak_arena_block) + ALIGN - 1) / ALIGN * ALIGN)

void ak_arena_lend(struct ak_arena *arena, void *memory, size_t len)
{
    struct ak_arena_block *b = memory;

    assert(arena->blocks == NULL && len >= HEAD);
    *b = (struct ak_arena_block){.cap = len};
    *arena = (struct ak_arena){
        .blocks = b, .used = HEAD, .bytes = len, .lent = memory};
}

void *ak_arena_array(struct ak_arena *arena, size_t n, size_t size)
{
    struct ak_arena_block *b = arena->blocks;
    size_t block = b == NULL ? FIRST_BLOCK : BLOCK, len;

    if (__builtin_mul_overflow(n, size, &len) || len > SIZE_MAX / 2)
        return NULL;
    len = (len + ALIGN - 1) / ALIGN * ALIGN;
    if (b == NULL || b->cap - arena->used < len) {
        size_t cap = HEAD + (len > block - HEAD ? len : block - HEAD);

        b = malloc(cap);
        if (b == NULL)
            return NULL;
        b->cap = cap;
        b->older = arena->blocks;
        arena->blocks = b;
        arena->used = HEAD;
        arena->bytes += cap;
    }
    arena->used += len;
    return memset((char *)b + arena->used - len, 0, len);
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
        if (b != arena->lent)
            free(b);
    }
    memset(arena, 0, sizeof(*arena));
}
