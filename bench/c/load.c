/* The load generator: keeps every connection busy with one request at a time, or holds it idle.
 *
 * Knows the echo protocol, HTTP and WebSockets from the client's side, and nothing about the server. It is in C so that
 * it is faster than the servers: no allocation and one clock reading per request. With "udp" a connection is a connected
 * datagram socket. A datagram that does not come back counts as lost and is not sent again.
 *
 * load echo|udp|http|http-varied|websocket HOST PORT [--connections N] [--size B] [--warmup-s S]
 *     [--duration-s S | --requests N]
 * load idle HOST PORT [--connections N]
 */
#define _GNU_SOURCE
#include "client.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include "histogram.h"
#include "http_exchange.h"
#include "websocket_exchange.h"

#ifndef TRANSPORT
#define TRANSPORT "plain_transport.h"
#endif
#include TRANSPORT

enum {
    BUFFER_BYTES = 65536,
    EVENTS_MAX = 1024,
    GREETING_BYTES = 64, /* the first exchange, which blocks: too small to deadlock */
    LOST_AFTER_MS = 200, /* without any answer; on loopback an answer takes microseconds, queues included */
};

struct connection {
    struct transport transport;
    bool busy;
    uint32_t sequence;
    const char *message;
    struct http_exchange *exchange; /* NULL: echoes */
    size_t size, sent, received;
    uint64_t started_ns;
};

struct stage { /* one stretch of load: the warm-up, or the measurement */
    uint64_t deadline_ns, requests_max;
    uint64_t issued, finished, lost, elapsed_ns, cpu_ns;
    struct histogram latency;
};

static struct connection *connections;
static char *pattern, buffer[BUFFER_BYTES];
static int poller;
static bool datagrams, http, varied, websocket; /* `http`: also with WebSockets, whose answers end as they say */

/* Makes the next message. `size`: of an echo. */
static void next_message(struct connection *connection, size_t size)
{
    size_t number = (size_t)(connection - connections);

    connection->sequence++;
    connection->sent = connection->received = 0;
    if (websocket) {
        connection->size = websocket_frame(connection->exchange, pattern + pattern_offset(number, connection->sequence),
                                           size, connection->sequence);
        connection->message = connection->exchange->request;
    } else if (http) {
        connection->size = http_request(connection->exchange, varied, number, connection->sequence);
        connection->message = connection->exchange->request;
    } else {
        connection->size = size;
        connection->message = pattern + pattern_offset(number, connection->sequence);
    }
}

static void check(const struct connection *connection, const char *data, size_t size)
{
    if (memcmp(data, connection->message + connection->received, size) != 0) {
        errno = 0;
        die("connection %ld got other bytes than it sent", (long)(connection - connections));
    }
}

static bool is_answered(const struct connection *connection)
{
    if (websocket)
        return websocket_is_echoed(connection->exchange, connection->received);
    if (http)
        return http_is_answered(connection->exchange, connection->received);
    return connection->received == connection->size;
}

/* Receives more of the answer. Returns what recv(2) does. */
static ssize_t take(struct connection *connection)
{
    char *into = http ? connection->exchange->answer + connection->received : buffer;
    size_t want = http ? HTTP_ANSWER_MAX - connection->received : connection->size - connection->received;
    ssize_t received = transport_receive(&connection->transport, into,
                                         want < sizeof buffer ? want : sizeof buffer);

    if (received > 0) {
        if (!http)
            check(connection, buffer, (size_t)received);
        connection->received += (size_t)received;
    }
    return received;
}

static void take_first(struct connection *connection)
{
    ssize_t received = take(connection);

    if (received <= 0)
        die("first answer: %s", received == 0 ? "the server closed the connection" : "");
}

static void open_websocket(struct connection *connection)
{
    size_t size = websocket_opening(connection->exchange);

    if (transport_send(&connection->transport, connection->exchange->request, size) != (ssize_t)size)
        die("upgrade");
    while (!websocket_is_open(connection->exchange, connection->received))
        take_first(connection);
}

/* Makes one blocking exchange. After that the server has accepted the connection and started its handler. */
static void greet(struct connection *connection, size_t size)
{
    if (!transport_handshake(&connection->transport))
        die("handshake");
    if (websocket)
        open_websocket(connection);
    next_message(connection, size);
    if (transport_send(&connection->transport, connection->message, connection->size) != (ssize_t)connection->size)
        die("first send");
    while (!is_answered(connection))
        take_first(connection);
}

