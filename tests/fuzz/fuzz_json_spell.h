/* tests/fuzz/fuzz_json_spell.h: any bytes as a JSON text.
 * Why: of mutated JSON most is none, and then nothing behind the validator is
 * tried. Here every input spells a text of the grammar of RFC 8259, with what
 * decoders like to change: numbers beyond 64 bits, escapes, duplicate keys,
 * newlines between tokens, depth. Left out is only what json_check forbids on
 * purpose: halves of surrogate pairs, and depth beyond the given one. */
#ifndef DUN_TESTS_FUZZ_JSON_SPELL_H
#define DUN_TESTS_FUZZ_JSON_SPELL_H

#include "tests/fuzz/fuzz.h"

static inline void fuzz_json_space(struct fuzz_in *in, struct dun_buf *b)
{
    static const char *const spaces[] = {"", "", "", "", " ", "\n", "\r\n", "\t \r"};
    dun_buf_str(b, spaces[fuzz_u8(in) % DUN_COUNT(spaces)]);
}

static inline void fuzz_json_digits(struct fuzz_in *in, struct dun_buf *b, bool leading_zero)
{
    size_t n = 1 + fuzz_u8(in) % 24;
    for (size_t i = 0; i < n; i++) {
        uint8_t digit = fuzz_u8(in) % 10;
        if (i == 0 && n > 1 && digit == 0 && !leading_zero) digit = 9;
        dun_buf_byte(b, (uint8_t)('0' + digit));
    }
}

static inline void fuzz_json_number(struct fuzz_in *in, struct dun_buf *b)
{
    static const char *const exponents[] = {"e", "E", "e+", "E-"};
    uint8_t form = fuzz_u8(in);
    if (form & 1) dun_buf_byte(b, '-');
    fuzz_json_digits(in, b, false);
    if (form & 2) {
        dun_buf_byte(b, '.');
        fuzz_json_digits(in, b, true);
    }
    if (form & 4) {
        dun_buf_str(b, exponents[form >> 3 & 3]);
        fuzz_json_digits(in, b, true);
    }
}

static inline void fuzz_json_utf8(struct dun_buf *b, uint32_t c)
{
    if (c >= 0xd800 && c <= 0xdfff) c -= 0x800;
    if (c < 0x80) c += 0x80;
    if (c >= 0x10000) {
        dun_buf_byte(b, (uint8_t)(0xf0 | c >> 18));
        dun_buf_byte(b, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
    } else if (c >= 0x800) {
        dun_buf_byte(b, (uint8_t)(0xe0 | c >> 12));
    }
    if (c >= 0x800) {
        dun_buf_byte(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    } else {
        dun_buf_byte(b, (uint8_t)(0xc0 | c >> 6));
    }
    dun_buf_byte(b, (uint8_t)(0x80 | (c & 0x3f)));
}

static inline void fuzz_json_string(struct fuzz_in *in, struct dun_buf *b)
{
    static const char escaped[] = "\"\\/bfnrt";
    size_t n = fuzz_u8(in) % 16;
    dun_buf_byte(b, '"');
    for (size_t i = 0; i < n; i++) {
        uint8_t c = fuzz_u8(in);
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            dun_buf_byte(b, c);
        } else if (c < 0x20) {
            dun_buf_byte(b, '\\');
            dun_buf_byte(b, (uint8_t)escaped[c % 8]);
        } else if (c & 1) {
            uint32_t wide = (uint32_t)fuzz_u16(in) << 4 | (c & 15);
            fuzz_json_utf8(b, wide);
        } else {
            uint16_t unit = fuzz_u16(in);
            bool low = unit >= 0xdc00 && unit <= 0xdfff, high = unit >= 0xd800 && !low;
            if (low) unit -= 0x800;
            dun_buf_printf(b, c & 2 ? "\\u%04x" : "\\u%04X", unit);
            if (high && unit <= 0xdbff)
                dun_buf_printf(b, "\\u%04x", 0xdc00 + (fuzz_u16(in) & 0x3ff));
        }
    }
    dun_buf_byte(b, '"');
}

/* Nests at most @depth deep. Out of bytes: it ends everywhere with zeros. */
static inline void fuzz_json_spell(struct fuzz_in *in, struct dun_buf *b, unsigned depth)
{
    static const char *const words[] = {"null", "true", "false", "0", "-0", "[]", "{}", "\"\""};
    uint8_t what = fuzz_u8(in), count = what >> 3 & 3;
    fuzz_json_space(in, b);
    if (depth == 0 || what % 8 < 3) {
        if (what % 8 == 1) {
            fuzz_json_number(in, b);
        } else if (what % 8 == 2) {
            fuzz_json_string(in, b);
        } else {
            dun_buf_str(b, words[depth == 0 ? count : what >> 3 & 7]);
        }
    } else {
        bool object = what & 1;
        dun_buf_byte(b, object ? '{' : '[');
        for (uint8_t i = 0; i <= count && (i == 0 || in->len > 0); i++) {
            if (i > 0) dun_buf_byte(b, ',');
            if (object) {
                if (what & 0x40)
                    dun_buf_str(b, "\"same\"");
                else
                    fuzz_json_string(in, b);
                fuzz_json_space(in, b);
                dun_buf_byte(b, ':');
            }
            fuzz_json_spell(in, b, depth - 1);
        }
        dun_buf_byte(b, object ? '}' : ']');
    }
    fuzz_json_space(in, b);
}

/* Nesting of a text that is JSON. */
static inline size_t fuzz_json_depth(struct dun_slice text)
{
    size_t depth = 0, deepest = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (quoted && c == '\\') {
            i++;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && (c == '[' || c == '{')) {
            if (++depth > deepest) deepest = depth;
        } else if (!quoted && (c == ']' || c == '}')) {
            depth--;
        }
    }
    return deepest;
}

#endif
