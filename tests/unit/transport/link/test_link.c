/* Links on loopback: what is sent arrives whole, once and in order, or is refused and counted. */
#include "cluster/seal.h"
#include "tests/unit/transport/link/peer.h"

#include <nng/nng.h>
#include <sodium.h>
#include <sys/resource.h>

static struct peer a, b, c;

static void open_pair(uint8_t key)
{
    peer_open(&a, &(struct peer_options){.name = "a1", .boot = 1, .key = key});
    peer_open(&b, &(struct peer_options){.name = "b2", .boot = 2, .key = key});
}

static void close_pair(void)
{
    peer_close(&a);
    peer_close(&b);
}

/* Sends, waiting for room while the queue is full. */
static void send_all(struct peer *from, struct peer *to, uint64_t number, size_t len)
{
    const char *addr = link_addr(to->link, LINK_REPLICATION);
    uint64_t until = now_ms() + DEADLINE_MS;
    dun_err e;
    while ((e = peer_send(from, LINK_REPLICATION, addr, "", len, number)) == DUN_E_FULL) {
        assert_true(now_ms() < until);
        pause_ms(1);
    }
    assert_int_equal(e, DUN_OK);
}

static void packets_of_every_size_arrive_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 7, 8, 64, 1400, 65536, DUN_PACKET_MAX};
    for (uint8_t key = 0; key <= 1; key++) {
        open_pair(key);
        for (int plane = 0; plane < LINK_PLANES; plane++) {
            const char *addr = link_addr(b.link, (enum link_plane)plane);
            for (size_t i = 0; i < DUN_COUNT(sizes); i++) {
                assert_int_equal(peer_send(&a, (enum link_plane)plane, addr, "b2", sizes[i], i + 1),
                                 DUN_OK);
                assert_true(peer_wait(&b, &b.packets[plane], i + 1));
                pthread_mutex_lock(&b.lock);
                assert_int_equal(b.last_len, sizes[i]);
                assert_string_equal(b.from, "a1");
                assert_int_equal(b.from_boot, 1);
                pthread_mutex_unlock(&b.lock);
            }
            memset(b.last, 0, sizeof b.last);
        }
        assert_int_equal(b.broken, 0);
        struct link_stats s;
        link_stats(b.link, &s);
        assert_int_equal(s.received_packets, 2 * DUN_COUNT(sizes));
        assert_int_equal(s.refused_seal + s.refused_replay + s.refused_malformed + s.refused_name,
                         0);
        close_pair();
    }
}

static void two_senders_packets_keep_their_order(void **state)
{
    (void)state;
    enum { EACH = 5000 };
    open_pair(7);
    peer_open(&c, &(struct peer_options){.name = "c3", .boot = 3, .key = 7});
    for (uint64_t i = 1; i <= EACH; i++) {
        send_all(&a, &b, i, 100 + i % 1000);
        send_all(&c, &b, i, 100 + i % 3000);
    }
    assert_true(peer_wait(&b, &b.packets[LINK_REPLICATION], 2 * EACH));
    assert_int_equal(peer_read(&b, &b.disorder), 0);
    assert_int_equal(peer_read(&b, &b.broken), 0);
    peer_close(&c);
    close_pair();
}

static void a_packet_under_another_key_is_refused_and_logged_once(void **state)
{
    (void)state;
    peer_open(&a, &(struct peer_options){.name = "a1", .boot = 1, .key = 1});
    peer_open(&b, &(struct peer_options){.name = "b2", .boot = 2, .key = 2});
    for (int i = 0; i < 20; i++)
        assert_int_equal(peer_send(&a, LINK_GOSSIP, link_addr(b.link, LINK_GOSSIP), "", 10, 1),
                         DUN_OK);
    PEER_STAT(&b, refused_seal, 20);
    assert_int_equal(peer_read(&b, &b.packets[LINK_GOSSIP]), 0);
    assert_true(peer_logged(&b, "cluster key differs: packet from a1 at 127.0.0.1:"));
    assert_true(peer_logged(&b, " does not open with any of our keys; give all peers the same "
                                "cluster.key_file"));
    assert_int_equal(b.line_count, 1);
    close_pair();
}

