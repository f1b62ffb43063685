/*
 * main.c -- akind, the daemon.
 *
 * Its threads:
 *
 *   main       the libevent loop: signals, the timer, the end.  Touches no
 *              collection; calls ak_engine_tick() and ak_http_tick().
 *   http       one a core, of libmicrohttpd: parsing and routing.  They read
 *              immutable snapshots, submit changes to the writer, and suspend a
 *              request that must wait.
 *   writer     one, of the engine: every write to every file, in groups.
 *   images     one a core, of the engine: batches whose images a network turns
 *              into features.
 *   pool       one a core, of the engine: learners, indexers, long scans; a
 *              collection's work is in one serial queue at a time.
 *
 * Images are decoded by processes of their own, akin-worker, which the pool's
 * threads ask and wait for (decoder.h).
 *
 * Work is handed over by queues with a lock of their own; answers come back by
 * ak_reply_*() from any of them, and to the loop by nothing at all: what it
 * must know (who is active, whether it is ready) it asks at its timer.  The
 * loop never waits for a disk or a matrix product until it ends.
 *
 * The end: TERM or INT drains.  /readyz is 503 for `drain_delay`, then no more
 * connections are accepted, the requests under way are waited for at most
 * `drain_timeout`, the engine finishes what was submitted and closes.  A second
 * signal skips the waiting, nothing else: what was acknowledged is on the disk
 * anyway.  A failed fsync ends it in the same way, with 74.
 */
#include <config.h> /* autoconf's: ours beside it has the same name */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include <cblas.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <jansson.h>

#include "core/base/clock.h"
#include "server/build_info.h"
#include "server/config.h"
#include "server/decoder.h"
#include "server/engine.h"
#include "server/http.h"
#include "server/json_memory.h"
#include "server/limits.h"
#include "server/log.h"
#include "server/moments.h"
#include "server/process.h"
#include "server/routes.h"
#include "storage/collection.h"

#define TICK_MS   100
#define MS        1000000u
#define TRIM_NS   UINT64_C(60000000000)
#define N_EVENTS  4
#define SPARE_FDS 256 /* beside the connections: files, the journal of each */

enum phase { RUNNING, DELAYING, FINISHING };

struct daemon {
    int argc;
    char *const *argv;
    const struct ak_config *config; /* of now */
    struct ak_engine *engine;
    struct ak_http *http;
    struct event_base *base;
    struct event *events[N_EVENTS];
    enum phase phase;
    uint64_t until_ns; /* of the phase */
    uint64_t trimmed_ns;
    bool told_ready;
    bool sync_failed;
};

/* Tell systemd, if it wants to know: a datagram to a socket (sd_notify(3)). */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t len = path != NULL ? strlen(path) : 0;
    int fd;

    if (len < 2 || len >= sizeof(un.sun_path))
        return;
    memcpy(un.sun_path, path, len);
    /* An abstract name begins with a zero byte, which is written as @. */
    if (path[0] == '@')
        un.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL,
               (const struct sockaddr *)&un,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
        ak_log_warn("main", "the service manager cannot be told",
                    AK_TEXT("error", strerror(errno)));
    close(fd);
}

/* ------------------------------------------------------------------ the end */

static void drain(struct daemon *d)
{
    ak_log_info("main", "stopping",
                AK_NUMBER("active", ak_http_active(d->http)));
    notify("STOPPING=1");
    ak_http_drain(d->http);
    d->phase = DELAYING;
    d->until_ns = ak_clock_ns() + d->config->drain_delay_ms * MS;
}

static void finish(struct daemon *d)
{
    ak_http_quiesce(d->http);
    d->phase = FINISHING;
    d->until_ns = ak_clock_ns() + d->config->drain_timeout_ms * MS;
}

static void on_stop(evutil_socket_t number, short what, void *arg)
{
    struct daemon *d = arg;

    (void)what;
    if (d->phase == RUNNING) {
        drain(d);
        return;
    }
    ak_log_warn("main", "told twice to stop: no more waiting",
                AK_NUMBER("signal", number));
    event_base_loopbreak(d->base);
}

