/* The baseline for TLS: an echo server in C, with OpenSSL's memory BIOs between recv(2) and send(2).
 *
 * Knows epoll, sockets and OpenSSL. It is echo_server.c with TLS: one recv and one send for what arrives together,
 * which costs less than OpenSSL's own reads and writes on the socket. It does what a real server must: partial writes,
 * back pressure, alerts, an answer to the client's close_notify. Settings are OpenSSL's defaults, as in the other
 * servers, such as two tickets after a full handshake. Buffers are released while idle, as the ssl module does.
 *
 * tls_echo_server CERTIFICATE [PORT]    listens on 127.0.0.1; prints "ready PORT"; serves until killed
 * tls_echo_server --version             prints the version of OpenSSL
 */
#define _GNU_SOURCE
#include "listening.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>

enum { PLAIN_BYTES = 16384, NETWORK_BYTES = 131072, EVENTS_MAX = 1024 };

static const uint32_t WATCHED = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

struct connection {
    int fd;
    SSL *ssl;
    BIO *in, *out; /* owned by `ssl`. What the socket did not take stays in `out` */
    bool ending;   /* close as soon as `out` is empty */
};

static char plain[PLAIN_BYTES], network[NETWORK_BYTES];
static SSL_CTX *context;
static int poller;

static _Noreturn void die_of_openssl(const char *what)
{
    fprintf(stderr, "%s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static void add(int fd, uint32_t events, void *owner)
{
    struct epoll_event event = {.events = events, .data.ptr = owner};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static struct connection *new_connection(int fd)
{
    struct connection *connection = calloc(1, sizeof *connection);

    if (!connection)
        die("calloc");
    connection->fd = fd;
    connection->ssl = SSL_new(context);
    connection->in = BIO_new(BIO_s_mem());
    connection->out = BIO_new(BIO_s_mem());
    if (!connection->ssl || !connection->in || !connection->out)
        die_of_openssl("new connection");
    SSL_set_bio(connection->ssl, connection->in, connection->out);
    SSL_set_accept_state(connection->ssl);
    return connection;
}

static void accept_all(int listener)
{
    int fd;

    while ((fd = accept_next(listener)) >= 0)
        add(fd, WATCHED, new_connection(fd));
}

static void end(struct connection *connection)
{
    close(connection->fd);
    SSL_free(connection->ssl);
    free(connection);
}

/* Sends the ciphertext. Returns 1 if nothing is left to send, 0 if the socket is full, -1 if the peer has gone. */
static int flush(struct connection *connection)
{
    static char dropped[NETWORK_BYTES];
    char *data;
    long size;

    while ((size = BIO_get_mem_data(connection->out, &data)) > 0) {
        ssize_t sent = send(connection->fd, data, (size_t)size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN ? 0 : -1;
        if (sent == size)
            (void)BIO_reset(connection->out);
        for (ssize_t left = sent < size ? sent : 0; left > 0;)
            left -= BIO_read(connection->out, dropped, left < NETWORK_BYTES ? (int)left : NETWORK_BYTES);
    }
    return 1;
}

/* Makes the handshake, or echoes, with what has arrived. Returns false if the connection is over. */
static bool process(struct connection *connection)
{
    SSL *ssl = connection->ssl;
    int status;

    do {
        if (!SSL_is_init_finished(ssl)) {
            status = SSL_do_handshake(ssl);
            continue;
        }
        status = SSL_read(ssl, plain, sizeof plain);
        if (status > 0 && SSL_write(ssl, plain, status) != status)
            return false;
        /* Save the read that would only say that nothing is left. */
        if (status > 0 && BIO_ctrl_pending(connection->in) == 0 && !SSL_has_pending(ssl))
            return true;
    } while (status > 0);
    switch (SSL_get_error(ssl, status)) {
    case SSL_ERROR_WANT_READ: return true;
    case SSL_ERROR_ZERO_RETURN: SSL_shutdown(ssl); return false;
    default: ERR_clear_error(); return false;
    }
}

/* Makes epoll report again what is ready now, after the other connections: a new edge. */
static void rearm(struct connection *connection)
{
    struct epoll_event event = {.events = WATCHED, .data.ptr = connection};

    if (epoll_ctl(poller, EPOLL_CTL_MOD, connection->fd, &event) < 0)
        die("epoll_ctl");
}

/* Returns false if the connection is over. */
static bool serve(struct connection *connection, uint32_t events)
{
    int sent;

    if (BIO_ctrl_pending(connection->out) > 0) {
        sent = flush(connection);
        if (sent > 0 && !connection->ending)
            rearm(connection); /* data or a FIN may have arrived while the socket was full */
        return sent >= 0 && !(sent > 0 && connection->ending);
    }
    for (;;) {
        ssize_t received = recv(connection->fd, network, sizeof network, 0);
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0 && errno == EAGAIN)
            return true;
        if (received <= 0)
            return false;
        if (BIO_write(connection->in, network, (int)received) != received)
            die_of_openssl("BIO_write");
        connection->ending = !process(connection);
        sent = flush(connection);
        if (sent <= 0)
            return sent == 0;
        if (connection->ending)
            return false;
        if ((size_t)received == sizeof network) {
            rearm(connection); /* a client that never stops must not starve the others */
            return true;
        }
        /* A short read has emptied the socket, unless a FIN came with the same edge. */
        if (!(events & ~(uint32_t)(EPOLLIN | EPOLLOUT)))
            return true;
    }
}

static void set_up(const char *certificate)
{
    context = SSL_CTX_new(TLS_server_method());
    if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, certificate, SSL_FILETYPE_PEM) != 1)
        die_of_openssl(certificate);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1); /* one read from the BIO for a record, not two: 3 % less for small ones */
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS_MAX];
    int listener;

    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return puts(OpenSSL_version(OPENSSL_VERSION)) < 0;
    if (argc < 2)
        die("usage: tls_echo_server CERTIFICATE [PORT]");
    set_up(argv[1]);
    listener = open_on(SOCK_STREAM, argc > 2 ? atoi(argv[2]) : 0);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        die("epoll_create1");
    add(listener, EPOLLIN, NULL);
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection)
                accept_all(listener);
            else if (!serve(connection, events[i].events))
                end(connection);
        }
    }
}
