/*
 * The tables of the catalog and of a collection's file.
 *
 * A step is never edited once it is released: a change of the tables is one
 * more step at the end.  Every checksum is the CRC-32 of the blob beside it,
 * since SQLite checks the shape of its pages but not what is in them.  Numbers
 * in blobs are little-endian.
 */
#include "storage/sqlite_schema_internal.h"

#include <stdio.h>

#include "core/base/moment.h"

/*
 * `files`: AUTOINCREMENT never gives a number twice.  A row without a name is a
 * file that was reserved or whose collection is gone.
 */
static const char *const catalog_steps[] = {
    "CREATE TABLE state("
    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  clean INTEGER NOT NULL) STRICT;"
    "CREATE TABLE files("
    "  file INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  name TEXT UNIQUE) STRICT;"
    "INSERT INTO state VALUES (1, 1);",
    /* Jobs: request, progress and result are JSON. */
    "CREATE TABLE jobs("
    "  id INTEGER PRIMARY KEY,"
    "  state INTEGER NOT NULL,"
    "  wanted INTEGER NOT NULL,"
    "  kind TEXT NOT NULL,"
    "  target TEXT NOT NULL,"
    "  request TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  started_ms INTEGER NOT NULL,"
    "  ended_ms INTEGER NOT NULL,"
    "  progress TEXT,"
    "  result TEXT,"
    "  error TEXT,"
    "  crc INTEGER,"
    "  checkpoint BLOB,"
    "  key TEXT,"
    "  fingerprint BLOB NOT NULL) STRICT;"
    "CREATE TABLE job_lines("
    "  job INTEGER NOT NULL,"
    "  n INTEGER NOT NULL,"
    "  time_ms INTEGER NOT NULL,"
    "  level INTEGER NOT NULL,"
    "  text TEXT NOT NULL,"
    "  PRIMARY KEY (job, n)) STRICT, WITHOUT ROWID;",
    /* The job that made the collection; NULL: none did. */
    "ALTER TABLE files ADD COLUMN job INTEGER;",
    /* Versions of extractors; ms: NULL when it was not measured. */
    "CREATE TABLE extractors("
    "  name TEXT NOT NULL,"
    "  version INTEGER NOT NULL,"
    "  sha256 BLOB NOT NULL,"
    "  bytes INTEGER NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  published INTEGER NOT NULL,"
    "  job INTEGER UNIQUE,"
    "  architecture TEXT,"
    "  notes TEXT,"
    "  channels INTEGER NOT NULL,"
    "  height INTEGER NOT NULL,"
    "  width INTEGER NOT NULL,"
    "  dim INTEGER NOT NULL,"
    "  classes INTEGER NOT NULL,"
    "  macs INTEGER NOT NULL,"
    "  parameters INTEGER NOT NULL,"
    "  ms REAL,"
    "  key TEXT,"
    "  fingerprint BLOB NOT NULL,"
    "  PRIMARY KEY (name, version)) STRICT, WITHOUT ROWID;",
    /* Of the codes that a network makes by itself; 0: it makes none. */
    "ALTER TABLE extractors ADD COLUMN hash_bits INTEGER NOT NULL DEFAULT 0;",
};

/*
 * state    what is known without counting, written by every commit;
 *          last_id: the greatest number ever given to a row, -1 for none;
 *          labelled_images: how often a row with an image was given labels
 * records  body: ordinals (u64 each, n_ordinals), then, for kinds with labels,
 *          label_first (u32, n + 1) and the label numbers (u32)
 * rows     id: INTEGER or TEXT; labels: numbers (u32); seq, dead: the records
 *          that brought and ended it
 * blocks   the vectors of rows first .. first + n - 1 in a space
 * keys     what an Idempotency-Key led to; producer_log the same for producers
 */
