/* Settings of a collection: defaults, rules, canonical text, patches. */
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "server/settings.h"

#define SHOES \
    "{\"bits\":64,\"model\":{\"kind\":\"hmoh\"},\"features\":{\"dim\":512}}"

static enum ak_status parse(const char *text, struct ak_settings *out,
                            struct ak_fault *error)
{
    json_t *body = json_loads(text, 0, NULL);
    enum ak_status status;

    assert_non_null(body);
    memset(error, 0, sizeof(*error));
    status = ak_settings_parse("shoes", body, out, error);
    json_decref(body);
    return status;
}

static void accept(const char *text, struct ak_settings *out)
{
    struct ak_fault error;
    enum ak_status status = parse(text, out, &error);

    if (status != AK_OK)
        print_message("# %s: %s: %s\n", text, error.pointer, error.detail);
    assert_status(status, AK_OK);
}

static void refuse(const char *text, const char *slug, const char *pointer)
{
    struct ak_fault error;
    struct ak_settings s;

    assert_status(parse(text, &s, &error), AK_EINVAL);
    assert_string_equal(error.code, slug);
    assert_string_equal(error.pointer, pointer);
    assert_true(strlen(error.detail) > 5);
}

static void what_is_left_out_gets_its_default(void **state)
{
    struct ak_settings s;

    (void)state;
    accept(SHOES, &s);
    assert_string_equal(s.name, "shoes");
    assert_string_equal(s.description, "");
    assert_string_equal(s.kind, "hmoh");
    assert_int_equal(s.bits, 64);
    assert_int_equal(s.dim, 512);
    assert_int_equal(s.format, AK_FORMAT_F32);
    assert_false(s.string_ids);
    assert_false(s.multi_label);
    assert_int_equal(s.max_labels, 256);
    assert_int_equal(s.seed, 0);
    assert_string_equal(s.extractor, "");
    assert_false(s.keep_images);
    assert_int_equal(s.policy, AK_POLICY_MANUAL);
    assert_int_equal(s.every_batches, 50);
    assert_true(s.min_new_ratio == 0.1);
    assert_true(s.min_quality_gain == 0.005);
    assert_int_equal(s.quality_depth, 100);
    assert_int_equal(ak_settings_row_bytes(&s), 2048);
}

static void hmoh_has_300_anchors_and_a_divisor_of_8_by_default(void **state)
{
    struct ak_settings s;
    json_t *json, *params;

    (void)state;
    accept(SHOES, &s);
    json = ak_settings_json(&s);
    params = json_object_get(json_object_get(json, "model"), "params");
    assert_int_equal(
        json_integer_value(json_object_get(params, "kernel_anchors")), 300);
    assert_true(
        json_number_value(json_object_get(params, "bandwidth_divisor")) == 8);
    assert_true(json_object_size(params) >= 3);
    json_decref(json);
}

static void every_field_is_read(void **state)
{
    struct ak_settings s;

    (void)state;
    accept("{\"description\":\"boots\",\"bits\":32,\"ids\":\"string\","
           "\"model\":{\"kind\":\"hmoh\","
           "\"params\":{\"seed\":7,\"kernel_anchors\":0}},"
           "\"features\":{\"dim\":784,\"store\":\"f16\"},"
           "\"extractor\":\"pixels-28x28x1\",\"images\":{\"store\":"
           "\"original\"},\"labels\":{\"mode\":\"multi\",\"max\":10},"
           "\"publish\":{\"policy\":\"quality\",\"every_batches\":5,"
           "\"min_new_ratio\":1,\"min_quality_gain\":0.25,"
           "\"map_depth\":1000}}",
           &s);
    assert_string_equal(s.description, "boots");
    assert_int_equal(s.bits, 32);
    assert_true(s.string_ids);
    assert_int_equal(s.seed, 7);
    assert_int_equal(s.dim, 784);
    assert_int_equal(s.format, AK_FORMAT_F16);
    assert_string_equal(s.extractor, "pixels-28x28x1");
    assert_true(s.keep_images);
    assert_true(s.multi_label);
    assert_int_equal(s.max_labels, 10);
    assert_int_equal(s.policy, AK_POLICY_QUALITY);
    assert_int_equal(s.every_batches, 5);
    assert_true(s.min_new_ratio == 1.0);
    assert_true(s.min_quality_gain == 0.25);
    assert_int_equal(s.quality_depth, 1000);
    assert_int_equal(ak_settings_row_bytes(&s), 1568);
}

