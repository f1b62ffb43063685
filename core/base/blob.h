/*
 * blob.h -- reading and writing the bytes of whatever is saved.
 *
 * Little-endian, no padding.  Errors stick: after the first one every call is a
 * no-op, so a save or load routine is a straight list of fields and the status
 * is looked at once, at the end.
 */
#ifndef AK_CORE_BASE_BLOB_H
#define AK_CORE_BASE_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct ak_writer {
    uint8_t *data; /* owned; free with ak_writer_clear() */
    size_t len;
    size_t cap;
    enum ak_status status; /* AK_OK or AK_ENOMEM */
};

struct ak_reader {
    const uint8_t *at; /* borrowed */
    const uint8_t *end;
    enum ak_status status; /* AK_OK, AK_ECORRUPT or AK_ENOMEM */
};

void ak_write_u8(struct ak_writer *w, uint8_t value);
void ak_write_u32(struct ak_writer *w, uint32_t value);
void ak_write_u64(struct ak_writer *w, uint64_t value);
void ak_write_f64(struct ak_writer *w, double value);
void ak_write_f32s(struct ak_writer *w, const float *values, size_t n);
void ak_write_f64s(struct ak_writer *w, const double *values, size_t n);
void ak_write_u32s(struct ak_writer *w, const uint32_t *values, size_t n);
void ak_write_u64s(struct ak_writer *w, const uint64_t *values, size_t n);
void ak_write_bytes(struct ak_writer *w, const void *bytes, size_t len);
void ak_writer_clear(struct ak_writer *w);

void ak_reader_init(struct ak_reader *r, const void *data, size_t len);
uint8_t ak_read_u8(struct ak_reader *r);
uint32_t ak_read_u32(struct ak_reader *r);
uint64_t ak_read_u64(struct ak_reader *r);
double ak_read_f64(struct ak_reader *r);
void ak_read_f32s(struct ak_reader *r, float *values, size_t n);
void ak_read_f64s(struct ak_reader *r, double *values, size_t n);
void ak_read_u32s(struct ak_reader *r, uint32_t *values, size_t n);
void ak_read_u64s(struct ak_reader *r, uint64_t *values, size_t n);
void ak_read_bytes(struct ak_reader *r, void *bytes, size_t len);

/* Lends the next `len` bytes without a copy; NULL when there are fewer. */
const uint8_t *ak_read_span(struct ak_reader *r, size_t len);

/* Bytes not read yet; before an array is allocated, check it can be there. */
size_t ak_reader_left(const struct ak_reader *r);

/* AK_OK if every read succeeded and no byte is left over. */
enum ak_status ak_reader_finish(const struct ak_reader *r);

#endif
