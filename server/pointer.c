#include "server/pointer.h"

#include <stdio.h>
#include <string.h>

/* Bytes of the UTF-8 character that begins with `c`; 1 for what is none. */
static size_t char_len(unsigned char c)
{
    if (c >= 0xf0)
        return 4;
    if (c >= 0xe0)
        return 3;
    return c >= 0xc0 ? 2 : 1;
}

void ak_pointer_add(char *text, size_t cap, const char *key)
{
    size_t at = strlen(text), n;
    char piece[4];

    if (at + 1 >= cap)
        return;
    text[at++] = '/';
    for (; *key != '\0'; key += n == 0 ? 1 : n) {
        n = 0;
        if (*key == '~' || *key == '/') {
            piece[0] = '~';
            piece[1] = *key == '~' ? '0' : '1';
            if (at + 2 >= cap)
                break;
            memcpy(text + at, piece, 2);
            at += 2;
            continue;
        }
        n = char_len((unsigned char)*key);
        if (strnlen(key, n) < n || at + n >= cap)
            break;
        memcpy(text + at, key, n);
        at += n;
    }
    text[at] = '\0';
}

void ak_pointer_add_index(char *text, size_t cap, size_t index)
{
    char number[24];

    snprintf(number, sizeof(number), "%zu", index);
    ak_pointer_add(text, cap, number);
}
