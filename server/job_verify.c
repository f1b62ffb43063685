/*
 * job_verify.c -- the job `verify`: read all that a collection's file holds and
 * compare it with its checksums.
 *
 * Records, vectors, packed rows, the published version's codes and the models, in
 * this order, up to what there was when it began.  What is damaged goes into the log
 * of the job, and the job fails at its end.  `budget.bytes_per_second` bounds
 * how fast it reads, so that it can go on for days beside the traffic.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/engine_internal.h"
#include "server/job_kinds.h"
#include "server/log.h"

#define SLICE_NS     UINT64_C(10000000)
#define BLOCK_ROWS   256
#define MAX_TOLD     100 /* of what is damaged */
#define FORMAT       2
#define MAX_RATE     1e12
#define RECORD_BYTES 64 /* what a record counts for at least */
#define PACKED_BYTES (AK_STORE_SEGMENT_ROWS * 8) /* packed rows of a segment */

enum phase { RECORDS, ROWS, PACKED, CODES, MODELS, OVER };

static const char *const phase_names[] = {"records", "vectors", "packed rows",
                                          "codes", "models"};

struct verify {
    struct ak_view *view;
    void *buffer;
    double rate; /* bytes a second; 0: any */
    uint64_t begun_ns, begun_bytes;

    /* Kept in the checkpoint. */
    uint64_t phase, at;
    uint64_t ends[OVER]; /* of each phase */
    uint64_t version;
    uint64_t bytes, damaged;
};

static enum ak_status verify_check(struct ak_run_check *check,
                                   struct ak_settings_error *fault)
{
    const char *key;
    json_t *value;

    fault->slug = "unknown-field";
    snprintf(fault->detail, sizeof(fault->detail), "is not known here");
    json_object_foreach(check->params, key, value)
    {
        snprintf(fault->pointer, sizeof(fault->pointer), "/params/%.80s", key);
        return AK_EINVAL;
    }
    if (json_object_size(check->gate) > 0) {
        snprintf(fault->pointer, sizeof(fault->pointer), "/gate");
        return AK_EINVAL;
    }
    json_object_foreach(check->budget, key, value)
    {
        snprintf(fault->pointer, sizeof(fault->pointer), "/budget/%.80s", key);
        if (strcmp(key, "bytes_per_second") != 0)
            return AK_EINVAL;
        if (json_is_number(value) && json_number_value(value) >= 0 &&
            json_number_value(value) <= MAX_RATE)
            continue;
        fault->slug = "validation-failed";
        snprintf(fault->detail, sizeof(fault->detail),
                 "must be a number, 0..%g; 0: as fast as it goes", MAX_RATE);
        return AK_EINVAL;
    }
    return AK_OK;
}

static void verify_end(struct ak_run *run, enum ak_run_state why)
{
    struct verify *v = *ak_run_data(run);

    (void)why;
    if (v == NULL)
        return;
    if (v->view != NULL)
        ak_collection_return(ak_run_collection(run), v->view);
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

static enum ak_status count_version(void *arg, const struct ak_version *version,
                                    struct ak_err *err)
{
    uint64_t *n = arg;

    (void)err;
    *n = version->version + 1;
    return AK_OK;
}

static enum ak_status verify_begin(struct ak_run *run, struct ak_err *err)
{
    struct ak_collection *c = ak_run_collection(run);
    const json_t *request = ak_run_budget(run);
    struct verify *v = calloc(1, sizeof(*v));
    struct ak_store_info info;
    enum ak_status status;
    size_t code, row;

    if (v == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to verify");
    *ak_run_data(run) = v;
    v->rate = json_number_value(json_object_get(request, "bytes_per_second"));
    status = ak_collection_borrow(c, &v->view, err);
    if (status == AK_OK)
        status = ak_view_info(v->view, &info, err);
    if (status != AK_OK)
        return status;
    row = (size_t)BLOCK_ROWS * info.shape.row_bytes;
    code = (size_t)AK_STORE_SEGMENT_ROWS * info.shape.code_bytes;
    v->buffer = malloc(row > code ? row : code);
    if (v->buffer == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to verify");
    if (!load(v, ak_run_last_checkpoint(run))) {
        v->phase = v->at = v->bytes = v->damaged = 0;
        v->ends[RECORDS] = info.last_seq;
        v->ends[ROWS] = info.next_ordinal;
        v->ends[PACKED] = info.next_ordinal / AK_STORE_SEGMENT_ROWS;
        v->ends[CODES] = info.next_ordinal / AK_STORE_SEGMENT_ROWS;
        v->version = info.published;
        status =
            ak_view_versions(v->view, count_version, &v->ends[MODELS], err);
    }
    v->begun_ns = ak_clock_ns();
    v->begun_bytes = v->bytes;
    return status;
}

/* One piece of a phase; it moves on whatever it finds. */
static enum ak_status look(struct ak_run *run, struct verify *v,
                           struct ak_err *err)
{
    struct ak_collection *c = ak_run_collection(run);
    enum ak_status status = AK_OK;
    struct ak_record record;
    struct ak_packed packed;
    struct ak_bytes model;
    uint64_t left = v->ends[v->phase] - v->at, bytes = RECORD_BYTES;
    uint64_t step = 1;

    switch ((enum phase)v->phase) {
    case RECORDS:
        status = ak_view_record(v->view, v->at, &record, err);
        /* Headers that were trimmed are no damage. */
        if (status == AK_OK && record.seq > v->at + 1)
            step = record.seq - v->at;
        break;
    case ROWS:
        step = left < BLOCK_ROWS ? left : BLOCK_ROWS;
        bytes = step * c->shape.row_bytes;
        status = ak_view_block(v->view, v->at, (size_t)step, v->buffer, err);
        break;
    case PACKED:
        bytes = PACKED_BYTES;
        status = ak_view_packed(v->view, v->at, &packed, err);
        if (status == AK_ENOTFOUND) /* they are a cache */
            status = AK_OK;
        break;
    case CODES:
        bytes = (uint64_t)AK_STORE_SEGMENT_ROWS * c->shape.code_bytes;
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
        double seconds = (double)(ak_clock_ns() - v->begun_ns) * 1e-9;
        struct ak_err found = {0};
        enum ak_status status;

        while (v->phase < OVER && v->at >= v->ends[v->phase]) {
            v->phase++;
            v->at = 0;
        }
        if (v->phase == OVER)
            return tell_end(run, v, err);
        if (v->rate > 0 &&
            (double)(v->bytes - v->begun_bytes) > v->rate * seconds) {
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
    .help = "read all of a collection's file and compare the checksums",
    .on_collection = true,
    .exclusive = true,
    .check = verify_check,
    .begin = verify_begin,
    .step = verify_step,
    .save = verify_save,
    .end = verify_end,
};
