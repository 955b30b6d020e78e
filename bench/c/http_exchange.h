/* A GET and its answer, as a client of HTTP/1.1 with a kept connection sees them.
 *
 * The head is like curl's. If it is varied, one field differs in each request, so that a server gains nothing from
 * having seen the same bytes before. Every answer must be 200 with the expected body and a Content-Length.
 */
#include <ctype.h>
#include <strings.h>

enum { HTTP_REQUEST_MAX = 256, HTTP_ANSWER_MAX = 4096 };

static const char HTTP_BODY[] = "Hello, world!";

struct http_exchange {
    char request[HTTP_REQUEST_MAX], answer[HTTP_ANSWER_MAX];
};

/* Writes the request number `sequence` of client `number`. Returns its length. */
static inline size_t http_request(struct http_exchange *exchange, bool varied, size_t number, uint32_t sequence)
{
    int length = snprintf(exchange->request, sizeof exchange->request,
                          "GET / HTTP/1.1\r\nHost: 127.0.0.1:%ld\r\nUser-Agent: load/1.0\r\nAccept: */*\r\n", options.port);

    if (varied)
        length += snprintf(exchange->request + length, sizeof exchange->request - (size_t)length,
                           "Cookie: session=%08zx%08x\r\n", number, sequence);
    memcpy(exchange->request + length, "\r\n", 2);
    return (size_t)length + 2;
}

static inline _Noreturn void http_die(const char *what, const struct http_exchange *exchange, size_t size)
{
    errno = 0;
    die("%s: %.*s", what, (int)size, exchange->answer);
}

/* Returns the value of Content-Length in the `size` bytes of a head. */
static inline size_t http_length(const struct http_exchange *exchange, size_t size)
{
    static const char NAME[] = "content-length:";
    const char *at = exchange->answer, *end = at + size;

    for (; at < end; at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1)
        if ((size_t)(end - at) > sizeof NAME && strncasecmp(at, NAME, sizeof NAME - 1) == 0)
            return strtoul(at + sizeof NAME - 1, NULL, 10);
    http_die("an answer without Content-Length", exchange, size);
}

/* Returns whether the first `received` bytes of the answer are all of it. */
static inline bool http_is_answered(const struct http_exchange *exchange, size_t received)
{
    static const char STATUS[] = "HTTP/1.1 200";
    size_t body = sizeof HTTP_BODY - 1, head;
    const char *end = memmem(exchange->answer, received, "\r\n\r\n", 4);

    if (!end) {
        if (received == HTTP_ANSWER_MAX)
            http_die("a head that is too long", exchange, received);
        return false;
    }
    head = (size_t)(end - exchange->answer) + 4;
    if (memcmp(exchange->answer, STATUS, sizeof STATUS - 1) != 0 || http_length(exchange, head) != body)
        http_die("not the expected answer", exchange, received);
    if (received < head + body)
        return false;
    if (received > head + body || memcmp(exchange->answer + head, HTTP_BODY, body) != 0)
        http_die("not the expected body", exchange, received);
    return true;
}
