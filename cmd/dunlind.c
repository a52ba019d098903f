/* cmd/dunlind.c: one peer: options, wiring, signals. */
#include "base/alloc.h"
#include "base/assert.h"
#include "cmd/dunlind_config.h"
#include "cmd/dunlind_sched.h"
#include "transport/link/link.h"
#include "transport/link/link_addr.h"
#include "transport/loop/loop.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_CLEAN = 0, EXIT_USAGE = 64, EXIT_BIND = 71, EXIT_CONFIG = 78 };

extern char **environ;

struct app {
    struct config config;
    struct loop *loop;
    struct link *link;
    char gossip[DUN_ADDR_MAX + 1], replication[DUN_ADDR_MAX + 1], client[DUN_ADDR_MAX + 1];
};

/* ---- between loop and link ---- */

static enum link_plane to_link(enum node_plane plane)
{
    return plane == NODE_GOSSIP ? LINK_GOSSIP : LINK_REPLICATION;
}

static enum node_plane to_node(enum link_plane plane)
{
    return plane == LINK_GOSSIP ? NODE_GOSSIP : NODE_REPLICATION;
}

static void on_packet(void *ctx, enum link_plane plane, const char *from_name, uint64_t from_boot,
                      struct dun_slice bytes)
{
    loop_packet(((struct app *)ctx)->loop, to_node(plane), from_name, from_boot, bytes);
}

static void on_lost(void *ctx, enum link_plane plane, const char *addr)
{
    loop_lost(((struct app *)ctx)->loop, to_node(plane), addr);
}

static void do_send(void *ctx, enum node_plane plane, const char *addr, const char *to_name,
                    struct dun_slice bytes)
{
    dun_err e = link_send(((struct app *)ctx)->link, to_link(plane), addr, to_name, bytes);
    (void)e; /* counted by the link; SWIM and VR repair losses */
}

static void do_forget(void *ctx, const char *addr)
{
    link_forget(((struct app *)ctx)->link, addr);
}

static void do_set_boot(void *ctx, uint64_t boot)
{
    link_set_boot(((struct app *)ctx)->link, boot);
}

static void do_link_stats(void *ctx, struct session_links *out)
{
    struct link_stats s;
    link_stats(((struct app *)ctx)->link, &s);
    *out = (struct session_links){.sent_packets = s.sent_packets,
                                  .sent_bytes = s.sent_bytes,
                                  .received_packets = s.received_packets,
                                  .received_bytes = s.received_bytes,
                                  .dropped = s.dropped_full,
                                  .refused = s.refused_seal + s.refused_replay +
                                             s.refused_malformed + s.refused_name};
}

static void on_fatal(void *ctx, const char *why)
{
    (void)ctx;
    dun_log(&dun_log_stderr, DUN_LOG_ERROR,
            "name_taken why=\"%s\" do=\"give each peer its own name\"", why);
    _exit(EXIT_CONFIG); /* nothing of ours may go on beside the other */
}

/* ---- advertised addresses ---- */

/* The first address of this host that others may reach. */
static bool host_address(char *out, size_t size)
{
    struct ifaddrs *list;
    bool found = false;
    if (getifaddrs(&list) != 0) return false;
    for (struct ifaddrs *i = list; i != NULL && !found; i = i->ifa_next) {
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET) continue;
        if ((i->ifa_flags & IFF_LOOPBACK) != 0 || (i->ifa_flags & IFF_UP) == 0) continue;
        const struct sockaddr_in *sa = (const struct sockaddr_in *)(const void *)i->ifa_addr;
        found = inet_ntop(AF_INET, &sa->sin_addr, out, (socklen_t)size) != NULL;
    }
    freeifaddrs(list);
    return found;
}

/* What others shall use for @bound: @given, or the host's address when it is bound to all. */
static void advertise(const char *bound, const char *given, char out[DUN_ADDR_MAX + 1])
{
    const char *colon = strrchr(bound, ':');
    size_t n = (size_t)(colon - bound);
    char host[INET6_ADDRSTRLEN];
    bool any = n == 0 || (n == 7 && memcmp(bound, "0.0.0.0", 7) == 0) ||
               (n == 4 && memcmp(bound, "[::]", 4) == 0) || (n == 1 && bound[0] == '*');
    if (given != NULL) {
        snprintf(out, DUN_ADDR_MAX + 1, "%s", given);
    } else if (any && host_address(host, sizeof host)) {
        snprintf(out, DUN_ADDR_MAX + 1, "%s%s", host, colon);
    } else if (any) {
        snprintf(out, DUN_ADDR_MAX + 1, "127.0.0.1%s", colon);
    } else {
        snprintf(out, DUN_ADDR_MAX + 1, "%s", bound);
    }
}