static void plain_and_sealed_peers_refuse_each_other(void **state)
{
    (void)state;
    peer_open(&a, &(struct peer_options){.name = "a1", .boot = 1});
    peer_open(&b, &(struct peer_options){.name = "b2", .boot = 2, .key = 2});
    assert_true(peer_logged(&a, "dunlin keygen"));
    assert_int_equal(peer_send(&a, LINK_GOSSIP, link_addr(b.link, LINK_GOSSIP), "", 10, 1), DUN_OK);
    assert_int_equal(peer_send(&b, LINK_GOSSIP, link_addr(a.link, LINK_GOSSIP), "", 10, 1), DUN_OK);
    PEER_STAT(&a, refused_seal, 1);
    PEER_STAT(&b, refused_seal, 1);
    assert_true(peer_logged(&b, "packet from a1 at 127.0.0.1:"));
    assert_true(peer_logged(&b, "is not sealed but we have a cluster key"));
    assert_true(peer_logged(&a, "is sealed but we have no cluster key"));
    assert_int_equal(a.packets[LINK_GOSSIP] + b.packets[LINK_GOSSIP], 0);
    close_pair();
}

static void a_packet_for_another_name_is_refused(void **state)
{
    (void)state;
    open_pair(1);
    const char *addr = link_addr(b.link, LINK_GOSSIP);
    assert_int_equal(peer_send(&a, LINK_GOSSIP, addr, "c3", 10, 1), DUN_OK);
    assert_int_equal(peer_send(&a, LINK_GOSSIP, addr, "b2", 10, 2), DUN_OK);
    assert_true(peer_wait(&b, &b.packets[LINK_GOSSIP], 1));
    assert_int_equal(b.first, 2);
    PEER_STAT(&b, refused_name, 1);
    assert_int_equal(peer_send(&a, LINK_GOSSIP, addr, "not a name", 10, 3), DUN_E_CONFIG);
    close_pair();
}

static void a_gone_peer_is_reported_and_found_again_on_its_port(void **state)
{
    (void)state;
    char addr[DUN_ADDR_MAX + 1];
    open_pair(1);
    snprintf(addr, sizeof addr, "%s", link_addr(b.link, LINK_GOSSIP));
    for (uint64_t round = 1; round <= 3; round++) {
        peer_connect(&a, &b, LINK_GOSSIP);
        assert_int_equal(peer_read(&a, &a.lost[LINK_GOSSIP]), round - 1);
        uint64_t start = now_ms();
        peer_close(&b);
        assert_true(peer_wait(&a, &a.lost[LINK_GOSSIP], round));
        assert_true(now_ms() - start < 2000);
        assert_string_equal(a.lost_addr, addr);
        assert_int_equal(peer_read(&a, &a.lost[LINK_REPLICATION]), 0);
        peer_open(
            &b, &(struct peer_options){.name = "b2", .boot = 2 + round, .key = 1, .gossip = addr});
    }
    peer_connect(&a, &b, LINK_GOSSIP);
    close_pair();
}

static void an_unreachable_peers_queue_is_short(void **state)
{
    (void)state;
    char addr[DUN_ADDR_MAX + 1];
    open_pair(1);
    snprintf(addr, sizeof addr, "%s", link_addr(b.link, LINK_GOSSIP));
    peer_close(&b); /* a port nobody listens on */
    uint64_t sent = 0;
    while (peer_send(&a, LINK_GOSSIP, addr, "", 16, sent + 1) == DUN_OK)
        assert_true(++sent <= 100);
    assert_int_equal(sent, 64);
    assert_int_equal(peer_send(&a, LINK_GOSSIP, addr, "", 16, 1000), DUN_E_FULL);
    PEER_STAT(&a, dropped_full, 2);
    assert_int_equal(peer_read(&a, &a.lost[LINK_GOSSIP]), 0); /* it never stood */
    peer_open(&b, &(struct peer_options){.name = "b2", .boot = 2, .key = 1, .gossip = addr});
    assert_true(peer_wait(&b, &b.packets[LINK_GOSSIP], 64));
    assert_int_equal(b.first, 1);
    assert_int_equal(b.disorder, 0);
    close_pair();
}

