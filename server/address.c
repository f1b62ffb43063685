#include "server/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

/* "7337"; -1 when it is no port. */
static long parse_port(const char *text)
{
    char *end;
    long port;

    if (text[0] < '0' || text[0] > '9')
        return -1;
    port = strtol(text, &end, 10);
    return *end == '\0' && port <= 65535 ? port : -1;
}

static enum ak_status parse_unix(const char *path, struct ak_address *out,
                                 struct ak_err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    if (path[0] != '/')
        return ak_fail(err, AK_EINVAL,
                       "listen is \"unix:%s\", the path must begin with /",
                       path);
    if (strlen(path) >= sizeof(un.sun_path))
        return ak_fail(err, AK_EINVAL,
                       "listen has a socket path of %zu bytes, at most %zu",
                       strlen(path), sizeof(un.sun_path) - 1);
    strcpy(un.sun_path, path);
    memcpy(&out->socket, &un, sizeof(un));
    out->len = sizeof(un);
    return AK_OK;
}

enum ak_status ak_address_parse(const char *text, struct ak_address *out,
                                struct ak_err *err)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    const char *colon = strrchr(text, ':');
    char host[64];
    size_t len;
    long port;

    memset(out, 0, sizeof(*out));
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, out, err);
    len = colon ? (size_t)(colon - text) : 0;
    if (len == 0 || len >= sizeof(host) || (port = parse_port(colon + 1)) < 0)
        return ak_fail(err, AK_EINVAL,
                       "listen is \"%s\", must be ADDRESS:PORT, [ADDRESS]:PORT "
                       "or unix:/PATH",
                       text);
    memcpy(host, text, len);
    host[len] = '\0';
    if (strcmp(host, "localhost") == 0)
        strcpy(host, "127.0.0.1");
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        if (inet_pton(AF_INET6, host + 1, &in6.sin6_addr) != 1)
            return ak_fail(err, AK_EINVAL,
                           "listen is \"%s\", [%s] is no IPv6 address", text,
                           host + 1);
        if (!IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr))
            goto outside;
        in6.sin6_port = htons((uint16_t)port);
        memcpy(&out->socket, &in6, sizeof(in6));
        out->len = sizeof(in6);
        return AK_OK;
    }
    if (inet_pton(AF_INET, host, &in4.sin_addr) != 1)
        return ak_fail(err, AK_EINVAL,
                       "listen is \"%s\", \"%s\" is no IPv4 address (IPv6 goes "
                       "in brackets)",
                       text, host);
    if (ntohl(in4.sin_addr.s_addr) >> 24 != 127)
        goto outside;
    in4.sin_port = htons((uint16_t)port);
    memcpy(&out->socket, &in4, sizeof(in4));
    out->len = sizeof(in4);
    return AK_OK;

outside:
    return ak_fail(err, AK_EINVAL,
                   "listen is \"%s\", must be a loopback address (127.0.0.1, "
                   "[::1]) or unix:/PATH: without keys everyone who can reach "
                   "it could read and change all",
                   text);
}

/* Remove a socket that a daemon left behind; one that is alive stays. */
static enum ak_status clear_unix(const struct ak_address *a, int fd,
                                 struct ak_err *err)
{
    struct sockaddr_un un;
    struct stat st;

    memcpy(&un, &a->socket, sizeof(un));
    if (lstat(un.sun_path, &st) != 0)
        return AK_OK;
    if (!S_ISSOCK(st.st_mode))
        return ak_fail(err, AK_EIO, "%s exists and is no socket", un.sun_path);
    if (connect(fd, (const struct sockaddr *)&a->socket, a->len) == 0)
        return ak_fail(err, AK_EIO, "%s: somebody listens there already",
                       un.sun_path);
    if (unlink(un.sun_path) != 0 && errno != ENOENT)
        return ak_fail(err, AK_EIO, "%s: %s", un.sun_path, strerror(errno));
    return AK_OK;
}

enum ak_status ak_address_listen(struct ak_address *address, int *fd,
                                 struct ak_err *err)
{
    int family = address->socket.ss_family, one = 1, s;
    char text[AK_ADDRESS_TEXT];
    enum ak_status status;

    ak_address_format(address, text);
    if (family == AF_UNIX) {
        s = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s < 0)
            return ak_fail(err, AK_EIO, "socket: %s", strerror(errno));
        status = clear_unix(address, s, err);
        close(s);
        if (status != AK_OK)
            return status;
    }
    s = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return ak_fail(err, AK_EIO, "socket: %s", strerror(errno));
    if (family != AF_UNIX)
        setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(s, (const struct sockaddr *)&address->socket, address->len) != 0 ||
        listen(s, BACKLOG) != 0) {
        status = ak_fail(err, AK_EIO, "cannot listen on %s: %s", text,
                         strerror(errno));
        close(s);
        return status;
    }
    if (family != AF_UNIX) {
        address->len = sizeof(address->socket);
        if (getsockname(s, (struct sockaddr *)&address->socket,
                        &address->len) != 0) {
            status = ak_fail(err, AK_EIO, "getsockname: %s", strerror(errno));
            close(s);
            return status;
        }
    }
    *fd = s;
    return AK_OK;
}

void ak_address_remove(const struct ak_address *address)
{
    struct sockaddr_un un;

    if (address->socket.ss_family != AF_UNIX)
        return;
    memcpy(&un, &address->socket, sizeof(un));
    unlink(un.sun_path);
}

const char *ak_address_format(const struct ak_address *address,
                              char text[AK_ADDRESS_TEXT])
{
    char number[INET6_ADDRSTRLEN] = "?";
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;

    switch (address->socket.ss_family) {
    case AF_INET:
        memcpy(&in4, &address->socket, sizeof(in4));
        inet_ntop(AF_INET, &in4.sin_addr, number, sizeof(number));
        snprintf(text, AK_ADDRESS_TEXT, "%s:%u", number, ntohs(in4.sin_port));
        break;
    case AF_INET6:
        memcpy(&in6, &address->socket, sizeof(in6));
        inet_ntop(AF_INET6, &in6.sin6_addr, number, sizeof(number));
        snprintf(text, AK_ADDRESS_TEXT, "[%s]:%u", number,
                 ntohs(in6.sin6_port));
        break;
    default:
        memcpy(&un, &address->socket, sizeof(un));
        snprintf(text, AK_ADDRESS_TEXT, "unix:%.*s",
                 (int)sizeof(un.sun_path) - 1, un.sun_path);
        break;
    }
    return text;
}

unsigned ak_address_port(const struct ak_address *address)
{
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;

    if (address->socket.ss_family == AF_INET) {
        memcpy(&in4, &address->socket, sizeof(in4));
        return ntohs(in4.sin_port);
    }
    if (address->socket.ss_family == AF_INET6) {
        memcpy(&in6, &address->socket, sizeof(in6));
        return ntohs(in6.sin6_port);
    }
    return 0;
}

bool ak_address_is_loopback_name(const char *name)
{
    struct in_addr in4;

    return strcasecmp(name, "localhost") == 0 ||
           strcasecmp(name, "[::1]") == 0 ||
           (inet_pton(AF_INET, name, &in4) == 1 &&
            ntohl(in4.s_addr) >> 24 == 127);
}
