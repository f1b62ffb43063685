/* main.c -- akin-worker, the daemon's other process: picks what it is for. */
#include <config.h> /* autoconf's */

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "server/worker/worker.h"

const struct ak_worker_mode *const ak_worker_modes[] = {
    &ak_worker_job,
    &ak_worker_decode,
    NULL,
};

static void print_help(FILE *to)
{
    fputs("usage: akin-worker MODE [ARGUMENT]...\n"
          "       akin-worker --help | --version\n\n"
          "akind starts this program by itself.\n",
          to);
    for (size_t i = 0; ak_worker_modes[i] != NULL; i++)
        fprintf(to, "  %-12s %s\n", ak_worker_modes[i]->option,
                ak_worker_modes[i]->help);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";

    if (strcmp(mode, "--help") == 0 || strcmp(mode, "-h") == 0) {
        print_help(stdout);
        return EX_OK;
    }
    if (strcmp(mode, "--version") == 0) {
        puts("akin-worker " PACKAGE_VERSION);
        return EX_OK;
    }
    for (size_t i = 0; ak_worker_modes[i] != NULL; i++)
        if (strcmp(mode, ak_worker_modes[i]->option) == 0)
            return ak_worker_modes[i]->run(argc - 2, argv + 2);
    print_help(stderr);
    return EX_USAGE;
}
