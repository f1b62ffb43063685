/*
 * job_restore.c -- the job `restore`: a collection from a snapshot, under a name
 * that is free.
 *
 * The snapshot is copied to a file that the catalog has reserved, and its
 * checksum is taken on the way.  The copy is checked and opened.  The networks
 * that its images need become versions here, unless they are, and the settings
 * of the collection and of its generations say which.  Then it is loaded as at a
 * start, counted, and asked for some of its own rows.  Only then is it given its
 * name, which is when it exists.  A crash before leaves a file without a name,
 * which the next start removes; one after it leaves the name with the number of
 * this job, by which it is known when the job is taken up.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/moment.h"
#include "server/ask.h"
#include "server/backup.h"
#include "server/extractor_files.h"
#include "server/extractors.h"
#include "server/job_kinds.h"
#include "server/log.h"
#include "server/pace.h"

#define PIECE      ((size_t)1 << 20)
#define SYNC_BYTES ((uint64_t)64 << 20)
#define SLICE_NS   UINT64_C(10000000)
#define SEARCHES   16

enum where { RESERVE, COPY, OPEN, NETS, LOAD, NAME, DONE };

struct name_ask {
    struct ak_ask ask; /* first */
    char name[AK_SETTINGS_NAME];
    uint64_t job, file;
    bool all;  /* the snapshot has the extractors of all versions */
    bool made; /* this job had made it before */
};

/* A network on its way into the registry; held by the run and by who is called
   back. */
struct net_put {
    atomic_uint refs;
    atomic_bool over;
    struct ak_run *run; /* held */
    struct ak_extractor_put put;
    char file[AK_EXTRACTORS_PATH], name[AK_SETTINGS_NAME];
    uint32_t version;
    enum ak_status status;
    struct ak_err err;
};

struct restore {
    enum where where;
    struct net_put *net; /* under way; NULL: none */
    struct ak_backup backup;
    uint32_t versions[AK_BACKUP_NETS]; /* of its networks, here */
    size_t n_nets;                     /* that are here */
    struct ak_pace pace;
    struct name_ask *ask; /* under way; NULL: none */
    int from, to;
    char path[AK_BACKUP_PATH]; /* of the new file; "": none yet */
    uint64_t at, synced;
    struct ak_sha256_sum *sum;
    void *piece;
    struct ak_collection *c; /* held */
    bool named;
    unsigned searches;
};

static enum ak_status restore_check(struct ak_run_check *check,
                                    struct ak_fault *fault)
{
    static const char *const known[] = {"snapshot"};
    const char *name =
        json_string_value(json_object_get(check->params, "snapshot"));
    struct ak_collection *c = NULL;
    struct ak_backup backup;
    struct ak_err err = {0};
    enum ak_status status;

    if (ak_fault_keys(fault, check->params, "/params", known, 1,
                      "is not known here") != AK_OK)
        return AK_EINVAL;
    if (!ak_settings_good_name(check->target))
        return ak_fault_set(fault, "/target", "validation-failed",
                            "must be the name of the collection to be made: "
                            "^[a-z0-9][a-z0-9_-]{0,62}$");
    if (name == NULL)
        return ak_fault_set(fault, "/params/snapshot", "validation-failed",
                            "must be the name of a snapshot");
    status = ak_engine_get(check->engine, check->target, &c, NULL);
    ak_collection_drop(status == AK_OK ? c : NULL);
    if (status != AK_ENOTFOUND)
        return ak_fault_set(fault, "/target", "already-exists",
                            "there is a collection of this name");
    status =
        ak_backup_read(check->engine->params.data_dir, name, &backup, &err);
    if (status != AK_OK)
        return ak_fault_set(fault, "/params/snapshot", "validation-failed",
                            "%s", err.text);
    return ak_pace_check(check, fault);
}

static enum ak_status restore_begin(struct ak_run *run, struct ak_err *err)
{
    const char *dir = ak_run_engine(run)->params.data_dir;
    const char *name =
        json_string_value(json_object_get(ak_run_params(run), "snapshot"));
    struct restore *r = calloc(1, sizeof(*r));
    char path[AK_BACKUP_PATH];
    enum ak_status status;

