/*
 * bench_server -- searches over HTTP beside a trivial GET of the same server, in
 * the same run: one line of JSON a case.
 *
 *     bench_server [N [SECONDS [ROUNDS]]]
 *
 * Starts akind in a folder of its own, fills a collection of N (one million)
 * codes of 64 bits, random or clustered (100 centres, 5 % flips), and drives it
 * over 32 keep-alive connections: GET /healthz, then POST .../search with one npy
 * row each, SECONDS (1) a turn, in ROUNDS (5) turns that alternate.  Then both
 * again while 5,000 codes a second are inserted (`changes` is "inserts"), and
 * while codes are inserted, replaced and deleted as fast as the server takes
 * them, on a connection each, 256 at a time ("all"); changes_per_s is how many
 * items that were.  One thread, epoll; it shares the machine's cores with the
 * server.
 *
 * cpu_us: processor time of server and load, for one request; with both cores at
 * work its inverse is what rps would be without others on the machine, and
 * of_trivial_cpu the ratio of these.  server_cpu_us: the server's part.
 *
 * rps: medians of the turns; of_trivial: of the ratios within a round.  us: from
 * the last byte sent to the last byte of the answer, of all turns.  server_us: of
 * the server's own histogram, from the headers to the answer, by the upper bound
 * of the bucket; server_max_us is that of the last bucket that has any.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/blob.h"
#include "core/base/clock.h"
#include "core/base/rng.h"
#include "server/metrics.h"
#include "server/npy.h"

enum {
    CONNECTIONS = 32,
    QUERIES = 1000,
    BATCH = 4096,
    CENTRES = 100,
    MOST_ROUNDS = 101,
    MOST_TIMES = 1 << 22,
    INSERTED = 5000,    /* a second */
    INSERT_ROWS = 50,   /* at a time */
    CHANGED_ROWS = 256, /* of what goes at full rate */
    REPLY = 65536
};

#define SECOND UINT64_C(1000000000)

static struct {
    pid_t pid;
    char dir[64];
    int port;
} daemon_;

static void stop_daemon(void)
{
    char command[128];

    if (daemon_.pid > 0) {
        kill(daemon_.pid, SIGTERM);
        waitpid(daemon_.pid, NULL, 0);
    }
    daemon_.pid = 0;
    if (daemon_.dir[0] != '\0') {
        snprintf(command, sizeof(command), "rm -rf %s", daemon_.dir);
        if (system(command) != 0)
            fprintf(stderr, "bench_server: %s is left\n", daemon_.dir);
    }
}

static void die(const char *what)
{
    fprintf(stderr, "bench_server: %s\n", what);
    stop_daemon();
    exit(1);
}

static void start_daemon(void)
{
    char path[128], option[128];
    const char *log = getenv("BENCH_LOG");
    FILE *f = NULL;

    snprintf(daemon_.dir, sizeof(daemon_.dir), "bench_server.XXXXXX");
    if (mkdtemp(daemon_.dir) == NULL)
        die("no folder");
    snprintf(option, sizeof(option), "--data-dir=%s", daemon_.dir);
    daemon_.pid = fork();
    if (daemon_.pid < 0)
        die("no process");
    if (daemon_.pid == 0) {
        int fd = open(log != NULL ? log : "/dev/null",
                      O_WRONLY | O_CREAT | O_APPEND, 0600);

        dup2(fd, 1);
        dup2(fd, 2);
        execl("server/akind", "akind", option, "--listen=127.0.0.1:0",
              (char *)NULL);
        _exit(127);
    }
    snprintf(path, sizeof(path), "%s/akind.port", daemon_.dir);
    for (int i = 0; i < 500 && f == NULL; i++) {
        usleep(20000);
        if (waitpid(daemon_.pid, NULL, WNOHANG) != 0) {
            daemon_.pid = 0;
            die("server/akind does not start: make it, and run this from the "
                "build's top folder");
        }
        f = fopen(path, "re");
    }
    if (f == NULL || fscanf(f, "%d", &daemon_.port) != 1)
        die("no port");
    fclose(f);
}

/* ------------------------------------------------------------- connections */

static int dial(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)daemon_.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof(in)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0)
        die("cannot connect");
    return fd;
}

