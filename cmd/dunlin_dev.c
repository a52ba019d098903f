/* cmd/dunlin_dev.c: a local cluster in the foreground, one process per peer.
 * Why processes and not threads: what one tries with it is killing peers.
 * (1) stdout carries only the lines peer=, died= and ready; logs go to stderr.
 * (2) No peer outlives us: SIGTERM, after a deadline SIGKILL; and if we are
 *     killed, the kernel kills them (PR_SET_PDEATHSIG).
 * (3) Peers are in process groups of their own, so Ctrl-C reaches only us and
 *     they are stopped in order. */
#include "cmd/dunlin_args.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "transport/client/client.h"
#include "transport/client/client_http.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    DEV_RESTART_MS = 1000,
    DEV_POLL_MS = 100,
    DEV_KILL_MS = 10 * 1000, /* a drain hands over and waits for its clients */
    DEV_LINE_MAX = 8 * 1024, /* a longer log line is cut in pieces */
    DEV_ARGS_MAX = 64,
    PORT_CLIENT = 8000,
    PORT_GOSSIP = 7946,
    PORT_REPLICATION = 7947,
    PORT_STEP = 10, /* between the peer ports of neighbours */
};

struct dev_peer {
    struct dev *dev;
    char name[16];
    uint32_t client_port, gossip_port, replication_port;
    pid_t pid; /* 0 = not running */
    bool ready;
    uv_pipe_t log;
    bool log_open;
    uv_timer_t restart;
    struct client_http *probe;
    struct client_servers server;
    FILE *file; /* with --dir */
    char line[DEV_LINE_MAX];
    size_t line_len;
};

struct dev {
    uv_loop_t loop;
    struct dev_peer peers[DUN_VOTERS_MAX];
    uint32_t count;
    uint64_t peer_count, port;
    bool restart, stopping, said_ready;
    const char *dir;
    char **rest;
    int rest_count;
    char program[4096]; /* dunlind */
    struct dun_prng prng;
    uv_signal_t on_int, on_term, on_hup, on_child;
    uv_timer_t poll, kill;
    int status;
};

/* ---- logs ---- */

static void log_line(struct dev_peer *p)
{
    fprintf(stderr, "%s %.*s\n", p->name, (int)p->line_len, p->line);
    if (p->file != NULL) {
        fprintf(p->file, "%.*s\n", (int)p->line_len, p->line);
        (void)fflush(p->file);
    }
    p->line_len = 0;
}

static void on_log_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct dev_peer *p = h->data;
    (void)suggested;
    *buf = uv_buf_init(p->line + p->line_len, (unsigned)(sizeof p->line - p->line_len));
}

static void on_log_closed(uv_handle_t *h)
{
    struct dev_peer *p = h->data;
    p->log_open = false;
}

static void on_log(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct dev_peer *p = s->data;
    (void)buf;
    if (n < 0) {
        if (p->line_len > 0) log_line(p);
        uv_close((uv_handle_t *)s, on_log_closed);
        return;
    }
    size_t total = p->line_len + (size_t)n, start = 0;
    char all[DEV_LINE_MAX];
    memcpy(all, p->line, total);
    for (size_t i = 0; i < total; i++) {
        if (all[i] != '\n') continue;
        p->line_len = i - start;
        memcpy(p->line, all + start, p->line_len);
        log_line(p);
        start = i + 1;
    }
    p->line_len = total - start;
    memcpy(p->line, all + start, p->line_len);
    if (p->line_len == sizeof p->line) log_line(p);
}

/* ---- starting a peer ---- */

struct dev_argv {
    char *words[DEV_ARGS_MAX + 1];
    int count;
};

static void add(struct dev_argv *a, const char *word)
{
    DUN_ASSERT(a->count < DEV_ARGS_MAX);
    a->words[a->count++] = dun_strdup(word);
    a->words[a->count] = NULL;
}

static void add_address(struct dev_argv *a, const char *option, uint32_t port)
{
    char text[32];
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
    add(a, option);
    add(a, text);
}

