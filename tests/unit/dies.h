/* tests/unit/dies.h: run a function in a child process and see it abort.
 * Why: assertions and exhausted memory end the process by design; a test of
 * that claim must survive it, and must see the message. */
#ifndef DUN_TESTS_UNIT_DIES_H
#define DUN_TESTS_UNIT_DIES_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* True if @f(@arg) did not return and wrote @message to stderr (NULL: anything). */
static inline bool dies(void (*f)(void *arg), void *arg, const char *message)
{
    int fds[2], status;
    char said[8192];
    size_t len = 0;
    if (pipe(fds) != 0) return false;
    fflush(NULL); /* else the child writes the parent's buffered lines again */
    pid_t pid = fork();
    if (pid < 0) return false;
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        f(arg);
        _exit(0);
    }
    close(fds[1]);
    for (ssize_t n; len < sizeof said - 1; len += (size_t)n) {
        n = read(fds[0], said + len, sizeof said - 1 - len);
        if (n <= 0) break;
    }
    said[len] = '\0';
    close(fds[0]);
    if (waitpid(pid, &status, 0) != pid) return false;
    bool survived = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return !survived && (message == NULL || strstr(said, message) != NULL);
}

#endif
