/* transport/client/client_backoff.c: see the header for the rules. */
#include "transport/client/client_backoff.h"

#include "base/assert.h"

void client_backoff_up(struct client_backoff *b, uint64_t now_ms)
{
    b->up_ms = now_ms != 0 ? now_ms : 1;
}

uint64_t client_backoff_lost(struct client_backoff *b, uint64_t now_ms, struct dun_prng *p)
{
    DUN_ASSERT(b->ms_min > 0);
    DUN_ASSERT(b->ms_min <= b->ms_max);
    if (b->up_ms != 0 && now_ms >= b->up_ms + CLIENT_LASTED_MS) b->attempts = 0;
    b->up_ms = 0;
    uint32_t n = b->attempts;
    if (b->attempts < UINT32_MAX) b->attempts++;
    if (n == 0) return 0;
    uint64_t top = n < 32 ? (uint64_t)b->ms_min << n : b->ms_max;
    if (top > b->ms_max) top = b->ms_max;
    return dun_prng_range(p, b->ms_min, top);
}
