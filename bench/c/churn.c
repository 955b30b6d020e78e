/* The load generator for short connections: connect, one request, its answer, close; over and over.
 *
 * Knows the echo protocol from the client's side. A connection ends with the server's own close, so the server
 * has nothing left to do when its CPU clock is read. The client closes first, so its end has the TIME_WAIT.
 * The source address changes within 127.0.0.0/8, so that the ports of one address do not run out.
 *
 * churn connections HOST PORT [--connections N] [--size B] [--warmup-s S] [--duration-s S | --requests N]
 */
#define _GNU_SOURCE
#include "client.h"

#include <netinet/in.h>
#include <sys/epoll.h>

#include "histogram.h"

#ifndef TRANSPORT
#define TRANSPORT "plain_transport.h"
#endif
#include TRANSPORT

enum { BUFFER_BYTES = 4096, EVENTS_MAX = 1024, LIVES_PER_ADDRESS = 8000, ADDRESSES = 60000 };

struct client {
    struct transport transport;
    enum { CONNECTING, SHAKING, ANSWERED_IN_PART, CLOSING } phase;
    uint32_t sequence;
    const char *message;
    size_t received;
    uint64_t started_ns;
};

struct stage { /* one stretch of load: the warm-up, or the measurement */
    uint64_t deadline_ns, lives_max;
    uint64_t begun, ended, elapsed_ns, cpu_ns;
    struct histogram latency;
};

static struct client *clients;
static struct sockaddr_in server;
static char *pattern, buffer[BUFFER_BYTES];
static int poller;

/* Binds to an address that has not made too many connections; connect() chooses the port. */
static void bind_source(int fd)
{
    static uint64_t lives;
    uint32_t number = (uint32_t)(lives++ / LIVES_PER_ADDRESS % ADDRESSES);
    struct sockaddr_in source = {.sin_family = AF_INET};
    int on = 1;

    source.sin_addr.s_addr = htonl(0x7f010001u + number); /* 127.1.0.1 and on */
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0)
        die("IP_BIND_ADDRESS_NO_PORT");
    if (bind(fd, (struct sockaddr *)&source, sizeof source) < 0)
        die("bind");
}

static void begin(struct stage *stage, struct client *client)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = client};
    int fd, on = 1;

    client->started_ns = now_ns(CLOCK_MONOTONIC);
    if (client->started_ns >= stage->deadline_ns || stage->begun >= stage->lives_max)
        return;
    stage->begun++;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bind_source(fd);
    transport_begin(&client->transport, fd);
    client->phase = CONNECTING;
    client->message = pattern + pattern_offset((size_t)(client - clients), ++client->sequence);
    client->received = 0;
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS)
        die("connect");
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static void check_connected(struct client *client)
{
    int error = 0;
    socklen_t length = sizeof error;

    getsockopt(client->transport.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    errno = error;
    if (error != 0)
        die("connect");
    client->phase = SHAKING;
}

static void speak(struct client *client)
{
    if (!transport_handshake(&client->transport))
        return;
    if (transport_send(&client->transport, client->message, (size_t)options.size) != options.size)
        die("send");
    client->phase = ANSWERED_IN_PART;
}

/* Reads everything that has arrived. Returns true if the server has closed. */
static bool hear(struct client *client)
{
    for (;;) {
        ssize_t received = transport_receive(&client->transport, buffer, sizeof buffer);
        if (received < 0 && errno == EAGAIN)
            return false;
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0)
            die("recv");
        if (received == 0)
            return true;
        errno = 0;
        if (client->received + (size_t)received > (size_t)options.size ||
            memcmp(buffer, client->message + client->received, (size_t)received) != 0)
            die("client %ld got other bytes than it sent", (long)(client - clients));
        client->received += (size_t)received;
        if (client->received == (size_t)options.size) {
            transport_shutdown(&client->transport);
            client->phase = CLOSING;
        }
    }
}

static void advance(struct stage *stage, struct client *client, uint32_t events)
{
    if (client->phase == CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        check_connected(client);
    if (client->phase == SHAKING)
        speak(client);
    if (client->phase < ANSWERED_IN_PART || !hear(client))
        return;
    errno = 0;
    if (client->phase != CLOSING)
        die("the server closed the connection before it had answered");
    transport_close(&client->transport);
    histogram_add(&stage->latency, now_ns(CLOCK_MONOTONIC) - client->started_ns);
    stage->ended++;
    begin(stage, client);
}

static void run(struct stage *stage, double duration_s, long lives)
{
    static struct epoll_event events[EVENTS_MAX];
    uint64_t begun_ns = now_ns(CLOCK_MONOTONIC), cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);

    stage->lives_max = lives > 0 ? (uint64_t)lives : UINT64_MAX;
    stage->deadline_ns = lives > 0 ? UINT64_MAX : begun_ns + (uint64_t)(duration_s * 1e9);
    for (long i = 0; i < options.connections; i++)
        begin(stage, &clients[i]);
    while (stage->ended < stage->begun) {
        int count = epoll_wait(poller, events, EVENTS_MAX, PATIENCE_S * 1000);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        errno = 0;
        if (count == 0)
            die("nothing happened for %d s", PATIENCE_S);
        for (int i = 0; i < count; i++)
            advance(stage, events[i].data.ptr, events[i].events);
    }
    stage->elapsed_ns = now_ns(CLOCK_MONOTONIC) - begun_ns;
    stage->cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
}

static void report(const struct stage *stage)
{
    printf("{\"connections\": %llu, \"seconds\": %.6f, \"load_cpu_s\": %.6f, \"p50_us\": %.2f, \"p99_us\": %.2f}\n",
           (unsigned long long)stage->ended, (double)stage->elapsed_ns / 1e9, (double)stage->cpu_ns / 1e9,
           histogram_quantile(&stage->latency, 0.5) / 1e3, histogram_quantile(&stage->latency, 0.99) / 1e3);
}

int main(int argc, char **argv)
{
    static struct stage warmup, measured;

    read_options(argc, argv, "connections");
    errno = 0;
    if (options.size > BUFFER_BYTES)
        die("--size: at most %d", BUFFER_BYTES);
    transport_setup();
    server = server_address();
    pattern = make_pattern((size_t)options.size);
    clients = calloc((size_t)options.connections, sizeof *clients);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!clients || poller < 0)
        die("no memory or no epoll");
    run(&warmup, options.warmup_s, 0);
    await_go();
    do {
        memset(&measured, 0, sizeof measured);
        run(&measured, options.duration_s, options.requests);
        report(&measured);
    } while (await_line());
    return 0;
}
