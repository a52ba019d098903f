/* tests/fuzz/fuzz_api.c: bodies of the HTTP server API, each decoder on each.
 * Claim: what is accepted keeps the limits that the publish path relies on. */
#include "tests/fuzz/fuzz.h"
#include "transport/codec/api.h"
#include "transport/codec/utf8.h"

static void refused(dun_err e, const struct api_refusal *why)
{
    DUN_ASSERT(e == DUN_E_MALFORMED || e == DUN_E_DENIED);
    DUN_ASSERT(why->detail != NULL);
    if (e != DUN_E_DENIED) return;
    struct dun_buf b = {0};
    api_write_error(&b, why->code, why->detail, false);
    DUN_ASSERT(json_check_type(dun_buf_view(&b), JSON_OBJECT) == DUN_OK);
    DUN_ASSERT(api_status(why->code) >= 400);
    dun_buf_deinit(&b);
}

static void check_payload(const struct api_publish *p)
{
    DUN_ASSERT(p->data.len > 0 && p->data.len <= DUN_PAYLOAD_MAX);
    DUN_ASSERT(json_check(p->data) == DUN_OK);
    DUN_ASSERT(p->idempotency_key.len <= DUN_KEY_MAX && p->tags.len <= DUN_TAGS_MAX);
    DUN_ASSERT(utf8_valid(p->idempotency_key));
    if (p->tags.len > 0) DUN_ASSERT(json_check_type(p->tags, JSON_OBJECT) == DUN_OK);
}

static void check_channel(struct dun_slice c)
{
    DUN_ASSERT(c.len > 0 && c.len <= DUN_CHANNEL_MAX && utf8_valid(c));
    DUN_ASSERT(memchr(c.data, 0, c.len) == NULL);
}

static void broadcast(struct dun_slice body)
{
    struct dun_buf scratch = {0};
    struct api_refusal why = {0};
    struct api_broadcast q;
    dun_err e = api_decode_broadcast(body, &scratch, &q, &why);
    if (e != DUN_OK) {
        refused(e, &why);
    } else {
        struct json_iter it;
        struct dun_slice channel;
        size_t count = 0;
        DUN_ASSERT(json_array(q.channels, &it) == DUN_OK);
        while (api_next_channel(&it, &scratch, &channel)) {
            check_channel(channel);
            count++;
        }
        DUN_ASSERT(count == q.channel_count && count <= DUN_API_CHANNELS_MAX && count > 0);
        check_payload(&q.publish);
    }
    dun_buf_deinit(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dun_slice body = fuzz_copy((struct dun_slice){data, size});
    struct dun_buf scratch = {0};
    struct api_refusal why = {0};
    struct api_publish p;
    dun_err e = api_decode_publish(body, &scratch, &p, &why);
    if (e == DUN_OK) {
        check_channel(p.channel);
        check_payload(&p);
    } else {
        refused(e, &why);
    }
    broadcast(body);

    struct cmd_history h;
    scratch.len = 0;
    e = api_decode_history(body, &scratch, &h, &why);
    if (e == DUN_OK) {
        check_channel(h.channel);
        fuzz_read(h.since_epoch);
    } else {
        refused(e, &why);
    }

    struct api_channel c;
    scratch.len = 0;
    e = api_decode_channel(body, &scratch, &c, &why);
    if (e == DUN_OK) {
        check_channel(c.channel);
    } else {
        refused(e, &why);
    }
    e = api_decode_empty(body, &why);
    DUN_ASSERT(e == DUN_OK || e == DUN_E_MALFORMED);
    dun_buf_deinit(&scratch);
    fuzz_copy_free(body);
    return 0;
}
