/* cluster/seal.h: the envelope around every packet between peers.
 * Why: whoever reaches a peer's port must not be able to read, forge, redirect
 * or repeat a packet. XChaCha20-Poly1305 (libsodium) under the cluster key.
 * Its 24-byte nonce is long enough to be random, so no state survives a restart.
 *
 * Pure: no clock, no chance, no allocation but into a passed dun_buf. The
 * caller has called sodium_init() and passes nonces of its own.
 *
 * Layout, integers big-endian; everything before the payload is authenticated:
 *   0  magic "DunL"          9  key id, 8 (plain: zero)
 *   4  version 1            17  sender's boot id, u64
 *   5  flags: 1 = sealed    25  counter, u64
 *   6  plane                33  nonce, 24 (plain: zero)
 *   7  sender name length   57  sender name, recipient name
 *   8  recipient length      .  payload (sealed: encrypted, then a tag of 16)
 *
 * (1) A sealed packet opens only if every byte is as its sender wrote it.
 * (2) A keyring without keys takes and makes plain packets only, one with keys
 *     sealed ones only: nothing downgrades.
 * (3) Nothing of a packet that was refused reaches the output but zeros. */
#ifndef DUN_CLUSTER_SEAL_H
#define DUN_CLUSTER_SEAL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

enum {
    SEAL_KEY_BYTES = 32,
    SEAL_KEYS_MAX = 4, /* rotation: old, new and two to spare */
    SEAL_KEY_ID_BYTES = 8,
    SEAL_NONCE_BYTES = 24,
    SEAL_TAG_BYTES = 16,
    SEAL_FIXED_BYTES = 57,
    SEAL_OVERHEAD_MAX = SEAL_FIXED_BYTES + 2 * DUN_NAME_MAX + SEAL_TAG_BYTES,
    SEAL_WINDOW_BITS = 1024, /* two connections to one peer may race by this many packets */
};

/* Seal with keys[0], open with any; count 0 means plain packets. */
struct seal_keyring {
    uint32_t count;
    struct {
        uint8_t id[SEAL_KEY_ID_BYTES]; /* generichash of the key, so it tells nothing of it */
        uint8_t key[SEAL_KEY_BYTES];
    } keys[SEAL_KEYS_MAX];
};

struct seal_header {
    bool sealed;
    uint8_t plane;
    char from[DUN_NAME_MAX + 1];
    char to[DUN_NAME_MAX + 1]; /* "" = whoever answers at that address */
    uint64_t boot;             /* the sender's */
    uint64_t counter;          /* strictly rising per (sender, boot, plane) */
    uint8_t nonce[SEAL_NONCE_BYTES];
};

/* @keys count of them, count <= SEAL_KEYS_MAX. deinit wipes. */
void seal_keyring_init(struct seal_keyring *k, const uint8_t (*keys)[SEAL_KEY_BYTES],
                       uint32_t count);
void seal_keyring_deinit(struct seal_keyring *k);

/* 1..DUN_NAME_MAX printable ASCII bytes, no space, quote or backslash: a name
 * from outside may be logged as it is. */
bool seal_name_ok(const char *name);

/* What seal_close writes for @h and a payload of @payload_len. */
size_t seal_size(const struct seal_keyring *k, const struct seal_header *h, size_t payload_len);

/* Writes the envelope to @out (exactly seal_size() bytes). h->sealed is ignored, the
 * keyring decides; h->nonce must never repeat under a key: pass 24 random bytes.
 * @payload must not overlap @out. h->from is a valid name, h->to valid or "". */
void seal_close(const struct seal_keyring *k, const struct seal_header *h, struct dun_slice payload,
                uint8_t *out);
void seal_close_buf(const struct seal_keyring *k, const struct seal_header *h,
                    struct dun_slice payload, struct dun_buf *out);

/* Reads the clear header, which nobody has vouched for: for logs only.
 * Errors: DUN_E_MALFORMED. */
dun_err seal_peek(struct dun_slice packet, struct seal_header *h) DUN_MUST_USE;

/* Opens @packet in place; @payload points into it. @h, @payload only on DUN_OK.
 * Errors: DUN_E_MALFORMED; DUN_E_UNKNOWN for another recipient than @our_name;
 * DUN_E_DENIED plain where we have a key, or sealed where we have none;
 * DUN_E_FORGED no key of ours opens it.
 * Replay is not checked: see seal_window_take. */
dun_err seal_open(const struct seal_keyring *k, const char *our_name, uint8_t *packet, size_t len,
                  struct seal_header *h, struct dun_slice *payload) DUN_MUST_USE;
/* The same, leaving @packet as it is and appending the payload to @out. */
dun_err seal_open_buf(const struct seal_keyring *k, const char *our_name, struct dun_slice packet,
                      struct seal_header *h, struct dun_buf *out) DUN_MUST_USE;

/* What one (sender, plane) has already delivered. Zero-initialise to start.
 * Bit (c mod SEAL_WINDOW_BITS) says whether counter c, top - BITS < c <= top, was seen. */
struct seal_window {
    uint64_t boot, top;
    uint64_t bits[SEAL_WINDOW_BITS / 64];
};

/* Call with an opened header only. A newer boot starts anew.
 * Errors: DUN_E_STALE older boot; DUN_E_REPLAY seen, or too old to tell. */
dun_err seal_window_take(struct seal_window *w, uint64_t boot, uint64_t counter) DUN_MUST_USE;

#endif
