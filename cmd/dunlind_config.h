/* cmd/dunlind_config.h: what a peer is told: file, environment, command line.
 * Why one table of keys: each source names the same keys, so a value is checked
 * by the same code wherever it comes from, and says so in the same words. */
#ifndef DUN_CMD_DUNLIND_CONFIG_H
#define DUN_CMD_DUNLIND_CONFIG_H

#include "base/err.h"
#include "base/limits.h"
#include "store/namespace.h"

enum {
    CONFIG_LIST_MAX = 64,
    CONFIG_WHY_MAX = 768,
    CONFIG_KEY_BYTES = 32,
    CONFIG_KEYS_MAX = 4,
    CONFIG_WORKERS_MAX = 64
};

struct config_list {
    uint32_t count;
    char *at[CONFIG_LIST_MAX];
};

struct config {
    char *name;
    struct config_list voters, join, origins;
    char *key_file;
    char *client_listen, *gossip_listen, *replication_listen;
    char *client_advertise, *gossip_advertise, *replication_advertise; /* NULL = by listen */
    char *api_key, *token_secret;                                      /* NULL = none */
    bool insecure;
    uint64_t ping_ms, pong_ms; /* whole seconds when finished; pong 0 = not given */
    uint64_t loss_timeout_ms, max_inflight, max_memory, workers; /* workers 0 = one a core */
    struct store_namespace namespaces[DUN_NAMESPACES_MAX];
    uint32_t namespace_count;
    uint8_t keys[CONFIG_KEYS_MAX][CONFIG_KEY_BYTES];
    uint32_t key_count;
};

void config_init(struct config *c); /* the defaults that need no finishing */
void config_deinit(struct config *c);

/* Sets one key, e.g. "store.max_memory" or "namespaces.chat.history_size"; lists are separated by
 * commas. Errors: DUN_E_UNKNOWN no such key; DUN_E_CONFIG bad value. @why says what and how. */
dun_err config_set(struct config *c, const char *key, const char *value, char *why,
                   size_t why_size) DUN_MUST_USE;
/* One option of a namespace; likewise. */
dun_err config_set_namespace(struct store_namespace *ns, const char *option, const char *value,
                             char *why, size_t why_size) DUN_MUST_USE;
/* The namespace of that name, made if need be; NULL: the table is full. */
struct store_namespace *config_namespace(struct config *c, const char *name);
/* Replaces a list. Errors: DUN_E_CONFIG. */
dun_err config_set_list(struct config *c, const char *key, char *const *items, uint32_t count,
                        char *why, size_t why_size) DUN_MUST_USE;

/* Reads a YAML file over what is there. Errors: DUN_E_CONFIG; @why names file, line and key. */
dun_err config_read_file(struct config *c, const char *path, char *why,
                         size_t why_size) DUN_MUST_USE;
/* Takes DUNLIN_... variables out of @environ_. Errors: DUN_E_CONFIG. */
dun_err config_read_environment(struct config *c, char *const *environ_, char *why,
                                size_t why_size) DUN_MUST_USE;
/* What --dev means. */
void config_set_dev(struct config *c);
/* Fills in what is still open, reads the key file, checks what only the whole can tell.
 * Errors: DUN_E_CONFIG. */
dun_err config_finish(struct config *c, char *why, size_t why_size) DUN_MUST_USE;

/* ---- values ---- */

dun_err config_parse_duration(const char *text, uint64_t *ms) DUN_MUST_USE; /* 500ms 30s 5m 1h 2d */
dun_err config_parse_size(const char *text, uint64_t *bytes) DUN_MUST_USE;  /* 64KiB 512MiB 2GiB */
/* One line of a key file: 64 hex digits or base64. */
dun_err config_parse_key(const char *line, uint8_t out[CONFIG_KEY_BYTES]) DUN_MUST_USE;
/* "host:port", "[v6]:port" or ":port", port 0..65535. */
bool config_address_ok(const char *text);

#endif