/* A listener that says NNG's hello as a PULL socket would and then reads nothing. */
static int deaf_listen(char *addr, size_t addr_size)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in sa = loopback(0);
    socklen_t len = sizeof sa;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    snprintf(addr, addr_size, "127.0.0.1:%u", (unsigned)ntohs(sa.sin_port));
    return fd;
}

static void a_deaf_peers_queue_is_bounded_and_dropped_with_the_connection(void **state)
{
    (void)state;
    char addr[DUN_ADDR_MAX + 1];
    int listener = deaf_listen(addr, sizeof addr);
    peer_open(&a, &(struct peer_options){.name = "a1", .boot = 1, .key = 1});
    assert_int_equal(peer_send(&a, LINK_GOSSIP, addr, "", 16384, 1), DUN_OK);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    assert_true(raw_write(fd, hello_pull, sizeof hello_pull));
    uint8_t got[8];
    assert_int_equal(recv(fd, got, sizeof got, MSG_WAITALL), 8);
    assert_memory_equal(got, hello_push, sizeof got);
    assert_int_equal(recv(fd, got, sizeof got, MSG_WAITALL), 8); /* so the connection is up */

    /* The kernel's buffers drain into each other for a while: full is full for 300 ms. */
    uint64_t sent = 1, until = now_ms() + DEADLINE_MS, room = now_ms();
    while (now_ms() - room < 300) {
        dun_err e = peer_send(&a, LINK_GOSSIP, addr, "", 16384, sent + 1);
        assert_true(e == DUN_OK || e == DUN_E_FULL);
        assert_true(now_ms() < until);
        if (e != DUN_OK) continue;
        sent++;
        room = now_ms();
    }
    assert_true(sent >= LINK_QUEUE_MAX);
    assert_true(sent < LINK_QUEUE_MAX + 2048); /* and what the kernel holds */

    close(listener);
    close(fd);
    assert_true(peer_wait(&a, &a.lost[LINK_GOSSIP], 1));
    peer_open(&b, &(struct peer_options){.name = "b2", .boot = 2, .key = 1, .gossip = addr});
    assert_int_equal(peer_send(&a, LINK_GOSSIP, addr, "", 16, 1000000), DUN_OK);
    assert_true(peer_wait(&b, &b.packets[LINK_GOSSIP], 1));
    assert_int_equal(b.first, 1000000); /* none of the past */
    close_pair();
}

static void a_taken_port_is_named_with_a_remedy(void **state)
{
    (void)state;
    char why[256] = "", addr[DUN_ADDR_MAX + 1];
    for (int plane = 0; plane < LINK_PLANES; plane++) {
        peer_open(&a, &(struct peer_options){.name = "a1", .boot = 1});
        snprintf(addr, sizeof addr, "%s", link_addr(a.link, (enum link_plane)plane));
        struct peer_options o = {.name = "b2", .boot = 2};
        if (plane == LINK_GOSSIP)
            o.gossip = addr;
        else
            o.replication = addr;
        assert_int_equal(peer_try(&b, &o, why), DUN_E_IN_USE);
        assert_non_null(strstr(why, addr));
        assert_non_null(strstr(why, plane == LINK_GOSSIP ? "gossip.listen" : "replication.listen"));
        peer_close(&a);
        peer_open(&b, &o); /* nothing was left open */
        peer_close(&b);
    }
}

static void without_a_key_only_loopback_is_used(void **state)
{
    (void)state;
    static const char *const outside[] = {
        "0.0.0.0:0", ":0", "*:0", "[::]:0", "192.0.2.1:7946", "host.example:7946"};
    char why[256];
    for (size_t i = 0; i < DUN_COUNT(outside); i++) {
        struct peer_options o = {.name = "a1", .boot = 1, .gossip = outside[i]};
        why[0] = '\0';
        assert_int_equal(peer_try(&a, &o, why), DUN_E_CONFIG);
        assert_non_null(strstr(why, outside[i]));
        assert_non_null(strstr(why, "dunlin keygen"));
        assert_non_null(strstr(why, "cluster.key_file"));
    }
    peer_open(&a, &(struct peer_options){.name = "a1", .boot = 1, .gossip = "localhost:0"});
    assert_int_equal(peer_send(&a, LINK_GOSSIP, "192.0.2.1:7946", "", 1, 0), DUN_E_DENIED);
    assert_int_equal(peer_send(&a, LINK_GOSSIP, "host.example:7946", "", 1, 0), DUN_E_DENIED);
    peer_close(&a);
    peer_open(&a, &(struct peer_options){.name = "a1", .boot = 1, .key = 1, .gossip = ":0"});
    assert_true(strncmp(link_addr(a.link, LINK_GOSSIP), "0.0.0.0:", 8) == 0);
    assert_true(port_of(link_addr(a.link, LINK_GOSSIP)) != 0);
    peer_close(&a);
}

