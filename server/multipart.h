/*
 * multipart.h -- the parts of a multipart/form-data body that is in memory.
 *
 * RFC 7578 with the framing of RFC 2046, strictly: a part is known by its name,
 * names are unique, a file name is ignored, a body that does not end with its
 * closing boundary is refused.  Nothing is copied but the names.
 */
#ifndef AK_SERVER_MULTIPART_H
#define AK_SERVER_MULTIPART_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define AK_MULTIPART_PARTS_DEFAULT 10000
#define AK_MULTIPART_HEADER_MAX    8192 /* bytes of the headers of a part */
#define AK_MULTIPART_NAME_MAX      128  /* bytes */

struct ak_part {
    char *name; /* 1..AK_MULTIPART_NAME_MAX bytes, no control characters */
    char *type; /* its Content-Type without parameters, lower case, or "" */
    const void *data; /* lent from the body */
    size_t len;
};

struct ak_multipart {
    struct ak_part *parts; /* in the order of the body */
    size_t n_parts;
    char *names;                    /* where name and type are */
    const struct ak_part **by_name; /* (n_parts), sorted by name */
};

/*
 * Read `body` (len), sent with the header `content_type`, into `out`, which the
 * caller clears.  `max_parts` is the most parts, 0 for the default.  Takes time
 * linear in the body.
 *
 * AK_EINVAL: no multipart/form-data, a wrong boundary, an unclosed body, a
 * nested multipart, a part without a name; the text numbers parts from 1.
 * AK_EEXISTS: two parts of one name.  AK_ELIMIT: too many parts, too long
 * headers.
 * AK_ENOMEM.
 */
enum ak_status ak_multipart_parse(const char *content_type, const void *body,
                                  size_t len, size_t max_parts,
                                  struct ak_multipart *out,
                                  struct ak_err *err) AK_MUST_CHECK;

/* The part of that name, lent, or NULL. */
const struct ak_part *ak_multipart_find(const struct ak_multipart *m,
                                        const char *name);

/* Free what ak_multipart_parse() took; a zeroed struct is a no-op. */
void ak_multipart_clear(struct ak_multipart *m);

#endif
