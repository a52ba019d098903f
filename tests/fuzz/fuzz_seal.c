/* tests/fuzz/fuzz_seal.c: envelopes between peers, with and without keys.
 * Claims: nothing opens under a key but what was sealed under it, unchanged;
 * a plain packet never opens where there is a key.
 * Mode byte: 0 raw, no key; 1 raw, with keys; 2 sealed, then changed. */
#include "cluster/seal.h"
#include "tests/fuzz/fuzz.h"

#include <sodium.h>

#include <stdio.h>

static const uint8_t keys[2][SEAL_KEY_BYTES] = {{1, 2, 3}, {4, 5, 6}};

static void check_window(const struct seal_header *h)
{
    struct seal_window w = {0};
    if (seal_window_take(&w, h->boot, h->counter) == DUN_OK)
        DUN_ASSERT(seal_window_take(&w, h->boot, h->counter) == DUN_E_REPLAY);
}

static void raw(struct dun_slice bytes, uint32_t key_count)
{
    struct seal_keyring k;
    struct seal_header h, peeked;
    struct dun_slice payload;
    struct dun_slice copy = fuzz_copy(bytes);
    seal_keyring_init(&k, keys, key_count);
    dun_err peek = seal_peek(copy, &peeked);
    dun_err e = seal_open(&k, "n1", (uint8_t *)(uintptr_t)copy.data, copy.len, &h, &payload);
    if (e == DUN_OK) {
        struct dun_buf b = {0};
        DUN_ASSERT(peek == DUN_OK && h.sealed == (key_count > 0) && seal_name_ok(h.from));
        DUN_ASSERT(fuzz_within(payload, copy));
        DUN_ASSERT(h.to[0] == '\0' || strcmp(h.to, "n1") == 0);
        check_window(&h);
        seal_close_buf(&k, &h, payload, &b);
        DUN_ASSERT(dun_slice_eq(dun_buf_view(&b), bytes));
        dun_buf_deinit(&b);
    }
    seal_keyring_deinit(&k);
    fuzz_copy_free(copy);
}

static void changed(struct fuzz_in *in)
{
    struct seal_keyring ours, theirs;
    struct seal_header h = {.plane = fuzz_u8(in), .boot = fuzz_u16(in), .counter = fuzz_u16(in)};
    struct seal_header got;
    struct dun_buf b = {0}, out = {0};
    size_t at = fuzz_u16(in);
    uint8_t flip = fuzz_u8(in);
    snprintf(h.from, sizeof h.from, "n2");
    snprintf(h.to, sizeof h.to, "%s", flip & 1 ? "n1" : "");
    memcpy(h.nonce, "nonce", 5);
    struct dun_slice payload = fuzz_rest(in);
    seal_keyring_init(&ours, keys, 2);
    seal_keyring_init(&theirs, keys + 1, 1);
    seal_close_buf(&theirs, &h, payload, &b);
    DUN_ASSERT(b.len == seal_size(&theirs, &h, payload.len));
    dun_err e = seal_open_buf(&ours, "n1", dun_buf_view(&b), &got, &out);
    DUN_ASSERT(e == DUN_OK && dun_slice_eq(dun_buf_view(&out), payload));
    DUN_ASSERT(got.sealed && got.boot == h.boot && got.counter == h.counter);
    out.len = 0;
    b.data[at % b.len] ^= flip;
    e = seal_open_buf(&ours, "n1", dun_buf_view(&b), &got, &out);
    DUN_ASSERT((e == DUN_OK) == (flip == 0));
    dun_buf_deinit(&out);
    dun_buf_deinit(&b);
    seal_keyring_deinit(&theirs);
    seal_keyring_deinit(&ours);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    DUN_ASSERT(sodium_init() >= 0);
    switch (fuzz_u8(&in) % 3) {
    case 0: raw(fuzz_rest(&in), 0); break;
    case 1: raw(fuzz_rest(&in), 2); break;
    case 2: changed(&in); break;
    default: DUN_UNREACHABLE();
    }
    return 0;
}
