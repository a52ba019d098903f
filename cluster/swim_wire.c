/* cluster/swim_wire.c: packets as bytes.
 * Why: everything that comes in is checked whole before anything is believed.
 * A packet is a msgpack array that begins with its type and the sender's
 * gossip address:
 *   PING      [1, addr, seq, target, entries]
 *   ACK       [2, addr, seq, entries]
 *   NACK      [3, addr, seq]
 *   PING_REQ  [4, addr, seq, target, target_addr, entries]
 *   GOSSIP    [5, addr, entries]
 *   PUSH_PULL [6, addr, token, joined, entries], its reply [7, the same]
 *   WHO       [8, addr, seq], its answer [9, addr, seq]
 * and an entry is [name, boot, incarnation, state, origin], followed by
 * (addr, meta) when it is full, as an ALIVE one always is. */
#include "base/assert.h"
#include "cluster/swim_internal.h"
#include "store/mp.h"

enum { ENTRY_SHORT = 5, ENTRY_FULL = 7 };

static bool printable(struct dun_slice s, size_t max)
{
    if (s.len == 0 || s.len > max) return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] <= 0x20 || s.data[i] > 0x7e) return false;
    return true;
}

bool swim_name_ok(struct dun_slice name)
{
    return printable(name, DUN_NAME_MAX);
}

bool swim_addr_ok(struct dun_slice addr)
{
    return printable(addr, DUN_ADDR_MAX);
}

/* Which fields follow type and address. */
struct shape {
    uint8_t fields; /* length of the array; 0: no such type */
    bool seq, target, target_addr, joined, entries;
};

static const struct shape shapes[] = {
    [SWIM_PING] = {.fields = 5, .seq = true, .target = true, .entries = true},
    [SWIM_ACK] = {.fields = 4, .seq = true, .entries = true},
    [SWIM_NACK] = {.fields = 3, .seq = true},
    [SWIM_PING_REQ] =
        {.fields = 6, .seq = true, .target = true, .target_addr = true, .entries = true},
    [SWIM_GOSSIP] = {.fields = 3, .entries = true},
    [SWIM_PUSH_PULL] = {.fields = 5, .seq = true, .joined = true, .entries = true},
    [SWIM_PUSH_PULL_REPLY] = {.fields = 5, .seq = true, .joined = true, .entries = true},
    [SWIM_WHO] = {.fields = 3, .seq = true},
    [SWIM_WHO_ACK] = {.fields = 3, .seq = true},
};
enum { SHAPE_COUNT = sizeof shapes / sizeof shapes[0] };

void swim_wire_write(struct dun_buf *b, const struct swim_packet *p)
{
    const struct shape *shape = &shapes[p->type];
    DUN_ASSERT(swim_addr_ok(p->from_addr));
    mp_write_array(b, shape->fields);
    mp_write_uint(b, (uint64_t)p->type);
    mp_write_bytes(b, p->from_addr);
    if (shape->seq) mp_write_uint(b, p->seq);
    if (shape->target) mp_write_bytes(b, p->target);
    if (shape->target_addr) mp_write_bytes(b, p->target_addr);
    if (shape->joined) mp_write_bool(b, p->joined);
    if (!shape->entries) return;
    mp_write_array(b, p->entry_count);
    dun_buf_slice(b, p->entries);
}

void swim_wire_write_entry(struct dun_buf *b, const struct swim_node *n, bool full)
{
    bool suspect = n->claim.state == SWIM_SUSPECT;
    DUN_ASSERT(full || n->claim.state != SWIM_ALIVE);
    mp_write_array(b, full ? ENTRY_FULL : ENTRY_SHORT);
    mp_write_bytes(b, dun_slice_str(n->name));
    mp_write_uint(b, n->claim.boot);
    mp_write_uint(b, n->claim.incarnation);
    mp_write_uint(b, (uint64_t)n->claim.state);
    mp_write_bytes(b, dun_slice_str(suspect ? n->origin : ""));
    if (!full) return;
    mp_write_bytes(b, dun_slice_str(n->addr));
    mp_write_bytes(b, dun_slice(n->meta, n->meta_len));
}