    if (r == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to restore");
    *ak_run_data(run) = r;
    r->from = r->to = -1;
    ak_pace_begin(&r->pace, ak_run_budget(run), 0);
    status = ak_backup_read(dir, name, &r->backup, err);
    if (status != AK_OK)
        return status;
    if (ak_backup_path(dir, name, path))
        r->from = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (r->from < 0)
        return ak_fail(err, AK_EIO, "snapshot %s: %s: %s", name, AK_BACKUP_FILE,
                       strerror(errno));
    r->piece = malloc(PIECE);
    if (r->piece == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to restore");
    return ak_sha256_create(&r->sum, err);
}

/* ----------------------------------------------------------------- the catalog */

static enum ak_status reserve_apply(struct ak_ask *ask, struct ak_store *store,
                                    struct ak_err *err)
{
    struct name_ask *a = (struct name_ask *)ask;
    struct ak_catalog *catalog = ask->engine->catalog;
    uint64_t job = 0;
    enum ak_status status;

    (void)store;
    status = ak_catalog_made_by(catalog, a->name, &job, NULL);
    if (status == AK_OK && job == a->job) {
        a->made = true;
        return AK_OK;
    }
    if (status == AK_OK)
        return ak_fail(err, AK_EEXISTS, "there is a collection \"%s\"",
                       a->name);
    if (status != AK_ENOTFOUND)
        return ak_fail(err, status, "the catalog cannot be read");
    return ak_catalog_reserve(catalog, &a->file, err);
}

static enum ak_status name_apply(struct ak_ask *ask, struct ak_store *store,
                                 struct ak_err *err)
{
    struct name_ask *a = (struct name_ask *)ask;
    struct ak_settings settings;
    enum ak_status status;

    (void)store;
    ak_collection_settings(ask->c, &settings);
    status = ak_extractors_hold(ask->engine->extractors, &settings, err);
    for (size_t i = 0; i < ask->c->n_spaces && status == AK_OK && a->all; i++)
        status = ak_extractors_hold(ask->engine->extractors, &ask->c->spaces[i],
                                    err);
    if (status != AK_OK)
        return status;
    return ak_engine_adopt(ask->engine, ask->c, a->job, err);
}

static enum ak_run_step
push(struct ak_run *run, struct restore *r,
     enum ak_status (*fn)(struct ak_ask *, struct ak_store *, struct ak_err *),
     struct ak_err *err)
{
    struct name_ask *a = ak_ask_create(sizeof(*a), fn, run, r->c);

    if (a == NULL) {
        ak_fail(err, AK_ENOMEM, "no memory to restore");
        return AK_STEP_FAILED;
    }
    snprintf(a->name, sizeof(a->name), "%s", ak_run_target(run));
    a->job = ak_run_id(run);
    a->all = r->backup.n_nets > r->backup.has_net;
    r->ask = a;
    ak_ask_push(&a->ask, ak_run_engine(run), &ak_run_engine(run)->catalog_lane);
    return AK_STEP_WAIT;
}

/* True when there is an answer: *a, to be dropped. */
static bool take(struct restore *r, struct name_ask **a, enum ak_status *status,
                 struct ak_err *err)
{
    if (!ak_ask_over(&r->ask->ask))
        return false;
    *a = r->ask;
    r->ask = NULL;
    *status = (*a)->ask.status;
    if (*status != AK_OK)
        *err = (*a)->ask.err;
    return true;
}

static enum ak_run_step reserve(struct ak_run *run, struct restore *r,
                                struct ak_err *err)
{
    struct ak_engine *e = ak_run_engine(run);
    enum ak_status status;
    struct ak_settings named = {.name = ""};
    struct name_ask *a;

    if (r->ask == NULL)
        return push(run, r, reserve_apply, err);
    if (!take(r, &a, &status, err))
        return AK_STEP_WAIT;
    snprintf(named.name, sizeof(named.name), "%s", a->name);
    if (status == AK_OK && !a->made)
        status = ak_collection_new(e, &named, a->file, &r->c, err);
    if (status == AK_OK && a->made)
        r->where = DONE;
    ak_ask_drop(&a->ask);
    if (status != AK_OK)
        return AK_STEP_FAILED;
    if (r->where == DONE)
        return AK_STEP_MORE;
    /* A log that somebody left there is not this file's. */
    status = ak_store_remove(r->c->path, err);
    if (status != AK_OK)
        return AK_STEP_FAILED;
    snprintf(r->path, sizeof(r->path), "%s", r->c->path);
    r->to = open(r->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (r->to < 0) {
        ak_fail(err, AK_EIO, "the new file cannot be made: %s",
                strerror(errno));
        return AK_STEP_FAILED;
    }
    ak_moment(AK_AT_RESTORE_RESERVED);
    r->where = COPY;
    return AK_STEP_MORE;
}

/* --------------------------------------------------------------------- copying */

static enum ak_status write_all(int fd, const uint8_t *data, size_t len,
                                struct ak_err *err)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ak_fail(err, AK_EIO, "the new file cannot be written: %s",
                           strerror(errno));
        data += n;
        len -= (size_t)n;
    }
    return AK_OK;
}

static enum ak_status sync_file(struct restore *r, struct ak_err *err)
{
    r->synced = r->at;
    return fsync(r->to) == 0
               ? AK_OK
               : ak_fail(err, AK_EIO, "the new file cannot be synced: %s",
                         strerror(errno));
}

/* It is all there: is it what the manifest says? */
static enum ak_status compare(struct restore *r, struct ak_err *err)
{
    uint8_t sum[AK_SHA256_LEN];
    enum ak_status status = ak_sha256_finish(r->sum, sum, err);

