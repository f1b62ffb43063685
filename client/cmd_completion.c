/* cmd_completion.c -- `akin completion bash`, made from the list of commands. */
#include <string.h>

#include "client/commands.h"

static void put_names(const struct option *table)
{
    for (const struct option *o = table; o != NULL && o->name != NULL; o++)
        printf("--%s ", o->name);
}

/* The second words of the commands that begin with `first`. */
static void put_seconds(const char *first, size_t len)
{
    for (size_t i = 0; i < n_akin_commands; i++) {
        const char *name = akin_commands[i]->name;

        if (strncmp(name, first, len) == 0 && name[len] == ' ')
            printf("%s ", name + len + 1);
    }
}

static void put_words(void)
{
    for (size_t i = 0; i < n_akin_commands; i++) {
        const char *name = akin_commands[i]->name;
        size_t len = strcspn(name, " ");

        /* A group once, at the first of its commands. */
        if (i > 0 && strncmp(akin_commands[i - 1]->name, name, len) == 0 &&
            akin_commands[i - 1]->name[len] == ' ')
            continue;
        printf("%.*s ", (int)len, name);
    }
}

/* What may follow each option of a command; `command` is a shell pattern. */
static void put_values(const char *command, const struct option *table)
{
    for (const struct option *o = table; o != NULL && o->name != NULL; o++) {
        if (o->kind == OPTION_FLAG)
            continue;
        printf("    %s:--%s)", command, o->name);
        if (o->choices != NULL) {
            printf(" words=\"");
            for (const char *c = o->choices; *c != '\0'; c++)
                putchar(*c == '|' ? ' ' : *c);
            puts("\" ;;");
        } else if (o->kind == OPTION_FILE || o->kind == OPTION_FILES) {
            puts(" files=1 ;;");
        } else {
            puts(" return ;;");
        }
    }
}

/* Whether command i is the first of a group, whose word is `len` long. */
static bool begins_group(size_t i, size_t *len)
{
    const char *name = akin_commands[i]->name;

    *len = strcspn(name, " ");
    return name[*len] == ' ' &&
           (i == 0 || strncmp(akin_commands[i - 1]->name, name, *len + 1) != 0);
}

static int run_completion(struct tool *tool, int argc, char **argv)
{
    (void)tool;
    (void)argc;
    if (strcmp(argv[0], "bash") != 0)
        return tool_usage("completion for %.40s: only bash is known", argv[0]);
    puts("# bash completion of akin; made by `akin completion bash`.\n"
         "_akin() {\n"
         "  local cur=\"${COMP_WORDS[COMP_CWORD]}\" "
         "prev=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
         "  local cmd=\"${COMP_WORDS[1]}\" words='' files=''\n"
         "  case \"$cmd\" in");
    for (size_t i = 0; i < n_akin_commands; i++) {
        size_t len;

        if (begins_group(i, &len))
            printf("    %.*s) [ \"$COMP_CWORD\" -gt 2 ] && "
                   "cmd=\"$cmd ${COMP_WORDS[2]}\" ;;\n",
                   (int)len, akin_commands[i]->name);
    }
    puts("  esac\n  case \"$cmd:$prev\" in");
    put_values("*", tool_options);
    for (size_t i = 0; i < n_akin_commands; i++) {
        char quoted[CELL];

        snprintf(quoted, sizeof(quoted), "\"%s\"", akin_commands[i]->name);
        put_values(quoted, akin_commands[i]->options);
    }
    puts("  esac\n"
         "  if [ -n \"$files\" ]; then\n"
         "    COMPREPLY=($(compgen -f -- \"$cur\")); return\n"
         "  fi\n"
         "  if [ -n \"$words\" ]; then\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")); return\n"
         "  fi\n"
         "  case \"$cmd\" in");
    for (size_t i = 0; i < n_akin_commands; i++) {
        printf("    \"%s\") words=\"", akin_commands[i]->name);
        put_names(akin_commands[i]->options);
        puts("\" ;;");
    }
    printf("  esac\n"
           "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "    words=\"");
    put_words();
    puts("\"\n  elif [ \"$COMP_CWORD\" -eq 2 ]; then\n    case \"$cmd\" in");
    for (size_t i = 0; i < n_akin_commands; i++) {
        size_t len;

        if (!begins_group(i, &len))
            continue;
        printf("      %.*s) words=\"", (int)len, akin_commands[i]->name);
        put_seconds(akin_commands[i]->name, len);
        puts("\" ;;");
    }
    printf("      completion) words=\"bash\" ;;\n"
           "    esac\n"
           "  fi\n"
           "  if [ \"${cur#-}\" != \"$cur\" ]; then words=\"$words ");
    put_names(tool_options);
    puts("\"; fi\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
         "  if [ \"${#COMPREPLY[@]}\" -eq 0 ]; then\n"
         "    COMPREPLY=($(compgen -f -- \"$cur\"))\n"
         "  fi\n"
         "}\n"
         "complete -o filenames -F _akin akin");
    return EXIT_OK;
}

const struct command cmd_completion = {
    .name = "completion",
    .synopsis = "bash",
    .summary = "print a script that completes the commands and options",
    .examples = "  akin completion bash > "
                "~/.local/share/bash-completion/completions/akin\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_completion,
};
