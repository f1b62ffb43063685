#include "client/spark.h"

#include <math.h>
#include <string.h>

/* Eight heights; in ASCII a mark of each is as high as it looks. */
static const char *const blocks[8] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
static const char *const plain[8] = {"_", ".", ",", "-", "=", "+", "*", "#"};

/* Mean of the values [from, to) that are there. */
static double mean_of(const double *values, size_t from, size_t to)
{
    double sum = 0;
    size_t n = 0;

    for (size_t i = from; i < to; i++) {
        if (isnan(values[i]))
            continue;
        sum += values[i];
        n++;
    }
    return n > 0 ? sum / (double)n : NAN;
}

static const char *mark_of(double value, double low, double high, bool utf8)
{
    double share = high > low ? (value - low) / (high - low) : 0.5;
    int step;

    if (isnan(value))
        return " ";
    step = (int)(fmin(fmax(share, 0), 1) * 7.999);
    return utf8 ? blocks[step] : plain[step];
}

void spark(const double *values, size_t n, double low, double high,
           size_t columns, bool utf8, char *out)
{
    size_t marks = n < columns ? n : columns, at = 0;

    for (size_t i = 0; i < marks; i++) {
        double value = mean_of(values, i * n / marks, (i + 1) * n / marks);
        const char *mark = mark_of(value, low, high, utf8);
        size_t len = strlen(mark);

        memcpy(out + at, mark, len);
        at += len;
    }
    out[at] = '\0';
}
