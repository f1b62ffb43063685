/*
 * job_verify.c -- the job `verify`: read all that a collection's file holds, or
 * a snapshot's, and compare it with its checksums.
 *
 * Of a snapshot first its bytes, against the manifest, and its pages, by
 * SQLite's quick check.  Then of both: records, vectors, packed rows, the
 * published version's codes and the models, in this order, up to what there was
 * when it began.  What is damaged goes into the log of the job, and the job fails at its end.  `budget.bytes_per_second` bounds
 * how fast it reads, so that it can go on for days beside the traffic.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "server/backup.h"
#include "server/engine_internal.h"
#include "server/job_kinds.h"
#include "server/log.h"
#include "server/pace.h"

#define SLICE_NS     UINT64_C(10000000)
#define BLOCK_ROWS   256
#define MAX_TOLD     100 /* of what is damaged */
#define FORMAT       3
#define PIECE        ((size_t)1 << 20)
#define RECORD_BYTES 64 /* what a record counts for at least */
#define PACKED_BYTES (AK_STORE_SEGMENT_ROWS * 8) /* packed rows of a segment */

/* Those whose vectors are looked at; a collection has two or three. */
#define MAX_SPACES 64

enum phase { BYTES, PAGES, RECORDS, ROWS, PACKED, CODES, MODELS, OVER };

static const char *const phase_names[] = {
    "bytes", "pages", "records", "vectors", "packed rows", "codes", "models"};

struct verify {
    struct ak_view *view;
    void *buffer;
    struct ak_pace pace;
    struct ak_store_shape shape;
    struct ak_space spaces[MAX_SPACES];
    size_t n_spaces;
    uint32_t row_bytes; /* of the longest vectors */

    /* Of a snapshot. */
    const char *data_dir; /* lent */
    struct ak_backup backup;
    char path[AK_BACKUP_PATH];
    int fd;
    struct ak_sha256_sum *sum;

    /* Kept in the checkpoint. */
    uint64_t phase, at;
    uint64_t ends[OVER]; /* of each phase */
    uint64_t version;
    uint64_t bytes, damaged;
};

static bool of_snapshot(const json_t *params)
{
    const char *of = json_string_value(json_object_get(params, "of"));

    return of != NULL && strcmp(of, "snapshot") == 0;
}

static enum ak_status verify_check(struct ak_run_check *check,
                                   struct ak_fault *fault)
{
    static const char *const known[] = {"of"};
    const json_t *of = json_object_get(check->params, "of");
    const char *text = json_string_value(of);
    struct ak_backup backup;

    if (ak_fault_keys(fault, check->params, "/params", known, 1,
                      "is not known here") != AK_OK)
        return AK_EINVAL;
    if (of != NULL && (text == NULL || (strcmp(text, "snapshot") != 0 &&
                                        strcmp(text, "collection") != 0)))
        return ak_fault_set(fault, "/params/of", "validation-failed",
                            "must be \"collection\" or \"snapshot\"");
    if (of_snapshot(check->params) &&
        ak_backup_read(check->engine->params.data_dir, check->target, &backup,
                       NULL) == AK_ENOTFOUND)
        return ak_fault_set(fault, "/target", "validation-failed",
                            "there is no such snapshot");
    return ak_pace_check(check, fault);
}

static void verify_end(struct ak_run *run, enum ak_run_state why)
{
    struct verify *v = *ak_run_data(run);

    (void)why;
    if (v == NULL)
        return;
    if (v->view != NULL && ak_run_collection(run) != NULL)
        ak_collection_return(ak_run_collection(run), v->view);
    else
        ak_view_close(v->view);
    if (v->fd >= 0)
        close(v->fd);
    ak_sha256_destroy(v->sum);
    free(v->buffer);
    free(v);
    *ak_run_data(run) = NULL;
}

static void verify_save(struct ak_run *run)
{
    const struct verify *v = *ak_run_data(run);
    struct ak_writer w = {0};

    ak_write_u32(&w, FORMAT);
    ak_write_u64(&w, v->phase);
    ak_write_u64(&w, v->at);
    ak_write_u64s(&w, v->ends, OVER);
    ak_write_u64(&w, v->version);
    ak_write_u64(&w, v->bytes);
    ak_write_u64(&w, v->damaged);
    if (w.status == AK_OK)
        ak_run_checkpoint(run, w.data, w.len);
    ak_writer_clear(&w);
}

