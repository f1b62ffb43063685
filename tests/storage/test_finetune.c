/* store_finetune.c, and the count of labelled images. */
#include "tests/storage/fixture.h"

#include "tests/storage/older.h"

static const struct ak_bytes picture = {"\x89PNG", 4};

static uint64_t counted(struct fixture *f)
{
    struct ak_store_info info;

    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    return info.labelled_images;
}

/* Three rows with ids from `id` on: with label and image, with a label, with an
   image. */
static struct ak_receipt put_three(struct fixture *f, enum ak_record_kind kind,
                                   uint64_t id, const char *key)
{
    uint8_t block[3 * ROW_BYTES];
    const struct ak_bytes labels[] = {{"boot", 4}, {"coat", 4}};
    const uint32_t first[] = {0, 1, 2, 2};
    const struct ak_bytes images[] = {picture, {NULL, 0}, picture};
    const struct ak_row_id ids[] = {
        {.number = id}, {.number = id + 1}, {.number = id + 2}};
    const struct ak_change change = {.kind = kind,
                                     .rows = {.n = 3,
                                              .block = block,
                                              .ids = ids,
                                              .labels = labels,
                                              .label_first = first,
                                              .images = images},
                                     .key = bytes_of(key)};
    struct ak_receipt receipt = {0};

    fill_block(block, 3, 500);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    return receipt;
}

static struct ak_receipt relabel(struct fixture *f, uint64_t id, size_t n)
{
    static const struct ak_bytes label = {"hat", 3};
    const struct ak_row_id row = {.number = id};
    const struct ak_change change = {.kind = AK_RECORD_RELABEL,
                                     .ids = &row,
                                     .n_ids = 1,
                                     .set_labels = true,
                                     .labels = &label,
                                     .n_labels = n};
    struct ak_receipt receipt = {0};

    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    return receipt;
}

static void images_count_when_they_get_labels(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(counted(f), 0);
    assert_int_equal(
        put_three(f, AK_RECORD_BATCH, 1, "first-key").labelled_images, 1);
    assert_int_equal(
        put_three(f, AK_RECORD_UPSERT, 4, "second-key").labelled_images, 1);
    assert_int_equal(counted(f), 2);
    assert_int_equal(relabel(f, 3, 1).labelled_images, 1); /* its first */
    assert_int_equal(relabel(f, 1, 1).labelled_images, 1); /* another one */
    assert_int_equal(relabel(f, 2, 1).labelled_images, 0); /* no image */
    assert_int_equal(relabel(f, 1, 0).labelled_images, 0); /* none any more */
    assert_int_equal(counted(f), 4);
    close_all(f);
    open_all(f);
    assert_int_equal(counted(f), 4);
}

static void what_is_sent_again_or_undone_does_not_count(void **state)
{
    struct fixture *f = *state;
    const struct ak_row_id nobody = {.number = 99};
    const struct ak_change change = {.kind = AK_RECORD_RELABEL,
                                     .ids = &nobody,
                                     .n_ids = 1,
                                     .set_labels = true,
                                     .labels = &picture,
                                     .n_labels = 1};
    struct ak_receipt receipt = {0};

    put_three(f, AK_RECORD_BATCH, 1, "first-key");
    assert_int_equal(
        put_three(f, AK_RECORD_BATCH, 1, "first-key").labelled_images, 0);
    assert_status(apply_alone(f, &change, &receipt), AK_ENOTFOUND);
    assert_int_equal(counted(f), 1);
}

/* An upgrade counts what is there: once, whatever happened to it. */
static void an_older_file_is_counted(void **state)
{
    struct fixture *f = *state;

    put_three(f, AK_RECORD_BATCH, 1, "first-key");
    put_three(f, AK_RECORD_BATCH, 4, "second-key");
    relabel(f, 1, 1);
    assert_int_equal(counted(f), 3);
    damage(f, OLDER_FINETUNE);
    open_all(f);
    assert_int_equal(counted(f), 2);
}

static enum ak_status put(struct fixture *f, const char *text)
{
    enum ak_status status;

    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    status = ak_store_put_finetune(f->store, bytes_of(text), &f->err);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    return status;
}

static void a_state_is_what_was_put_last(void **state)
{
    struct fixture *f = *state;
    struct ak_bytes found;

    assert_status(ak_view_finetune(f->view, &found, &f->err), AK_ENOTFOUND);
    assert_status(put(f, "one"), AK_OK);
    assert_status(put(f, "another"), AK_OK);
    assert_status(ak_view_finetune(f->view, &found, &f->err), AK_OK);
    assert_true(same_text(found, "another"));
    damage(f, "UPDATE finetune SET data = x'00'");
    open_all(f);
    assert_status(ak_view_finetune(f->view, &found, &f->err), AK_ECORRUPT);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_fixture, remove_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(images_count_when_they_get_labels),
        TEST(what_is_sent_again_or_undone_does_not_count),
        TEST(an_older_file_is_counted),
        TEST(a_state_is_what_was_put_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
