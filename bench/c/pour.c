/* The load generator for bulk: sends bytes on its connections as fast as the server reads them.
 *
 * Knows TCP and the clock. Each transfer is a connection of its own. It ends with the server's close after ours.
 * The server closes only after it has read everything, so that bytes, seconds and CPU match.
 *
 * pour bulk HOST PORT [--connections N] [--size B] [--warmup-s S] [--duration-s S]      --size: bytes per send
 */
#define _GNU_SOURCE
#include "client.h"

#include <sys/epoll.h>

enum { EVENTS_MAX = 1024, TURN_SENDS_MAX = 16 };

struct transfer {
    int fd;
    bool ending;
};

struct stage { /* one stretch of load: the warm-up, or the measurement */
    uint64_t deadline_ns, bytes, elapsed_ns, cpu_ns;
    long open;
};

static struct transfer *transfers;
static char *pattern;
static int poller;

static void open_one(struct transfer *transfer)
{
    struct sockaddr_in address = server_address();
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP, .data.ptr = transfer};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        die("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect");
    *transfer = (struct transfer){.fd = fd};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static void pour(struct stage *stage, const struct transfer *transfer)
{
    /* Limited, so that one fast reader does not keep the others waiting. */
    for (int i = 0; i < TURN_SENDS_MAX; i++) {
        ssize_t sent = send(transfer->fd, pattern, (size_t)options.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent < 0 && errno != EINTR)
            die("send");
        stage->bytes += sent > 0 ? (uint64_t)sent : 0;
    }
}

static void finish(struct stage *stage, struct transfer *transfer)
{
    char byte;
    ssize_t received = recv(transfer->fd, &byte, 1, MSG_DONTWAIT);

    if (received < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (received < 0)
        die("recv");
    errno = 0;
    if (received > 0 || !transfer->ending)
        die("the server %s, and should only listen", received > 0 ? "spoke" : "closed the connection");
    close(transfer->fd);
    stage->open--;
}

static void advance(struct stage *stage, struct transfer *transfer, uint32_t events)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = transfer};

    if (!transfer->ending && events & EPOLLOUT) {
        pour(stage, transfer);
        if (now_ns(CLOCK_MONOTONIC) >= stage->deadline_ns) {
            transfer->ending = true;
            shutdown(transfer->fd, SHUT_WR);
            if (epoll_ctl(poller, EPOLL_CTL_MOD, transfer->fd, &event) < 0)
                die("epoll_ctl");
        }
    }
    if (events & ~(uint32_t)EPOLLOUT)
        finish(stage, transfer);
}

static void run(struct stage *stage, double duration_s)
{
    static struct epoll_event events[EVENTS_MAX];
    uint64_t begun_ns = now_ns(CLOCK_MONOTONIC), cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);

    stage->deadline_ns = begun_ns + (uint64_t)(duration_s * 1e9);
    for (long i = 0; i < options.connections; i++)
        open_one(&transfers[i]);
    stage->open = options.connections;
    while (stage->open > 0) {
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

int main(int argc, char **argv)
{
    static struct stage warmup, measured;

    read_options(argc, argv, "bulk");
    pattern = make_pattern((size_t)options.size);
    transfers = calloc((size_t)options.connections, sizeof *transfers);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!transfers || poller < 0)
        die("no memory or no epoll");
    run(&warmup, options.warmup_s);
    await_go();
    do {
        memset(&measured, 0, sizeof measured);
        run(&measured, options.duration_s);
        printf("{\"bytes\": %llu, \"seconds\": %.6f, \"load_cpu_s\": %.6f}\n", (unsigned long long)measured.bytes,
               (double)measured.elapsed_ns / 1e9, (double)measured.cpu_ns / 1e9);
    } while (await_line());
    return 0;
}
