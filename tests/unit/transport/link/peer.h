/* tests/unit/transport/link/peer.h: a link that records what it is called with,
 * and a raw TCP connection that speaks as much of NNG's protocol as asked. */
#ifndef DUN_TESTS_LINK_PEER_H
#define DUN_TESTS_LINK_PEER_H

#include "base/alloc.h"
#include "base/assert.h"
#include "transport/link/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE_MS = 10000, LOG_MAX = 4096 };

/* All fields below the lock are written by NNG's threads. */
struct peer {
    struct link *link;
    struct dun_log log;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t packets[LINK_PLANES];
    uint64_t lost[LINK_PLANES];
    uint64_t disorder;        /* a packet's leading number is not above the sender's last one */
    uint64_t broken;          /* a packet's bytes are not fill()'s */
    uint64_t first, last[16]; /* numbers; last by the last byte of the sender's name */
    size_t last_len;
    uint64_t from_boot;
    char from[DUN_NAME_MAX + 1];
    char lost_addr[DUN_ADDR_MAX + 1];
    char lines[LOG_MAX];
    uint32_t line_count;
};

static inline uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* A payload that says its number and can be checked: number (if it fits), then a pattern. */
static inline void fill(uint8_t *p, size_t len, uint64_t number)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i * 31 + len);
    if (len >= sizeof number) memcpy(p, &number, sizeof number);
}

static inline bool filled(struct dun_slice b)
{
    for (size_t i = b.len >= 8 ? 8 : 0; i < b.len; i++)
        if (b.data[i] != (uint8_t)(i * 31 + b.len)) return false;
    return true;
}

