/* tests/fuzz/fuzz_node.c: one peer that a voter with the right key lies to.
 * Claim: whatever the packets of a known voter say, node_step takes or refuses
 * them, and every invariant that node_check knows holds after it.
 *
 * Peer n1 of three begins where a real cluster brought it: the first input
 * records what n1 was handed until the cluster was ready and had committed a
 * few publishes, and each input replays that to a new peer. Then come steps
 * [what, arguments, bytes]. Packets are built at three depths: raw bytes, frames
 * behind a right header, and well-formed frames with numbers near n1's own. */
#include "cluster/wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/cluster/cluster_net.h"

enum { GROUPS = 2, STEPS_MAX = 200, STORY_MAX = 4096, STORY_MS_MAX = 20000 };

struct story_event {
    struct node_event ev;
    struct dun_blob *bytes; /* of a packet */
};

static struct story {
    bool recorded;
    struct story_event at[STORY_MAX];
    uint32_t count;
    uint64_t end_ms, boots[3];
    uint64_t cluster; /* hash, from a packet's header */
    uint64_t order;   /* the highest of a packet */
} story;

static void note(struct node_event ev, uint64_t now_ms)
{
    DUN_ASSERT(story.count < STORY_MAX);
    struct story_event *e = &story.at[story.count++];
    ev.now_ms = now_ms;
    ev.wall_ms = 1700000000000u + now_ms;
    e->ev = ev;
    e->bytes = NULL;
    if (ev.type == NODE_EV_PACKET) {
        struct mp_reader r = mp_reader(ev.packet.bytes);
        struct wire_header h;
        e->bytes = dun_blob_copy(ev.packet.bytes.data, ev.packet.bytes.len);
        e->ev.packet.bytes = dun_blob_slice(e->bytes);
        if (ev.packet.plane == NODE_REPLICATION && wire_read_header(&r, 3, &h) == DUN_OK) {
            story.cluster = h.cluster;
            if (h.order > story.order) story.order = h.order;
        }
    }
}

/* What net_deliver is about to hand to n1 now. */
static void note_packets(const struct net *t)
{
    for (uint32_t k = 0; k < t->packet_count; k++) {
        const struct net_packet *p = &t->packets[k];
        if (p->to != 0 || p->at_ms > t->now_ms || p->bytes == NULL) continue;
        struct node_event ev = {.type = NODE_EV_PACKET};
        ev.packet.plane = p->plane;
        ev.packet.from_name = net_names[p->from];
        ev.packet.from_boot = p->from_boot;
        ev.packet.bytes = dun_blob_slice(p->bytes);
        note(ev, t->now_ms);
    }
}

static void record_ms(struct net *t)
{
    uint32_t before = story.count;
    note_packets(t);
    if (node_deadline_ms(t->node[0]) <= t->now_ms) {
        note((struct node_event){.type = NODE_EV_TICK}, t->now_ms);
    } else if (story.count != before) {
        note((struct node_event){.type = NODE_EV_FLUSH}, t->now_ms);
    }
    net_run(t, 1);
}

static void record(void)
{
    static const char *const channels[] = {"a", "b", "c", "d"};
    struct net *t = net_create(3, GROUPS, 0);
    for (uint32_t i = 0; i < 3; i++)
        net_up(t, i);
    for (uint32_t i = 0; i < 3; i++)
        story.boots[i] = t->boot[i];
    while (!(net_ready(t, 0) && net_ready(t, 1) && net_ready(t, 2))) {
        DUN_ASSERT(t->now_ms < STORY_MS_MAX);
        record_ms(t);
    }
    for (uint64_t i = 0; i < DUN_COUNT(channels); i++) {
        dun_err e = net_publish(t, 1, i, channels[i], "", "1");
        DUN_ASSERT(e == DUN_OK);
        for (int ms = 0; ms < 50; ms++)
            record_ms(t);
    }
    story.end_ms = t->now_ms;
    net_destroy(t);
    story.recorded = true;
}

struct peer {
    struct net *t; /* of which only n1 is up */
    uint64_t now_ms;
    uint64_t order; /* of the last packet */
    uint64_t boots[3];
};

static dun_err hand(struct peer *p, struct node_event ev)
{
    ev.now_ms = p->now_ms;
    ev.wall_ms = 1700000000000u + p->now_ms;
    dun_err e = node_step(p->t->node[0], &ev);
    node_check(p->t->node[0]);
    return e;
}

