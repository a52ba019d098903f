/* Claims of dunlind's options and configuration, by running the program that
 * lies beside this one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "cmd/dunlind_sched.h"

#include <dirent.h>
#include <linux/sched/types.h>
#include <signal.h>
#include <sys/syscall.h>

static char dir[] = "/tmp/dunlind-test-XXXXXX";
static char program[4096];

/* Runs it through the shell in @dir; its exit status, all it said in @said. */
static int run(const char *args, char *said, size_t size)
{
    char command[8192];
    snprintf(command, sizeof command, "cd %s && env -u DUNLIN_NAME %s%s 2>&1", dir, "", args);
    char *at = strstr(command, "DUNLIND");
    assert_non_null(at);
    char whole[12400];
    snprintf(whole, sizeof whole, "%.*s%s%s", (int)(at - command), command, program, at + 7);
    FILE *f = popen(whole, "r");
    assert_non_null(f);
    size_t n = fread(said, 1, size - 1, f);
    said[n] = '\0';
    int status = pclose(f);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_file_is_accepted_or_its_fault_is_named(void **state)
{
    (void)state;
    static const char key[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    static const struct {
        const char *text, *want;
    } t[] = {
        {"", "configuration ok"},
        {"name: n1\nvoters: [n1, n2, n3]\njoin: [10.0.0.11:7946, 10.0.0.12:7946]\n"
         "cluster: {key_file: good.key, loss_timeout: 0}\n"
         "client: {listen: 0.0.0.0:8000, allowed_origins: [\"https://app.example\"], insecure: "
         "false}\ngossip: {listen: 10.0.0.11:7946}\nreplication: {listen: 10.0.0.11:7947, "
         "max_inflight: 64}\napi: {key: \"...\"}\ntoken: {hmac_secret: \"...\"}\n"
         "store: {max_memory: 512MiB}\nworkers: auto\nnamespaces:\n"
         "  - {name: \"\", history_size: 100, history_ttl: 300s, force_recovery: true, presence: "
         "true}\n  - {name: chat, history_size: 1000, history_ttl: 1h, "
         "allow_subscribe_for_client: true, allow_publish_for_client: true}\n",
         "configuration ok"},
        {"name: n1\nstroe: {max_memory: 1GiB}\n", "c.yaml:2: unknown key \"stroe\""},
        {"name: n1\nstore:\n  max_memroy: 1GiB\n", "c.yaml:3: unknown key \"max_memroy\""},
        {"namespaces:\n  - name: a\n  - name: b\n    history: 7\n",
         "c.yaml:4: unknown key \"history\""},
        {"name: n1\nstore: {max_memory: 512}\n",
         "c.yaml:2: store.max_memory: \"512\" is not a size; write for instance 64KiB"},
        {"namespaces:\n  - name: a\n  - name: b\n    history_ttl: 7\n",
         "c.yaml:4: history_ttl: \"7\" is not a duration; write for instance 500ms"},
        {"namespaces:\n  - name: a\n  - name: a\n", "c.yaml:3: namespaces: \"a\" is there twice"},
        {"namespaces:\n  - name: a:b\n", "c.yaml:2: namespaces: \"a:b\" is not a name"},
        {"namespaces:\n  - history_size: 5\n", "the key \"name\" is missing here"},
        {"client: {insecure: yes}\n",
         "c.yaml:1: client.insecure: \"yes\" is neither true nor false"},
        {"client: {listen: \"8000\"}\n", "c.yaml:1: client.listen: \"8000\" is not an address"},
        {"client: {listen: \"[::1]:80\"}\n", "configuration ok"},
        {"client: {listen: \"::1:80\"}\n", "is not an address"},
        {"client: {ping_interval: 2s}\n", "configuration ok"}, /* the pong's default follows */
        {"client: {ping_interval: 1h, pong_timeout: 59m}\n", "configuration ok"},
        {"client: {ping_interval: 25}\n",
         "c.yaml:1: client.ping_interval: \"25\" is not a duration"},
        {"client: {ping_interval: 0}\n",
         "c.yaml:1: client.ping_interval: \"0\" is out of range; 2000 to 3600000 ms"},
        {"client:\n  ping_interval: 2h\n",
         "c.yaml:2: client.ping_interval: \"2h\" is out of range"},
        {"client: {ping_interval: 2500ms}\n", "client.ping_interval: 2500ms is not whole seconds"},
        {"client: {pong_timeout: 0s}\n", "client.pong_timeout: \"0s\" is out of range"},
        {"client: {pong_timeout: 1500ms}\n", "client.pong_timeout: 1500ms is not whole seconds"},
        {"client: {ping_interval: 5s, pong_timeout: 5s}\n",
         "client.pong_timeout: 5s is not below client.ping_interval, 5s"},
        {"client: {pong_timeout: 25s}\n", "is not below client.ping_interval, 25s"},
        {"workers: 0\n", "c.yaml:1: workers: \"0\" is neither a number nor auto"},
        {"workers: 9999\n", "c.yaml:1: workers: \"9999\" is out of range; 1"},
        {"voters: n1\n", "c.yaml:1: a value has the wrong form"},
        {"voters: [a, b, c, d, e, f, g, h]\n", "c.yaml:1: voters: 8 entries"},
        {"voters: [a, a]\n", "voters: \"a\" is named twice"},
        {"join: [nowhere]\n", "join: \"nowhere\" is not an address"},
        {"name: \"a b\"\n", "name: \"a b\" is not a peer's name"},
        {"name: [\n", "this is not YAML"},
        {"cluster: {key_file: none.key}\n", "cluster.key_file: cannot read none.key"},
        {"cluster: {key_file: short.key}\n", "short.key:2: not a key of 32 bytes"},
        {"cluster: {key_file: empty.key}\n", "empty.key: holds no key"},
        {"cluster: {key_file: base64.key}\n", "configuration ok"},
    };
    char said[4096], bad[256];
    write_file("good.key", key);
    snprintf(bad, sizeof bad, "%s0011\n", key);
    write_file("short.key", bad);
    write_file("empty.key", "\n");
    write_file("base64.key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        write_file("c.yaml", t[i].text);
        int status = run("DUNLIND --check --config c.yaml", said, sizeof said);
        bool ok = strcmp(t[i].want, "configuration ok") == 0;
        if (strstr(said, t[i].want) == NULL || status != (ok ? 0 : 78))
            fail_msg("row %zu: status %d, said: %s", i, status, said);
    }
}

static void options_have_their_exit_status(void **state)
{
    (void)state;
    static const struct {
        const char *args;
        int status;
        const char *want;
    } t[] = {
        {"DUNLIND --version", 0, "dunlind "},
        {"DUNLIND --help", 0, "usage: dunlind"},
        {"DUNLIND --nonsense", 64, "usage: dunlind"},
        {"DUNLIND extra", 64, "unexpected argument \"extra\""},
        {"DUNLIND --set novalue", 64, "write --set KEY=VALUE"},
        {"DUNLIND --set no.key=1", 78, "no.key: no key has this name"},
        {"DUNLIND --set store.max_memory=1", 78, "is not a size"},
        {"DUNLIND --set workers=3 --check", 0, "configuration ok"},
        {"DUNLIND --set namespaces.chat.history_size=3 --check", 0, "configuration ok"},
        {"DUNLIND --set namespaces.chat.nothing=3 --check", 78, "no namespace option"},
        {"DUNLIND --client nowhere --check", 78, "is not an address"},
        {"DUNLIND --config none.yaml --check", 78, "none.yaml: cannot be read"},
        {"DUNLIN_WORKERS=x DUNLIND --check", 78, "environment DUNLIN_WORKERS: workers: \"x\""},
        {"DUNLIN_STORE_MAX_MEMORY=1GiB DUNLIND --check", 0, "configuration ok"},
        {"DUNLIN_CLIENT_PING_INTERVAL=10s DUNLIND --set client.pong_timeout=9s --check", 0,
         "configuration ok"},
        {"DUNLIN_CLIENT_PING_INTERVAL=10s DUNLIND --set client.pong_timeout=10s --check", 78,
         "not below"},
        {"DUNLIND --dev --client 192.0.2.1:0 --gossip 127.0.0.1:0 --replication 127.0.0.1:0", 71,
         "192.0.2.1:0 cannot be bound"},
        {"DUNLIND --dev --client 127.0.0.1:0 --gossip 0.0.0.0:0 --replication 127.0.0.1:0", 78,
         "0.0.0.0:0"},
    };
    char said[8192];
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        int status = run(t[i].args, said, sizeof said);
        if (strstr(said, t[i].want) == NULL || status != t[i].status)
            fail_msg("row %zu: status %d, said: %s", i, status, said);
    }
}

static void later_sources_win(void **state)
{
    (void)state;
    /* Each value but the winner is refused at the end, so the winner shows itself. */
    static const struct {
        const char *args;
        int status;
    } t[] = {
        {"DUNLIND --config p.yaml --check", 78},
        {"DUNLIN_NAME=n1 DUNLIND --config p.yaml --check", 0},
        {"DUNLIN_NAME=n1 DUNLIND --config p.yaml --set 'name=b d' --check", 78},
        {"DUNLIN_NAME='b d' DUNLIND --config p.yaml --set name=n1 --check", 0},
        {"DUNLIND --name n1 --set 'name=b d' --check", 0},
    };
    char said[4096];
    write_file("p.yaml", "name: \"b d\"\n");
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        int status = run(t[i].args, said, sizeof said);
        if (status != t[i].status) fail_msg("row %zu: status %d, said: %s", i, status, said);
    }
}

