/* tests/fuzz/fuzz_cmd.c: what clients say, one WebSocket message of lines.
 * Claim: a command that decodes, written by the client's writer and decoded
 * again, is the same command. */
#include "tests/fuzz/fuzz.h"
#include "transport/codec/cmd_client.h"

static void same(struct dun_slice a, struct dun_slice b)
{
    DUN_ASSERT(dun_slice_eq(a, b));
}

/* Writers strip raw newlines, so compare what is left. */
static void same_json(struct dun_slice a, struct dun_slice b)
{
    struct dun_buf x = {0};
    DUN_ASSERT(a.len == 0 || json_check(a) == DUN_OK);
    if (a.len > 0) json_strip_newlines(&x, a);
    same(dun_buf_view(&x), b);
    dun_buf_deinit(&x);
}

static void same_subscribe(const struct cmd_subscribe *a, const struct cmd_subscribe *b)
{
    same(a->channel, b->channel);
    same(a->token, b->token);
    same(a->epoch, b->epoch);
    same_json(a->data, b->data);
    DUN_ASSERT(a->offset == b->offset && a->recover == b->recover);
    DUN_ASSERT(a->positioned == b->positioned && a->recoverable == b->recoverable);
    DUN_ASSERT(a->join_leave == b->join_leave && a->flag == b->flag && a->type == b->type);
    same(a->delta, b->delta);
    same_json(a->tf, b->tf);
}

/* Of one type; false: the client has no writer for it. */
static bool write_again(struct dun_buf *b, const struct cmd *c)
{
    switch (c->type) {
    case CMD_CONNECT: cmd_client_connect(b, c->id, &c->connect); return true;
    case CMD_SUBSCRIBE: cmd_client_subscribe(b, c->id, &c->subscribe); return true;
    case CMD_UNSUBSCRIBE: cmd_client_unsubscribe(b, c->id, c->unsubscribe.channel); return true;
    case CMD_PUBLISH:
        cmd_client_publish(b, c->id, c->publish.channel, c->publish.data);
        return true;
    case CMD_PRESENCE: cmd_client_presence(b, c->id, c->presence.channel); return true;
    case CMD_PRESENCE_STATS:
        cmd_client_presence_stats(b, c->id, c->presence_stats.channel);
        return true;
    case CMD_HISTORY: cmd_client_history(b, c->id, &c->history); return true;
    case CMD_RPC: cmd_client_rpc(b, c->id, c->rpc.method, c->rpc.data); return true;
    case CMD_REFRESH: cmd_client_refresh(b, c->id, c->refresh.token); return true;
    case CMD_SUB_REFRESH:
        cmd_client_sub_refresh(b, c->id, c->sub_refresh.channel, c->sub_refresh.token);
        return true;
    case CMD_PONG: cmd_client_pong(b); return true;
    case CMD_PING:
    case CMD_SEND:
    case CMD_TYPE_COUNT: return false;
    }
    DUN_UNREACHABLE();
}

static void compare(const struct cmd *a, const struct cmd *b)
{
    DUN_ASSERT(a->type == b->type && a->id == b->id);
    switch (a->type) {
    case CMD_CONNECT:
        same(a->connect.token, b->connect.token);
        same(a->connect.name, b->connect.name);
        same(a->connect.version, b->connect.version);
        same_json(a->connect.data, b->connect.data);
        same_json(a->connect.subs, b->connect.subs);
        break;
    case CMD_SUBSCRIBE: same_subscribe(&a->subscribe, &b->subscribe); break;
    case CMD_PUBLISH:
        same(a->publish.channel, b->publish.channel);
        same_json(a->publish.data, b->publish.data);
        break;
    case CMD_HISTORY:
        same(a->history.channel, b->history.channel);
        DUN_ASSERT(a->history.limit == b->history.limit);
        DUN_ASSERT(a->history.reverse == b->history.reverse);
        DUN_ASSERT(a->history.has_since == b->history.has_since);
        if (!a->history.has_since) break;
        DUN_ASSERT(a->history.since_offset == b->history.since_offset);
        same(a->history.since_epoch, b->history.since_epoch);
        break;
    case CMD_RPC:
        same(a->rpc.method, b->rpc.method);
        same_json(a->rpc.data, b->rpc.data);
        break;
    case CMD_REFRESH: same(a->refresh.token, b->refresh.token); break;
    case CMD_SUB_REFRESH:
        same(a->sub_refresh.channel, b->sub_refresh.channel);
        same(a->sub_refresh.token, b->sub_refresh.token);
        break;
    case CMD_UNSUBSCRIBE:
    case CMD_PRESENCE:
    case CMD_PRESENCE_STATS: same(a->presence.channel, b->presence.channel); break;
    case CMD_PONG:
    case CMD_PING:
    case CMD_SEND:
    case CMD_TYPE_COUNT: break;
    }
}

static void walk_subs(struct dun_slice subs)
{
    struct json_iter it;
    struct cmd_subscribe sub;
    struct dun_buf scratch = {0};
    if (subs.len == 0) return;
    dun_err e = json_object(subs, &it);
    DUN_ASSERT(e == DUN_OK);
    dun_buf_reserve(&scratch, subs.len);
    while ((e = cmd_next_sub(&it, &scratch, &sub)) == DUN_OK) {
        fuzz_read(sub.channel);
        fuzz_read(sub.epoch);
    }
    DUN_ASSERT(e == DUN_E_GONE || e == DUN_E_MALFORMED);
    dun_buf_deinit(&scratch);
}

static void check_line(struct dun_slice line)
{
    struct dun_buf scratch = {0}, again = {0}, b = {0};
    struct cmd c, d;
    dun_err e = cmd_decode(line, &scratch, &c);
    if (e == DUN_OK) {
        if (c.type == CMD_CONNECT) walk_subs(c.connect.subs);
        if (write_again(&b, &c)) {
            e = cmd_decode(dun_buf_view(&b), &again, &d);
            DUN_ASSERT(e == DUN_OK);
            compare(&c, &d);
        }
    } else {
        DUN_ASSERT(e == DUN_E_MALFORMED || e == DUN_E_TOO_BIG);
    }
    dun_buf_deinit(&b);
    dun_buf_deinit(&again);
    dun_buf_deinit(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dun_slice rest = {data, size}, line;
    while (cmd_next_line(&rest, &line)) {
        struct dun_slice copy = fuzz_copy(line);
        DUN_ASSERT(line.len > 0 && memchr(line.data, '\n', line.len) == NULL);
        check_line(copy);
        fuzz_copy_free(copy);
    }
    return 0;
}
