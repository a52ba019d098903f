/* store/op.c: see the header. Per type, after the four common elements:
 *   PUBLISH  channel, key, data, tags, info
 *   DROP     [channel, ...]
 *   EPOCH    epoch */
#include "store/op.h"

#include "base/assert.h"
#include "store/mp.h"

enum {
    OP_PUBLISH_ELEMENTS = 9,
    OP_DROP_ELEMENTS = 5,
    OP_EPOCH_ELEMENTS = 5,
    OP_ELEMENTS_MAX = 9,
    OP_HEAD_MAX = 64, /* tags and integers of the longest head */
};

_Static_assert(STORE_DROP_MAX *(DUN_CHANNEL_MAX + 2) + OP_HEAD_MAX <= DUN_OP_MAX,
               "a full DROP is an operation like any other");

static void write_head(const struct store_op *op, uint32_t elements, struct dun_buf *out)
{
    mp_write_array(out, elements);
    mp_write_uint(out, (uint64_t)op->type);
    mp_write_uint(out, op->origin);
    mp_write_uint(out, op->origin_boot);
    mp_write_uint(out, op->request);
}

void store_op_encode(const struct store_op *op, struct dun_buf *out)
{
    DUN_ASSERT(op->origin < DUN_VOTERS_MAX);
    switch (op->type) {
    case STORE_OP_PUBLISH:
        DUN_ASSERT(op->publish.channel.len != 0);
        DUN_ASSERT(op->publish.channel.len <= DUN_CHANNEL_MAX);
        write_head(op, OP_PUBLISH_ELEMENTS, out);
        mp_write_bytes(out, op->publish.channel);
        mp_write_bytes(out, op->publish.key);
        mp_write_bytes(out, op->publish.data);
        mp_write_bytes(out, op->publish.tags);
        mp_write_bytes(out, op->publish.info);
        return;
    case STORE_OP_DROP:
        DUN_ASSERT(op->drop.count != 0);
        DUN_ASSERT(op->drop.count <= STORE_DROP_MAX);
        write_head(op, OP_DROP_ELEMENTS, out);
        mp_write_array(out, op->drop.count);
        for (uint32_t i = 0; i < op->drop.count; i++)
            mp_write_bytes(out, op->drop.channels[i]);
        return;
    case STORE_OP_EPOCH:
        write_head(op, OP_EPOCH_ELEMENTS, out);
        mp_write_uint(out, op->epoch.epoch);
        return;
    }
    DUN_UNREACHABLE();
}

/* Bytes of @min..@max; longer ones are told apart from malformed ones. */
static struct dun_slice take(struct mp_reader *r, size_t min, size_t max, dun_err *e)
{
    struct dun_slice s = mp_read_bytes(r, DUN_OP_MAX);
    if (*e == DUN_OK && s.len > max) *e = DUN_E_TOO_BIG;
    if (*e == DUN_OK && s.len < min) *e = DUN_E_MALFORMED;
    return s;
}

static dun_err decode_publish(struct mp_reader *r, struct store_op *out)
{
    dun_err e = DUN_OK;
    out->publish.channel = take(r, 1, DUN_CHANNEL_MAX, &e);
    out->publish.key = take(r, 0, DUN_KEY_MAX, &e);
    out->publish.data = take(r, 1, DUN_PAYLOAD_MAX, &e);
    out->publish.tags = take(r, 0, DUN_TAGS_MAX, &e);
    out->publish.info = take(r, 0, DUN_INFO_MAX, &e);
    return e;
}

static dun_err decode_drop(struct mp_reader *r, struct store_op *out)
{
    dun_err e = DUN_OK;
    out->drop.count = mp_read_array(r, STORE_DROP_MAX);
    if (out->drop.count == 0) return DUN_E_MALFORMED;
    for (uint32_t i = 0; i < out->drop.count; i++)
        out->drop.channels[i] = take(r, 1, DUN_CHANNEL_MAX, &e);
    return e;
}

/* Fills @out piecemeal: zeroing all of it would cost more than the decoding of a publish. */
dun_err store_op_decode(struct dun_slice bytes, struct store_op *out)
{
    if (bytes.len > DUN_OP_MAX) return DUN_E_TOO_BIG;
    struct mp_reader r = mp_reader(bytes);
    uint32_t elements = mp_read_array(&r, OP_ELEMENTS_MAX), want = 0;
    uint64_t type = mp_read_uint(&r);
    uint64_t origin = mp_read_uint(&r);
    out->origin_boot = mp_read_uint(&r);
    out->request = mp_read_uint(&r);
    if (!mp_ok(&r) || origin >= DUN_VOTERS_MAX) return DUN_E_MALFORMED;
    out->origin = (uint32_t)origin;

    dun_err e = DUN_OK;
    switch (type) {
    case STORE_OP_PUBLISH:
        out->type = STORE_OP_PUBLISH;
        want = OP_PUBLISH_ELEMENTS;
        e = decode_publish(&r, out);
        break;
    case STORE_OP_DROP:
        out->type = STORE_OP_DROP;
        want = OP_DROP_ELEMENTS;
        e = decode_drop(&r, out);
        break;
    case STORE_OP_EPOCH:
        out->type = STORE_OP_EPOCH;
        want = OP_EPOCH_ELEMENTS;
        out->epoch.epoch = mp_read_uint(&r);
        break;
    default: return DUN_E_MALFORMED;
    }
    if (!mp_at_end(&r) || elements != want) return DUN_E_MALFORMED;
    return e;
}
