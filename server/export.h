/*
 * export.h -- all items of a collection as one stream, in order of arrival.
 *
 * What is in it is what was visible when it began: it holds an immutable state
 * of the index, with its codes and labels, until its end.  Vectors and payloads
 * are read from the file as it goes.  Memory is two buffers; who reads slowly
 * slows it down.
 */
#ifndef AK_SERVER_EXPORT_H
#define AK_SERVER_EXPORT_H

#include "server/engine.h"
#include "server/http.h"

enum ak_export_format {
    AK_EXPORT_NDJSON, /* a line an item, as batches take them */
    AK_EXPORT_NPY,    /* vectors, <f4 (items, dim) */
    AK_EXPORT_CODES   /* codes, |u1 (items, bits / 8) */
};

struct ak_export;

/* AK_ELIMIT: as many as may be are under way. */
enum ak_status ak_export_create(struct ak_request *rq, struct ak_collection *c,
                                enum ak_export_format format,
                                struct ak_export **out,
                                struct ak_err *err) AK_MUST_CHECK;
uint64_t ak_export_version(const struct ak_export *x); /* of the model */
/* Answers the request, and gives it away. */
void ak_export_reply(struct ak_export *x);

#endif
