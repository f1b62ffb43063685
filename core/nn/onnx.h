/*
 * onnx.h -- a network as an ONNX file, for other programs to run.
 *
 * ONNX is a protocol-buffer message (onnx/onnx.proto, operator set 13).  The
 * file has one input, "pixels", float (n, c, h, w) of 0..255, planar, which the
 * file normalises itself, and two outputs, "feature" (n, dim) and "scores"
 * (n, classes).  Nodes are named as the layers, initialisers as PyTorch names
 * the parameters.
 */
#ifndef AK_CORE_NN_ONNX_H
#define AK_CORE_NN_ONNX_H

#include "core/nn/model.h"

/* Append the file's bytes to `w`; AK_ENOMEM. */
enum ak_status ak_onnx_write(const struct ak_model *m, struct ak_writer *w,
                             struct ak_err *err) AK_MUST_CHECK;

#endif
