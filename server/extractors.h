/*
 * extractors.h -- the networks that turn images into features, by name and
 * version.
 *
 * A version is a model file that never changes, in DIR/extractors under the
 * name of its SHA-256, and a row of the catalog.  It exists from the commit of
 * that row on: the file is complete, synced and renamed before it.  What a crash
 * leaves without a row is removed at the next start; a version whose file is not
 * what the row says is *damaged*: it is shown and serves nobody.
 *
 * Versions of a name are 1, 2, 3 ...  A collection is made with one and keeps
 * it; what is *published* is the one that new collections get: the newest that
 * was put or imported.
 *
 * Any thread may call what is here, but for what says otherwise.  Callbacks come
 * from the writer's thread, or before the call returns; they must not block.
 */
#ifndef AK_SERVER_EXTRACTORS_H
#define AK_SERVER_EXTRACTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/image/extract.h"
#include "server/settings.h"

struct ak_engine;
struct ak_extractors;

#define AK_EXTRACTORS_PATH 4096
/* Of one model file, at most. */
#define AK_EXTRACTORS_FILE ((uint64_t)1 << 30)

/* ------------------------------------------------------------------- life */

/* Reads what the catalog has, before the writer is started.  AK_EIO. */
enum ak_status ak_extractors_open(struct ak_engine *engine,
                                  struct ak_extractors **out,
                                  struct ak_err *err) AK_MUST_CHECK;
/* Compares the files with their checksums; long.  Once, before the daemon says
   that it is ready. */
void ak_extractors_verify(struct ak_extractors *x);
/* About ten times a second: lets go of what nobody has used for a minute. */
void ak_extractors_tick(struct ak_extractors *x);
/* Nobody calls any more.  NULL is a no-op. */
void ak_extractors_destroy(struct ak_extractors *x);

struct ak_extractors *ak_engine_extractors(struct ak_engine *engine);

/* ---------------------------------------------------------------- changes */

/*
 * A place for a new model file in DIR/extractors, where nothing is yet: for who
 * then puts it.  What is left there goes at the next start.  AK_EIO.
 */
enum ak_status ak_extractors_room(struct ak_extractors *x,
                                  char path[AK_EXTRACTORS_PATH],
                                  struct ak_err *err) AK_MUST_CHECK;

/*
 * Add the next version of `name`: the complete model file at path `file`, on the
 * same file system, is taken, whatever becomes of it.  It is checked on a thread
 * of the pool, then added by the writer.  A job that has put one gets that
 * version again (0: no job); a file that is the newest version already is no
 * further one.
 *
 * `done` gets the version; AK_EINVAL: the name is none, or the file is no model
 * or cannot be an extractor; AK_ECORRUPT, AK_ELIMIT, AK_EUNSUPPORTED likewise;
 * AK_EFULL: there is little room on the disk; AK_EIO, AK_ENOMEM.
 */
typedef void ak_extractors_done_fn(void *arg, enum ak_status status,
                                   uint32_t version, const struct ak_err *err);
void ak_extractors_put(struct ak_extractors *x, const char *name,
                       const char *file, uint64_t job,
                       ak_extractors_done_fn *done, void *arg);

/*
 * The same with all that can be asked.  The struct is lent until `done` is
 * called, which may read what became of it.  AK_EEXISTS: the key was used by
 * another request.
 */
struct ak_extractor_put {
    const char *name;
    const char *file;
    uint64_t job;
    const char *key; /* Idempotency-Key; NULL: none */
    uint8_t fingerprint[AK_SHA256_LEN];
    bool hidden; /* not published, unless it is the first of its name */

    bool added;    /* a version is new; else it was there */
    bool replayed; /* the key had put it */
};
void ak_extractors_submit(struct ak_extractors *x, struct ak_extractor_put *put,
                          ak_extractors_done_fn *done, void *arg);
/* The version that a key has put in the last 24 hours, 0: none; AK_EEXISTS: by
   another request. */
