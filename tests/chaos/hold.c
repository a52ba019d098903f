/* tests/chaos/hold.c: a network that delays and reorders, where the kernel has no netem.
 * Why: without it the kinds of faults a kernel can do would decide which are
 * tested. A TUN device takes what the machine sends (a route of the caller's
 * leads into it); each packet is held for a while, then sent out of the real
 * device by a raw socket. What the machine receives goes its usual way.
 * (1) A packet leaves as it came, whole and once. More than HELD_MAX are dropped,
 *     as a queue would.
 * (2) SIGTERM sends at once what is held, in the order it was due, and ends; what
 *     was done is said then, so that a fault that did nothing is seen. */
#include "base/prng.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PACKET_MAX = 1500, /* the usual MTU, and the TUN device's */
    HELD_MAX = 8192,   /* 200 ms at 40,000 packets a second */
    DELAY_MS_MAX = 10000,
    EXIT_USAGE = 64,
    EXIT_HOST = 71
};

struct packet {
    uint64_t due_ns;
    uint64_t number; /* of two due at one time the older goes first */
    size_t size;
    uint8_t bytes[PACKET_MAX];
};

struct hold {
    int tun, out;
    uint32_t delay_ms, jitter_ms, overtake_percent;
    struct dun_prng prng;
    uint64_t number, newest, overtaken, dropped; /* newest: the highest number sent, plus one */
    struct packet *heap[HELD_MAX];               /* [0] is due first */
    uint32_t count;
    struct packet *spare; /* the next packet is read into it */
};

static volatile sig_atomic_t stopping;

static void on_term(int signal)
{
    (void)signal;
    stopping = 1;
}

static void die(const char *what)
{
    fprintf(stderr, "chaos-hold: %s: %s\n", what, strerror(errno));
    exit(EXIT_HOST);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct packet *packet_new(void)
{
    struct packet *p = malloc(sizeof *p);
    if (p == NULL) die("memory");
    return p;
}

static int tun_open(const char *name)
{
    struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) die("/dev/net/tun");
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    if (ioctl(fd, TUNSETIFF, &r) != 0) die(name);
    return fd;
}

static int raw_open(const char *device)
{
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (fd < 0) die("a raw socket");
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) != 0)
        die(device);
    return fd;
}

static bool before(const struct packet *a, const struct packet *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

static void push(struct hold *h, struct packet *p)
{
    uint32_t i = h->count++;
    for (; i > 0 && before(p, h->heap[(i - 1) / 2]); i = (i - 1) / 2)
        h->heap[i] = h->heap[(i - 1) / 2];
    h->heap[i] = p;
}

static struct packet *pop(struct hold *h)
{
    struct packet *first = h->heap[0], *last = h->heap[--h->count];
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < h->count; i = child) {
        if (child + 1 < h->count && before(h->heap[child + 1], h->heap[child])) child++;
        if (!before(h->heap[child], last)) break;
        h->heap[i] = h->heap[child];
    }
    h->heap[i] = last;
    return first;
}

/* A packet that cannot be sent is lost, as on a wire. */
static void send_now(struct hold *h, const struct packet *p)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    memcpy(&to.sin_addr, p->bytes + offsetof(struct ip, ip_dst), sizeof to.sin_addr);
    if (sendto(h->out, p->bytes, p->size, 0, (struct sockaddr *)&to, sizeof to) < 0) h->dropped++;
    if (p->number < h->newest) {
        h->overtaken++;
    } else {
        h->newest = p->number + 1;
    }
}

static void send_due(struct hold *h, uint64_t until_ns)
{
    while (h->count > 0 && h->heap[0]->due_ns <= until_ns) {
        struct packet *p = pop(h);
        send_now(h, p);
        free(p);
    }
}

static uint64_t delay_ns(struct hold *h)
{
    uint64_t ms_ns = 1000000;
    if (dun_prng_chance(&h->prng, h->overtake_percent * 10000)) return 0;
    uint64_t least = (h->delay_ms - h->jitter_ms) * ms_ns;
    return least + dun_prng_range(&h->prng, 0, 2 * h->jitter_ms * ms_ns);
}

/* Takes in what waits at the TUN device. */
static void take(struct hold *h)
{
    for (;;) {
        struct packet *p = h->spare;
        ssize_t n = read(h->tun, p->bytes, sizeof p->bytes);
        if (n < 0) return; /* nothing more, or interrupted: poll says */
        if ((size_t)n < sizeof(struct ip) || p->bytes[0] >> 4 != 4) continue;
        if (h->count == HELD_MAX) {
            h->dropped++;
            continue;
        }
        p->size = (size_t)n;
        p->number = h->number++;
        p->due_ns = now_ns() + delay_ns(h);
        push(h, p);
        h->spare = packet_new();
    }
}

static void run(struct hold *h, const sigset_t *while_waiting)
{
    while (!stopping) {
        struct pollfd in = {.fd = h->tun, .events = POLLIN};
        uint64_t now = now_ns();
        uint64_t due = h->count == 0 ? now + 1000000000u : h->heap[0]->due_ns;
        uint64_t left = due > now ? due - now : 0;
        struct timespec wait = {.tv_sec = (time_t)(left / 1000000000u),
                                .tv_nsec = (long)(left % 1000000000u)};
        int n = ppoll(&in, 1, &wait, while_waiting);
        if (n < 0 && errno != EINTR) die("ppoll");
        if (n > 0) take(h);
        send_due(h, now_ns());
    }
    take(h);
    send_due(h, UINT64_MAX);
}

static void usage(void)
{
    fputs("Usage: chaos-hold TUN DEVICE DELAY_MS JITTER_MS OVERTAKE_PERCENT SEED\n"
          "       chaos-hold --probe DEVICE\n\n"
          "Makes the device TUN, and sends what comes there out of DEVICE, each packet after\n"
          "DELAY_MS, more or less by up to JITTER_MS, or, OVERTAKE_PERCENT of them, at once.\n"
          "Prints \"ready\" when TUN is there. --probe: says whether this machine allows it.\n",
          stderr);
    exit(EXIT_USAGE);
}

static uint32_t number(const char *text, uint32_t max)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || n > max) usage();
    return (uint32_t)n;
}

int main(int argc, char **argv)
{
    static struct hold h;
    if (argc == 3 && strcmp(argv[1], "--probe") == 0) {
        h.out = raw_open(argv[2]);
        h.tun = tun_open("held%d");
        return 0;
    }
    if (argc != 7) usage();
    h.delay_ms = number(argv[3], DELAY_MS_MAX);
    h.jitter_ms = number(argv[4], h.delay_ms);
    h.overtake_percent = number(argv[5], 100);
    dun_prng_seed(&h.prng, number(argv[6], UINT32_MAX));

    struct sigaction act = {.sa_handler = on_term};
    sigset_t term, old;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &old); /* only ppoll hears it, so none is missed */
    sigaction(SIGTERM, &act, NULL);

    h.out = raw_open(argv[2]);
    h.tun = tun_open(argv[1]);
    h.spare = packet_new();
    puts("ready");
    fflush(stdout);
    run(&h, &old);
    fprintf(stderr, "held %" PRIu64 " packets, %" PRIu64 " overtaken, %" PRIu64 " dropped\n",
            h.number, h.overtaken, h.dropped);
    free(h.spare);
    return 0;
}