/* Bytes of a whole answer at the front of the text, 0 when more is to come. */
static size_t answer_length(const char *text, size_t len)
{
    const char *end = memmem(text, len, "\r\n\r\n", 4), *field;
    size_t head, body;

    if (end == NULL)
        return 0;
    head = (size_t)(end - text) + 4;
    field = memmem(text, head, "Content-Length: ", 16);
    body = field != NULL ? strtoull(field + 16, NULL, 10) : 0;
    return len >= head + body ? head + body : 0;
}

/* One request, one answer, on a connection of its own; freed by the caller. */
static char *talk(const void *request, size_t len)
{
    size_t cap = 1 << 20, got = 0, sent = 0;
    char *text = malloc(cap);
    int fd = dial();

    if (text == NULL)
        die("no memory");
    while (sent < len) {
        ssize_t n = send(fd, (const char *)request + sent, len - sent, 0);

        if (n <= 0)
            die("the server takes no more");
        sent += (size_t)n;
    }
    while (got < cap - 1 && answer_length(text, got) == 0) {
        ssize_t n = recv(fd, text + got, cap - 1 - got, 0);

        if (n <= 0)
            die("the server closed the connection");
        got += (size_t)n;
    }
    text[got] = '\0';
    close(fd);
    return text;
}

static bool went_well(const char *text)
{
    return strncmp(text, "HTTP/1.1 2", 10) == 0;
}

static void wait_ready(void)
{
    static const char request[] =
        "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    bool ready = false;

    for (int i = 0; i < 500 && !ready; i++) {
        char *text = talk(request, sizeof(request) - 1);

        ready = went_well(text);
        free(text);
        if (!ready)
            usleep(20000);
    }
    if (!ready)
        die("server/akind does not become ready");
}

/* The same of one that must go well. */
static char *exchange(const void *request, size_t len)
{
    char *text = talk(request, len);

    if (!went_well(text)) {
        fprintf(stderr, "%.600s\n", text);
        die("a request was refused");
    }
    return text;
}

static void add_text(struct ak_writer *w, const char *text)
{
    ak_write_bytes(w, text, strlen(text));
}

static struct ak_writer request_of(const char *method, const char *path,
                                   const char *type, const void *body,
                                   size_t len)
{
    struct ak_writer w = {0};
    char head[512];

    snprintf(head, sizeof(head),
             "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\n"
             "Content-Length: %zu\r\n\r\n",
             method, path, type, len);
    add_text(&w, head);
    ak_write_bytes(&w, body, len);
    if (w.status != AK_OK)
        die("no memory");
    return w;
}

static char *call(const char *method, const char *path, const char *type,
                  const void *body, size_t len)
{
    struct ak_writer w = request_of(method, path, type, body, len);
    char *text = exchange(w.data, w.len);

    ak_writer_clear(&w);
    return text;
}

/* A number behind `key` in a text. */
static double number_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at != NULL ? strtod(at + strlen(key), NULL) : -1;
}

/* ----------------------------------------------------------------------- data */

struct data {
    const char *name;
    bool clustered;
    struct ak_rng rng;
    uint64_t centres[CENTRES];
    uint64_t n, first_id; /* what was there at the start */
};

static uint64_t draw(struct data *d)
{
    uint64_t code;

    if (!d->clustered)
        return ak_rng_u64(&d->rng);
    code = d->centres[ak_rng_below(&d->rng, CENTRES)];
    for (int j = 0; j < 64; j++)
        if (ak_rng_below(&d->rng, 20) == 0)
            code ^= UINT64_C(1) << j;
    return code;
}

static struct ak_writer npy_of(struct data *d, size_t n)
{
    const uint64_t shape[] = {n, 8};
    struct ak_writer w = {0};

    ak_npy_write_header(&w, AK_NPY_U8, 2, shape);
    for (size_t i = 0; i < n; i++) {
        uint64_t code = draw(d);

        ak_write_bytes(&w, &code, 8);
    }
    return w;
}