static void open_all(size_t greeting)
{
    struct sockaddr_in address = server_address();
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int on = 1;

    connections = calloc((size_t)options.connections, sizeof *connections);
    if (!connections)
        die("calloc");
    for (long i = 0; i < options.connections; i++) {
        int fd = socket(AF_INET, (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
        if (fd < 0)
            die("socket %ld", i);
        if (!datagrams)
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
            die("connect %ld", i);
        transport_begin(&connections[i].transport, fd);
        if (http && !(connections[i].exchange = malloc(sizeof *connections[i].exchange)))
            die("malloc");
        greet(&connections[i], greeting);
    }
}

static void watch_all(void)
{
    /* Do not watch for EPOLLOUT: a datagram socket reports it after every datagram, and one request always fits. */
    uint32_t watched = datagrams ? EPOLLIN | EPOLLET : EPOLLIN | EPOLLOUT | EPOLLET;

    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        die("epoll_create1");
    for (long i = 0; i < options.connections; i++) {
        struct epoll_event event = {.events = watched, .data.ptr = &connections[i]};
        int fd = connections[i].transport.fd;

        if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
            die("O_NONBLOCK");
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
            die("epoll_ctl");
    }
}

static void push(struct connection *connection)
{
    while (connection->sent < connection->size) {
        ssize_t sent = transport_send(&connection->transport, connection->message + connection->sent,
                                      connection->size - connection->sent);
        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent < 0 && errno != EINTR)
            die("send");
        connection->sent += sent > 0 ? (size_t)sent : 0;
    }
}

/* Returns true if the whole answer is here. */
static bool pull(struct connection *connection)
{
    while (!is_answered(connection)) {
        ssize_t received = take(connection);
        if (received < 0 && errno == EAGAIN)
            return false;
        if (received < 0 && errno == EINTR)
            continue;
        if (received <= 0)
            die("recv%s", received == 0 ? ": the server closed the connection" : "");
    }
    return true;
}

static void start(struct stage *stage, struct connection *connection, uint64_t now)
{
    if (now >= stage->deadline_ns || stage->issued >= stage->requests_max)
        return;
    stage->issued++;
    next_message(connection, (size_t)options.size);
    connection->busy = true;
    connection->started_ns = now;
    push(connection);
}

static void advance(struct stage *stage, struct connection *connection, uint32_t events)
{
    uint64_t now;

    if (!connection->busy) {
        errno = 0;
        if (datagrams)
            recv(connection->transport.fd, buffer, sizeof buffer, 0); /* too late: it has been counted as lost */
        else if (events & ~(uint32_t)EPOLLOUT)
            die("the server spoke, or closed, on a connection at rest");
        return;
    }
    push(connection);
    if (!pull(connection))
        return;
    now = now_ns(CLOCK_MONOTONIC);
    histogram_add(&stage->latency, now - connection->started_ns);
    stage->finished++;
    connection->busy = false;
    start(stage, connection, now);
}

/* Gives up datagrams that will not be answered, so that they do not hold up the rest. */
static void give_up(struct stage *stage)
{
    for (long i = 0; i < options.connections; i++)
        connections[i].busy = false;
    stage->lost = stage->issued - stage->finished;
}

/* Runs until the deadline or the number of requests is reached, then until nothing is in flight. */
static void run(struct stage *stage, double duration_s, long requests)
{
    static struct epoll_event events[EVENTS_MAX];
    uint64_t begun_ns = now_ns(CLOCK_MONOTONIC), cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID), last_ns = begun_ns;

    stage->requests_max = requests > 0 ? (uint64_t)requests : UINT64_MAX;
    stage->deadline_ns = requests > 0 ? UINT64_MAX : begun_ns + (uint64_t)(duration_s * 1e9);
    for (long i = 0; i < options.connections; i++)
        start(stage, &connections[i], now_ns(CLOCK_MONOTONIC));
    while (stage->finished + stage->lost < stage->issued) {
        int count = epoll_wait(poller, events, EVENTS_MAX, datagrams ? LOST_AFTER_MS : PATIENCE_S * 1000);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        if (count == 0 && datagrams)
            give_up(stage);
        else if (count == 0)
            die("no answer for %d s", PATIENCE_S);
        for (int i = 0; i < count; i++)
            advance(stage, events[i].data.ptr, events[i].events);
        if (count > 0)
            last_ns = now_ns(CLOCK_MONOTONIC);
    }
    stage->elapsed_ns = last_ns - begun_ns;
    stage->cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
}

static void report(const struct stage *stage)
{
    const struct histogram *latency = &stage->latency;

    printf("{\"requests\": %llu, \"lost\": %llu, \"seconds\": %.6f, \"load_cpu_s\": %.6f, "
           "\"p50_us\": %.2f, \"p99_us\": %.2f, \"p99_9_us\": %.2f, \"max_us\": %.2f}\n",
           (unsigned long long)stage->finished, (unsigned long long)stage->lost,
           (double)stage->elapsed_ns / 1e9, (double)stage->cpu_ns / 1e9, histogram_quantile(latency, 0.5) / 1e3,
           histogram_quantile(latency, 0.99) / 1e3, histogram_quantile(latency, 0.999) / 1e3,
           (double)latency->max / 1e3);
}

static void exchange(void)
{
    static struct stage warmup, measured;

    pattern = make_pattern((size_t)options.size);
    open_all(options.size < GREETING_BYTES ? (size_t)options.size : GREETING_BYTES);
    watch_all();
    run(&warmup, options.warmup_s, 0);
    await_go();
    do {
        memset(&measured, 0, sizeof measured);
        run(&measured, options.duration_s, options.requests);
        report(&measured);
    } while (await_line());
}

static void idle(void)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};

    pattern = make_pattern(GREETING_BYTES);
    open_all(GREETING_BYTES);
    /* Reset, since thousands of ports in TIME_WAIT would slow down the next round. */
    for (long i = 0; i < options.connections; i++)
        setsockopt(connections[i].transport.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    printf("open %ld\n", options.connections);
    fflush(stdout);
    while (getchar() != EOF)
        continue;
}

int main(int argc, char **argv)
{
    read_options(argc, argv, "echo|udp|http|http-varied|websocket|idle");
    datagrams = strcmp(options.mode, "udp") == 0;
    varied = strcmp(options.mode, "http-varied") == 0;
    websocket = strcmp(options.mode, "websocket") == 0;
    http = varied || websocket || strcmp(options.mode, "http") == 0;
    transport_setup();
    errno = 0;
    if (datagrams && options.certificate)
        die("no TLS over datagrams");
    if (datagrams && options.size > BUFFER_BYTES - 512)
        die("no datagram is that long: %ld", options.size);
    if (websocket && options.size > WEBSOCKET_MESSAGE_MAX)
        die("no message is that long: %ld", options.size);
    if (datagrams || http || strcmp(options.mode, "echo") == 0)
        exchange();
    else if (strcmp(options.mode, "idle") == 0)
        idle();
    else
        die("no such mode: %s", options.mode);
    return 0;
}
