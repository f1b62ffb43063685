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

/* All or nothing. */
int extractor_save(const char *path, const struct ak_model *model);

#endif
