/* A WebSocket and its messages, as a client sees them (RFC 6455). No compression is offered.
 *
 * A message is one frame of at most 125 bytes, with the key of its mask. Its echo must be one frame without a mask.
 */
enum { WEBSOCKET_MESSAGE_MAX = 125, WEBSOCKET_HEAD = 2, WEBSOCKET_MASK = 4 };

static const unsigned char WEBSOCKET_BINARY = 0x82, WEBSOCKET_MASKED = 0x80;

/* Writes the request that opens a WebSocket. Returns its length. */
static inline size_t websocket_opening(struct http_exchange *exchange)
{
    return (size_t)snprintf(exchange->request, sizeof exchange->request,
                            "GET / HTTP/1.1\r\nHost: 127.0.0.1:%ld\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                            options.port);
}

/* Returns whether the first `received` bytes are the whole answer to that. */
static inline bool websocket_is_open(const struct http_exchange *exchange, size_t received)
{
    static const char STATUS[] = "HTTP/1.1 101", PROOF[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    const char *end = memmem(exchange->answer, received, "\r\n\r\n", 4);

    if (!end && received < HTTP_ANSWER_MAX)
        return false;
    if (!end || end + 4 != exchange->answer + received || memcmp(exchange->answer, STATUS, sizeof STATUS - 1) != 0 ||
        !memmem(exchange->answer, received, PROOF, sizeof PROOF - 1))
        http_die("not the expected answer to an upgrade", exchange, received);
    return true;
}

/* Writes `data` as a frame. Returns its length. */
static inline size_t websocket_frame(struct http_exchange *exchange, const char *data, size_t size, uint32_t mask)
{
    char *at = exchange->request + WEBSOCKET_HEAD;

    exchange->request[0] = (char)WEBSOCKET_BINARY;
    exchange->request[1] = (char)(WEBSOCKET_MASKED | size);
    mask *= 2654435761u; /* all of its bytes differ from one message to the next */
    memcpy(at, &mask, WEBSOCKET_MASK);
    for (size_t i = 0; i < size; i++)
        at[WEBSOCKET_MASK + i] = (char)(data[i] ^ at[i % WEBSOCKET_MASK]);
    return WEBSOCKET_HEAD + WEBSOCKET_MASK + size;
}

/* Returns whether the first `received` bytes are the whole echo of the frame in `request`. */
static inline bool websocket_is_echoed(const struct http_exchange *exchange, size_t received)
{
    const char *mask = exchange->request + WEBSOCKET_HEAD, *data = mask + WEBSOCKET_MASK;
    size_t size = (unsigned char)exchange->request[1] & ~WEBSOCKET_MASKED;

    if (received < WEBSOCKET_HEAD + size)
        return false;
    errno = 0;
    if (received > WEBSOCKET_HEAD + size || (unsigned char)exchange->answer[0] != WEBSOCKET_BINARY ||
        (size_t)(unsigned char)exchange->answer[1] != size)
        die("not the expected frame");
    for (size_t i = 0; i < size; i++)
        if (exchange->answer[WEBSOCKET_HEAD + i] != (char)(data[i] ^ mask[i % WEBSOCKET_MASK]))
            die("a message came back with other bytes");
    return true;
}
