/* store/namespace.c: see the header. */
#include "store/namespace.h"

struct dun_slice store_namespace_of(struct dun_slice channel)
{
    size_t from = channel.len != 0 && channel.data[0] == '$' ? 1 : 0;
    for (size_t i = from; i < channel.len; i++)
        if (channel.data[i] == ':') return dun_slice(channel.data + from, i - from);
    return dun_slice("", 0);
}

const struct store_namespace *store_namespace_find(const struct store_namespace *list,
                                                   uint32_t count, struct dun_slice channel)
{
    struct dun_slice name = store_namespace_of(channel);
    for (uint32_t i = 0; i < count; i++)
        if (dun_slice_is(name, list[i].name)) return &list[i];
    return NULL;
}