/*
 * After a failed fsync the kernel may have thrown away what it could not write
 * and report success the next time (PostgreSQL's "fsyncgate", 2018), so nothing
 * is tried again: reads end in good order, and a new process reads the disk.
 */
static void end_after_sync(struct daemon *d)
{
    d->sync_failed = true;
    ak_log_error("main", "an fsync failed: the daemon ends, so that a start "
                         "reads what is on the disk");
    if (d->phase == RUNNING)
        drain(d);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct daemon *d = arg;
    struct ak_engine_progress progress;
    uint64_t now = ak_clock_ns();

    (void)fd;
    (void)what;
    ak_engine_tick(d->engine);
    ak_decoder_tick();
    ak_http_tick(d->http);
    ak_engine_progress(d->engine, &progress);
    if (progress.sync_failed && !d->sync_failed)
        end_after_sync(d);
    if (now - d->trimmed_ns >= TRIM_NS) {
        d->trimmed_ns = now;
        ak_process_trim();
    }
    if (!d->told_ready) {
        if (progress.ready) {
            d->told_ready = true;
            ak_log_info("main", "ready",
                        AK_NUMBER("collections", progress.loaded),
                        AK_NUMBER("failed", progress.failed),
                        AK_NUMBER("rows", progress.rows_loaded));
            notify("READY=1");
        }
    }
    if (d->phase == DELAYING && now >= d->until_ns)
        finish(d);
    if (d->phase != FINISHING)
        return;
    if (ak_http_active(d->http) == 0)
        event_base_loopbreak(d->base);
    if (now >= d->until_ns) {
        ak_log_warn("main", "some requests did not end in time",
                    AK_NUMBER("active", ak_http_active(d->http)));
        event_base_loopbreak(d->base);
    }
}

/* The data routes have their limits in a struct of their own. */
static void set_limits(const struct ak_config *c)
{
    ak_limits_set(&(struct ak_limits){
        .max_body_bytes = c->max_body_bytes,
        .max_batch_items = c->max_batch_items,
        .max_search_batch = c->max_search_batch,
        .max_labels_per_item = c->max_labels_per_item,
        .max_label_bytes = c->max_label_bytes,
        .max_payload_bytes = c->max_payload_bytes,
        .max_limit = c->max_limit,
        .max_rerank = c->max_rerank,
        .max_filter_clauses = c->max_filter_clauses,
        .max_line_bytes = c->max_line_bytes,
        .max_image_pixels = c->max_image_pixels,
        .max_image_bytes = c->max_image_bytes,
        .max_timeout_ms = c->max_timeout_ms,
    });
}

static void on_reload(evutil_socket_t number, short what, void *arg)
{
    struct daemon *d = arg;
    struct ak_config *next = NULL;
    struct ak_err err = {0};
    const char *key;

    (void)number;
    (void)what;
    if (ak_config_load(d->argc, d->argv, &next, &err) != AK_OK) {
        ak_log_error("main", "the configuration is wrong and was not changed",
                     AK_TEXT("error", err.text));
        return;
    }
    for (size_t i = 0;
         (key = ak_config_needs_start(d->config, next, i)) != NULL; i++)
        ak_log_warn("main", "a setting changes only at a start",
                    AK_TEXT("key", key));
    ak_log_set_level((enum ak_log_level)next->log_level);
    set_limits(next);
    ak_engine_set_disk_low(d->engine, next->disk_low_bytes);
    ak_http_reload(d->http, next);
    d->config = next;
    ak_log_info("main", "configuration read again");
}

/* ---------------------------------------------------------------- the start */

/* For scripts: the port, in a file that is either absent or whole. */
static void write_port(const char *data_dir, unsigned port)
{
    char path[4096], temporary[4096 + 8];
    FILE *f;

    snprintf(path, sizeof(path), "%s/akind.port", data_dir);
    snprintf(temporary, sizeof(temporary), "%s.new", path);
    f = fopen(temporary, "we");
    if (f != NULL) {
        fprintf(f, "%u\n", port);
        if (fclose(f) == 0 && rename(temporary, path) == 0)
            return;
    }
    ak_log_warn("main", "the port cannot be written",
                AK_TEXT("error", strerror(errno)));
}

