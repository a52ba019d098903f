/* transport/session/session_presence.c: who is in a channel. */
#include "transport/session/session_impl.h"

void session_presence_joined(struct session_sub *sub)
{
    (void)sub;
}

void session_presence_left(struct session_sub *sub)
{
    (void)sub;
}

dun_err session_presence_ask(struct session *s, uint32_t id, bool stats, struct dun_slice channel)
{
    (void)s;
    (void)id;
    (void)stats;
    (void)channel;
    return DUN_E_UNKNOWN;
}

void session_hub_heard(struct session_hub *h, const char *from_name, struct dun_slice bytes)
{
    (void)h;
    (void)from_name;
    (void)bytes;
}