/* ---- running ---- */

static int exit_of(dun_err e)
{
    return e == DUN_E_IN_USE || e == DUN_E_IO ? EXIT_BIND : EXIT_CONFIG;
}

static int fail(dun_err e, const char *why)
{
    fprintf(stderr, "dunlind: %s\n", why);
    return exit_of(e);
}

static void loop_config_of(struct app *a, struct loop_config *lc)
{
    const struct config *c = &a->config;
    struct session_options *o = &lc->session;
    *lc = (struct loop_config){.client_listen = c->client_listen,
                               .workers = (uint32_t)c->workers,
                               .group_count = DUN_GROUPS_DEFAULT,
                               .store_memory = c->max_memory,
                               .log = &dun_log_stderr,
                               .ctx = a,
                               .send = do_send,
                               .forget = do_forget,
                               .set_boot = do_set_boot,
                               .link_stats = do_link_stats,
                               .fatal = on_fatal};
    if (c->workers == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        lc->workers = cores < 1 ? 1 : cores > LOOP_WORKERS_MAX ? LOOP_WORKERS_MAX : (uint32_t)cores;
    }
    o->name = c->name;
    o->version = "dunlin " DUN_VERSION;
    o->insecure = c->insecure;
    o->ping_s = (uint32_t)(c->ping_ms / 1000);
    o->pong_s = (uint32_t)(c->pong_ms / 1000);
    o->api_key = c->api_key == NULL ? "" : c->api_key;
    if (c->token_secret != NULL)
        o->token_keys[o->token_key_count++] =
            (struct jwt_key){JWT_HS256, dun_slice_str(c->token_secret)};
    for (uint32_t i = 0; i < c->origins.count; i++)
        o->origins[o->origin_count++] = c->origins.at[i];
    o->namespaces = c->namespaces;
    o->namespace_count = c->namespace_count;
}

static uint64_t wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static dun_err open_link(struct app *a, uint64_t boot, char *why, size_t why_size)
{
    const struct config *c = &a->config;
    struct link_config lk = {.name = c->name,
                             .boot = boot,
                             .listen = {c->gossip_listen, c->replication_listen},
                             .key_count = c->key_count,
                             .log = &dun_log_stderr,
                             .ctx = a,
                             .on_packet = on_packet,
                             .on_lost = on_lost};
    _Static_assert(sizeof lk.keys == sizeof c->keys, "the same keys");
    memcpy(lk.keys, c->keys, sizeof lk.keys);
    dun_err e = link_create(&a->link, &lk, why, why_size);
    sodium_memzero(lk.keys, sizeof lk.keys);
    if (e != DUN_OK) return e;
    advertise(link_addr(a->link, LINK_GOSSIP), c->gossip_advertise, a->gossip);
    advertise(link_addr(a->link, LINK_REPLICATION), c->replication_advertise, a->replication);
    advertise(loop_client_addr(a->loop), c->client_advertise, a->client);
    return DUN_OK;
}

static dun_err start(struct app *a, uint64_t boot, char *why, size_t why_size)
{
    const struct config *c = &a->config;
    struct node_config n = {.name = c->name,
                            .voter_count = c->voters.count,
                            .gossip_addr = a->gossip,
                            .replication_addr = a->replication,
                            .client_addr = a->client,
                            .version = DUN_VERSION,
                            .seed_count = c->join.count,
                            .loss_timeout_ms = c->loss_timeout_ms,
                            .max_inflight = (uint32_t)c->max_inflight};
    for (uint32_t i = 0; i < c->voters.count; i++)
        n.voters[i] = c->voters.at[i];
    for (uint32_t i = 0; i < c->join.count; i++)
        n.seeds[i] = c->join.at[i];
    randombytes_buf(&n.prng_seed, sizeof n.prng_seed);
    dun_log(&dun_log_stderr, DUN_LOG_INFO,
            "listening name=%s client=%s gossip=%s replication=%s boot=%llu version=%s commit=%s",
            c->name, loop_client_addr(a->loop), link_addr(a->link, LINK_GOSSIP),
            link_addr(a->link, LINK_REPLICATION), (unsigned long long)boot, DUN_VERSION,
            DUN_GIT_COMMIT);
    if (c->key_count == 0)
        dun_log(&dun_log_stderr, DUN_LOG_WARN,
                "no_cluster_key effect=\"only peers on this host are talked to\" "
                "do=\"set cluster.key_file, see dunlin keygen\"");
    if (c->insecure)
        dun_log(&dun_log_stderr, DUN_LOG_WARN,
                "insecure effect=\"anonymous clients may use every "
                "channel\"");
    return loop_start(a->loop, &n, boot, why, why_size);
}

