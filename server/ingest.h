/*
 * ingest.h -- rows of a request become one record, or a stream of records.
 *
 * Both take a request whose route writes rows: a labelled batch (AK_RECORD_BATCH)
 * or an upsert (AK_RECORD_UPSERT).  They answer it.
 */
#ifndef AK_SERVER_INGEST_H
#define AK_SERVER_INGEST_H

#include "server/http.h"
#include "storage/collection.h"

/*
 * The headers are there.  What can be said of them is answered before the body
 * comes; a producer's number takes its turn.  False: it was answered.
 */
bool ak_ingest_headers(struct ak_request *rq, unsigned accepted);

/* Count what became of the items of a request, for /metrics. */
void ak_ingest_count(const struct ak_receipt *receipt);

/* The whole body is there and is of one of `accepted` (ak_body_kind). */
void ak_ingest(struct ak_request *rq, enum ak_record_kind kind,
               unsigned accepted);

/* The headers of lines of JSON are there: each chunk of ?chunk= lines is one
   atomic batch. */
void ak_ingest_stream(struct ak_request *rq);

#endif
