/* store/namespace.h: what a channel's namespace (the part before ':') asks for.
 * Options bear the names of the client protocol, section 13. Retention options
 * are a local cache decision; they never influence seq or epoch, so peers with
 * different values still agree. */
#ifndef DUN_STORE_NAMESPACE_H
#define DUN_STORE_NAMESPACE_H

#include "base/limits.h"
#include "base/slice.h"

struct store_namespace {
    char name[DUN_NAME_MAX + 1];  /* "" is the default namespace */
    uint32_t history_size;        /* messages kept per channel; 0 = none */
    uint64_t history_ttl_ms;      /* 0 = none kept */
    uint64_t history_meta_ttl_ms; /* idle channel forgotten after; 0 = 30 days */
    bool force_recovery, allow_recovery;
    bool force_positioning, allow_positioning;
    bool presence, join_leave, force_push_join_leave;
    bool allow_subscribe_for_client, allow_subscribe_for_anonymous;
    bool allow_publish_for_client, allow_publish_for_subscriber, allow_publish_for_anonymous;
    bool allow_history_for_client, allow_history_for_subscriber, allow_history_for_anonymous;
    bool allow_presence_for_client, allow_presence_for_subscriber, allow_presence_for_anonymous;
};

/* The namespace part of a channel name: text before the first ':' after an
 * optional leading '$'; "" when there is none. */
struct dun_slice store_namespace_of(struct dun_slice channel);
/* The entry of @list[count] for @channel, or NULL when unknown. */
const struct store_namespace *store_namespace_find(const struct store_namespace *list,
                                                   uint32_t count, struct dun_slice channel);
static inline bool store_namespace_has_history(const struct store_namespace *ns)
{
    return ns->history_size != 0 && ns->history_ttl_ms != 0;
}

#endif
