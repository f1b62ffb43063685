#include "server/finetune.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT 1

const char *ak_finetune_why_name(enum ak_finetune_why why)
{
    static const char *const names[] = {"none", "images", "drift"};

    return names[why];
}

const char *ak_finetune_outcome_name(enum ak_finetune_outcome outcome)
{
    static const char *const names[AK_N_FINETUNE_OUTCOMES] = {
        "none", "promoted", "failed", "canceled"};

    return names[outcome];
}

/* ---------------------------------------------------------------- the rule */

uint64_t ak_finetune_pause(const struct ak_finetune_settings *settings,
                           const struct ak_finetune_state *state)
{
    uint64_t times = 1;

    for (unsigned i = 0; i < state->failures && times < AK_FINETUNE_BACKOFF;
         i++)
        times *= 2;
    return times * settings->cooldown_seconds;
}

/* A clock that was set back by more than the pause does not stop it for ever. */
static bool is_rested(const struct ak_finetune_settings *settings,
                      const struct ak_finetune_state *state, int64_t now_ms)
{
    uint64_t pause_ms = ak_finetune_pause(settings, state) * 1000;
    uint64_t since_ms = (uint64_t)llabs(now_ms - state->ended_ms);

    return state->ended_ms == 0 || since_ms >= pause_ms;
}

enum ak_finetune_why
ak_finetune_due(const struct ak_finetune_settings *settings,
                const struct ak_finetune_state *state,
                const struct ak_finetune_look *look)
{
    bool failed = state->failures > 0;

    if (!settings->automatic || state->running ||
        look->labelled <= state->mark ||
        (failed && look->labelled <= state->tried) ||
        !is_rested(settings, state, look->now_ms))
        return AK_FINETUNE_NOT;
    if (settings->on_drift && look->alarm_seq > 0 &&
        (look->alarm_seq != state->answered || failed))
        return AK_FINETUNE_DRIFT;
    return look->labelled - state->mark >= settings->every_images
               ? AK_FINETUNE_IMAGES
               : AK_FINETUNE_NOT;
}

/* --------------------------------------------------------------- what is kept */

void ak_finetune_save(const struct ak_finetune_state *s, struct ak_writer *w)
{
    uint32_t len = (uint32_t)strlen(s->error);

    ak_write_u32(w, FORMAT);
    ak_write_u64(w, s->mark);
    ak_write_u64(w, s->attempts);
    ak_write_u8(w, s->running);
    ak_write_u32(w, s->why);
    ak_write_u64(w, s->tried);
    ak_write_u64(w, s->answered);
    ak_write_u32(w, s->failures);
    ak_write_u64(w, (uint64_t)s->started_ms);
    ak_write_u64(w, (uint64_t)s->ended_ms);
    ak_write_u32(w, s->outcome);
    ak_write_u64(w, s->job);
    ak_write_u64(w, s->promotion);
    ak_write_u64(w, s->file);
    ak_write_u32(w, s->version);
    ak_write_u32(w, len);
    ak_write_bytes(w, s->error, len);
}

enum ak_status ak_finetune_load(struct ak_finetune_state *out,
                                struct ak_reader *r)
{
    struct ak_finetune_state s = {.mark = 0};
    uint32_t format = ak_read_u32(r), why, outcome, len;
    const uint8_t *error;

    s.mark = ak_read_u64(r);
    s.attempts = ak_read_u64(r);
    s.running = ak_read_u8(r) != 0;
    why = ak_read_u32(r);
    s.tried = ak_read_u64(r);
    s.answered = ak_read_u64(r);
    s.failures = ak_read_u32(r);
    s.started_ms = (int64_t)ak_read_u64(r);
    s.ended_ms = (int64_t)ak_read_u64(r);
    outcome = ak_read_u32(r);
    s.job = ak_read_u64(r);
    s.promotion = ak_read_u64(r);
    s.file = ak_read_u64(r);
    s.version = ak_read_u32(r);
    len = ak_read_u32(r);
    error = ak_read_span(r, len);
    if (ak_reader_finish(r) != AK_OK || format != FORMAT ||
        why > AK_FINETUNE_DRIFT || outcome >= AK_N_FINETUNE_OUTCOMES ||
        len >= sizeof(s.error))
        return AK_ECORRUPT;
    if (len > 0)
        memcpy(s.error, error, len);
    s.why = (enum ak_finetune_why)why;
    s.outcome = (enum ak_finetune_outcome)outcome;
    *out = s;
    return AK_OK;
}