static void build_argv(const struct dev_peer *p, struct dev_argv *a)
{
    const struct dev *d = p->dev;
    char voters[DUN_VOTERS_MAX * 16] = "", join[DUN_VOTERS_MAX * 24] = "";
    for (uint32_t i = 0; i < d->count; i++) {
        const struct dev_peer *q = &d->peers[i];
        size_t v = strlen(voters), j = strlen(join);
        (void)snprintf(voters + v, sizeof voters - v, "%s%s", i > 0 ? "," : "", q->name);
        (void)snprintf(join + j, sizeof join - j, "%s127.0.0.1:%u", i > 0 ? "," : "",
                       q->gossip_port);
    }
    add(a, d->program);
    add(a, "--dev");
    add(a, "--name");
    add(a, p->name);
    add(a, "--voters");
    add(a, voters);
    add(a, "--join");
    add(a, join);
    add_address(a, "--client", p->client_port);
    add_address(a, "--gossip", p->gossip_port);
    add_address(a, "--replication", p->replication_port);
    for (int i = 0; i < d->rest_count; i++)
        add(a, d->rest[i]);
}

/* In the child, with all signals blocked; only calls that are safe after fork. */
_Noreturn static void become_peer(char **argv, int log_fd, pid_t parent)
{
    static const int changed[] = {SIGINT, SIGTERM, SIGCHLD, SIGPIPE};
    sigset_t none;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(EXIT_SYSTEM); /* it died before prctl */
    (void)setpgid(0, 0);
    /* Our handlers must not take a SIGTERM that is meant for the peer. */
    for (size_t i = 0; i < DUN_COUNT(changed); i++)
        (void)signal(changed[i], SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    int null_fd = open("/dev/null", O_RDONLY);
    if (null_fd >= 0) (void)dup2(null_fd, STDIN_FILENO);
    (void)dup2(log_fd, STDOUT_FILENO);
    (void)dup2(log_fd, STDERR_FILENO);
    execv(argv[0], argv);
    _exit(EXIT_SYSTEM);
}

static int peer_start(struct dev_peer *p)
{
    struct dev *d = p->dev;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return dunlin_fail(EXIT_SYSTEM, "dev: cannot make a pipe: %s", strerror(errno));
    struct dev_argv a = {.count = 0};
    build_argv(p, &a);
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) become_peer(a.words, fds[1], parent);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    for (int i = 0; i < a.count; i++)
        dun_free(a.words[i]);
    (void)close(fds[1]);
    if (pid < 0) {
        (void)close(fds[0]);
        return dunlin_fail(EXIT_SYSTEM, "dev: cannot start a process: %s", strerror(errno));
    }
    p->pid = pid;
    p->ready = false;
    DUN_ASSERT(!p->log_open);
    int rc = uv_pipe_init(&d->loop, &p->log, 0);
    DUN_ASSERT(rc == 0);
    p->log.data = p;
    p->log_open = true;
    p->line_len = 0;
    rc = uv_pipe_open(&p->log, fds[0]);
    if (rc == 0) rc = uv_read_start((uv_stream_t *)&p->log, on_log_alloc, on_log);
    DUN_ASSERT(rc == 0); /* a fresh pipe can be read */
    printf("peer=%s pid=%d client=127.0.0.1:%u gossip=127.0.0.1:%u replication=127.0.0.1:%u\n",
           p->name, (int)pid, p->client_port, p->gossip_port, p->replication_port);
    return EXIT_FINE;
}

/* ---- death and restart ---- */

static uint32_t running(const struct dev *d)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->count; i++)
        n += d->peers[i].pid != 0;
    return n;
}

