/* The baseline for datagrams: one socket, and each datagram goes back to its sender.
 *
 * Knows epoll and sockets. It makes one recvfrom and one sendto per datagram, as every other server here does.
 * recvmmsg would need fewer system calls, but would compare batching with no batching.
 *
 * udp_server [PORT]    on 127.0.0.1; prints "ready PORT"; serves until killed
 */
#define _GNU_SOURCE
#include "listening.h"

#include <sys/epoll.h>

static char buffer[65536];

static void echo_all(int fd)
{
    for (;;) {
        struct sockaddr_in peer;
        socklen_t length = sizeof peer;
        ssize_t received = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&peer, &length);

        if (received < 0 && errno == EAGAIN)
            return;
        if (received < 0)
            continue; /* interrupted, or the client has gone */
        /* A full send buffer drops the datagram, as the network would. */
        sendto(fd, buffer, (size_t)received, MSG_NOSIGNAL, (struct sockaddr *)&peer, length);
    }
}

int main(int argc, char **argv)
{
    int fd = open_on(SOCK_DGRAM, argc > 1 ? atoi(argv[1]) : 0), poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};

    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll");
    for (;;) {
        if (epoll_wait(poller, &event, 1, -1) < 0 && errno != EINTR)
            die("epoll_wait");
        echo_all(fd);
    }
}
