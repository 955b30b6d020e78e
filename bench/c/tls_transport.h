/* What the load generators send and receive through: here TLS over a socket.
 *
 * Knows OpenSSL. Version, cipher suite and group are fixed, so that no server does other work than the rest. Every
 * handshake is checked: what was agreed, the server's certificate, and whether the session was resumed.
 */
#include <signal.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

static const char CIPHER[] = "TLS_AES_256_GCM_SHA384", GROUP[] = "X25519", SERVER_NAME[] = "localhost";

struct transport {
    int fd;
    SSL *ssl;
    SSL_SESSION *session; /* owned; the newest one, for the next connection */
    uint64_t lives;
};

static SSL_CTX *tls_context;

static inline _Noreturn void tls_die(const char *what)
{
    unsigned long error = ERR_peek_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;

    die("TLS: %s%s%s", what, reason ? ": " : "", reason ? reason : "");
}

/* Keeps a session that the server has sent. OpenSSL's reference to it becomes ours. */
static int tls_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct transport *transport = SSL_get_app_data(ssl);

    SSL_SESSION_free(transport->session);
    transport->session = session;
    return 1;
}

static inline void transport_setup(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    errno = 0;
    if (!options.certificate)
        die("TLS needs --certificate");
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
        !SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) || !SSL_CTX_set_ciphersuites(context, CIPHER) ||
        !SSL_CTX_set1_groups_list(context, GROUP))
        tls_die("context");
    if (SSL_CTX_load_verify_locations(context, options.certificate, NULL) != 1)
        tls_die(options.certificate);
    /* Trust the certificate itself, not its issuer: one signature less to verify. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (options.resume) {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, tls_new_session);
    }
    tls_context = context;
}

static inline void transport_begin(struct transport *transport, int fd)
{
    SSL *ssl = SSL_new(tls_context);

    errno = 0;
    transport->fd = fd;
    transport->ssl = ssl;
    if (!ssl || !SSL_set_fd(ssl, fd) || !SSL_set_app_data(ssl, transport) ||
        !SSL_set_tlsext_host_name(ssl, SERVER_NAME))
        tls_die("connection");
    if (options.resume && transport->lives > 0) {
        if (!transport->session)
            die("TLS: the server sent no session");
        if (!SSL_set_session(ssl, transport->session))
            tls_die("session");
    }
    transport->lives++;
    SSL_set_connect_state(ssl);
}

/* Ends the program if the server has agreed to anything else than the other servers. */
static inline void tls_check(const struct transport *transport)
{
    SSL *ssl = transport->ssl;
    const char *cipher = SSL_get_cipher_name(ssl), *version = SSL_get_version(ssl);
    bool resumed = options.resume && transport->lives > 1;
    EVP_PKEY *key = NULL;

    errno = 0;
    if (SSL_version(ssl) != TLS1_3_VERSION || strcmp(cipher, CIPHER) != 0)
        die("TLS: the server chose %s with %s, not TLSv1.3 with %s", version, cipher, CIPHER);
    if (!SSL_get_peer_tmp_key(ssl, &key) || EVP_PKEY_id(key) != EVP_PKEY_X25519)
        die("TLS: the server chose another group than %s", GROUP);
    EVP_PKEY_free(key);
    if (SSL_get_verify_result(ssl) != X509_V_OK)
        die("TLS: the certificate was not verified");
    if (SSL_session_reused(ssl) != resumed)
        die("TLS: the session was %sresumed", resumed ? "not " : "");
}

/* Makes errno of a call that did not succeed. Returns -1, or 0 if the server has ended the TLS stream. */
static inline ssize_t tls_failed(struct transport *transport, int status, const char *what)
{
    switch (SSL_get_error(transport->ssl, status)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL:
        if (ERR_peek_error() == 0 && errno != 0)
            return -1;
        /* fall through */
    default: errno = 0; tls_die(what);
    }
}

static inline bool transport_handshake(struct transport *transport)
{
    int status;

    errno = 0;
    status = SSL_do_handshake(transport->ssl);
    if (status != 1 && tls_failed(transport, status, "handshake") == -1 && errno == EAGAIN)
        return false;
    if (status != 1)
        die("TLS handshake");
    tls_check(transport);
    return true;
}

static inline ssize_t transport_send(struct transport *transport, const char *data, size_t size)
{
    int sent;

    errno = 0;
    sent = SSL_write(transport->ssl, data, (int)size);
    return sent > 0 ? sent : tls_failed(transport, sent, "send");
}

/* Returns 0 after the server has sent a close_notify and closed the socket. */
static inline ssize_t transport_receive(struct transport *transport, char *data, size_t size)
{
    ssize_t beyond;
    int received;

    errno = 0;
    received = SSL_read(transport->ssl, data, (int)size);
    if (received > 0)
        return received;
    if (tls_failed(transport, received, "receive") < 0)
        return -1;
    beyond = recv(transport->fd, data, size, 0);
    errno = beyond > 0 ? 0 : errno;
    if (beyond > 0)
        die("TLS: the server spoke after its close_notify");
    return beyond;
}

static inline void transport_shutdown(struct transport *transport)
{
    if (SSL_shutdown(transport->ssl) < 0)
        tls_die("close_notify");
    shutdown(transport->fd, SHUT_WR);
}

static inline void transport_close(struct transport *transport)
{
    SSL_free(transport->ssl);
    transport->ssl = NULL;
    close(transport->fd);
}
