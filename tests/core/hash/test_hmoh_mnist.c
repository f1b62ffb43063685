/* Mean average precision on MNIST by the protocol of the HMOH paper. */
#include "tests/test.h"

#include "tests/core/hash/protocol.h"
#include "tests/data.h"

#define SET "mnist"

static void hmoh_reaches_its_map_on_mnist(void **state)
{
    (void)state;
    assert_between(protocol_map(SET, "hmoh", 3), .85, .90);
}

static void random_hyperplanes_are_the_floor(void **state)
{
    (void)state;
    assert_between(protocol_map(SET, "lsh", 1), .20, .33);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmoh_reaches_its_map_on_mnist),
        cmocka_unit_test(random_hyperplanes_are_the_floor),
    };
    char path[512];

    if (ak_test_data(SET, path, sizeof(path)) == NULL)
        return ak_test_skip_all("hmoh_reaches_its_map_on_mnist",
                                "no mnist in $AKIN_DATA nor ../shared/data");
    return cmocka_run_group_tests_name("hmoh on MNIST", tests, NULL, NULL);
}
