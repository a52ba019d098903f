/* tests/sim/sim_trace.c: what a run says: a hash of everything that happened
 * (two runs of a seed must agree on it), readable lines for --events, and the
 * first violation. */
#include "sim.h"

#include "cluster/wire.h"

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

static const char *const frame_names[] = {[WIRE_HELLO] = "HELLO",
                                          [WIRE_STATE] = "STATE",
                                          [WIRE_PREPARE] = "PREPARE",
                                          [WIRE_PREPARE_OK] = "PREPARE_OK",
                                          [WIRE_COMMIT] = "COMMIT",
                                          [WIRE_FORWARD] = "FORWARD",
                                          [WIRE_REFUSE] = "REFUSE",
                                          [WIRE_GET_STATE] = "GET_STATE",
                                          [WIRE_NEW_STATE] = "NEW_STATE",
                                          [WIRE_SNAPSHOT] = "SNAPSHOT",
                                          [WIRE_CAST] = "CAST"};

static void trace_frame(struct sim *s, const char *from, const char *to, const struct wire_frame *f)
{
    static const char *const status[] = {"RECOVERING", "VIEW_CHANGE", "NORMAL"};
    bool standing = f->type == WIRE_STATE || f->type == WIRE_NEW_STATE || f->type == WIRE_SNAPSHOT;
    char text[256] = "";
    if (standing)
        snprintf(text, sizeof text,
                 " %s log_view=%" PRIu64 ".%" PRIu64 " base=%" PRIu64 ".%" PRIu64 "@%" PRIu64,
                 f->status < DUN_COUNT(status) ? status[f->status] : "?", f->log_view.inc & 0xffff,
                 f->log_view.num, f->base.inc & 0xffff, f->base.num, f->base_op);
    sim_tracef(
        s,
        "%s>%s %s group=%u view=%" PRIu64 ".%" PRIu64 "%s head=%" PRIu64 " commit=%" PRIu64
        " first=%" PRIu64 " count=%u snap=%" PRIu64 " offset=%" PRIu64 " of %" PRIu64 " bytes=%zu",
        from, to, frame_names[f->type], f->group, f->view.inc & 0xffff, f->view.num, text, f->head,
        f->commit, f->first_op, f->entry_count, f->snap_op, f->offset, f->total, f->bytes.len);
}

void sim_trace_packet(struct sim *s, const struct sim_packet *p)
{
    static struct wire_frame f; /* large */
    struct wire_header h;
    struct mp_reader r = mp_reader(dun_blob_slice(p->bytes));
    const char *from = s->peers[p->from].name, *to = s->peers[p->to].name;
    if (!s->trace || p->plane != NODE_REPLICATION) return;
    if (wire_read_header(&r, s->o.voters, &h) != DUN_OK) return;
    bool old = h.to_boot != s->peers[p->to].boot;
    if (old) sim_tracef(s, "%s>%s (to boot %" PRIu64 ")", from, to, h.to_boot);
    memset(&f, 0, sizeof f);
    while (wire_read_frame(&r, &f) == DUN_OK) {
        trace_frame(s, from, to, &f);
        memset(&f, 0, sizeof f);
    }
}
