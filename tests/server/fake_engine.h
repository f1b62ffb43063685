/*
 * fake_engine.h -- the few functions of the engine that the HTTP server asks,
 * answering what a test wants.
 */
#ifndef AK_TESTS_SERVER_FAKE_ENGINE_H
#define AK_TESTS_SERVER_FAKE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "server/engine.h"

struct ak_engine {
    atomic_bool loading, read_only, full, disk_low;
    atomic_uint collections; /* named c0, c1, ... */
    atomic_int references;   /* to collections, not dropped yet */
};

#endif
