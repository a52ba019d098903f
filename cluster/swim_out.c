/* cluster/swim_out.c: the bounded results of a step and what did not fit.
 * Why: a caller gets plain arrays of fixed size; a step that produces more
 * (leaving a large cluster) hands the rest out at the next tick, due at once.
 * (1) Events are never dropped: packets are refused before the queue of events
 *     can outgrow its bound. Packets may be dropped: SWIM expects loss.
 * (2) What was given lives until the next step. */
#include "base/alloc.h"
#include "base/assert.h"
#include "cluster/swim_internal.h"

static void packets_free(struct swim_queued_packet *p)
{
    while (p != NULL) {
        struct swim_queued_packet *next = p->next;
        dun_buf_deinit(&p->bytes);
        dun_free(p);
        p = next;
    }
}

static void events_free(struct swim_queued_event *e)
{
    while (e != NULL) {
        struct swim_queued_event *next = e->next;
        dun_free(e);
        e = next;
    }
}

void swim_out_init(struct swim *s)
{
    s->packets_tail = &s->packets;
    s->events_tail = &s->events;
}

void swim_out_deinit(struct swim *s)
{
    packets_free(s->packets);
    packets_free(s->packets_given);
    events_free(s->events);
    events_free(s->events_given);
}

void swim_out_clear(struct swim *s)
{
    packets_free(s->packets_given);
    events_free(s->events_given);
    s->packets_given = NULL;
    s->events_given = NULL;
    s->out.packet_count = 0;
    s->out.event_count = 0;
}

struct swim_member swim_view(const struct swim_node *n)
{
    return (struct swim_member){
        .name = n->name,
        .addr = n->addr,
        .meta = dun_slice(n->meta, n->meta_len),
        .boot = n->claim.boot,
        .incarnation = n->claim.incarnation,
        .state = n->claim.state,
    };
}

void swim_out_fill(struct swim *s)
{
    DUN_ASSERT(s->out.packet_count == 0 && s->out.event_count == 0);
    while (s->packets != NULL && s->out.packet_count < SWIM_OUT_PACKETS_MAX) {
        struct swim_queued_packet *p = s->packets;
        s->packets = p->next;
        if (s->packets == NULL) s->packets_tail = &s->packets;
        s->packets_queued--;
        p->next = s->packets_given;
        s->packets_given = p;
        uint32_t i = s->out.packet_count++;
        s->out.packets[i].addr = p->addr;
        s->out.packets[i].to_name = p->to_name;
        s->out.packets[i].bytes = dun_buf_view(&p->bytes);
    }
    while (s->events != NULL && s->out.event_count < SWIM_OUT_EVENTS_MAX) {
        struct swim_queued_event *e = s->events;
        s->events = e->next;
        if (s->events == NULL) s->events_tail = &s->events;
        s->events_queued--;
        e->next = s->events_given;
        s->events_given = e;
        uint32_t i = s->out.event_count++;
        s->out.events[i].type = e->type;
        s->out.events[i].member = swim_view(&e->node);
    }
}

void swim_out_event(struct swim *s, enum swim_event_type type, const struct swim_node *n)
{
    struct swim_queued_event *e = dun_malloc(sizeof *e);
    e->next = NULL;
    e->type = type;
    e->node = *n;
    *s->events_tail = e;
    s->events_tail = &e->next;
    s->events_queued++;
}

void swim_out_packet(struct swim *s, const char *addr, const char *to_name, struct dun_buf bytes)
{
    if (s->packets_queued >= SWIM_PACKETS_QUEUED_MAX) {
        dun_buf_deinit(&bytes);
        return;
    }
    struct swim_queued_packet *p = dun_malloc(sizeof *p);
    p->next = NULL;
    swim_copy(p->addr, sizeof p->addr, dun_slice_str(addr));
    swim_copy(p->to_name, sizeof p->to_name, dun_slice_str(to_name));
    p->bytes = bytes;
    *s->packets_tail = p;
    s->packets_tail = &p->next;
    s->packets_queued++;
}
