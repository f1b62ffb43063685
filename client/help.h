/* help.h -- the help texts, made from the table of commands. */
#ifndef AK_CLIENT_HELP_H
#define AK_CLIENT_HELP_H

#include <stdio.h>

#include "client/tool.h"

void help_all(FILE *out);
/* The commands that begin with the word `group`. */
void help_group(const char *group, FILE *out);
void help_command(const struct command *command, FILE *out);

#endif
