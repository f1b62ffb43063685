#include "server/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/address.h"
#include "server/log.h"

#define MAX_LINE 4096
#define KIB      1024.0
#define MIB      (1024 * KIB)
#define GIB      (1024 * MIB)
#define SECONDS  1000.0
#define HOUR     (3600 * SECONDS)

enum type { TEXT, LEVEL, SWITCH, COUNT, BYTES, TIME };

enum {
    RELOADS = 1 << 0, /* SIGHUP changes it */
    LIMIT = 1 << 1,   /* shown by GET /v1/limits */
    LIMITS = RELOADS | LIMIT
};

/* Where a value comes from; anything else is a line of the file. */
enum { FROM_DEFAULT = 0, FROM_COMMAND_LINE = -1 };

struct key {
    const char *name;
    enum type type;
    size_t at;
    const char *initial;
    double min, max; /* bytes, milliseconds, or a number */
    unsigned flags;
    const char *help; /* lines of at most 76 characters */
};

#define AT(field) offsetof(struct ak_config, field)

static const struct key keys[] = {
    {"data_dir", TEXT, AT(data_dir), "/var/lib/akind", 0, 0, 0,
     "Folder of everything that is stored. One daemon a folder."},
    {"datasets_dir", TEXT, AT(datasets_dir), "", 0, 0, 0,
     "Folder of the data sets that jobs may name, a folder each. Empty: "
     "datasets\n"
     "in data_dir."},
    {"worker_program", TEXT, AT(worker_program), "", 0, 0, 0,
     "The program akin-worker. Empty: beside akind, or where it was "
     "installed."},
    {"shipped_extractors", TEXT, AT(shipped_extractors), "", 0, 0, 0,
     "Folder of model files, NAME.akx, that a new data directory begins with;\n"
     "empty: those that were installed, none: none."},
    {"listen", TEXT, AT(listen), "127.0.0.1:7337", 0, 0, 0,
     "Where to listen: ADDRESS:PORT, [ADDRESS]:PORT or unix:/PATH. Only "
     "loopback\n"
     "addresses. Port 0 is a free one, printed and written to akind.port in\n"
     "data_dir."},
    {"allowed_hosts", TEXT, AT(allowed_hosts), "", 0, 0, RELOADS,
     "Names, separated by commas, that a Host header may have beside loopback\n"
     "ones; for a proxy in front."},
    {"log_level", LEVEL, AT(log_level), "info", 0, 0, RELOADS,
     "What is logged: debug, info, warn or error."},
    {"http_threads", COUNT, AT(http_threads), "0", 0, 256, 0,
     "Threads that serve connections. 0: one a core."},
    {"pool_threads", COUNT, AT(pool_threads), "0", 0, 256, 0,
     "Threads that search, learn and encode. 0: one a core."},
    {"decode_in_process", SWITCH, AT(decode_in_process), "no", 0, 0, 0,
     "Decode images in the daemon itself, not in processes that may do "
     "nothing\n"
     "else; for systems without seccomp, or clients that are trusted."},
    {"decode_restart_images", COUNT, AT(decode_restart_images), "1000", 1, 1e9,
     0, "A process that decodes is replaced after so many images."},
    {"decode_timeout", TIME, AT(decode_timeout_ms), "5s", 100, 60 * SECONDS,
     LIMIT,
     "An image that takes longer to decode is refused; a process that does "
     "not\n"
     "end it after twice that is killed."},
    {"max_connections", COUNT, AT(max_connections), "1024", 1, 65536, LIMIT,
     "Connections at a time; more wait to be accepted."},
    {"max_connections_per_address", COUNT, AT(max_connections_per_address),
     "512", 0, 65536, LIMIT,
     "Connections at a time from one address; one more is closed at once. A\n"
     "proxy in front is one address. A unix socket has none. 0: no limit."},
    {"idle_timeout", TIME, AT(idle_timeout_ms), "60s", SECONDS, HOUR, 0,
     "A connection without traffic is closed."},
    {"header_timeout", TIME, AT(header_timeout_ms), "10s", SECONDS, HOUR,
     RELOADS, "The headers of a request must be there."},
    {"request_timeout", TIME, AT(request_timeout_ms), "300s", SECONDS,
     24 * HOUR, LIMITS,
     "The body of a request must be there, and its answer be read; of a "
     "stream,\n"
     "each 64 KiB."},
    {"drain_delay", TIME, AT(drain_delay_ms), "0s", 0, HOUR, RELOADS,
     "At a stop: not ready, but still serving, so that a balancer notices."},
    {"drain_timeout", TIME, AT(drain_timeout_ms), "30s", 0, HOUR, RELOADS,
     "At a stop: requests under way are waited for."},
    {"queue_bytes", BYTES, AT(queue_bytes), "256MiB", MIB, 1024 * GIB, LIMIT,
     "Submitted and not yet written, all collections together."},
    {"collection_queue_bytes", BYTES, AT(collection_queue_bytes), "64MiB", MIB,
     1024 * GIB, LIMIT, "The same of one collection."},
    {"max_body_memory", BYTES, AT(max_body_memory), "512MiB", MIB, 1024 * GIB,
     LIMITS,
     "Bodies that are being received, all requests together, with the chunks "
     "of\n"
     "streams. Deletes have an eighth of it for themselves."},
    {"max_answer_memory", BYTES, AT(max_answer_memory), "256MiB", MIB,
     1024 * GIB, LIMITS,
     "Answers that are being sent, those of more than 64 KiB. One alone may "
     "be\n"
     "longer."},
    {"max_file_memory", BYTES, AT(max_file_memory), "256MiB", MIB, 1024 * GIB,
     LIMIT, "What is kept of the files in memory, all collections together."},
    {"disk_low_bytes", BYTES, AT(disk_low_bytes), "256MiB", 0,
     1024 * 1024 * GIB, LIMITS,
     "With less than this free beneath data_dir, writes are refused (507); "
     "reads\n"
     "and deletes go on. They are taken again with a quarter more."},
    {"max_body_bytes", BYTES, AT(max_body_bytes), "32MiB", KIB, 2 * GIB, LIMITS,
     "Body of one request; a stream has no limit."},
    {"max_batch_items", COUNT, AT(max_batch_items), "4096", 1, 65536, LIMITS,
     "Items in a batch, rows to encode."},
    {"max_search_batch", COUNT, AT(max_search_batch), "1024", 1, 65536, LIMITS,
     "Queries in a search batch."},
    {"max_labels_per_item", COUNT, AT(max_labels_per_item), "64", 1, 1024,
     LIMITS, "Labels of one item."},
    {"max_label_bytes", BYTES, AT(max_label_bytes), "256", 1, 4096, LIMITS,
     "Length of a label."},
    {"max_payload_bytes", BYTES, AT(max_payload_bytes), "16KiB", 2, MIB, LIMITS,
     "Payload of one item, as JSON."},
    {"max_limit", COUNT, AT(max_limit), "1000", 1, 100000, LIMITS,
     "Hits of one query, items of one page."},
    {"max_rerank", COUNT, AT(max_rerank), "10000", 1, 1000000, LIMITS,
     "Candidates of one query that are put in a finer order."},
    {"max_filter_clauses", COUNT, AT(max_filter_clauses), "4096", 1, 65536,
     LIMITS, "Conditions in a filter."},
    {"max_line_bytes", BYTES, AT(max_line_bytes), "1MiB", KIB, 256 * MIB,
     LIMITS, "Line of an NDJSON stream."},
    {"max_image_bytes", BYTES, AT(max_image_bytes), "16MiB", KIB, GIB, LIMITS,
     "One image, as it comes."},
    {"max_image_pixels", COUNT, AT(max_image_pixels), "67108864", 1, 1e9,
     LIMITS, "Width times height of an image."},
    {"max_extractor_bytes", BYTES, AT(max_extractor_bytes), "256MiB", KIB, GIB,
     LIMITS, "File of a network that is imported."},
    {"max_timeout", TIME, AT(max_timeout_ms), "600s", SECONDS, 24 * HOUR,
     LIMITS, "Longest timeout_seconds that a request may ask for."},
    {"max_jobs", COUNT, AT(max_jobs), "64", 1, 10000, LIMIT,
     "Jobs that have not ended."},
    {"max_running_jobs", COUNT, AT(max_running_jobs), "2", 1, 64, LIMIT,
     "Jobs that run at the same time; the others wait."},
};

