/*
 * json_body.h -- a JSON body as jansson's tree, but its vectors as floats.
 *
 * One json_t a number would cost thirty times the memory and most of the time.
 * So before jansson sees the body, a scan over it checks the nesting and takes
 * the arrays at *hot paths* out: their numbers go to one array of floats, and
 * in the text an empty array is left.  The tree is then small, and each hot
 * array in it knows its floats.
 *
 * The body is read strictly by RFC 8259: no comments, no trailing commas, no
 * duplicate keys, no byte order mark, nothing after the value.  Numbers of hot
 * arrays become the nearest float (json_float.h); all others are jansson's, so
 * integers beyond 64 bits and reals beyond double are errors.
 *
 * A string may hold the character 0, as JSON has it: who reads one looks at its
 * length, and refuses it where it must be a name.  A key may not.
 *
 * main() calls ak_json_memory_init() once, before there are threads.
 */
#ifndef AK_SERVER_JSON_BODY_H
#define AK_SERVER_JSON_BODY_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "core/base/err.h"
#include "server/http.h"

/* Nesting that is read; the outermost object is level 1. */
#define AK_JSON_DEPTH_MAX 64

/* Most hot paths at a time. */
#define AK_JSON_PATHS_MAX 8

struct ak_json_rules {
    /*
     * Where vectors are, such as "query.vector" or "items[].vector": keys in
     * plain ASCII, and [] for each element.  An array there is hot; anything
     * else there is left to jansson and to the reader of the tree.
     */
    const char *const *paths; /* (n_paths) */
    size_t n_paths;
    size_t max_values; /* objects, arrays, keys, scalars not in hot arrays */
    size_t max_floats; /* in all hot arrays */
};

/* A hot array, in the order of the text. */
struct ak_json_slot {
    const json_t *array; /* the empty array that stands for it in the tree */
    size_t first, n;     /* its floats */
    size_t at, gone;     /* where in the tree's text how much was cut */
};

/*
 * A zeroed struct is an empty one, and one that was parsed may be parsed again:
 * its tree is dropped, its memory is used again.
 */
struct ak_json {
    json_t *root;  /* owned */
    float *floats; /* of all slots, one after the other */
    struct ak_json_slot *slots;
    size_t n_floats, n_slots;
    size_t cap_floats, cap_slots;
    size_t next_slot; /* the one that is asked for next, most likely */
};

/*
 * Read `text` (len), whose bytes are not the caller's afterwards.  The root is
 * an object or an array.
 *
 * AK_EINVAL, with in `fault` (which may be NULL) what is wrong and where: code
 *   malformed-json      the text is no JSON, or an object has a key twice
 *   json-too-deep       more than AK_JSON_DEPTH_MAX levels
 *   body-too-large      more values or floats than the rules allow
 *   non-finite-value    a number that rounds to infinity
 *   validation-failed   a value in a hot array is no number; an integer outside
 *                       of one does not fit 64 bits
 * and for a number a pointer such as "/items/17/vector/3", else an empty one;
 * the byte is in the detail.  Never a byte of the text itself.
 * AK_ENOMEM: `fault` is not written.  On failure `json` is empty.
 */
enum ak_status ak_json_parse(struct ak_json *json, char *text, size_t len,
                             const struct ak_json_rules *rules,
                             struct ak_fault *fault) AK_MUST_CHECK;

/*
 * The floats of `array`, which is a value of the tree, and their number; NULL
 * if it is not a hot array (or no array at all).  A hot array without elements
 * gives a pointer and 0.  Asking in the order of the text takes constant time.
 * A tree may be asked by one thread at a time.
 */
const float *ak_json_vector(struct ak_json *json, const json_t *array,
                            size_t *n);

void ak_json_clear(struct ak_json *json);

#endif
