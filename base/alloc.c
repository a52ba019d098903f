/* base/alloc.c: see the header for why failure aborts. */
#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *p, size_t size)
{
    if (p == NULL && size != 0) {
        fprintf(stderr,
                "dunlin: out of memory for %zu bytes; lower store.max_memory or give the host "
                "more memory\n",
                size);
        abort();
    }
    return p;
}

void *dun_malloc(size_t size)
{
    return checked(malloc(size), size);
}

void *dun_calloc(size_t count, size_t size)
{
    void *p = calloc(count, size); /* calloc checks the product */
    return checked(p, count != 0 ? size : 0);
}

void *dun_realloc(void *p, size_t size)
{
    return checked(realloc(p, size), size);
}

char *dun_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(dun_malloc(n), s, n);
}

void dun_free(void *p)
{
    free(p);
}