static void an_extractor_decides_the_dimension(void **state)
{
    struct ak_settings s;

    (void)state;
    accept("{\"bits\":64,\"model\":{\"kind\":\"lsh\"},"
           "\"extractor\":\"pixels-8x4x3\"}",
           &s);
    assert_int_equal(s.dim, 96);
    refuse("{\"bits\":64,\"model\":{\"kind\":\"lsh\"},"
           "\"features\":{\"dim\":95},\"extractor\":\"pixels-8x4x3\"}",
           "dim-mismatch", "/features/dim");
}

#define AUTOMATIC                                                            \
    "{\"bits\":8,\"model\":{\"kind\":\"hmoh\"},\"features\":{\"dim\":4},"    \
    "\"extractor\":{\"name\":\"cnn\",\"version\":2},"                        \
    "\"images\":{\"store\":\"original\"},\"finetune\":{\"policy\":\"auto\"," \
    "\"every_images\":50,\"on_drift\":false,\"cooldown_seconds\":7,"         \
    "\"params\":{\"epochs\":3,\"batch\":16,\"rate\":0.5,"                    \
    "\"splits\":{\"search\":0.2,\"gate\":0.3,\"seed\":4}},"                  \
    "\"budget\":{\"seconds\":60,\"threads\":2,\"memory_bytes\":1000000000}," \
    "\"gate\":{\"max_accuracy_loss\":0.1,\"max_map_loss\":0.2,"              \
    "\"min_accuracy\":0.3,\"min_map\":0.4,\"min_map_gain\":-0.25,"           \
    "\"max_quality_loss\":0.5}}}"

static void a_policy_of_fine_tuning_is_read(void **state)
{
    struct ak_settings s;

    (void)state;
    accept(AUTOMATIC, &s);
    assert_true(s.finetune.automatic);
    assert_false(s.finetune.on_drift);
    assert_int_equal(s.finetune.every_images, 50);
    assert_int_equal(s.finetune.cooldown_seconds, 7);
    assert_int_equal(s.finetune.epochs, 3);
    assert_int_equal(s.finetune.batch, 16);
    assert_true(s.finetune.rate == 0.5);
    assert_true(s.finetune.seconds == 60);
    assert_int_equal(s.finetune.threads, 2);
    assert_int_equal(s.finetune.memory_bytes, 1000000000);
    assert_true(s.finetune.max_accuracy_loss == 0.1);
    assert_true(s.finetune.max_map_loss == 0.2);
    assert_true(s.finetune.min_accuracy == 0.3);
    assert_true(s.finetune.min_map == 0.4);
    assert_true(s.finetune.min_map_gain == -0.25);
    assert_true(s.finetune.search_share == 0.2);
    assert_true(s.finetune.gate_share == 0.3);
    assert_int_equal(s.finetune.split_seed, 4);
    assert_true(s.finetune.max_quality_loss == 0.5);
    accept(SHOES, &s);
    assert_false(s.finetune.automatic);
    assert_true(s.finetune.on_drift);
    assert_int_equal(s.finetune.every_images, 1000);
    assert_int_equal(s.finetune.cooldown_seconds, 3600);
    assert_int_equal(s.finetune.threads, 0);
    assert_true(s.finetune.rate == 0.02);
    assert_true(s.finetune.gate_share == 0.1);
    assert_true(s.finetune.min_map_gain == 0);
}

static void kind_external_stores_codes_only(void **state)
{
    struct ak_settings s;

    (void)state;
    accept("{\"bits\":72,\"model\":{\"kind\":\"external\"}}", &s);
    assert_int_equal(s.dim, 0);
    assert_int_equal(s.format, AK_FORMAT_CODE);
    assert_int_equal(ak_settings_row_bytes(&s), 9);
    refuse("{\"bits\":72,\"model\":{\"kind\":\"external\"},"
           "\"features\":{\"dim\":5}}",
           "unsupported-option", "/features");
    refuse("{\"bits\":72,\"model\":{\"kind\":\"external\","
           "\"params\":{\"seed\":1}}}",
           "unknown-field", "/model/params/seed");
    refuse("{\"bits\":72,\"model\":{\"kind\":\"external\"},"
           "\"extractor\":\"pixels-8x4x3\"}",
           "unsupported-option", "/extractor");
}