static void wait_for_signal(const sigset_t *stop)
{
    int number;
    while (sigwait(stop, &number) != 0)
        continue;
    /* A second one ends it at once. */
    pthread_sigmask(SIG_UNBLOCK, stop, NULL);
}

static int run(struct app *a)
{
    char why[CONFIG_WHY_MAX] = "";
    struct loop_config lc;
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &stop, NULL); /* before any thread, so that all inherit it */
    signal(SIGPIPE, SIG_IGN);
    sched_short_slices(); /* likewise */
    uint64_t boot = wall_ms();
    loop_config_of(a, &lc);
    dun_err e = loop_create(&a->loop, &lc, why, sizeof why);
    if (e != DUN_OK) return fail(e, why);
    e = open_link(a, boot, why, sizeof why);
    if (e != DUN_OK) goto fail_loop;
    e = start(a, boot, why, sizeof why);
    if (e != DUN_OK) goto fail_link;
    wait_for_signal(&stop);
    loop_stop(a->loop);
    link_destroy(a->link);
    loop_destroy(a->loop);
    dun_log(&dun_log_stderr, DUN_LOG_INFO, "stopped name=%s", a->config.name);
    return EXIT_CLEAN;
fail_link:
    link_destroy(a->link);
fail_loop:
    loop_destroy(a->loop);
    return fail(e, why);
}

/* ---- options ---- */

static const char usage[] =
    "usage: dunlind [--config FILE] [--name NAME] [--voters A,B,C] [--join HOST:PORT,...]\n"
    "               [--client ADDR:PORT] [--gossip ADDR:PORT] [--replication ADDR:PORT]\n"
    "               [--set KEY=VALUE]... [--check] [--dev] [--version] [--help]\n";

static const char help[] =
    "\nRuns one peer of a Dunlin cluster in the foreground; logs go to stderr.\n\n"
    "  --config FILE        YAML file; see docs/configuration.md\n"
    "  --name NAME          this peer's name (default: the host's)\n"
    "  --voters A,B,C       names of the peers that hold the messages and vote (default: itself)\n"
    "  --join HOST:PORT,... gossip addresses of some peers\n"
    "  --client ADDR:PORT   where clients connect (default 0.0.0.0:8000; port 0 picks one)\n"
    "  --gossip ADDR:PORT   membership (default :7946, without a key 127.0.0.1:7946)\n"
    "  --replication ADDR:PORT  messages between peers (default :7947, likewise)\n"
    "  --set KEY=VALUE      any key of the file, e.g. --set store.max_memory=1GiB\n"
    "  --check              check the configuration and exit\n"
    "  --dev                anonymous clients, open API, history in the default namespace\n"
    "  --version, --help\n\n"
    "Later wins: file, environment (DUNLIN_STORE_MAX_MEMORY=...), --set, the options above.\n"
    "Exit status: 0 clean stop, 64 bad usage, 71 an address cannot be bound, 78 bad "
    "configuration.\n";

enum { OPT_CONFIG = 256, OPT_SET, OPT_CHECK, OPT_DEV, OPT_VERSION, OPT_HELP, OPT_KEY };

static const struct option options[] = {{"config", required_argument, NULL, OPT_CONFIG},
                                        {"set", required_argument, NULL, OPT_SET},
                                        {"check", no_argument, NULL, OPT_CHECK},
                                        {"dev", no_argument, NULL, OPT_DEV},
                                        {"version", no_argument, NULL, OPT_VERSION},
                                        {"help", no_argument, NULL, OPT_HELP},
                                        {"name", required_argument, NULL, OPT_KEY},
                                        {"voters", required_argument, NULL, OPT_KEY + 1},
                                        {"join", required_argument, NULL, OPT_KEY + 2},
                                        {"client", required_argument, NULL, OPT_KEY + 3},
                                        {"gossip", required_argument, NULL, OPT_KEY + 4},
                                        {"replication", required_argument, NULL, OPT_KEY + 5},
                                        {NULL, 0, NULL, 0}};
static const char *const option_keys[] = {"name",          "voters",        "join",
                                          "client.listen", "gossip.listen", "replication.listen"};

enum { SETS_MAX = 256 };