/* "[17,4,...]": n ids of what was there at the start. */
static void add_ids(struct data *d, struct ak_writer *w, size_t n)
{
    char text[32];

    /* In steps from anywhere, so that none comes twice. */
    for (uint64_t i = 0, id = ak_rng_below(&d->rng, d->n); i < n; i++) {
        snprintf(text, sizeof(text), "%c%llu", i == 0 ? '[' : ',',
                 (unsigned long long)(d->first_id + id % d->n));
        add_text(w, text);
        id += 1 + d->n / (2 * n);
    }
    add_text(w, "]");
}

/* A batch of n codes, as a request; new ones, or in place of others. */
static struct ak_writer insert_of(struct data *d, size_t n, bool replace)
{
    struct ak_writer npy = npy_of(d, n), form = {0}, w;
    char path[64];

    add_text(&form, "--x\r\nContent-Disposition: form-data; name=\"codes\"\r\n"
                    "Content-Type: application/x-npy\r\n\r\n");
    ak_write_bytes(&form, npy.data, npy.len);
    if (replace) {
        add_text(&form,
                 "\r\n--x\r\nContent-Disposition: form-data; name=\"ids\"\r\n"
                 "Content-Type: application/json\r\n\r\n");
        add_ids(d, &form, n);
    }
    add_text(&form, "\r\n--x--\r\n");
    snprintf(path, sizeof(path), "/v1/collections/%s/items", d->name);
    w = request_of("PUT", path, "multipart/form-data; boundary=x", form.data,
                   form.len);
    ak_writer_clear(&form);
    ak_writer_clear(&npy);
    return w;
}

static struct ak_writer delete_of(struct data *d, size_t n)
{
    struct ak_writer body = {0}, w;
    char path[64];

    add_text(&body, "{\"ids\":");
    add_ids(d, &body, n);
    add_text(&body, "}");
    snprintf(path, sizeof(path), "/v1/collections/%s/items/delete", d->name);
    w = request_of("POST", path, "application/json", body.data, body.len);
    ak_writer_clear(&body);
    return w;
}

static void fill(struct data *d, size_t n)
{
    static const char settings[] =
        "{\"bits\":64,\"model\":{\"kind\":\"external\"}}";
    char path[96];
    double seq = 0;

    d->n = n;
    snprintf(path, sizeof(path), "/v1/collections/%s", d->name);
    free(call("PUT", path, "application/json", settings, strlen(settings)));
    for (size_t i = 0; i < n; i += BATCH) {
        struct ak_writer w = insert_of(d, n - i < BATCH ? n - i : BATCH, false);
        char *text = exchange(w.data, w.len);

        if (i == 0)
            d->first_id = (uint64_t)number_after(text, "\"first_id\":");
        seq = number_after(text, "\"seq\":");
        free(text);
        ak_writer_clear(&w);
    }
    snprintf(path, sizeof(path), "/v1/collections/%s/stream", d->name);
    for (int i = 0; i < 600; i++) {
        char *text = call("GET", path, "text/plain", "", 0);
        bool there = number_after(text, "\"visible_seq\":") >= seq;

        free(text);
        if (there)
            break;
        usleep(100000);
    }
    /* What is built behind, such as a partition. */
    sleep(n > 100000 ? 8 : 1);
}

/* ----------------------------------------------------------------------- load */

struct client {
    int fd;
    size_t at, sent, got;
    uint64_t begun_ns;
    char reply[REPLY];
};

struct load {
    struct ak_writer *requests;
    size_t n, next;
    uint64_t answered;
    double *us; /* (MOST_TIMES) of all turns */
    size_t n_us;
    double rps[MOST_ROUNDS];
    size_t rounds;
    double daemon_cpu, our_cpu; /* seconds, of all turns */
};

static struct client clients[CONNECTIONS];
static int poller = -1;

/* Seconds on a processor so far: the daemon's, and ours. */
static double cpu_of_daemon(void)
{
    unsigned long user = 0, system = 0;
    char path[64], line[1024], *at;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)daemon_.pid);
    f = fopen(path, "re");
    if (f == NULL || fgets(line, sizeof(line), f) == NULL)
        die("no times of the daemon");
    fclose(f);
    at = strrchr(line, ')');
    if (at == NULL || sscanf(at,
                             ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u "
                             "%*u %lu %lu",
                             &user, &system) != 2)
        die("no times of the daemon");
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double cpu_of_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What changes the collection beside the load. */
enum changes { NONE, INSERTS, ALL };
static const char *const changes_names[] = {"none", "inserts", "all"};

