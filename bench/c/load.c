/* The load generator: keeps every connection busy with one request at a time, or holds them idle.
 *
 * Knows the echo protocol from the client's side and the clock; nothing about who serves. In C, so
 * that it is not the slower of the two. No allocation and one clock reading per request. Between the
 * warm-up and the measurement nothing is in flight and it waits for a line on stdin: the harness reads
 * the server's CPU clock while the server is at rest, so the reading is exact.
 *
 * load echo HOST PORT [--connections N] [--size B] [--warmup-s S] [--duration-s S | --requests N]
 * load idle HOST PORT [--connections N]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "histogram.h"

enum {
    BUFFER_BYTES = 65536,
    EVENTS_MAX = 1024,
    GREETING_BYTES = 64, /* the first exchange, blocking: small enough never to deadlock */
    PATTERN_PERIOD = 4096, /* requests start at different places of the pattern; power of two */
    PATIENCE_S = 10,
};

struct connection {
    int fd;
    bool busy;
    uint32_t sequence;
    const char *message;
    size_t sent, received;
    uint64_t started_ns;
};

struct stage { /* one stretch of load: the warm-up, or the measurement */
    uint64_t deadline_ns, requests_max;
    uint64_t issued, finished, elapsed_ns, cpu_ns;
    struct histogram latency;
};

static struct {
    const char *host;
    long port, connections, size, requests;
    double warmup_s, duration_s;
} options = {.connections = 100, .size = 64, .warmup_s = 0.5, .duration_s = 2};

static struct connection *connections;
static char *pattern, buffer[BUFFER_BYTES];
static int poller;

static _Noreturn void die(const char *format, ...)
{
    int error = errno;
    va_list arguments;

    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s%s\n", error ? ": " : "", error ? strerror(error) : "");
    exit(1);
}

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A pattern without a short period, so that bytes of another request or connection do not match. */
static void make_pattern(size_t size)
{
    uint32_t state = 2463534242u;

    pattern = malloc(size + PATTERN_PERIOD);
    if (!pattern)
        die("malloc");
    for (size_t i = 0; i < size + PATTERN_PERIOD; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        pattern[i] = (char)state;
    }
}

static void next_message(struct connection *connection)
{
    size_t number = (size_t)(connection - connections);

    connection->sequence++;
    connection->message = pattern + ((number * 31 + connection->sequence * 7) & (PATTERN_PERIOD - 1));
    connection->sent = connection->received = 0;
}

static void check(const struct connection *connection, const char *data, size_t size)
{
    if (memcmp(data, connection->message + connection->received, size) != 0) {
        errno = 0;
        die("connection %ld got other bytes than it sent", (long)(connection - connections));
    }
}

/* One blocking exchange: afterwards the server has accepted the connection and run its handler. */
static void greet(struct connection *connection, size_t size)
{
    next_message(connection);
    if (send(connection->fd, connection->message, size, MSG_NOSIGNAL) != (ssize_t)size)
        die("first send");
    while (connection->received < size) {
        ssize_t received = recv(connection->fd, buffer, size - connection->received, 0);
        if (received <= 0)
            die("first answer: %s", received == 0 ? "the server closed the connection" : "");
        check(connection, buffer, (size_t)received);
        connection->received += (size_t)received;
    }
}

static void open_all(size_t greeting)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int on = 1;

    if (inet_pton(AF_INET, options.host, &address.sin_addr) != 1)
        die("not an IPv4 address: %s", options.host);
    connections = calloc((size_t)options.connections, sizeof *connections);
    if (!connections)
        die("calloc");
    for (long i = 0; i < options.connections; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            die("socket %ld", i);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
            die("connect %ld", i);
        connections[i].fd = fd;
        greet(&connections[i], greeting);
    }
}

static void watch_all(void)
{
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        die("epoll_create1");
    for (long i = 0; i < options.connections; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &connections[i]};
        if (fcntl(connections[i].fd, F_SETFL, O_NONBLOCK) < 0)
            die("O_NONBLOCK");
        if (epoll_ctl(poller, EPOLL_CTL_ADD, connections[i].fd, &event) < 0)
            die("epoll_ctl");
    }
}

static void push(struct connection *connection)
{
    size_t size = (size_t)options.size;

    while (connection->sent < size) {
        ssize_t sent = send(connection->fd, connection->message + connection->sent, size - connection->sent,
                            MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent < 0 && errno != EINTR)
            die("send");
        connection->sent += sent > 0 ? (size_t)sent : 0;
    }
}

/* True when the whole answer is here. */
static bool pull(struct connection *connection)
{
    size_t size = (size_t)options.size;

    while (connection->received < size) {
        size_t want = size - connection->received;
        ssize_t received = recv(connection->fd, buffer, want < sizeof buffer ? want : sizeof buffer, 0);
        if (received < 0 && errno == EAGAIN)
            return false;
        if (received < 0 && errno == EINTR)
            continue;
        if (received <= 0)
            die("recv%s", received == 0 ? ": the server closed the connection" : "");
        check(connection, buffer, (size_t)received);
        connection->received += (size_t)received;
    }
    return true;
}

