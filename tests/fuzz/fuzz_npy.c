/* Every element of an array that is accepted lies in the bytes. */
#include "server/npy.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ak_npy npy = {0};
    struct ak_err err = {0};

    if (ak_npy_parse(data, size, AK_NPY_BIT(AK_NPY_DTYPES) - 1, &npy, &err) !=
        AK_OK) {
        FUZZ_CHECK(err.text[0] != '\0');
        return 0;
    }
    FUZZ_CHECK(npy.ndim == 1 || npy.ndim == 2);
    FUZZ_CHECK((const uint8_t *)npy.data + npy.n * ak_npy_size(npy.dtype) ==
               data + size);
    for (uint64_t i = 0; i < npy.n; i++) {
        float x;

        if (npy.dtype != AK_NPY_F32)
            (void)ak_npy_integer(&npy, i);
        else if (ak_npy_floats(&npy, i, 1, &x, NULL) == AK_OK)
            FUZZ_CHECK(x - x == 0.0f);
    }
    return 0;
}