static bool load(struct verify *v, struct ak_bytes checkpoint)
{
    struct ak_reader r;

    if (checkpoint.data == NULL)
        return false;
    ak_reader_init(&r, checkpoint.data, checkpoint.len);
    if (ak_read_u32(&r) != FORMAT)
        return false;
    v->phase = ak_read_u64(&r);
    v->at = ak_read_u64(&r);
    ak_read_u64s(&r, v->ends, OVER);
    v->version = ak_read_u64(&r);
    v->bytes = ak_read_u64(&r);
    v->damaged = ak_read_u64(&r);
    return ak_reader_finish(&r) == AK_OK && v->phase <= OVER;
}

static enum ak_status note_space(void *arg, const struct ak_space *space,
                                 struct ak_err *err)
{
    struct verify *v = arg;

    (void)err;
    if (v->n_spaces == MAX_SPACES)
        return AK_ECANCELED;
    if (space->row_bytes > v->row_bytes)
        v->row_bytes = space->row_bytes;
    v->spaces[v->n_spaces++] = *space;
    return AK_OK;
}

static enum ak_status count_version(void *arg, const struct ak_version *version,
                                    struct ak_err *err)
{
    uint64_t *n = arg;

    (void)err;
    *n = version->version + 1;
    return AK_OK;
}

/* What is to be read, when the view is there. */
static enum ak_status measure(struct verify *v, struct ak_err *err)
{
    struct ak_store_info info;
    enum ak_status status = ak_view_info(v->view, &info, err);
    size_t code, row;

    if (status != AK_OK)
        return status;
    v->shape = info.shape;
    v->n_spaces = 0;
    status = ak_view_spaces(v->view, note_space, v, err);
    if (status != AK_OK)
        return status;
    row = (size_t)BLOCK_ROWS * v->row_bytes;
    code = (size_t)AK_STORE_SEGMENT_ROWS * info.shape.code_bytes;
    free(v->buffer);
    v->buffer = malloc(row > code ? row : code);
    if (v->buffer == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to verify");
    if (v->phase > PAGES) /* it was taken up */
        return AK_OK;
    v->ends[RECORDS] = info.last_seq;
    v->ends[ROWS] = info.next_ordinal;
    v->ends[PACKED] = info.next_ordinal / AK_STORE_SEGMENT_ROWS;
    v->ends[CODES] = info.next_ordinal / AK_STORE_SEGMENT_ROWS;
    v->version = info.published;
    return ak_view_versions(v->view, count_version, &v->ends[MODELS], err);
}

static enum ak_status begin_snapshot(struct ak_run *run, struct verify *v,
                                     struct ak_err *err)
{
    const char *dir = ak_run_engine(run)->params.data_dir;
    enum ak_status status =
        ak_backup_read(dir, ak_run_target(run), &v->backup, err);

