/*
 * sqlite_schema_internal.h -- the tables of our files, by numbered steps.
 *
 * `application_id` says which of our files it is, `user_version` which steps it
 * has been through.
 */
#ifndef AK_STORAGE_SQLITE_SCHEMA_INTERNAL_H
#define AK_STORAGE_SQLITE_SCHEMA_INTERNAL_H

#include "storage/sqlite_internal.h"

struct ak_schema {
    const char *what;        /* "collection", for texts */
    uint32_t application_id; /* as `file` shows it */
    uint32_t n_steps;
    const char *const *steps; /* (n_steps) SQL; never edited once released */
};

extern const struct ak_schema ak_schema_catalog;
extern const struct ak_schema ak_schema_collection;

/* Make the tables of an empty file, within the caller's transaction. */
enum ak_status ak_schema_create(struct ak_db *db,
                                const struct ak_schema *schema,
                                struct ak_err *err) AK_MUST_CHECK;

/* Which steps the file has been through; AK_ECORRUPT: not of this schema, or of
   a later build. */
enum ak_status ak_schema_read(struct ak_db *db, const struct ak_schema *schema,
                              uint32_t *version,
                              struct ak_err *err) AK_MUST_CHECK;

/*
 * See that the file is of this schema.  With `upgrade`, a file of an earlier
 * step goes through the missing ones, all or none; without it, or from a later
 * build, it is AK_ECORRUPT.
 */
enum ak_status ak_schema_check(struct ak_db *db, const struct ak_schema *schema,
                               bool upgrade, struct ak_err *err) AK_MUST_CHECK;

#endif