static void bad_configuration_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *name, *gossip, *word;
    } t[] = {{"", NULL, "name"},
             {"a b", NULL, "name"},
             {"a1", "nonsense", "gossip.listen nonsense"},
             {"a1", "127.0.0.1", "HOST:PORT"},
             {"a1", "192.0.2.1:0", "192.0.2.1:0"}}; /* not one of this host's */
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        char why[256] = "";
        struct peer_options o = {.name = t[i].name, .boot = 1, .gossip = t[i].gossip, .key = 1};
        assert_int_equal(peer_try(&a, &o, why), DUN_E_CONFIG);
        if (strstr(why, t[i].word) == NULL) fail_msg("%s", why);
    }
    peer_open(&a, &(struct peer_options){.name = "a1", .boot = 1, .key = 1});
    static const char *const bad[] = {"", "x", "x:0", ":1", "a b:1", "::1:1", "h:70000"};
    for (size_t i = 0; i < DUN_COUNT(bad); i++)
        assert_int_equal(peer_send(&a, LINK_GOSSIP, bad[i], "", 1, 0), DUN_E_CONFIG);
    peer_close(&a);
}

static void garbage_from_a_socket_does_no_harm(void **state)
{
    (void)state;
    open_pair(1);
    const char *addr = link_addr(b.link, LINK_GOSSIP);
    static uint8_t junk[65536];
    randombytes_buf(junk, sizeof junk);

    int silent = raw_dial(addr); /* never says a word */
    int half = raw_dial(addr);   /* half a hello */
    assert_true(raw_write(half, hello_push, 3));
    int noise = raw_dial(addr);
    junk[0] = 'G'; /* not a hello */
    raw_write(noise, junk, sizeof junk);
    assert_true(raw_closed(noise));
    int wrong = raw_dial(addr); /* another protocol of NNG's */
    assert_true(raw_write(wrong, hello_pull, sizeof hello_pull));
    assert_true(raw_closed(wrong));
    int huge = raw_dial(addr); /* claims more than is allowed */
    assert_true(raw_write(huge, hello_push, sizeof hello_push));
    raw_message(huge, junk, 100, UINT64_MAX);
    assert_true(raw_closed(huge));
    int big = raw_dial(addr);
    assert_true(raw_write(big, hello_push, sizeof hello_push));
    raw_message(big, NULL, 0, DUN_PACKET_MAX + SEAL_OVERHEAD_MAX + 1);
    assert_true(raw_closed(big));

    int fd = raw_dial(addr);
    assert_true(raw_write(fd, hello_push, sizeof hello_push));
    for (uint64_t len = 0; len < 300; len++)
        assert_true(raw_message(fd, junk + len, len, len));
    PEER_STAT(&b, refused_malformed, 300);
    assert_true(raw_message(fd, junk, 10, 1000)); /* and breaks off in the middle */
    close(fd);

    peer_connect(&a, &b, LINK_GOSSIP);
    assert_int_equal(b.packets[LINK_GOSSIP], 1);
    close(silent);
    close(half);
    close(noise);
    close(wrong);
    close(huge);
    close(big);
    close_pair();
}

