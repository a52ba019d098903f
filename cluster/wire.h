/* cluster/wire.h: what peers say on the replication plane, in msgpack.
 * Why: one place knows the byte format; nothing decoded is trusted further than
 * checked here (types, counts, sizes, group and view ranges are the receiver's).
 *
 * A packet is a header, then frames up to its end:
 *   header: version, cluster hash, flags, recipient's boot, order, [boot of each voter]
 *   frame:  [type, fields...]
 * The header's boot vector is the crash vector of Michael et al., Recovering
 * Shared Objects Without Stable Storage (DISC 2017), section 3: every message
 * that counts towards a quorum carries what its sender knows. */
#ifndef DUN_CLUSTER_WIRE_H
#define DUN_CLUSTER_WIRE_H

#include "base/err.h"
#include "base/limits.h"
#include "store/mp.h"

enum { WIRE_VERSION = 2, WIRE_ENTRIES_MAX = DUN_INFLIGHT_MAX };

enum { WIRE_FLAG_CONTACT = 1 /* the sender hears a majority */ };

struct wire_header {
    uint64_t cluster;
    uint64_t flags;
    uint64_t to_boot; /* 0: the sender does not know it */
    uint64_t order;   /* rises with each packet of the sender's life */
    uint64_t boots[DUN_VOTERS_MAX];
};

/* (incarnation, number), ordered. The incarnation counts re-formings; VR's view
 * number is the second part. {0, 0} is "no view yet". */
struct vsr_view {
    uint64_t inc, num;
};

static inline int vsr_view_cmp(struct vsr_view a, struct vsr_view b)
{
    if (a.inc != b.inc) return a.inc < b.inc ? -1 : 1;
    if (a.num != b.num) return a.num < b.num ? -1 : 1;
    return 0;
}

enum wire_type {
    WIRE_HELLO = 1, /* the header is the message */
    WIRE_STATE,     /* where the sender stands in a group; DOVIEWCHANGE, STARTVIEW and
                       RECOVERYRESPONSE of the paper in one, by status */
    WIRE_PREPARE,
    WIRE_PREPARE_OK,
    WIRE_COMMIT,
    WIRE_FORWARD,   /* a publish, to the primary */
    WIRE_REFUSE,    /* the primary did not take a forwarded publish */
    WIRE_GET_STATE, /* log from first_op on, or snapshot chunk at offset */
    WIRE_NEW_STATE, /* its answer with log entries */
    WIRE_SNAPSHOT,  /* its answer with a chunk */
    WIRE_CAST       /* opaque to the cluster */
};

struct wire_entry {
    uint64_t time_ms;
    struct dun_slice op;
};

/* One frame, flat: a type uses the fields its writer below names. */
struct wire_frame {
    enum wire_type type;
    uint64_t order; /* its packet's; not written with the frame */
    uint32_t group;
    uint32_t status;
    struct vsr_view view, log_view, base;
    uint64_t head, commit, base_op;
    uint64_t first_op; /* of entries; wanted, in GET_STATE */
    uint64_t snap_op, offset, total;
    uint64_t request;
    int64_t err;
    struct dun_slice bytes; /* op, chunk or cast */
    uint32_t entry_count;
    struct wire_entry entries[WIRE_ENTRIES_MAX];
};

void wire_write_header(struct dun_buf *b, const struct wire_header *h, uint32_t voter_count);
/* Errors: DUN_E_MALFORMED. *r is left at the first frame. */
dun_err wire_read_header(struct mp_reader *r, uint32_t voter_count,
                         struct wire_header *out) DUN_MUST_USE;
/* Errors: DUN_E_MALFORMED; DUN_E_MORE at the end of the packet. Slices borrow from the packet. */
dun_err wire_read_frame(struct mp_reader *r, struct wire_frame *out) DUN_MUST_USE;

/* Writers take the fields from the frame: */
void wire_write_hello(struct dun_buf *b);
/* group status view log_view base base_op head commit */
void wire_write_state(struct dun_buf *b, const struct wire_frame *f);
/* group view commit first_op entries */
void wire_write_prepare(struct dun_buf *b, const struct wire_frame *f);
/* group view head */
void wire_write_prepare_ok(struct dun_buf *b, const struct wire_frame *f);
/* group view commit */
void wire_write_commit(struct dun_buf *b, const struct wire_frame *f);
/* group bytes */
void wire_write_forward(struct dun_buf *b, const struct wire_frame *f);
/* group request err */
void wire_write_refuse(struct dun_buf *b, const struct wire_frame *f);
/* group view first_op snap_op offset */
void wire_write_get_state(struct dun_buf *b, const struct wire_frame *f);
/* group status view log_view base base_op head commit first_op entries */
void wire_write_new_state(struct dun_buf *b, const struct wire_frame *f);
/* group status view log_view base base_op head commit snap_op offset total bytes */
void wire_write_snapshot(struct dun_buf *b, const struct wire_frame *f);
/* bytes */
void wire_write_cast(struct dun_buf *b, struct dun_slice bytes);

#endif
