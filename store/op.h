/* store/op.h: the operations that replication orders and every peer applies.
 * Why: whatever changes a sequence number, an epoch or what counts as a repeat
 * is one of these, so peers that applied the same prefix agree byte for byte.
 * Encoding: one msgpack array, [type, origin, origin_boot, request, ...].
 * An operation is decoded (and thereby validated) before it is replicated;
 * slices borrow from the encoded bytes. */
#ifndef DUN_STORE_OP_H
#define DUN_STORE_OP_H

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"

enum store_op_type {
    STORE_OP_PUBLISH = 1,
    STORE_OP_DROP = 2, /* forget idle channels; the group's epoch moves on */
    STORE_OP_EPOCH = 3 /* first operation of a new incarnation: every channel gets this epoch */
};

enum { STORE_DROP_MAX = 256 /* channels in one DROP */ };

struct store_op {
    enum store_op_type type;
    /* Who submitted it, for exactly-once application of internal retries.
     * request 0: not deduplicated (operations a primary makes itself). */
    uint32_t origin; /* voter index */
    uint64_t origin_boot;
    uint64_t request;
    union {
        struct {
            struct dun_slice channel; /* 1..DUN_CHANNEL_MAX */
            struct dun_slice key;     /* idempotency key or empty, <= DUN_KEY_MAX */
            struct dun_slice data;    /* valid JSON, <= DUN_PAYLOAD_MAX */
            struct dun_slice tags;    /* JSON object or empty, <= DUN_TAGS_MAX */
            struct dun_slice info;    /* publisher's ClientInfo JSON or empty, <= DUN_INFO_MAX */
        } publish;
        struct {
            uint32_t count;
            struct dun_slice channels[STORE_DROP_MAX];
        } drop;
        struct {
            uint64_t epoch;
        } epoch;
    };
};

/* Appends the encoding of @op to @out. */
void store_op_encode(const struct store_op *op, struct dun_buf *out);
/* Errors: DUN_E_MALFORMED, DUN_E_TOO_BIG; *out is then unspecified. */
dun_err store_op_decode(struct dun_slice bytes, struct store_op *out) DUN_MUST_USE;

#endif