/* All children are gone and no more will come: let the loop run out. */
static void close_all(struct dev *d)
{
    uv_handle_t *handles[] = {(uv_handle_t *)&d->on_int, (uv_handle_t *)&d->on_term,
                              (uv_handle_t *)&d->on_hup, (uv_handle_t *)&d->on_child,
                              (uv_handle_t *)&d->poll,   (uv_handle_t *)&d->kill};
    for (size_t i = 0; i < DUN_COUNT(handles); i++)
        if (!uv_is_closing(handles[i])) uv_close(handles[i], NULL);
    for (uint32_t i = 0; i < d->count; i++) {
        struct dev_peer *p = &d->peers[i];
        if (p->probe != NULL) client_http_cancel(p->probe);
        p->probe = NULL;
        if (!uv_is_closing((uv_handle_t *)&p->restart)) uv_close((uv_handle_t *)&p->restart, NULL);
    }
}

static void on_kill_deadline(uv_timer_t *t)
{
    struct dev *d = t->data;
    for (uint32_t i = 0; i < d->count; i++) {
        struct dev_peer *p = &d->peers[i];
        if (p->pid == 0) continue;
        fprintf(stderr, "dunlin: %s did not stop within %d seconds; killing it\n", p->name,
                DEV_KILL_MS / 1000);
        (void)kill(p->pid, SIGKILL);
    }
}

static void stop_all(struct dev *d)
{
    if (d->stopping) { /* asked twice: at once */
        for (uint32_t i = 0; i < d->count; i++)
            if (d->peers[i].pid != 0) (void)kill(d->peers[i].pid, SIGKILL);
        return;
    }
    d->stopping = true;
    for (uint32_t i = 0; i < d->count; i++) {
        uv_timer_stop(&d->peers[i].restart);
        if (d->peers[i].pid != 0) (void)kill(d->peers[i].pid, SIGTERM);
    }
    uv_timer_start(&d->kill, on_kill_deadline, DEV_KILL_MS, 0);
    if (running(d) == 0) close_all(d);
}

static void on_stop_signal(uv_signal_t *s, int number)
{
    (void)number;
    stop_all(s->data);
}

static void on_restart(uv_timer_t *t)
{
    struct dev_peer *p = t->data;
    if (p->dev->stopping || p->pid != 0) return;
    if (p->log_open) { /* something still holds the old one's stderr */
        uv_timer_start(t, on_restart, DEV_POLL_MS, 0);
        return;
    }
    if (peer_start(p) != EXIT_FINE) uv_timer_start(t, on_restart, DEV_RESTART_MS, 0);
}

static void peer_died(struct dev_peer *p, int how)
{
    struct dev *d = p->dev;
    p->pid = 0;
    p->ready = false;
    if (d->stopping) {
        if (running(d) == 0) close_all(d);
        return;
    }
    printf("died=%s\n", p->name);
    if (WIFSIGNALED(how)) {
        fprintf(stderr, "dunlin: %s was ended by signal %d\n", p->name, WTERMSIG(how));
    } else {
        fprintf(stderr, "dunlin: %s exited with status %d\n", p->name, WEXITSTATUS(how));
    }
    if (d->restart) {
        uv_timer_start(&p->restart, on_restart, DEV_RESTART_MS, 0);
    } else if (running(d) == 0) {
        d->status = dunlin_fail(EXIT_REFUSED, "dev: no peer is left");
        stop_all(d);
    }
}

static void on_child(uv_signal_t *s, int number)
{
    struct dev *d = s->data;
    (void)number;
    for (uint32_t i = 0; i < d->count; i++) {
        int how;
        pid_t pid = d->peers[i].pid;
        if (pid != 0 && waitpid(pid, &how, WNOHANG) == pid) peer_died(&d->peers[i], how);
    }
}

/* ---- ready ---- */

static void on_probed(void *ctx, const struct client_http_result *r)
{
    struct dev_peer *p = ctx;
    struct dev *d = p->dev;
    p->probe = NULL;
    p->ready = r->e == DUN_OK && r->status == 200 && p->pid != 0;
    uint32_t ready = 0;
    for (uint32_t i = 0; i < d->count; i++)
        ready += d->peers[i].ready;
    /* A peer that died meanwhile is not waited for, as long as a majority serves. */
    if (d->said_ready || ready < running(d) || ready < d->count / 2 + 1) return;
    d->said_ready = true;
    uv_timer_stop(&d->poll);
    puts("ready");
}

