/* base/err.h: the one error type of the project.
 * Why: a caller reads the family from the sign and the hundred, the text from
 * one table, and nothing foreign (errno, uv, nng) leaks past its adapter.
 * Families: -1.. try again, -100.. a peer or client sent something wrong,
 * -200.. the cluster cannot do it now, -300.. this host cannot. */
#ifndef DUN_BASE_ERR_H
#define DUN_BASE_ERR_H

#define DUN_ERR_MAP(X)                                                                   \
    X(DUN_OK, 0, "ok")                                                                   \
    X(DUN_E_MORE, -1, "need more bytes")                                                 \
    X(DUN_E_FULL, -2, "a bounded queue or table is full")                                \
    X(DUN_E_MALFORMED, -100, "malformed input")                                          \
    X(DUN_E_TOO_BIG, -101, "over a size limit")                                          \
    X(DUN_E_UNKNOWN, -102, "unknown name")                                               \
    X(DUN_E_DENIED, -103, "not permitted")                                               \
    X(DUN_E_STALE, -104, "from an older view or boot")                                   \
    X(DUN_E_FORGED, -105, "seal does not open")                                          \
    X(DUN_E_REPLAY, -106, "replayed frame")                                              \
    X(DUN_E_EXPIRED, -107, "expired")                                                    \
    X(DUN_E_CONFLICT, -108, "conflicts with another peer or value")                      \
    X(DUN_E_GONE, -109, "no longer in the history")                                      \
    X(DUN_E_NOTPRIMARY, -200, "not the primary")                                         \
    X(DUN_E_UNREADY, -201, "this peer is not in contact with a majority")                \
    X(DUN_E_OVERLOADED, -202, "overloaded, try again")                                   \
    X(DUN_E_TIMEOUT, -203, "not committed in time; retry with the same idempotency key") \
    X(DUN_E_CLOSED, -204, "closed")                                                      \
    X(DUN_E_IO, -300, "input or output failed")                                          \
    X(DUN_E_IN_USE, -301, "address in use")                                              \
    X(DUN_E_USAGE, -302, "bad usage")                                                    \
    X(DUN_E_CONFIG, -303, "bad configuration")

typedef enum dun_err {
#define X(name, value, text) name = value,
    DUN_ERR_MAP(X)
#undef X
} dun_err;

#define DUN_MUST_USE __attribute__((warn_unused_result))

/* The table's text for @e; never NULL. */
const char *dun_err_text(dun_err e);

#endif
