/*
 * encode MODEL DIM N <in >out
 *
 * Codes of N vectors of DIM floats by a model file that a daemon has exported,
 * without the daemon.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/hash/encoder.h"

static void stop(const char *what)
{
    fprintf(stderr, "encode: %s\n", what);
    exit(1);
}

static struct ak_encoder *read_model(const char *path)
{
    struct ak_encoder *e = NULL;
    struct ak_err err = {0};
    FILE *f = fopen(path, "rb");
    long len = 0;
    void *data;

    if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (len = ftell(f)) < 0)
        stop("cannot read the model");
    rewind(f);
    data = malloc((size_t)len + 1);
    if (data == NULL || fread(data, 1, (size_t)len, f) != (size_t)len)
        stop("cannot read the model");
    fclose(f);
    if (ak_encoder_load(data, (size_t)len, &e, &err) != AK_OK)
        stop(err.text);
    free(data);
    return e;
}

int main(int argc, char **argv)
{
    struct ak_encoder_info info;
    struct ak_encoder *e;
    uint8_t *codes;
    void *scratch;
    size_t dim, n;
    float *x;

    if (argc != 4)
        stop("usage: encode MODEL DIM N");
    e = read_model(argv[1]);
    dim = strtoul(argv[2], NULL, 10);
    n = strtoul(argv[3], NULL, 10);
    ak_encoder_info(e, &info);
    if (info.dim != dim)
        stop("the model is of another dimension");
    x = ak_array_new(n * dim, sizeof(*x));
    codes = ak_array_new(n, info.bits / 8);
    scratch = ak_array_new(1, ak_encoder_scratch(e));
    if (x == NULL || codes == NULL || scratch == NULL)
        stop("no memory");
    if (fread(x, sizeof(*x), n * dim, stdin) != n * dim)
        stop("too short an input");
    ak_encoder_encode(e, x, n, codes, scratch);
    if (fwrite(codes, info.bits / 8, n, stdout) != n || fflush(stdout) != 0)
        stop("cannot write");
    ak_array_free(scratch);
    ak_array_free(codes);
    ak_array_free(x);
    ak_ref_drop((struct ak_ref *)e);
    return 0;
}
