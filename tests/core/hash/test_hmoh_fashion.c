/* The same on Fashion-MNIST; measured .666 with 32 bits, mean of 3 seeds. */
#include "tests/test.h"

#include "tests/core/hash/protocol.h"
#include "tests/data.h"

#define SET "fashion-mnist"

static void hmoh_reaches_its_map_on_fashion_mnist(void **state)
{
    (void)state;
    assert_between(protocol_map(SET, "hmoh", 3), .64, .70);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmoh_reaches_its_map_on_fashion_mnist),
    };
    char path[512];

    if (ak_test_data(SET, path, sizeof(path)) == NULL)
        return ak_test_skip_all("hmoh_reaches_its_map_on_fashion_mnist",
                                "Debian's dataset-fashion-mnist is absent");
    return cmocka_run_group_tests_name("hmoh on Fashion-MNIST", tests, NULL,
                                       NULL);
}