    if (status != AK_OK)
        return status;
    if (r->at != r->backup.bytes)
        return ak_fail(
            err, AK_ECORRUPT, "snapshot %s: %s has %llu bytes, must have %llu",
            r->backup.name, AK_BACKUP_FILE, (unsigned long long)r->at,
            (unsigned long long)r->backup.bytes);
    if (memcmp(sum, r->backup.sha256, sizeof(sum)) != 0)
        return ak_fail(err, AK_ECORRUPT,
                       "snapshot %s: %s does not have its checksum",
                       r->backup.name, AK_BACKUP_FILE);
    status = sync_file(r, err);
    if (status == AK_OK)
        status = ak_backup_sync_folder(r->path, err);
    close(r->to);
    r->to = -1;
    return status;
}

static enum ak_run_step copy(struct ak_run *run, struct restore *r,
                             struct ak_err *err)
{
    uint64_t start = ak_clock_ns();
    ssize_t n = 1;

    while (n > 0 && ak_clock_ns() - start < SLICE_NS) {
        if (!ak_pace_allows(&r->pace, r->at)) {
            ak_run_progress(run, "copy", r->at, r->backup.bytes);
            return AK_STEP_WAIT;
        }
        n = pread(r->from, r->piece, PIECE, (off_t)r->at);
        if (n < 0) {
            ak_fail(err, AK_EIO, "snapshot %s cannot be read: %s",
                    r->backup.name, strerror(errno));
            return AK_STEP_FAILED;
        }
        if (ak_sha256_update(r->sum, r->piece, (size_t)n, err) != AK_OK ||
            write_all(r->to, r->piece, (size_t)n, err) != AK_OK)
            return AK_STEP_FAILED;
        r->at += (uint64_t)n;
        ak_moment(AK_AT_RESTORE_COPIED);
        if (r->at - r->synced >= SYNC_BYTES && sync_file(r, err) != AK_OK)
            return AK_STEP_FAILED;
    }
    ak_run_progress(run, "copy", r->at, r->backup.bytes);
    if (n > 0)
        return AK_STEP_MORE;
    if (compare(r, err) != AK_OK)
        return AK_STEP_FAILED;
    r->where = OPEN;
    return AK_STEP_MORE;
}

/* -------------------------------------------------------------------- checking */

static enum ak_status forget_jobs(struct ak_store *store, struct ak_err *err)
{
    enum ak_status status = ak_store_begin(store, err);