#define HEAD(kind, head, extractor)                                         \
    "{\"bits\":64,\"model\":{\"kind\":\"" kind "\",\"head\":\"" head "\"}," \
    "\"extractor\":" extractor "}"

static void only_a_network_and_hcdh_have_a_head(void **state)
{
    static const char at[] = "/model/head", bad[] = "unsupported-option";
    struct ak_settings s, again;
    char *text;

    (void)state;
    accept(HEAD("hcdh", "network", "{\"name\":\"cnn\",\"version\":3}"), &s);
    assert_true(s.head);
    s.dim = 8; /* as its extractor says */
    text = ak_settings_text(&s);
    assert_non_null(strstr(text, "\"head\":\"network\""));
    accept(text, &again);
    assert_memory_equal(&s, &again, sizeof(s));
    free(text);
    accept(HEAD("hcdh", "learnt", "{\"name\":\"cnn\",\"version\":3}"), &again);
    assert_false(again.head);
    again.dim = 8;
    assert_true(ak_settings_same_extractor(&s, &again));
    /* What is learnt is not said, as before there was another. */
    text = ak_settings_text(&again);
    assert_null(strstr(text, "head"));
    free(text);
    ak_settings_take_model(&again, &s);
    assert_true(again.head);
    accept(HEAD("hcdh", "learnt", "{\"name\":\"cnn\",\"version\":4}"), &again);
    assert_false(ak_settings_same_extractor(&s, &again));
    refuse(HEAD("hmoh", "network", "\"cnn\""), bad, at);
    refuse(HEAD("hcdh", "network", "\"pixels-8x8x1\""), bad, at);
    refuse(HEAD("hcdh", "network", "null,\"features\":{\"dim\":8}"), bad, at);
    refuse(HEAD("hcdh", "other", "\"cnn\""), bad, at);
}

