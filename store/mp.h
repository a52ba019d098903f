/* store/mp.h: msgpack in and out, for operations, snapshots and peer frames.
 * Why: writing goes through msgpack-c's packer into a dun_buf; reading is a
 * bounds-checked cursor that borrows, because msgpack-c's unpacker builds a
 * heap tree per message and input from a peer is hostile until parsed.
 * A reader that fails stays failed: check mp_ok() once at the end. Every value
 * returned after a failure is zero or empty. */
#ifndef DUN_STORE_MP_H
#define DUN_STORE_MP_H

#include "base/buf.h"

struct mp_reader {
    const uint8_t *p, *end;
    bool failed;
};

static inline struct mp_reader mp_reader(struct dun_slice s)
{
    /* Nothing may come as NULL, to which nothing may be added. */
    return (struct mp_reader){s.data, s.len != 0 ? s.data + s.len : s.data, false};
}

bool mp_ok(const struct mp_reader *r);
bool mp_at_end(const struct mp_reader *r); /* nothing left and not failed */
uint64_t mp_read_uint(struct mp_reader *r);
bool mp_read_bool(struct mp_reader *r);
/* Element count, at most @max, else the reader fails. */
uint32_t mp_read_array(struct mp_reader *r, uint32_t max);
/* str or bin of at most @max bytes; borrowed from the input. */
struct dun_slice mp_read_bytes(struct mp_reader *r, size_t max);

void mp_write_uint(struct dun_buf *b, uint64_t v);
void mp_write_bool(struct dun_buf *b, bool v);
void mp_write_array(struct dun_buf *b, uint32_t count);
void mp_write_bytes(struct dun_buf *b, struct dun_slice s); /* as bin */

#endif
