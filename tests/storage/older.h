/* older.h -- SQL that takes a collection's file back to an earlier format, by
   undoing one step of sqlite_schema.c after the other. */
#ifndef AK_TESTS_STORAGE_OLDER_H
#define AK_TESTS_STORAGE_OLDER_H

/* From 7 to 6: nobody counts labelled images. */
#define OLDER_FINETUNE                               \
    "ALTER TABLE state DROP COLUMN labelled_images;" \
    "DROP TABLE finetune; PRAGMA user_version=6;"

/* From 6 to 5: one space. */
#define OLDER_SPACES                                                     \
    "DROP TABLE spaces; ALTER TABLE blocks RENAME TO later_blocks;"      \
    "CREATE TABLE blocks(first INTEGER PRIMARY KEY, n INTEGER NOT NULL," \
    "  crc INTEGER NOT NULL, data BLOB NOT NULL) STRICT;"                \
    "INSERT INTO blocks SELECT first, n, crc, data FROM later_blocks"    \
    "  WHERE space = 0; DROP TABLE later_blocks;"                        \
    "ALTER TABLE versions DROP COLUMN space;"                            \
    "ALTER TABLE generations DROP COLUMN space; PRAGMA user_version=5;"

/* From 5 to 4: no identity. */
#define OLDER_IDENTITY                  \
    "ALTER TABLE state DROP COLUMN id;" \
    "ALTER TABLE state DROP COLUMN commits; PRAGMA user_version=4;"

/* From 4 to 3: no packed rows. */
#define OLDER_PACKED "DROP TABLE packed; PRAGMA user_version=3;"

#endif
