/* The baseline for bulk-send: sends as many blocks as a client requests, and closes.
 *
 * Knows epoll and sockets. It watches a connection for reading until the request has arrived, then for writing.
 *
 * source_server [PORT]    listens on 127.0.0.1; prints "ready PORT"; serves until killed
 */
#define _GNU_SOURCE
#include "listening.h"

#include <endian.h>
#include <stdint.h>
#include <sys/epoll.h>

enum { BLOCK_BYTES = 262144, EVENTS_MAX = 1024, TURN_CALLS_MAX = 16 };

struct connection {
    int fd;
    uint64_t left;
};

static char block[BLOCK_BYTES];
static int poller;

static void watch(int operation, struct connection *connection, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};

    if (epoll_ctl(poller, operation, fd, &event) < 0)
        die("epoll_ctl");
}

static void accept_one(int listener)
{
    struct connection *connection;
    int fd = accept_next(listener);

    if (fd < 0)
        return;
    connection = calloc(1, sizeof *connection);
    if (!connection)
        die("calloc");
    connection->fd = fd;
    watch(EPOLL_CTL_ADD, connection, fd, EPOLLIN);
}

static void end(struct connection *connection)
{
    close(connection->fd);
    free(connection);
}

static void hear(struct connection *connection)
{
    uint64_t blocks;
    ssize_t received = recv(connection->fd, &blocks, sizeof blocks, 0);

    if (received < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (received != sizeof blocks) { /* on loopback eight bytes arrive in one piece */
        end(connection);
        return;
    }
    connection->left = be64toh(blocks) * BLOCK_BYTES;
    watch(EPOLL_CTL_MOD, connection, connection->fd, EPOLLOUT);
}

static void speak(struct connection *connection)
{
    /* Send until the socket is full; limited, so that a fast client does not keep the others waiting. */
    for (int i = 0; i < TURN_CALLS_MAX && connection->left; i++) {
        size_t most = connection->left < sizeof block ? (size_t)connection->left : sizeof block;
        ssize_t sent = send(connection->fd, block, most, MSG_NOSIGNAL);

        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (sent < 0)
            connection->left = 0; /* the client has gone */
        else
            connection->left -= (uint64_t)sent;
        if (sent >= 0 && (size_t)sent < most)
            return;
    }
    if (connection->left == 0)
        end(connection);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS_MAX];
    int listener = open_on(SOCK_STREAM, argc > 1 ? atoi(argv[1]) : 0);

    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        die("epoll_create1");
    watch(EPOLL_CTL_ADD, NULL, listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection)
                accept_one(listener);
            else if (connection->left)
                speak(connection);
            else
                hear(connection);
        }
    }
}
