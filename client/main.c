/*
 * main.c -- `akin`, the tool of akind.
 *
 * Finds the command in the table of commands.c, parses its options together
 * with those of all commands, and runs it.
 */
#include "config.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/help.h"
#include "client/tool.h"
#include "client/where.h"

static struct tool tool = {
    .progress = "auto", .timeout_seconds = 120, .retries = 3};

static const struct option global_options[] = {
    {"url", 0, OPTION_TEXT, "URL",
     "where akind is: http://HOST:PORT or unix:/PATH", &tool.url, 0, 0, NULL,
     NULL},
    {"api-key-file", 0, OPTION_FILE, "FILE", "file with the API key",
     &tool.key_file, 0, 0, NULL, NULL},
    {"json", 0, OPTION_FLAG, NULL, "print the API's JSON, and nothing else",
     &tool.json, 0, 0, NULL, NULL},
    {"quiet", 'q', OPTION_FLAG, NULL, "no progress and no notes", &tool.quiet,
     0, 0, NULL, NULL},
    {"progress", 0, OPTION_CHOICE, "MODE", "how progress is shown on stderr",
     &tool.progress, 0, 0, "auto|bar|lines|json|none", NULL},
    {"yes", 'y', OPTION_FLAG, NULL, "do not ask before something is destroyed",
     &tool.yes, 0, 0, NULL, NULL},
    {"timeout", 0, OPTION_NUMBER, "SECONDS", "for one request (120)",
     &tool.timeout_seconds, 1, 86400, NULL, NULL},
    {"retries", 0, OPTION_NUMBER, "N",
     "repeats of a request that may be repeated (3)", &tool.retries, 0, 1000,
     NULL, NULL},
    {"help", 'h', OPTION_FLAG, NULL, "print this help", &tool.help, 0, 0, NULL,
     NULL},
    {"version", 0, OPTION_FLAG, NULL, "print the version", &tool.version, 0, 0,
     NULL, NULL},
    {0},
};

const struct option *const tool_options = global_options;

/*
 * The command that the first words of argv name, and how many words it has.
 * Options that come before are stepped over.
 */
static const struct command *find_command(int argc, char **argv, int *at,
                                          int *n_words)
{
    for (int i = 1; i < argc; i++) {
        const struct option *o = global_options;

        if (argv[i][0] != '-') {
            *at = i;
            break;
        }
        if (argv[i][1] == '-')
            while (o->name != NULL && strcmp(o->name, argv[i] + 2) != 0)
                o++;
        if (o->name != NULL && o->kind != OPTION_FLAG && argv[i][1] == '-')
            i++;
    }
    if (*at == 0)
        return NULL;
    for (*n_words = 2; *n_words > 0; (*n_words)--) {
        char name[128];

        if (*n_words == 2 && *at + 1 >= argc)
            continue;
        snprintf(name, sizeof(name), "%s%s%s", argv[*at],
                 *n_words == 2 ? " " : "", *n_words == 2 ? argv[*at + 1] : "");
        for (size_t i = 0; i < n_akin_commands; i++)
            if (strcmp(akin_commands[i]->name, name) == 0)
                return akin_commands[i];
    }
    return NULL;
}

static int unknown_command(int argc, char **argv, int at)
{
    enum { MOST = 64 };
    const char *words[MOST];
    char firsts[MOST][32];
    char name[128];
    const char *near;
    size_t n = 0;

    for (size_t i = 0; i < n_akin_commands && n + 1 < MOST; i++) {
        const char *command = akin_commands[i]->name;
        size_t len = strcspn(command, " ");

        if (command[len] == ' ' && strlen(argv[at]) == len &&
            strncmp(command, argv[at], len) == 0) {
            help_group(argv[at], stderr);
            return EXIT_USAGE;
        }
        words[n++] = command;
        if (command[len] == ' ') {
            snprintf(firsts[n], sizeof(firsts[n]), "%.*s", (int)len, command);
            words[n] = firsts[n];
            n++;
        }
    }
    snprintf(name, sizeof(name), "%s%s%s", argv[at], at + 1 < argc ? " " : "",
             at + 1 < argc ? argv[at + 1] : "");
    near = nearest_word(argv[at], words, n);
    if (near == NULL)
        near = nearest_word(name, words, n);
    return tool_usage("unknown command %.60s%s%s; `akin --help` lists them",
                      argv[at], near != NULL ? ", perhaps " : "",
                      near != NULL ? near : "");
}

/* What stands in the way of running: EXIT_OK to go on. */
static int check_args(const struct command *command, int argc)
{
    if (argc >= command->min_args &&
        (command->max_args < 0 || argc <= command->max_args))
        return EXIT_OK;
    tool_usage("%s, %d given: akin %s %s",
               argc < command->min_args ? "operands are missing"
                                        : "too many operands",
               argc, command->name, command->synopsis);
    fprintf(stderr, "  `akin %s --help` says more\n", command->name);
    return EXIT_USAGE;
}

static int run(int argc, char **argv)
{
    static const struct option none[] = {{0}};
    const struct option *tables[2] = {global_options, none};
    char why[OPTION_WHY];
    int at = 0;
    int n_words = 0;
    int code;
    const struct command *command = find_command(argc, argv, &at, &n_words);

    if (command == NULL && at != 0)
        return unknown_command(argc, argv, at);
    if (command != NULL) {
        /* Take the words of its name out. */
        for (int i = at; i + n_words <= argc; i++)
            argv[i] = argv[i + n_words];
        argc -= n_words;
        if (command->options != NULL)
            tables[1] = command->options;
    }
    argc--;
    argv++;
    if (!options_parse(tables, 2, &argc, argv, why)) {
        tool_usage("%s", why);
        fprintf(stderr, "  `akin%s%s --help` says more\n",
                command != NULL ? " " : "",
                command != NULL ? command->name : "");
        return EXIT_USAGE;
    }
    if (tool.help) {
        if (command != NULL)
            help_command(command, stdout);
        else
            help_all(stdout);
        return EXIT_OK;
    }
    if (tool.version) {
        puts("akin " PACKAGE_VERSION);
        return EXIT_OK;
    }
    if (command == NULL) {
        help_all(stderr);
        return EXIT_USAGE;
    }
    code = check_args(command, argc);
    if (code == EXIT_OK)
        code = where_find(&tool);
    if (code == EXIT_OK)
        code = command->run(&tool, argc, argv);
    return code;
}

int main(int argc, char **argv)
{
    int code;

    setlocale(LC_CTYPE, "");
    code = run(argc, argv);
    akin_destroy(tool.client);
    where_clear();
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_OK) {
        fputs("akin: stdout: cannot write\n", stderr);
        code = EXIT_NEGATIVE;
    }
    return code;
}