static void a_recorded_packet_is_taken_once_and_on_its_plane_only(void **state)
{
    (void)state;
    open_pair(1);
    uint8_t key[1][SEAL_KEY_BYTES];
    memset(key, 1, sizeof key);
    struct seal_keyring ring;
    seal_keyring_init(&ring, (const uint8_t(*)[SEAL_KEY_BYTES])key, 1);
    struct seal_header h = {
        .plane = LINK_GOSSIP, .from = "x9", .to = "b2", .boot = 5, .counter = 1};
    struct dun_buf packet = {0};
    seal_close_buf(&ring, &h, dun_slice("", 0), &packet);

    int fd = raw_dial(link_addr(b.link, LINK_REPLICATION));
    assert_true(raw_write(fd, hello_push, sizeof hello_push));
    assert_true(raw_message(fd, packet.data, packet.len, packet.len));
    PEER_STAT(&b, refused_malformed, 1);
    close(fd);
    fd = raw_dial(link_addr(b.link, LINK_GOSSIP));
    assert_true(raw_write(fd, hello_push, sizeof hello_push));
    for (int i = 0; i < 5; i++)
        assert_true(raw_message(fd, packet.data, packet.len, packet.len));
    PEER_STAT(&b, refused_replay, 4);
    assert_int_equal(peer_read(&b, &b.packets[LINK_GOSSIP]), 1);
    close(fd);
    dun_buf_deinit(&packet);
    close_pair();
}

static void an_older_life_of_a_peer_is_refused(void **state)
{
    (void)state;
    open_pair(1);
    peer_connect(&a, &b, LINK_GOSSIP);
    link_set_boot(a.link, 9);
    peer_connect(&a, &b, LINK_GOSSIP);
    assert_int_equal(b.from_boot, 9);
    peer_open(&c, &(struct peer_options){.name = "a1", .boot = 8, .key = 1});
    assert_int_equal(peer_send(&c, LINK_GOSSIP, link_addr(b.link, LINK_GOSSIP), "b2", 4, 0),
                     DUN_OK);
    PEER_STAT(&b, refused_replay, 1);
    assert_int_equal(peer_read(&b, &b.packets[LINK_GOSSIP]), 2);
    peer_close(&c);
    close_pair();
}

static void a_packet_over_the_limit_is_not_sent(void **state)
{
    (void)state;
    open_pair(1);
    const char *addr = link_addr(b.link, LINK_GOSSIP);
    assert_int_equal(peer_send(&a, LINK_GOSSIP, addr, "", DUN_PACKET_MAX + 1, 1), DUN_E_TOO_BIG);
    assert_int_equal(peer_send(&a, LINK_GOSSIP, addr, "", DUN_PACKET_MAX, 2), DUN_OK);
    assert_true(peer_wait(&b, &b.packets[LINK_GOSSIP], 1));
    assert_int_equal(b.first, 2);
    close_pair();
}

static void a_forgotten_address_is_no_loss_and_is_dialled_anew(void **state)
{
    (void)state;
    open_pair(1);
    for (int i = 0; i < 20; i++) {
        peer_connect(&a, &b, LINK_GOSSIP);
        link_forget(a.link, link_addr(b.link, LINK_GOSSIP));
        link_forget(a.link, "127.0.0.1:1"); /* never used */
    }
    assert_int_equal(peer_read(&a, &a.lost[LINK_GOSSIP]), 0);
    close_pair();
}

static void links_close_in_the_middle_of_everything(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 60; round++) {
        open_pair(1);
        size_t len = round % 2 == 0 ? 1000 : 65536; /* the larger go out in parts */
        char ab[DUN_ADDR_MAX + 1], ba[DUN_ADDR_MAX + 1];
        snprintf(ab, sizeof ab, "%s", link_addr(b.link, LINK_REPLICATION));
        snprintf(ba, sizeof ba, "%s", link_addr(a.link, LINK_REPLICATION));
        for (uint64_t i = 1; i <= round * 4; i++) {
            dun_err e1 = peer_send(&a, LINK_REPLICATION, ab, "", len, i);
            dun_err e2 = peer_send(&b, LINK_REPLICATION, ba, "", len, i);
            assert_true((e1 == DUN_OK || e1 == DUN_E_FULL) && (e2 == DUN_OK || e2 == DUN_E_FULL));
        }
        if (round % 3 == 0) pause_ms((long)round % 7);
        if (round % 4 < 2) link_forget(b.link, ba);
        if (round % 3 == 0)
            close_pair();
        else {
            peer_close(&b);
            peer_close(&a);
        }
        assert_int_equal(a.disorder + b.disorder + a.broken + b.broken, 0);
    }
}

