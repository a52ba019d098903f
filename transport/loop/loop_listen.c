/* transport/loop/loop_listen.c: the clients' listening sockets.
 * Why: each worker has its own socket on the same address (SO_REUSEPORT), so
 * the kernel spreads connections. But SO_REUSEPORT would also let a second
 * peer on this host share the port silently, so a socket without it tries the
 * address first.
 * (1) What a client has sent and we have not read is bounded: left to itself the
 *     kernel would keep megabytes of it for each connection, outside of any budget
 *     of ours, and a publisher that is held would learn of it too late. */
#include "transport/loop/loop_impl.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECEIVE_BUFFER = 64 * 1024 }; /* of a client; the kernel doubles it for its own needs */

static dun_err err_of(int code)
{
    if (code == EADDRINUSE) return DUN_E_IN_USE;
    return DUN_E_IO;
}

static dun_err split(const char *spec, char host[DUN_ADDR_MAX + 1], const char **port)
{
    const char *colon = strrchr(spec, ':');
    if (colon == NULL || strlen(spec) > DUN_ADDR_MAX || colon[1] == '\0') return DUN_E_CONFIG;
    size_t n = (size_t)(colon - spec);
    const char *start = spec;
    if (n >= 2 && spec[0] == '[' && spec[n - 1] == ']') {
        start++;
        n -= 2;
    }
    memcpy(host, start, n);
    host[n] = '\0';
    *port = colon + 1;
    return DUN_OK;
}

static int open_one(const struct sockaddr *sa, socklen_t len, bool shared)
{
    int one = 1, buffer = RECEIVE_BUFFER;
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (shared) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer); /* before listen; inherited */
    if (bind(fd, sa, len) != 0) {
        int code = errno;
        close(fd);
        errno = code;
        return -1;
    }
    return fd;
}

/* A second listener of another process shows itself at listen() at the latest. */
static int probe(struct sockaddr *sa, socklen_t len)
{
    int fd = open_one(sa, len, false);
    if (fd < 0) return -1;
    if (listen(fd, 1) != 0 || getsockname(fd, sa, &len) != 0) {
        int code = errno;
        close(fd);
        errno = code;
        return -1;
    }
    close(fd);
    return 0;
}

static dun_err bind_all(struct sockaddr *sa, socklen_t len, uint32_t count, int *fds)
{
    if (probe(sa, len) != 0) return err_of(errno); /* also replaces port 0 */
    for (uint32_t i = 0; i < count; i++) {
        fds[i] = open_one(sa, len, true);
        /* At once, for another's probe takes no notice of who is only bound; the worker raises the
         * backlog when it starts. */
        if (fds[i] >= 0 && listen(fds[i], 1) == 0) continue;
        int code = errno;
        if (fds[i] >= 0) close(fds[i]);
        while (i-- > 0)
            close(fds[i]);
        return err_of(code);
    }
    return DUN_OK;
}

dun_err loop_listen(const char *spec, uint32_t count, int *fds, char addr[DUN_ADDR_MAX + 1],
                    char *why, size_t why_size)
{
    char host[DUN_ADDR_MAX + 1], number[16];
    const char *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *ai = NULL;
    if (split(spec, host, &port) != DUN_OK ||
        getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &ai) != 0) {
        snprintf(why, why_size, "client.listen: \"%.100s\" is not an address; use HOST:PORT", spec);
        return DUN_E_CONFIG;
    }
    struct sockaddr_storage sa;
    socklen_t len = ai->ai_addrlen;
    memcpy(&sa, ai->ai_addr, len);
    freeaddrinfo(ai);
    dun_err e = bind_all((struct sockaddr *)&sa, len, count, fds);
    if (e != DUN_OK) {
        snprintf(why, why_size,
                 e == DUN_E_IN_USE
                     ? "client.listen: %.100s is in use by another process; stop it or choose "
                       "another port with --client"
                     : "client.listen: %.100s cannot be bound; is it an address of this host, and "
                       "may this user bind the port?",
                 spec);
        return e;
    }
    if (getnameinfo((struct sockaddr *)&sa, len, host, sizeof host, number, sizeof number,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return DUN_E_IO;
    snprintf(addr, DUN_ADDR_MAX + 1, strchr(host, ':') == NULL ? "%.100s:%s" : "[%.100s]:%s", host,
             number);
    return DUN_OK;
}
