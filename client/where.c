#include "config.h"

#include "client/where.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char *file_url;
static char *file_key;

static const struct {
    const char *name;
    char **value;
} keys[] = {{"url", &file_url}, {"api_key_file", &file_key}};

#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

void where_clear(void)
{
    for (size_t i = 0; i < N_KEYS; i++) {
        free(*keys[i].value);
        *keys[i].value = NULL;
    }
}

static char *trim(char *text)
{
    size_t n;

    while (isspace((unsigned char)*text))
        text++;
    for (n = strlen(text); n > 0 && isspace((unsigned char)text[n - 1]); n--)
        text[n - 1] = '\0';
    return text;
}

static int read_line(const char *path, unsigned number, char *line)
{
    char *text = trim(line);
    char *equals = strchr(text, '=');
    const char *names[N_KEYS];
    const char *near;
    char *name;
    char *copy;

    if (text[0] == '\0' || text[0] == '#')
        return EXIT_OK;
    if (equals == NULL)
        return tool_usage("%s:%u: must be key = value", path, number);
    *equals = '\0';
    name = trim(text);
    for (size_t i = 0; i < N_KEYS; i++) {
        names[i] = keys[i].name;
        if (strcmp(name, keys[i].name) != 0)
            continue;
        copy = strdup(trim(equals + 1));
        if (copy == NULL)
            return tool_no_memory();
        free(*keys[i].value);
        *keys[i].value = copy;
        return EXIT_OK;
    }
    near = nearest_word(name, names, N_KEYS);
    return tool_usage("%s:%u: unknown key %.40s%s%s", path, number, name,
                      near != NULL ? ", perhaps " : "",
                      near != NULL ? near : "");
}

static int read_config(const char *path)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0;
    unsigned number = 0;
    int code = EXIT_OK;

    if (file == NULL)
        return errno == ENOENT || errno == ENOTDIR
                   ? EXIT_OK
                   : tool_usage("%s: %s", path, strerror(errno));
    while (code == EXIT_OK && getline(&line, &cap, file) >= 0)
        code = read_line(path, ++number, line);
    free(line);
    fclose(file);
    return code;
}

static int read_user_config(void)
{
    const char *base = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    char *path = NULL;
    int n;
    int code;

    if (base != NULL && base[0] == '/')
        n = asprintf(&path, "%s/akin/config", base);
    else if (home != NULL && home[0] == '/')
        n = asprintf(&path, "%s/.config/akin/config", home);
    else
        return EXIT_OK;
    if (n < 0)
        return tool_no_memory();
    code = read_config(path);
    free(path);
    return code;
}

static const char *choose(const char *flag, const char *variable,
                          const char *from_file)
{
    const char *value = getenv(variable);

    if (flag != NULL)
        return flag;
    if (value != NULL && value[0] != '\0')
        return value;
    return from_file;
}

int where_find(struct tool *tool)
{
    int code = read_user_config();

    if (code != EXIT_OK)
        return code;
    tool->url = choose(tool->url, "AKIN_URL", file_url);
    tool->key_file = choose(tool->key_file, "AKIN_API_KEY_FILE", file_key);
    if (tool->url == NULL)
        tool->url = AKIN_DEFAULT_URL;
    return EXIT_OK;
}
