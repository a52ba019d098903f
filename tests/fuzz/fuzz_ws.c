/* tests/fuzz/fuzz_ws.c: WebSocket frames, read as a server and as a client.
 * Claims: what is decided on a prefix is not taken back by more bytes; a frame
 * that decodes has the shortest header, so encoding it again gives the same bytes. */
#include "tests/fuzz/fuzz.h"
#include "transport/codec/ws.h"

static void check_close(struct dun_slice payload)
{
    uint16_t code;
    struct dun_slice reason;
    if (ws_parse_close(payload, &code, &reason) != DUN_OK) return;
    DUN_ASSERT(fuzz_within(reason, payload));
    DUN_ASSERT(code == WS_CLOSE_NONE ? payload.len == 0 : ws_close_code_valid(code));
    struct dun_buf b = {0};
    struct ws_frame f;
    size_t used;
    ws_write_close(&b, code, reason, NULL);
    dun_err e = ws_decode(b.data, b.len, WS_CLIENT, WS_CONTROL_MAX, &f, &used);
    DUN_ASSERT(e == DUN_OK && used == b.len && f.opcode == WS_CLOSE);
    if (payload.len <= WS_CONTROL_MAX) DUN_ASSERT(dun_slice_eq(f.payload, payload));
    dun_buf_deinit(&b);
}

static void check_again(const struct ws_frame *f, const uint8_t *bytes, size_t used)
{
    uint8_t header[WS_HEADER_MAX];
    size_t n =
        ws_encode_header(header, f->opcode, f->fin, f->payload.len, f->masked ? f->mask : NULL);
    DUN_ASSERT(n + f->payload.len == used && memcmp(header, bytes, n) == 0);
    struct dun_slice plain = fuzz_copy(f->payload);
    uint8_t *p = (uint8_t *)(uintptr_t)plain.data;
    size_t half = plain.len / 3;
    if (f->masked) {
        ws_mask(p, half, f->mask, 0);
        ws_mask(p + half, plain.len - half, f->mask, half);
    }
    if (f->opcode == WS_CLOSE) check_close(plain);
    struct dun_buf b = {0};
    ws_write(&b, f->opcode, plain, f->masked ? f->mask : NULL);
    if (f->fin) DUN_ASSERT(b.len == used && memcmp(b.data, bytes, used) == 0);
    dun_buf_deinit(&b);
    fuzz_copy_free(plain);
}

static void check_prefix(struct dun_slice s, size_t n, enum ws_role role, size_t max, dun_err want,
                         size_t want_used)
{
    struct ws_frame f;
    size_t used;
    if (n > s.len) return;
    fuzz_arrived(s, n);
    dun_err e = ws_decode(s.data, n, role, max, &f, &used);
    if (e != DUN_E_MORE) DUN_ASSERT(e == want);
    if (e == DUN_OK) DUN_ASSERT(used == want_used && n >= used);
    if (want == DUN_OK) DUN_ASSERT((e == DUN_OK) == (n >= want_used));
    fuzz_arrived(s, s.len);
}

/* Every cut of the header, and those around the end of the frame. */
static void check_prefixes(struct dun_slice s, enum ws_role role, size_t max, dun_err want,
                           size_t want_used)
{
    for (size_t n = 0; n <= WS_HEADER_MAX; n++)
        check_prefix(s, n, role, max, want, want_used);
    if (want == DUN_OK) {
        check_prefix(s, want_used - 1, role, max, want, want_used);
        check_prefix(s, want_used, role, max, want, want_used);
    } else if (s.len > 0) {
        check_prefix(s, s.len - 1, role, max, want, want_used);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t mode = fuzz_u8(&in);
    enum ws_role role = mode & 1 ? WS_CLIENT : WS_SERVER;
    size_t max = mode & 2 ? 100 : 65536;
    while (in.len > 0) {
        struct dun_slice s = fuzz_copy((struct dun_slice){in.p, in.len});
        struct ws_frame f;
        size_t used = 0;
        dun_err e = ws_decode(s.data, s.len, role, max, &f, &used);
        check_prefixes(s, role, max, e, used);
        if (e == DUN_OK) {
            DUN_ASSERT(used > 0 && used <= s.len && f.payload.len <= max);
            DUN_ASSERT(fuzz_within(f.payload, s) && f.masked == (role == WS_SERVER));
            check_again(&f, s.data, used);
            fuzz_take(&in, used);
        }
        fuzz_copy_free(s);
        if (e != DUN_OK) break;
    }
    check_close((struct dun_slice){data, size});
    return 0;
}
