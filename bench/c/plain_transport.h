/* What the load generators send and receive through: here a socket, with nothing over it.
 *
 * tls_transport.h has the same functions for TLS. Both report as recv(2) and send(2) do.
 */

struct transport {
    int fd;
};

/* Called once, after the options have been read. */
static inline void transport_setup(void)
{
    errno = 0;
    if (options.certificate || options.resume)
        die("--certificate and --resume are for TLS");
}

/* Takes a connected socket. */
static inline void transport_begin(struct transport *transport, int fd)
{
    transport->fd = fd;
}

/* Returns true after the handshake, false if it has to wait for the server. */
static inline bool transport_handshake(struct transport *transport)
{
    (void)transport;
    return true;
}

static inline ssize_t transport_send(struct transport *transport, const char *data, size_t size)
{
    return send(transport->fd, data, size, MSG_NOSIGNAL);
}

/* Returns 0 after the server has closed the socket. */
static inline ssize_t transport_receive(struct transport *transport, char *data, size_t size)
{
    return recv(transport->fd, data, size, 0);
}

/* Ends the sending direction. */
static inline void transport_shutdown(struct transport *transport)
{
    shutdown(transport->fd, SHUT_WR);
}

static inline void transport_close(struct transport *transport)
{
    close(transport->fd);
}