static void on_poll(uv_timer_t *t)
{
    struct dev *d = t->data;
    for (uint32_t i = 0; i < d->count; i++) {
        struct dev_peer *p = &d->peers[i];
        if (p->probe != NULL || p->ready || p->pid == 0) continue;
        const struct client_http_options o = {.servers = &p->server,
                                              .method = "GET",
                                              .path = "/readyz",
                                              .connect_ms = 1000,
                                              .answer_ms = 1000};
        p->probe = client_http_start(&d->loop, &o, &d->prng, on_probed, p);
    }
}

/* ---- setting up ---- */

/* True when nobody listens there; the check and the peer's own bind leave a gap,
 * but a clear message before anything is started is worth more. */
static bool port_free(uint32_t port, int *error)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *error = errno;
        return false;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* TIME_WAIT does not count */
    bool ok = bind(fd, (const struct sockaddr *)(const void *)&a, sizeof a) == 0;
    *error = errno;
    (void)close(fd);
    return ok;
}

static int check_ports(const struct dev *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        const struct dev_peer *p = &d->peers[i];
        const struct {
            const char *what;
            uint32_t port;
        } ports[] = {{"client", p->client_port},
                     {"gossip", p->gossip_port},
                     {"replication", p->replication_port}};
        for (size_t k = 0; k < DUN_COUNT(ports); k++) {
            int error;
            if (port_free(ports[k].port, &error)) continue;
            return dunlin_fail(EXIT_SYSTEM,
                               "dev: peer %s cannot use 127.0.0.1:%u for %s: %s\n"
                               "        Stop what listens there (ss -ltnp 'sport = :%u'), or take "
                               "other ports: dunlin dev --port %llu",
                               p->name, ports[k].port, ports[k].what, strerror(error),
                               ports[k].port,
                               (unsigned long long)(d->port < 60000 ? d->port + 1000 : 9000));
        }
    }
    return EXIT_FINE;
}

static int find_program(struct dev *d)
{
    ssize_t n = readlink("/proc/self/exe", d->program, sizeof d->program - sizeof "dunlind");
    if (n <= 0)
        return dunlin_fail(EXIT_SYSTEM, "dev: cannot find my own path: %s", strerror(errno));
    d->program[n] = '\0';
    char *slash = strrchr(d->program, '/');
    DUN_ASSERT(slash != NULL);
    memcpy(slash + 1, "dunlind", sizeof "dunlind");
    if (access(d->program, X_OK) == 0) return EXIT_FINE;
    return dunlin_fail(EXIT_SYSTEM,
                       "dev: %s: %s\n        Build it (scripts/quickstart --build-only) "
                       "or put dunlind beside dunlin.",
                       d->program, strerror(errno));
}

static int open_logs(struct dev *d)
{
    for (uint32_t i = 0; d->dir != NULL && i < d->count; i++) {
        char path[4096];
        struct dev_peer *p = &d->peers[i];
        (void)snprintf(path, sizeof path, "%s/%s.log", d->dir, p->name);
        p->file = fopen(path, "ae");
        if (p->file == NULL)
            return dunlin_fail(EXIT_SYSTEM, "dev: cannot write %s: %s; does --dir exist?", path,
                               strerror(errno));
    }
    return EXIT_FINE;
}

static int plan(struct dev *d)
{
    int64_t shift = (int64_t)d->port - PORT_CLIENT;
    d->count = (uint32_t)d->peer_count;
    for (uint32_t i = 0; i < d->count; i++) {
        struct dev_peer *p = &d->peers[i];
        int64_t gossip = PORT_GOSSIP + (int64_t)i * PORT_STEP + shift;
        char url[64], why[CLIENT_WHY_MAX];
        p->dev = d;
        (void)snprintf(p->name, sizeof p->name, "n%u", i + 1);
        p->client_port = (uint32_t)d->port + i;
        p->gossip_port = (uint32_t)gossip;
        p->replication_port = (uint32_t)gossip + PORT_REPLICATION - PORT_GOSSIP;
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", p->client_port);
        dun_err e = client_servers_parse(&p->server, url, why, sizeof why);
        DUN_ASSERT(e == DUN_OK);
    }
    return check_ports(d);
}

