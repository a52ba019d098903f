/* tests/fuzz/fuzz_wire.c: packets of the replication plane.
 * Claim: a frame that decodes, written and decoded again, is the same frame. */
#include "cluster/wire.h"
#include "tests/fuzz/fuzz.h"

static bool write_again(struct dun_buf *b, const struct wire_frame *f)
{
    switch (f->type) {
    case WIRE_HELLO: wire_write_hello(b); return true;
    case WIRE_STATE: wire_write_state(b, f); return true;
    case WIRE_PREPARE: wire_write_prepare(b, f); return true;
    case WIRE_PREPARE_OK: wire_write_prepare_ok(b, f); return true;
    case WIRE_COMMIT: wire_write_commit(b, f); return true;
    case WIRE_FORWARD: wire_write_forward(b, f); return true;
    case WIRE_REFUSE: wire_write_refuse(b, f); return true;
    case WIRE_GET_STATE: wire_write_get_state(b, f); return true;
    case WIRE_NEW_STATE: wire_write_new_state(b, f); return true;
    case WIRE_SNAPSHOT: wire_write_snapshot(b, f); return true;
    case WIRE_CAST: wire_write_cast(b, f->bytes); return true;
    }
    return false;
}

static void check_same(const struct wire_frame *a, const struct wire_frame *b)
{
    DUN_ASSERT(a->type == b->type && a->group == b->group && a->status == b->status);
    DUN_ASSERT(vsr_view_cmp(a->view, b->view) == 0);
    DUN_ASSERT(vsr_view_cmp(a->log_view, b->log_view) == 0);
    DUN_ASSERT(vsr_view_cmp(a->base, b->base) == 0);
    DUN_ASSERT(a->head == b->head && a->commit == b->commit && a->base_op == b->base_op);
    DUN_ASSERT(a->first_op == b->first_op && a->snap_op == b->snap_op);
    DUN_ASSERT(a->offset == b->offset && a->total == b->total);
    DUN_ASSERT(a->request == b->request && a->err == b->err);
    DUN_ASSERT(dun_slice_eq(a->bytes, b->bytes) && a->entry_count == b->entry_count);
    for (uint32_t i = 0; i < a->entry_count; i++) {
        DUN_ASSERT(a->entries[i].time_ms == b->entries[i].time_ms);
        DUN_ASSERT(dun_slice_eq(a->entries[i].op, b->entries[i].op));
    }
}

static void check_frame(const struct wire_frame *f, struct dun_slice packet)
{
    struct dun_buf once = {0};
    struct wire_frame *g = dun_malloc(sizeof *g);
    DUN_ASSERT(fuzz_within(f->bytes, packet) && f->entry_count <= WIRE_ENTRIES_MAX);
    for (uint32_t i = 0; i < f->entry_count; i++) {
        DUN_ASSERT(fuzz_within(f->entries[i].op, packet));
        DUN_ASSERT(f->entries[i].op.len <= DUN_OP_MAX);
    }
    DUN_ASSERT(write_again(&once, f));
    struct mp_reader r = mp_reader(dun_buf_view(&once));
    dun_err e = wire_read_frame(&r, g);
    DUN_ASSERT(e == DUN_OK && mp_at_end(&r));
    check_same(f, g);
    dun_free(g);
    dun_buf_deinit(&once);
}

static void check_header(const struct wire_header *h, uint32_t voters)
{
    struct dun_buf b = {0};
    struct wire_header again;
    wire_write_header(&b, h, voters);
    struct mp_reader r = mp_reader(dun_buf_view(&b));
    dun_err e = wire_read_header(&r, voters, &again);
    DUN_ASSERT(e == DUN_OK && mp_at_end(&r));
    DUN_ASSERT(again.cluster == h->cluster && again.flags == h->flags);
    DUN_ASSERT(again.to_boot == h->to_boot && again.order == h->order);
    DUN_ASSERT(memcmp(again.boots, h->boots, voters * sizeof h->boots[0]) == 0);
    dun_buf_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint32_t voters = 1 + fuzz_u8(&in) % DUN_VOTERS_MAX;
    struct dun_slice packet = fuzz_copy(fuzz_rest(&in));
    struct mp_reader r = mp_reader(packet);
    struct wire_header h;
    struct wire_frame *f = dun_malloc(sizeof *f);
    dun_err e = wire_read_header(&r, voters, &h);
    if (e == DUN_OK) {
        check_header(&h, voters);
        while ((e = wire_read_frame(&r, f)) == DUN_OK)
            check_frame(f, packet);
        DUN_ASSERT(e == DUN_E_MORE ? mp_at_end(&r) : e == DUN_E_MALFORMED);
    }
    dun_free(f);
    fuzz_copy_free(packet);
    return 0;
}