static inline void peer_on_packet(void *ctx, enum link_plane plane, const char *from_name,
                                  uint64_t from_boot, struct dun_slice b)
{
    struct peer *p = ctx;
    pthread_mutex_lock(&p->lock);
    uint64_t number = 0, *last = &p->last[(uint8_t)from_name[strlen(from_name) - 1] % 16];
    if (b.len >= sizeof number) {
        memcpy(&number, b.data, sizeof number);
        if (p->first == 0) p->first = number;
        if (number != 0 && number <= *last) p->disorder++;
        *last = number;
    }
    if (!filled(b)) p->broken++;
    p->packets[plane]++;
    p->last_len = b.len;
    p->from_boot = from_boot;
    snprintf(p->from, sizeof p->from, "%s", from_name);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static inline void peer_on_lost(void *ctx, enum link_plane plane, const char *addr)
{
    struct peer *p = ctx;
    pthread_mutex_lock(&p->lock);
    p->lost[plane]++;
    snprintf(p->lost_addr, sizeof p->lost_addr, "%s", addr);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static inline void peer_log(void *ctx, enum dun_log_level level, const char *line)
{
    struct peer *p = ctx;
    (void)level;
    pthread_mutex_lock(&p->lock);
    size_t len = strlen(p->lines);
    snprintf(p->lines + len, sizeof p->lines - len, "%s\n", line);
    p->line_count++;
    pthread_mutex_unlock(&p->lock);
}

struct peer_options {
    const char *name;
    const char *gossip, *replication; /* NULL = 127.0.0.1:0 */
    uint64_t boot;
    uint8_t key; /* 0 = none; else a key made of this byte */
};

static inline dun_err peer_try(struct peer *p, const struct peer_options *o, char *why)
{
    memset(p, 0, sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->changed, &attr);
    p->log = (struct dun_log){peer_log, p, DUN_LOG_DEBUG};
    struct link_config c = {
        .name = o->name,
        .boot = o->boot,
        .listen = {o->gossip == NULL ? "127.0.0.1:0" : o->gossip,
                   o->replication == NULL ? "127.0.0.1:0" : o->replication},
        .key_count = o->key != 0,
        .log = &p->log,
        .ctx = p,
        .on_packet = peer_on_packet,
        .on_lost = peer_on_lost,
    };
    memset(c.keys[0], o->key, sizeof c.keys[0]);
    return link_create(&p->link, &c, why, 256);
}

static inline void peer_open(struct peer *p, const struct peer_options *o)
{
    char why[256] = "";
    dun_err e = peer_try(p, o, why);
    if (e != DUN_OK) fail_msg("%s: %s", dun_err_text(e), why);
}

static inline struct timespec in_ms(uint64_t ms)
{
    uint64_t at = now_ms() + ms;
    return (struct timespec){(time_t)(at / 1000), (long)(at % 1000) * 1000000};
}

/* Waits until *@field (guarded by the lock) is at least @want. */
static inline bool peer_wait(struct peer *p, const uint64_t *field, uint64_t want)
{
    struct timespec until = in_ms(DEADLINE_MS);
    pthread_mutex_lock(&p->lock);
    while (*field < want)
        if (pthread_cond_timedwait(&p->changed, &p->lock, &until) == ETIMEDOUT) break;
    bool ok = *field >= want;
    pthread_mutex_unlock(&p->lock);
    return ok;
}

static inline uint64_t peer_read(struct peer *p, const uint64_t *field)
{
    pthread_mutex_lock(&p->lock);
    uint64_t v = *field;
    pthread_mutex_unlock(&p->lock);
    return v;
}

static inline bool peer_logged(struct peer *p, const char *text)
{
    pthread_mutex_lock(&p->lock);
    bool found = strstr(p->lines, text) != NULL;
    pthread_mutex_unlock(&p->lock);
    return found;
}

static inline void peer_close(struct peer *p)
{
    link_destroy(p->link);
    p->link = NULL;
    assert_false(peer_logged(p, "link_stuck"));
}

static inline void pause_ms(long ms)
{
    struct timespec ts = {0, ms * 1000000};
    nanosleep(&ts, NULL);
}

/* Waits until the statistic at @offset of struct link_stats is at least @want. */
static inline bool peer_stat_wait(struct peer *p, size_t offset, uint64_t want)
{
    uint64_t until = now_ms() + DEADLINE_MS;
    for (;;) {
        struct link_stats s;
        uint64_t v;
        link_stats(p->link, &s);
        memcpy(&v, (const char *)&s + offset, sizeof v);
        if (v >= want) return true;
        if (now_ms() >= until) return false;
        pause_ms(1);
    }
}
#define PEER_STAT(p, field, want) \
    assert_true(peer_stat_wait((p), offsetof(struct link_stats, field), (want)))

static inline dun_err peer_send(struct peer *from, enum link_plane plane, const char *addr,
                                const char *to, size_t len, uint64_t number)
{
    static uint8_t bytes[DUN_PACKET_MAX + 1];
    fill(bytes, len, number);
    return link_send(from->link, plane, addr, to, dun_slice(bytes, len));
}

/* Sends until @to has one more packet: the connection stands then. */
static inline void peer_connect(struct peer *from, struct peer *to, enum link_plane plane)
{
    uint64_t had = peer_read(to, &to->packets[plane]);
    assert_int_equal(peer_send(from, plane, link_addr(to->link, plane), "", 4, 0), DUN_OK);
    assert_true(peer_wait(to, &to->packets[plane], had + 1));
}

static inline uint16_t port_of(const char *addr)
{
    return (uint16_t)atoi(strrchr(addr, ':') + 1);
}

static inline struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* What NNG's TCP transport says first: "\0SP\0", protocol (PUSH 0x50, PULL 0x51), zero. */
static const uint8_t hello_push[8] = {0, 'S', 'P', 0, 0, 0x50, 0, 0};
static const uint8_t hello_pull[8] = {0, 'S', 'P', 0, 0, 0x51, 0, 0};

static inline int raw_dial(const char *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = loopback(port_of(addr));
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

/* false: the other side closed it already. */
static inline bool raw_write(int fd, const void *data, size_t len)
{
    return send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* One NNG message: 8 bytes of length, then the bytes. */
static inline bool raw_message(int fd, const void *data, uint64_t len, uint64_t claimed)
{
    uint8_t head[8];
    for (int i = 0; i < 8; i++)
        head[i] = (uint8_t)(claimed >> (56 - 8 * i));
    return raw_write(fd, head, sizeof head) && (len == 0 || raw_write(fd, data, len));
}

/* Reads until the other side closes; false at the deadline. */
static inline bool raw_closed(int fd)
{
    struct timeval tv = {DEADLINE_MS / 1000, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    uint8_t sink[256];
    ssize_t n;
    while ((n = recv(fd, sink, sizeof sink, 0)) > 0) {
    }
    return n == 0 || errno == ECONNRESET;
}

#endif
