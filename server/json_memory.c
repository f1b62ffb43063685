/*
 * json_memory.c -- jansson's memory.
 *
 * While a text is read, an allocation that fails ends the reading at once, by a
 * longjmp: jansson's lexer would go on with a token that lacks bytes, among them
 * the quote that ends it, and read past its end.  So what is allocated meanwhile
 * is in a list, all of which is freed then.  jansson holds no lock and nothing
 * else that would be left behind.
 */
#include "server/json_memory.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/text.h"

/* Before each block that jansson has. */
struct block {
    struct block *prev, *next; /* of those of one reading, while it goes on */
    uint64_t reading;          /* which; 0: none */
    uint64_t unused;           /* keeps what follows aligned */
};

_Static_assert(sizeof(struct block) % _Alignof(max_align_t) == 0,
               "what follows a block's head is aligned");

struct reading {
    jmp_buf out;
    uint64_t id;
    struct block *blocks;
};

static atomic_uint_fast64_t n_readings;
static _Thread_local struct reading *reading;
static _Thread_local bool missing;

static void *allocate(size_t n)
{
    struct block *b =
        n <= SIZE_MAX - sizeof(*b) ? malloc(sizeof(*b) + n) : NULL;

    if (b == NULL) {
        missing = true;
        if (reading != NULL)
            longjmp(reading->out, 1);
        return NULL;
    }
    *b = (struct block){0};
    if (reading != NULL) {
        b->reading = reading->id;
        b->next = reading->blocks;
        if (b->next != NULL)
            b->next->prev = b;
        reading->blocks = b;
    }
    return b + 1;
}

static void release(void *p)
{
    struct block *b = p;

    if (p == NULL)
        return;
    b--;
    if (reading != NULL && b->reading == reading->id) {
        if (b->prev != NULL)
            b->prev->next = b->next;
        else
            reading->blocks = b->next;
        if (b->next != NULL)
            b->next->prev = b->prev;
    }
    free(b);
}

void ak_json_memory_init(void)
{
    json_set_alloc_funcs(allocate, release);
    /* The seed of the hash of objects. */
    json_object_seed(0);
}

bool ak_json_memory_short(void)
{
    bool was = missing;

    missing = false;
    return was;
}

static int append(const char *bytes, size_t len, void *arg)
{
    struct ak_text *t = arg;

    ak_text_add(t, bytes, len);
    return t->failed ? -1 : 0;
}

char *ak_json_text(const json_t *value, size_t flags)
{
    struct ak_text t = {0};
    bool whole =
        value != NULL && json_dump_callback(value, append, &t, flags) == 0;

    if (ak_json_memory_short() || t.failed || !whole)
        ak_text_clear(&t);
    return t.data;
}

json_t *ak_json_value(const char *text, size_t len, size_t flags,
                      json_error_t *error)
{
    struct reading r = {.blocks = NULL};
    json_t *value;

    r.id = atomic_fetch_add(&n_readings, 1) + 1;
    if (setjmp(r.out) == 0) {
        reading = &r;
        value = json_loadb(text, len, flags, error);
        reading = NULL;
        return value;
    }
    reading = NULL;
    (void)ak_json_memory_short();
    for (struct block *b = r.blocks, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    if (error != NULL) {
        snprintf(error->text, sizeof(error->text) - 1, "memory is short");
        error->text[sizeof(error->text) - 1] = json_error_out_of_memory;
    }
    return NULL;
}
