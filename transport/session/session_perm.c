/* transport/session/session_perm.c: who may do what in a channel.
 * Source: protocol.md, section 13. */
#include "transport/session/session_impl.h"

#include <sodium.h>

const struct store_namespace *session_ns(const struct session_hub *h, struct dun_slice channel)
{
    return store_namespace_find(h->options->namespaces, h->options->namespace_count, channel);
}

static bool granted(const struct session_user *u, bool client, bool anonymous, bool subscriber,
                    bool subscribed)
{
    if (client && (u->user.len > 0 || anonymous)) return true;
    return subscriber && subscribed;
}

bool session_may(const struct session_user *u, enum session_right right,
                 const struct store_namespace *ns, struct dun_slice channel, bool subscribed)
{
    switch (right) {
    case SESSION_SUBSCRIBE:
        /* '$' needs a token; '#' would limit it to users, which no option allows here. */
        if (channel.len > 0 && channel.data[0] == '$') return false;
        if (u->insecure) return true;
        if (memchr(channel.data, '#', channel.len) != NULL) return false;
        return granted(u, ns->allow_subscribe_for_client, ns->allow_subscribe_for_anonymous, false,
                       subscribed);
    case SESSION_PUBLISH:
        return u->insecure ||
               granted(u, ns->allow_publish_for_client, ns->allow_publish_for_anonymous,
                       ns->allow_publish_for_subscriber, subscribed);
    case SESSION_HISTORY:
        return u->insecure ||
               granted(u, ns->allow_history_for_client, ns->allow_history_for_anonymous,
                       ns->allow_history_for_subscriber, subscribed);
    case SESSION_PRESENCE:
        return u->insecure ||
               granted(u, ns->allow_presence_for_client, ns->allow_presence_for_anonymous,
                       ns->allow_presence_for_subscriber, subscribed);
    }
    DUN_UNREACHABLE();
}

bool session_origin_ok(const struct session_options *o, struct dun_slice origin,
                       struct dun_slice host)
{
    if (origin.len == 0) return true;
    for (uint32_t i = 0; i < o->origin_count; i++)
        if (strcmp(o->origins[i], "*") == 0 || dun_slice_is(origin, o->origins[i])) return true;
    if (o->insecure && o->origin_count == 0) return true;
    /* A page served by this very address. */
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < DUN_COUNT(schemes); i++) {
        size_t n = strlen(schemes[i]);
        if (host.len > 0 && origin.len > n && memcmp(origin.data, schemes[i], n) == 0 &&
            dun_slice_eq(dun_slice(origin.data + n, origin.len - n), host))
            return true;
    }
    return false;
}

bool session_equal_secret(struct dun_slice given, const char *want)
{
    /* Comparing digests takes the same time whatever the lengths are. */
    uint8_t a[crypto_generichash_BYTES], b[crypto_generichash_BYTES];
    crypto_generichash(a, sizeof a, given.data, given.len, NULL, 0);
    crypto_generichash(b, sizeof b, (const uint8_t *)want, strlen(want), NULL, 0);
    return sodium_memcmp(a, b, sizeof a) == 0;
}

enum cmd_error session_error_of(dun_err e)
{
    if (e == DUN_E_FULL) return CMD_ERR_LIMIT_EXCEEDED;
    if (e == DUN_E_OVERLOADED) return CMD_ERR_TOO_MANY_REQUESTS;
    if (e == DUN_E_TOO_BIG || e == DUN_E_MALFORMED) return CMD_ERR_BAD_REQUEST;
    if (e == DUN_E_UNKNOWN) return CMD_ERR_NOT_AVAILABLE;
    return CMD_ERR_INTERNAL; /* temporary: unready, overloaded, timed out */
}
