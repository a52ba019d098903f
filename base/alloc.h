/* base/alloc.h: allocation that does not return NULL.
 * Why: every size is bounded by base/limits.h, so running out means the host
 * gives less than the configured budget. The replicated state machine cannot
 * skip an operation, so the peer stops; the cluster survives a crash. */
#ifndef DUN_BASE_ALLOC_H
#define DUN_BASE_ALLOC_H

#include <stddef.h>

void *dun_malloc(size_t size);
void *dun_calloc(size_t count, size_t size); /* zeroed; overflow of the product aborts */
void *dun_realloc(void *p, size_t size);
char *dun_strdup(const char *s);
void dun_free(void *p);

#endif
