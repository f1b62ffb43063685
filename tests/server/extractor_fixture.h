/* extractor_fixture.h -- small networks as model files, put into an engine. */
#ifndef AK_TESTS_SERVER_EXTRACTOR_FIXTURE_H
#define AK_TESTS_SERVER_EXTRACTOR_FIXTURE_H

#include "server/extractors.h"
#include "tests/server/jobs_fixture.h"

enum { NET_DIM = 8, NET_SIDE = 12 };

/* The bytes of a network that has learnt nothing, of that seed. */
struct ak_writer model_bytes(uint64_t seed);
/* The same in a file of the engine's folder of extractors; its path. */
void model_file(struct ak_engine *e, uint64_t seed,
                char path[AK_EXTRACTORS_PATH]);
void file_of(const char *path, const void *bytes, size_t len);

/* Put, and what came of it; `err` may be NULL. */
enum ak_status put_file(struct ak_engine *e, const char *name, const char *path,
                        uint64_t job, uint32_t *version, struct ak_err *err);
/* A network of that seed as a version of `name`, which it must become. */
uint32_t put_model(struct ak_engine *e, const char *name, uint64_t seed);
enum ak_status remove_extractor(struct ak_engine *e, const char *name,
                                struct ak_err *err);

#endif
