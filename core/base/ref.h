/*
 * ref.h -- a count of holders, the first member of an immutable shared object.
 *
 * Who makes the object holds it once.  Any thread that holds it may take
 * another reference; the last one to let go destroys it.  The object itself
 * must not change while it is shared.
 */
#ifndef AK_CORE_BASE_REF_H
#define AK_CORE_BASE_REF_H

#include <stdatomic.h>
#include <stddef.h>

struct ak_ref {
    atomic_uint holders;
    void (*destroy)(struct ak_ref *ref); /* called once, by the last holder */
};

static inline void ak_ref_init(struct ak_ref *ref,
                               void (*destroy)(struct ak_ref *))
{
    atomic_init(&ref->holders, 1);
    ref->destroy = destroy;
}

/* Returns `ref`, which may be NULL. */
static inline struct ak_ref *ak_ref_take(struct ak_ref *ref)
{
    if (ref != NULL)
        atomic_fetch_add_explicit(&ref->holders, 1, memory_order_relaxed);
    return ref;
}

/* NULL is a no-op. */
static inline void ak_ref_drop(struct ak_ref *ref)
{
    /* Acquire and release on one operation rather than a fence, which the
       thread sanitizer does not follow. */
    if (ref != NULL &&
        atomic_fetch_sub_explicit(&ref->holders, 1, memory_order_acq_rel) == 1)
        ref->destroy(ref);
}

#endif