static void each_broken_rule_is_told_with_its_place(void **state)
{
    static const char hmoh[] = "\"model\":{\"kind\":\"hmoh\"}";
    static const char dim[] = "\"features\":{\"dim\":4}";
    static const struct {
        const char *body; /* %1 is hmoh, %2 is dim */
        const char *slug, *pointer;
    } cases[] = {
        {"{M,F}", "validation-failed", "/bits"},
        {"{\"bits\":12,M,F}", "validation-failed", "/bits"},
        {"{\"bits\":0,M,F}", "validation-failed", "/bits"},
        {"{\"bits\":1032,M,F}", "validation-failed", "/bits"},
        {"{\"bits\":8.0,M,F}", "validation-failed", "/bits"},
        {"{\"bits\":8,F}", "validation-failed", "/model/kind"},
        {"{\"bits\":8,M}", "validation-failed", "/features/dim"},
        {"{\"bits\":8,M,F,\"a/b~\":1}", "unknown-field", "/a~1b~0"},
        {"{\"bits\":8,M,F,\"ids\":\"uuid\"}", "unsupported-option", "/ids"},
        {"{\"bits\":8,M,F,\"ids\":5}", "validation-failed", "/ids"},
        {"{\"bits\":8,M,\"features\":[]}", "validation-failed", "/features"},
        {"{\"bits\":8,M,\"features\":{\"dim\":0}}", "validation-failed",
         "/features/dim"},
        {"{\"bits\":8,M,\"features\":{\"dim\":65537}}", "validation-failed",
         "/features/dim"},
        {"{\"bits\":8,M,\"features\":{\"dim\":4,\"store\":\"f64\"}}",
         "unsupported-option", "/features/store"},
        {"{\"bits\":8,M,\"features\":{\"dim\":4,\"size\":1}}", "unknown-field",
         "/features/size"},
        {"{\"bits\":8,F,M,\"publish\":{\"rebuild_at_debt\":2}}",
         "validation-failed", "/publish/rebuild_at_debt"},
        {"{\"bits\":8,F,\"model\":{\"kind\":\"lsh\"},\"publish\":{"
         "\"rebuild_at_debt\":0.5}}",
         "unsupported-option", "/publish/rebuild_at_debt"},
        {"{\"bits\":8,F,\"model\":{\"kind\":\"bsodh\"}}", "unsupported-option",
         "/model/kind"},
        {"{\"bits\":8,F,\"model\":{\"kind\":\"hmoh\",\"extra\":1}}",
         "unknown-field", "/model/extra"},
        {"{\"bits\":8,F,\"model\":{\"kind\":\"hmoh\",\"params\":{\"x\":1}}}",
         "unknown-field", "/model/params/x"},
        {"{\"bits\":8,F,\"model\":{\"kind\":\"hmoh\","
         "\"params\":{\"seed\":-1}}}",
         "validation-failed", "/model/params/seed"},
        {"{\"bits\":8,F,\"model\":{\"kind\":\"hmoh\","
         "\"params\":{\"kernel_anchors\":1.5}}}",
         "validation-failed", "/model/params/kernel_anchors"},
        {"{\"bits\":8,F,\"model\":{\"kind\":\"hmoh\","
         "\"params\":{\"kernel_anchors\":-3}}}",
         "validation-failed", "/model/params/kernel_anchors"},
        {"{\"bits\":8,M,F,\"extractor\":\"Res Net\"}", "validation-failed",
         "/extractor"},
        {"{\"bits\":8,M,F,\"extractor\":{\"version\":1}}", "validation-failed",
         "/extractor/name"},
        {"{\"bits\":8,M,F,\"extractor\":{\"name\":\"pixels-8x8x1\"}}",
         "validation-failed", "/extractor/name"},
        {"{\"bits\":8,M,F,\"extractor\":{\"name\":\"cnn\",\"version\":0}}",
         "validation-failed", "/extractor/version"},
        {"{\"bits\":8,M,F,\"extractor\":{\"name\":\"cnn\",\"layer\":1}}",
         "unknown-field", "/extractor/layer"},
        {"{\"bits\":8,M,\"extractor\":\"pixels-0x28x1\"}", "validation-failed",
         "/extractor"},
        {"{\"bits\":8,M,F,\"extractor\":3}", "validation-failed", "/extractor"},
        {"{\"bits\":8,M,F,\"images\":{\"store\":\"thumb\"}}",
         "unsupported-option", "/images/store"},
        {"{\"bits\":8,M,F,\"labels\":{\"mode\":\"many\"}}",
         "unsupported-option", "/labels/mode"},
        {"{\"bits\":8,M,F,\"labels\":{\"max\":0}}", "validation-failed",
         "/labels/max"},
        {"{\"bits\":8,M,F,\"publish\":{\"policy\":\"often\"}}",
         "unsupported-option", "/publish/policy"},
        {"{\"bits\":8,M,F,\"publish\":{\"every_batches\":0}}",
         "validation-failed", "/publish/every_batches"},
        {"{\"bits\":8,M,F,\"publish\":{\"min_new_ratio\":-0.1}}",
         "validation-failed", "/publish/min_new_ratio"},
        {"{\"bits\":8,M,F,\"publish\":{\"min_quality_gain\":\"1\"}}",
         "validation-failed", "/publish/min_quality_gain"},
        {"{\"bits\":8,M,F,\"publish\":{\"map_depth\":4097}}",
         "validation-failed", "/publish/map_depth"},
        {"{\"bits\":8,F,\"model\":{\"kind\":\"lsh\"},"
         "\"publish\":{\"policy\":\"quality\"}}",
         "unsupported-option", "/publish/policy"},
        {"{\"bits\":8,F,\"model\":{\"kind\":\"lsh\"},"
         "\"publish\":{\"policy\":\"every_batches\"}}",
         "unsupported-option", "/publish/policy"},
        {"{\"bits\":8,M,F,\"description\":null}", "validation-failed",
         "/description"},
        {"{\"bits\":8,M,F,\"finetune\":[]}", "validation-failed", "/finetune"},
        {"{\"bits\":8,M,F,\"finetune\":{\"often\":1}}", "unknown-field",
         "/finetune/often"},
        {"{\"bits\":8,M,F,\"finetune\":{\"policy\":\"always\"}}",
         "validation-failed", "/finetune/policy"},
        {"{\"bits\":8,M,F,\"finetune\":{\"every_images\":0}}",
         "validation-failed", "/finetune/every_images"},
        {"{\"bits\":8,M,F,\"finetune\":{\"on_drift\":1}}", "validation-failed",
         "/finetune/on_drift"},
        {"{\"bits\":8,M,F,\"finetune\":{\"cooldown_seconds\":-1}}",
         "validation-failed", "/finetune/cooldown_seconds"},
        {"{\"bits\":8,M,F,\"finetune\":{\"params\":{\"arch\":\"tiny\"}}}",
         "unknown-field", "/finetune/params/arch"},
        {"{\"bits\":8,M,F,\"finetune\":{\"budget\":{\"memory_bytes\":5}}}",
         "validation-failed", "/finetune/budget/memory_bytes"},
        {"{\"bits\":8,M,F,\"finetune\":{\"params\":{"
         "\"splits\":{\"gate\":1}}}}",
         "validation-failed", "/finetune/params/splits/gate"},
        {"{\"bits\":8,M,F,\"finetune\":{\"gate\":{\"min_map_gain\":\"x\"}}}",
         "validation-failed", "/finetune/gate/min_map_gain"},
        {"{\"bits\":8,M,F,\"finetune\":{\"gate\":{\"min_map\":2}}}",
         "validation-failed", "/finetune/gate/min_map"},
        {"{\"bits\":8,M,F,\"finetune\":{\"gate\":{"
         "\"max_quality_loss\":-1}}}",
         "validation-failed", "/finetune/gate/max_quality_loss"},
        {"{\"bits\":8,M,F,\"finetune\":{\"gate\":null}}", "validation-failed",
         "/finetune/gate"},
        /* No network; no images; no learner. */
        {"{\"bits\":8,M,F,\"images\":{\"store\":\"original\"},"
         "\"finetune\":{\"policy\":\"auto\"}}",
         "unsupported-option", "/finetune/policy"},
        {"{\"bits\":8,M,\"extractor\":\"pixels-8x8x1\","
         "\"images\":{\"store\":\"original\"},"
         "\"finetune\":{\"policy\":\"auto\"}}",
         "unsupported-option", "/finetune/policy"},
        {"{\"bits\":8,M,F,\"extractor\":\"cnn\","
         "\"finetune\":{\"policy\":\"auto\"}}",
         "unsupported-option", "/finetune/policy"},
        {"{\"bits\":8,\"model\":{\"kind\":\"lsh\"},F,"
         "\"extractor\":\"cnn\",\"images\":{\"store\":\"original\"},"
         "\"finetune\":{\"policy\":\"auto\"}}",
         "unsupported-option", "/finetune/policy"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[512] = "";
        size_t at = 0;

        for (const char *p = cases[i].body; *p != '\0'; p++) {
            const char *piece = *p == 'M' ? hmoh : *p == 'F' ? dim : NULL;

            if (piece != NULL)
                at +=
                    (size_t)snprintf(text + at, sizeof(text) - at, "%s", piece);
            else
                at += (size_t)snprintf(text + at, sizeof(text) - at, "%c", *p);
        }
        refuse(text, cases[i].slug, cases[i].pointer);
    }
}

static void a_description_has_at_most_1024_bytes(void **state)
{
    char text[2048];
    struct ak_settings s;
    struct ak_fault error;

    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        int n = snprintf(text, sizeof(text),
                         "{\"bits\":8,\"model\":{\"kind\":\"lsh\"},"
                         "\"features\":{\"dim\":4},\"description\":\"%0*d\"}",
                         1024 + extra, 0);

        assert_true(n > 0 && n < (int)sizeof(text));
        assert_status(parse(text, &s, &error), extra ? AK_EINVAL : AK_OK);
    }
    assert_string_equal(error.pointer, "/description");
}

