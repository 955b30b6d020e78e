/* The load generator for bulk-send: requests bytes and reads them as fast as the server sends.
 *
 * Knows TCP and the clock. Each transfer is a connection of its own. The client sends the number of blocks of
 * BLOCK_BYTES that it wants (eight bytes, big-endian); the server sends them and closes. Transfers follow each
 * other until the time is over. The last ones are read to their end, so that bytes, seconds and CPU match.
 *
 * fetch bulk-send HOST PORT [--connections N] [--size B] [--warmup-s S] [--duration-s S]    --size: per receive
 */
#define _GNU_SOURCE
#include "client.h"

#include <endian.h>
#include <sys/epoll.h>

enum { EVENTS_MAX = 1024, TURN_RECEIVES_MAX = 16, BLOCK_BYTES = 262144, BLOCKS = 64 };

struct transfer {
    int fd;
    uint64_t received;
};

struct stage { /* one stretch of load: the warm-up, or the measurement */
    uint64_t deadline_ns, bytes, elapsed_ns, cpu_ns;
    long open;
};

static struct transfer *transfers;
static char *buffer;
static int poller;

static void begin(struct stage *stage, struct transfer *transfer)
{
    struct sockaddr_in address = server_address();
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = transfer};
    uint64_t wanted = htobe64(BLOCKS);
    int on = 1, fd;

    if (now_ns(CLOCK_MONOTONIC) >= stage->deadline_ns)
        return;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect");
    if (send(fd, &wanted, sizeof wanted, MSG_NOSIGNAL) != sizeof wanted)
        die("send");
    *transfer = (struct transfer){.fd = fd};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
    stage->open++;
}

static void finish(struct stage *stage, struct transfer *transfer)
{
    errno = 0;
    if (transfer->received != (uint64_t)BLOCKS * BLOCK_BYTES)
        die("got %llu bytes of %llu", (unsigned long long)transfer->received, (unsigned long long)BLOCKS * BLOCK_BYTES);
    stage->bytes += transfer->received;
    stage->open--;
    close(transfer->fd);
    begin(stage, transfer);
}

static void advance(struct stage *stage, struct transfer *transfer)
{
    /* Limited, so that one fast sender does not keep the others waiting. */
    for (int i = 0; i < TURN_RECEIVES_MAX; i++) {
        ssize_t received = recv(transfer->fd, buffer, (size_t)options.size, MSG_DONTWAIT);
        if (received < 0 && errno == EAGAIN)
            return;
        if (received < 0 && errno != EINTR)
            die("recv");
        if (received == 0) {
            finish(stage, transfer);
            return;
        }
        transfer->received += received > 0 ? (uint64_t)received : 0;
    }
}

static void run(struct stage *stage, double duration_s)
{
    static struct epoll_event events[EVENTS_MAX];
    uint64_t begun_ns = now_ns(CLOCK_MONOTONIC), cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);

    stage->deadline_ns = begun_ns + (uint64_t)(duration_s * 1e9);
    for (long i = 0; i < options.connections; i++)
        begin(stage, &transfers[i]);
    while (stage->open > 0) {
        int count = epoll_wait(poller, events, EVENTS_MAX, PATIENCE_S * 1000);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        errno = 0;
        if (count == 0)
            die("nothing happened for %d s", PATIENCE_S);
        for (int i = 0; i < count; i++)
            advance(stage, events[i].data.ptr);
    }
    stage->elapsed_ns = now_ns(CLOCK_MONOTONIC) - begun_ns;
    stage->cpu_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
}

int main(int argc, char **argv)
{
    static struct stage warmup, measured;

    read_options(argc, argv, "bulk-send");
    buffer = malloc((size_t)options.size);
    transfers = calloc((size_t)options.connections, sizeof *transfers);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!buffer || !transfers || poller < 0)
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