    v->data_dir = dir;
    if (status != AK_OK)
        return status;
    if (ak_backup_path(dir, v->backup.name, v->path))
        v->fd = open(v->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (v->fd < 0)
        return ak_fail(err, AK_EIO, "snapshot %s: %s: %s", v->backup.name,
                       AK_BACKUP_FILE, strerror(errno));
    if (v->phase > PAGES)
        return AK_OK;
    v->phase = v->at = v->bytes = 0;
    v->ends[BYTES] = v->backup.bytes > 0 ? v->backup.bytes : 1;
    v->ends[PAGES] = 1;
    v->buffer = malloc(PIECE);
    if (v->buffer == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to verify");
    return ak_sha256_create(&v->sum, err);
}

static enum ak_status verify_begin(struct ak_run *run, struct ak_err *err)
{
    struct ak_collection *c = ak_run_collection(run);
    struct verify *v = calloc(1, sizeof(*v));
    enum ak_status status;

    if (v == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to verify");
    *ak_run_data(run) = v;
    v->fd = -1;
    if (!load(v, ak_run_last_checkpoint(run)))
        v->phase = v->at = v->bytes = v->damaged = v->version = 0;
    if (c != NULL) {
        status = ak_collection_borrow(c, &v->view, err);
        if (status == AK_OK)
            status = measure(v, err);
        if (status == AK_OK && v->phase < RECORDS)
            v->phase = RECORDS;
    } else {
        status = begin_snapshot(run, v, err);
        if (status == AK_OK && v->phase > PAGES && v->phase < OVER) {
            status = ak_view_open_copy(v->path, &v->view, err);
            if (status == AK_OK)
                status = measure(v, err);
        }
    }
    ak_pace_begin(&v->pace, ak_run_budget(run), v->bytes);
    return status;
}

/* The networks beside it, each whole: none is larger than memory allows. */
static enum ak_status look_at_nets(struct verify *v, struct ak_err *err)
{
    enum ak_status status = AK_OK;

    for (size_t i = 0; i < v->backup.n_nets && status == AK_OK; i++) {
        void *bytes = NULL;
        size_t len;

        status =
            ak_backup_read_net(v->data_dir, &v->backup, i, &bytes, &len, err);
        free(bytes);
    }
    return status;
}

/* A piece of the bytes of a snapshot; *n of them, and at the end the sum. */
static enum ak_status look_at_bytes(struct verify *v, uint64_t *n,
                                    struct ak_err *err)
{
    uint8_t sum[AK_SHA256_LEN];
    ssize_t got = pread(v->fd, v->buffer, PIECE, (off_t)v->at);
    enum ak_status status = AK_OK;

    *n = got > 0 ? (uint64_t)got : 0;
    if (got < 0)
        status =
            ak_fail(err, AK_EIO, "%s: %s", AK_BACKUP_FILE, strerror(errno));
    else if (got > 0)
        status = ak_sha256_update(v->sum, v->buffer, (size_t)got, err);
    if (status == AK_OK && *n > 0 && v->at + *n < v->ends[BYTES])
        return AK_OK;
    /* All, or as much as there is. */
    if (status == AK_OK && v->at + *n != v->backup.bytes)
        status = ak_fail(err, AK_ECORRUPT,
                         "%s has %llu bytes or more, must have %llu",
                         AK_BACKUP_FILE, (unsigned long long)(v->at + *n),
                         (unsigned long long)v->backup.bytes);
    if (status == AK_OK)
        status = ak_sha256_finish(v->sum, sum, err);
    if (status == AK_OK && memcmp(sum, v->backup.sha256, sizeof(sum)) != 0)
        status = ak_fail(err, AK_ECORRUPT, "%s does not have its checksum",
                         AK_BACKUP_FILE);
    if (status == AK_OK)
        status = look_at_nets(v, err);
    *n = v->ends[BYTES] - v->at;
    return status;
}

/* Its pages, in one go, since SQLite's check cannot be cut; then the view of
   what follows. */
static enum ak_status look_at_pages(struct ak_run *run, struct verify *v,
                                    struct ak_err *err)
{
    bool older = false;
    enum ak_status status = ak_store_check_copy(v->path, &older, err);

    if (status == AK_OK && older) {
        ak_run_log(run, AK_LOG_INFO,
                   "it is of an earlier format: its records are checked when "
                   "it is restored");
        return AK_OK;
    }
    if (status == AK_OK)
        status = ak_view_open_copy(v->path, &v->view, err);
    return status == AK_OK ? measure(v, err) : status;
}

/* A row without a vector: in a file that has let go of a space there may be such,
   with an image, of which it is computed. */
static enum ak_status look_at_image(struct verify *v, uint64_t ordinal,
                                    struct ak_err *err)
{
    struct ak_bytes image;
    enum ak_status status = ak_view_image(v->view, ordinal, &image, err);

    if (status != AK_ENOTFOUND)
        return status;
    return v->spaces[0].number > 0
               ? AK_OK /* what it held was erased */
               : ak_fail(err, AK_ECORRUPT, "row %llu is in no block",
                         (unsigned long long)ordinal);
}

/* The vectors of n rows in every space. */
static enum ak_status look_at_rows(struct verify *v, size_t n,
                                   struct ak_err *err)
{
    bool seen[BLOCK_ROWS] = {false};
    enum ak_status status;
    size_t got = 0;

    for (size_t k = 0; k < v->n_spaces; k++)
        for (size_t i = 0; i<n; i += got> 0 ? got : 1) {
            status = ak_view_vectors(v->view, &v->spaces[k], v->at + i, n - i,
                                     v->buffer, &got, err);
            if (status != AK_OK)
                return status;
            memset(seen + i, true, got);
        }
    status = AK_OK;
    for (size_t i = 0; i < n && status == AK_OK; i++)
        if (!seen[i])
            status = look_at_image(v, v->at + i, err);
    return status;
}

/* One piece of a phase; it moves on whatever it finds. */
static enum ak_status look(struct ak_run *run, struct verify *v,
                           struct ak_err *err)
{
    enum ak_status status = AK_OK;
    struct ak_record record;
    struct ak_packed packed;
    struct ak_bytes model;
    uint64_t left = v->ends[v->phase] - v->at, bytes = RECORD_BYTES;
    uint64_t step = 1;

    switch ((enum phase)v->phase) {
    case BYTES:
        status = look_at_bytes(v, &step, err);
        bytes = step;
        break;
    case PAGES:
        bytes = v->backup.bytes;
        status = look_at_pages(run, v, err);
        break;
    case RECORDS:
        status = ak_view_record(v->view, v->at, &record, err);
        /* Headers that were trimmed are no damage. */
        if (status == AK_OK && record.seq > v->at + 1)
            step = record.seq - v->at;
        break;
    case ROWS:
        step = left < BLOCK_ROWS ? left : BLOCK_ROWS;
        bytes = step * v->row_bytes;
        status = look_at_rows(v, (size_t)step, err);
        break;
    case PACKED:
        bytes = PACKED_BYTES;
        status = ak_view_packed(v->view, v->at, &packed, err);
        if (status == AK_ENOTFOUND) /* they are a cache */
            status = AK_OK;
        break;
    case CODES:
        bytes = (uint64_t)AK_STORE_SEGMENT_ROWS * v->shape.code_bytes;
        status = ak_view_codes(v->view, v->version, v->at, v->buffer, err);
        if (status == AK_ENOTFOUND) /* a cache too */
            status = AK_OK;
        break;
    case MODELS:
        status = ak_view_model(v->view, v->at, &model, err);
        if (status == AK_OK)
            bytes = model.len;
        break;
    case OVER:
        break;
    }
    v->at += step < left ? step : left;
    v->bytes += bytes;
    return status;
}

static enum ak_run_step tell_end(struct ak_run *run, const struct verify *v,
                                 struct ak_err *err)
{
    ak_run_result(run, json_pack("{s:I, s:I, s:I, s:I, s:I}", "records",
                                 (json_int_t)v->ends[RECORDS], "rows",
                                 (json_int_t)v->ends[ROWS], "segments",
                                 (json_int_t)v->ends[CODES], "bytes",
                                 (json_int_t)v->bytes, "damaged",
                                 (json_int_t)v->damaged));
    if (v->damaged == 0)
        return AK_STEP_DONE;
    ak_fail(err, AK_ECORRUPT,
            "%llu parts are damaged; the log of the job names them",
            (unsigned long long)v->damaged);
    return AK_STEP_FAILED;
}

static enum ak_run_step verify_step(struct ak_run *run, struct ak_err *err)
{
    struct verify *v = *ak_run_data(run);
    uint64_t start = ak_clock_ns();

    while (ak_clock_ns() - start < SLICE_NS) {
        struct ak_err found = {0};
        enum ak_status status;

        while (v->phase < OVER && v->at >= v->ends[v->phase]) {
            v->phase++;
            v->at = 0;
        }
        if (v->phase == OVER)
            return tell_end(run, v, err);
        if (!ak_pace_allows(&v->pace, v->bytes)) {
            ak_run_progress(run, phase_names[v->phase], v->at,
                            v->ends[v->phase]);
            return AK_STEP_WAIT;
        }
        status = look(run, v, &found);
        if (status == AK_ENOMEM) {
            *err = found;
            return AK_STEP_FAILED;
        }
        if (status != AK_OK && v->damaged++ < MAX_TOLD)
            ak_run_log(run, AK_LOG_ERROR, "%s before %llu: %s",
                       phase_names[v->phase], (unsigned long long)v->at,
                       found.text);
    }
    ak_run_progress(run, phase_names[v->phase], v->at, v->ends[v->phase]);
    ak_run_metric(run, "bytes", (double)v->bytes);
    return AK_STEP_MORE;
}

const struct ak_run_kind ak_run_verify = {
    .name = "verify",
    .help = "read all of a collection's file, or a snapshot's, and compare "
            "the checksums",
    .on_collection = true,
    .elsewhere = of_snapshot,
    .exclusive = "verify",
    .check = verify_check,
    .begin = verify_begin,
    .step = verify_step,
    .save = verify_save,
    .end = verify_end,
};
