/* extractor.h -- where the commands `akin extractor` have a network from. */
#ifndef AK_CLIENT_EXTRACTOR_H
#define AK_CLIENT_EXTRACTOR_H

#include "client/tool.h"
#include "core/nn/model.h"

/* A .akx file.  EXIT_OK, or the code of what was said. */
int extractor_open(const char *path, struct ak_model *out);

/*
 * An architecture with values of a safetensors file: as its author saved it, or
 * quantised with a graph.json, which is `graph`, or NULL for the file's name
 * with .graph.json in place of .safetensors.
 */
int extractor_import(const char *arch, const char *weights, const char *graph,
                     struct ak_model *out);

/*
 * The model file of a version that the daemon has (0: the published one), to be
 * freed, and read as a model.
 */
int extractor_fetch(struct tool *tool, const char *name, uint64_t version,
                    void **bytes, size_t *len);
int extractor_fetch_model(struct tool *tool, const char *name, uint64_t version,
                          struct ak_model *out);
/* "/v1/extractors/NAME" with what follows, to be freed; NULL: no memory. */
char *extractor_path(const char *name, const char *rest);

/* All or nothing. */
int extractor_save(const char *path, const struct ak_model *model);

#endif
