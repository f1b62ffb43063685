#include "client/help.h"

#include <string.h>

#define COMMAND_COLUMN 22

static void list_commands(const char *group, FILE *out)
{
    size_t len = group != NULL ? strlen(group) : 0;

    for (size_t i = 0; i < n_akin_commands; i++) {
        const struct command *c = akin_commands[i];

        if (c->hidden || (group != NULL && (strncmp(c->name, group, len) != 0 ||
                                            c->name[len] != ' ')))
            continue;
        fprintf(out, "  %-*s%s\n", COMMAND_COLUMN, c->name, c->summary);
    }
}

void help_all(FILE *out)
{
    fputs("akin: the tool of akind, the daemon that finds images of a kind.\n\n"
          "usage: akin COMMAND [OPERAND]... [OPTION]...\n\n",
          out);
    list_commands(NULL, out);
    fputs("\noptions of every command:\n", out);
    options_help(tool_options, out);
    fputs(
        "\n`akin COMMAND --help` says more, with examples; akin(1) says all.\n",
        out);
}

void help_group(const char *group, FILE *out)
{
    fprintf(out, "usage: akin %s ...\n\n", group);
    list_commands(group, out);
}

void help_command(const struct command *command, FILE *out)
{
    fprintf(out, "akin %s: %s.\n\nusage: akin %s %s\n", command->name,
            command->summary, command->name, command->synopsis);
    if (command->about != NULL)
        fprintf(out, "\n%s", command->about);
    if (command->options != NULL) {
        fputs("\noptions:\n", out);
        options_help(command->options, out);
    }
    fputs("\noptions of every command:\n", out);
    options_help(tool_options, out);
    if (command->examples != NULL)
        fprintf(out, "\nexamples:\n%s", command->examples);
}
