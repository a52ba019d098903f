/* tests/fuzz/fuzz_session.c: three connections on one hub, and a script of what
 * clients and the peer do to them.
 * Input: a mode byte, then steps of [what, length or argument, bytes]. */
#include "tests/fuzz/fuzz_session.h"

enum { STEPS_MAX = 400 };

enum step {
    STEP_RAW, /* bytes as they are */
    STEP_RAW_BYTEWISE,
    STEP_TEXT, /* bytes as one text frame */
    STEP_FRAME,
    STEP_WEBSOCKET, /* handshake and connect */
    STEP_COMMIT,
    STEP_PUBLISHED,
    STEP_PUBLISHED_UNTOLD,
    STEP_TIME,
    STEP_BLOCK,
    STEP_RESYNC,
    STEP_SERVING,
    STEP_HEARD,
    STEP_HEARD_CAST, /* what we cast comes back from another peer */
    STEP_CLOSE,
    STEP_GONE, /* the socket broke */
    STEP_FAIL_PENDING,
    STEP_DRAIN,
    STEP_EPOCH,
    STEP_COUNT
};

static void resync(struct fw *f)
{
    bool groups[DUN_GROUPS_MAX] = {true, true};
    session_hub_resync(&f->hub, groups);
}

static void gone(struct fw *f, uint32_t i)
{
    if (f->clients[i].up) session_deinit(&f->clients[i].s);
    f->clients[i].up = false;
}

static void block(struct fw *f, uint32_t i)
{
    struct fw_client *c = &f->clients[i];
    if (!c->up) return;
    c->blocked = !c->blocked;
    session_set_blocked(&c->s, c->blocked);
}

static void feed(struct fw *f, uint32_t i, enum step what, struct fuzz_in *in)
{
    struct dun_slice bytes = fuzz_take(in, fuzz_u16(in) % 2048);
    if (what == STEP_RAW) fw_feed(f, i, bytes);
    if (what == STEP_TEXT) fw_feed_frame(f, i, WS_TEXT, bytes);
    if (what == STEP_HEARD) session_hub_heard(&f->hub, "n2", bytes);
    for (size_t k = 0; what == STEP_RAW_BYTEWISE && k < bytes.len; k++)
        fw_feed(f, i, dun_slice(bytes.data + k, 1));
}

static void step(struct fw *f, struct fuzz_in *in)
{
    static const char *const channels[] = {"a", "short:a", "bare:a", "who:a"};
    uint8_t what = fuzz_u8(in);
    uint32_t i = what / STEP_COUNT % FW_CLIENTS;
    switch ((enum step)(what % STEP_COUNT)) {
    case STEP_RAW:
    case STEP_RAW_BYTEWISE:
    case STEP_TEXT:
    case STEP_HEARD: feed(f, i, what % STEP_COUNT, in); return;
    case STEP_FRAME: {
        static const enum ws_opcode ops[] = {WS_CONTINUATION, WS_BINARY, WS_CLOSE, WS_PING,
                                             WS_PONG};
        enum ws_opcode op = ops[fuzz_u8(in) % DUN_COUNT(ops)];
        fw_feed_frame(f, i, op, fuzz_take(in, fuzz_u8(in) % (WS_CONTROL_MAX + 1)));
        return;
    }
    case STEP_WEBSOCKET: fw_websocket(f, i); return;
    case STEP_COMMIT: fw_commit(f); return;
    case STEP_PUBLISHED: fw_publish(f, channels[fuzz_u8(in) & 3], dun_slice_str("1"), true); return;
    case STEP_PUBLISHED_UNTOLD:
        fw_publish(f, channels[fuzz_u8(in) & 3], dun_slice_str("2"), false);
        return;
    case STEP_TIME: fw_time(f, (uint64_t)fuzz_u8(in) * 500); return;
    case STEP_BLOCK: block(f, i); return;
    case STEP_RESYNC: resync(f); return;
    case STEP_SERVING: session_hub_serving(&f->hub, fuzz_u8(in) & 1); return;
    case STEP_HEARD_CAST: {
        struct dun_slice copy = fuzz_copy(dun_buf_view(&f->cast));
        session_hub_heard(&f->hub, "n2", copy);
        fuzz_copy_free(copy);
        return;
    }
    case STEP_CLOSE:
        if (f->clients[i].up && f->clients[i].s.phase == SESSION_OPEN)
            session_close(&f->clients[i].s, CMD_CLOSE_SHUTDOWN);
        return;
    case STEP_GONE: gone(f, i); return;
    case STEP_FAIL_PENDING:
        for (uint32_t k = 0; k < f->submit_count; k++)
            dun_blob_unref(f->submits[k].op);
        f->submit_count = 0;
        session_hub_fail_pending(&f->hub, DUN_E_TIMEOUT);
        return;
    case STEP_DRAIN: (void)session_hub_drain(&f->hub, fuzz_u8(in)); return;
    case STEP_EPOCH:
        fw_epoch(f, FW_EPOCH + 1u + fuzz_u8(in));
        resync(f); /* as the core tells of it */
        return;
    case STEP_COUNT: break;
    }
    DUN_UNREACHABLE();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t mode = fuzz_u8(&in);
    struct fw *f = fw_create(mode & 1);
    if (mode & 2) fw_websocket(f, 0);
    for (int n = 0; in.len > 0 && n < STEPS_MAX; n++) {
        step(f, &in);
        if ((mode & 4) == 0 || in.len == 0) fw_turn(f);
    }
    fw_turn(f);
    fw_destroy(f);
    return 0;
}
