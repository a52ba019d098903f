/* store/request.h: which requests of one origin a group has applied.
 * Why: a peer repeats a request to the next primary when it does not know
 * whether the last one got it committed; this makes it apply once.
 * (1) Of the last DUN_REQUEST_WINDOW numbers up to `max` a bit tells each one;
 *     every number below counts as applied.
 * (2) Of the last DUN_INFLIGHT_MAX numbers the position is known too. */
#ifndef DUN_STORE_REQUEST_H
#define DUN_STORE_REQUEST_H

#include "base/err.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct store_request_result {
    uint64_t seq, epoch;
};

struct store_request {
    uint64_t boot;
    uint64_t max;                           /* highest applied; 0 = none of this boot */
    uint64_t bits[DUN_REQUEST_WINDOW / 64]; /* by number modulo the window */
    struct store_request_result results[DUN_INFLIGHT_MAX]; /* likewise */
};

/* Has (@boot, @request) been applied? @request is not 0. DUN_E_STALE: yes, or it is of an older
 * boot or below the window; *result then has the position, or zeros when not known. */
dun_err store_request_check(const struct store_request *w, uint64_t boot, uint64_t request,
                            struct store_request_result *result) DUN_MUST_USE;
/* Notes a request that store_request_check() found to be new. */
void store_request_record(struct store_request *w, uint64_t boot, uint64_t request,
                          struct store_request_result result);
/* Applied, and within the window? */
bool store_request_has(const struct store_request *w, uint64_t request);
/* Lowest number the window reaches, and the lowest with a position; from 1. */
uint64_t store_request_first(const struct store_request *w);
uint64_t store_request_first_result(const struct store_request *w);

#endif
