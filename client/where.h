/*
 * where.h -- where the daemon is: flag > environment > file > default.
 *
 * The file is $XDG_CONFIG_HOME/akin/config, or ~/.config/akin/config: lines of
 * `key = value`, `#` begins a comment.  Keys: url, api_key_file.
 */
#ifndef AK_CLIENT_WHERE_H
#define AK_CLIENT_WHERE_H

#include "client/tool.h"

/* Fills what the command line left empty.  EXIT_OK or EXIT_USAGE, said. */
int where_find(struct tool *tool);
void where_clear(void);

#endif
