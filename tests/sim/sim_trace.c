/* tests/sim/sim_trace.c: what a run says: a hash of everything that happened
 * (two runs of a seed must agree on it), readable lines for --events, and the
 * first violation. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>

void sim_hash(struct sim *s, uint64_t v)
{
    uint64_t h = (s->hash ^ v) * 0x9e3779b97f4a7c15u;
    s->hash = h ^ (h >> 29);
}

void sim_hash_bytes(struct sim *s, struct dun_slice b)
{
    size_t i = 0;
    for (; i + 8 <= b.len; i += 8) {
        uint64_t v;
        memcpy(&v, b.data + i, 8);
        sim_hash(s, v);
    }
    uint64_t tail = b.len;
    for (; i < b.len; i++)
        tail = tail << 8 | b.data[i];
    sim_hash(s, tail);
}

static void prefix(const struct sim *s)
{
    printf("[%6" PRIu64 ".%03" PRIu64 "] ", s->now_us / 1000, s->now_us % 1000);
}

void sim_tracef(struct sim *s, const char *fmt, ...)
{
    va_list ap;
    prefix(s);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

void sim_fail(struct sim *s, const char *fmt, ...)
{
    if (s->failed) return; /* the first one is the cause */
    s->failed = true;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->violation, sizeof s->violation, fmt, ap);
    va_end(ap);
    SIM_TRACE(s, "VIOLATION %s", s->violation);
}

static void write_log(void *ctx, enum dun_log_level level, const char *line)
{
    struct sim_peer *p = ctx;
    prefix(p->sim);
    printf("%s %s %s\n", p->name, dun_log_level_name(level), line);
}

void sim_log_init(struct sim *s, struct sim_peer *p)
{
    p->log = (struct dun_log){.write = write_log, .ctx = p};
    p->log.level_min = s->trace ? DUN_LOG_DEBUG : DUN_LOG_ERROR;
    if (!s->trace) p->log.write = NULL;
}