struct command_line {
    const char *file;
    const char *sets[SETS_MAX];
    int set_count;
    const char *values[DUN_COUNT(option_keys)];
    bool check, dev;
};

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, struct command_line *cl)
{
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == OPT_CONFIG) {
            cl->file = optarg;
        } else if (o == OPT_SET && cl->set_count < SETS_MAX) {
            cl->sets[cl->set_count++] = optarg;
        } else if (o == OPT_CHECK) {
            cl->check = true;
        } else if (o == OPT_DEV) {
            cl->dev = true;
        } else if (o == OPT_VERSION) {
            printf("dunlind %s (%s)\n", DUN_VERSION, DUN_GIT_COMMIT);
            return EXIT_CLEAN;
        } else if (o == OPT_HELP) {
            printf("%s%s", usage, help);
            return EXIT_CLEAN;
        } else if (o >= OPT_KEY) {
            cl->values[o - OPT_KEY] = optarg;
        } else {
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind == argc) return -1;
    fprintf(stderr, "dunlind: unexpected argument \"%s\"\n%s", argv[optind], usage);
    return EXIT_USAGE;
}

static int apply_sets(struct config *c, const struct command_line *cl)
{
    char why[CONFIG_WHY_MAX], key[256];
    for (int i = 0; i < cl->set_count; i++) {
        const char *eq = strchr(cl->sets[i], '=');
        if (eq == NULL || (size_t)(eq - cl->sets[i]) >= sizeof key) {
            fprintf(stderr, "dunlind: --set %s: write --set KEY=VALUE\n", cl->sets[i]);
            return EXIT_USAGE;
        }
        memcpy(key, cl->sets[i], (size_t)(eq - cl->sets[i]));
        key[eq - cl->sets[i]] = '\0';
        if (config_set(c, key, eq + 1, why, sizeof why) == DUN_OK) continue;
        fprintf(stderr, "dunlind: --set: %s\n", why);
        return EXIT_CONFIG;
    }
    for (size_t i = 0; i < DUN_COUNT(option_keys); i++) {
        if (cl->values[i] == NULL) continue;
        if (config_set(c, option_keys[i], cl->values[i], why, sizeof why) == DUN_OK) continue;
        fprintf(stderr, "dunlind: option --%s: %s\n", options[i + 6].name, why);
        return EXIT_CONFIG;
    }
    return -1;
}

static int configure(struct config *c, const struct command_line *cl)
{
    char why[CONFIG_WHY_MAX];
    dun_err e = DUN_OK;
    if (cl->dev) config_set_dev(c); /* the weakest: whatever is given comes over it */
    if (cl->file != NULL) e = config_read_file(c, cl->file, why, sizeof why);
    if (e == DUN_OK) e = config_read_environment(c, environ, why, sizeof why);
    if (e == DUN_OK) {
        int status = apply_sets(c, cl);
        if (status != -1) return status;
        e = config_finish(c, why, sizeof why);
    }
    if (e == DUN_OK) return -1;
    fprintf(stderr, "dunlind: %s\n", why);
    return EXIT_CONFIG;
}

/* What the links would refuse at their start, so that --check tells too. */
static int check_links(const struct config *c)
{
    const struct {
        const char *key, *listen;
    } planes[] = {{"gossip.listen", c->gossip_listen},
                  {"replication.listen", c->replication_listen}};
    for (size_t i = 0; i < DUN_COUNT(planes); i++) {
        struct link_addr a;
        if (link_addr_parse(planes[i].listen, true, &a) != DUN_OK) {
            fprintf(stderr, "dunlind: %s: %s is not an address; write host:port\n", planes[i].key,
                    planes[i].listen);
            return EXIT_CONFIG;
        }
        if (c->key_count != 0 || link_addr_is_loopback(&a)) continue;
        fprintf(stderr,
                "dunlind: %s: %s is not a loopback address and there is no cluster key; make one "
                "with `dunlin keygen` and set cluster.key_file\n",
                planes[i].key, planes[i].listen);
        return EXIT_CONFIG;
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct command_line cl = {0};
    static struct app app;
    if (sodium_init() < 0) {
        fprintf(stderr, "dunlind: the system gives no random bytes\n");
        return EXIT_BIND;
    }
    int status = parse_options(argc, argv, &cl);
    if (status != -1) return status;
    config_init(&app.config);
    status = configure(&app.config, &cl);
    if (status == -1) status = check_links(&app.config);
    if (status == -1 && cl.check) {
        puts("configuration ok");
        status = EXIT_CLEAN;
    }
    if (status == -1) status = run(&app);
    config_deinit(&app.config);
    return status;
}
