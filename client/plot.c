#include "config.h"

#include "client/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/tool.h"

extern char **environ;

/* Run gnuplot with `script` (NULL: --version) and wait for its end. */
static int run_gnuplot(FILE *script)
{
    char program[] = "gnuplot", version[] = "--version", dash[] = "-";
    char *argv[] = {program, script != NULL ? dash : version, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = 0, why;

    if (posix_spawn_file_actions_init(&actions) != 0)
        return tool_no_memory();
    if (script != NULL)
        posix_spawn_file_actions_adddup2(&actions, fileno(script), 0);
    else
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    why = posix_spawnp(&pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (why == ENOENT)
        return tool_usage("gnuplot is not installed, it draws the plots; "
                          "Debian has it in the package gnuplot-nox");
    if (why != 0)
        return tool_usage("gnuplot: %s", strerror(why));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return tool_usage("gnuplot: %s", strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return tool_usage(
            "gnuplot ended with %s %d", WIFEXITED(status) ? "status" : "signal",
            WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return EXIT_OK;
}

int plot_check(void)
{
    return run_gnuplot(NULL);
}

/* A text between single quotes, in which gnuplot expands nothing. */
static void put_text(const char *text, FILE *out)
{
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputc('\'', out);
        if ((unsigned char)*text >= ' ')
            fputc(*text, out);
    }
    fputc('\'', out);
}

/* All that is drawn, and a little more, so that ticks at the ends are. */
static void put_x_range(const struct plot *p, FILE *out)
{
    double least = 0, most = 0;
    bool any = false;

    for (size_t s = 0; s < p->n_series; s++)
        for (size_t i = 0; i < p->series[s].n; i++) {
            double x = p->series[s].points[i].x;

            least = !any || x < least ? x : least;
            most = !any || x > most ? x : most;
            any = true;
        }
    if (p->log_x)
        fprintf(out, "set xrange [%g:%g]\n", 0.92 * least, 1.08 * most);
    else
        fprintf(out, "set xrange [%g:%g]\n", least - 0.03 * (most - least),
                most + 0.03 * (most - least));
}

static void put_script(const struct plot *p, const char *path, FILE *out)
{
    /* Told apart without colour by their marks as well. */
    static const char *const colours[] = {
        "#0060ad", "#dd181f", "#2e8b57", "#e69f00", "#8a2be2", "#00a0b0",
        "#a0522d", "#e377c2", "#555555", "#9acd32", "#1f77b4", "#bcbd22"};
    enum { N_COLOURS = sizeof(colours) / sizeof(colours[0]) };

    fputs("set encoding utf8\n"
          "set terminal svg size 760,460 background 'white' "
          "font 'sans-serif,13' noenhanced\n"
          "set output ",
          out);
    put_text(path, out);
    fputs("\nset title ", out);
    put_text(p->title, out);
    fputs("\nset xlabel ", out);
    put_text(p->x_label, out);
    fputs("\nset ylabel ", out);
    put_text(p->y_label, out);
    fputs("\nset grid lc rgb '#dddddd'\nset key outside right\n", out);
    if (p->log_x)
        fputs("set logscale x 2\nset xtics (8, 16, 32, 48, 64, 128, 256, 512, "
              "1024)\n",
              out);
    put_x_range(p, out);
    if (p->log_y)
        fputs("set logscale y\nunset mytics\n", out);
    else
        fputs("set yrange [0:]\n", out);
    for (size_t s = 0; s < p->n_series; s++) {
        fprintf(out, "$s%zu << END\n", s);
        for (size_t i = 0; i < p->series[s].n; i++)
            fprintf(out, "%.9g %.6g %.6g\n", p->series[s].points[i].x,
                    p->series[s].points[i].y, p->series[s].points[i].error);
        fputs("END\n", out);
    }
    fputs("plot ", out);
    for (size_t s = 0; s < p->n_series; s++) {
        fprintf(out,
                "%s$s%zu using 1:2:3 with yerrorlines lw 1.5 ps 0.6 pt %zu "
                "lc rgb '%s' title ",
                s > 0 ? ", " : "", s, s % 13 + 1, colours[s % N_COLOURS]);
        put_text(p->series[s].title, out);
    }
    fputc('\n', out);
}

int plot_svg(const struct plot *plot, const char *path)
{
    FILE *script = tmpfile();
    int code = EXIT_OK;

    if (script == NULL)
        return tool_usage("a temporary file: %s", strerror(errno));
    put_script(plot, path, script);
    if (fflush(script) != 0 || fseek(script, 0, SEEK_SET) != 0)
        code = tool_usage("a temporary file: %s", strerror(errno));
    if (code == EXIT_OK)
        code = run_gnuplot(script);
    fclose(script);
    return code;
}