static bool read_entry(struct mp_reader *r, struct swim_entry *e)
{
    uint32_t fields = mp_read_array(r, ENTRY_FULL);
    if (fields != ENTRY_SHORT && fields != ENTRY_FULL) return false;
    *e = (struct swim_entry){.full = fields == ENTRY_FULL};
    e->name = mp_read_bytes(r, DUN_NAME_MAX);
    e->claim.boot = mp_read_uint(r);
    uint64_t incarnation = mp_read_uint(r);
    uint64_t state = mp_read_uint(r);
    e->origin = mp_read_bytes(r, DUN_NAME_MAX);
    if (e->full) {
        e->addr = mp_read_bytes(r, DUN_ADDR_MAX);
        e->meta = mp_read_bytes(r, DUN_META_MAX);
    }
    if (!mp_ok(r)) return false;
    if (incarnation > SWIM_INCARNATION_MAX || state > SWIM_LEFT) return false;
    e->claim.incarnation = (uint32_t)incarnation;
    e->claim.state = (enum swim_state)state;
    if (!swim_name_ok(e->name)) return false;
    if (e->full && !swim_addr_ok(e->addr)) return false;
    if (e->claim.state == SWIM_SUSPECT) return swim_name_ok(e->origin);
    return e->origin.len == 0 && (e->full || e->claim.state != SWIM_ALIVE);
}

static bool read_entries(struct mp_reader *r, struct swim_packet *p)
{
    p->entry_count = mp_read_array(r, DUN_PEERS_MAX);
    if (!mp_ok(r)) return false;
    p->entries = dun_slice(r->p, (size_t)(r->end - r->p));
    struct swim_entry e;
    for (uint32_t i = 0; i < p->entry_count; i++)
        if (!read_entry(r, &e)) return false;
    return true;
}

static bool read_packet(struct mp_reader *r, struct swim_packet *p)
{
    uint32_t fields = mp_read_array(r, UINT8_MAX);
    uint64_t type = mp_read_uint(r);
    if (type >= SHAPE_COUNT || fields == 0 || fields != shapes[type].fields) return false;
    const struct shape *shape = &shapes[type];
    p->type = (enum swim_packet_type)type;
    p->from_addr = mp_read_bytes(r, DUN_ADDR_MAX);
    if (!swim_addr_ok(p->from_addr)) return false;
    if (shape->seq) {
        uint64_t seq = mp_read_uint(r);
        if (seq > UINT32_MAX) return false;
        p->seq = (uint32_t)seq;
    }
    if (shape->target) {
        p->target = mp_read_bytes(r, DUN_NAME_MAX);
        if (!swim_name_ok(p->target)) return false;
    }
    if (shape->target_addr) {
        p->target_addr = mp_read_bytes(r, DUN_ADDR_MAX);
        if (!swim_addr_ok(p->target_addr)) return false;
    }
    if (shape->joined) p->joined = mp_read_bool(r);
    if (shape->entries && !read_entries(r, p)) return false;
    return mp_at_end(r);
}

dun_err swim_wire_read(struct dun_slice bytes, struct swim_packet *out)
{
    if (bytes.len == 0 || bytes.len > DUN_PACKET_MAX) return DUN_E_MALFORMED;
    struct mp_reader r = mp_reader(bytes);
    struct swim_packet p = {.entry_count = 0};
    if (!read_packet(&r, &p)) return DUN_E_MALFORMED;
    *out = p;
    return DUN_OK;
}

struct swim_entry swim_wire_next_entry(struct dun_slice *rest)
{
    struct mp_reader r = mp_reader(*rest);
    struct swim_entry e;
    bool ok = read_entry(&r, &e);
    DUN_ASSERT(ok);
    *rest = dun_slice(r.p, (size_t)(r.end - r.p));
    return e;
}