#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

struct unit {
    const char *name;
    double factor;
};

/* The largest first: a value is shown in the first that divides it. */
static const struct unit byte_units[] = {
    {"GiB", GIB}, {"MiB", MIB}, {"KiB", KIB}, {"GB", 1e9},
    {"MB", 1e6},  {"kB", 1e3},  {"B", 1},     {"", 1},
};
static const struct unit time_units[] = {
    {"h", HOUR}, {"min", 60 * SECONDS}, {"s", SECONDS},
    {"ms", 1},   {"", SECONDS},
};

static uint64_t *number_at(struct ak_config *c, const struct key *k)
{
    return (uint64_t *)(void *)((char *)c + k->at);
}

static uint64_t number_of(const struct ak_config *c, const struct key *k)
{
    return *(const uint64_t *)(const void *)((const char *)c + k->at);
}

static char **text_at(struct ak_config *c, const struct key *k)
{
    return (char **)(void *)((char *)c + k->at);
}

static const char *text_of(const struct ak_config *c, const struct key *k)
{
    return *(char *const *)(const void *)((const char *)c + k->at);
}

static const struct unit *units_of(const struct key *k, size_t *n)
{
    *n = 0;
    if (k->type == BYTES) {
        *n = sizeof(byte_units) / sizeof(byte_units[0]);
        return byte_units;
    }
    if (k->type == TIME) {
        *n = sizeof(time_units) / sizeof(time_units[0]);
        return time_units;
    }
    return NULL;
}

