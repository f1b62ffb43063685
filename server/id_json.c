#include "server/id_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(char why[AK_ID_WHY], bool string_ids)
{
    if (string_ids)
        snprintf(why, AK_ID_WHY,
                 "must be a string of 1..%d bytes without a zero",
                 AK_ID_MAX_BYTES);
    else
        snprintf(why, AK_ID_WHY, "must be an integer, 0..%lld",
                 (long long)AK_STORE_MAX_ID);
    return false;
}

bool ak_id_read(const json_t *value, bool string_ids, struct ak_row_id *out,
                char why[AK_ID_WHY])
{
    size_t len = json_string_length(value);

    if (!string_ids) {
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return refuse(why, false);
        *out =
            (struct ak_row_id){.number = (uint64_t)json_integer_value(value)};
        return true;
    }
    if (!json_is_string(value) || len < 1 || len > AK_ID_MAX_BYTES ||
        strlen(json_string_value(value)) != len)
        return refuse(why, true);
    *out = (struct ak_row_id){.text = json_string_value(value), .len = len};
    return true;
}

bool ak_id_parse(const char *text, bool string_ids, struct ak_row_id *out,
                 char why[AK_ID_WHY])
{
    size_t len = strlen(text);
    uint64_t number;

    if (string_ids) {
        if (len < 1 || len > AK_ID_MAX_BYTES)
            return refuse(why, true);
        *out = (struct ak_row_id){.text = text, .len = len};
        return true;
    }
    /* One number has one path. */
    if (len < 1 || len > 19 || strspn(text, "0123456789") != len ||
        (len > 1 && text[0] == '0'))
        return refuse(why, false);
    number = strtoull(text, NULL, 10);
    if (number > AK_STORE_MAX_ID)
        return refuse(why, false);
    *out = (struct ak_row_id){.number = number};
    return true;
}

json_t *ak_id_json(bool string_ids, uint64_t number, const char *text,
                   size_t len)
{
    return string_ids ? json_stringn(text, len)
                      : json_integer((json_int_t)number);
}
