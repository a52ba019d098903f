/* cmd/dunlin_bench_overload_load.c: the load of the overload bench, a process of its own.
 * Commands: open (connect all), stop (all stop reading), resume HEAD (all read again, until they
 * have message HEAD), drop (all vanish), publish N (N messages to each of the load's channels),
 * capacity (publish with a window), storm (publish at a rate, whatever the answers).
 * (1) Each storm message has a number; what became of it (acknowledged, refused, delivered) is kept
 *     by number, so that lost and repeated ones show. */
#include "cmd/dunlin_bench_overload.h"

#include "base/alloc.h"
#include "base/assert.h"

#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
    LOAD_PUBLISHERS = 32,
    LOAD_WINDOW = 32, /* publishes in flight of each when the capacity is measured */
    LOAD_CHANNELS_STORM = 4,
    LOAD_LISTENERS = 8, /* of the storm's channels */
    LOAD_CONNECTING_MAX = 128,
    LOAD_TICK_MS = 2,
    LOAD_COMMAND_MS = 100 * 1000,
    LOAD_ANSWER_MS = 60 * 1000,        /* after a storm, until all have their answer */
    LOAD_BATCH_MAX = 4096,             /* messages at one tick */
    LOAD_PUBLISHER_BUFFER = 64 * 1024, /* what the server does not read shows soon as well */
    LOAD_STOPPED_BUFFER = 32 * 1024,   /* so that the server notices a stopped reader soon */
};

enum { WAS_ACKED = 1, WAS_REFUSED = 2, WAS_DELIVERED = 4 };

struct load {
    const struct overload_options *o;
    uv_loop_t loop;
    uv_poll_t poll;
    uv_timer_t tick;
    uv_prepare_t prepare;
    struct crowd listeners, publishers;
    char command[32];
    uint64_t argument, begun_ns, end_ns;
    uint32_t channels;
    char name[OVERLOAD_NAME_MAX + 8];
    struct dun_buf data;
    uint64_t head;              /* of each channel */
    uint64_t sent, answered;    /* messages */
    uint64_t target;            /* stop at this many sent */
    uint64_t acked, base_acked; /* base: when the command began */
    uint64_t base_sent, due, capacity, held_back, repeated;
    uint8_t *fate;
    struct crowd_codes errors;
    int fd;
};

static double command_ms(const struct load *l)
{
    return (double)(crowd_now_ns() - l->begun_ns) / 1e6;
}

/* ---- publishing ---- */

static bool publish_one(struct load *l)
{
    uint64_t n = l->sent;
    char channel[OVERLOAD_NAME_MAX + 32];
    if (n == l->o->message_max) return false;
    (void)snprintf(channel, sizeof channel, "%s%" PRIu64, l->name, n % l->channels);
    l->data.len = 0;
    dun_buf_printf(&l->data, "{\"t\":%" PRIu64 ",\"n\":%" PRIu64 ",\"x\":\"", crowd_now_ns(), n);
    while (l->data.len + 2 < l->o->size)
        dun_buf_byte(&l->data, 'x');
    dun_buf_str(&l->data, "\"}");
    uint32_t start = (uint32_t)(n % l->publishers.o.count);
    for (uint32_t i = 0; i < l->publishers.o.count; i++) {
        struct crowd_conn *c = &l->publishers.conns[(start + i) % l->publishers.o.count];
        if (!crowd_publish(c, dun_slice_str(channel), dun_buf_view(&l->data), (uint32_t)n + 3))
            continue;
        l->sent++;
        return true;
    }
    return false;
}

static void on_answer(void *ctx, struct crowd_conn *c, uint32_t id, uint32_t code)
{
    struct load *l = ctx;
    uint64_t n = id - 3;
    (void)c;
    if (id < 3 || n >= l->sent) return;
    l->answered++;
    l->fate[n] |= code == 0 ? WAS_ACKED : WAS_REFUSED;
    if (code == 0) {
        l->acked++;
    } else {
        crowd_codes_add(&l->errors, code);
    }
    if (l->sent < l->target) (void)publish_one(l);
}

static void on_message(void *ctx, struct crowd_conn *c, uint64_t sent_ns, uint64_t n)
{
    struct load *l = ctx;
    (void)sent_ns;
    if (l->fate == NULL || n >= l->sent) return;
    if ((uint32_t)(c - l->listeners.conns) >= l->channels)
        return; /* one listener a channel counts */
    if (l->fate[n] & WAS_DELIVERED) l->repeated++;
    l->fate[n] |= WAS_DELIVERED;
}

/* ---- commands ---- */

