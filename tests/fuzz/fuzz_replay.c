/* tests/fuzz/fuzz_replay.c: runs every target on its corpus, without a fuzzer.
 * Why: what fuzzing once found stays a regression test of every build.
 * Usage: fuzz-replay CORPUS_DIR            each target on CORPUS_DIR/NAME/...
 *        fuzz-replay TARGET FILE...        to look at a reproducer */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <sodium.h>
#include <stdio.h>

#define X(name) int fuzz_##name(const uint8_t *data, size_t size);
#include "fuzz_targets.h"
#undef X

static const struct {
    const char *name;
    int (*run)(const uint8_t *data, size_t size);
} targets[] = {
#define X(name) {#name, fuzz_##name},
#include "fuzz_targets.h"
#undef X
};

enum { FILE_MAX = 1 << 20, PATH_MAX_BYTES = 4096 };

static bool run_file(size_t target, const char *path)
{
    uint8_t *bytes = dun_malloc(FILE_MAX);
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        fprintf(stderr, "fuzz-replay: %s: cannot be read\n", path);
        dun_free(bytes);
        return false;
    }
    size_t n = fread(bytes, 1, FILE_MAX, f);
    fclose(f);
    uint8_t *exact = dun_malloc(n);
    memcpy(exact, bytes, n);
    dun_free(bytes);
    targets[target].run(exact, n);
    dun_free(exact);
    return true;
}

/* The number of files run; negative: an error, which was told. */
static int run_directory(size_t target, const char *corpus)
{
    char path[PATH_MAX_BYTES];
    int count = 0;
    snprintf(path, sizeof path, "%s/%s", corpus, targets[target].name);
    DIR *d = opendir(path);
    if (d == NULL) {
        fprintf(stderr, "fuzz-replay: %s: no corpus; each target needs one\n", path);
        return -1;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s/%s", corpus, targets[target].name, e->d_name);
        printf("%s/%s\n", targets[target].name, e->d_name); /* the last line names a crash */
        fflush(stdout);
        if (!run_file(target, path)) {
            closedir(d);
            return -1;
        }
        count++;
    }
    closedir(d);
    return count;
}

int main(int argc, char **argv)
{
    if (sodium_init() < 0) return 1;
    if (argc == 2) {
        int total = 0;
        for (size_t i = 0; i < DUN_COUNT(targets); i++) {
            int n = run_directory(i, argv[1]);
            if (n <= 0) {
                if (n == 0) fprintf(stderr, "fuzz-replay: %s: empty corpus\n", targets[i].name);
                return 1;
            }
            total += n;
        }
        printf("fuzz-replay: %d inputs of %zu targets\n", total, DUN_COUNT(targets));
        return 0;
    }
    for (size_t i = 0; argc > 2 && i < DUN_COUNT(targets); i++) {
        if (strcmp(targets[i].name, argv[1]) != 0) continue;
        for (int k = 2; k < argc; k++)
            if (!run_file(i, argv[k])) return 1;
        return 0;
    }
    fprintf(stderr, "usage: fuzz-replay CORPUS_DIR | TARGET FILE...\n");
    return 64;
}
