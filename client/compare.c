#include "config.h"

#include "client/compare.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/tool.h"
#include "core/base/clock.h"

static int failed(sqlite3 *db, const char *path)
{
    return tool_usage("%s: %s", path,
                      db != NULL ? sqlite3_errmsg(db) : "no memory");
}

static bool insert_rows(sqlite3 *db, sqlite3_stmt *insert,
                        const struct akin_rows *rows, uint64_t first)
{
    size_t len = rows->vectors != NULL ? rows->dim * sizeof(float) : rows->dim;
    const char *data = rows->vectors != NULL ? (const char *)rows->vectors
                                             : (const char *)rows->codes;

    if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return false;
    for (size_t i = 0; i < rows->n; i++) {
        sqlite3_bind_int64(insert, 1, (sqlite3_int64)(first + i));
        if (rows->labels != NULL)
            sqlite3_bind_int64(insert, 2, rows->labels[i]);
        else if (rows->label_texts != NULL)
            sqlite3_bind_text(insert, 2, rows->label_texts[i], -1,
                              SQLITE_STATIC);
        sqlite3_bind_blob(insert, 3, data + i * len, (int)len, SQLITE_STATIC);
        if (sqlite3_step(insert) != SQLITE_DONE)
            return false;
        sqlite3_reset(insert);
    }
    return sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
}

static void delete_file(const char *path)
{
    static const char *const endings[] = {"", "-wal", "-shm"};

    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        char *name = NULL;

        if (asprintf(&name, "%s%s", path, endings[i]) < 0)
            return;
        unlink(name);
        free(name);
    }
}

int compare_sqlite(struct source *source, uint64_t first_batch,
                   const char *path, struct compare_result *out)
{
    static const char schema[] =
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "CREATE TABLE items (id INTEGER PRIMARY KEY, label, vector BLOB)";
    struct compare_result r = {0};
    sqlite3 *db = NULL;
    sqlite3_stmt *insert = NULL;
    uint64_t spent = 0;
    int code = EXIT_OK;

    if (access(path, F_OK) == 0)
        return tool_usage("%s: is there already; the comparison makes and "
                          "deletes its file",
                          path);
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "INSERT INTO items VALUES (?, ?, ?)", -1,
                           &insert, NULL) != SQLITE_OK)
        code = failed(db, path);
    for (uint64_t i = first_batch;
         i < source_batches(source) && code == EXIT_OK; i++) {
        struct akin_rows rows;
        uint64_t before;

        code = source_vectors(source, i, &rows);
        before = ak_clock_ns();
        if (code == EXIT_OK && !insert_rows(db, insert, &rows, r.rows))
            code = failed(db, path);
        spent += ak_clock_ns() - before;
        r.rows += rows.n;
    }
    sqlite3_finalize(insert);
    sqlite3_close(db);
    delete_file(path);
    r.seconds = (double)spent * 1e-9;
    if (code == EXIT_OK)
        *out = r;
    return code;
}
