/* What the C servers share: a socket on a free port of $BENCH_HOST or else of 127.0.0.1, the line that prints the port,
   and how they accept. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG_MAX = 4096 };

static inline _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Returns a bound, non-blocking socket: SOCK_STREAM and listening, or SOCK_DGRAM. Prints "ready PORT". */
static inline int open_on(int type, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t length = sizeof address;
    const char *host = getenv("BENCH_HOST");
    int on = 1, fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (inet_pton(AF_INET, host ? host : "127.0.0.1", &address.sin_addr) != 1) {
        fprintf(stderr, "BENCH_HOST: not an IPv4 address: %s\n", host);
        exit(1);
    }
    if (fd < 0)
        die("socket");
    if (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        die("SO_REUSEADDR");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("bind");
    if (type == SOCK_STREAM && listen(fd, BACKLOG_MAX) < 0)
        die("listen");
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        die("getsockname");
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/* Returns the next connection of the queue, non-blocking and with TCP_NODELAY; -1 if the queue is empty. */
static inline int accept_next(int listener)
{
    int on = 1, fd;

    do
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0 && errno != EAGAIN)
        die("accept4"); /* EMFILE, too: a benchmark must not drop connections silently */
    if (fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        die("TCP_NODELAY");
    return fd;
}
