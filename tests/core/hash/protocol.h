/*
 * protocol.h -- the protocol of the HMOH paper on a set of MNIST's form.
 *
 * 70,000 images of 28 x 28 pixels in [0, 1]: 100 seeded queries a class, the
 * other 69,000 are the database, and the first 20,000 of the shuffled database
 * the labelled stream; 32 bits.
 */
#ifndef AK_TESTS_CORE_HASH_PROTOCOL_H
#define AK_TESTS_CORE_HASH_PROTOCOL_H

#include <stddef.h>

/*
 * Mean mAP of a method with its defaults over seeds 0, 1, ...; each is printed.
 * `set` is a folder as ak_test_data() finds it.  Fails the test on any error.
 */
double protocol_map(const char *set, const char *method, int seeds);

/* The same from the first `rows` of the stream only; what takes long. */
double protocol_map_of(const char *set, const char *method, int seeds,
                       size_t rows);

void assert_between(double value, double least, double most);

#endif
