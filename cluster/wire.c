/* cluster/wire.c: see the header. */
#include "cluster/wire.h"

void wire_write_header(struct dun_buf *b, const struct wire_header *h, uint32_t voter_count)
{
    mp_write_uint(b, WIRE_VERSION);
    mp_write_uint(b, h->cluster);
    mp_write_uint(b, h->flags);
    mp_write_uint(b, h->to_boot);
    mp_write_uint(b, h->order);
    mp_write_array(b, voter_count);
    for (uint32_t i = 0; i < voter_count; i++)
        mp_write_uint(b, h->boots[i]);
}

dun_err wire_read_header(struct mp_reader *r, uint32_t voter_count, struct wire_header *out)
{
    *out = (struct wire_header){0};
    if (mp_read_uint(r) != WIRE_VERSION) return DUN_E_MALFORMED;
    out->cluster = mp_read_uint(r);
    out->flags = mp_read_uint(r);
    out->to_boot = mp_read_uint(r);
    out->order = mp_read_uint(r);
    uint32_t n = mp_read_array(r, DUN_VOTERS_MAX);
    for (uint32_t i = 0; i < n; i++)
        out->boots[i] = mp_read_uint(r);
    if (!mp_ok(r)) return DUN_E_MALFORMED;
    /* Another voter count is another cluster hash; the caller reports that one. */
    (void)voter_count;
    return DUN_OK;
}

static void begin(struct dun_buf *b, uint32_t fields, enum wire_type type)
{
    mp_write_array(b, fields);
    mp_write_uint(b, type);
}

static void write_view(struct dun_buf *b, struct vsr_view v)
{
    mp_write_uint(b, v.inc);
    mp_write_uint(b, v.num);
}

static struct vsr_view read_view(struct mp_reader *r)
{
    struct vsr_view v;
    v.inc = mp_read_uint(r);
    v.num = mp_read_uint(r);
    return v;
}

static void write_entries(struct dun_buf *b, const struct wire_frame *f)
{
    mp_write_uint(b, f->first_op);
    mp_write_array(b, f->entry_count);
    for (uint32_t i = 0; i < f->entry_count; i++) {
        mp_write_uint(b, f->entries[i].time_ms);
        mp_write_bytes(b, f->entries[i].op);
    }
}

static void read_entries(struct mp_reader *r, struct wire_frame *f)
{
    f->first_op = mp_read_uint(r);
    f->entry_count = mp_read_array(r, WIRE_ENTRIES_MAX);
    for (uint32_t i = 0; i < f->entry_count; i++) {
        f->entries[i].time_ms = mp_read_uint(r);
        f->entries[i].op = mp_read_bytes(r, DUN_OP_MAX);
    }
}

static void write_standing(struct dun_buf *b, const struct wire_frame *f)
{
    mp_write_uint(b, f->group);
    mp_write_uint(b, f->status);
    write_view(b, f->view);
    write_view(b, f->log_view);
    write_view(b, f->base);
    mp_write_uint(b, f->base_op);
    mp_write_uint(b, f->head);
    mp_write_uint(b, f->commit);
}

static void read_standing(struct mp_reader *r, struct wire_frame *f)
{
    f->group = (uint32_t)mp_read_uint(r);
    f->status = (uint32_t)mp_read_uint(r);
    f->view = read_view(r);
    f->log_view = read_view(r);
    f->base = read_view(r);
    f->base_op = mp_read_uint(r);
    f->head = mp_read_uint(r);
    f->commit = mp_read_uint(r);
}

enum { STANDING_FIELDS = 11 };

void wire_write_hello(struct dun_buf *b)
{
    begin(b, 1, WIRE_HELLO);
}

void wire_write_state(struct dun_buf *b, const struct wire_frame *f)
{
    begin(b, 1 + STANDING_FIELDS, WIRE_STATE);
    write_standing(b, f);
}

void wire_write_prepare(struct dun_buf *b, const struct wire_frame *f)
{
    begin(b, 7, WIRE_PREPARE);
    mp_write_uint(b, f->group);
    write_view(b, f->view);
    mp_write_uint(b, f->commit);
    write_entries(b, f);
}

void wire_write_prepare_ok(struct dun_buf *b, const struct wire_frame *f)
{
    begin(b, 5, WIRE_PREPARE_OK);
    mp_write_uint(b, f->group);
    write_view(b, f->view);
    mp_write_uint(b, f->head);
}

void wire_write_commit(struct dun_buf *b, const struct wire_frame *f)
{
    begin(b, 5, WIRE_COMMIT);
    mp_write_uint(b, f->group);
    write_view(b, f->view);
    mp_write_uint(b, f->commit);
}

void wire_write_forward(struct dun_buf *b, const struct wire_frame *f)
{
    begin(b, 3, WIRE_FORWARD);
    mp_write_uint(b, f->group);
    mp_write_bytes(b, f->bytes);
}

