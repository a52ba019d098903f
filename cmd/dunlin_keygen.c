/* cmd/dunlin_keygen.c: a key that seals the traffic between peers.
 * The line is hex, so that it survives any editor and copy; the file is
 * readable by its owner only and is never overwritten. */
#include "cmd/dunlin_args.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KEY_BYTES = 32 };

static int write_file(const char *path, const char *line)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return dunlin_fail(EXIT_SYSTEM,
                           "%s exists and is not overwritten; remove it or choose another name",
                           path);
    if (fd < 0) return dunlin_fail(EXIT_SYSTEM, "cannot create %s: %s", path, strerror(errno));
    ssize_t n = write(fd, line, strlen(line));
    int synced = fsync(fd), closed = close(fd);
    if (n != (ssize_t)strlen(line) || synced != 0 || closed != 0) {
        (void)unlink(path); /* half a key is worse than none */
        return dunlin_fail(EXIT_SYSTEM, "cannot write %s: %s", path, strerror(errno));
    }
    return EXIT_FINE;
}

int dunlin_keygen(int argc, char **argv)
{
    const char *path = NULL;
    bool json = false;
    const struct dunlin_opt opts[] = {
        {"out", OPT_TEXT, "FILE", "write it there, mode 0600, instead of printing", &path, 0, 0},
        {"json", OPT_FLAG, NULL, "print JSON", &json, 0, 0},
    };
    const struct dunlin_args args = {
        .usage = "keygen [--out FILE]",
        .summary = "Makes a random 32-byte key, as a line of 64 hex digits. Give all peers the\n"
                   "same file (cluster.key_file); it seals everything they send to each other.",
        .opts = opts,
        .opt_count = DUN_COUNT(opts),
    };
    struct dunlin_parsed p;
    int status;
    if (!dunlin_args(&args, argc, argv, &p, &status)) return status;
    if (sodium_init() < 0) return dunlin_fail(EXIT_SYSTEM, "the system gives no random bytes");
    uint8_t key[KEY_BYTES];
    char hex[2 * KEY_BYTES + 2];
    randombytes_buf(key, sizeof key);
    sodium_bin2hex(hex, 2 * KEY_BYTES + 1, key, sizeof key);
    status = EXIT_FINE;
    if (path != NULL) {
        hex[2 * KEY_BYTES] = '\n';
        hex[2 * KEY_BYTES + 1] = '\0';
        status = write_file(path, hex);
        if (status == EXIT_FINE && !json) fprintf(stderr, "wrote %s\n", path);
    } else {
        printf(json ? "{\"key\":\"%s\"}\n" : "%s\n", hex);
    }
    sodium_memzero(key, sizeof key);
    sodium_memzero(hex, sizeof hex);
    return status;
}
