/* Every tensor of a file that is accepted lies in its bytes. */
#include "core/nn/safetensors.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ak_safetensors st = {0};
    struct ak_err err = {0};

    if (ak_safetensors_parse(data, size, &st, &err) != AK_OK) {
        FUZZ_CHECK(err.text[0] != '\0' && st.tensors == NULL);
        return 0;
    }
    for (size_t i = 0; i < st.n; i++) {
        const struct ak_tensor *t = &st.tensors[i];
        float *values = malloc(t->n * sizeof(*values) + 1);

        FUZZ_CHECK(t->data >= data + 8 && t->data <= data + size);
        FUZZ_CHECK(t->end - t->begin <= (uint64_t)(data + size - t->data));
        FUZZ_CHECK(ak_safetensors_find(&st, t->name) == t);
        FUZZ_CHECK(values != NULL);
        if (ak_tensor_floats(t, values, NULL) == AK_OK)
            for (uint64_t k = 0; k < t->n; k++)
                FUZZ_CHECK(values[k] - values[k] == 0.0f);
        free(values);
    }
    ak_safetensors_clear(&st);
    return 0;
}
