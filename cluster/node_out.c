/* cluster/node_out.c: the effects a step leaves behind. Slots keep their memory
 * from one clear to the next, so a busy node does not allocate for them. */
#include "cluster/node_internal.h"

#include "base/alloc.h"
#include "base/assert.h"

enum { OUT_KEEP_BYTES = 256 * 1024 /* a slot's buffer beyond this is given back */ };

static void *grow(void *array, uint32_t count, uint32_t *cap, size_t item)
{
    if (count < *cap) return array;
    uint32_t old = *cap;
    *cap = old == 0 ? 16 : old * 2;
    array = dun_realloc(array, *cap * item);
    memset((char *)array + old * item, 0, (*cap - old) * item);
    return array;
}

static void copy_text(char *to, size_t size, const char *from)
{
    size_t len = strlen(from);
    DUN_ASSERT(len < size);
    memcpy(to, from, len + 1);
}

void node_out_packet(struct node *n, enum node_plane plane, const char *addr, const char *to_name,
                     struct dun_slice head, struct dun_slice body)
{
    struct node_out *o = &n->out;
    n->packet_slots =
        grow(n->packet_slots, o->packet_count, &n->packet_cap, sizeof *n->packet_slots);
    struct node_packet_slot *s = &n->packet_slots[o->packet_count++];
    s->plane = plane;
    copy_text(s->addr, sizeof s->addr, addr);
    copy_text(s->to_name, sizeof s->to_name, to_name);
    s->bytes.len = 0;
    dun_buf_slice(&s->bytes, head);
    dun_buf_slice(&s->bytes, body);
}

void node_out_commit(struct node *n, uint32_t group, uint64_t op, struct store_msg *msg)
{
    struct node_out *o = &n->out;
    o->commits = grow(o->commits, o->commit_count, &n->commit_cap, sizeof *o->commits);
    o->commits[o->commit_count++] = (struct node_commit){group, op, store_msg_ref(msg)};
}

void node_out_reply(struct node *n, const struct node_reply *reply)
{
    struct node_out *o = &n->out;
    o->replies = grow(o->replies, o->reply_count, &n->reply_cap, sizeof *o->replies);
    o->replies[o->reply_count++] = *reply;
}

void node_out_aux(struct node *n, const char *from_name, struct dun_slice bytes)
{
    struct node_out *o = &n->out;
    n->aux_slots = grow(n->aux_slots, o->aux_count, &n->aux_buf_cap, sizeof *n->aux_slots);
    struct node_aux_slot *s = &n->aux_slots[o->aux_count++];
    copy_text(s->from_name, sizeof s->from_name, from_name);
    s->bytes.len = 0;
    dun_buf_slice(&s->bytes, bytes);
}

void node_out_forget(struct node *n, const char *addr)
{
    n->forgotten =
        grow(n->forgotten, n->out.forgotten_count, &n->forgotten_cap, sizeof *n->forgotten);
    copy_text(n->forgotten[n->out.forgotten_count++], sizeof *n->forgotten, addr);
}

const struct node_out *node_out(struct node *n)
{
    /* The slots may have moved while they filled: point at them now. */
    struct node_out *o = &n->out;
    if (o->packet_count != 0) {
        o->packets = dun_realloc(o->packets, n->packet_cap * sizeof *o->packets);
        for (uint32_t i = 0; i < o->packet_count; i++) {
            const struct node_packet_slot *s = &n->packet_slots[i];
            o->packets[i] =
                (struct node_packet){s->plane, s->addr, s->to_name, dun_buf_view(&s->bytes)};
        }
    }
    if (o->aux_count != 0) {
        o->auxes = dun_realloc(o->auxes, n->aux_buf_cap * sizeof *o->auxes);
        for (uint32_t i = 0; i < o->aux_count; i++)
            o->auxes[i] =
                (struct node_aux){n->aux_slots[i].from_name, dun_buf_view(&n->aux_slots[i].bytes)};
    }
    if (o->forgotten_count != 0) {
        o->forgotten = dun_realloc(o->forgotten, n->forgotten_cap * sizeof *o->forgotten);
        for (uint32_t i = 0; i < o->forgotten_count; i++)
            o->forgotten[i] = n->forgotten[i];
    }
    return o;
}

static void keep_small(struct dun_buf *b)
{
    if (b->cap > OUT_KEEP_BYTES) dun_buf_deinit(b);
}

void node_out_clear(struct node *n)
{
    struct node_out *o = &n->out;
    for (uint32_t i = 0; i < o->commit_count; i++)
        store_msg_unref(o->commits[i].msg);
    for (uint32_t i = 0; i < o->packet_count; i++)
        keep_small(&n->packet_slots[i].bytes);
    for (uint32_t i = 0; i < o->aux_count; i++)
        keep_small(&n->aux_slots[i].bytes);
    o->packet_count = o->commit_count = o->reply_count = o->aux_count = 0;
    o->forgotten_count = 0;
    if (o->resync_any) memset(o->resync, 0, sizeof o->resync);
    o->resync_any = false;
}

void node_out_deinit(struct node *n)
{
    node_out_clear(n);
    for (uint32_t i = 0; i < n->packet_cap; i++)
        dun_buf_deinit(&n->packet_slots[i].bytes);
    for (uint32_t i = 0; i < n->aux_buf_cap; i++)
        dun_buf_deinit(&n->aux_slots[i].bytes);
    dun_free(n->packet_slots);
    dun_free(n->aux_slots);
    dun_free(n->forgotten);
    dun_free(n->out.forgotten);
    dun_free(n->out.packets);
    dun_free(n->out.commits);
    dun_free(n->out.replies);
    dun_free(n->out.auxes);
}