static const char *const collection_steps[] = {
    "CREATE TABLE shape("
    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  string_ids INTEGER NOT NULL,"
    "  row_bytes INTEGER NOT NULL,"
    "  code_bytes INTEGER NOT NULL) STRICT;"
    "CREATE TABLE config("
    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  text TEXT NOT NULL) STRICT;"
    "CREATE TABLE state("
    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  last_seq INTEGER NOT NULL,"
    "  next_ordinal INTEGER NOT NULL,"
    "  live_rows INTEGER NOT NULL,"
    "  n_labels INTEGER NOT NULL,"
    "  last_id INTEGER NOT NULL,"
    "  published INTEGER NOT NULL,"
    "  last_rollback_seq INTEGER NOT NULL) STRICT;"
    "INSERT INTO state VALUES (1, 0, 0, 0, 0, -1, 0, 0);"
    "CREATE TABLE records("
    "  seq INTEGER PRIMARY KEY,"
    "  kind INTEGER NOT NULL,"
    "  time_ms INTEGER NOT NULL,"
    "  first_ordinal INTEGER NOT NULL,"
    "  n INTEGER NOT NULL,"
    "  n_ordinals INTEGER NOT NULL,"
    "  version INTEGER NOT NULL,"
    "  cause INTEGER,"
    "  crc INTEGER,"
    "  body BLOB) STRICT;"
    "CREATE UNIQUE INDEX records_cause ON records(kind, cause)"
    "  WHERE cause IS NOT NULL;"
    "CREATE TABLE rows("
    "  ordinal INTEGER PRIMARY KEY,"
    "  id ANY NOT NULL,"
    "  seq INTEGER NOT NULL,"
    "  dead INTEGER,"
    "  labels BLOB,"
    "  payload TEXT) STRICT;"
    "CREATE UNIQUE INDEX rows_id ON rows(id) WHERE dead IS NULL;"
    "CREATE TABLE blocks("
    "  first INTEGER PRIMARY KEY,"
    "  n INTEGER NOT NULL,"
    "  crc INTEGER NOT NULL,"
    "  data BLOB NOT NULL) STRICT;"
    "CREATE TABLE labels("
    "  number INTEGER PRIMARY KEY,"
    "  name TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE images("
    "  ordinal INTEGER PRIMARY KEY,"
    "  crc INTEGER NOT NULL,"
    "  data BLOB NOT NULL) STRICT;"
    "CREATE TABLE keys("
    "  name TEXT PRIMARY KEY,"
    "  time_ms INTEGER NOT NULL,"
    "  fingerprint BLOB NOT NULL,"
    "  seq INTEGER NOT NULL,"
    "  first_ordinal INTEGER NOT NULL,"
    "  first_id INTEGER NOT NULL,"
    "  accepted INTEGER NOT NULL,"
    "  missing INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX keys_time ON keys(time_ms);"
    "CREATE TABLE producers("
    "  name TEXT PRIMARY KEY,"
    "  last INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE producer_log("
    "  name TEXT NOT NULL,"
    "  number INTEGER NOT NULL,"
    "  fingerprint BLOB NOT NULL,"
    "  seq INTEGER NOT NULL,"
    "  first_ordinal INTEGER NOT NULL,"
    "  first_id INTEGER NOT NULL,"
    "  accepted INTEGER NOT NULL,"
    "  missing INTEGER NOT NULL,"
    "  PRIMARY KEY (name, number)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE checkpoint("
    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  learned_seq INTEGER NOT NULL,"
    "  fingerprint TEXT NOT NULL,"
    "  crc INTEGER NOT NULL,"
    "  state BLOB NOT NULL) STRICT;"
    "CREATE TABLE constants("
    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  crc INTEGER NOT NULL,"
    "  data BLOB NOT NULL) STRICT;"
    "CREATE TABLE outcomes("
    "  seq INTEGER PRIMARY KEY,"
    "  time_ms INTEGER NOT NULL,"
    "  text TEXT NOT NULL) STRICT;"
    "CREATE INDEX outcomes_time ON outcomes(time_ms);"
    "CREATE TABLE versions("
    "  version INTEGER PRIMARY KEY,"
    "  state INTEGER NOT NULL,"
    "  at_seq INTEGER NOT NULL UNIQUE,"
    "  samples INTEGER NOT NULL,"
    "  created_ms INTEGER NOT NULL,"
    "  served_quality REAL,"
    "  model_len INTEGER NOT NULL) STRICT;"
    "CREATE TABLE models("
    "  version INTEGER PRIMARY KEY,"
    "  crc INTEGER NOT NULL,"
    "  data BLOB NOT NULL) STRICT;"
    "CREATE TABLE codes("
    "  version INTEGER NOT NULL,"
    "  segment INTEGER NOT NULL,"
    "  crc INTEGER NOT NULL,"
    "  data BLOB NOT NULL,"
    "  UNIQUE (version, segment)) STRICT;",
    /* Learners that were made anew; 0 is the one of the beginning.
       install_seq 0: not installed. */
    "CREATE TABLE generations("
    "  number INTEGER PRIMARY KEY,"
    "  base_seq INTEGER NOT NULL,"
    "  install_seq INTEGER NOT NULL,"
    "  held INTEGER NOT NULL,"
    "  job INTEGER NOT NULL,"
    "  settings TEXT NOT NULL,"
    "  constants_crc INTEGER,"
    "  constants BLOB,"
    "  state_crc INTEGER,"
    "  state BLOB) STRICT;",
    /* Rows to be erased, and that were; seq: the record that ended the row. */
    "CREATE TABLE erasures("
    "  ordinal INTEGER PRIMARY KEY,"
    "  seq INTEGER NOT NULL,"
    "  done INTEGER NOT NULL) STRICT;",
    /* What an index needs of the rows of a full segment (packed.c).  A cache: a
       change of the rows deletes it. */
    "CREATE TABLE packed("
    "  segment INTEGER PRIMARY KEY,"
    "  crc INTEGER NOT NULL,"
    "  data BLOB NOT NULL) STRICT;",
    /* By which a log is known to be of this file: each commit writes it. */
    "ALTER TABLE state ADD COLUMN id BLOB;"
    "ALTER TABLE state ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;"
    "UPDATE state SET id = randomblob(16);",
    /* Vectors of more than one extractor.  A space of a new file is put there
       with its shape. */
    "CREATE TABLE spaces("
    "  number INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  row_bytes INTEGER NOT NULL) STRICT;"
    "INSERT INTO spaces SELECT 0, row_bytes FROM shape;"
    "ALTER TABLE blocks RENAME TO old_blocks;"
    "CREATE TABLE blocks("
    "  space INTEGER NOT NULL,"
    "  first INTEGER NOT NULL,"
    "  n INTEGER NOT NULL,"
    "  crc INTEGER NOT NULL,"
    "  data BLOB NOT NULL,"
    "  UNIQUE (space, first)) STRICT;"
    "INSERT INTO blocks SELECT 0, first, n, crc, data FROM old_blocks"
    "  ORDER BY first;"
    "DROP TABLE old_blocks;"
    "ALTER TABLE versions ADD COLUMN space INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE generations ADD COLUMN space INTEGER NOT NULL DEFAULT 0;",
    /* What a policy of fine-tuning counts, and how far it is. */
    "ALTER TABLE state ADD COLUMN labelled_images INTEGER NOT NULL DEFAULT 0;"
    "UPDATE state SET labelled_images = (SELECT count(*) FROM images"
    "  JOIN rows USING (ordinal) WHERE labels IS NOT NULL);"
    "CREATE TABLE finetune("
    "  one INTEGER PRIMARY KEY CHECK (one = 1),"
    "  crc INTEGER NOT NULL,"
    "  data BLOB NOT NULL) STRICT;",
};