/* ---- threads ---- */

#ifdef __SANITIZE_THREAD__
enum { OTHERS = 1 }; /* TSan has a thread of its own before main() */
#else
enum { OTHERS = 0 };
#endif

static struct sched_attr attr_of(pid_t thread)
{
    struct sched_attr a = {0};
    assert_int_equal(syscall(SYS_sched_getattr, thread, &a, sizeof a, 0), 0);
    return a;
}

/* In a child, as it is for good. */
static bool system_has_slices(void)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sched_attr a = attr_of(0);
        a.sched_runtime = SCHED_SLICE_NS;
        bool ok = syscall(SYS_sched_setattr, 0, &a, 0) == 0;
        _exit(ok && attr_of(0).sched_runtime == SCHED_SLICE_NS ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A peer with ports of its own that is ready; its output in @out. */
static pid_t peer_start(FILE **out)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(fds[1], STDERR_FILENO);
        (void)close(fds[0]);
        execl(program, program, "--dev", "--client", "127.0.0.1:0", "--gossip", "127.0.0.1:0",
              "--replication", "127.0.0.1:0", (char *)NULL);
        _exit(127);
    }
    (void)close(fds[1]);
    *out = fdopen(fds[0], "r");
    char line[1024];
    while (fgets(line, sizeof line, *out) != NULL)
        if (strstr(line, " info ready ") != NULL) return pid;
    fail_msg("it ended before it was ready");
    return -1;
}

