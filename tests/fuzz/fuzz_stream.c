/* tests/fuzz/fuzz_stream.c: the bytes of one client, whole and in pieces.
 * Claim: what a client is answered does not depend on how its bytes arrive, through
 * HTTP, the WebSocket upgrade, frames, fragments and commands. Publishes are
 * committed after all of it, as their answers may stand anywhere between others.
 * Input: a mode byte (1: without tokens, 2: a WebSocket is open already, the rest: the
 * size of the pieces), the bytes. */
#include "tests/fuzz/fuzz_session.h"

enum { TURNS_MAX = 64, STREAM_MAX = 2048 };

/* False: the connection reads no more. */
static bool feed(struct fw *f, struct dun_slice bytes)
{
    for (int turns = 0; turns < TURNS_MAX; turns++) {
        if (!f->clients[0].up) return false;
        if (session_wants_read(&f->clients[0].s)) {
            fw_feed(f, 0, bytes);
            return true;
        }
        fw_turn(f);
    }
    return false;
}

/* Who sends its body at once need not be told to go on (RFC 9110, 10.1.1). */
static void without_continue(struct dun_slice got, struct dun_buf *out)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const uint8_t *p = got.data, *end = got.data + got.len, *found;
    while (p < end && (found = memmem(p, (size_t)(end - p), line, strlen(line))) != NULL) {
        dun_buf_add(out, p, (size_t)(found - p));
        p = found + strlen(line);
    }
    dun_buf_add(out, p, (size_t)(end - p));
}

/* How frames are cut is free: what they say, a line each; other bytes as they are. */
static void said(struct dun_slice got, struct dun_buf *out)
{
    struct ws_frame fr;
    size_t used;
    const char *end = NULL;
    if (got.len == 0) return;
    if (got.len >= 12 && memcmp(got.data, "HTTP/1.1 101", 12) == 0)
        end = memmem(got.data, got.len, "\r\n\r\n", 4);
    if (end == NULL) {
        without_continue(got, out);
        return;
    }
    size_t at = (size_t)(end + 4 - (const char *)got.data);
    dun_buf_add(out, got.data, at);
    while (ws_decode(got.data + at, got.len - at, WS_CLIENT, 64 << 20, &fr, &used) == DUN_OK) {
        dun_buf_printf(out, "%s", fr.opcode == WS_TEXT ? "" : "\nframe ");
        dun_buf_slice(out, fr.payload);
        dun_buf_byte(out, '\n');
        at += used;
    }
    DUN_ASSERT(at == got.len);
}

static void answers(uint8_t mode, struct dun_slice bytes, size_t piece, struct dun_buf *out)
{
    struct fw *f = fw_create(mode & 1);
    f->keep = true;
    (void)fw_session(f, 0);
    if (mode & 2) fw_websocket(f, 0);
    for (size_t at = 0; at < bytes.len; at += piece) {
        size_t n = bytes.len - at < piece ? bytes.len - at : piece;
        if (!feed(f, dun_slice(bytes.data + at, n))) break;
    }
    fw_turn(f);
    fw_commit(f);
    fw_turn(f);
    said(dun_buf_view(&f->clients[0].got), out);
    fw_destroy(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t mode = fuzz_u8(&in);
    struct dun_slice bytes = fuzz_take(&in, STREAM_MAX);
    struct dun_buf whole = {0}, pieces = {0};
    if (bytes.len == 0) return 0;
    answers(mode, bytes, bytes.len, &whole);
    answers(mode, bytes, mode >> 2 == 0 ? 1 : mode >> 2, &pieces);
    DUN_ASSERT(dun_slice_eq(dun_buf_view(&whole), dun_buf_view(&pieces)));
    dun_buf_deinit(&pieces);
    dun_buf_deinit(&whole);
    return 0;
}
