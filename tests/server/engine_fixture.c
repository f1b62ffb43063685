#include "tests/server/engine_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/rng.h"
#include "server/log.h"

/* ------------------------------------------------- waiting for a callback */

void box_init(struct box *b)
{
    memset(b, 0, sizeof(*b));
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->there, NULL);
}

void box_put(struct box *b)
{
    b->done = true;
    pthread_cond_signal(&b->there);
    pthread_mutex_unlock(&b->lock);
}

void box_wait(struct box *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->done)
        pthread_cond_wait(&b->there, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

/* ------------------------------------------------------------- the helpers */

char fixture_dir[64];

int make_dir(void **state)
{
    (void)state;
    strcpy(fixture_dir, "/tmp/akin-test-XXXXXX");
    ak_log_set_level(AK_LOG_ERROR);
    return mkdtemp(fixture_dir) != NULL ? 0 : -1;
}

int remove_dir(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", fixture_dir);
    return system(command);
}

struct ak_engine_params fixture_params(void)
{
    return (struct ak_engine_params){.data_dir = fixture_dir,
                                     .threads = 2,
                                     .queue_bytes = 64 << 20,
                                     .collection_queue_bytes = 32 << 20};
}

struct ak_engine *open_engine(void)
{
    struct ak_engine_params params = fixture_params();

    return open_engine_with(&params);
}

struct ak_engine *open_engine_with(const struct ak_engine_params *params)
{
    struct ak_engine *e = NULL;
    struct ak_engine_progress p;
    struct ak_err err = {0};

    if (ak_engine_open(params, &e, &err) != AK_OK)
        fail_msg("%s", err.text);
    do {
        usleep(1000);
        ak_engine_progress(e, &p);
    } while (!p.ready);
    assert_int_equal(p.failed, 0);
    return e;
}

struct ak_settings settings_of(const char *name, const char *kind)
{
    struct ak_settings s = {.bits = BITS,
                            .dim = DIM,
                            .max_labels = 256,
                            .seed = 7,
                            .policy = AK_POLICY_MANUAL,
                            .every_batches = 50,
                            .quality_depth = 100};
    const struct ak_hash_method *m = ak_hash_find(kind);

    assert_status(ak_finetune_settings_parse(NULL, &s.finetune, NULL), AK_OK);
    strcpy(s.name, name);
    strcpy(s.kind, kind);
    for (size_t i = 0; i < m->n_options; i++)
        /* Without a feature map, so that valgrind gets through in time. */
        s.options[i] = strcmp(m->options[i].name, "kernel_anchors") == 0
                           ? 0
                           : m->options[i].initial;
    return s;
}

void set_option(struct ak_settings *s, const char *option, double value)
{
    const struct ak_hash_method *m = ak_hash_find(s->kind);

    for (size_t i = 0; i < m->n_options; i++)
        if (strcmp(m->options[i].name, option) == 0) {
            s->options[i] = value;
            return;
        }
    fail_msg("%s has no option %s", s->kind, option);
}

static void created(void *arg, enum ak_status status, bool is_new,
                    struct ak_collection *c, const struct ak_err *err)
{
    struct box *b = arg;

    pthread_mutex_lock(&b->lock);
    b->status = status;
    b->flag = is_new;
    b->collection = c;
    snprintf(b->text, sizeof(b->text), "%s", err->text);
    box_put(b);
}

struct ak_collection *create(struct ak_engine *e, const struct ak_settings *s)
{
    struct box b;

    box_init(&b);
    ak_engine_create(e, s, created, &b);
    box_wait(&b);
    if (b.status != AK_OK)
        fail_msg("%s", b.text);
    return b.collection;
}

static void submitted(struct ak_submission *s, enum ak_status status,
                      const struct ak_receipt *receipt,
                      const struct ak_err *err)
{
    struct box *b = s->arg;

    pthread_mutex_lock(&b->lock);
    b->status = status;
    b->receipt = *receipt;
    snprintf(b->text, sizeof(b->text), "%s", err->text);
    box_put(b);
}

struct ak_receipt submit(struct ak_collection *c,
                         const struct ak_change *change)
{
    struct submitted s;

    submit_later(c, change, &s);
    box_wait(&s.box);
    if (s.box.status != AK_OK)
        fail_msg("%s", s.box.text);
    return s.box.receipt;
}

void submit_later(struct ak_collection *c, const struct ak_change *change,
                  struct submitted *s)
{
    *s = (struct submitted){.submission = {.change = *change, .bytes = 1000}};
    box_init(&s->box);
    s->submission.done = submitted;
    s->submission.arg = &s->box;
    ak_collection_submit(c, &s->submission);
}

enum ak_status submit_status(struct ak_collection *c,
                             const struct ak_change *change)
{
    struct submitted s;

    submit_later(c, change, &s);
    box_wait(&s.box);
    return s.box.status;
}

static void waited(void *arg, enum ak_ack reached, bool in_time)
{
    struct box *b = arg;

    pthread_mutex_lock(&b->lock);
    b->reached = reached;
    b->flag = in_time;
    box_put(b);
}

void wait_for(struct ak_collection *c, uint64_t seq, enum ak_ack ack)
{
    struct box b;

    box_init(&b);
    ak_collection_wait(c, seq, ack, UINT64_MAX, waited, &b);
    box_wait(&b);
    assert_true(b.flag);
}

/* Row i of the made stream: class i % CLASSES, around a corner of its own. */
void make_row(uint64_t i, float x[DIM])
{
    struct ak_rng rng;

    ak_rng_init(&rng, 1000 + i);
    for (int d = 0; d < DIM; d++)
        x[d] = 1.0f * ak_rng_normal(&rng) +
               (d % CLASSES == (int)(i % CLASSES) ? 1.2f : 0.0f);
}

size_t one_label(uint64_t i, uint32_t labels[MOST_LABELS])
{
    labels[0] = (uint32_t)(i % CLASSES);
    return 1;
}

struct ak_receipt put_made(struct ak_collection *c, uint64_t from, size_t n,
                           enum ak_record_kind kind, labels_fn *labels,
                           row_fn *row, const char *key)
{
    enum { TEXT = 12 };
    float *x = calloc(n * DIM, sizeof(*x));
    struct ak_row_id *ids = calloc(n, sizeof(*ids));
    struct ak_bytes *names = calloc(n * MOST_LABELS, sizeof(*names));
    char *text = calloc(n * MOST_LABELS, TEXT);
    uint32_t *first = calloc(n + 1, sizeof(*first));
    struct ak_change change = {.kind = kind, .now_ms = 1};
    struct ak_receipt receipt;
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t numbers[MOST_LABELS];
        size_t n_labels = (labels ? labels : one_label)(from + i, numbers);

        (row ? row : make_row)(from + i, x + i * DIM);
        ids[i].number = from + i;
        for (size_t l = 0; l < n_labels; l++, at++) {
            snprintf(text + at * TEXT, TEXT, "%u", numbers[l]);
            names[at] =
                (struct ak_bytes){text + at * TEXT, strlen(text + at * TEXT)};
        }
        first[i + 1] = (uint32_t)at;
    }
    change.rows = (struct ak_store_rows){
        .n = n, .block = x, .ids = ids, .labels = names, .label_first = first};
    if (key != NULL)
        change.key = (struct ak_bytes){key, strlen(key)};
    receipt = submit(c, &change);
    free(x);
    free(ids);
    free(names);
    free(text);
    free(first);
    return receipt;
}