enum { INSERTER, REPLACER, DELETER, CHANGERS };
static struct changer {
    struct client client;
    struct ak_writer request;
    bool busy;
} changers[CHANGERS];

static struct {
    struct data *data;
    enum changes changes;
    uint64_t due_ns; /* of INSERTS, which come at a steady pace */
    double items;    /* changed, in all turns */
} changing;

static void watch(int fd, void *who)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
}

static void dial_all(void)
{
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        die("epoll_create1");
    for (size_t i = 0; i < CONNECTIONS; i++) {
        clients[i].fd = dial();
        watch(clients[i].fd, &clients[i]);
    }
}

static void hang_up(void)
{
    for (size_t i = 0; i < CONNECTIONS; i++)
        close(clients[i].fd);
    close(poller);
}

static void send_all(int fd, const struct ak_writer *w)
{
    /* Short requests fit into the socket's buffer. */
    if (send(fd, w->data, w->len, 0) != (ssize_t)w->len)
        die("a short send");
}

static void ask(struct load *l, struct client *c)
{
    c->got = 0;
    send_all(c->fd, &l->requests[l->next++ % l->n]);
    c->begun_ns = ak_clock_ns();
}

/* True when an answer is whole. */
static bool hear(struct client *c)
{
    ssize_t n = recv(c->fd, c->reply + c->got, REPLY - c->got, MSG_DONTWAIT);

    if (n <= 0)
        die("a connection ended");
    c->got += (size_t)n;
    if (answer_length(c->reply, c->got) == 0)
        return false;
    if (strncmp(c->reply, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "%.*s\n", (int)c->got, c->reply);
        die("a request was refused");
    }
    return true;
}

static bool is_changer(const struct client *c)
{
    return c >= &changers[0].client && c <= &changers[CHANGERS - 1].client;
}

static bool changers_busy(void)
{
    for (int i = 0; i < CHANGERS; i++)
        if (changers[i].busy)
            return true;
    return false;
}

static void change(int which, size_t n)
{
    struct changer *c = &changers[which];

    ak_writer_clear(&c->request);
    c->request = which == DELETER
                     ? delete_of(changing.data, n)
                     : insert_of(changing.data, n, which == REPLACER);
    c->client.got = 0;
    send_all(c->client.fd, &c->request);
    c->busy = true;
    changing.items += (double)n;
}

static void change_some(uint64_t now)
{
    if (changing.changes == ALL) {
        for (int i = 0; i < CHANGERS; i++)
            if (!changers[i].busy)
                change(i, CHANGED_ROWS);
    } else if (changing.changes == INSERTS && !changers[INSERTER].busy &&
               now >= changing.due_ns) {
        change(INSERTER, INSERT_ROWS);
        changing.due_ns += SECOND * INSERT_ROWS / INSERTED;
    }
}

static void drive(struct load *l, double seconds)
{
    uint64_t start = ak_clock_ns(), now = start, answered = 0;
    uint64_t end = start + (uint64_t)(seconds * 1e9);
    size_t open = CONNECTIONS;
    double theirs = cpu_of_daemon(), ours = cpu_of_us();

    changing.due_ns = start;
    for (size_t i = 0; i < CONNECTIONS; i++)
        ask(l, &clients[i]);
    while (open > 0 || changers_busy()) {
        struct epoll_event events[CONNECTIONS + CHANGERS];
        int n = epoll_wait(poller, events, CONNECTIONS + CHANGERS, 1);

        now = ak_clock_ns();
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;

            if (!hear(c))
                continue;
            if (is_changer(c)) {
                ((struct changer *)c)->busy = false;
                continue;
            }
            now = ak_clock_ns();
            if (l->n_us < MOST_TIMES)
                l->us[l->n_us++] = (double)(now - c->begun_ns) / 1e3;
            if (now < end) {
                answered++;
                ask(l, c);
            } else {
                open--;
            }
        }
        if (now < end)
            change_some(now);
    }
    l->rps[l->rounds++] = (double)answered / seconds;
    l->answered += answered + CONNECTIONS;
    l->daemon_cpu += cpu_of_daemon() - theirs;
    l->our_cpu += cpu_of_us() - ours;
}