static void remove_port(const char *data_dir)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/akind.port", data_dir);
    unlink(path);
}

static int exit_code(enum ak_status status)
{
    switch (status) {
    case AK_EBUSY:
        return EX_TEMPFAIL;
    case AK_EIO:
    case AK_EFULL:
    case AK_ECORRUPT:
        return EX_IOERR;
    case AK_EINVAL:
        return EX_CONFIG;
    case AK_ENOMEM:
        return EX_OSERR;
    default:
        return EX_SOFTWARE;
    }
}

static void on_event_log(int severity, const char *text)
{
    if (severity >= EVENT_LOG_WARN)
        ak_log_warn("libevent", "libevent", AK_TEXT("text", text));
}

/* What the loop waits for.  Made before the engine is opened, so that a signal
   during a long start is kept until the loop runs. */
static bool make_events(struct daemon *d)
{
    static const int stops[] = {SIGTERM, SIGINT};
    struct timeval tick = {.tv_usec = TICK_MS * 1000};
    size_t n = 0;

    d->base = event_base_new();
    if (d->base == NULL)
        return false;
    for (size_t i = 0; i < 2; i++)
        d->events[n++] = evsignal_new(d->base, stops[i], on_stop, d);
    d->events[n++] = evsignal_new(d->base, SIGHUP, on_reload, d);
    d->events[n++] = event_new(d->base, -1, EV_PERSIST, on_tick, d);
    for (size_t i = 0; i < n; i++)
        if (d->events[i] == NULL ||
            event_add(d->events[i], i + 1 == n ? &tick : NULL) != 0)
            return false;
    return true;
}

static void free_events(struct daemon *d)
{
    for (size_t i = 0; i < N_EVENTS; i++)
        if (d->events[i] != NULL)
            event_free(d->events[i]);
    memset(d->events, 0, sizeof(d->events));
    if (d->base != NULL)
        event_base_free(d->base);
    d->base = NULL;
}

/*
 * How many connections there may be.  Where few files may be open, the
 * collections keep their share of them: else clients that only hold connections
 * would keep a search from opening its file.
 */
static unsigned n_connections(const struct ak_config *c)
{
    uint64_t wanted = c->max_connections + SPARE_FDS, n = c->max_connections;
    uint64_t files = ak_process_raise_files(wanted);

    if (files >= wanted)
        return (unsigned)n;
    if (files > 0)
        n = files > 2 * SPARE_FDS ? files - SPARE_FDS : files / 2;
    if (n > c->max_connections)
        n = c->max_connections;
    ak_log_warn("main", "few files may be open", AK_NUMBER("allowed", files),
                AK_NUMBER("wanted", wanted), AK_NUMBER("max_connections", n));
    return (unsigned)n;
}

static const char *shipped_dir(const struct ak_config *c)
{
    if (strcmp(c->shipped_extractors, "none") == 0)
        return NULL;
    return c->shipped_extractors[0] != '\0' ? c->shipped_extractors
                                            : AK_PKGDATADIR "/extractors";
}

