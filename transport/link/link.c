/* transport/link/link.c: see the header. */
#include "base/alloc.h"
#include "base/assert.h"
#include "transport/link/link_err.h"
#include "transport/link/link_impl.h"

#include <stdio.h>
#include <time.h>

uint64_t link_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t link_hash(const struct link *l, uint8_t salt, const char *text)
{
    uint64_t h;
    _Static_assert(sizeof h == crypto_shorthash_BYTES, "64 bits");
    crypto_shorthash((unsigned char *)&h, (const unsigned char *)text, strlen(text), l->hash_key);
    return h + salt;
}

const char *link_plane_name(enum link_plane plane)
{
    return plane == LINK_GOSSIP ? "gossip" : "replication";
}

static dun_err config_check(const struct link_config *c, char *why, size_t why_size)
{
    DUN_ASSERT(c->on_packet != NULL && c->on_lost != NULL);
    if (!seal_name_ok(c->name)) {
        snprintf(why, why_size,
                 "name is not usable: set name to 1 to %d letters, digits or other printable "
                 "ASCII without spaces and quotes",
                 DUN_NAME_MAX);
        return DUN_E_CONFIG;
    }
    if (c->key_count > LINK_KEYS_MAX) {
        snprintf(why, why_size, "%u cluster keys, but at most %d are used: remove the oldest",
                 c->key_count, LINK_KEYS_MAX);
        return DUN_E_CONFIG;
    }
    return DUN_OK;
}

dun_err link_create(struct link **out, const struct link_config *c, char *why, size_t why_size)
{
    DUN_ASSERT(why_size >= 256);
    dun_err e = config_check(c, why, why_size);
    if (e != DUN_OK) return e;
    if (sodium_init() < 0) {
        snprintf(why, why_size, "no random bytes from this host (libsodium does not start)");
        return DUN_E_IO;
    }
    struct link *l = dun_calloc(1, sizeof *l);
    strcpy(l->name, c->name);
    l->log = c->log;
    l->ctx = c->ctx;
    l->on_packet = c->on_packet;
    l->on_lost = c->on_lost;
    l->boot = c->boot;
    seal_keyring_init(&l->keyring, c->keys, c->key_count);
    randombytes_buf(l->hash_key, sizeof l->hash_key);
    randombytes_buf(l->nonce, sizeof l->nonce);
    l->retired_tail = &l->retired;
    link_notes_init(&l->notes);
    for (int p = 0; p < LINK_PLANES; p++) {
        e = link_in_open(&l->in[p], l, (enum link_plane)p, c->listen[p], why, why_size);
        if (e != DUN_OK) goto fail;
    }
    if (c->key_count == 0)
        dun_log(l->log, DUN_LOG_WARN,
                "link_unsealed why=\"no cluster key: only loopback peers are accepted; make one "
                "with `dunlin keygen` and set cluster.key_file\"");
    *out = l;
    return DUN_OK;
fail:
    link_destroy(l);
    DUN_ASSERT(e != DUN_OK);
    return e;
}

static void *close_all(void *arg)
{
    struct link *l = arg;
    link_out_close_all(l);
    for (int p = 0; p < LINK_PLANES; p++)
        link_in_close(&l->in[p]);
    link_notes_deinit(&l->notes);
    seal_keyring_deinit(&l->keyring);
    dun_free(l);
    return NULL;
}

/* Quiet first, see link_out.c (4); the pause also lets last words go out. Should
 * NNG still get stuck, a peer that cannot stop is worse than memory not freed. */
void link_destroy(struct link *l)
{
    if (l == NULL) return;
    const struct dun_log *log = l->log;
    link_out_stop(l);
    for (int p = 0; p < LINK_PLANES; p++)
        link_in_stop(&l->in[p]);
    struct timespec quiet = {0, LINK_QUIET_MS * 1000000L}, until;
    nanosleep(&quiet, NULL);

    pthread_t closer;
    int rc = pthread_create(&closer, NULL, close_all, l);
    DUN_ASSERT(rc == 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LINK_CLOSE_MS_MAX / 1000;
    if (pthread_timedjoin_np(closer, NULL, &until) == 0) return;
    pthread_detach(closer);
    dun_log(log, DUN_LOG_ERROR,
            "link_stuck why=\"the peer connections did not close in %d ms; "
            "left behind\"",
            LINK_CLOSE_MS_MAX);
}

const char *link_addr(const struct link *l, enum link_plane plane)
{
    DUN_ASSERT(plane < LINK_PLANES);
    return l->in[plane].addr;
}

dun_err link_send(struct link *l, enum link_plane plane, const char *addr, const char *to_name,
                  struct dun_slice bytes)
{
    DUN_ASSERT(plane < LINK_PLANES);
    if (bytes.len > DUN_PACKET_MAX) return DUN_E_TOO_BIG;
    if (to_name[0] != '\0' && !seal_name_ok(to_name)) return DUN_E_CONFIG;
    struct link_end *end;
    dun_err e = link_out_get(l, plane, addr, &end);
    if (e != DUN_OK) return e;

    struct seal_header h = {
        .plane = (uint8_t)plane, .boot = l->boot, .counter = ++l->counter[plane]};
    strcpy(h.from, l->name);
    strcpy(h.to, to_name);
    sodium_increment(l->nonce + 16, sizeof l->nonce - 16);
    memcpy(h.nonce, l->nonce, sizeof h.nonce);
    nng_msg *msg;
    e = link_err(nng_msg_alloc(&msg, seal_size(&l->keyring, &h, bytes.len)));
    if (e != DUN_OK) return e;
    seal_close(&l->keyring, &h, bytes, nng_msg_body(msg));

    e = link_out_send(end, msg);
    if (e == DUN_E_FULL) link_count(&l->stats.dropped_full, 1);
    if (e != DUN_OK) return e;
    link_count(&l->stats.sent_packets, 1);
    link_count(&l->stats.sent_bytes, bytes.len);
    return DUN_OK;
}

void link_forget(struct link *l, const char *addr)
{
    for (int p = 0; p < LINK_PLANES; p++)
        link_out_forget(l, (enum link_plane)p, addr);
}

void link_set_boot(struct link *l, uint64_t boot)
{
    DUN_ASSERT(boot >= l->boot); /* receivers refuse an older one for good */
    l->boot = boot;
}

void link_stats(const struct link *l, struct link_stats *out)
{
#define READ(field) \
    .field = atomic_load_explicit((atomic_uint_fast64_t *)&l->stats.field, memory_order_relaxed)
    *out = (struct link_stats){
        READ(sent_packets),   READ(sent_bytes),        READ(received_packets),
        READ(received_bytes), READ(dropped_full),      READ(refused_seal),
        READ(refused_replay), READ(refused_malformed), READ(refused_name),
    };
#undef READ
}
