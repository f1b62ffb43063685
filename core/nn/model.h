/*
 * model.h -- a network with its values, and the file that holds them (.akx).
 *
 * All little-endian, no padding:
 *
 *     8      "AKINNET\n"
 *     4      version, 1
 *     4      n, length of the notes
 *     n      notes: lines "name: value" for people, UTF-8
 *     4      m, length of the graph
 *     m      its text (graph.h)
 *     4 * k  values of the parameters in the order of the graph
 *     4      CRC-32 of all before
 */
#ifndef AK_CORE_NN_MODEL_H
#define AK_CORE_NN_MODEL_H

#include "core/base/blob.h"
#include "core/nn/graph.h"

#define AK_MODEL_VERSION 1
#define AK_MODEL_NOTES   65536 /* bytes of notes, at most */

struct ak_model {
    struct ak_graph *g;
    float *values; /* (n_values) */
    char *notes;   /* zero-terminated; NULL: none */
};

/* Append the file's bytes to `w`; AK_ENOMEM, or AK_EINVAL for long notes. */
enum ak_status ak_model_write(const struct ak_model *m, struct ak_writer *w,
                              struct ak_err *err) AK_MUST_CHECK;

/*
 * Check a file's bytes and make what they say: *out is the caller's to clear.
 * AK_ECORRUPT: damaged or cut short, or a value that is not finite.
 * AK_EUNSUPPORTED: another version.  AK_EINVAL: no such file, or a graph that
 * is none; AK_ELIMIT, AK_ENOMEM.
 */
enum ak_status ak_model_read(const void *bytes, size_t len,
                             struct ak_model *out,
                             struct ak_err *err) AK_MUST_CHECK;
void ak_model_clear(struct ak_model *m);

#endif
