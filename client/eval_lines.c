#include "config.h"

#include "client/eval_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/tool.h"

#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(6))

/* The fields that make two runs the same. */
static const char *const identity_fields[] = {
    "dataset",           "crc32",  "rows",   "protocol", "queries",
    "queries_per_class", "stream", "points", "method",   "options",
    "scaling",           "bits",   "seed"};

json_t *eval_line_identity(const struct eval_frame *f,
                           const struct eval_variant *v, uint32_t bits,
                           uint64_t seed)
{
    json_t *options = json_object();
    char crc[16];

    snprintf(crc, sizeof(crc), "%08x", f->data->crc);
    for (size_t i = 0; i < v->method->n_options; i++) {
        const struct ak_hash_option *o = &v->method->options[i];

        json_object_set_new(options, o->name,
                            o->integer ? json_integer((json_int_t)v->options[i])
                                       : json_real(v->options[i]));
    }
    return json_pack(
        "{s:s,s:s,s:I,s:s,s:s,s:I,s:I,s:I,s:s,s:s,s:o,s:s,s:I,s:I}", "dataset",
        f->data->name, "crc32", crc, "rows", (json_int_t)f->data->set.n,
        "protocol", f->protocol, "queries",
        f->split.validate ? "validation" : "test", "queries_per_class",
        (json_int_t)f->split.queries, "stream", (json_int_t)f->split.stream,
        "points", (json_int_t)f->points, "method", v->method->name, "variant",
        v->label, "options", options, "scaling", eval_scaling_name(v->scaling),
        "bits", (json_int_t)bits, "seed", (json_int_t)seed);
}

static void set_real(json_t *line, const char *name, double value)
{
    json_object_set_new(line, name, json_real(value));
}

static void set_count(json_t *line, const char *name, uint64_t value)
{
    json_object_set_new(line, name, json_integer((json_int_t)value));
}

void eval_line_finish(json_t *line, const struct ak_split *s,
                      const struct ak_eval_run *run,
                      const struct ak_eval_outcome *o)
{
    json_t *precision = json_object(), *curve = json_array();
    char name[24];

    set_real(line, "map", o->result.map);
    set_real(line, "map_ordered", o->result.map_ordered);
    set_real(line, "map_at_1000", o->result.map_at);
    set_real(line, "p_at_h2", o->result.precision_in_radius);
    for (uint32_t i = 0; i < run->n_k; i++) {
        snprintf(name, sizeof(name), "%u", run->k[i]);
        set_real(precision, name, o->result.precision[i]);
        if (run->k[i] == 100)
            set_real(line, "p_at_100", o->result.precision[i]);
    }
    json_object_set_new(line, "p_at", precision);
    set_count(line, "empty_balls", o->result.empty);
    if (o->n_points > 1)
        set_real(line, "auc", o->auc);
    for (size_t i = 0; i < o->n_points; i++) {
        const struct ak_eval_point *p = &o->points[i];
        json_t *point = json_object();

        set_count(point, "rows", p->rows);
        set_real(point, "map", p->map);
        if (s->n_stages > 1) {
            set_count(point, "classes", p->classes);
            set_real(point, "map_seen", p->map_seen);
            set_real(point, "map_first", p->map_first);
        }
        json_array_append_new(curve, point);
    }
    json_object_set_new(line, "curve", curve);
    set_real(line, "train_seconds", o->train_seconds);
    set_real(line, "encode_seconds", o->encode_seconds);
    set_count(line, "encoded", o->encoded);
    set_real(line, "rank_seconds", o->rank_seconds);
    set_count(line, "model_bytes", o->model_bytes);
    set_count(line, "learner_bytes", o->learner_bytes);
    set_count(line, "samples", o->samples);
    set_count(line, "n_queries", s->n_queries);
    set_count(line, "n_database", s->n_database);
    set_count(line, "n_stream", s->n_stream);
    json_object_set_new(line, "version", json_string(PACKAGE_VERSION));
}

/* Options read back may be whole where they were written as reals. */
static bool same_value(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        double x = json_number_value(a), y = json_number_value(b);
        double most = x > y ? x : y;

        /* Six digits are written. */
        return x - y <= 1e-5 * most && y - x <= 1e-5 * most;
    }
    return json_equal(a, b);
}

static bool same_options(json_t *a, json_t *b)
{
    const char *name;
    json_t *value;

    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach(
        a, name,
        value) if (!same_value(value, json_object_get(b, name))) return false;
    return true;
}

static bool same_run(const json_t *a, const json_t *b)
{
    for (size_t i = 0; i < sizeof(identity_fields) / sizeof(identity_fields[0]);
         i++) {
        json_t *x = json_object_get(a, identity_fields[i]);
        json_t *y = json_object_get(b, identity_fields[i]);

        if (json_is_object(x) && json_is_object(y) ? !same_options(x, y)
                                                   : !same_value(x, y))
            return false;
    }
    return true;
}

const json_t *eval_lines_find(const json_t *lines, const json_t *identity)
{
    size_t i;
    json_t *line;

    json_array_foreach(lines, i,
                       line) if (same_run(line, identity)) return line;
    return NULL;
}

/* Lines of text, each one object. */
static int parse(const char *path, const char *text, size_t len, json_t *lines)
{
    size_t number = 0;

    for (const char *at = text, *end = text + len; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop != NULL ? stop : end) - at);
        json_error_t why;
        json_t *line;

        number++;
        if (n > 0) {
            line = json_loadb(at, n, 0, &why);
            if (!json_is_object(line)) {
                json_decref(line);
                return tool_usage("%s: line %zu is no JSON object: %s", path,
                                  number,
                                  line == NULL ? why.text : "something else");
            }
            if (json_array_append_new(lines, line) != 0)
                return tool_no_memory();
        }
        at += n + 1;
    }
    return EXIT_OK;
}

int eval_lines_read(const char *path, bool mend, json_t *lines)
{
    void *data = NULL;
    size_t len = 0, whole;
    int code;

    if (mend && access(path, F_OK) != 0)
        return EXIT_OK;
    code = tool_read_file(path, &data, &len);
    if (code != EXIT_OK)
        return code;
    for (whole = len; whole > 0 && ((char *)data)[whole - 1] != '\n';)
        whole--;
    if (mend && whole < len && truncate(path, (off_t)whole) != 0)
        code = tool_usage("%s: %s", path, strerror(errno));
    if (code == EXIT_OK)
        code = parse(path, data, mend ? whole : len, lines);
    free(data);
    return code;
}

int eval_lines_append(const char *path, const json_t *line)
{
    FILE *f = fopen(path, "ae");
    int code = EXIT_OK;

    if (f == NULL)
        return tool_usage("%s: %s", path, strerror(errno));
    if (json_dumpf(line, f, DUMP_FLAGS) != 0 || fputc('\n', f) == EOF ||
        fflush(f) != 0 || fsync(fileno(f)) != 0)
        code = tool_usage("%s: %s", path, strerror(errno));
    if (fclose(f) != 0 && code == EXIT_OK)
        code = tool_usage("%s: %s", path, strerror(errno));
    return code;
}

void eval_line_print(const json_t *line)
{
    json_dumpf(line, stdout, DUMP_FLAGS);
    putchar('\n');
    fflush(stdout);
}
