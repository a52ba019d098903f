/* tests/unit/cmd/test_dunlin.c: the tool from outside: what it prints and exits with.
 * `dunlin dev` starts the dunlind beside itself; here that is this very program
 * under another name, which answers every request with 200 (see main). */
#include "base/assert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { DEADLINE_MS = 30 * 1000, OUTPUT_MAX = 64 * 1024, ARGS_MAX = 24 };

static char tool[4096];    /* the dunlin under test */
static char dev_dir[4096]; /* has hard links: dunlin and our fake dunlind */
static char dev_tool[4200];

struct run {
    pid_t pid;
    int out, err;
    char stdout_text[OUTPUT_MAX], stderr_text[OUTPUT_MAX];
    size_t stdout_len, stderr_len;
    int status; /* exit status; -1 = ended by a signal */
};

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* @args: words separated by single blanks. */
static void start(struct run *r, const char *program, const char *args)
{
    int out[2], err[2];
    char copy[1024], *argv[ARGS_MAX + 2], *save = NULL;
    int n = 0;
    memset(r, 0, sizeof *r);
    argv[n++] = (char *)(uintptr_t)program;
    (void)snprintf(copy, sizeof copy, "%s", args);
    for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        DUN_ASSERT(n <= ARGS_MAX);
        argv[n++] = w;
    }
    argv[n] = NULL;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    r->pid = fork();
    if (r->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nothing running */
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(err[1], STDERR_FILENO);
        execv(program, argv);
        _exit(127);
    }
    (void)close(out[1]);
    (void)close(err[1]);
    r->out = out[0];
    r->err = err[0];
}

static bool drain(int *fd, char *text, size_t *len)
{
    ssize_t n = read(*fd, text + *len, OUTPUT_MAX - 1 - *len);
    if (n > 0) *len += (size_t)n;
    if (n > 0) return true;
    (void)close(*fd);
    *fd = -1;
    return false;
}

/* Reads until @want is in stdout, or both pipes have ended; false after the deadline. */
static bool read_until(struct run *r, const char *want)
{
    uint64_t until = now_ms() + DEADLINE_MS;
    while (now_ms() < until) {
        if (want != NULL && strstr(r->stdout_text, want) != NULL) return true;
        if (r->out < 0 && r->err < 0) return want == NULL;
        struct pollfd p[2] = {{.fd = r->out, .events = POLLIN}, {.fd = r->err, .events = POLLIN}};
        (void)poll(p, 2, 100);
        if (r->out >= 0 && p[0].revents != 0) (void)drain(&r->out, r->stdout_text, &r->stdout_len);
        if (r->err >= 0 && p[1].revents != 0) (void)drain(&r->err, r->stderr_text, &r->stderr_len);
    }
    return false;
}

static void finish(struct run *r)
{
    int how;
    bool ended = read_until(r, NULL);
    if (!ended) (void)kill(r->pid, SIGKILL);
    assert_int_equal(waitpid(r->pid, &how, 0), r->pid);
    r->status = WIFEXITED(how) ? WEXITSTATUS(how) : -1;
    assert_true(ended);
}

static void run_tool(struct run *r, const char *args)
{
    start(r, tool, args);
    finish(r);
}

static struct run r; /* large */

