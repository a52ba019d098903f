/* store/request.c: see the header. */
#include "store/request.h"

#include "base/assert.h"

#include <string.h>

_Static_assert(DUN_REQUEST_WINDOW % 64 == 0, "whole words");
_Static_assert((DUN_REQUEST_WINDOW & (DUN_REQUEST_WINDOW - 1)) == 0, "modulo is a mask");
_Static_assert((DUN_INFLIGHT_MAX & (DUN_INFLIGHT_MAX - 1)) == 0, "modulo is a mask");

static uint64_t *word(struct store_request *w, uint64_t request)
{
    return &w->bits[request % DUN_REQUEST_WINDOW / 64];
}

static uint64_t bit(uint64_t request)
{
    return (uint64_t)1 << (request % 64);
}

uint64_t store_request_first(const struct store_request *w)
{
    return w->max > DUN_REQUEST_WINDOW ? w->max - DUN_REQUEST_WINDOW + 1 : 1;
}

uint64_t store_request_first_result(const struct store_request *w)
{
    return w->max > DUN_INFLIGHT_MAX ? w->max - DUN_INFLIGHT_MAX + 1 : 1;
}

bool store_request_has(const struct store_request *w, uint64_t request)
{
    if (request > w->max || request < store_request_first(w)) return false;
    return (w->bits[request % DUN_REQUEST_WINDOW / 64] & bit(request)) != 0;
}

dun_err store_request_check(const struct store_request *w, uint64_t boot, uint64_t request,
                            struct store_request_result *result)
{
    DUN_ASSERT(request != 0);
    *result = (struct store_request_result){0, 0};
    if (boot < w->boot) return DUN_E_STALE;
    if (boot > w->boot || request > w->max) return DUN_OK;
    if (request < store_request_first(w)) return DUN_E_STALE;
    if (!store_request_has(w, request)) return DUN_OK;
    if (request >= store_request_first_result(w)) *result = w->results[request % DUN_INFLIGHT_MAX];
    return DUN_E_STALE;
}

static void advance(struct store_request *w, uint64_t request)
{
    if (request - w->max >= DUN_REQUEST_WINDOW) {
        memset(w->bits, 0, sizeof w->bits);
    } else {
        for (uint64_t r = w->max + 1; r <= request && r != 0; r++)
            *word(w, r) &= ~bit(r);
    }
    w->max = request;
}

void store_request_record(struct store_request *w, uint64_t boot, uint64_t request,
                          struct store_request_result result)
{
    DUN_ASSERT(request != 0);
    DUN_ASSERT(boot >= w->boot);
    if (boot > w->boot) {
        w->boot = boot;
        w->max = 0;
        memset(w->bits, 0, sizeof w->bits);
    }
    if (request > w->max) advance(w, request);
    DUN_ASSERT(request >= store_request_first(w));
    DUN_ASSERT(!store_request_has(w, request));
    *word(w, request) |= bit(request);
    /* An older number shares its slot with one that is still asked for. */
    if (request >= store_request_first_result(w)) w->results[request % DUN_INFLIGHT_MAX] = result;
}
