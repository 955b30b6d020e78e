/* libuv in C: its default loop, streams and callbacks. One buffer serves all connections, as libuv's documentation
 * recommends where data is used at once: an answer is written with uv_try_write(), and only what the socket did not
 * take is copied and queued. Reading goes on after it was sent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { BACKLOG = 4096 };

static char buffer[65536];

struct unsent {
    uv_write_t request;
    uv_buf_t rest;
};

static void check(int status, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
        exit(1);
    }
}

static void *allocate(size_t size)
{
    void *memory = malloc(size);

    if (!memory) {
        perror("malloc");
        exit(1);
    }
    return memory;
}

static void closed(uv_handle_t *handle)
{
    free(handle);
}

static void end(uv_stream_t *stream)
{
    if (!uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, closed);
}

static void lend(uv_handle_t *handle, size_t suggested, uv_buf_t *lent)
{
    (void)handle, (void)suggested;
    *lent = uv_buf_init(buffer, sizeof buffer);
}

static void received(uv_stream_t *stream, ssize_t size, const uv_buf_t *data);

static void sent(uv_write_t *request, int status)
{
    uv_stream_t *stream = request->handle;
    struct unsent *unsent = (struct unsent *)request;

    free(unsent->rest.base);
    free(unsent);
    if (status < 0)
        end(stream);
    else if (!uv_is_closing((uv_handle_t *)stream))
        check(uv_read_start(stream, lend, received), "uv_read_start");
}

static void queue(uv_stream_t *stream, const char *data, size_t size)
{
    struct unsent *unsent = allocate(sizeof *unsent);

    unsent->rest = uv_buf_init(allocate(size), (unsigned)size);
    memcpy(unsent->rest.base, data, size);
    uv_read_stop(stream);
    check(uv_write(&unsent->request, stream, &unsent->rest, 1, sent), "uv_write");
}

static void received(uv_stream_t *stream, ssize_t size, const uv_buf_t *data)
{
    uv_buf_t answer;
    int taken;

    if (size < 0) {
        end(stream);
        return;
    }
    if (size == 0)
        return;
    answer = uv_buf_init(data->base, (unsigned)size);
    taken = uv_try_write(stream, &answer, 1);
    if (taken == UV_EAGAIN)
        taken = 0;
    if (taken < 0)
        end(stream);
    else if (taken < size)
        queue(stream, data->base + taken, (size_t)(size - taken));
}

static void connected(uv_stream_t *listener, int status)
{
    uv_tcp_t *client = allocate(sizeof *client);

    check(status, "accept");
    check(uv_tcp_init(listener->loop, client), "uv_tcp_init");
    check(uv_accept(listener, (uv_stream_t *)client), "uv_accept");
    check(uv_tcp_nodelay(client, 1), "uv_tcp_nodelay");
    check(uv_read_start((uv_stream_t *)client, lend, received), "uv_read_start");
}

int main(void)
{
    const char *host = getenv("BENCH_HOST");
    struct sockaddr_in address;
    uv_tcp_t listener;
    int length = sizeof address;

    check(uv_ip4_addr(host ? host : "127.0.0.1", 0, &address), "BENCH_HOST");
    check(uv_tcp_init(uv_default_loop(), &listener), "uv_tcp_init");
    check(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0), "uv_tcp_bind");
    check(uv_listen((uv_stream_t *)&listener, BACKLOG, connected), "uv_listen");
    check(uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &length), "uv_tcp_getsockname");
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