static void bad_usage_exits_64_and_names_the_bad_word(void **state)
{
    static const struct {
        const char *args, *word;
    } t[] = {
        {"", "Usage"},
        {"frobnicate", "\"frobnicate\""},
        {"pub c", "missing"},
        {"pub c 1 2", "\"2\""},
        {"pub c {x}", "{x}"},
        {"pub c 1 --bogus", "\"--bogus\""},
        {"pub c 1 -x", "\"-x\""},
        {"pub c 1 --server", "--server"},
        {"pub c 1 --server https://a", "https://a"},
        {"pub c 1 --server a=x", "a=x"},
        {"pub c 1 --json=1", "--json"},
        {"pub c 1 --timeout soon", "\"soon\""},
        {"sub", "missing"},
        {"sub c --since 5", "\"5\""},
        {"sub c --since e:x", "\"e:x\""},
        {"sub c --count 0", "\"0\""},
        {"sub c --server :1", ":1"},
        {"status x", "\"x\""},
        {"bench", "which"},
        {"bench nothing", "\"nothing\""},
        {"bench recover", "--pid"},
        {"bench recover --pid 99999999 --server a", "two"},
        {"bench fanout --subscribers 0", "\"0\""},
        {"bench publish --size 99999999", "\"99999999\""},
        {"bench connections", "--pid"},
        {"token", "--secret"},
        {"token --secret", "--secret"},
        {"keygen extra", "\"extra\""},
        {"dev --peers 8", "\"8\""},
        {"dev --port 80", "\"80\""},
        {"dev now", "\"now\""},
    };
    (void)state;
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        run_tool(&r, t[i].args);
        if (r.status != 64 || strstr(r.stderr_text, t[i].word) == NULL || r.stdout_len != 0)
            fail_msg("dunlin %s: status %d, stderr: %s", t[i].args, r.status, r.stderr_text);
    }
}

static void help_goes_to_stdout_with_status_0(void **state)
{
    static const char *const t[] = {"--help",
                                    "help",
                                    "-h",
                                    "dev --help",
                                    "pub --help",
                                    "sub -h",
                                    "status --help",
                                    "bench --help",
                                    "token --help",
                                    "keygen --help",
                                    "bench fanout --help",
                                    "bench publish --help",
                                    "bench connections --help",
                                    "bench recover --help"};
    (void)state;
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        run_tool(&r, t[i]);
        if (r.status != 0 || strstr(r.stdout_text, "Usage: dunlin") == NULL || r.stderr_len != 0)
            fail_msg("dunlin %s: status %d, stderr: %s", t[i], r.status, r.stderr_text);
    }
}

static void an_unreachable_server_is_named_with_status_69(void **state)
{
    static const char *const t[] = {
        "pub c 1 --timeout 100 --server http://127.0.0.1:1",
        "status --server http://127.0.0.1:1",
        "bench publish --server http://127.0.0.1:1",
        "bench fanout --server http://127.0.0.1:1",
    };
    (void)state;
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        run_tool(&r, t[i]);
        bool named = strstr(r.stderr_text, "127.0.0.1:1") != NULL ||
                     strstr(r.stdout_text, "127.0.0.1:1") != NULL;
        if (r.status != 69 || !named)
            fail_msg("dunlin %s: status %d, stderr: %s", t[i], r.status, r.stderr_text);
    }
}

static void keygen_makes_64_hex_digits_for_the_owner_only(void **state)
{
    char path[4200], args[4300], first[80];
    struct stat st;
    (void)state;
    run_tool(&r, "keygen");
    assert_int_equal(r.status, 0);
    assert_int_equal(strspn(r.stdout_text, "0123456789abcdef"), 64);
    assert_int_equal(r.stdout_len, 65);
    (void)snprintf(first, sizeof first, "%.70s", r.stdout_text);
    run_tool(&r, "keygen");
    assert_string_not_equal(first, r.stdout_text);
    (void)snprintf(path, sizeof path, "%s/key", dev_dir);
    (void)snprintf(args, sizeof args, "keygen --out %s", path);
    run_tool(&r, args);
    assert_int_equal(r.status, 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 65);
    run_tool(&r, args); /* never overwrites */
    assert_int_equal(r.status, 71);
    assert_non_null(strstr(r.stderr_text, path));
    (void)unlink(path);
}

/* ---- dev ---- */