/* -------------------------------------------------------------------- results */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double quantile(double *x, size_t n, double q)
{
    qsort(x, n, sizeof(*x), compare);
    return n > 0 ? x[(size_t)((double)(n - 1) * q)] : 0;
}

/* Buckets of the server's histogram of a route. */
enum { BUCKETS = AK_HISTOGRAM_BUCKETS };
struct histogram {
    double le[BUCKETS], count[BUCKETS];
};

static void read_histogram(const char *metrics, const char *route,
                           struct histogram *h)
{
    const char *at = metrics;
    char key[160];
    size_t n = 0;

    memset(h, 0, sizeof(*h));
    snprintf(key, sizeof(key),
             "akind_http_request_duration_seconds_bucket{route=\"%s\"", route);
    while (n < BUCKETS && (at = strstr(at, key)) != NULL) {
        const char *le = strstr(at, "le=\""), *value = strstr(at, "} ");

        if (le == NULL || value == NULL)
            break;
        h->le[n] = le[4] == '+' ? 1e9 : strtod(le + 4, NULL);
        h->count[n++] = strtod(value + 2, NULL);
        at = value;
    }
}

static void scrape(const char *route, struct histogram *h)
{
    char *text = call("GET", "/metrics", "text/plain", "", 0);

    read_histogram(text, route, h);
    free(text);
}

static double server_quantile(const struct histogram *before,
                              const struct histogram *after, double q)
{
    double all = after->count[BUCKETS - 1] - before->count[BUCKETS - 1];

    for (size_t i = 0; i < BUCKETS; i++)
        if (after->count[i] - before->count[i] >= q * all)
            return after->le[i] * 1e6;
    return -1;
}

static double server_longest(const struct histogram *before,
                             const struct histogram *after)
{
    double all = after->count[BUCKETS - 1] - before->count[BUCKETS - 1];

    return server_quantile(before, after, 1 - .5 / all);
}

struct side {
    const char *name, *route;
    struct load load;
    struct histogram before, after;
};

static double cpu_us(const struct load *l)
{
    return (l->daemon_cpu + l->our_cpu) / (double)l->answered * 1e6;
}

static void print(struct side *s, const struct data *d, size_t n,
                  const struct load *trivial, double changed)
{
    double ratios[MOST_ROUNDS], rps;

    for (size_t i = 0; i < s->load.rounds; i++)
        ratios[i] = s->load.rps[i] / trivial->rps[i];
    rps = quantile(s->load.rps, s->load.rounds, .5);

    printf("{\"bench\": \"server\", \"data\": \"%s\", \"n\": %zu, "
           "\"bits\": 64, \"connections\": %d, \"changes\": \"%s\", "
           "\"inserts\": %d, \"changes_per_s\": %.0f, "
           "\"request\": \"%s\", \"rps\": %.0f, \"of_trivial\": %.3f, "
           "\"cpu_us\": %.1f, \"server_cpu_us\": %.1f, "
           "\"of_trivial_cpu\": %.3f, "
           "\"p50_us\": %.0f, \"p95_us\": %.0f, \"p99_us\": %.0f, "
           "\"p999_us\": %.0f, \"max_us\": %.0f, "
           "\"server_p50_us\": %.0f, \"server_p95_us\": %.0f, "
           "\"server_p999_us\": %.0f, \"server_max_us\": %.0f}\n",
           d->name, n, CONNECTIONS, changes_names[changing.changes],
           changing.changes == INSERTS ? INSERTED : 0, changed, s->name, rps,
           quantile(ratios, s->load.rounds, .5), cpu_us(&s->load),
           s->load.daemon_cpu / (double)s->load.answered * 1e6,
           cpu_us(trivial) / cpu_us(&s->load),
           quantile(s->load.us, s->load.n_us, .5),
           quantile(s->load.us, s->load.n_us, .95),
           quantile(s->load.us, s->load.n_us, .99),
           quantile(s->load.us, s->load.n_us, .999),
           quantile(s->load.us, s->load.n_us, 1),
           server_quantile(&s->before, &s->after, .5),
           server_quantile(&s->before, &s->after, .95),
           server_quantile(&s->before, &s->after, .999),
           server_longest(&s->before, &s->after));
    fflush(stdout);
}