/* "256MiB", "30s", "4096": as short as is exact. */
static void format_number(const struct key *k, double value, char *text,
                          size_t cap)
{
    size_t n;
    const struct unit *units = units_of(k, &n);

    for (size_t i = 0; i < n; i++) {
        double q = value / units[i].factor;
        bool decimal = units[i].factor == 1e9 || units[i].factor == 1e6 ||
                       units[i].factor == 1e3;

        if (k->type == BYTES && (decimal || units[i].name[0] == 'B'))
            continue;
        /* Minutes and hours only from the second one on: 60s reads better. */
        if (k->type == TIME && units[i].factor > SECONDS && q < 10)
            continue;
        if (q >= 1 && q == (double)(uint64_t)q) {
            snprintf(text, cap, "%llu%s", (unsigned long long)q, units[i].name);
            return;
        }
    }
    snprintf(text, cap, "%llu%s", (unsigned long long)value,
             k->type == TIME ? "s" : "");
}

static void format_value(const struct ak_config *c, const struct key *k,
                         char *text, size_t cap)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};

    switch (k->type) {
    case TEXT:
        snprintf(text, cap, "%s", text_of(c, k));
        break;
    case LEVEL:
        snprintf(text, cap, "%s", levels[number_of(c, k) % 4]);
        break;
    case SWITCH:
        snprintf(text, cap, "%s", number_of(c, k) != 0 ? "yes" : "no");
        break;
    default:
        format_number(k, (double)number_of(c, k), text, cap);
        break;
    }
}

static enum ak_status set_number(struct ak_config *c, const struct key *k,
                                 const char *value, struct ak_err *err)
{
    size_t n_units, u = 0;
    const struct unit *units = units_of(k, &n_units);
    char *end = NULL, low[32], high[32];
    double number;

    errno = 0;
    number = value[0] >= '0' && value[0] <= '9'
                 ? (double)strtoull(value, &end, 10)
                 : -1;
    if (end == NULL || errno == ERANGE)
        return ak_fail(err, AK_EINVAL, "%s is \"%s\", must be a number%s",
                       k->name, value,
                       k->type == BYTES  ? " of bytes such as 64MiB"
                       : k->type == TIME ? " of seconds such as 30s"
                                         : "");
    while (*end == ' ')
        end++;
    while (u < n_units && strcmp(end, units[u].name) != 0)
        u++;
    if (n_units == 0 && *end != '\0')
        return ak_fail(err, AK_EINVAL, "%s is \"%s\", must be a number",
                       k->name, value);
    if (n_units > 0 && u == n_units)
        return ak_fail(err, AK_EINVAL, "%s has the unit \"%s\", must be %s",
                       k->name, end,
                       k->type == BYTES ? "B, KiB, MiB, GiB, kB, MB or GB"
                                        : "ms, s, min or h");
    if (n_units > 0)
        number *= units[u].factor;
    if (number < k->min || number > k->max) {
        format_number(k, k->min, low, sizeof(low));
        format_number(k, k->max, high, sizeof(high));
        return ak_fail(err, AK_EINVAL, "%s is %s, must be %s..%s", k->name,
                       value, low, high);
    }
    *number_at(c, k) = (uint64_t)number;
    return AK_OK;
}

