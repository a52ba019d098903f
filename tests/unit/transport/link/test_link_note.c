/* One line per kind and five seconds, which says how many it stands for. */
#include "base/assert.h"
#include "transport/link/link_note.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_kind_is_noted_once_in_five_seconds_with_its_count(void **state)
{
    (void)state;
    static const struct {
        enum link_note kind;
        uint64_t now_ms;
        bool due;
        uint64_t count;
    } t[] = {
        {LINK_NOTE_KEY, 1000, true, 1},  {LINK_NOTE_KEY, 1001, false, 0},
        {LINK_NOTE_NAME, 1002, true, 1}, {LINK_NOTE_KEY, 5999, false, 0},
        {LINK_NOTE_KEY, 6000, true, 3},  {LINK_NOTE_NAME, 6001, false, 0},
        {LINK_NOTE_KEY, 20000, true, 1}, {LINK_NOTE_NAME, 20000, true, 2},
    };
    struct link_notes n;
    link_notes_init(&n);
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        uint64_t count = 0;
        assert_int_equal(link_note_due(&n, t[i].kind, t[i].now_ms, &count), t[i].due);
        assert_int_equal(count, t[i].count);
    }
    link_notes_deinit(&n);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kind_is_noted_once_in_five_seconds_with_its_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
