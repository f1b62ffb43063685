/* address.h -- where the daemon listens: a loopback address or a unix socket.
 */
#ifndef AK_SERVER_ADDRESS_H
#define AK_SERVER_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "core/base/err.h"

#define AK_ADDRESS_TEXT 128

struct ak_address {
    struct sockaddr_storage socket;
    socklen_t len;
};

/*
 * "127.0.0.1:7337", "[::1]:0", "localhost:7337", "unix:/run/akind.sock".
 * AK_EINVAL: not one of these, or reachable from outside of the machine, which
 * is refused as long as there are no keys.
 */
enum ak_status ak_address_parse(const char *text, struct ak_address *out,
                                struct ak_err *err) AK_MUST_CHECK;

/*
 * A listening, non-blocking socket; port 0 becomes a free one, and `address`
 * says which.  The file of a unix socket that nobody listens on is replaced.
 * AK_EIO.
 */
enum ak_status ak_address_listen(struct ak_address *address, int *fd,
                                 struct ak_err *err) AK_MUST_CHECK;

/* The file of a unix socket, when the daemon ends. */
void ak_address_remove(const struct ak_address *address);

/* As it would be parsed; the port of TCP, 0 else. */
const char *ak_address_format(const struct ak_address *address,
                              char text[AK_ADDRESS_TEXT]);
unsigned ak_address_port(const struct ak_address *address);

/* Whether a name or number of a Host header, in its brackets if it is IPv6 and
   without a port, is this machine's loopback. */
bool ak_address_is_loopback_name(const char *name);

#endif