static enum ak_status set_text(struct ak_config *c, const struct key *k,
                               const char *value, struct ak_err *err)
{
    struct ak_address address;
    enum ak_status status;
    char *copy;

    if (strcmp(k->name, "listen") == 0) {
        status = ak_address_parse(value, &address, err);
        if (status != AK_OK)
            return status;
    }
    if (strcmp(k->name, "data_dir") == 0 && value[0] == '\0')
        return ak_fail(err, AK_EINVAL, "data_dir is empty");
    copy = strdup(value);
    if (copy == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for the configuration");
    free(*text_at(c, k));
    *text_at(c, k) = copy;
    return AK_OK;
}

static enum ak_status set_switch(struct ak_config *c, const struct key *k,
                                 const char *value, struct ak_err *err)
{
    bool yes = strcmp(value, "yes") == 0;

    if (!yes && strcmp(value, "no") != 0)
        return ak_fail(err, AK_EINVAL, "%s is \"%s\", must be yes or no",
                       k->name, value);
    *number_at(c, k) = yes;
    return AK_OK;
}

static enum ak_status set(struct ak_config *c, size_t i, const char *value,
                          int origin, struct ak_err *err)
{
    const struct key *k = &keys[i];
    enum ak_log_level level;
    enum ak_status status = AK_OK;

    if (k->type == TEXT)
        status = set_text(c, k, value, err);
    else if (k->type == SWITCH)
        status = set_switch(c, k, value, err);
    else if (k->type != LEVEL)
        status = set_number(c, k, value, err);
    else if (!ak_log_level_parse(value, &level))
        status = ak_fail(err, AK_EINVAL,
                         "%s is \"%s\", must be debug, info, warn or error",
                         k->name, value);
    else
        *number_at(c, k) = (uint64_t)level;
    if (status == AK_OK)
        c->origins[i] = (unsigned)origin;
    return status;
}

/* Least number of letters to add, leave out or change (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);

    if (n >= 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t corner = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = corner + (a[i - 1] != b[j - 1]);

            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            corner = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

/* Index of a key, in which `-` counts as `_`; N_KEYS when there is none, with
   the nearest in the text. */
static size_t find(const char *name, size_t len, struct ak_err *err)
{
    size_t best = SIZE_MAX, nearest = 0;
    char key[48];

    if (len < sizeof(key)) {
        for (size_t i = 0; i < len; i++)
            key[i] = name[i] == '-' ? '_' : name[i];
        key[len] = '\0';
        for (size_t i = 0; i < N_KEYS; i++) {
            size_t d = distance(key, keys[i].name);

            if (d == 0)
                return i;
            if (d < best) {
                best = d;
                nearest = i;
            }
        }
    }
    if (best <= 3)
        ak_fail(err, AK_EINVAL,
                "there is no setting \"%.*s\"; did you mean \"%s\"?",
                (int)(len < 48 ? len : 48), name, keys[nearest].name);
    else
        ak_fail(err, AK_EINVAL,
                "there is no setting \"%.*s\"; see akind --help",
                (int)(len < 48 ? len : 48), name);
    return N_KEYS;
}

static char *trim(char *s)
{
    size_t len;

    while (*s == ' ' || *s == '\t')
        s++;
    len = strlen(s);
    while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t' ||
                       s[len - 1] == '\r' || s[len - 1] == '\n'))
        s[--len] = '\0';
    return s;
}

static enum ak_status read_line(struct ak_config *c, char *line, int number,
                                struct ak_err *err)
{
    char *key = trim(line), *value, *comment;
    size_t i;

    if (key[0] == '\0' || key[0] == '#')
        return AK_OK;
    for (comment = key; (comment = strchr(comment, '#')) != NULL; comment++) {
        if (comment[-1] == ' ' || comment[-1] == '\t') {
            *comment = '\0';
            break;
        }
    }
    value = strchr(key, '=');
    if (value == NULL)
        return ak_fail(err, AK_EINVAL, "\"%.60s\" is no `key = value`", key);
    *value = '\0';
    value = trim(value + 1);
    if (value[0] == '#')
        value[0] = '\0';
    key = trim(key);
    i = find(key, strlen(key), err);
    if (i == N_KEYS)
        return AK_EINVAL;
    if ((int)c->origins[i] > 0)
        return ak_fail(err, AK_EINVAL, "%s was set in line %u already",
                       keys[i].name, c->origins[i]);
    return set(c, i, value, number, err);
}