/* Starts `dunlin dev` on ports that are free, waits for "ready"; returns the port. */
static unsigned start_dev(const char *more)
{
    for (unsigned i = 0; i < 50; i++) {
        /* below the range that the system hands out */
        unsigned port = 10000 + ((unsigned)getpid() * 37 + i * 101) % 20000;
        char args[256];
        (void)snprintf(args, sizeof args, "dev --port %u %s", port, more);
        start(&r, dev_tool, args);
        if (read_until(&r, "ready\n")) return port;
        finish(&r);
        assert_int_equal(r.status, 71); /* somebody has one of the ports; try others */
    }
    fail_msg("no free ports found; last: %s", r.stderr_text);
    return 0;
}

static pid_t pid_of(const char *name)
{
    char key[32];
    const char *at = NULL;
    int pid = 0;
    (void)snprintf(key, sizeof key, "peer=%s pid=", name);
    for (const char *p = r.stdout_text; (p = strstr(p, key)) != NULL; p++)
        at = p;
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(key), "%d", &pid), 1);
    return pid;
}

static bool gone(pid_t pid)
{
    uint64_t until = now_ms() + DEADLINE_MS;
    char path[64], text[512] = "";
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    while (now_ms() < until) {
        FILE *f = fopen(path, "re");
        if (f == NULL) return true;
        size_t n = fread(text, 1, sizeof text - 1, f);
        text[n] = '\0';
        (void)fclose(f);
        const char *paren = strrchr(text, ')');
        if (paren != NULL && paren[2] == 'Z') return true; /* nobody has waited for it yet */
        struct timespec t = {.tv_nsec = 10 * 1000 * 1000};
        (void)nanosleep(&t, NULL);
    }
    return false;
}

static void dev_prints_its_peers_and_ends_them_with_itself(void **state)
{
    char want[512];
    (void)state;
    unsigned p = start_dev("--peers 3");
    pid_t pids[3] = {pid_of("n1"), pid_of("n2"), pid_of("n3")};
    (void)snprintf(want, sizeof want,
                   "peer=n1 pid=%d client=127.0.0.1:%u gossip=127.0.0.1:%u "
                   "replication=127.0.0.1:%u\n"
                   "peer=n2 pid=%d client=127.0.0.1:%u gossip=127.0.0.1:%u "
                   "replication=127.0.0.1:%u\n"
                   "peer=n3 pid=%d client=127.0.0.1:%u gossip=127.0.0.1:%u "
                   "replication=127.0.0.1:%u\n"
                   "ready\n",
                   pids[0], p, p - 54, p - 53, pids[1], p + 1, p - 44, p - 43, pids[2], p + 2,
                   p - 34, p - 33);
    assert_string_equal(r.stdout_text, want);
    (void)kill(r.pid, SIGTERM);
    finish(&r);
    assert_int_equal(r.status, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(kill(pids[i], 0), -1);
    assert_non_null(
        strstr(r.stderr_text, "n2 fake peer --dev --name n2 --voters n1,n2,n3 --join "));
}

static void dev_reports_a_death_and_restarts_when_told(void **state)
{
    (void)state;
    (void)start_dev("--peers 3 --restart -- --set a=b");
    pid_t old = pid_of("n2");
    (void)kill(old, SIGKILL);
    assert_true(read_until(&r, "died=n2\npeer=n2 pid="));
    assert_int_not_equal(pid_of("n2"), old);
    assert_null(strstr(r.stdout_text, "died=n1"));
    (void)kill(r.pid, SIGINT);
    finish(&r);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.stderr_text, "--set a=b"));
}

static void the_peers_die_with_a_killed_dev(void **state)
{
    (void)state;
    (void)start_dev("--peers 2");
    pid_t a = pid_of("n1"), b = pid_of("n2");
    (void)kill(r.pid, SIGKILL);
    finish(&r);
    assert_int_equal(r.status, -1);
    assert_true(gone(a));
    assert_true(gone(b));
}