static void a_name_outside_the_rule_is_refused(void **state)
{
    static const char long_name[] = "a123456789012345678901234567890123456789"
                                    "012345678901234567890123";
    static const char *const bad[] = {"",    "-a", "_a", "A",  "a b",
                                      "a/b", "ä",  "a.", "..", long_name};
    json_t *body = json_loads(SHOES, 0, NULL);
    struct ak_settings s;
    struct ak_fault error;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_status(ak_settings_parse(bad[i], body, &s, &error), AK_EINVAL);
    assert_status(ak_settings_parse("0a-_z", body, &s, &error), AK_OK);
    json_decref(body);
}

static void the_text_of_settings_parses_to_the_same_settings(void **state)
{
    static const char *const bodies[] = {
        SHOES,
        "{\"bits\":1024,\"model\":{\"kind\":\"external\"},"
        "\"ids\":\"string\"}",
        "{\"bits\":8,\"model\":{\"kind\":\"lsh\",\"params\":{\"seed\":9}},"
        "\"extractor\":\"pixels-28x28x1\",\"description\":\"\\u00e4\\\"\"}",
        AUTOMATIC,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct ak_settings s, again;
        char *text, *second;

        accept(bodies[i], &s);
        text = ak_settings_text(&s);
        assert_non_null(text);
        accept(text, &again);
        assert_memory_equal(&s, &again, sizeof(s));
        second = ak_settings_text(&again);
        assert_string_equal(text, second);
        free(second);
        free(text);
    }
}