void wire_write_refuse(struct dun_buf *b, const struct wire_frame *f)
{
    begin(b, 4, WIRE_REFUSE);
    mp_write_uint(b, f->group);
    mp_write_uint(b, f->request);
    mp_write_uint(b, (uint64_t)-f->err);
}

void wire_write_get_state(struct dun_buf *b, const struct wire_frame *f)
{
    begin(b, 7, WIRE_GET_STATE);
    mp_write_uint(b, f->group);
    write_view(b, f->view);
    mp_write_uint(b, f->first_op);
    mp_write_uint(b, f->snap_op);
    mp_write_uint(b, f->offset);
}

void wire_write_new_state(struct dun_buf *b, const struct wire_frame *f)
{
    begin(b, 1 + STANDING_FIELDS + 2, WIRE_NEW_STATE);
    write_standing(b, f);
    write_entries(b, f);
}

void wire_write_snapshot(struct dun_buf *b, const struct wire_frame *f)
{
    begin(b, 1 + STANDING_FIELDS + 4, WIRE_SNAPSHOT);
    write_standing(b, f);
    mp_write_uint(b, f->snap_op);
    mp_write_uint(b, f->offset);
    mp_write_uint(b, f->total);
    mp_write_bytes(b, f->bytes);
}

void wire_write_cast(struct dun_buf *b, struct dun_slice bytes)
{
    begin(b, 2, WIRE_CAST);
    mp_write_bytes(b, bytes);
}

static void read_body(struct mp_reader *r, struct wire_frame *f)
{
    switch (f->type) {
    case WIRE_HELLO: break;
    case WIRE_STATE: read_standing(r, f); break;
    case WIRE_PREPARE:
        f->group = (uint32_t)mp_read_uint(r);
        f->view = read_view(r);
        f->commit = mp_read_uint(r);
        read_entries(r, f);
        break;
    case WIRE_PREPARE_OK:
        f->group = (uint32_t)mp_read_uint(r);
        f->view = read_view(r);
        f->head = mp_read_uint(r);
        break;
    case WIRE_COMMIT:
        f->group = (uint32_t)mp_read_uint(r);
        f->view = read_view(r);
        f->commit = mp_read_uint(r);
        break;
    case WIRE_FORWARD:
        f->group = (uint32_t)mp_read_uint(r);
        f->bytes = mp_read_bytes(r, DUN_OP_MAX);
        break;
    case WIRE_REFUSE:
        f->group = (uint32_t)mp_read_uint(r);
        f->request = mp_read_uint(r);
        f->err = -(int64_t)(mp_read_uint(r) & 0xffff);
        break;
    case WIRE_GET_STATE:
        f->group = (uint32_t)mp_read_uint(r);
        f->view = read_view(r);
        f->first_op = mp_read_uint(r);
        f->snap_op = mp_read_uint(r);
        f->offset = mp_read_uint(r);
        break;
    case WIRE_NEW_STATE:
        read_standing(r, f);
        read_entries(r, f);
        break;
    case WIRE_SNAPSHOT:
        read_standing(r, f);
        f->snap_op = mp_read_uint(r);
        f->offset = mp_read_uint(r);
        f->total = mp_read_uint(r);
        f->bytes = mp_read_bytes(r, DUN_SNAPSHOT_CHUNK);
        break;
    case WIRE_CAST: f->bytes = mp_read_bytes(r, DUN_PACKET_SOFT_MAX); break;
    }
}

static uint32_t field_count(uint64_t type)
{
    switch ((enum wire_type)type) {
    case WIRE_HELLO: return 1;
    case WIRE_STATE: return 1 + STANDING_FIELDS;
    case WIRE_PREPARE: return 7;
    case WIRE_PREPARE_OK: return 5;
    case WIRE_COMMIT: return 5;
    case WIRE_FORWARD: return 3;
    case WIRE_REFUSE: return 4;
    case WIRE_GET_STATE: return 7;
    case WIRE_NEW_STATE: return 1 + STANDING_FIELDS + 2;
    case WIRE_SNAPSHOT: return 1 + STANDING_FIELDS + 4;
    case WIRE_CAST: return 2;
    }
    return 0;
}

dun_err wire_read_frame(struct mp_reader *r, struct wire_frame *out)
{
    if (mp_at_end(r)) return DUN_E_MORE;
    uint32_t fields = mp_read_array(r, 32);
    uint64_t type = mp_read_uint(r);
    if (!mp_ok(r) || type > WIRE_CAST || field_count(type) != fields || fields == 0)
        return DUN_E_MALFORMED;
    memset(out, 0, offsetof(struct wire_frame, entries));
    out->type = (enum wire_type)type;
    read_body(r, out);
    return mp_ok(r) ? DUN_OK : DUN_E_MALFORMED;
}
