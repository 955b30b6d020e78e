/* What the octets of a head may be part of, and the syntax of whole heads. Knows octets. Must not know Python. */

#include "syntax.h"

/* As in syntax.py: _NAME, the value in _FIELDS, the target in _REQUEST; _PATH of heads.py; _HOST of target.py. */
#define URI (VALUE | TARGET | PATH)

const unsigned char octets[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = TOKEN | URI | HOST,
    ['"'] = URI,
    ['#'] = TOKEN | VALUE | TARGET,
    ['$'] = TOKEN | URI | HOST,
    ['%'] = TOKEN | URI,
    ['&' ... '\''] = TOKEN | URI | HOST,
    ['(' ... ')'] = URI | HOST,
    ['*' ... '+'] = TOKEN | URI | HOST,
    [','] = URI | HOST,
    ['-' ... '.'] = TOKEN | URI | HOST,
    ['/'] = URI,
    ['0' ... '9'] = TOKEN | URI | HOST | DIGIT,
    [':'] = URI,
    [';'] = URI | HOST,
    ['<'] = URI,
    ['='] = URI | HOST,
    ['>' ... '@'] = URI,
    ['A' ... 'Z'] = TOKEN | URI | HOST,
    ['[' ... ']'] = URI,
    ['^'] = TOKEN | URI,
    ['_'] = TOKEN | URI | HOST,
    ['`'] = TOKEN | URI,
    ['a' ... 'z'] = TOKEN | URI | HOST,
    ['{'] = URI,
    ['|'] = TOKEN | URI,
    ['}'] = URI,
    ['~'] = TOKEN | URI | HOST,
    [0x80 ... 0xff] = VALUE,
};

static bool
fields_are_well_formed(const char *at, const char *end)
{
    Text name, value;
    Line line;
    while ((line = next_line(&at, end, &name, &value)) == FIELD) {
    }
    return line == LAST && at == end;
}

static bool
skip_some(const char **at, const char *end, int kind)
{
    const char *begin = *at;
    *at = behind(begin, end, kind);
    return *at > begin;
}

bool
request_is_well_formed(const char *at, size_t size)
{
    const char *end = at + size;
    return skip_some(&at, end, TOKEN) && SKIP(&at, end, " ") && skip_some(&at, end, TARGET) &&
           (SKIP(&at, end, " HTTP/1.1\r\n") || SKIP(&at, end, " HTTP/1.0\r\n")) && fields_are_well_formed(at, end);
}

bool
response_is_well_formed(const char *at, size_t size)
{
    const char *end = at + size;
    if (!(SKIP(&at, end, "HTTP/1.1 ") || SKIP(&at, end, "HTTP/1.0 ")) || end - at < 3 ||
        behind(at, at + 3, DIGIT) != at + 3) {
        return false;
    }
    at += 3;
    if (SKIP(&at, end, " ")) {
        at = behind(at, end, VALUE);
    }
    return SKIP(&at, end, "\r\n") && fields_are_well_formed(at, end);
}