static void equal_settings_written_differently_have_one_text(void **state)
{
    struct ak_settings a, b;
    char *one, *two;

    (void)state;
    accept(SHOES, &a);
    accept("{\"features\":{\"store\":\"f32\",\"dim\":512},\"extractor\":null,"
           "\"model\":{\"params\":{\"kernel_anchors\":300.0},\"kind\":\"hmoh\"}"
           ",\"bits\":64,\"publish\":{\"policy\":\"manual\"}}",
           &b);
    one = ak_settings_text(&a);
    two = ak_settings_text(&b);
    assert_string_equal(one, two);
    free(two);
    free(one);
}

static enum ak_status patch(struct ak_settings *s, const char *text,
                            struct ak_fault *error)
{
    json_t *body = json_loads(text, JSON_DECODE_ANY, NULL);
    enum ak_status status;

    assert_non_null(body);
    status = ak_settings_patch(s, body, error);
    json_decref(body);
    return status;
}

static void a_patch_changes_policy_and_description(void **state)
{
    struct ak_settings s;
    struct ak_fault error;

    (void)state;
    accept(SHOES, &s);
    assert_status(patch(&s,
                        "{\"publish\":{\"policy\":\"every_batches\","
                        "\"every_batches\":7},\"description\":\"new\"}",
                        &error),
                  AK_OK);
    assert_int_equal(s.policy, AK_POLICY_EVERY_BATCHES);
    assert_int_equal(s.every_batches, 7);
    assert_string_equal(s.description, "new");

    /* What is not named stays, and null goes back to the default. */
    assert_status(patch(&s, "{\"publish\":{\"policy\":\"manual\"}}", &error),
                  AK_OK);
    assert_int_equal(s.every_batches, 7);
    assert_status(patch(&s, "{\"description\":null,\"publish\":null}", &error),
                  AK_OK);
    assert_string_equal(s.description, "");
    assert_int_equal(s.every_batches, 50);
    assert_string_equal(s.name, "shoes");
}

static void a_patch_of_what_is_fixed_changes_nothing(void **state)
{
    static const struct {
        const char *text, *slug, *pointer;
    } cases[] = {
        {"{\"bits\":32}", "validation-failed", "/bits"},
        {"{\"ids\":\"string\",\"description\":\"x\"}", "validation-failed",
         "/ids"},
        {"{\"labels\":{\"max\":5}}", "validation-failed", "/labels"},
        {"{\"model\":{\"params\":{\"seed\":5}}}", "validation-failed",
         "/model"},
        {"{\"bits\":null}", "validation-failed", "/bits"},
        {"{\"color\":1}", "unknown-field", "/color"},
        {"{\"publish\":{\"policy\":\"best\"}}", "unsupported-option",
         "/publish/policy"},
        {"[]", "validation-failed", ""},
    };
    struct ak_settings s, before;
    struct ak_fault error;

    (void)state;
    accept(SHOES, &s);
    before = s;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_status(patch(&s, cases[i].text, &error), AK_EINVAL);
        assert_string_equal(error.code, cases[i].slug);
        assert_string_equal(error.pointer, cases[i].pointer);
        assert_memory_equal(&s, &before, sizeof(s));
    }
    /* Naming a fixed field with its own value asks for no change. */
    assert_status(patch(&s, "{\"bits\":64}", &error), AK_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_gets_its_default),
        cmocka_unit_test(hmoh_has_300_anchors_and_a_divisor_of_8_by_default),
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(an_extractor_decides_the_dimension),
        cmocka_unit_test(a_policy_of_fine_tuning_is_read),
        cmocka_unit_test(kind_external_stores_codes_only),
        cmocka_unit_test(only_a_network_and_hcdh_have_a_head),
        cmocka_unit_test(each_broken_rule_is_told_with_its_place),
        cmocka_unit_test(a_description_has_at_most_1024_bytes),
        cmocka_unit_test(a_name_outside_the_rule_is_refused),
        cmocka_unit_test(the_text_of_settings_parses_to_the_same_settings),
        cmocka_unit_test(equal_settings_written_differently_have_one_text),
        cmocka_unit_test(a_patch_changes_policy_and_description),
        cmocka_unit_test(a_patch_of_what_is_fixed_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
