/* The baseline for HTTP: one fixed answer for each request, the least CPU that a request can cost on this kernel.
 *
 * Knows epoll, sockets, and where a head ends: a floor, and not a server. It parses nothing and trusts its client, so a
 * request must arrive in one piece and its answer must fit into the socket. It ends if that is not so.
 *
 * http_server [PORT]    listens on 127.0.0.1; prints "ready PORT"; serves until killed
 */
#define _GNU_SOURCE
#include "listening.h"

#include <string.h>
#include <sys/epoll.h>

enum { BUFFER_BYTES = 65536, EVENTS_MAX = 1024 };

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nServer: floor\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                             "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\r\nHello, world!";

static char buffer[BUFFER_BYTES];
static int poller;

static void add(int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static void accept_all(int listener)
{
    int fd;

    while ((fd = accept_next(listener)) >= 0)
        add(fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
}

static void serve(int fd)
{
    ssize_t received = recv(fd, buffer, sizeof buffer, 0);

    if (received < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (received <= 0) {
        close(fd);
        return;
    }
    if (received < 4 || memcmp(buffer + received - 4, "\r\n\r\n", 4) != 0) {
        errno = EPROTO;
        die("a request in pieces");
    }
    if (send(fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) != (ssize_t)sizeof ANSWER - 1)
        die("send");
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
                accept_all(listener);
            else
                serve(events[i].data.fd);
        }
    }
}