static void measure(struct data *d, size_t n, double seconds, size_t rounds,
                    enum changes changes, struct side sides[2])
{
    /* No more than are used: who asks for nothing is hung up. */
    int n_changers = changes == ALL ? CHANGERS : changes == INSERTS ? 1 : 0;
    double changed;

    changing.data = d;
    changing.changes = changes;
    for (int i = 0; i < n_changers; i++) {
        changers[i].client.fd = dial();
        watch(changers[i].client.fd, &changers[i].client);
    }
    for (int i = 0; i < 2; i++) {
        sides[i].load.rounds = sides[i].load.n_us = 0;
        drive(&sides[i].load, seconds / 2); /* to warm up */
        scrape(sides[i].route, &sides[i].before);
        sides[i].load.rounds = sides[i].load.n_us = 0;
        sides[i].load.answered = 0;
        sides[i].load.daemon_cpu = sides[i].load.our_cpu = 0;
    }
    changing.items = 0;
    for (size_t r = 0; r < rounds; r++)
        for (int i = 0; i < 2; i++)
            drive(&sides[i].load, seconds);
    changed = changing.items / (2 * seconds * (double)rounds);
    for (int i = 0; i < 2; i++)
        scrape(sides[i].route, &sides[i].after);
    for (int i = 0; i < n_changers; i++)
        close(changers[i].client.fd);
    /* The trivial one last: its figures are sorted when it is printed. */
    print(&sides[1], d, n, &sides[0].load, changed);
    print(&sides[0], d, n, &sides[0].load, changed);
}

static void run(struct data *d, size_t n, double seconds, size_t rounds)
{
    static struct ak_writer trivial, searches[QUERIES];
    struct side sides[2] = {{.name = "GET /healthz",
                             .route = "/healthz",
                             .load = {.requests = &trivial, .n = 1}},
                            {.name = "POST search",
                             .route = "/v1/collections/{c}/search",
                             .load = {.requests = searches, .n = QUERIES}}};
    char path[96];

    ak_rng_init(&d->rng, 1);
    for (int i = 0; i < CENTRES; i++)
        d->centres[i] = ak_rng_u64(&d->rng);
    fill(d, n);
    trivial = request_of("GET", "/healthz", "text/plain", "", 0);
    snprintf(path, sizeof(path), "/v1/collections/%s/search?limit=10", d->name);
    for (size_t i = 0; i < QUERIES; i++) {
        struct ak_writer npy = npy_of(d, 1);

        searches[i] =
            request_of("POST", path, "application/x-npy", npy.data, npy.len);
        ak_writer_clear(&npy);
    }
    for (int i = 0; i < 2; i++) {
        sides[i].load.us = malloc(MOST_TIMES * sizeof(double));
        if (sides[i].load.us == NULL)
            die("no memory");
    }
    /* Not sooner: a connection that brings no request is closed. */
    dial_all();
    measure(d, n, seconds, rounds, NONE, sides);
    measure(d, n, seconds, rounds, INSERTS, sides);
    measure(d, n, seconds, rounds, ALL, sides);
    hang_up();
    for (int i = 0; i < 2; i++)
        free(sides[i].load.us);
    for (size_t i = 0; i < QUERIES; i++)
        ak_writer_clear(&searches[i]);
    ak_writer_clear(&trivial);
}

int main(int argc, char **argv)
{
    static struct data kinds[] = {{.name = "clustered", .clustered = true},
                                  {.name = "random"}};
    size_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 1;
    size_t rounds = argc > 3 ? strtoull(argv[3], NULL, 10) : 5;

    if (n == 0 || !(seconds > 0) || rounds == 0 || rounds > MOST_ROUNDS)
        die("usage: bench_server [N [SECONDS [ROUNDS]]]");
    start_daemon();
    wait_ready();
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        run(&kinds[i], n, seconds, rounds);
    stop_daemon();
    return 0;
}
