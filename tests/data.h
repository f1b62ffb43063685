/* data.h -- finding the data sets that some tests run on. */
#ifndef AK_TESTS_DATA_H
#define AK_TESTS_DATA_H

#include <stddef.h>
#include <stdint.h>

/*
 * Path of `name` ("photos/imagenette10.tar") into `path`, from the first of
 * $AKIN_DATA, ../shared/data beside the source tree, and /usr/share/datasets
 * that has it.  Returns `path`, or NULL: then the test is skipped.
 */
const char *ak_test_data(const char *name, char *path, size_t cap);

/* The whole file, to be freed with free(); fails the test if unreadable. */
uint8_t *ak_test_read_file(const char *path, size_t *len);

/*
 * What a program's main() returns after it said, in TAP, that all of it is
 * skipped.  (cmocka's skip() prints "not ok", which the harness counts as a
 * failure.)
 */
int ak_test_skip_all(const char *test, const char *reason);

#endif
