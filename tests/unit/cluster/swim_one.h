/* tests/unit/cluster/swim_one.h: one peer, fed by hand-made packets.
 * Why: what a peer does with a claim shows best without a second peer that has
 * opinions of its own. */
#ifndef DUN_TESTS_SWIM_ONE_H
#define DUN_TESTS_SWIM_ONE_H

#include "swim_net.h"

/* "me" at "me:1", boot 100, alone and settled at time 1000. */
static inline struct swim *one_create(void)
{
    struct swim_config c = {.name = "me", .addr = "me:1", .boot = 100, .prng_seed = 4};
    const struct swim_out *out;
    struct swim *s;
    assert_int_equal(swim_create(&s, &c), DUN_OK);
    swim_tick(s, 1000, &out);
    assert_int_equal(s->join, SWIM_JOIN_DONE);
    return s;
}

static inline struct swim_node one_node(const char *name, uint64_t boot, uint32_t incarnation,
                                        enum swim_state state)
{
    struct swim_node n = {.claim = {boot, incarnation, state}};
    snprintf(n.name, sizeof n.name, "%s", name);
    snprintf(n.addr, sizeof n.addr, "%s:1", name);
    snprintf(n.origin, sizeof n.origin, "accuser");
    return n;
}

/* A packet of @type from "<addr>" that carries @n. */
static inline void one_packet(struct dun_buf *b, enum swim_packet_type type, const char *addr,
                              const struct swim_node *nodes, uint32_t count, bool full)
{
    struct dun_buf entries = {0};
    for (uint32_t i = 0; i < count; i++)
        swim_wire_write_entry(&entries, &nodes[i], full);
    struct swim_packet p = {.type = type,
                            .from_addr = dun_slice_str(addr),
                            .seq = 77,
                            .target = dun_slice_str("me"),
                            .target_addr = dun_slice_str("me:1"),
                            .joined = true,
                            .entry_count = count,
                            .entries = dun_buf_view(&entries)};
    swim_wire_write(b, &p);
    dun_buf_deinit(&entries);
}

/* Peer "p" (boot 1) says @n in a packet of @type at the peer's own time. */
static inline const struct swim_out *one_tell(struct swim *s, enum swim_packet_type type,
                                              const struct swim_node *n, bool full)
{
    struct dun_buf b = {0};
    const struct swim_out *out;
    one_packet(&b, type, "p:1", n, 1, full);
    assert_int_equal(swim_recv(s, s->now_ms, "p", 1, dun_buf_view(&b), &out), DUN_OK);
    swim_check(s);
    dun_buf_deinit(&b);
    return out;
}

#endif