static void reply(struct load *l, const char *error)
{
    struct dun_buf b = {0};
    const struct crowd *w = &l->listeners;
    uint64_t lost = 0, refused_delivered = 0;
    for (uint64_t n = 0; n < l->sent; n++) {
        lost += (l->fate[n] & (WAS_ACKED | WAS_DELIVERED)) == WAS_ACKED;
        refused_delivered += (l->fate[n] & WAS_REFUSED) != 0 && (l->fate[n] & WAS_DELIVERED) != 0;
    }
    double ms = command_ms(l);
    dun_buf_printf(&b,
                   "{\"ms\":%.0f,\"live\":%u,\"messages\":%" PRIu64 ",\"wrong\":%" PRIu64
                   ",\"recovered\":%" PRIu64 ",\"declared\":%" PRIu64 ",\"unsubscribed\":%" PRIu64
                   ",\"refused_connects\":%" PRIu64 ",\"closes\":",
                   ms, w->live, w->messages, w->wrong + l->publishers.wrong, w->recovered,
                   w->declared, w->unsubscribed, w->refused);
    crowd_codes_json(&w->closes, &b);
    dun_buf_printf(&b,
                   ",\"sent\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"unanswered\":%" PRIu64
                   ",\"held_back\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"repeated\":%" PRIu64
                   ",\"refused_but_delivered\":%" PRIu64 ",\"errors\":",
                   l->sent, l->acked, l->sent - l->answered, l->held_back, lost, l->repeated,
                   refused_delivered);
    crowd_codes_json(&l->errors, &b);
    const char *text = error[0] != '\0' ? error : w->error[0] != '\0' ? w->error : "";
    if (text[0] == '\0') text = l->publishers.error;
    dun_buf_printf(&b, ",\"capacity_per_s\":%" PRIu64 ",\"error\":", l->capacity);
    struct dun_buf safe = {0};
    dun_buf_byte(&safe, '"');
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char ch = (unsigned char)*p;
        dun_buf_byte(&safe, ch < 0x20 || ch > 0x7e || ch == '"' || ch == '\\' ? '.' : ch);
    }
    dun_buf_str(&safe, "\"}\n");
    dun_buf_slice(&b, dun_buf_view(&safe));
    l->command[0] = '\0';
    if (write(l->fd, b.data, b.len) != (ssize_t)b.len) _exit(1);
    dun_buf_deinit(&b);
    dun_buf_deinit(&safe);
}

static bool all_have(const struct load *l, uint64_t head)
{
    const struct crowd *w = &l->listeners;
    if (w->live < w->o.count) return false;
    for (uint32_t i = 0; i < w->o.count; i++)
        if (w->conns[i].seq < head) return false;
    return true;
}

static bool all_answered(const struct load *l)
{
    return l->answered == l->sent;
}

static bool is(const struct load *l, const char *name)
{
    return strcmp(l->command, name) == 0;
}

/* Messages in the storm's channels are of unknown count: all acknowledged ones must be there. */
static bool none_missing(const struct load *l)
{
    for (uint64_t n = 0; n < l->sent; n++)
        if ((l->fate[n] & (WAS_ACKED | WAS_DELIVERED)) == WAS_ACKED) return false;
    return true;
}

static bool publish_over(struct load *l, uint64_t now)
{
    if (is(l, "storm") && now < l->end_ns) {
        double seconds = (double)(now - l->begun_ns) / 1e9;
        l->due = l->base_sent + (uint64_t)(seconds * (double)l->argument);
        for (uint32_t i = 0; i < LOAD_BATCH_MAX && l->sent < l->due; i++)
            if (!publish_one(l)) break;
        l->held_back = l->due > l->sent ? l->due - l->sent : 0;
        return false;
    }
    if (is(l, "capacity") && now < l->end_ns) return false;
    if (is(l, "capacity") && l->target != 0) {
        l->capacity = (l->acked - l->base_acked) / l->o->seconds;
        l->target = 0;
    }
    /* What a listener was told it missed does not come any more. */
    if (all_answered(l) && (l->listeners.declared > 0 || none_missing(l))) return true;
    return now > l->end_ns + (uint64_t)LOAD_ANSWER_MS * 1000000;
}

static bool over(struct load *l)
{
    uint64_t now = crowd_now_ns();
    if (is(l, "open")) return all_have(l, l->head);
    if (is(l, "resume")) return all_have(l, l->argument);
    if (is(l, "drop")) return l->listeners.handles == 0;
    if (is(l, "publish"))
        return l->acked - l->base_acked == l->target - l->base_sent &&
               (l->listeners.live == 0 || all_have(l, l->head));
    if (is(l, "storm") || is(l, "capacity")) return publish_over(l, now);
    return true;
}

