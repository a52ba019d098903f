/* tests/fuzz/fuzz_sse.c: the event stream parser, whole and in pieces.
 * Claim: the events are the same whatever the pieces they come in. */
#include "tests/fuzz/fuzz.h"
#include "transport/codec/sse.h"

enum { EVENT_MAX = 100 };

static dun_err parse(struct dun_slice s, size_t step, struct dun_buf *out)
{
    struct sse_parser p;
    struct dun_slice all = fuzz_copy(s);
    dun_err e = DUN_E_MORE;
    sse_init(&p, EVENT_MAX);
    for (size_t at = 0; at < s.len && (e == DUN_E_MORE || e == DUN_OK);) {
        size_t n = s.len - at < step ? s.len - at : step, used = 0;
        struct sse_event ev;
        fuzz_arrived(all, at + n);
        e = sse_next(&p, all.data + at, n, &used, &ev);
        if (e == DUN_OK) {
            DUN_ASSERT(used > 0 && used <= n);
            DUN_ASSERT(ev.id.len == 0 || memchr(ev.id.data, 0, ev.id.len) == NULL);
            dun_buf_printf(out, "%zu %zu %zu ", ev.id.len, ev.event.len, ev.data.len);
            dun_buf_slice(out, ev.id);
            dun_buf_slice(out, ev.event);
            dun_buf_slice(out, ev.data);
        } else if (e == DUN_E_MORE) {
            DUN_ASSERT(used == n);
        }
        at += used;
    }
    fuzz_copy_free(all);
    dun_buf_printf(out, "retry %llu", (unsigned long long)p.retry_ms);
    sse_deinit(&p);
    return e == DUN_E_TOO_BIG ? e : DUN_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    size_t step = 1u + fuzz_u8(&in) % 7;
    struct dun_slice s = fuzz_rest(&in);
    struct dun_buf whole = {0}, pieces = {0};
    dun_err a = parse(s, s.len + 1, &whole);
    dun_err b = parse(s, step, &pieces);
    DUN_ASSERT(a == b);
    if (a == DUN_OK) DUN_ASSERT(dun_slice_eq(dun_buf_view(&whole), dun_buf_view(&pieces)));
    dun_buf_deinit(&pieces);
    dun_buf_deinit(&whole);
    return 0;
}
