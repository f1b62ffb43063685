/*
 * tool.h -- what the commands of `akin` share.
 *
 * A command is a row of the list in commands.c: its words, its options, its
 * help and its function, which returns the exit code.  The options of a command
 * live in static storage of its file, since a process runs one command.
 */
#ifndef AK_CLIENT_TOOL_H
#define AK_CLIENT_TOOL_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "client/akin.h"
#include "client/options.h"

enum {
    EXIT_OK = 0,
    EXIT_NEGATIVE = 1, /* it worked, and the answer is no */
    EXIT_USAGE = 2,
    EXIT_CONNECTION = 3,
    EXIT_AUTH = 4,
    EXIT_PROBLEM = 5,
    EXIT_TIMEOUT = 6,
    EXIT_INTERRUPTED = 130
};

struct tool {
    const char *url;      /* where the daemon is, and who said so */
    const char *key_file; /* NULL: none */
    const char *progress; /* "auto", "bar", "lines", "json", "none" */
    bool json;
    bool quiet;
    bool help;
    bool version;
    bool yes;
    uint64_t timeout_seconds; /* of one request */
    uint64_t retries;
    struct akin *client; /* made by tool_connect() */
    int status;          /* of HTTP, of the last answer to tool_call() */
};

struct command {
    const char *name;             /* "collection create" */
    const char *synopsis;         /* "NAME [OPTION]..." */
    const char *summary;          /* one line of the list of commands */
    const char *about;            /* further text of its help; may be NULL */
    const char *examples;         /* lines of shell; may be NULL */
    const struct option *options; /* ended by a NULL name; may be NULL */
    int min_args;
    int max_args; /* -1: any number */
    int (*run)(struct tool *tool, int argc, char **argv);
    bool hidden;
};

extern const struct command *const akin_commands[];
extern const size_t n_akin_commands;
extern const struct option *const tool_options; /* of all commands */

/* ---- failing ----------------------------------------------------------- */

/* Each prints to stderr and returns the exit code. */
int tool_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int tool_no_memory(void);
/* A problem is printed with its field errors; with --json as one JSON line. */
int tool_failure(const struct tool *tool, const struct akin_error *err);
/* A line for a person, kept back by --quiet. */
void tool_note(const struct tool *tool, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- asking the daemon -------------------------------------------------- */

/* Makes the client: EXIT_OK or the code to leave with, said already. */
int tool_connect(struct tool *tool);

/* Whether a call may be sent again when it is not known what became of it. */
enum call_mode {
    CALL_ONCE,  /* no, unless it is a GET */
    CALL_AGAIN, /* a repeat does no harm */
    CALL_KEYED  /* with an idempotency key it does none */
};

/*
 * Send and read the object that comes back into *out (owned; NULL: not
 * wanted).  `path` is freed.  `body` is stolen and may be NULL.  What went
 * wrong was said when the code is not EXIT_OK.
 */
int tool_call(struct tool *tool, const char *method, char *path, json_t *body,
              enum call_mode mode, json_t **out);

/* The same for a body of bytes. */
int tool_call_bytes(struct tool *tool, const char *method, char *path,
                    const char *content_type, const void *data, size_t len,
                    enum call_mode mode, json_t **out);

/* One page after the other of a list: calls `each` for every item until it
   returns a code other than EXIT_OK.  `path` is freed, has a query or none. */
typedef int each_item_fn(void *context, json_t *item);
int tool_list(struct tool *tool, char *path, each_item_fn *each, void *context);

/* Asks on a terminal; EXIT_OK with --yes or when the answer is yes. */
int tool_confirm(const struct tool *tool, const char *question);

/* ---- reading and printing ----------------------------------------------- */

/* The whole file, or stdin for "-"; a zero byte stands behind it.  Free it. */
int tool_read_file(const char *path, void **data, size_t *len);
/* All or nothing: a file is written beside `path` and renamed; "-": stdout. */
int tool_write_file(const char *path, const void *data, size_t len);

void tool_print_json(const json_t *value); /* one line */

/* Text of a member for a person: numbers and texts plain, null as "-". */
#define CELL 64
const char *cell_text(const json_t *object, const char *name, char out[CELL]);
/* "boot sandal" of an array of labels. */
void labels_text(const json_t *labels, char *out, size_t cap);
/* Value of a series of quality: a number, or a record that holds one; -1. */
double quality_value(const json_t *quality, const char *series);

/* "60,000"; "1.5 GiB" is not ours: "25.5 MB"; "0:04", "1:02:03". */
const char *human_count(uint64_t n, char out[CELL]);
const char *human_bytes(double bytes, char out[CELL]);
const char *human_time(double seconds, char out[CELL]);

/* Whether marks outside of ASCII, and colours, may be written to `fd`. */
bool tool_utf8(void);
bool tool_colour(int fd);

/* Columns of the terminal at `fd`; 80 when it is none. */
unsigned tool_columns(int fd);

#endif
