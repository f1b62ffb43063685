/* plot.h -- line plots as SVG, drawn by gnuplot. */
#ifndef AK_CLIENT_PLOT_H
#define AK_CLIENT_PLOT_H

#include <stdbool.h>
#include <stddef.h>

struct plot_point {
    double x, y;
    double error; /* half the length of its bar; 0: none */
};

struct plot_series {
    const char *title;
    struct plot_point *points;
    size_t n;
};

struct plot {
    const char *title, *x_label, *y_label;
    bool log_x, log_y; /* to the bases 2 and 10 */
    const struct plot_series *series;
    size_t n_series;
};

/* EXIT_OK when gnuplot can be run; else it was said how to get it. */
int plot_check(void);

/* Write the plot to `path`: EXIT_OK, or the code of what was said. */
int plot_svg(const struct plot *plot, const char *path);

#endif