static enum ak_status read_file(struct ak_config *c, struct ak_err *err)
{
    enum ak_status status = AK_OK;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int number = 0;
    FILE *f = fopen(c->file, "re");

    if (f == NULL)
        return ak_fail(err, AK_EIO, "%s: %s", c->file, strerror(errno));
    while (status == AK_OK && (len = getline(&line, &cap, f)) >= 0) {
        number++;
        if (len > MAX_LINE)
            status = ak_fail(err, AK_EINVAL, "has %zd bytes, at most %d", len,
                             MAX_LINE);
        else if (memchr(line, '\0', (size_t)len) != NULL)
            status = ak_fail(err, AK_EINVAL, "has a zero byte");
        else
            status = read_line(c, line, number, err);
    }
    if (status != AK_OK)
        ak_err_context(err, "%s:%d", c->file, number);
    else if (ferror(f))
        status = ak_fail(err, AK_EIO, "%s: %s", c->file, strerror(errno));
    free(line);
    fclose(f);
    return status;
}

struct flag {
    const char *names[2];
    enum ak_config_action action;
};
static const struct flag flags[] = {
    {{"--help", "-h"}, AK_CONFIG_HELP},
    {{"--version", "-V"}, AK_CONFIG_VERSION},
    {{"--check-config", "--check_config"}, AK_CONFIG_CHECK},
    {{"--sample-config", "--sample_config"}, AK_CONFIG_SAMPLE},
};

/*
 * Walk over the command line.  The file comes before it, so it is walked twice:
 * for the flags and the name of the file, and for the settings.
 */
static enum ak_status read_arguments(struct ak_config *c, int argc,
                                     char *const *argv, bool settings,
                                     struct ak_err *err)
{
    for (int a = 1; a < argc; a++) {
        const char *arg = argv[a], *equals = strchr(arg, '='), *value;
        bool known = false;
        size_t len, i;

        for (size_t f = 0; f < sizeof(flags) / sizeof(flags[0]); f++) {
            if (strcmp(arg, flags[f].names[0]) == 0 ||
                strcmp(arg, flags[f].names[1]) == 0) {
                c->action = flags[f].action;
                known = true;
            }
        }
        if (known)
            continue;
        if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0')
            return ak_fail(err, AK_EINVAL,
                           "\"%.60s\" is no option; see akind --help", arg);
        len = equals ? (size_t)(equals - arg) - 2 : strlen(arg + 2);
        if (equals == NULL && a + 1 == argc)
            return ak_fail(err, AK_EINVAL, "%.60s needs a value", arg);
        value = equals ? equals + 1 : argv[++a];
        if (len == 6 && memcmp(arg + 2, "config", 6) == 0) {
            if (settings)
                continue;
            free(c->file);
            c->file = strdup(value);
            if (c->file == NULL)
                return ak_fail(err, AK_ENOMEM, "no memory");
            continue;
        }
        if (!settings)
            continue;
        i = find(arg + 2, len, err);
        if (i == N_KEYS || set(c, i, value, FROM_COMMAND_LINE, err) != AK_OK) {
            ak_err_context(err, "command line");
            return AK_EINVAL;
        }
    }
    return AK_OK;
}

enum ak_status ak_config_load(int argc, char *const *argv,
                              struct ak_config **out, struct ak_err *err)
{
    struct ak_config *c = calloc(1, sizeof(*c));
    enum ak_status status = AK_OK;

    if (c != NULL)
        c->origins = calloc(N_KEYS, sizeof(c->origins[0]));
    if (c == NULL || c->origins == NULL) {
        ak_config_destroy(c);
        return ak_fail(err, AK_ENOMEM, "no memory for the configuration");
    }
    for (size_t i = 0; i < N_KEYS && status == AK_OK; i++)
        status = set(c, i, keys[i].initial, FROM_DEFAULT, err);
    if (status == AK_OK)
        status = read_arguments(c, argc, argv, false, err);
    /* Help must come even when the file is wrong. */
    if (status == AK_OK && c->file != NULL && c->action != AK_CONFIG_HELP &&
        c->action != AK_CONFIG_VERSION)
        status = read_file(c, err);
    if (status == AK_OK && c->action != AK_CONFIG_HELP &&
        c->action != AK_CONFIG_VERSION)
        status = read_arguments(c, argc, argv, true, err);
    if (status != AK_OK) {
        ak_config_destroy(c);
        return status;
    }
    *out = c;
    return AK_OK;
}