static void settle(struct peer *p)
{
    const struct node_out *o = node_out(p->t->node[0]);
    for (uint32_t i = 0; i < o->packet_count; i++)
        fuzz_read(o->packets[i].bytes);
    for (uint32_t i = 0; i < o->commit_count; i++)
        DUN_ASSERT(o->commits[i].group < GROUPS);
    node_out_clear(p->t->node[0]);
    for (uint32_t g = 0; g < GROUPS; g++)
        store_check(p->t->store[0], g);
}

static void replay(struct peer *p)
{
    for (uint32_t i = 0; i < story.count; i++) {
        struct node_event ev = story.at[i].ev;
        (void)!node_step(p->t->node[0], &ev);
        if (ev.type != NODE_EV_PACKET) {
            (void)node_out(p->t->node[0]);
            node_out_clear(p->t->node[0]);
        }
    }
    p->now_ms = story.end_ms;
    DUN_ASSERT(net_ready(p->t, 0));
}

static void packet(struct peer *p, enum node_plane plane, uint32_t from, struct dun_slice bytes)
{
    struct node_event ev = {.type = NODE_EV_PACKET};
    struct dun_slice copy = fuzz_copy(bytes);
    ev.packet.plane = plane;
    ev.packet.from_name = net_names[from];
    ev.packet.from_boot = p->boots[from];
    ev.packet.bytes = copy;
    (void)!hand(p, ev);
    fuzz_copy_free(copy);
}

/* @late: it was overtaken by the ones before. */
static void write_header(struct peer *p, bool late, struct dun_buf *b)
{
    struct wire_header h = {.cluster = story.cluster,
                            .flags = 1,
                            .to_boot = p->boots[0],
                            .order = late ? 1 : ++p->order};
    memcpy(h.boots, p->boots, sizeof p->boots);
    wire_write_header(b, &h, 3);
}

/* A number near @n: what is off by one or two is what breaks protocols. */
static uint64_t near(struct fuzz_in *in, uint64_t n)
{
    uint8_t d = fuzz_u8(in);
    if (d == 255) return UINT64_MAX - fuzz_u8(in);
    if (d >= 250) return fuzz_u16(in);
    return n + d % 16 - (d % 16 > 8 ? 16 : 0);
}

static struct vsr_view near_view(struct fuzz_in *in, uint64_t inc, uint64_t num)
{
    uint8_t d = fuzz_u8(in);
    return (struct vsr_view){d & 0x80 ? inc + 1 : d & 0x40 ? 0 : inc, num + (d & 7)};
}

static void fill_op(struct fuzz_in *in, struct dun_buf *b)
{
    struct store_op op = {.type = STORE_OP_PUBLISH};
    uint8_t d = fuzz_u8(in);
    if (d & 1) {
        dun_buf_slice(b, fuzz_take(in, fuzz_u8(in)));
        return;
    }
    if (d & 2) {
        op.type = STORE_OP_EPOCH;
        op.epoch.epoch = 77u + (d >> 4);
    } else {
        op.origin = d >> 2 & 3;
        op.origin_boot = 1000;
        op.request = d >> 4;
        op.publish.channel = dun_slice_str(d & 16 ? "a" : "b");
        op.publish.data = dun_slice_str("2");
        op.publish.key = op.publish.tags = op.publish.info = dun_slice("", 0);
    }
    store_op_encode(&op, b);
}

static void write_frame(struct dun_buf *b, const struct wire_frame *f)
{
    switch (f->type) {
    case WIRE_HELLO: wire_write_hello(b); return;
    case WIRE_STATE: wire_write_state(b, f); return;
    case WIRE_PREPARE: wire_write_prepare(b, f); return;
    case WIRE_PREPARE_OK: wire_write_prepare_ok(b, f); return;
    case WIRE_COMMIT: wire_write_commit(b, f); return;
    case WIRE_FORWARD: wire_write_forward(b, f); return;
    case WIRE_REFUSE: wire_write_refuse(b, f); return;
    case WIRE_GET_STATE: wire_write_get_state(b, f); return;
    case WIRE_NEW_STATE: wire_write_new_state(b, f); return;
    case WIRE_SNAPSHOT: wire_write_snapshot(b, f); return;
    case WIRE_CAST: wire_write_cast(b, f->bytes); return;
    }
    DUN_UNREACHABLE();
}

