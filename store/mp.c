/* store/mp.c: see the header. Format: the msgpack specification's family bytes. */
#include "store/mp.h"

#include <msgpack.h>

bool mp_ok(const struct mp_reader *r)
{
    return !r->failed;
}

bool mp_at_end(const struct mp_reader *r)
{
    return !r->failed && r->p == r->end;
}

static void fail(struct mp_reader *r)
{
    r->failed = true;
    r->p = r->end;
}

static uint64_t take_be(struct mp_reader *r, size_t width)
{
    if ((size_t)(r->end - r->p) < width) {
        fail(r);
        return 0;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < width; i++)
        v = v << 8 | *r->p++;
    return v;
}

static uint8_t take_tag(struct mp_reader *r)
{
    return (uint8_t)take_be(r, 1);
}

uint64_t mp_read_uint(struct mp_reader *r)
{
    if (r->failed) return 0;
    uint8_t tag = take_tag(r);
    if (tag < 0x80) return tag;
    if (tag >= 0xcc && tag <= 0xcf) return take_be(r, (size_t)1 << (tag - 0xcc));
    fail(r);
    return 0;
}

bool mp_read_bool(struct mp_reader *r)
{
    if (r->failed) return false;
    uint8_t tag = take_tag(r);
    if (tag != 0xc2 && tag != 0xc3) fail(r);
    return tag == 0xc3;
}

uint32_t mp_read_array(struct mp_reader *r, uint32_t max)
{
    if (r->failed) return 0;
    uint8_t tag = take_tag(r);
    uint64_t n = 0;
    if ((tag & 0xf0) == 0x90)
        n = tag & 0x0f;
    else if (tag == 0xdc)
        n = take_be(r, 2);
    else if (tag == 0xdd)
        n = take_be(r, 4);
    else
        fail(r);
    if (n > max) fail(r);
    return r->failed ? 0 : (uint32_t)n;
}

struct dun_slice mp_read_bytes(struct mp_reader *r, size_t max)
{
    struct dun_slice none = {NULL, 0};
    if (r->failed) return none;
    uint8_t tag = take_tag(r);
    uint64_t n = 0;
    if ((tag & 0xe0) == 0xa0)
        n = tag & 0x1f;
    else if (tag == 0xc4 || tag == 0xd9)
        n = take_be(r, 1);
    else if (tag == 0xc5 || tag == 0xda)
        n = take_be(r, 2);
    else if (tag == 0xc6 || tag == 0xdb)
        n = take_be(r, 4);
    else
        fail(r);
    if (n > max || n > (uint64_t)(r->end - r->p)) fail(r);
    if (r->failed) return none;
    struct dun_slice s = {r->p, (size_t)n};
    r->p += n;
    return s;
}

static int write_cb(void *ctx, const char *data, size_t len)
{
    dun_buf_add(ctx, data, len);
    return 0;
}

static msgpack_packer packer(struct dun_buf *b)
{
    return (msgpack_packer){.data = b, .callback = write_cb};
}

void mp_write_uint(struct dun_buf *b, uint64_t v)
{
    msgpack_packer p = packer(b);
    msgpack_pack_uint64(&p, v);
}

void mp_write_bool(struct dun_buf *b, bool v)
{
    msgpack_packer p = packer(b);
    if (v)
        msgpack_pack_true(&p);
    else
        msgpack_pack_false(&p);
}

void mp_write_array(struct dun_buf *b, uint32_t count)
{
    msgpack_packer p = packer(b);
    msgpack_pack_array(&p, count);
}

void mp_write_bytes(struct dun_buf *b, struct dun_slice s)
{
    msgpack_packer p = packer(b);
    msgpack_pack_bin(&p, s.len);
    if (s.len != 0) msgpack_pack_bin_body(&p, s.data, s.len);
}