static void a_taken_port_is_named_with_its_peer_and_status_71(void **state)
{
    struct run *second = calloc(1, sizeof *second);
    char args[64], want[64];
    (void)state;
    unsigned port = start_dev("--peers 1");
    (void)snprintf(args, sizeof args, "dev --peers 2 --port %u", port - 1);
    start(second, dev_tool, args);
    finish(second);
    assert_int_equal(second->status, 71);
    (void)snprintf(want, sizeof want, "n2 cannot use 127.0.0.1:%u", port);
    if (strstr(second->stderr_text, want) == NULL) fail_msg("%s", second->stderr_text);
    assert_non_null(strstr(second->stderr_text, "--port"));
    free(second);
    (void)kill(r.pid, SIGTERM);
    finish(&r);
    assert_int_equal(r.status, 0);
}

/* ---- the fake peer ---- */

/* Answers any request on --client with 200 until SIGTERM ends it. */
static int fake_peer(int argc, char **argv)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    struct sockaddr_in a = {.sin_family = AF_INET};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    unsigned port = 0;
    fprintf(stderr, "fake peer");
    for (int i = 1; i < argc; i++) {
        fprintf(stderr, " %s", argv[i]);
        if (strcmp(argv[i - 1], "--client") == 0) (void)sscanf(argv[i], "127.0.0.1:%u", &port);
    }
    fputc('\n', stderr);
    a.sin_port = htons((uint16_t)port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)(const void *)&a, sizeof a) != 0) return 71;
    if (listen(fd, 16) != 0) return 71;
    for (;;) {
        char buf[4096];
        int c = accept(fd, NULL, NULL);
        if (c < 0) continue;
        if (read(c, buf, sizeof buf) > 0) (void)!write(c, answer, sizeof answer - 1);
        (void)shutdown(c, SHUT_WR);
        (void)!read(c, buf, sizeof buf);
        (void)close(c);
    }
}

static void find_programs(void)
{
    char self[4000], copy[4000], link_path[4200];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    DUN_ASSERT(n > 0);
    self[n] = '\0';
    (void)snprintf(copy, sizeof copy, "%s", self);
    const char *bin = getenv("DUN_BIN"), *dir = bin != NULL ? bin : dirname(copy);
    (void)snprintf(tool, sizeof tool, "%.4000s/dunlin", dir);
    (void)snprintf(dev_dir, sizeof dev_dir,
                   "%.4000s/test_dunlin.XXX"
                   "XXX",
                   dir);
    if (access(tool, X_OK) != 0) {
        fprintf(stderr, "%s is missing; build the target dunlin first\n", tool);
        exit(1);
    }
    char *made = mkdtemp(dev_dir);
    DUN_ASSERT(made != NULL);
    (void)snprintf(dev_tool, sizeof dev_tool, "%s/dunlin", dev_dir);
    int rc = link(tool, dev_tool);
    DUN_ASSERT(rc == 0); /* same folder, so the same file system */
    (void)snprintf(link_path, sizeof link_path, "%s/dunlind", dev_dir);
    rc = link(self, link_path);
    DUN_ASSERT(rc == 0);
}

static void remove_programs(void)
{
    char path[4200];
    (void)unlink(dev_tool);
    (void)snprintf(path, sizeof path, "%s/dunlind", dev_dir);
    (void)unlink(path);
    (void)rmdir(dev_dir);
}

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/');
    if (name != NULL && strcmp(name, "/dunlind") == 0) return fake_peer(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_usage_exits_64_and_names_the_bad_word),
        cmocka_unit_test(help_goes_to_stdout_with_status_0),
        cmocka_unit_test(an_unreachable_server_is_named_with_status_69),
        cmocka_unit_test(keygen_makes_64_hex_digits_for_the_owner_only),
        cmocka_unit_test(dev_prints_its_peers_and_ends_them_with_itself),
        cmocka_unit_test(dev_reports_a_death_and_restarts_when_told),
        cmocka_unit_test(the_peers_die_with_a_killed_dev),
        cmocka_unit_test(a_taken_port_is_named_with_its_peer_and_status_71),
    };
    find_programs();
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    remove_programs();
    return failures;
}
