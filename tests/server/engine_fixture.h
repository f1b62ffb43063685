/*
 * engine_fixture.h -- an engine in a directory of its own, and calls of it that
 * wait for their answer.  What fails ends the test.
 */
#ifndef AK_TESTS_SERVER_ENGINE_FIXTURE_H
#define AK_TESTS_SERVER_ENGINE_FIXTURE_H

#include <pthread.h>

#include "core/hash/hash.h"
#include "server/engine_internal.h"
#include "tests/test.h"

enum { DIM = 16, BITS = 32, CLASSES = 4, BATCH = 100 };

/* Of the group of tests: an empty directory, and no more. */
extern char fixture_dir[64];
int make_dir(void **state);
int remove_dir(void **state);

/* ------------------------------------------------- waiting for a callback */

struct box {
    pthread_mutex_t lock;
    pthread_cond_t there;
    bool done;
    enum ak_status status;
    bool flag;
    enum ak_ack reached;
    struct ak_collection *collection;
    struct ak_receipt receipt;
    char text[AK_ERR_TEXT];
};
void box_init(struct box *b);
void box_put(struct box *b); /* with its lock, which it lets go */
void box_wait(struct box *b);

/* ------------------------------------------------------------- the engine */

struct ak_engine_params fixture_params(void);
struct ak_engine *open_engine(void);
struct ak_engine *open_engine_with(const struct ak_engine_params *params);
/* Default options, but without a feature map, so that valgrind gets through in
   time; policy manual. */
struct ak_settings settings_of(const char *name, const char *kind);
void set_option(struct ak_settings *s, const char *option, double value);
struct ak_collection *create(struct ak_engine *e, const struct ak_settings *s);
struct ak_receipt submit(struct ak_collection *c,
                         const struct ak_change *change);
/* What came of it, whatever it is. */
enum ak_status submit_status(struct ak_collection *c,
                             const struct ak_change *change);
/* Without waiting; `s` is filled when the box is. */
struct submitted {
    struct ak_submission submission;
    struct box box;
};
void submit_later(struct ak_collection *c, const struct ak_change *change,
                  struct submitted *s);
void wait_for(struct ak_collection *c, uint64_t seq, enum ak_ack ack);
/* Appends one and waits until it serves. */
struct ak_receipt publish(struct ak_collection *c);
struct ak_receipt append(struct ak_collection *c, enum ak_record_kind kind);

/* ---------------------------------------------------------------- the rows */

/* Row i of the made stream: class i % CLASSES, around a corner of its own. */
void make_row(uint64_t i, float x[DIM]);
/* Rows from .. from + n - 1 of it as one record, with their numbers as ids and
   their class as label. */
struct ak_receipt put_rows(struct ak_collection *c, uint64_t from, size_t n,
                           enum ak_record_kind kind, const char *key);

/* Any rows: `labels` gives at most MOST_LABELS of them to row i, as numbers
   that are written as text; `row` its vector.  NULL: as put_rows(). */
enum { MOST_LABELS = 4 };
typedef size_t labels_fn(uint64_t i, uint32_t labels[MOST_LABELS]);
typedef void row_fn(uint64_t i, float x[DIM]);
struct ak_receipt put_made(struct ak_collection *c, uint64_t from, size_t n,
                           enum ak_record_kind kind, labels_fn *labels,
                           row_fn *row, const char *key);
size_t one_label(uint64_t i, uint32_t labels[MOST_LABELS]); /* i % CLASSES */

/* --------------------------------------------------------------- the states */

/* Model file and codes of all rows, to compare two states. */
struct ak_writer state_of(struct ak_collection *c);
void assert_same_state(struct ak_writer *a, struct ak_writer *b);

/* The same of rows 0 .. n - 1 that core/hash learnt without an engine, in one
   call. */
struct ak_writer state_offline(const struct ak_settings *s, size_t n,
                               labels_fn *labels, row_fn *row);

#endif