static int run(struct dev *d)
{
    struct {
        uv_signal_t *handle;
        int number;
        uv_signal_cb cb;
    } signals[] = {{&d->on_int, SIGINT, on_stop_signal},
                   {&d->on_term, SIGTERM, on_stop_signal},
                   {&d->on_hup, SIGHUP, on_stop_signal},
                   {&d->on_child, SIGCHLD, on_child}};
    int rc = uv_loop_init(&d->loop);
    DUN_ASSERT(rc == 0);
    for (size_t i = 0; i < DUN_COUNT(signals); i++) {
        (void)uv_signal_init(&d->loop, signals[i].handle);
        signals[i].handle->data = d;
        (void)uv_signal_start(signals[i].handle, signals[i].cb, signals[i].number);
    }
    (void)uv_timer_init(&d->loop, &d->poll);
    (void)uv_timer_init(&d->loop, &d->kill);
    d->poll.data = d->kill.data = d;
    for (uint32_t i = 0; i < d->count; i++) {
        (void)uv_timer_init(&d->loop, &d->peers[i].restart);
        d->peers[i].restart.data = &d->peers[i];
    }
    for (uint32_t i = 0; i < d->count && d->status == EXIT_FINE; i++)
        d->status = peer_start(&d->peers[i]);
    if (d->status != EXIT_FINE) stop_all(d);
    uv_timer_start(&d->poll, on_poll, 0, DEV_POLL_MS);
    (void)uv_run(&d->loop, UV_RUN_DEFAULT);
    rc = uv_loop_close(&d->loop);
    DUN_ASSERT(rc == 0);
    for (uint32_t i = 0; i < d->count; i++)
        if (d->peers[i].file != NULL) (void)fclose(d->peers[i].file);
    return d->status;
}

int dunlin_dev(int argc, char **argv)
{
    struct dev *d = dun_calloc(1, sizeof *d);
    d->peer_count = 3;
    d->port = PORT_CLIENT;
    const struct dunlin_opt opts[] = {
        {"peers", OPT_NUMBER, "N", "how many (3)", &d->peer_count, 1, DUN_VOTERS_MAX},
        {"port", OPT_NUMBER, "PORT", "first client port (8000); shifts the others by as much",
         &d->port, 1024, 65000},
        {"restart", OPT_FLAG, NULL, "start a peer that died again, after a second", &d->restart, 0,
         0},
        {"dir", OPT_TEXT, "DIR", "also write each peer's log to DIR/NAME.log", &d->dir, 0, 0},
    };
    const struct dunlin_args args = {
        .usage = "dev [OPTION]... [-- OPTION for dunlind]...",
        .summary =
            "Runs a cluster on this machine, each peer its own process. Prints a line per\n"
            "started peer and \"ready\" when it serves. Kill peers as you like; Ctrl-C ends all.",
        .opts = opts,
        .opt_count = DUN_COUNT(opts),
        .takes_rest = true,
    };
    struct dunlin_parsed p;
    int status;
    if (dunlin_args(&args, argc, argv, &p, &status)) {
        d->rest = p.rest;
        d->rest_count = p.rest_count;
        (void)setvbuf(stdout, NULL, _IOLBF, 0); /* scripts wait for our lines */
        client_seed(&d->prng);
        if (d->rest_count > DEV_ARGS_MAX - 20) {
            status =
                dunlin_fail(EXIT_USAGE, "dev: more than %d options for dunlind", DEV_ARGS_MAX - 20);
        } else if ((status = plan(d)) == EXIT_FINE && (status = find_program(d)) == EXIT_FINE &&
                   (status = open_logs(d)) == EXIT_FINE) {
            status = run(d);
        }
    }
    dun_free(d);
    return status;
}