static void start(struct stage *stage, struct connection *connection, uint64_t now)
{
    if (now >= stage->deadline_ns || stage->issued >= stage->requests_max)
        return;
    stage->issued++;
    next_message(connection);
    connection->busy = true;
    connection->started_ns = now;
    push(connection);
}

static void advance(struct stage *stage, struct connection *connection, uint32_t events)
{
    uint64_t now;

    if (!connection->busy) {
        errno = 0;
        if (events & ~(uint32_t)EPOLLOUT)
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

/* Runs until the deadline or the number of requests, then until nothing is in flight. */
static void run(struct stage *stage, double duration_s, long requests)
{
    static struct epoll_event events[EVENTS_MAX];
    uint64_t begun_ns = now_ns(CLOCK_MONOTONIC), cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);

    stage->requests_max = requests > 0 ? (uint64_t)requests : UINT64_MAX;
    stage->deadline_ns = requests > 0 ? UINT64_MAX : begun_ns + (uint64_t)(duration_s * 1e9);
    for (long i = 0; i < options.connections; i++)
        start(stage, &connections[i], now_ns(CLOCK_MONOTONIC));
    while (stage->finished < stage->issued) {
        int count = epoll_wait(poller, events, EVENTS_MAX, PATIENCE_S * 1000);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        if (count == 0)
            die("no answer for %d s", PATIENCE_S);
        for (int i = 0; i < count; i++)
            advance(stage, events[i].data.ptr, events[i].events);
    }
    stage->elapsed_ns = now_ns(CLOCK_MONOTONIC) - begun_ns;
    stage->cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
}

static void report(const struct stage *stage)
{
    const struct histogram *latency = &stage->latency;

    printf("{\"requests\": %llu, \"bytes\": %llu, \"seconds\": %.6f, \"load_cpu_s\": %.6f, "
           "\"p50_us\": %.2f, \"p99_us\": %.2f, \"p99_9_us\": %.2f, \"max_us\": %.2f}\n",
           (unsigned long long)stage->finished, (unsigned long long)stage->finished * (unsigned long long)options.size,
           (double)stage->elapsed_ns / 1e9, (double)stage->cpu_ns / 1e9, histogram_quantile(latency, 0.5) / 1e3,
           histogram_quantile(latency, 0.99) / 1e3, histogram_quantile(latency, 0.999) / 1e3,
           (double)latency->max / 1e3);
}

static void echo(void)
{
    static struct stage warmup, measured;
    char line[16];

    make_pattern((size_t)options.size);
    open_all(options.size < GREETING_BYTES ? (size_t)options.size : GREETING_BYTES);
    watch_all();
    run(&warmup, options.warmup_s, 0);
    puts("warm");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin) && ferror(stdin))
        die("stdin");
    run(&measured, options.duration_s, options.requests);
    report(&measured);
}

static void idle(void)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};

    make_pattern(GREETING_BYTES);
    open_all(GREETING_BYTES);
    /* Thousands of ports in TIME_WAIT would slow the next round down. */
    for (long i = 0; i < options.connections; i++)
        setsockopt(connections[i].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    printf("open %ld\n", options.connections);
    fflush(stdout);
    while (getchar() != EOF)
        continue;
}

static double number(const char *name, const char *text, double least)
{
    char *rest;
    double value = strtod(text, &rest);

    errno = 0;
    if (*text == '\0' || *rest != '\0' || !(value >= least))
        die("%s: not a number of at least %g: %s", name, least, text);
    return value;
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"connections", required_argument, NULL, 'c'}, {"size", required_argument, NULL, 's'},
        {"warmup-s", required_argument, NULL, 'w'},    {"duration-s", required_argument, NULL, 'd'},
        {"requests", required_argument, NULL, 'r'},    {0},
    };
    int name, index = 0;

    while ((name = getopt_long(argc, argv, "", names, &index)) != -1) {
        switch (name) {
        case 'c': options.connections = (long)number("connections", optarg, 1); break;
        case 's': options.size = (long)number("size", optarg, 1); break;
        case 'w': options.warmup_s = number("warmup-s", optarg, 0); break;
        case 'd': options.duration_s = number("duration-s", optarg, 0); break;
        case 'r': options.requests = (long)number("requests", optarg, 1); break;
        default: exit(2);
        }
    }
    if (argc - optind != 3) {
        fprintf(stderr, "usage: load echo|idle HOST PORT [options]\n");
        exit(2);
    }
    options.host = argv[optind + 1];
    options.port = (long)number("port", argv[optind + 2], 1);
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    if (strcmp(argv[optind], "echo") == 0)
        echo();
    else if (strcmp(argv[optind], "idle") == 0)
        idle();
    else
        die("no such mode: %s", argv[optind]);
    return 0;
}
