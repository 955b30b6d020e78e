/* Which heads are well-formed: syntax.py in C.

   Knows the octets of a head, and nothing of Python. A head is complete: it ends with an empty line. */

#ifndef SOCKET2_SYNTAX_H
#define SOCKET2_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct {
    const char *at;
    size_t size;
} Text;

typedef enum { MALFORMED, FIELD, LAST } Line;

/* What an octet may be part of. */
enum { TOKEN = 1, VALUE = 2, TARGET = 4, PATH = 8, HOST = 16, DIGIT = 32 };

extern const unsigned char octets[256];

static inline bool
is(char octet, int kind)
{
    return (octets[(unsigned char)octet] & kind) != 0;
}

/* Return the first octet from `at` on that is not of a kind. */
static inline const char *
behind(const char *at, const char *end, int kind)
{
    while (at < end && is(*at, kind)) {
        at++;
    }
    return at;
}

/* Move behind what is expected there. */
static inline bool
skip(const char **at, const char *end, const char *text, size_t size)
{
    if ((size_t)(end - *at) < size || memcmp(*at, text, size) != 0) {
        return false;
    }
    *at += size;
    return true;
}

#define SKIP(at, end, text) skip(at, end, text, sizeof(text) - 1)

/* Move behind the next line of the fields. The last one is empty. */
static inline Line
next_line(const char **at, const char *end, Text *name, Text *value)
{
    const char *colon = behind(*at, end, TOKEN);
    if (colon == *at) {
        return SKIP(at, end, "\r\n") ? LAST : MALFORMED;
    }
    if (colon == end || *colon != ':') {
        return MALFORMED;
    }
    const char *stop = behind(colon + 1, end, VALUE);
    *name = (Text){*at, (size_t)(colon - *at)};
    *value = (Text){colon + 1, (size_t)(stop - colon - 1)};
    *at = stop;
    return SKIP(at, end, "\r\n") ? FIELD : MALFORMED;
}

/* Whether `text` is `lower` in any case. */
static inline bool
equals(Text text, const char *lower, size_t size)
{
    if (text.size != size) {
        return false;
    }
    for (size_t index = 0; index < size; index++) {
        char octet = text.at[index];
        if ((octet >= 'A' && octet <= 'Z' ? octet + ('a' - 'A') : octet) != lower[index]) {
            return false;
        }
    }
    return true;
}

#define EQUALS(text, lower) equals(text, lower, sizeof(lower) - 1)

/* Write the text in lower case. Return where it ends. */
static inline char *
lower(char *to, Text text)
{
    for (size_t index = 0; index < text.size; index++) {
        char octet = text.at[index];
        *to++ = octet >= 'A' && octet <= 'Z' ? (char)(octet + ('a' - 'A')) : octet;
    }
    return to;
}

/* Return the text without blanks around it. */
static inline Text
stripped(Text text)
{
    while (text.size > 0 && (*text.at == ' ' || *text.at == '\t')) {
        text.at++;
        text.size--;
    }
    while (text.size > 0 && (text.at[text.size - 1] == ' ' || text.at[text.size - 1] == '\t')) {
        text.size--;
    }
    return text;
}

bool request_is_well_formed(const char *head, size_t size);
bool response_is_well_formed(const char *head, size_t size);

#endif