static void on_tick(uv_timer_t *t)
{
    struct load *l = t->data;
    uint64_t window = LOAD_PUBLISHERS * LOAD_WINDOW;
    if (l->command[0] == '\0') return;
    while (l->sent < l->target && l->sent - l->answered < window)
        if (!publish_one(l)) break;
    if (over(l)) {
        reply(l, "");
    } else if (command_ms(l) > LOAD_COMMAND_MS) {
        char text[64];
        (void)snprintf(text, sizeof text, "%s took too long", l->command);
        reply(l, text);
    }
}

static void begin(struct load *l)
{
    const struct overload_options *o = l->o;
    l->begun_ns = crowd_now_ns();
    l->end_ns = l->begun_ns + o->seconds * 1000000000u;
    l->base_acked = l->acked;
    l->base_sent = l->sent;
    l->target = 0;
    if (is(l, "open")) {
        crowd_count(&l->listeners);
        crowd_open(&l->listeners);
    } else if (is(l, "stop")) {
        crowd_pause(&l->listeners, true);
    } else if (is(l, "resume")) {
        crowd_pause(&l->listeners, false);
    } else if (is(l, "drop")) {
        crowd_drop(&l->listeners);
    } else if (is(l, "publish")) {
        l->target = l->sent + l->argument * l->channels;
        l->head += l->argument;
    } else if (is(l, "capacity")) {
        l->target = UINT64_MAX;
    }
}

static void on_command(uv_poll_t *p, int status, int events)
{
    struct load *l = p->data;
    char line[64];
    (void)events;
    ssize_t n = status == 0 ? read(l->fd, line, sizeof line - 1) : 0;
    if (n <= 0) _exit(0);
    line[n] = '\0';
    l->argument = 0;
    if (sscanf(line, "%31s %" SCNu64, l->command, &l->argument) >= 1) begin(l);
}

static void on_prepare(uv_prepare_t *p)
{
    struct load *l = p->data;
    crowd_flush(&l->publishers);
}

/* It stands for other hosts: it must not take the servers' processors. */
static void stand_back(const struct overload_options *o)
{
    const struct sched_param none = {0};
    if (!o->idle || sched_setscheduler(0, SCHED_IDLE, &none) != 0) (void)!nice(10);
}

void overload_load(const struct overload_options *o, int fd)
{
    static struct load l;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    l.o = o;
    stand_back(o);
    l.fd = fd;
    int rc = uv_loop_init(&l.loop);
    DUN_ASSERT(rc == 0);
    bool storm = o->kind == OVERLOAD_STORM, slow = o->kind == OVERLOAD_SLOW;
    l.channels = storm ? LOAD_CHANNELS_STORM : (uint32_t)o->channels;
    (void)snprintf(l.name, sizeof l.name, slow ? "%s" : "%sload", o->channel);
    l.fate = dun_calloc(o->message_max + 1, 1);
    struct crowd_options c = {
        .servers = &o->servers,
        .channel = l.name,
        .token = o->server.token,
        .count = storm ? LOAD_LISTENERS : (uint32_t)o->load,
        .channels = l.channels,
        .connecting_max = o->kind == OVERLOAD_RECONNECT ? CROWD_MAX : (uint32_t)LOAD_CONNECTING_MAX,
        .receive_buffer = slow ? LOAD_STOPPED_BUFFER : 0,
        .come_back = true,
        .ctx = &l,
        .message = slow ? NULL : on_message,
        .answer = on_answer};
    if (!crowd_init(&l.listeners, &l.loop, &c)) _exit(1);
    c.channel = NULL;
    c.count = slow ? 1 : LOAD_PUBLISHERS;
    c.receive_buffer = 0;
    c.send_buffer = LOAD_PUBLISHER_BUFFER;
    c.connecting_max = LOAD_CONNECTING_MAX;
    if (!crowd_init(&l.publishers, &l.loop, &c)) _exit(1);
    crowd_open(&l.publishers);
    l.poll.data = l.tick.data = l.prepare.data = &l;
    rc = uv_poll_init(&l.loop, &l.poll, fd);
    DUN_ASSERT(rc == 0);
    uv_poll_start(&l.poll, UV_READABLE, on_command);
    uv_timer_init(&l.loop, &l.tick);
    uv_timer_start(&l.tick, on_tick, LOAD_TICK_MS, LOAD_TICK_MS);
    uv_prepare_init(&l.loop, &l.prepare);
    uv_prepare_start(&l.prepare, on_prepare);
    (void)uv_run(&l.loop, UV_RUN_DEFAULT);
    _exit(0);
}
