/* The baseline for bulk: reads everything, keeps nothing, and closes after the client.
 *
 * Knows epoll and sockets. It copies the bytes out of the kernel (no MSG_TRUNC), as the other servers must.
 *
 * sink_server [PORT]    listens on 127.0.0.1; prints "ready PORT"; serves until killed
 */
#define _GNU_SOURCE
#include "listening.h"

#include <sys/epoll.h>

enum { BUFFER_BYTES = 262144, EVENTS_MAX = 1024, TURN_CALLS_MAX = 16 };

static char buffer[BUFFER_BYTES];
static int poller;

static void add(int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static void accept_one(int listener)
{
    int fd = accept_next(listener);

    if (fd >= 0)
        add(fd, EPOLLIN);
}

static void drain(int fd)
{
    /* Read until a short read has emptied the socket; limited, so that a busy client does not starve the others. */
    for (int i = 0; i < TURN_CALLS_MAX; i++) {
        ssize_t received = recv(fd, buffer, sizeof buffer, 0);

        if (received < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (received <= 0) {
            close(fd);
            return;
        }
        if ((size_t)received < sizeof buffer)
            return; /* a FIN after it causes another event */
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS_MAX];
    int listener = open_on(SOCK_STREAM, argc > 1 ? atoi(argv[1]) : 0);

    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        die("epoll_create1");
    add(listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_one(listener);
            else
                drain(events[i].data.fd);
        }
    }
}
