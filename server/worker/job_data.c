#include "server/worker/job_data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

#define ROWS_TOLD 64

static bool on_progress(void *context, size_t done, size_t total)
{
    struct ak_job *job = context;

    ak_job_progress(job, "load", done, total);
    return !ak_job_stops(job);
}

static uint64_t get_number(const uint8_t *at, int bytes)
{
    uint64_t value = 0;

    for (int i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

/* One record; *end: there was none. */
static enum ak_status read_row(FILE *f, const struct ak_layer *input,
                               struct ak_picture_set *set, uint64_t *number,
                               bool *end, struct ak_err *err)
{
    uint8_t head[16];
    enum ak_status status;
    uint8_t *bytes;
    size_t got = fread(head, 1, sizeof(head), f), len;

    *end = got == 0 && !ferror(f);
    if (*end)
        return AK_OK;
    *number = get_number(head, 8);
    len = (size_t)get_number(head + 12, 4);
    if (got < sizeof(head) || len == 0 || len > AK_PICTURE_FILE)
        return ak_fail(err, AK_ECORRUPT, "rows: image %zu has no good head",
                       set->view.n);
    bytes = malloc(len);
    if (bytes == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for an image");
    if (fread(bytes, 1, len, f) == len)
        status = ak_picture_set_add(set, bytes, len, input,
                                    (uint32_t)get_number(head + 8, 4), err);
    else
        status = ak_fail(err, AK_ECORRUPT, "rows: image %zu is cut short",
                         set->view.n);
    free(bytes);
    return status;
}

static enum ak_status read_rows(struct ak_job *job,
                                const struct ak_layer *input,
                                struct ak_picture_set *out, uint64_t **numbers,
                                struct ak_err *err)
{
    uint64_t number, *list,
        total = (uint64_t)json_integer_value(ak_job_get(job, "data", "n"));
    struct ak_picture_set set = {0};
    enum ak_status status = AK_OK;
    FILE *f = fopen("rows", "rbe");
    bool end = false;

    if (f == NULL)
        return ak_fail(err, AK_EIO, "rows: %s", strerror(errno));
    list = ak_array_new((size_t)total + 1, sizeof(*list));
    if (list == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for %llu images",
                         (unsigned long long)total);
    while (status == AK_OK && !end) {
        status = read_row(f, input, &set, &number, &end, err);
        if (status == AK_OK && set.view.n > total)
            status = ak_fail(err, AK_ECORRUPT, "rows: more than %llu images",
                             (unsigned long long)total);
        if (status == AK_OK && !end)
            list[set.view.n - 1] = number;
        if (status == AK_OK && set.view.n % ROWS_TOLD == 0 &&
            !on_progress(job, set.view.n, (size_t)total))
            status = ak_fail(err, AK_ECANCELED, "stopped");
    }
    fclose(f);
    if (status == AK_OK && set.view.n == 0)
        status = ak_fail(err, AK_EINVAL, "there is no image to learn from");
    if (status != AK_OK) {
        ak_array_free(list);
        ak_picture_set_clear(&set);
        return status;
    }
    *out = set;
    *numbers = list;
    return AK_OK;
}

enum ak_status ak_job_data_load(struct ak_job *job,
                                const struct ak_layer *input,
                                struct ak_job_data *out, struct ak_err *err)
{
    const struct ak_picture_source source = {
        .kind = ak_job_text(job, "data", "kind"),
        .folder = ak_job_text(job, "data", "folder"),
        .progress = on_progress,
        .context = job,
    };
    const json_t *splits = ak_job_get(job, "params", "splits");
    struct ak_job_data data = {
        .parts = {
            .search = json_number_value(json_object_get(splits, "search")),
            .gate = json_number_value(json_object_get(splits, "gate")),
            .seed =
                (uint64_t)json_integer_value(json_object_get(splits, "seed")),
        }};
    enum ak_status status;
    size_t n;

    ak_job_progress(job, "load", 0, 0);
    if (source.kind == NULL)
        return ak_fail(err, AK_EINVAL, "job.json names no data");
    if (strcmp(source.kind, "rows") == 0)
        status = read_rows(job, input, &data.set, &data.numbers, err);
    else if (source.folder == NULL)
        status = ak_fail(err, AK_EINVAL, "job.json names no folder");
    else
        status = ak_picture_set_load(&source, input, &data.set, err);
    if (status != AK_OK)
        return status;
    n = data.set.has_parts ? data.set.n_train : data.set.view.n;
    data.n_test = data.set.view.n - n;
    data.parts.numbers = data.numbers;
    status = ak_picture_set_split(&data.set, n, &data.parts, err);
    if (status != AK_OK) {
        ak_job_data_clear(&data);
        return status;
    }
    ak_job_progress(job, "load", data.set.view.n, data.set.view.n);
    *out = data;
    return AK_OK;
}

void ak_job_data_clear(struct ak_job_data *data)
{
    ak_picture_set_clear(&data->set);
    ak_array_free(data->numbers);
    data->numbers = NULL;
}

struct ak_pictures ak_job_data_train(const struct ak_job_data *d)
{
    return ak_picture_set_view(&d->set, 0, d->parts.n_train);
}

struct ak_pictures ak_job_data_search(const struct ak_job_data *d)
{
    return ak_picture_set_view(&d->set, d->parts.n_train, d->parts.n_search);
}

struct ak_pictures ak_job_data_gate(const struct ak_job_data *d)
{
    return ak_picture_set_view(&d->set, d->parts.n_train + d->parts.n_search,
                               d->parts.n_gate);
}

struct ak_pictures ak_job_data_test(const struct ak_job_data *d)
{
    return ak_picture_set_view(&d->set, d->set.view.n - d->n_test, d->n_test);
}
