/*
 * accept.h -- the thread that takes connections off a listening socket.
 *
 * libmicrohttpd could do so itself: then each of its threads takes up to ten at a
 * time, and clients that come together are all served by the thread that was awake
 * first.  Here one thread takes them and gives each to `give`.
 *
 * While there are `limit` connections no more are taken: they wait in the kernel.
 * While files or memory are short, the next is taken when one has ended, or a
 * moment later.
 */
#ifndef AK_SERVER_ACCEPT_H
#define AK_SERVER_ACCEPT_H

#include <stdbool.h>
#include <sys/socket.h>

#include "core/base/err.h"

struct ak_accept;

/* Takes over `fd`, which does not block; false: it is closed and does not count. */
typedef bool ak_accept_give_fn(void *arg, int fd,
                               const struct sockaddr *address, socklen_t len);

/* `fd` listens and does not block; it stays the caller's.  AK_ENOMEM, AK_EIO. */
enum ak_status ak_accept_start(int fd, unsigned limit, ak_accept_give_fn *give,
                               void *arg, struct ak_accept **out,
                               struct ak_err *err) AK_MUST_CHECK;

/* A connection that was given has ended. */
void ak_accept_ended(struct ak_accept *accept);

/* From here on none is taken; connections may still end. */
void ak_accept_stop(struct ak_accept *accept);

/* After it was stopped; NULL is fine. */
void ak_accept_destroy(struct ak_accept *accept);

#endif
