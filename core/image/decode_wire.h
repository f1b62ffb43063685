/*
 * decode_wire.h -- how a file and its pixels travel to a process that decodes.
 *
 * One socket of messages (SOCK_SEQPACKET) and one piece of shared memory, both
 * inherited under the numbers below.  The decoder says hello once, when nothing
 * that it must do without is left.  Then, for each image: the bytes of the file
 * are put at the start of the shared memory and a request is sent; a reply comes
 * back, and when its status is AK_OK the pixels are where the file was.
 *
 * Both ends are built together, so the structs go as they are; the version
 * catches a daemon that runs on while its decoder was replaced on the disk.
 * Whatever the asker reads of a reply is checked: a decoder may have been taken
 * over by what it decoded.
 */
#ifndef AK_CORE_IMAGE_DECODE_WIRE_H
#define AK_CORE_IMAGE_DECODE_WIRE_H

#include <stdint.h>

#include "core/base/err.h"
#include "core/image/decode.h"

enum { AK_DECODE_VERSION = 1 };
enum { AK_DECODE_SOCKET = 3, AK_DECODE_SHARED = 4 }; /* file descriptors */

struct ak_decode_hello {
    uint32_t version;
};

struct ak_decode_request {
    uint64_t number; /* comes back in the reply */
    uint64_t len;    /* of the file */
    uint32_t hint_w, hint_h;
    struct ak_image_limits limits;
};

struct ak_decode_reply {
    uint64_t number;
    uint32_t status; /* enum ak_status, as ak_image_decode() returns it */
    uint32_t width, height, channels;
    char text[AK_ERR_TEXT]; /* why not; empty with AK_OK */
};

#endif
