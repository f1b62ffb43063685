/* json_float.h -- one JSON number as the nearest float. */
#ifndef AK_SERVER_JSON_FLOAT_H
#define AK_SERVER_JSON_FLOAT_H

enum ak_json_number {
    AK_JSON_NUMBER_OK,
    AK_JSON_NUMBER_HUGE,     /* a number, but rounds to infinity */
    AK_JSON_NUMBER_MALFORMED /* not what RFC 8259 calls a number */
};

/*
 * Read the number at `*at`, which is before `end`, into `out`: the float that
 * is nearest to what the digits say, ties to even, whatever their count; what
 * is below half of the smallest subnormal is 0, and "-0" is -0.
 *
 * The grammar is that of RFC 8259, section 6: no plus sign, no leading zero, no
 * hexadecimal, no NaN, digits on both sides of a point.  The number must be
 * followed by a comma, a bracket, a brace or white space before `end`.
 *
 * `*at` is moved behind the number, or to the byte where it is malformed.
 * `*out` is written when the number is OK.
 */
enum ak_json_number ak_json_float(const char **at, const char *end, float *out);

#endif
