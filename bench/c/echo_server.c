/* The baseline: a TCP echo server in C, the least CPU a request can cost on this kernel.
 *
 * Knows epoll and sockets, nothing else. Sockets are registered once, edge-triggered, and a short read
 * ends the turn without a second recv: the cheapest correct use of epoll. It handles everything that a real
 * server must (partial writes, back pressure, half-close, reset), so that it is a fair limit.
 *
 * echo_server [PORT]    listens on 127.0.0.1; prints "ready PORT"; serves until killed
 */
#define _GNU_SOURCE
#include "listening.h"

#include <string.h>
#include <sys/epoll.h>

enum { BUFFER_BYTES = 262144, EVENTS_MAX = 1024 };

static const uint32_t WATCHED = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

struct connection {
    int fd;
    char *unsent; /* owned; NULL while everything received has been sent */
    size_t unsent_at, unsent_end;
};

static char buffer[BUFFER_BYTES];
static int poller;

static void add(int fd, uint32_t events, void *owner)
{
    struct epoll_event event = {.events = events, .data.ptr = owner};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static void accept_all(int listener)
{
    int fd;

    while ((fd = accept_next(listener)) >= 0) {
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection)
            die("calloc");
        connection->fd = fd;
        add(fd, WATCHED, connection);
    }
}

static void end(struct connection *connection)
{
    close(connection->fd);
    free(connection->unsent);
    free(connection);
}

/* Returns how many bytes were sent, 0 if the socket is full, -1 if the peer has gone. */
static ssize_t send_some(int fd, const char *data, size_t size)
{
    ssize_t sent;

    do
        sent = send(fd, data, size, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

/* Keeps the bytes that the socket did not take. Reading continues after they were sent. */
static void keep(struct connection *connection, const char *data, size_t size)
{
    connection->unsent = malloc(size);
    if (!connection->unsent)
        die("malloc");
    memcpy(connection->unsent, data, size);
    connection->unsent_at = 0;
    connection->unsent_end = size;
}

/* Returns 1 if nothing is left to send, 0 if the socket is full, -1 if the peer has gone. */
static int flush(struct connection *connection)
{
    while (connection->unsent_at < connection->unsent_end) {
        ssize_t sent = send_some(connection->fd, connection->unsent + connection->unsent_at,
                                 connection->unsent_end - connection->unsent_at);
        if (sent <= 0)
            return (int)sent;
        connection->unsent_at += (size_t)sent;
    }
    free(connection->unsent);
    connection->unsent = NULL;
    return 1;
}

/* Returns the same as flush(). */
static int echo(struct connection *connection, size_t size)
{
    size_t at = 0;

    while (at < size) {
        ssize_t sent = send_some(connection->fd, buffer + at, size - at);
        if (sent < 0)
            return -1;
        if (sent == 0) {
            keep(connection, buffer + at, size - at);
            return 0;
        }
        at += (size_t)sent;
    }
    return 1;
}

/* Makes epoll report again what is ready now, after the other connections: a new edge. */
static void rearm(struct connection *connection)
{
    struct epoll_event event = {.events = WATCHED, .data.ptr = connection};

    if (epoll_ctl(poller, EPOLL_CTL_MOD, connection->fd, &event) < 0)
        die("epoll_ctl");
}

static void serve(struct connection *connection, uint32_t events)
{
    int sent = 1;

    if (connection->unsent) {
        sent = flush(connection);
        if (sent > 0) {
            rearm(connection); /* data or a FIN may have arrived while the socket was full */
            return;
        }
    }
    while (sent > 0) {
        ssize_t received = recv(connection->fd, buffer, sizeof buffer, 0);
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0 && errno == EAGAIN)
            return;
        if (received <= 0) {
            sent = -1;
            break;
        }
        sent = echo(connection, (size_t)received);
        if (sent > 0 && (size_t)received == sizeof buffer) {
            rearm(connection); /* a client that never stops must not starve the others */
            return;
        }
        /* A short read has emptied the socket, unless a FIN came with the same edge. */
        if (sent > 0 && !(events & ~(uint32_t)(EPOLLIN | EPOLLOUT)))
            return;
    }
    if (sent < 0)
        end(connection);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS_MAX];
    int listener = open_on(SOCK_STREAM, argc > 1 ? atoi(argv[1]) : 0);

    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        die("epoll_create1");
    add(listener, EPOLLIN, NULL);
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                serve(events[i].data.ptr, events[i].events);
            else
                accept_all(listener);
        }
    }
}