enum ak_status ak_extractors_replay(struct ak_extractors *x,
                                    const struct ak_extractor_put *put,
                                    uint32_t *version,
                                    struct ak_err *err) AK_MUST_CHECK;

/* Forget all versions of a name.  AK_ENOTFOUND; AK_EBUSY: a collection uses it,
   or may, since it is not loaded. */
typedef void ak_extractors_removed_fn(void *arg, enum ak_status status,
                                      const struct ak_err *err);
void ak_extractors_remove(struct ak_extractors *x, const char *name,
                          ak_extractors_removed_fn *done, void *arg);

/* ---------------------------------------------------------------- reading */

struct ak_extractor_version {
    uint32_t version;
    uint32_t dim;
    uint32_t hash_bits; /* of its hash layer; 0: it has none */
    uint64_t bytes;
    uint8_t sha256[AK_SHA256_LEN];
    bool damaged;
};
/* `version` 0: the published one.  AK_ENOTFOUND. */
enum ak_status ak_extractors_find(struct ak_extractors *x, const char *name,
                                  uint32_t version,
                                  struct ak_extractor_version *out,
                                  struct ak_err *err) AK_MUST_CHECK;

/* The version of that name that has that file and is not damaged; 0: none. */
uint32_t ak_extractors_with_file(struct ak_extractors *x, const char *name,
                                 const uint8_t sha256[AK_SHA256_LEN]);

/* One as the API shows it: NULL with AK_ENOTFOUND or AK_ENOMEM. */
json_t *ak_extractors_json(struct ak_extractors *x, const char *name,
                           struct ak_err *err);
/* Those after `after` by name ("": all), at most `limit`; *more: there are
   further ones.  NULL when memory is short. */
json_t *ak_extractors_list(struct ak_extractors *x, const char *after,
                           size_t limit, bool *more);

/* Versions, and how many are damaged. */
void ak_extractors_count(struct ak_extractors *x, unsigned *n,
                         unsigned *damaged);

/*
 * What extracts, to be let go; the file is read unless it is in memory.
 * AK_ENOTFOUND; AK_ECORRUPT: damaged; AK_ENOMEM.
 */
enum ak_status ak_extractors_get(struct ak_extractors *x, const char *name,
                                 uint32_t version, struct ak_extractor **out,
                                 struct ak_err *err) AK_MUST_CHECK;

/*
 * What an extractor's name means in the settings of a collection that is to be
 * made: its version and `dim`.  A collection that is there keeps what it has, so
 * that the same request is the same a version later.  AK_EINVAL fills `error`;
 * settings without a network are left alone.
 */
enum ak_status ak_extractors_resolve(struct ak_extractors *x,
                                     struct ak_settings *s,
                                     struct ak_fault *error) AK_MUST_CHECK;
/* On the writer: whether what they say is still there.  AK_EINVAL. */
enum ak_status ak_extractors_hold(struct ak_extractors *x,
                                  const struct ak_settings *s,
                                  struct ak_err *err) AK_MUST_CHECK;
/* The extractor of a collection's settings, built in or not, to be let go;
   statuses as ak_extractors_get(). */
enum ak_status ak_extractors_of(struct ak_extractors *x,
                                const struct ak_settings *s,
                                struct ak_extractor **out,
                                struct ak_err *err) AK_MUST_CHECK;
/* Names of the collections that use it, sorted; NULL when memory is short. */
json_t *ak_extractors_users(struct ak_extractors *x, const char *name);

/* Its file, compared with its checksum: *bytes (len) to be freed with free().
   AK_ENOTFOUND; AK_ECORRUPT: damaged; AK_ENOMEM, AK_EIO. */
enum ak_status ak_extractors_read(struct ak_extractors *x, const char *name,
                                  uint32_t version, void **bytes, size_t *len,
                                  struct ak_err *err) AK_MUST_CHECK;

#endif
