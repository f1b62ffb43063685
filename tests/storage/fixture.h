/* fixture.h -- a folder of one test, a store in it, and short ways to say what
   a change is. */
#ifndef AK_TESTS_STORAGE_FIXTURE_H
#define AK_TESTS_STORAGE_FIXTURE_H

#include "tests/test.h"

#include <sqlite3.h>
#include <stdbool.h>

#include "storage/collection.h"

#define ROW_BYTES  8
#define CODE_BYTES 4

extern const struct ak_space first_space;

struct fixture {
    char dir[64];
    char path[96]; /* of the collection's file */
    struct ak_store *store;
    struct ak_view *view;
    struct ak_err err;
};

/* cmocka: a folder with nothing in it; `*state` is the fixture. */
int make_folder_fixture(void **state);
/* The same with a new store, open, and a view: ids are numbers, or text. */
int make_fixture(void **state);
int make_text_fixture(void **state);
int remove_fixture(void **state);

struct ak_bytes bytes_of(const char *text);
bool same_text(struct ak_bytes bytes, const char *text);

/* A block of n rows, each the bytes of `tag` + its place. */
void fill_block(uint8_t *block, size_t n, uint64_t tag);
void assert_block(struct ak_view *view, uint64_t first, size_t n, uint64_t tag);

/* Do one change in a group of its own. */
enum ak_status apply_alone(struct fixture *f, const struct ak_change *change,
                           struct ak_receipt *receipt);
/* The same of n rows without labels; ids NULL: assigned.  Must succeed. */
struct ak_receipt put_rows(struct fixture *f, size_t n,
                           const struct ak_row_id *ids, uint64_t tag);

/* Whether a segment is packed; it must then be what a walk of its rows shows. */
bool packed_and_right(struct fixture *f, uint64_t segment);

/* Close all, run SQL past the library, as a broken disk would. */
void damage(struct fixture *f, const char *sql);
void close_all(struct fixture *f);
void open_all(struct fixture *f);

#endif
