/*
 * extractors_internal.h -- the registry of extractors from the inside: its files
 * extractors.c (life, list), extractors_put.c (changes), extractors_live.c (what
 * extracts), extractors_use.c (the collections that use them).
 *
 * `lock` guards the list of versions and all that is in them.  It is never held
 * while a file is read or a network computes.  The writer alone adds and removes
 * versions.  Order: after the engine's and a collection's lock; no other is taken
 * under it.
 */
#ifndef AK_SERVER_EXTRACTORS_INTERNAL_H
#define AK_SERVER_EXTRACTORS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/extractors.h"
#include "storage/catalog.h"

struct ak_xversion {
    struct ak_extractor_row row; /* its texts are the version's own */
    char *key;
    bool damaged;
    char why[AK_ERR_TEXT];
    bool loading; /* by some thread */
    struct ak_extractor *live;
    uint64_t used_ns;
};

struct ak_extractors {
    struct ak_engine *engine;
    const char *data_dir;
    atomic_uint_fast64_t n_rooms;
    unsigned computers; /* of one extractor */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t loaded;
    struct ak_xversion **list; /* by name and version */
    size_t n, cap;
};

/* A copy of a row as a version that is in no list; NULL when memory is short. */
struct ak_xversion *ak_xversion_new(const struct ak_extractor_row *row);
void ak_xversion_free(struct ak_xversion *v);

/* Under the lock; version 0: the published one.  NULL: there is none. */
struct ak_xversion *ak_xversion_find(struct ak_extractors *x, const char *name,
                                     uint32_t version);
struct ak_xversion *ak_xversion_newest(struct ak_extractors *x,
                                       const char *name);
/* Whether any version has that file. */
bool ak_xversion_has_file(struct ak_extractors *x, const uint8_t sha256[32]);
/* Room for one more, or AK_ENOMEM; then it is put in its place. */
enum ak_status ak_xversion_reserve(struct ak_extractors *x, struct ak_err *err);
void ak_xversion_insert(struct ak_extractors *x, struct ak_xversion *v);

/* On the writer: AK_EBUSY when a collection uses the extractor of that name, or
   may, since its settings are not known. */
enum ak_status ak_extractors_unused(struct ak_extractors *x, const char *name,
                                    struct ak_err *err) AK_MUST_CHECK;

#endif
