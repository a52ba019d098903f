/* transport/codec/jwt.h: JSON Web Tokens signed with HMAC (RFC 7519, RFC 7515).
 * Source of the claims: protocol.md, section 12.
 * Why so narrow: the classic holes are `alg: none`, a token choosing its own
 * key type, and lenient base64. Here the caller lists the keys, each with its
 * one algorithm, and a token whose `alg` none of them has is refused. */
#ifndef DUN_TRANSPORT_CODEC_JWT_H
#define DUN_TRANSPORT_CODEC_JWT_H

#include "base/buf.h"
#include "base/err.h"

enum jwt_alg { JWT_HS256, JWT_HS512 };

struct jwt_key {
    enum jwt_alg alg;
    struct dun_slice secret; /* not empty (asserted): an empty one would let anyone in */
};

enum jwt_kind { JWT_CONNECTION, JWT_SUBSCRIPTION };

/* Text is decoded, empty when absent; raw is JSON text, empty when absent. */
struct jwt_claims {
    struct dun_slice sub;
    struct dun_slice channel, client; /* subscription tokens */
    bool has_client, has_sub;
    uint64_t exp_s, nbf_s; /* 0 = absent */
    bool has_expire_at;
    uint64_t expire_at_s;      /* 0 = never, when has_expire_at */
    struct dun_slice info;     /* raw; b64info decoded and checked wins over info */
    struct dun_slice data;     /* raw; likewise with b64data */
    struct dun_slice channels; /* raw array of strings, checked */
    struct dun_slice subs;     /* raw object of objects, checked */
    struct dun_slice override; /* raw object */
    struct dun_slice meta;     /* raw; never shown to clients */
    struct dun_slice iss;      /* text; whether it is the right one is the caller's to check */
    struct dun_slice aud;      /* raw string or array; likewise */
};

/* Verify @token with any of @keys (rotation: new first, then old), check times
 * against @now_s (Unix seconds) and read the claims. Signature before claims.
 * On DUN_OK *out borrows from @scratch only; it is valid until @scratch is next
 * written. Room is reserved first.
 * Errors: DUN_E_MALFORMED not a JWT, or claims of the wrong type (also a `sub`
 *   that is no string); DUN_E_TOO_BIG over DUN_TOKEN_MAX; DUN_E_DENIED unknown
 *   `alg`, wrong signature, a `crit` header, or a `channel` claim in a
 *   connection token (none in a subscription token); DUN_E_EXPIRED `exp` at or
 *   before @now_s, or `nbf` after it: error 109. */
DUN_MUST_USE dun_err jwt_verify(struct dun_slice token, enum jwt_kind kind,
                                const struct jwt_key *keys, size_t key_count, uint64_t now_s,
                                struct dun_buf *scratch, struct jwt_claims *out);

/* When the connection or subscription ends: expire_at if given, else exp;
 * 0 = never. */
uint64_t jwt_expires_at_s(const struct jwt_claims *c);

/* Append a signed token. @claims: a JSON object as text (asserted). */
void jwt_sign(struct dun_buf *b, const struct jwt_key *key, struct dun_slice claims);

#endif