/* One well-formed frame with numbers near where n1's group stands. */
static void built_frame(struct peer *p, struct fuzz_in *in, struct dun_buf *b)
{
    struct wire_frame *f = dun_calloc(1, sizeof *f);
    struct node_group g;
    struct dun_buf op = {0};
    f->type = (enum wire_type)(WIRE_HELLO + fuzz_u8(in) % WIRE_CAST);
    f->group = fuzz_u8(in) % GROUPS;
    node_group(p->t->node[0], f->group, &g);
    f->status = fuzz_u8(in) % (VSR_STATUS_COUNT + 1);
    f->view = near_view(in, g.incarnation, g.view);
    f->log_view = near_view(in, g.log_incarnation, g.log_view);
    f->base = near_view(in, g.log_incarnation, 0);
    f->head = near(in, g.op);
    f->commit = near(in, g.commit);
    f->base_op = near(in, 0);
    f->first_op = near(in, g.op);
    f->snap_op = near(in, g.commit);
    f->offset = near(in, 0);
    f->request = near(in, 1);
    f->err = -(int64_t)fuzz_u8(in);
    fill_op(in, &op);
    f->bytes = dun_buf_view(&op);
    f->total = near(in, op.len);
    f->entry_count = fuzz_u8(in) % 5;
    for (uint32_t i = 0; i < f->entry_count; i++)
        f->entries[i] = (struct wire_entry){near(in, 1700000000000u), dun_buf_view(&op)};
    write_frame(b, f);
    dun_buf_deinit(&op);
    dun_free(f);
}

static void submit(struct peer *p, struct fuzz_in *in)
{
    struct node_event ev = {.type = NODE_EV_SUBMIT};
    ev.submit.cookie = fuzz_u8(in);
    ev.submit.channel = dun_slice_str(ev.submit.cookie & 1 ? "a" : "c");
    ev.submit.key = dun_slice_str(ev.submit.cookie & 2 ? "k" : "");
    ev.submit.data = dun_slice_str("3");
    (void)!hand(p, ev);
}

static void tick(struct peer *p, uint64_t forward_ms)
{
    p->now_ms += forward_ms;
    dun_err e = hand(p, (struct node_event){.type = NODE_EV_TICK});
    DUN_ASSERT(e == DUN_OK);
    settle(p);
}

static void other(struct peer *p, uint32_t from, uint8_t what)
{
    char addr[32];
    struct node_event ev = {.type = NODE_EV_LINK_LOST};
    switch (what % 4) {
    case 0:
    case 1:
        snprintf(addr, sizeof addr, "10.0.0.%u:2", from);
        ev.link.plane = NODE_REPLICATION;
        ev.link.addr = addr;
        (void)!hand(p, ev);
        return;
    case 2: p->boots[from]++; return; /* it was started again */
    case 3:
        if (what == 255) (void)!hand(p, (struct node_event){.type = NODE_EV_DRAIN});
        return;
    default: DUN_UNREACHABLE();
    }
}

static void step(struct peer *p, struct fuzz_in *in)
{
    struct dun_buf b = {0};
    uint8_t what = fuzz_u8(in);
    uint32_t from = 1u + (what >> 4 & 1);
    switch (what % 8) {
    case 0: packet(p, NODE_REPLICATION, from, fuzz_take(in, fuzz_u16(in) % 1024)); break;
    case 1: packet(p, NODE_GOSSIP, from, fuzz_take(in, fuzz_u16(in) % 1024)); break;
    case 2:
        write_header(p, what & 0x80, &b);
        dun_buf_slice(&b, fuzz_take(in, fuzz_u16(in) % 1024));
        packet(p, NODE_REPLICATION, from, dun_buf_view(&b));
        break;
    case 3:
    case 4:
        write_header(p, what & 0x80, &b);
        for (int n = 1 + (what >> 5 & 3); n > 0; n--)
            built_frame(p, in, &b);
        packet(p, NODE_REPLICATION, from, dun_buf_view(&b));
        break;
    case 5: tick(p, fuzz_u8(in) * 10u); break;
    case 6: submit(p, in); break;
    case 7: other(p, from, fuzz_u8(in)); break;
    default: DUN_UNREACHABLE();
    }
    dun_buf_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t mode = fuzz_u8(&in);
    if (!story.recorded) record();
    struct peer p = {.now_ms = 1, .order = story.order};
    p.t = net_create(3, GROUPS, mode & 2 ? 2000 : 0);
    net_up(p.t, 0);
    memcpy(p.boots, story.boots, sizeof p.boots);
    if (!(mode & 1)) replay(&p);
    for (int n = 0; in.len > 0 && n < STEPS_MAX; n++)
        step(&p, &in);
    tick(&p, 1000);
    net_down(p.t, 0);
    net_destroy(p.t);
    return 0;
}
