/* base/assert.c: a failed assertion names its place and aborts. A crashed peer
 * is a fault the cluster survives; a peer that goes on wrongly is not. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void dun_assert_fail(const char *expr, const char *file, int line)
{
    fprintf(stderr, "dunlin: assertion failed: %s at %s:%d; please report this line\n", expr, file,
            line);
    abort();
}
