#include "core/nn/optim.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"

#define BLOCK 16 /* values: parameters are padded to so many, with zeros */

struct ak_optim {
    const struct ak_graph *g;
    struct ak_optim_params params;
    uint32_t *groups;      /* (g->n_params); AK_OPTIM_GROUPS: in none */
    float *first, *second; /* (g->n_values); second of Adam only */
    uint64_t steps;
};

static bool takes(const struct ak_optim_group *group, const struct ak_graph *g,
                  const struct ak_param *p)
{
    return (group->roles == 0 || (group->roles & 1u << p->role)) &&
           (group->prefix == NULL ||
            strncmp(g->layers[p->layer].name, group->prefix,
                    strlen(group->prefix)) == 0);
}

static enum ak_status check_params(const struct ak_optim_params *p,
                                   struct ak_err *err)
{
    if (!(p->momentum >= 0 && p->momentum < 1))
        return ak_fail(err, AK_EINVAL, "momentum is %g, must be 0 to below 1",
                       p->momentum);
    if (p->kind == AK_OPTIM_ADAM &&
        !(p->second >= 0 && p->second < 1 && p->tiny > 0))
        return ak_fail(err, AK_EINVAL,
                       "second moment is %g and epsilon %g, must be 0 to "
                       "below 1, and above 0",
                       p->second, p->tiny);
    if (p->n_groups < 1 || p->n_groups > AK_OPTIM_GROUPS)
        return ak_fail(err, AK_EINVAL, "%u groups, must be 1..%d", p->n_groups,
                       AK_OPTIM_GROUPS);
    for (uint32_t i = 0; i < p->n_groups; i++)
        if (!(p->groups[i].rate >= 0 && p->groups[i].rate <= 1e6 &&
              p->groups[i].decay >= 0 && p->groups[i].decay <= 1))
            return ak_fail(err, AK_EINVAL,
                           "group %u: rate is %g and decay %g, must be 0..1e6 "
                           "and 0..1",
                           i, p->groups[i].rate, p->groups[i].decay);
    return AK_OK;
}

enum ak_status ak_optim_create(const struct ak_graph *g,
                               const struct ak_optim_params *params,
                               struct ak_optim **out, struct ak_err *err)
{
    struct ak_optim *o;
    enum ak_status status = check_params(params, err);

    if (status != AK_OK)
        return status;
    o = ak_array_new(1, sizeof(*o));
    if (o == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for an optimiser");
    o->g = g;
    o->params = *params;
    o->groups = ak_array_new(g->n_params, sizeof(*o->groups));
    o->first = ak_array_new(g->n_values, sizeof(*o->first));
    if (params->kind == AK_OPTIM_ADAM)
        o->second = ak_array_new(g->n_values, sizeof(*o->second));
    if (o->groups == NULL || o->first == NULL ||
        (params->kind == AK_OPTIM_ADAM && o->second == NULL))
        status = ak_fail(err, AK_ENOMEM, "no memory for an optimiser");
    for (uint32_t i = 0; status == AK_OK && i < g->n_params; i++) {
        const struct ak_param *p = &g->params[i];
        uint32_t k = 0;

        while (k < params->n_groups && !takes(&params->groups[k], g, p))
            k++;
        o->groups[i] = k;
        if (p->role == AK_PARAM_MEAN || p->role == AK_PARAM_VAR) {
            o->groups[i] = AK_OPTIM_GROUPS;
        } else if (k == params->n_groups) {
            char name[AK_PARAM_TEXT];

            ak_param_name(g, p, name);
            status = ak_fail(err, AK_EINVAL, "%s is in no group", name);
        }
    }
    if (status != AK_OK) {
        ak_optim_destroy(o);
        return status;
    }
    *out = o;
    return AK_OK;
}

void ak_optim_destroy(struct ak_optim *o)
{
    if (o == NULL)
        return;
    ak_array_free(o->groups);
    ak_array_free(o->first);
    ak_array_free(o->second);
    ak_array_free(o);
}

/* Whole blocks, which the compiler makes into vectors. */
static void sgd(float *restrict w, float *restrict v, const float *restrict g,
                size_t n, float rate, float momentum, float decay,
                bool nesterov)
{
    float ahead = nesterov ? momentum : 0.0f;
    float plain = nesterov ? 1.0f : 0.0f;

    /* The step is v, or with Nesterov's look ahead d + momentum v. */
    for (size_t b = 0; b < n; b += BLOCK)
        for (size_t i = b; i < b + BLOCK; i++) {
            float d = g[i] + decay * w[i];

            v[i] = momentum * v[i] + d;
            w[i] -= rate * (nesterov ? plain * d + ahead * v[i] : v[i]);
        }
}

static void adam(float *restrict w, float *restrict m, float *restrict s,
                 const float *restrict g, size_t n, double rate,
                 const struct ak_optim_params *p, float decay, double steps)
{
    float b1 = (float)p->momentum, b2 = (float)p->second;
    float step = (float)(rate / (1 - pow(p->momentum, steps)));
    float fix = (float)(1 / (1 - pow(p->second, steps)));

    for (size_t i = 0; i < n; i++) {
        float d = g[i] + decay * w[i];

        m[i] = b1 * m[i] + (1 - b1) * d;
        s[i] = b2 * s[i] + (1 - b2) * d * d;
        w[i] -= step * m[i] / (sqrtf(s[i] * fix) + (float)p->tiny);
    }
}

void ak_optim_step(struct ak_optim *o, double rate, const float *grads,
                   float *values)
{
    o->steps++;
    for (uint32_t i = 0; i < o->g->n_params; i++) {
        const struct ak_param *p = &o->g->params[i];
        const struct ak_optim_group *group;
        size_t at = p->offset, n = (p->n + BLOCK - 1) / BLOCK * BLOCK;

        if (o->groups[i] == AK_OPTIM_GROUPS)
            continue;
        group = &o->params.groups[o->groups[i]];
        if (o->params.kind == AK_OPTIM_ADAM)
            adam(values + at, o->first + at, o->second + at, grads + at, p->n,
                 rate * group->rate, &o->params, (float)group->decay,
                 (double)o->steps);
        else
            sgd(values + at, o->first + at, grads + at, n,
                (float)(rate * group->rate), (float)o->params.momentum,
                (float)group->decay, o->params.kind == AK_OPTIM_NESTEROV);
    }
}

void ak_optim_save(const struct ak_optim *o, struct ak_writer *w)
{
    ak_write_u64(w, o->steps);
    ak_write_f32s(w, o->first, o->g->n_values);
    if (o->second != NULL)
        ak_write_f32s(w, o->second, o->g->n_values);
}

enum ak_status ak_optim_load(struct ak_optim *o, struct ak_reader *r,
                             struct ak_err *err)
{
    o->steps = ak_read_u64(r);
    ak_read_f32s(r, o->first, o->g->n_values);
    if (o->second != NULL)
        ak_read_f32s(r, o->second, o->g->n_values);
    return r->status == AK_OK
               ? AK_OK
               : ak_fail(err, AK_ECORRUPT, "ends inside of the optimiser");
}

/* ---- schedules ------------------------------------------------------------- */

enum ak_status ak_schedule_check(const struct ak_schedule *s,
                                 struct ak_err *err)
{
    double last = 0;

