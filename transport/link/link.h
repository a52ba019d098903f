/* transport/link/link.h: sealed packets between peers, over NNG.
 * Why: two planes on two connections (gossip, replication), so bulk never
 * delays a probe. Each peer listens with one PULL socket per plane and keeps
 * one PUSH socket per (plane, address) it sends to.
 *
 * (1) A packet is delivered whole, opened and checked for replay, or not at all.
 * (2) Packets may be lost (full queue, broken connection) and are never sent
 *     twice by us; SWIM and VR repair. Loss is counted.
 * (3) NNG's threads only call the two callbacks; those must only enqueue.
 * (4) At most LINK_ENDPOINTS_MAX outgoing endpoints, LINK_QUEUE_MAX packets
 *     waiting in each; the least recently used endpoint goes first.
 * (5) Without a key only loopback addresses are listened on, dialled and heard. */
#ifndef DUN_TRANSPORT_LINK_H
#define DUN_TRANSPORT_LINK_H

#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/slice.h"

enum link_plane { LINK_GOSSIP, LINK_REPLICATION, LINK_PLANES };

enum {
    LINK_KEY_BYTES = 32,
    LINK_KEYS_MAX = 4, /* rotation: seal with the first, open with any */
    LINK_ENDPOINTS_MAX = 2 * DUN_PEERS_MAX,
    LINK_QUEUE_MAX = 1024,
};

struct link_config {
    const char *name; /* ours */
    uint64_t boot;
    const char *listen[LINK_PLANES]; /* "host:port"; port 0 picks a free one */
    uint8_t keys[LINK_KEYS_MAX][LINK_KEY_BYTES];
    uint32_t key_count; /* 0 = no key: loopback only */
    const struct dun_log *log;
    void *ctx;
    /* NNG thread. @bytes borrowed. @from_name authenticated by the cluster key. */
    void (*on_packet)(void *ctx, enum link_plane plane, const char *from_name, uint64_t from_boot,
                      struct dun_slice bytes);
    /* NNG thread. An established outgoing connection to @addr broke. */
    void (*on_lost)(void *ctx, enum link_plane plane, const char *addr);
};

struct link;

/* Binds both planes. Errors: DUN_E_IN_USE, DUN_E_IO, DUN_E_CONFIG (address does not parse; no key
 * and not loopback); the reason, with address and remedy, is written to @why (>= 256 bytes). */
dun_err link_create(struct link **out, const struct link_config *c, char *why,
                    size_t why_size) DUN_MUST_USE;
/* No callback runs once it returns. Takes at least 50 ms, in which what is queued still goes out,
 * and 3 s at the most. The caller holds no lock that a callback takes; so too for link_forget and
 * link_send. */
void link_destroy(struct link *l);

/* The bound address ("host:port", with the real port). */
const char *link_addr(const struct link *l, enum link_plane plane);

/* Seals @bytes (<= DUN_PACKET_MAX) for @to_name ("" when not known) and queues it to @addr,
 * dialling when needed. Never blocks. One caller thread.
 * Errors: DUN_E_FULL (queue full, packet dropped), DUN_E_TOO_BIG, DUN_E_DENIED (no key and not a
 * loopback address), DUN_E_CONFIG (address or name does not parse), DUN_E_IO (no socket). */
dun_err link_send(struct link *l, enum link_plane plane, const char *addr, const char *to_name,
                  struct dun_slice bytes) DUN_MUST_USE;
/* Closes the outgoing endpoints to @addr. */
void link_forget(struct link *l, const char *addr);
/* A peer restarted under a new boot id of ours: further packets carry it. */
void link_set_boot(struct link *l, uint64_t boot);

struct link_stats {
    uint64_t sent_packets, sent_bytes, received_packets, received_bytes;
    uint64_t dropped_full, refused_seal, refused_replay, refused_malformed, refused_name;
};
void link_stats(const struct link *l, struct link_stats *out); /* any thread */

#endif