    if (status != AK_OK)
        return status;
    status = ak_store_forget_jobs(store, err);
    if (status != AK_OK) {
        ak_store_rollback(store);
        return status;
    }
    status = ak_store_commit(store, err);
    return status == AK_OK ? ak_store_checkpoint_wal(store, false, err)
                           : status;
}

static enum ak_status count(const struct ak_backup *b, struct ak_collection *c,
                            const struct ak_snapshot *s, struct ak_err *err)
{
    struct ak_store_info info;
    enum ak_status status = ak_view_info(c->indexer.view, &info, err);

    if (status != AK_OK)
        return status;
    if (info.last_seq != b->seq || info.next_ordinal != b->rows ||
        info.live_rows != b->items || ak_snapshot_rows(s) != b->rows ||
        ak_snapshot_live(s) != b->items)
        return ak_fail(
            err, AK_ECORRUPT,
            "snapshot %s has %llu records, %llu rows and %llu items, "
            "must have %llu, %llu and %llu",
            b->name, (unsigned long long)info.last_seq,
            (unsigned long long)ak_snapshot_rows(s),
            (unsigned long long)ak_snapshot_live(s), (unsigned long long)b->seq,
            (unsigned long long)b->rows, (unsigned long long)b->items);
    return AK_OK;
}

/* A row is found by its own code, and has the code that its vector gets. */
static enum ak_status find_row(struct ak_collection *c,
                               const struct ak_snapshot *s, uint64_t row,
                               uint8_t *codes, struct ak_err *err)
{
    size_t len = c->shape.code_bytes;
    struct ak_search search = {
        .codes = codes, .n = 1, .limit = 1, .max_distance = UINT32_MAX};
    struct ak_search_result result;
    struct ak_hit hit = {0};
    enum ak_status status;

    ak_snapshot_code(s, row, codes);
    status = ak_snapshot_search(s, &search, &hit, &result, err);
    if (status == AK_OK)
        status =
            ak_indexer_encode(c, c->indexer.view, ak_collection_model(s),
                              ak_snapshot_version(s), row, 1, codes + len, err);
    if (status != AK_OK)
        return status;
    if (result.n_hits != 1 || hit.distance != 0 ||
        memcmp(codes, codes + len, len) != 0)
        return ak_fail(err, AK_ECORRUPT, "row %llu is not found by itself",
                       (unsigned long long)row);
    return AK_OK;
}

static enum ak_status
try_searches(struct restore *r, const struct ak_snapshot *s, struct ak_err *err)
{
    uint8_t *codes = calloc(2, r->c->shape.code_bytes);
    uint64_t rows = ak_snapshot_rows(s);
    enum ak_status status = AK_OK;

    if (codes == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to restore");
    for (uint64_t i = 0; i < SEARCHES && status == AK_OK; i++) {
        uint64_t row = ak_snapshot_next(s, rows / SEARCHES * i, NULL);

        if (row >= rows)
            break;
        status = find_row(r->c, s, row, codes, err);
        r->searches += status == AK_OK;
    }
    free(codes);
    return status;
}

/* In one slice: SQLite's check cannot be cut. */
static enum ak_run_step open_file(struct ak_run *run, struct restore *r,
                                  struct ak_err *err)
{
    struct ak_collection *c = r->c;
    enum ak_status status = ak_store_open(c->path, true, &c->lane.store, err);

    (void)run;
    if (status == AK_OK)
        status = forget_jobs(c->lane.store, err);
    if (status == AK_OK)
        status = ak_collection_open(c, err);
    r->where = NETS;
    return status == AK_OK ? AK_STEP_MORE : AK_STEP_FAILED;
}

/* In one slice, as at a start: the loading cannot be cut. */
static enum ak_run_step load(struct ak_run *run, struct restore *r,
                             struct ak_err *err)
{
    struct ak_collection *c = r->c;
    struct ak_snapshot *s = NULL;
    enum ak_status status;

    ak_run_progress(run, "load", 0, r->backup.rows);
    status = ak_collection_load(c, err);
    ak_moment(AK_AT_RESTORE_LOADED);
    if (status == AK_OK) {
        s = ak_index_snapshot(c->index);
        status = count(&r->backup, c, s, err);
    }
    if (status == AK_OK)
        status = try_searches(r, s, err);
    ak_snapshot_drop(s);
    if (status != AK_OK)
        return AK_STEP_FAILED;
    ak_run_progress(run, "load", r->backup.rows, r->backup.rows);
    r->where = NAME;
    return AK_STEP_MORE;
}

/* ---------------------------------------------------------------- its networks */

static void drop_net(struct net_put *net)
{
    if (net == NULL || atomic_fetch_sub(&net->refs, 1) > 1)
        return;
    ak_run_drop(net->run);
    free(net);
}

static void net_was_put(void *arg, enum ak_status status, uint32_t version,
                        const struct ak_err *err)
{
    struct net_put *net = arg;

    net->status = status;
    net->version = version;
    if (status != AK_OK)
        net->err = *err;
    atomic_store(&net->over, true);
    ak_run_wake(net->run);
    drop_net(net);
}

/* A file of the right bytes for the registry, which takes it. */
static enum ak_status put_net(struct ak_run *run, struct restore *r, size_t i,
                              struct ak_err *err)
{
    struct ak_engine *e = ak_run_engine(run);
    struct net_put *net = calloc(1, sizeof(*net));
    void *bytes = NULL;
    size_t len = 0;
    enum ak_status status;

    if (net == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to restore");
    atomic_init(&net->refs, 1);
    atomic_init(&net->over, false);
    net->run = ak_run_hold(run);
    status = ak_backup_read_net(e->params.data_dir, &r->backup, i, &bytes, &len,
                                err);
    if (status == AK_OK)
        status = ak_extractors_room(e->extractors, net->file, err);
    if (status == AK_OK)
        status = ak_extractor_file_write(net->file, bytes, len, err);
    free(bytes);
    if (status != AK_OK) {
        drop_net(net);
        return status;
    }
    strcpy(net->name, r->backup.nets[i].name);
    /* What new collections get is not for a restore to change.  A job has one
       version; those that it puts besides are found by their bytes. */
    net->put = (struct ak_extractor_put){.name = net->name,
                                         .file = net->file,
                                         .job = i == 0 ? ak_run_id(run) : 0,
                                         .hidden = true};
    r->net = net;
    atomic_fetch_add(&net->refs, 1);
    ak_extractors_submit(e->extractors, &net->put, net_was_put, net);
    return AK_OK;
}

/* What the version of the snapshot is here, into the settings; false: it has no
   such extractor. */
static bool use_net(const struct restore *r, struct ak_settings *s)
{
    const struct ak_backup *b = &r->backup;

    for (size_t i = 0; i < b->n_nets; i++)
        if (b->nets[i].version == s->extractor_version &&
            strcmp(b->nets[i].name, s->extractor) == 0) {
            s->extractor_version = r->versions[i];
            return true;
        }
    return !ak_settings_has_network(s);
}

/* In the settings of a generation.  Snapshots of before have the extractor of now
   alone: what was another's stays as it is. */
static enum ak_status use_in_generation(struct restore *r, uint64_t number,
                                        const struct ak_settings *now,
                                        struct ak_err *err)
{
    struct ak_collection *c = r->c;
    struct ak_settings then;
    enum ak_status status =
        ak_generation_settings(c->indexer.view, number, now, &then, err);
    char *text;

    if (status == AK_ENOTFOUND)
        return AK_OK;
    if (status != AK_OK || !use_net(r, &then))
        return status;
    text = ak_settings_text(&then);
    if (text == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to restore");
    status = ak_store_set_generation(
        c->lane.store, number, (struct ak_bytes){text, strlen(text)}, err);
    free(text);
    /* Number 0 is not there when there was never another. */
    return status == AK_ENOTFOUND ? AK_OK : status;
}

static enum ak_status use_in_file(struct restore *r,
                                  const struct ak_settings *now,
                                  const struct ak_settings *next,
                                  struct ak_err *err)
{
    struct ak_collection *c = r->c;
    char *text = ak_settings_text(next);
    struct ak_change change = {.kind = 0};
    struct ak_receipt receipt = {0};
    uint64_t installed, begun;
    enum ak_status status =
        ak_view_generations(c->indexer.view, &installed, &begun, err);

    if (text == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to restore");
    change.config = (struct ak_bytes){text, strlen(text)};
    for (uint64_t i = 0; i <= installed && status == AK_OK; i++)
        status = use_in_generation(r, i, now, err);
    if (status == AK_OK)
        status = ak_store_apply(c->lane.store, &change, &receipt, err);
    free(text);
    return status;
}

/* The same in memory, where nobody else is yet. */
static enum ak_status use_in_memory(struct restore *r,
                                    const struct ak_settings *next,
                                    struct ak_err *err)
{
    struct ak_collection *c = r->c;
    enum ak_status status = AK_OK;

    for (size_t i = 0; i < c->n_spaces && status == AK_OK; i++) {
        struct ak_settings s = c->spaces[i];

        (void)use_net(r, &s); /* as in the file */
        status = ak_collection_add_space(c, &s, err);
    }
    if (status != AK_OK)
        return status;
    pthread_mutex_lock(&c->lock);
    ak_collection_set(c, next);
    pthread_mutex_unlock(&c->lock);
    return AK_OK;
}

/* The collection and its versions use what is here from now on. */
static enum ak_run_step use_nets(struct restore *r, struct ak_err *err)
{
    struct ak_collection *c = r->c;
    struct ak_settings now, next;
    enum ak_status status;

    ak_collection_settings(c, &now);
    next = now;
    if (!use_net(r, &next)) {
        ak_fail(err, AK_ECORRUPT,
                "snapshot %s does not have extractor %s, which it uses",
                r->backup.name, now.extractor);
        return AK_STEP_FAILED;
    }
    r->where = LOAD;
    if (r->backup.n_nets == 0)
        return AK_STEP_MORE;
    status = ak_store_begin(c->lane.store, err);
    if (status != AK_OK)
        return AK_STEP_FAILED;
    status = use_in_file(r, &now, &next, err);
    if (status == AK_OK)
        status = ak_store_commit(c->lane.store, err);
    else
        ak_store_rollback(c->lane.store);
    if (status == AK_OK)
        status = use_in_memory(r, &next, err);
    ak_moment(AK_AT_EXTRACTOR_RESTORED);
    return status == AK_OK ? AK_STEP_MORE : AK_STEP_FAILED;
}

/* One of them a step. */
static enum ak_run_step find_nets(struct ak_run *run, struct restore *r,
                                  struct ak_err *err)
{
    const struct ak_backup *b = &r->backup;
    size_t i = r->n_nets;
    uint32_t version = 0;

    if (i == b->n_nets)
        return use_nets(r, err);
    if (r->net == NULL) {
        version = ak_extractors_with_file(ak_run_engine(run)->extractors,
                                          b->nets[i].name, b->nets[i].sha256);
        if (version == 0)
            return put_net(run, r, i, err) == AK_OK ? AK_STEP_WAIT
                                                    : AK_STEP_FAILED;
    } else if (!atomic_load(&r->net->over)) {
        return AK_STEP_WAIT;
    } else {
        enum ak_status status = r->net->status;

        version = r->net->version;
        if (status != AK_OK)
            *err = r->net->err;
        drop_net(r->net);
        r->net = NULL;
        if (status != AK_OK)
            return AK_STEP_FAILED;
    }
    r->versions[r->n_nets++] = version;
    return AK_STEP_MORE;
}

static enum ak_run_step name(struct ak_run *run, struct restore *r,
                             struct ak_err *err)
{
    enum ak_status status;
    struct name_ask *a;

    if (r->ask == NULL) {
        if (!ak_run_no_return(run))
            return AK_STEP_MORE;
        ak_moment(AK_AT_RESTORE_NAMED);
        return push(run, r, name_apply, err);
    }
    if (!take(r, &a, &status, err))
        return AK_STEP_WAIT;
    ak_ask_drop(&a->ask);
    if (status != AK_OK)
        return AK_STEP_FAILED;
    ak_moment(AK_AT_RESTORE_OVER);
    r->named = true;
    r->where = DONE;
    ak_actor_wake(&r->c->indexer.actor);
    ak_actor_wake(&r->c->learner.actor);
    return AK_STEP_MORE;
}

static enum ak_run_step restore_step(struct ak_run *run, struct ak_err *err)
{
    struct restore *r = *ak_run_data(run);
    const struct ak_backup *b = &r->backup;

    switch (r->where) {
    case RESERVE:
        return reserve(run, r, err);
    case COPY:
        return copy(run, r, err);
    case OPEN:
        return open_file(run, r, err);
    case NETS:
        return find_nets(run, r, err);
    case LOAD:
        return load(run, r, err);
    case NAME:
        return name(run, r, err);
    case DONE:
        break;
    }
    ak_run_result(
        run, json_pack("{s:s, s:s, s:I, s:I, s:I, s:i}", "snapshot", b->name,
                       "collection", ak_run_target(run), "seq",
                       (json_int_t)b->seq, "rows", (json_int_t)b->rows, "items",
                       (json_int_t)b->items, "searches", (int)r->searches));
    return AK_STEP_DONE;
}

static void restore_end(struct ak_run *run, enum ak_run_state why)
{
    struct restore *r = *ak_run_data(run);
    struct ak_err err = {0};

    (void)why;
    if (r == NULL)
        return;
    /* One that is being named, while the daemon stops, may yet become; its file
       is then left, and the next start knows. */
    if (r->c != NULL && !r->named && r->ask == NULL) {
        ak_collection_drop(r->c);
        if (r->path[0] != '\0' && ak_store_remove(r->path, &err) != AK_OK)
            ak_log_warn("jobs", "the file of a restore stays for now",
                        AK_TEXT("reason", err.text));
        r->c = NULL;
    }
    ak_collection_drop(r->c);
    ak_ask_drop(r->ask != NULL ? &r->ask->ask : NULL);
    if (r->from >= 0)
        close(r->from);
    if (r->to >= 0)
        close(r->to);
    drop_net(r->net);
    ak_sha256_destroy(r->sum);
    free(r->piece);
    free(r);
    *ak_run_data(run) = NULL;
}

const struct ak_run_kind ak_run_restore = {
    .name = "restore",
    .help = "make a collection from a snapshot",
    .exclusive = "restore",
    .check = restore_check,
    .begin = restore_begin,
    .step = restore_step,
    .end = restore_end,
};
