#include "server/debt.h"

#include <stdlib.h>
#include <string.h>

void ak_debt_clear(struct ak_debt *d)
{
    free(d->labelled);
    *d = (struct ak_debt){0};
}

double ak_debt_ratio(const struct ak_debt *d)
{
    if (d->learnt == 0)
        return 0;
    return d->gone < d->learnt ? (double)d->gone / (double)d->learnt : 1;
}

static enum ak_status get_seq(void *arg, const struct ak_row *row,
                              struct ak_err *err)
{
    uint64_t *seq = arg;

    (void)err;
    *seq = row->seq;
    return AK_ECANCELED;
}

/* The batch that brought the row; of an upsert no row is labelled. */
static enum ak_status look_up(struct ak_debt *d, struct ak_view *view,
                              uint64_t ordinal, struct ak_err *err)
{
    uint64_t seq = 0;
    struct ak_record rec;
    enum ak_status status = ak_view_rows(view, ordinal, get_seq, &seq, err);

    if (status == AK_OK && seq == 0)
        status = ak_fail(err, AK_ECORRUPT, "row %llu is missing",
                         (unsigned long long)ordinal);
    if (status == AK_OK)
        status = ak_view_record(view, seq - 1, &rec, err);
    if (status != AK_OK)
        return status;
    free(d->labelled);
    d->n = 0;
    d->labelled = calloc((size_t)rec.n + 1, 1);
    if (d->labelled == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %llu rows",
                       (unsigned long long)rec.n);
    d->first = rec.first_ordinal;
    d->n = rec.n;
    for (size_t i = 0; i < rec.n && rec.kind == AK_RECORD_BATCH; i++)
        d->labelled[i] = rec.label_first[i] < rec.label_first[i + 1];
    return AK_OK;
}

/* The ordinals are copied: to look a row up is to read another record. */
static enum ak_status count_gone(struct ak_debt *d, struct ak_view *view,
                                 const uint64_t *ordinals, uint64_t n,
                                 struct ak_err *err)
{
    uint64_t *list = n > 0 ? malloc((size_t)n * sizeof(*list)) : NULL;
    enum ak_status status = AK_OK;

    if (n == 0)
        return AK_OK;
    if (list == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %llu rows",
                       (unsigned long long)n);
    memcpy(list, ordinals, (size_t)n * sizeof(*list));
    for (uint64_t i = 0; i < n && status == AK_OK; i++) {
        if (list[i] < d->first || list[i] >= d->first + d->n)
            status = look_up(d, view, list[i], err);
        if (status == AK_OK && list[i] >= d->first && list[i] < d->first + d->n)
            d->gone += d->labelled[list[i] - d->first];
    }
    free(list);
    return status;
}

enum ak_status ak_debt_follow(struct ak_debt *d, struct ak_view *view,
                              const struct ak_record *rec, struct ak_err *err)
{
    switch (rec->kind) {
    case AK_RECORD_BATCH:
        for (size_t i = 0; i < rec->n; i++)
            d->learnt += rec->label_first[i] < rec->label_first[i + 1];
        return count_gone(d, view, rec->ordinals, rec->n_ordinals, err);
    case AK_RECORD_UPSERT:
    case AK_RECORD_DELETE:
        return count_gone(d, view, rec->ordinals, rec->n_ordinals, err);
    case AK_RECORD_RELABEL:
        return count_gone(d, view, &rec->first_ordinal, 1, err);
    case AK_RECORD_FLUSH:
    case AK_RECORD_PUBLISH:
    case AK_RECORD_ROLLBACK:
    case AK_RECORD_INSTALL:
        break;
    }
    return AK_OK;
}

void ak_debt_save(const struct ak_debt *d, struct ak_writer *w)
{
    ak_write_u64(w, d->learnt);
    ak_write_u64(w, d->gone);
}

void ak_debt_load(struct ak_debt *d, struct ak_reader *r)
{
    d->learnt = ak_read_u64(r);
    d->gone = ak_read_u64(r);
}