void ak_config_destroy(struct ak_config *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < N_KEYS; i++)
        if (keys[i].type == TEXT)
            free(*text_at(c, &keys[i]));
    free(c->file);
    free(c->origins);
    free(c);
}

/* The lines of a help text, each behind `before`. */
static void print_lines(FILE *to, const char *before, const char *text)
{
    const char *end;

    for (; (end = strchr(text, '\n')) != NULL; text = end + 1)
        fprintf(to, "%s%.*s\n", before, (int)(end - text), text);
    fprintf(to, "%s%s\n", before, text);
}

static void print_range(FILE *to, const char *before, const struct key *k)
{
    char low[32], high[32];

    if (k->type == TEXT || k->type == LEVEL || k->type == SWITCH)
        return;
    format_number(k, k->min, low, sizeof(low));
    format_number(k, k->max, high, sizeof(high));
    fprintf(to, "%s%s..%s\n", before, low, high);
}

void ak_config_print_help(FILE *to)
{
    fputs(
        "usage: akind [--config FILE] [--KEY VALUE]...\n"
        "\n"
        "Serves image retrieval by binary codes that it learns meanwhile.\n"
        "\n"
        "  --config FILE    read settings, one `key = value` a line\n"
        "  --check-config   print the settings in effect and where each comes "
        "from\n"
        "  --sample-config  print a file with every setting and its default\n"
        "  --version\n"
        "  --help\n"
        "\n"
        "Settings, with their defaults. Sizes take B, KiB, MiB, GiB, kB, MB, "
        "GB;\n"
        "times take ms, s, min, h. The command line comes before the file.\n",
        to);
    for (size_t i = 0; i < N_KEYS; i++) {
        fputs("\n  --", to);
        for (const char *p = keys[i].name; *p != '\0'; p++)
            fputc(*p == '_' ? '-' : *p, to);
        fprintf(to, " %s\n", keys[i].initial[0] ? keys[i].initial : "NAME,...");
        print_lines(to, "      ", keys[i].help);
        print_range(to, "      ", &keys[i]);
    }
}

void ak_config_print(const struct ak_config *c, FILE *to)
{
    char value[AK_ERR_TEXT];

    for (size_t i = 0; i < N_KEYS; i++) {
        int origin = (int)c->origins[i];

        format_value(c, &keys[i], value, sizeof(value));
        fprintf(to, "%s = %s  # ", keys[i].name,
                keys[i].type == TEXT ? text_of(c, &keys[i]) : value);
        if (origin == FROM_DEFAULT)
            fputs("default\n", to);
        else if (origin == FROM_COMMAND_LINE)
            fputs("command line\n", to);
        else
            fprintf(to, "%s:%d\n", c->file, origin);
    }
}

void ak_config_print_sample(FILE *to)
{
    fputs("# Settings of akind. What is commented out is the default.\n"
          "# `akind --check-config --config FILE` says what is in effect.\n"
          "# Written by `akind --sample-config`.\n",
          to);
    for (size_t i = 0; i < N_KEYS; i++) {
        fputc('\n', to);
        print_lines(to, "# ", keys[i].help);
        print_range(to, "# Range: ", &keys[i]);
        if (keys[i].flags & RELOADS)
            fputs("# A reload (SIGHUP) changes it.\n", to);
        fprintf(to, "#%s =%s%s\n", keys[i].name, keys[i].initial[0] ? " " : "",
                keys[i].initial);
    }
}

const char *ak_config_needs_start(const struct ak_config *now,
                                  const struct ak_config *next, size_t i)
{
    for (size_t k = 0; k < N_KEYS; k++) {
        bool differs =
            keys[k].type == TEXT
                ? strcmp(text_of(now, &keys[k]), text_of(next, &keys[k])) != 0
                : number_of(now, &keys[k]) != number_of(next, &keys[k]);

        if (differs && !(keys[k].flags & RELOADS) && i-- == 0)
            return keys[k].name;
    }
    return NULL;
}

void ak_config_each_limit(const struct ak_config *config,
                          ak_config_limit_fn *each, void *arg)
{
    char name[64];

    for (size_t i = 0; i < N_KEYS; i++) {
        double value = (double)number_of(config, &keys[i]);

        if (!(keys[i].flags & LIMIT))
            continue;
        snprintf(name, sizeof(name), "%s%s", keys[i].name,
                 keys[i].type == TIME ? "_seconds" : "");
        each(arg, name, keys[i].type == TIME ? value / SECONDS : value);
    }
}
