/* tests/fuzz/fuzz_reply.c: what a server says, as the client library decodes it.
 * Claim: a publication that decodes, written by the server's writer and decoded
 * again, is the same. */
#include "tests/fuzz/fuzz.h"
#include "transport/codec/cmd_client.h"

/* Writers strip raw newlines, so compare what is left. */
static void same_json(struct dun_slice a, struct dun_slice b)
{
    struct dun_buf x = {0};
    DUN_ASSERT(a.len == 0 || json_check_reply(a) == DUN_OK);
    if (a.len > 0) json_strip_newlines(&x, a);
    DUN_ASSERT(dun_slice_eq(dun_buf_view(&x), b));
    dun_buf_deinit(&x);
}

/* A server may nest deeper than what it takes from clients, and this is what it took. */
static bool sendable(struct dun_slice value)
{
    return value.len == 0 || json_check(value) == DUN_OK;
}

static void check_publication(struct dun_slice channel, const struct cmd_publication *p)
{
    struct dun_buf b = {0}, scratch = {0};
    struct cmd_reply r;
    if (p->data.len == 0 || channel.len == 0) return;
    if (!sendable(p->data) || !sendable(p->tags) || !sendable(p->info)) return;
    cmd_write_pub_push(&b, channel, p);
    dun_err e = cmd_client_decode(dun_buf_view(&b), &scratch, &r);
    DUN_ASSERT(e == DUN_OK && r.type == CMD_REPLY_PUB && dun_slice_eq(r.channel, channel));
    same_json(p->data, r.publication.data);
    same_json(p->tags, r.publication.tags);
    same_json(p->info, r.publication.info);
    DUN_ASSERT(r.publication.offset == p->offset && r.publication.time_ms == p->time_ms);
    dun_buf_deinit(&scratch);
    dun_buf_deinit(&b);
}

static void walk_publications(struct dun_slice array)
{
    struct json_iter it;
    struct cmd_publication p;
    struct dun_buf scratch = {0};
    dun_err e = json_array(array, &it);
    DUN_ASSERT(e == DUN_OK);
    dun_buf_reserve(&scratch, array.len);
    while ((e = cmd_client_next_publication(&it, &scratch, &p)) == DUN_OK) {
        fuzz_read(p.data);
        fuzz_read(p.info);
        check_publication(dun_slice_str("c"), &p);
    }
    DUN_ASSERT(e == DUN_E_GONE || e == DUN_E_MALFORMED);
    dun_buf_deinit(&scratch);
}

static void check_reply(const struct cmd_reply *r)
{
    fuzz_read(r->channel);
    switch (r->type) {
    case CMD_REPLY_PUB: check_publication(r->channel, &r->publication); break;
    case CMD_REPLY_JOIN:
    case CMD_REPLY_LEAVE:
        fuzz_read(r->info.user);
        fuzz_read(r->info.client);
        break;
    case CMD_REPLY_SUBSCRIBE: walk_publications(r->subscribe.publications); break;
    case CMD_REPLY_ERROR:
    case CMD_REPLY_UNSUBSCRIBE:
    case CMD_REPLY_DISCONNECT: fuzz_read(r->error.message); break;
    case CMD_REPLY_RESULT:
        DUN_ASSERT(r->id > 0);
        if (r->result == CMD_SUBSCRIBE) walk_publications(r->subscribe.publications);
        if (r->result == CMD_HISTORY) walk_publications(r->history.publications);
        if (r->result == CMD_CONNECT) {
            fuzz_read(r->connect.subs);
            fuzz_read(r->connect.client);
        }
        break;
    case CMD_REPLY_MESSAGE: fuzz_read(r->raw); break;
    case CMD_REPLY_PING:
    case CMD_REPLY_OTHER: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dun_slice rest = {data, size}, line;
    while (cmd_next_line(&rest, &line)) {
        struct dun_slice copy = fuzz_copy(line);
        struct dun_buf scratch = {0};
        struct cmd_reply r;
        dun_err e = cmd_client_decode(copy, &scratch, &r);
        if (e == DUN_OK) {
            check_reply(&r);
        } else {
            DUN_ASSERT(e == DUN_E_MALFORMED || e == DUN_E_TOO_BIG);
        }
        dun_buf_deinit(&scratch);
        fuzz_copy_free(copy);
    }
    return 0;
}
