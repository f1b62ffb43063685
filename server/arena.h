/*
 * arena.h -- memory of one request that is freed in one go.
 *
 * Not for several threads at once.  A zeroed struct is an empty arena.
 */
#ifndef AK_SERVER_ARENA_H
#define AK_SERVER_ARENA_H

#include <stddef.h>

struct ak_arena {
    struct ak_arena_block *blocks; /* newest first */
    size_t used;                   /* in the newest */
    size_t bytes;                  /* of all blocks */
    const void *lent; /* a block that is the caller's; NULL: none */
};

/* An empty arena begins in memory of the caller, aligned to 16 bytes, which must
   outlive it. */
void ak_arena_lend(struct ak_arena *arena, void *memory, size_t len);

/* `n` zeroed elements of `size` bytes ; NULL when memory
   is short or the product overflows.  None is a valid pointer. */
void *ak_arena_array(struct ak_arena *arena, size_t n, size_t size);
/* A copy of `len` bytes with a zero behind them; NULL when memory is short. */
char *ak_arena_copy(struct ak_arena *arena, const void *bytes, size_t len);
void ak_arena_clear(struct ak_arena *arena);

#endif
