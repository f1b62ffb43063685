#include "client/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HELP_COLUMN 28

bool number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;
    unsigned long long value;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < min || (max != 0 && value > max))
        return false;
    *out = value;
    return true;
}

void text_list_clear(struct text_list *list)
{
    free(list->items);
    list->items = NULL;
    list->n = 0;
}

static bool text_list_add(struct text_list *list, const char *text)
{
    const char **items =
        realloc(list->items, (list->n + 1) * sizeof(*list->items));

    if (items == NULL)
        return false;
    items[list->n++] = text;
    list->items = items;
    return true;
}

/* Levenshtein's distance; words longer than the row count as far. */
static size_t edit_distance(const char *a, const char *b)
{
    enum { MOST = 40 };
    size_t row[MOST + 1];
    size_t n = strlen(b);

    if (n > MOST || strlen(a) > MOST)
        return MOST;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *nearest_word(const char *word, const char *const *words, size_t n)
{
    const char *best = NULL;
    size_t least = strlen(word) / 3 + 2;

    for (size_t i = 0; i < n; i++) {
        size_t distance = edit_distance(word, words[i]);

        if (distance < least) {
            least = distance;
            best = words[i];
        }
    }
    return best;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t n = strcspn(value, "|");

    if (n == 0 || value[n] != '\0')
        return false;
    for (const char *at = choices; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, value, n) == 0 && (at[n] == '|' || at[n] == '\0'))
            return true;
    }
    return false;
}

static bool set_number(const struct option *o, const char *value, char *why)
{
    if (number_parse(value, o->min, o->max, o->value))
        return true;
    if (o->max != 0)
        snprintf(why, OPTION_WHY, "--%s is %.60s, must be a number %llu..%llu",
                 o->name, value, (unsigned long long)o->min,
                 (unsigned long long)o->max);
    else
        snprintf(why, OPTION_WHY,
                 "--%s is %.60s, must be a number of %llu or more", o->name,
                 value, (unsigned long long)o->min);
    return false;
}

static bool set_real(const struct option *o, const char *value, char *why)
{
    char *end;
    double real = strtod(value, &end);

    if (*value != '\0' && *end == '\0' && isfinite(real) &&
        real >= (double)o->min && (o->max == 0 || real <= (double)o->max)) {
        *(double *)o->value = real;
        return true;
    }
    snprintf(why, OPTION_WHY, "--%s is %.60s, must be a number of %llu or more",
             o->name, value, (unsigned long long)o->min);
    return false;
}

static bool set_option(const struct option *o, const char *value, char *why)
{
    if (o->given != NULL)
        *o->given = true;
    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)o->value = true;
        return true;
    case OPTION_NUMBER:
        return set_number(o, value, why);
    case OPTION_REAL:
        return set_real(o, value, why);
    case OPTION_LIST:
    case OPTION_FILES:
        if (text_list_add(o->value, value))
            return true;
        snprintf(why, OPTION_WHY, "no memory");
        return false;
    case OPTION_CHOICE:
        if (!is_choice(o->choices, value)) {
            snprintf(why, OPTION_WHY, "--%s is %.60s, must be one of %s",
                     o->name, value, o->choices);
            return false;
        }
        break;
    case OPTION_TEXT:
    case OPTION_FILE:
        break;
    }
    *(const char **)o->value = value;
    return true;
}

static const struct option *find_long(const struct option *const *tables,
                                      size_t n_tables, const char *name,
                                      size_t len)
{
    for (size_t t = 0; t < n_tables; t++)
        for (const struct option *o = tables[t]; o->name != NULL; o++)
            if (strlen(o->name) == len && strncmp(o->name, name, len) == 0)
                return o;
    return NULL;
}

static const struct option *find_letter(const struct option *const *tables,
                                        size_t n_tables, char letter)
{
    for (size_t t = 0; t < n_tables; t++)
        for (const struct option *o = tables[t]; o->name != NULL; o++)
            if (o->letter == letter)
                return o;
    return NULL;
}

static void say_unknown(const struct option *const *tables, size_t n_tables,
                        const char *name, size_t len, char *why)
{
    enum { MOST = 64 };
    const char *names[MOST];
    char word[64];
    const char *near;
    size_t n = 0;

    for (size_t t = 0; t < n_tables; t++)
        for (const struct option *o = tables[t]; o->name != NULL && n < MOST;
             o++)
            names[n++] = o->name;
    snprintf(word, sizeof(word), "%.*s", (int)(len < 60 ? len : 60), name);
    near = nearest_word(word, names, n);
    if (near != NULL)
        snprintf(why, OPTION_WHY, "unknown option --%s, perhaps --%s", word,
                 near);
    else
        snprintf(why, OPTION_WHY, "unknown option --%s", word);
}

/* One argument that begins with a dash; takes the next one where it needs it. */
static bool take_option(const struct option *const *tables, size_t n_tables,
                        char **argv, int argc, int *at, char *why)
{
    const char *arg = argv[*at];
    const char *value = NULL;
    const struct option *o;

    if (arg[1] == '-') {
        const char *equals = strchr(arg, '=');
        size_t len =
            equals != NULL ? (size_t)(equals - arg - 2) : strlen(arg + 2);

        o = find_long(tables, n_tables, arg + 2, len);
        if (o == NULL) {
            say_unknown(tables, n_tables, arg + 2, len, why);
            return false;
        }
        if (equals != NULL && o->kind == OPTION_FLAG) {
            snprintf(why, OPTION_WHY, "--%s takes no value", o->name);
            return false;
        }
        value = equals != NULL ? equals + 1 : NULL;
    } else {
        o = find_letter(tables, n_tables, arg[1]);
        if (o == NULL || (o->kind == OPTION_FLAG && arg[2] != '\0')) {
            snprintf(why, OPTION_WHY, "unknown option %.60s", arg);
            return false;
        }
        value = arg[2] != '\0' ? arg + 2 : NULL;
    }
    if (o->kind != OPTION_FLAG && value == NULL) {
        if (*at + 1 >= argc) {
            snprintf(why, OPTION_WHY, "--%s needs a value: %s", o->name,
                     o->arg);
            return false;
        }
        value = argv[++*at];
    }
    return set_option(o, value, why);
}

bool options_parse(const struct option *const *tables, size_t n_tables,
                   int *argc, char **argv, char why[OPTION_WHY])
{
    int n = 0;

    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            while (++i < *argc)
                argv[n++] = argv[i];
            break;
        }
        if (argv[i][0] != '-' || argv[i][1] == '\0')
            argv[n++] = argv[i];
        else if (!take_option(tables, n_tables, argv, *argc, &i, why))
            return false;
    }
    argv[n] = NULL;
    *argc = n;
    return true;
}

void options_help(const struct option *table, FILE *out)
{
    for (const struct option *o = table; o->name != NULL; o++) {
        char left[64];
        const char *arg = o->choices != NULL ? o->choices : o->arg;

        snprintf(left, sizeof(left), "  %c%c%c --%s%s%s",
                 o->letter != 0 ? '-' : ' ', o->letter != 0 ? o->letter : ' ',
                 o->letter != 0 ? ',' : ' ', o->name, arg != NULL ? " " : "",
                 arg != NULL ? arg : "");
        if (strlen(left) >= HELP_COLUMN)
            fprintf(out, "%s\n%*s%s\n", left, HELP_COLUMN, "", o->help);
        else
            fprintf(out, "%-*s%s\n", HELP_COLUMN, left, o->help);
    }
}
