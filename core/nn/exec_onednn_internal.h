/* exec_onednn_internal.h -- what the files of the engine of oneDNN share. */
#ifndef AK_CORE_NN_EXEC_ONEDNN_INTERNAL_H
#define AK_CORE_NN_EXEC_ONEDNN_INTERNAL_H

#include "core/nn/exec_ops.h"
#include "core/nn/onednn_internal.h"

#define AK_OD_NONE   UINT32_MAX
#define AK_OD_PIECES 64 /* of a channel map in blocks; more go the plain way */

struct ak_od_exec;

/* A layer that runs by code of ours. */
struct ak_od_own {
    struct ak_od_exec *e;
    uint32_t layer;
    struct ak_dn_tensor *x[AK_NN_INPUTS], *y, *dy, *dx[AK_NN_INPUTS];
    ak_real *saved;
    /* A channel map in blocks: runs of channels within one of each side. */
    struct ak_od_piece {
        uint32_t to, from, n; /* channels */
    } pieces[AK_OD_PIECES];
    uint32_t n_pieces;
    size_t value; /* bytes of one */
};

struct ak_od_node {
    struct ak_dn_layer l;
    struct ak_dn_tensor *y; /* NULL: inside of a fused layer */
    struct ak_dn_tensor *dy;
    bool dy_shared; /* others have the memory of dy too */
    bool done;
    bool shared;       /* another layer has the memory of y too */
    uint32_t absorbed; /* by which layer, or AK_OD_NONE */
    uint32_t last;     /* the layer whose output `l` gives */
    uint32_t users;
    struct ak_od_own *own;
    float *stats;  /* (2 c) of a normalisation in training */
    float *folded; /* weights and bias with the normalisation in them */
    uint32_t bn;   /* the folded normalisation, or AK_OD_NONE */
    struct ak_dn_tensor *start; /* gradient given from outside */
    struct ak_dn_list *out;     /* makes `plain` */
    struct ak_dn_tensor *plain;
    bool need; /* its gradient leads to a parameter */
};

struct ak_od_exec {
    struct ak_exec base;
    struct ak_dn *dn;
    struct ak_dn_list *load, *forward, *backward;
    struct ak_od_node *nodes;
    float *values, *grads;
    uint64_t seed;
    bool planned, with_dx;
    struct ak_dn_tensor *dx;
};

const struct ak_layer *ak_od_layer(const struct ak_od_exec *e, uint32_t i);
/* AK_DN_NONE for what is no activation of the library. */
enum ak_dn_act ak_od_act(enum ak_layer_kind kind);
struct ak_dn_window ak_od_window(const struct ak_od_exec *e, uint32_t i);
/* Of the parameter in an array of values or gradients, NULL: it has none. */
float *ak_od_value(float *array, const struct ak_od_exec *e, uint32_t i,
                   enum ak_param_role role);

/* Layers that run by code of ours, and the steps of their gradients. */
enum ak_status ak_od_add_plain(struct ak_od_exec *e, uint32_t i,
                               struct ak_err *err);
enum ak_status ak_od_add_map(struct ak_od_exec *e, uint32_t i,
                             struct ak_err *err);
ak_dn_call_fn ak_od_plain_back, ak_od_map_back;

/* Makes the backward list for gradients from those layers. */
enum ak_status ak_od_plan_backward(struct ak_od_exec *e,
                                   const struct ak_exec_start *starts,
                                   uint32_t n_starts, bool with_dx,
                                   struct ak_err *err);

#endif