#define N_STEPS(steps) (sizeof(steps) / sizeof((steps)[0]))

const struct ak_schema ak_schema_catalog = {
    .what = "catalog",
    .application_id = 0x616b6963, /* "akic" */
    .n_steps = N_STEPS(catalog_steps),
    .steps = catalog_steps,
};

const struct ak_schema ak_schema_collection = {
    .what = "collection",
    .application_id = 0x616b696e, /* "akin" */
    .n_steps = N_STEPS(collection_steps),
    .steps = collection_steps,
};

static enum ak_status run_steps(struct ak_db *db,
                                const struct ak_schema *schema, uint32_t from,
                                struct ak_err *err)
{
    char sql[96];
    enum ak_status status = AK_OK;

    for (uint32_t i = from; i < schema->n_steps && status == AK_OK; i++)
        status = ak_db_exec(db, schema->steps[i], err);
    if (status != AK_OK)
        return status;
    /* PRAGMA takes no parameters. */
    snprintf(sql, sizeof(sql),
             "PRAGMA application_id=%u;PRAGMA user_version=%u",
             (unsigned)schema->application_id, (unsigned)schema->n_steps);
    return ak_db_exec(db, sql, err);
}

enum ak_status ak_schema_create(struct ak_db *db,
                                const struct ak_schema *schema,
                                struct ak_err *err)
{
    return run_steps(db, schema, 0, err);
}

