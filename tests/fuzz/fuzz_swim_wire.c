/* tests/fuzz/fuzz_swim_wire.c: packets of the gossip plane.
 * Claims: a packet that is read, written and read again, is the same packet, to the
 * last field of its entries; every entry of it can be walked. */
#include "cluster/swim_internal.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>

static void check_entry(const struct swim_entry *e, struct dun_slice packet)
{
    DUN_ASSERT(fuzz_within(e->name, packet) && fuzz_within(e->origin, packet));
    DUN_ASSERT(fuzz_within(e->addr, packet) && fuzz_within(e->meta, packet));
    DUN_ASSERT(swim_name_ok(e->name) && e->claim.state <= SWIM_LEFT);
    DUN_ASSERT((e->claim.state == SWIM_SUSPECT) == (e->origin.len > 0));
    DUN_ASSERT(e->full ? swim_addr_ok(e->addr) : e->claim.state != SWIM_ALIVE);
    DUN_ASSERT(e->meta.len <= DUN_META_MAX);
}

/* As the member that the entry tells of would be told of by us. */
static void check_entry_again(const struct swim_entry *e)
{
    struct swim_node *n = dun_calloc(1, sizeof *n);
    struct dun_buf b = {0};
    snprintf(n->name, sizeof n->name, "%.*s", (int)e->name.len, (const char *)e->name.data);
    snprintf(n->origin, sizeof n->origin, "%.*s", (int)e->origin.len, (const char *)e->origin.data);
    snprintf(n->addr, sizeof n->addr, "%.*s", (int)e->addr.len, (const char *)e->addr.data);
    if (e->meta.len > 0) memcpy(n->meta, e->meta.data, e->meta.len);
    n->meta_len = (uint32_t)e->meta.len;
    n->claim = e->claim;
    swim_wire_write_entry(&b, n, e->full);
    struct dun_slice rest = dun_buf_view(&b);
    struct swim_entry again = swim_wire_next_entry(&rest);
    DUN_ASSERT(rest.len == 0 && again.full == e->full);
    DUN_ASSERT(dun_slice_eq(again.name, e->name) && dun_slice_eq(again.origin, e->origin));
    DUN_ASSERT(dun_slice_eq(again.addr, e->addr) && dun_slice_eq(again.meta, e->meta));
    DUN_ASSERT(again.claim.boot == e->claim.boot && again.claim.state == e->claim.state);
    DUN_ASSERT(again.claim.incarnation == e->claim.incarnation);
    dun_buf_deinit(&b);
    dun_free(n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dun_slice packet = fuzz_copy((struct dun_slice){data, size});
    struct swim_packet p, q;
    if (swim_wire_read(packet, &p) == DUN_OK) {
        struct dun_buf b = {0};
        struct dun_slice rest = p.entries;
        DUN_ASSERT(fuzz_within(p.entries, packet) && p.entry_count <= DUN_PEERS_MAX);
        for (uint32_t i = 0; i < p.entry_count; i++) {
            struct swim_entry e = swim_wire_next_entry(&rest);
            check_entry(&e, packet);
            check_entry_again(&e);
        }
        DUN_ASSERT(rest.len == 0);
        swim_wire_write(&b, &p);
        dun_err e = swim_wire_read(dun_buf_view(&b), &q);
        /* A packet at the limit may have used shorter tags than we write. */
        if (e == DUN_OK) {
            DUN_ASSERT(p.type == q.type && dun_slice_eq(p.from_addr, q.from_addr));
            DUN_ASSERT(p.seq == q.seq && p.joined == q.joined);
            DUN_ASSERT(dun_slice_eq(p.target, q.target));
            DUN_ASSERT(dun_slice_eq(p.target_addr, q.target_addr));
            DUN_ASSERT(p.entry_count == q.entry_count && dun_slice_eq(p.entries, q.entries));
        } else {
            DUN_ASSERT(b.len > DUN_PACKET_MAX);
        }
        dun_buf_deinit(&b);
    }
    fuzz_copy_free(packet);
    return 0;
}
