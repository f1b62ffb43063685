#include "server/lines.h"

#include <string.h>

void ak_lines_init(struct ak_lines *l, uint64_t now_ns)
{
    memset(l, 0, sizeof(*l));
    l->room = AK_LINES_BURST;
    l->at_ns = now_ns;
}

static void refill(struct ak_lines *l, uint64_t now_ns)
{
    l->room += (double)(now_ns - l->at_ns) / 1e9 * AK_LINES_RATE;
    l->at_ns = now_ns;
    if (l->room > AK_LINES_BURST)
        l->room = AK_LINES_BURST;
}

/* One that was kept back is lost when another one follows. */
static void end_line(struct ak_lines *l, ak_lines_fn *each, void *arg)
{
    l->dropped += l->last_len > 0;
    l->last_len = 0;
    l->line[l->len] = '\0';
    if (l->too_long) {
        l->dropped++;
    } else if (l->room >= 1) {
        l->room -= 1;
        each(arg, l->line, l->len);
    } else {
        memcpy(l->last, l->line, l->len + 1);
        l->last_len = l->len;
    }
    l->len = 0;
    l->too_long = false;
}

void ak_lines_add(struct ak_lines *l, const char *bytes, size_t len,
                  uint64_t now_ns, ak_lines_fn *each, void *arg)
{
    const char *end = bytes + len;

    refill(l, now_ns);
    while (bytes < end) {
        const char *feed = memchr(bytes, '\n', (size_t)(end - bytes));
        size_t n = (size_t)((feed != NULL ? feed : end) - bytes);

        if (n > AK_LINES_MAX - l->len)
            l->too_long = true;
        if (!l->too_long) {
            memcpy(l->line + l->len, bytes, n);
            l->len += n;
        } else {
            l->len = 0;
        }
        if (feed == NULL)
            return;
        end_line(l, each, arg);
        bytes = feed + 1;
    }
}

void ak_lines_end(struct ak_lines *l, ak_lines_fn *each, void *arg)
{
    if (l->len > 0 || l->too_long)
        end_line(l, each, arg);
    if (l->last_len > 0)
        each(arg, l->last, l->last_len);
    l->last_len = 0;
}