struct ak_receipt put_rows(struct ak_collection *c, uint64_t from, size_t n,
                           enum ak_record_kind kind, const char *key)
{
    return put_made(c, from, n, kind, NULL, NULL, key);
}

struct ak_receipt append(struct ak_collection *c, enum ak_record_kind kind)
{
    struct ak_change change = {.kind = kind, .now_ms = 1};

    return submit(c, &change);
}

struct ak_receipt publish(struct ak_collection *c)
{
    struct ak_receipt receipt = append(c, AK_RECORD_PUBLISH);

    wait_for(c, receipt.seq, AK_ACK_SERVED);
    return receipt;
}

/* Model file and codes of all rows, to compare two states. */
struct ak_writer state_of(struct ak_collection *c)
{
    struct ak_snapshot *s = ak_collection_snapshot(c);
    struct ak_writer w = {0};
    uint8_t code[BITS / 8];

    assert_status(ak_encoder_save(ak_collection_model(s), &w, NULL), AK_OK);
    for (uint64_t i = 0; i < ak_snapshot_rows(s); i++) {
        ak_snapshot_code(s, i, code);
        ak_write_bytes(&w, code, sizeof(code));
        ak_write_u64(&w, ak_snapshot_id(s, i).number);
        ak_write_u8(&w, ak_snapshot_alive(s, i));
    }
    ak_snapshot_drop(s);
    return w;
}

void assert_same_state(struct ak_writer *a, struct ak_writer *b)
{
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len);
}

/* Rows 0 .. n - 1 as one batch. */
struct made {
    float *x;
    uint32_t *labels, *first;
};

static void make_all(struct made *m, size_t n, labels_fn *labels, row_fn *row)
{
    m->x = calloc(n * DIM, sizeof(*m->x));
    m->labels = calloc(n * MOST_LABELS, sizeof(*m->labels));
    m->first = calloc(n + 1, sizeof(*m->first));
    for (size_t i = 0; i < n; i++) {
        (row ? row : make_row)(i, m->x + i * DIM);
        m->first[i + 1] = m->first[i] + (uint32_t)(labels ? labels : one_label)(
                                            i, m->labels + m->first[i]);
    }
}

struct ak_writer state_offline(const struct ak_settings *s, size_t n,
                               labels_fn *labels, row_fn *row)
{
    struct ak_hash_params params = {s->dim, s->bits, s->max_labels, s->seed};
    struct ak_hash *h = NULL;
    struct ak_encoder *e = NULL;
    struct ak_writer w = {0};
    struct made m;
    struct ak_hash_batch batch;
    void *scratch;
    size_t wanted;

    make_all(&m, n, labels, row);
    batch = (struct ak_hash_batch){m.x, m.labels, m.first, n};
    assert_status(ak_hash_create(s->kind, &params, s->options, &h, NULL),
                  AK_OK);
    wanted = ak_hash_warmup_rows(h);
    if (wanted > 0)
        assert_status(ak_hash_fix(h, m.x, wanted < n ? wanted : n, NULL),
                      AK_OK);
    assert_status(ak_hash_train(h, &batch, NULL, NULL), AK_OK);
    assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
    assert_status(ak_encoder_save(e, &w, NULL), AK_OK);
    scratch = aligned_alloc(64, (ak_encoder_scratch(e) + 64) & ~63ul);
    for (size_t i = 0; i < n; i++) {
        uint8_t code[BITS / 8];

        ak_encoder_encode(e, m.x + i * DIM, 1, code, scratch);
        ak_write_bytes(&w, code, sizeof(code));
        ak_write_u64(&w, i);
        ak_write_u8(&w, true);
    }
    free(scratch);
    ak_ref_drop((struct ak_ref *)e);
    ak_hash_destroy(h);
    free(m.x);
    free(m.labels);
    free(m.first);
    return w;
}