static void inbound_connections_are_bounded(void **state)
{
    (void)state;
    enum { LIMIT = 2 * DUN_PEERS_MAX, EXTRA = 20 };
    struct rlimit rl;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &rl), 0);
    if (rl.rlim_max < 2 * LIMIT + 200) skip();
    rl.rlim_cur = 2 * LIMIT + 200;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &rl), 0);
    open_pair(1);
    static int fd[LIMIT + EXTRA];
    uint8_t hello[8];
    for (int i = 0; i < LIMIT; i++) {
        fd[i] = raw_dial(link_addr(b.link, LINK_GOSSIP));
        assert_true(raw_write(fd[i], hello_push, sizeof hello_push));
        assert_int_equal(recv(fd[i], hello, sizeof hello, MSG_WAITALL), 8);
        assert_true(raw_message(fd[i], "x", 1, 1));
    }
    PEER_STAT(&b, refused_malformed, LIMIT); /* so all of them are in */
    for (int i = LIMIT; i < LIMIT + EXTRA; i++) {
        fd[i] = raw_dial(link_addr(b.link, LINK_GOSSIP));
        assert_true(raw_write(fd[i], hello_push, sizeof hello_push));
        assert_true(raw_closed(fd[i]));
    }
    assert_true(peer_logged(&b, "connection_refused"));
    for (int i = 0; i < LIMIT + EXTRA; i++)
        close(fd[i]);
    peer_connect(&a, &b, LINK_GOSSIP); /* there is room again */
    close_pair();
}

/* `test_link bench` prints figures; not a test, as a loaded host proves nothing. */
static void bench_one(size_t len, double seconds)
{
    open_pair(1);
    peer_connect(&a, &b, LINK_REPLICATION);
    const char *addr = link_addr(b.link, LINK_REPLICATION);
    uint64_t start = now_ms(), had = peer_read(&b, &b.packets[LINK_REPLICATION]), full = 0;
    static uint8_t bytes[DUN_PACKET_MAX];
    while ((double)(now_ms() - start) < seconds * 1000)
        for (int i = 0; i < 64; i++)
            if (link_send(a.link, LINK_REPLICATION, addr, "b2", dun_slice(bytes, len)) != DUN_OK) {
                full++;
                pause_ms(1);
            }
    double took = (double)(now_ms() - start) / 1000;
    double got = (double)(peer_read(&b, &b.packets[LINK_REPLICATION]) - had);
    printf("size=%zu packets_per_s=%.0f mb_per_s=%.0f full=%llu\n", len, got / took,
           got * (double)len / took / 1e6, (unsigned long long)full);
    close_pair();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_of_every_size_arrive_whole),
        cmocka_unit_test(two_senders_packets_keep_their_order),
        cmocka_unit_test(a_packet_under_another_key_is_refused_and_logged_once),
        cmocka_unit_test(plain_and_sealed_peers_refuse_each_other),
        cmocka_unit_test(a_packet_for_another_name_is_refused),
        cmocka_unit_test(a_gone_peer_is_reported_and_found_again_on_its_port),
        cmocka_unit_test(an_unreachable_peers_queue_is_short),
        cmocka_unit_test(a_deaf_peers_queue_is_bounded_and_dropped_with_the_connection),
        cmocka_unit_test(a_taken_port_is_named_with_a_remedy),
        cmocka_unit_test(without_a_key_only_loopback_is_used),
        cmocka_unit_test(bad_configuration_is_named),
        cmocka_unit_test(garbage_from_a_socket_does_no_harm),
        cmocka_unit_test(a_recorded_packet_is_taken_once_and_on_its_plane_only),
        cmocka_unit_test(an_older_life_of_a_peer_is_refused),
        cmocka_unit_test(a_packet_over_the_limit_is_not_sent),
        cmocka_unit_test(a_forgotten_address_is_no_loss_and_is_dialled_anew),
        cmocka_unit_test(links_close_in_the_middle_of_everything),
        cmocka_unit_test(inbound_connections_are_bounded),
    };
    if (argc > 1 && strcmp(argv[1], "bench") == 0) {
        static const size_t sizes[] = {64, 1400, 16384, 65536};
        for (size_t i = 0; i < DUN_COUNT(sizes); i++)
            bench_one(sizes[i], 2);
        return 0;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nng_fini(); /* or the leak checker sees what NNG's reaper has not yet come to */
    return failed;
}