static int run(struct daemon *d)
{
    const struct ak_config *c = d->config;
    struct ak_engine_params params = {
        .data_dir = c->data_dir,
        .datasets_dir = c->datasets_dir,
        .worker_program = c->worker_program,
        .shipped_dir = shipped_dir(c),
        .threads = (unsigned)c->pool_threads,
        .queue_bytes = c->queue_bytes,
        .collection_queue_bytes = c->collection_queue_bytes,
        .disk_low_bytes = c->disk_low_bytes,
        .max_jobs = (unsigned)c->max_jobs,
        .max_running_jobs = (unsigned)c->max_running_jobs,
    };
    struct ak_err err = {0};
    enum ak_status status;
    int code;

    status = ak_engine_open(&params, &d->engine, &err);
    if (status != AK_OK) {
        ak_log_error("main",
                     status == AK_ENOMEM ? "cannot begin"
                                         : "cannot open the data directory",
                     AK_TEXT("path", c->data_dir), AK_TEXT("error", err.text));
        return exit_code(status);
    }
    status = ak_http_start(
        &(struct ak_http_params){.config = c,
                                 .engine = d->engine,
                                 .max_connections = n_connections(c),
                                 .tables = ak_route_tables,
                                 .n_tables = ak_n_route_tables},
        &d->http, &err);
    if (status != AK_OK) {
        ak_log_error("main", "cannot listen", AK_TEXT("error", err.text));
        ak_engine_close(d->engine);
        return EX_OSERR;
    }
    if (ak_http_port(d->http) > 0)
        write_port(c->data_dir, ak_http_port(d->http));
    printf("akind: listening on %s\n", ak_http_address(d->http));
    fflush(stdout);
    ak_log_info(
        "main", "listening", AK_TEXT("address", ak_http_address(d->http)),
        AK_TEXT("data_dir", c->data_dir), AK_TEXT("version", PACKAGE_VERSION),
        AK_TEXT("revision", AK_BUILD_GIT));
    code = event_base_dispatch(d->base) >= 0 ? EX_OK : EX_SOFTWARE;
    if (code == EX_OK && d->sync_failed)
        code = EX_IOERR;
    /* From here on a signal ends the process: what was acknowledged is on the
       disk, and the next start learns again what was not checkpointed. */
    free_events(d);
    ak_http_stop(d->http);
    remove_port(c->data_dir);
    ak_engine_close(d->engine);
    ak_http_destroy(d->http);
    ak_log_info("main", "stopped", AK_NUMBER("code", code));
    return code;
}

static int run_with_decoder(struct daemon *d)
{
    const struct ak_config *c = d->config;
    struct ak_decoder_params params = {
        .in_process = c->decode_in_process != 0,
        .threads = (unsigned)c->pool_threads,
        .restart_images = c->decode_restart_images,
        .timeout_ms = c->decode_timeout_ms,
    };
    struct ak_err err = {0};
    int code;

    if (ak_decoder_start(&params, &err) != AK_OK) {
        ak_log_error("main", "cannot begin", AK_TEXT("error", err.text));
        return EX_OSERR;
    }
    code = run(d);
    ak_decoder_stop();
    return code;
}

int main(int argc, char **argv)
{
    struct daemon d = {.argc = argc, .argv = argv};
    struct ak_config *config = NULL;
    struct ak_err err = {0};
    int code = EX_OK;

    if (ak_config_load(argc, argv, &config, &err) != AK_OK ||
        ak_moments_set(getenv("AKIND_MOMENT"), &err) != AK_OK) {
        fprintf(stderr, "akind: %s\n", err.text);
        ak_config_destroy(config);
        return EX_CONFIG;
    }
    switch (config->action) {
    case AK_CONFIG_HELP:
        ak_config_print_help(stdout);
        break;
    case AK_CONFIG_VERSION:
        printf("akind %s%s%s%s\n", PACKAGE_VERSION, AK_BUILD_GIT[0] ? " (" : "",
               AK_BUILD_GIT, AK_BUILD_GIT[0] ? ")" : "");
        break;
    case AK_CONFIG_CHECK:
        ak_config_print(config, stdout);
        break;
    case AK_CONFIG_SAMPLE:
        ak_config_print_sample(stdout);
        break;
    case AK_CONFIG_RUN:
        ak_log_set_level((enum ak_log_level)config->log_level);
        signal(SIGPIPE, SIG_IGN);
        ak_process_set_malloc();
        ak_storage_limit_memory(config->max_file_memory);
        event_set_log_callback(on_event_log);
        if (evthread_use_pthreads() != 0) {
            ak_log_error("main", "libevent has no threads here");
            code = EX_SOFTWARE;
            break;
        }
        ak_json_memory_init();
        openblas_set_num_threads(1);
        set_limits(config);
        d.config = config;
        code = make_events(&d) ? run_with_decoder(&d) : EX_OSERR;
        free_events(&d);
        break;
    }
    if (fflush(stdout) != 0)
        code = EX_IOERR;
    ak_config_destroy(config);
    return code;
}