static void all_threads_have_short_slices_and_keep_the_niceness(void **state)
{
    (void)state;
    char path[64];
    int status, threads = 0, slow = 0;
    FILE *out;
    bool slices = system_has_slices();
    pid_t pid = peer_start(&out);
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        struct sched_attr a = attr_of((pid_t)atoi(e->d_name)), mine = attr_of(0);
        threads++;
        assert_int_equal(a.sched_policy, mine.sched_policy);
        assert_int_equal(a.sched_nice, mine.sched_nice);
        slow += a.sched_runtime != SCHED_SLICE_NS;
    }
    closedir(d);
    if (slices) assert_true(slow <= OTHERS);
    assert_true(threads >= 3); /* main, core, a worker; and those of NNG */
    kill(pid, SIGTERM);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    fclose(out);
}

static int set_up(void **state)
{
    (void)state;
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 16);
    if (n <= 0 || mkdtemp(dir) == NULL) return -1;
    program[n] = '\0';
    strcpy(strrchr(program, '/') + 1, "dunlind");
    return access(program, X_OK);
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_accepted_or_its_fault_is_named),
        cmocka_unit_test(options_have_their_exit_status),
        cmocka_unit_test(later_sources_win),
        cmocka_unit_test(all_threads_have_short_slices_and_keep_the_niceness),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
