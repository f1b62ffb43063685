/* json.h -- what the library's files share about paths and answers. */
#ifndef AK_CLIENT_JSON_H
#define AK_CLIENT_JSON_H

#include <jansson.h>

#include "client/akin.h"

/* "/v1/collections/NAME" and what `fmt` makes of the rest, which is encoded
   already.  Free it; NULL when memory is short. */
char *akin_collection_path(const char *collection, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The object that an answer is; NULL, with an error, when it is none. */
json_t *akin_reply_json(const struct akin_reply *reply, struct akin_error *err);

/* Member `name` of `object` when it is an integer, else `missing`. */
int64_t akin_json_integer(const json_t *object, const char *name,
                          int64_t missing);

/* A part of a multipart body: the bytes of `head`, then those of `data`. */
struct akin_part {
    const char *name;
    const char *content_type;
    int is_file; /* gets a filename, as its name */
    struct akin_piece head;
    struct akin_piece data;
};

/* The same parts give the same bytes. */
enum akin_result akin_body_parts(const struct akin_part *parts, size_t n_parts,
                                 struct akin_body *out, struct akin_error *err);

/* The answer to a batch. */
enum akin_result akin_receipt_decode(const struct akin_reply *reply,
                                     struct akin_receipt *receipt,
                                     struct akin_error *err);

#endif
