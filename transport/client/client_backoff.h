/* transport/client/client_backoff.h: how long to wait before the next attempt.
 * Why: one lost connection must heal at once, a dead cluster must not be
 * hammered, and ten thousand clients must not come back in the same millisecond.
 * (1) The first attempt after a connection that had lasted is immediate.
 * (2) Attempt n after that waits a random time in [min, min·2^n], at most max.
 * (3) A connection that did not last does not reset the count, so a server that
 *     accepts and drops clients is not asked in a tight loop. */
#ifndef DUN_TRANSPORT_CLIENT_CLIENT_BACKOFF_H
#define DUN_TRANSPORT_CLIENT_CLIENT_BACKOFF_H

#include "base/prng.h"

#include <stdint.h>

enum {
    CLIENT_BACKOFF_MS_MIN = 50,
    CLIENT_BACKOFF_MS_MAX = 20 * 1000,
    CLIENT_LASTED_MS = 1000, /* a connection that was up this long counts as good */
};

/* Set the limits, zero the rest. */
struct client_backoff {
    uint32_t ms_min, ms_max; /* 0 < min <= max */
    uint32_t attempts;       /* since the last connection that lasted */
    uint64_t up_ms;          /* when the present connection was accepted; 0 = not up */
};

void client_backoff_up(struct client_backoff *b, uint64_t now_ms);

/* The connection or attempt is over: milliseconds to wait before the next. */
uint64_t client_backoff_lost(struct client_backoff *b, uint64_t now_ms, struct dun_prng *p);

#endif