    if (!(s->rate > 0 && s->rate <= 1e3))
        return ak_fail(err, AK_EINVAL, "rate is %g, must be above 0, to 1000",
                       s->rate);
    if (!(s->warmup >= 0 && s->warmup < 1))
        return ak_fail(err, AK_EINVAL, "warm-up is %g, must be 0 to below 1",
                       s->warmup);
    if (s->n_marks > AK_SCHEDULE_MARKS ||
        (s->kind == AK_SCHEDULE_TRIANGULAR && s->n_marks != 1))
        return ak_fail(err, AK_EINVAL, "%u marks, must be %s", s->n_marks,
                       s->kind == AK_SCHEDULE_TRIANGULAR ? "1" : "0..8");
    for (uint32_t i = 0; i < s->n_marks; last = s->marks[i++])
        if (!(s->marks[i] > last && s->marks[i] < 1))
            return ak_fail(err, AK_EINVAL,
                           "mark %u is %g, must be above %g and below 1", i,
                           s->marks[i], last);
    if (s->kind == AK_SCHEDULE_STEP && !(s->factor > 0 && s->factor <= 1))
        return ak_fail(err, AK_EINVAL, "factor is %g, must be above 0, to 1",
                       s->factor);
    return AK_OK;
}

static const struct {
    const char *name;
    struct ak_schedule schedule;
} named[] = {
    {"triangular",
     {.kind = AK_SCHEDULE_TRIANGULAR, .marks = {0.2}, .n_marks = 1}},
    {"cosine", {.kind = AK_SCHEDULE_COSINE, .warmup = 0.02}},
    {"step",
     {.kind = AK_SCHEDULE_STEP,
      .factor = 0.1,
      .marks = {0.5, 0.75},
      .n_marks = 2}},
    {"constant", {.kind = AK_SCHEDULE_CONSTANT}},
};

enum ak_status ak_schedule_named(const char *name, double rate,
                                 struct ak_schedule *out, struct ak_err *err)
{
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
        if (strcmp(named[i].name, name) == 0) {
            *out = named[i].schedule;
            out->rate = rate;
            return AK_OK;
        }
    return ak_fail(err, AK_ENOTFOUND,
                   "no schedule %.40s; there are triangular, cosine, step and "
                   "constant",
                   name);
}

double ak_schedule_rate(const struct ak_schedule *s, double done)
{
    double rate = s->rate;

    if (done < s->warmup)
        return rate * done / s->warmup;
    switch (s->kind) {
    case AK_SCHEDULE_STEP:
        for (uint32_t i = 0; i < s->n_marks && done >= s->marks[i]; i++)
            rate *= s->factor;
        return rate;
    case AK_SCHEDULE_COSINE:
        done = (done - s->warmup) / (1 - s->warmup);
        return rate * 0.5 * (1 + cos(3.141592653589793 * done));
    case AK_SCHEDULE_TRIANGULAR:
        return done < s->marks[0] ? rate * done / s->marks[0]
                                  : rate * (1 - done) / (1 - s->marks[0]);
    default:
        return rate;
    }
}
