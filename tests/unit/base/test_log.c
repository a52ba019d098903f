/* Log lines: one event is one line, whatever outside text it quotes. */
#include "base/log.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct sink {
    int count;
    enum dun_log_level level;
    char line[4096];
};

static void keep(void *ctx, enum dun_log_level level, const char *line)
{
    struct sink *s = ctx;
    s->count++;
    s->level = level;
    assert_true(strlen(line) < sizeof s->line);
    strcpy(s->line, line);
}

static void the_sink_gets_the_formatted_line_and_its_level(void **state)
{
    (void)state;
    struct sink s = {0};
    struct dun_log log = {keep, &s, DUN_LOG_DEBUG};
    dun_log(&log, DUN_LOG_WARN, "view_change group=%d why=%s", 3, "link_lost");
    assert_int_equal(s.count, 1);
    assert_int_equal(s.level, DUN_LOG_WARN);
    assert_string_equal(s.line, "view_change group=3 why=link_lost");
}

static void what_is_below_the_level_is_not_written(void **state)
{
    (void)state;
    for (int min = DUN_LOG_DEBUG; min <= DUN_LOG_ERROR; min++) {
        struct sink s = {0};
        struct dun_log log = {keep, &s, (enum dun_log_level)min};
        for (int level = DUN_LOG_DEBUG; level <= DUN_LOG_ERROR; level++)
            dun_log(&log, (enum dun_log_level)level, "x");
        assert_int_equal(s.count, DUN_LOG_ERROR - min + 1);
    }
}

static void no_log_is_a_log(void **state)
{
    (void)state;
    dun_log(NULL, DUN_LOG_ERROR, "nobody=%s", "hears");
}

static void outside_text_cannot_forge_a_line(void **state)
{
    (void)state;
    struct sink s = {0};
    struct dun_log log = {keep, &s, DUN_LOG_DEBUG};
    dun_log(&log, DUN_LOG_INFO, "peer name=%s", "evil\n2026 error fake\r\t\x1b[31mred\x01");
    assert_string_equal(s.line, "peer name=evil 2026 error fake   [31mred ");
    for (int c = 1; c < 0x20; c++) {
        dun_log(&log, DUN_LOG_INFO, "%c", c);
        assert_string_equal(s.line, " ");
    }
}

static void utf8_passes_through(void **state)
{
    (void)state;
    struct sink s = {0};
    struct dun_log log = {keep, &s, DUN_LOG_DEBUG};
    dun_log(&log, DUN_LOG_INFO, "name=%s", "Alpenstrandl\xc3\xa4ufer");
    assert_string_equal(s.line, "name=Alpenstrandl\xc3\xa4ufer");
}

static void a_long_line_is_cut_not_overrun(void **state)
{
    (void)state;
    struct sink s = {0};
    struct dun_log log = {keep, &s, DUN_LOG_DEBUG};
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    dun_log(&log, DUN_LOG_INFO, "event text=%s", text);
    size_t len = strlen(s.line);
    assert_true(len >= 1024 && len < sizeof text);
    assert_memory_equal(s.line, "event text=xxx", 14);
    for (size_t i = 11; i < len; i++)
        assert_int_equal(s.line[i], 'x');
}

/* What dun_log_stderr writes for @line, through a pipe in place of stderr. */
static size_t written_to_stderr(enum dun_log_level level, const char *text, char *out, size_t max)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0 && dup2(fds[1], STDERR_FILENO) >= 0);
    dun_log(&dun_log_stderr, level, "%s", text);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    close(fds[1]);
    ssize_t n = read(fds[0], out, max - 1);
    close(fds[0]);
    assert_true(n >= 0);
    out[n] = '\0';
    return (size_t)n;
}

static void stderr_lines_have_time_level_and_one_newline(void **state)
{
    (void)state;
    char out[8192];
    size_t n = written_to_stderr(DUN_LOG_WARN, "started name=n1", out, sizeof out);
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    assert_true(n > strlen(shape));
    for (size_t i = 0; i < strlen(shape); i++) {
        if (shape[i] == 'd')
            assert_true(isdigit((unsigned char)out[i]));
        else
            assert_int_equal(out[i], shape[i]);
    }
    assert_string_equal(out + strlen(shape), " warn started name=n1\n");
}

static void the_longest_line_still_ends_with_its_newline(void **state)
{
    (void)state;
    char out[8192], text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    size_t n = written_to_stderr(DUN_LOG_ERROR, text, out, sizeof out);
    assert_int_equal(out[n - 1], '\n');
    assert_ptr_equal(strchr(out, '\n'), out + n - 1);
}

static void debug_is_silent_on_stderr_by_default(void **state)
{
    (void)state;
    char out[64];
    assert_int_equal(written_to_stderr(DUN_LOG_DEBUG, "x", out, sizeof out), 0);
}

static void levels_have_names(void **state)
{
    (void)state;
    assert_string_equal(dun_log_level_name(DUN_LOG_DEBUG), "debug");
    assert_string_equal(dun_log_level_name(DUN_LOG_INFO), "info");
    assert_string_equal(dun_log_level_name(DUN_LOG_WARN), "warn");
    assert_string_equal(dun_log_level_name(DUN_LOG_ERROR), "error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sink_gets_the_formatted_line_and_its_level),
        cmocka_unit_test(what_is_below_the_level_is_not_written),
        cmocka_unit_test(no_log_is_a_log),
        cmocka_unit_test(outside_text_cannot_forge_a_line),
        cmocka_unit_test(utf8_passes_through),
        cmocka_unit_test(a_long_line_is_cut_not_overrun),
        cmocka_unit_test(stderr_lines_have_time_level_and_one_newline),
        cmocka_unit_test(the_longest_line_still_ends_with_its_newline),
        cmocka_unit_test(debug_is_silent_on_stderr_by_default),
        cmocka_unit_test(levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