static enum ak_status read_pragma(struct ak_db *db, const char *sql,
                                  uint32_t *value, struct ak_err *err)
{
    struct ak_sql q;
    enum ak_status status;
    uint64_t number = 0;

    ak_sql_start(&q, db, sql);
    status = ak_sql_numbers(&q, 1, &number, err);
    *value = (uint32_t)number;
    return status;
}

static enum ak_status upgrade_file(struct ak_db *db,
                                   const struct ak_schema *schema,
                                   uint32_t from, struct ak_err *err)
{
    enum ak_status status = ak_db_exec(db, "BEGIN IMMEDIATE", err);

    if (status != AK_OK)
        return status;
    status = run_steps(db, schema, from, err);
    ak_moment(AK_AT_UPGRADE);
    if (status == AK_OK)
        status = ak_db_exec(db, "COMMIT", err);
    ak_moment(AK_AT_UPGRADED);
    if (status != AK_OK && !sqlite3_get_autocommit(db->handle)) {
        enum ak_status undone = ak_db_exec(db, "ROLLBACK", NULL);

        (void)undone; /* the first failure is the one to tell */
    }
    return status;
}

enum ak_status ak_schema_read(struct ak_db *db, const struct ak_schema *schema,
                              uint32_t *out, struct ak_err *err)
{
    static const char get_application[] = "PRAGMA application_id";
    static const char get_version[] = "PRAGMA user_version";
    uint32_t application = 0, version = 0;
    enum ak_status status = read_pragma(db, get_application, &application, err);

    if (status == AK_OK)
        status = read_pragma(db, get_version, &version, err);
    if (status != AK_OK)
        return status;
    if (application != schema->application_id)
        return ak_fail(err, AK_ECORRUPT,
                       "%s: not a %s file: application id is %08x, must be "
                       "%08x",
                       db->name, schema->what, (unsigned)application,
                       (unsigned)schema->application_id);
    if (version > schema->n_steps)
        return ak_fail(err, AK_ECORRUPT,
                       "%s: %s format is %u, this build reads up to %u: it was "
                       "written by a later one",
                       db->name, schema->what, (unsigned)version,
                       (unsigned)schema->n_steps);
    *out = version;
    return AK_OK;
}

enum ak_status ak_schema_check(struct ak_db *db, const struct ak_schema *schema,
                               bool upgrade, struct ak_err *err)
{
    uint32_t version = 0;
    enum ak_status status = ak_schema_read(db, schema, &version, err);

    if (status != AK_OK || version == schema->n_steps)
        return status;
    if (!upgrade)
        return ak_fail(err, AK_ECORRUPT,
                       "%s: %s format is %u, must be brought to %u by its "
                       "writer first",
                       db->name, schema->what, (unsigned)version,
                       (unsigned)schema->n_steps);
    return upgrade_file(db, schema, version, err);
}
