/*
 * options.h -- a table of options makes the parser, the help and the completion.
 *
 * `--name value`, `--name=value`, `-n value`, `-nvalue`; options and operands
 * in any order; `--` ends the options, a lone `-` is an operand.
 */
#ifndef AK_CLIENT_OPTIONS_H
#define AK_CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_TEXT,   /* const char * */
    OPTION_FILE,   /* const char *, the name of a file */
    OPTION_CHOICE, /* const char *, one of `choices` */
    OPTION_NUMBER, /* uint64_t, min..max */
    OPTION_REAL,   /* double, min..max */
    OPTION_LIST,   /* struct text_list, may be given again */
    OPTION_FILES   /* struct text_list of files */
};

struct text_list {
    const char **items; /* the texts are lent by argv */
    size_t n;
};

struct option {
    const char *name;
    char letter; /* 0: none */
    enum option_kind kind;
    const char *arg;     /* "N"; NULL for a flag */
    const char *help;    /* one line, begins small, no full stop */
    void *value;         /* written when the option is given */
    uint64_t min, max;   /* of numbers; max 0: no bound */
    const char *choices; /* "durable|learned|visible" */
    bool *given;         /* set when the option is there; may be NULL */
};

/*
 * Takes the options of `tables` (n_tables, each ended by a NULL name) out of
 * argv and leaves the operands in it, `*argc` of them.  False, with a text for
 * a person in `why`, when something is wrong.
 */
#define OPTION_WHY 256
bool options_parse(const struct option *const *tables, size_t n_tables,
                   int *argc, char **argv, char why[OPTION_WHY]);

/* The table as lines of help. */
void options_help(const struct option *table, FILE *out);

/* The one of n words that `word` was perhaps meant to be, or NULL. */
const char *nearest_word(const char *word, const char *const *words, size_t n);

/* A whole decimal in min..max (max 0: no bound). */
bool number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *out);

void text_list_clear(struct text_list *list);

#endif
