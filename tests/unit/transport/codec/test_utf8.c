#include "codec_test.h"

#include "transport/codec/utf8.h"

static void only_well_formed_sequences_are_valid(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        bool want;
    } t[] = {
        {"", 0, true},
        {"abc", 3, true},
        {"\0", 1, true},
        {"\x7f", 1, true},
        {"\xc2\x80", 2, true},
        {"\xdf\xbf", 2, true},
        {"\xe0\xa0\x80", 3, true},
        {"\xed\x9f\xbf", 3, true},
        {"\xee\x80\x80", 3, true},
        {"\xef\xbf\xbf", 3, true},
        {"\xf0\x90\x80\x80", 4, true},
        {"\xf4\x8f\xbf\xbf", 4, true},
        {"\x80", 1, false},             /* lone continuation */
        {"\xc0\x80", 2, false},         /* overlong NUL */
        {"\xc1\xbf", 2, false},         /* overlong */
        {"\xe0\x9f\xbf", 3, false},     /* overlong */
        {"\xf0\x8f\xbf\xbf", 4, false}, /* overlong */
        {"\xed\xa0\x80", 3, false},     /* surrogate */
        {"\xed\xbf\xbf", 3, false},     /* surrogate */
        {"\xf4\x90\x80\x80", 4, false}, /* over U+10FFFF */
        {"\xf5\x80\x80\x80", 4, false},
        {"\xff", 1, false},
        {"\xc2", 1, false},         /* cut */
        {"\xe2\x82", 2, false},     /* cut */
        {"\xf0\x9f\x98", 3, false}, /* cut */
        {"\xc2\x41", 2, false},
        {"\xe2\x82\x41", 3, false},
        {"\xf0\x9f\x98\x41", 4, false},
    };
    for (size_t i = 0; i < DUN_COUNT(t); i++) {
        uint8_t *p = exact(dun_slice(t[i].text, t[i].len));
        ROW(i, utf8_valid(dun_slice(p, t[i].len)) == t[i].want);
        free(p);
    }
}

static void every_code_point_encodes_to_one_valid_character(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        uint8_t out[4];
        if (cp == 0xd800) cp = 0xe000;
        size_t n = utf8_encode(cp, out);
        assert_int_equal(utf8_char(out, n), n);
        if (n > 1) assert_int_equal(utf8_char(out, n - 1), 0); /* cut */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_well_formed_sequences_are_valid),
        cmocka_unit_test(every_code_point_encodes_to_one_valid_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
