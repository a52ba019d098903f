/* cluster/seal.c: see the header. */
#include "cluster/seal.h"

#include "base/assert.h"

#include <sodium.h>

enum {
    OFF_VERSION = 4,
    OFF_FLAGS = 5,
    OFF_PLANE = 6,
    OFF_FROM_LEN = 7,
    OFF_TO_LEN = 8,
    OFF_KEY_ID = 9,
    OFF_BOOT = 17,
    OFF_COUNTER = 25,
    OFF_NONCE = 33,
    VERSION = 1,
    FLAG_SEALED = 1,
};

static const uint8_t magic[4] = {'D', 'u', 'n', 'L'};

_Static_assert(SEAL_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");
_Static_assert(SEAL_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(SEAL_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");
_Static_assert(OFF_NONCE + SEAL_NONCE_BYTES == SEAL_FIXED_BYTES, "layout");
_Static_assert(DUN_NAME_MAX <= UINT8_MAX, "a name's length is one byte");

static void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

void seal_keyring_init(struct seal_keyring *k, const uint8_t (*keys)[SEAL_KEY_BYTES],
                       uint32_t count)
{
    DUN_ASSERT(count <= SEAL_KEYS_MAX);
    *k = (struct seal_keyring){.count = count};
    for (uint32_t i = 0; i < count; i++) {
        uint8_t hash[crypto_generichash_BYTES];
        crypto_generichash(hash, sizeof hash, keys[i], SEAL_KEY_BYTES, NULL, 0);
        memcpy(k->keys[i].id, hash, SEAL_KEY_ID_BYTES);
        memcpy(k->keys[i].key, keys[i], SEAL_KEY_BYTES);
    }
}

void seal_keyring_deinit(struct seal_keyring *k)
{
    sodium_memzero(k, sizeof *k);
}

static bool name_bytes_ok(const uint8_t *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (name[i] <= 0x20 || name[i] >= 0x7f || name[i] == '"' || name[i] == '\\') return false;
    return true;
}

bool seal_name_ok(const char *name)
{
    size_t len = strnlen(name, DUN_NAME_MAX + 1);
    return len >= 1 && len <= DUN_NAME_MAX && name_bytes_ok((const uint8_t *)name, len);
}

static size_t head_size(const struct seal_header *h)
{
    return SEAL_FIXED_BYTES + strlen(h->from) + strlen(h->to);
}

size_t seal_size(const struct seal_keyring *k, const struct seal_header *h, size_t payload_len)
{
    return head_size(h) + payload_len + (k->count != 0 ? SEAL_TAG_BYTES : 0);
}

void seal_close(const struct seal_keyring *k, const struct seal_header *h, struct dun_slice payload,
                uint8_t *out)
{
    DUN_ASSERT(seal_name_ok(h->from));
    DUN_ASSERT(h->to[0] == '\0' || seal_name_ok(h->to));
    size_t from_len = strlen(h->from), to_len = strlen(h->to), head = head_size(h);
    bool sealed = k->count != 0;

    memset(out, 0, SEAL_FIXED_BYTES);
    memcpy(out, magic, sizeof magic);
    out[OFF_VERSION] = VERSION;
    out[OFF_FLAGS] = sealed ? FLAG_SEALED : 0;
    out[OFF_PLANE] = h->plane;
    out[OFF_FROM_LEN] = (uint8_t)from_len;
    out[OFF_TO_LEN] = (uint8_t)to_len;
    put_u64(out + OFF_BOOT, h->boot);
    put_u64(out + OFF_COUNTER, h->counter);
    memcpy(out + SEAL_FIXED_BYTES, h->from, from_len);
    memcpy(out + SEAL_FIXED_BYTES + from_len, h->to, to_len);
    if (!sealed) {
        if (payload.len != 0) memcpy(out + head, payload.data, payload.len);
        return;
    }
    memcpy(out + OFF_KEY_ID, k->keys[0].id, SEAL_KEY_ID_BYTES);
    memcpy(out + OFF_NONCE, h->nonce, SEAL_NONCE_BYTES);
    int rc = crypto_aead_xchacha20poly1305_ietf_encrypt(out + head, NULL, payload.data, payload.len,
                                                        out, head, NULL, h->nonce, k->keys[0].key);
    DUN_ASSERT(rc == 0);
}

void seal_close_buf(const struct seal_keyring *k, const struct seal_header *h,
                    struct dun_slice payload, struct dun_buf *out)
{
    size_t size = seal_size(k, h, payload.len);
    dun_buf_reserve(out, size);
    seal_close(k, h, payload, out->data + out->len);
    out->len += size;
}

/* Every byte of a header means something or is refused: a plain packet has no
 * key id or nonce, so two different packets never read the same. */
static dun_err head_parse(struct dun_slice p, struct seal_header *h, size_t *head)
{
    static const uint8_t zero[SEAL_NONCE_BYTES];
    if (p.len < SEAL_FIXED_BYTES) return DUN_E_MALFORMED;
    if (memcmp(p.data, magic, sizeof magic) != 0) return DUN_E_MALFORMED;
    if (p.data[OFF_VERSION] != VERSION || p.data[OFF_FLAGS] > FLAG_SEALED) return DUN_E_MALFORMED;
    size_t from_len = p.data[OFF_FROM_LEN], to_len = p.data[OFF_TO_LEN];
    if (from_len == 0 || from_len > DUN_NAME_MAX || to_len > DUN_NAME_MAX) return DUN_E_MALFORMED;
    size_t size = SEAL_FIXED_BYTES + from_len + to_len;
    bool sealed = p.data[OFF_FLAGS] == FLAG_SEALED;
    if (p.len < size + (sealed ? SEAL_TAG_BYTES : 0)) return DUN_E_MALFORMED;
    const uint8_t *names = p.data + SEAL_FIXED_BYTES;
    if (!name_bytes_ok(names, from_len + to_len)) return DUN_E_MALFORMED;
    if (!sealed && (memcmp(p.data + OFF_KEY_ID, zero, SEAL_KEY_ID_BYTES) != 0 ||
                    memcmp(p.data + OFF_NONCE, zero, SEAL_NONCE_BYTES) != 0))
        return DUN_E_MALFORMED;

    *h = (struct seal_header){.sealed = sealed,
                              .plane = p.data[OFF_PLANE],
                              .boot = get_u64(p.data + OFF_BOOT),
                              .counter = get_u64(p.data + OFF_COUNTER)};
    memcpy(h->from, names, from_len);
    memcpy(h->to, names + from_len, to_len);
    memcpy(h->nonce, p.data + OFF_NONCE, SEAL_NONCE_BYTES);
    *head = size;
    return DUN_OK;
}

dun_err seal_peek(struct dun_slice packet, struct seal_header *h)
{
    struct seal_header got;
    size_t head;
    dun_err e = head_parse(packet, &got, &head);
    if (e == DUN_OK) *h = got;
    return e;
}

/* @out has room for the payload; it may be the packet's own payload. */
static dun_err open_to(const struct seal_keyring *k, const struct seal_header *h,
                       struct dun_slice packet, size_t head, uint8_t *out)
{
    for (uint32_t i = 0; i < k->count; i++) {
        if (memcmp(packet.data + OFF_KEY_ID, k->keys[i].id, SEAL_KEY_ID_BYTES) != 0) continue;
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, packet.data + head,
                                                       packet.len - head, packet.data, head,
                                                       h->nonce, k->keys[i].key) == 0)
            return DUN_OK;
    }
    return DUN_E_FORGED;
}

/* What can be refused before any work on the payload. */
static dun_err admit(const struct seal_keyring *k, const char *our_name, struct dun_slice packet,
                     struct seal_header *h, size_t *head)
{
    dun_err e = head_parse(packet, h, head);
    if (e != DUN_OK) return e;
    if (h->sealed != (k->count != 0)) return DUN_E_DENIED;
    if (h->to[0] != '\0' && strcmp(h->to, our_name) != 0) return DUN_E_UNKNOWN;
    return DUN_OK;
}

dun_err seal_open(const struct seal_keyring *k, const char *our_name, uint8_t *packet, size_t len,
                  struct seal_header *h, struct dun_slice *payload)
{
    struct seal_header got;
    size_t head;
    dun_err e = admit(k, our_name, dun_slice(packet, len), &got, &head);
    if (e != DUN_OK) return e;
    size_t payload_len = len - head;
    if (got.sealed) {
        e = open_to(k, &got, dun_slice(packet, len), head, packet + head);
        if (e != DUN_OK) return e;
        payload_len -= SEAL_TAG_BYTES;
    }
    *h = got;
    *payload = dun_slice(packet + head, payload_len);
    return DUN_OK;
}

dun_err seal_open_buf(const struct seal_keyring *k, const char *our_name, struct dun_slice packet,
                      struct seal_header *h, struct dun_buf *out)
{
    struct seal_header got;
    size_t head;
    dun_err e = admit(k, our_name, packet, &got, &head);
    if (e != DUN_OK) return e;
    if (got.sealed) {
        size_t payload_len = packet.len - head - SEAL_TAG_BYTES;
        dun_buf_reserve(out, payload_len + 1); /* never NULL, even for an empty payload */
        e = open_to(k, &got, packet, head, out->data + out->len);
        if (e != DUN_OK) return e;
        out->len += payload_len;
    } else {
        dun_buf_add(out, packet.data + head, packet.len - head);
    }
    *h = got;
    return DUN_OK;
}

dun_err seal_window_take(struct seal_window *w, uint64_t boot, uint64_t counter)
{
    if (boot < w->boot) return DUN_E_STALE;
    if (boot > w->boot) *w = (struct seal_window){.boot = boot};
    if (counter > w->top) {
        if (counter - w->top >= SEAL_WINDOW_BITS)
            memset(w->bits, 0, sizeof w->bits);
        else
            for (uint64_t c = w->top + 1; c != counter + 1; c++)
                w->bits[c % SEAL_WINDOW_BITS / 64] &= ~(UINT64_C(1) << c % 64);
        w->top = counter;
    }
    if (w->top - counter >= SEAL_WINDOW_BITS) return DUN_E_REPLAY;
    uint64_t *word = &w->bits[counter % SEAL_WINDOW_BITS / 64];
    uint64_t bit = UINT64_C(1) << counter % 64;
    if (*word & bit) return DUN_E_REPLAY;
    *word |= bit;
    return DUN_OK;
}
