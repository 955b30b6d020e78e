/* The system calls behind the operations, on non-blocking sockets, and what their errors mean: attempts.py in C.

   They keep the GIL, since they do not block, and to take it back costs more than most of them. Two kinds of calls
   release it: sendfile(2), which may wait for a disk, and large copies if several OS threads share the poller.
   Addresses that sockaddr.c does not know go through the standard library's socket.
   Knows operations and handles, and how both end. Must not know who waits for an operation, or who steps it. */

#include "attempts.h"
#include "sockaddr.h"
#include "closing.h"
#include "reasons.h"
#include "sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/sendfile.h>
#include <time.h>

/* To copy this many bytes takes longer than to give the GIL to another OS thread and get it back. */
#define MUCH ((size_t)1 << 16)

/* How many connections in a row may be lost before they are accepted, until accept raises Exhausted. */
#define ACCEPTS_MAX 64

/* How many pieces of one sendall may be sent in one turn. */
#define PIECES_MAX 16

#define RETRY_ON_EINTR(result, call)                                                                                  \
    do {                                                                                                              \
        (result) = (call);                                                                                            \
    } while ((result) < 0 && errno == EINTR)

/* While the statement runs without the GIL, the descriptor stays open: a close waits for it. */
#define WITHOUT_GIL_IF(condition, handle, statement)                                                                  \
    do {                                                                                                              \
        bool without = (condition) && (handle)->outside < OUTSIDE_MAX;                                                \
        (handle)->outside += without;                                                                                 \
        PyThreadState *saved = without ? PyEval_SaveThread() : NULL;                                                  \
        statement;                                                                                                    \
        if (saved != NULL) {                                                                                          \
            int number = errno;                                                                                       \
            PyEval_RestoreThread(saved);                                                                              \
            (handle)->outside--;                                                                                      \
            if ((handle)->look_again) {                                                                               \
                handle_look_again(handle);                                                                            \
            }                                                                                                         \
            errno = number;                                                                                           \
        }                                                                                                             \
    } while (0)

static bool
would_block(int number)
{
    return number == EAGAIN || number == EWOULDBLOCK;
}

static Outcome
system_error(void)
{
    PyErr_SetFromErrno(PyExc_OSError);
    return FAILURE;
}

/* Return SUCCESS with a new result, or FAILURE if the result could not be made. */
static Outcome
done(PyObject *made, PyObject **result)
{
    *result = made;
    return made != NULL ? SUCCESS : FAILURE;
}

static Outcome
done_count(Py_ssize_t count, PyObject **result)
{
    return done(PyLong_FromSsize_t(count), result);
}

static Outcome
done_none(PyObject **result)
{
    return done(Py_NewRef(Py_None), result);
}

/* Calls on the standard library's socket. */

static Outcome
outcome_of_call(Handle *handle, int way, PyObject *returned, PyObject **result)
{
    if (returned != NULL) {
        return done(returned, result);
    }
    if (PyErr_ExceptionMatches(PyExc_BlockingIOError)) {
        PyErr_Clear();
        return BLOCKED;
    }
    return handle_failed_in_python(handle, way);
}

static PyObject *
call_sock(Handle *handle, Name name, PyObject *first, PyObject *second, PyObject *third)
{
    PyObject *sock = handle_sock(handle);
    PyObject *returned = sock != NULL ? call(handle->engine->state, sock, name, first, second, third) : NULL;
    Py_XDECREF(sock);
    return returned;
}

/* Receiving. */

/* Return whether a receive has emptied the socket: TCP has returned less than was requested. The end of the stream does
   not count, since it can be received again. */
static bool
has_drained(Handle *handle, Py_ssize_t received, Py_ssize_t asked)
{
    return received < asked && received > 0 && handle->armed & DRAINS;
}

/* Shorten a bytes object of our own to what was received. If there is no memory to move it, it stays as large as it is,
   so that received data is never lost. */
static PyObject *
cut(PyObject *data, Py_ssize_t received)
{
    PyObject *smaller = PyObject_Realloc(data, offsetof(PyBytesObject, ob_sval) + (size_t)received + 1);
    if (smaller != NULL) {
        data = smaller;
    }
    Py_SET_SIZE(data, received);
    PyBytes_AS_STRING(data)[received] = '\0';
    return data;
}

/* Make the result of a receive into the spare object. Without memory for a copy, the result is the spare itself. */
static PyObject *
from_spare(Engine *engine, Py_ssize_t received)
{
    if (received <= SPARE_SIZE / 2) {
        PyObject *copy = PyBytes_FromStringAndSize(PyBytes_AS_STRING(engine->spare), received);
        if (copy != NULL) {
            return copy;
        }
        PyErr_Clear();
    }
    PyObject *data = engine->spare;
    engine->spare = NULL;
    return cut(data, received);
}

/* Receive up to `n` bytes, and the sender's address if `from` is not NULL. */
static Outcome
receive(Handle *handle, Py_ssize_t n, struct sockaddr_storage *from, socklen_t *from_length, PyObject **result)
{
    Engine *engine = handle->engine;
    PyObject *data = NULL;
    if (n > SPARE_SIZE) {
        data = PyBytes_FromStringAndSize(NULL, n);
        if (data == NULL) {
            return FAILURE;
        }
    } else if (engine->spare == NULL) {
        engine->spare = PyBytes_FromStringAndSize(NULL, SPARE_SIZE);
        if (engine->spare == NULL) {
            return FAILURE;
        }
    }
    char *buffer = PyBytes_AS_STRING(data != NULL ? data : engine->spare);
    Py_ssize_t received;
    int fd = handle->fd;
    WITHOUT_GIL_IF(engine->shared && data != NULL, handle,
                   RETRY_ON_EINTR(received, recvfrom(fd, buffer, (size_t)n, 0, (struct sockaddr *)from, from_length)));
    if (received <= 0) {
        int number = errno;
        Py_XDECREF(data);
        if (received < 0) {
            return would_block(number) ? BLOCKED : handle_failed(handle, READING, number);
        }
        Outcome outcome = n > 0 ? handle_ended(handle) : SUCCESS;
        return outcome == SUCCESS ? done(PyBytes_FromStringAndSize(NULL, 0), result) : outcome;
    }
    engine->received += received;
    if (data == NULL) {
        data = from_spare(engine, received);
    } else if (received < n) {
        data = cut(data, received);
    }
    Outcome outcome = done(data, result);
    return outcome == SUCCESS && has_drained(handle, received, n) ? DRAINED : outcome;
}

static Outcome
attempt_recv(Operation *op, PyObject **result)
{
    return receive(op->handle, (Py_ssize_t)op->count, NULL, NULL, result);
}

/* Receive into the operation's buffer; *received is set on SUCCESS. */
static Outcome
receive_into(Operation *op, struct sockaddr_storage *from, socklen_t *from_length, Py_ssize_t *received)
{
    Py_buffer view;
    Py_ssize_t n = (Py_ssize_t)op->count;
    if (PyObject_GetBuffer(op->argument, &view, PyBUF_WRITABLE) < 0) {
        return FAILURE;
    }
    if (view.len < n) {
        PyErr_Format(PyExc_ValueError, "the buffer has shrunk to %zd bytes and has no room for %zd", view.len, n);
        PyBuffer_Release(&view);
        return FAILURE;
    }
    int fd = op->handle->fd;
    WITHOUT_GIL_IF(op->handle->engine->shared && (size_t)n > MUCH, op->handle,
                   RETRY_ON_EINTR(*received, recvfrom(fd, view.buf, (size_t)n, 0, (struct sockaddr *)from, from_length)));
    Outcome outcome = SUCCESS;
    if (*received > 0) {
        op->handle->engine->received += *received;
    } else if (*received < 0) {
        outcome = would_block(errno) ? BLOCKED : handle_failed(op->handle, READING, errno);
    } else if (n > 0) {
        outcome = handle_ended(op->handle);
    }
    PyBuffer_Release(&view); /* last, since it may run foreign code: the kernel's error is noted first */
    return outcome;
}

static Outcome
attempt_recv_into(Operation *op, PyObject **result)
{
    Py_ssize_t received;
    Outcome outcome = receive_into(op, NULL, NULL, &received);
    if (outcome != SUCCESS) {
        return outcome;
    }
    outcome = done_count(received, result);
    return outcome == SUCCESS && has_drained(op->handle, received, (Py_ssize_t)op->count) ? DRAINED : outcome;
}

/* Handle what recvfrom() or recvfrom_into() of the standard library's socket has returned. */
static Outcome
outcome_of_receive(Operation *op, PyObject *returned, PyObject **result)
{
    if (returned != NULL && op->count > 0 && PyTuple_Check(returned) && PyTuple_GET_SIZE(returned) > 0 &&
        PyObject_Not(PyTuple_GET_ITEM(returned, 0)) == 1) {
        Outcome outcome = handle_ended(op->handle);
        if (outcome != SUCCESS) {
            Py_DECREF(returned);
            return outcome;
        }
    }
    return outcome_of_call(op->handle, READING, returned, result);
}

static Outcome
attempt_recvfrom(Operation *op, PyObject **result)
{
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    PyObject *data = NULL;
    if (!family_is_known(op->handle->family)) {
        PyObject *n = PyLong_FromUnsignedLongLong(op->count);
        PyObject *returned = n != NULL ? call_sock(op->handle, NAME_RECVFROM, n, NULL, NULL) : NULL;
        Py_XDECREF(n);
        return outcome_of_receive(op, returned, result);
    }
    Outcome outcome = receive(op->handle, (Py_ssize_t)op->count, &from, &length, &data);
    if (outcome != SUCCESS && outcome != DRAINED) {
        return outcome;
    }
    PyObject *sender = make_address(op->handle->engine, &from, length);
    if (sender == NULL) {
        Py_DECREF(data);
        return FAILURE;
    }
    *result = Py_BuildValue("NN", data, sender);
    return *result != NULL ? outcome : FAILURE;
}

static Outcome
attempt_recvfrom_into(Operation *op, PyObject **result)
{
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    Py_ssize_t received;
    if (!family_is_known(op->handle->family)) {
        PyObject *n = PyLong_FromUnsignedLongLong(op->count);
        PyObject *returned = n != NULL ? call_sock(op->handle, NAME_RECVFROM_INTO, op->argument, n, NULL) : NULL;
        Py_XDECREF(n);
        return outcome_of_receive(op, returned, result);
    }
    Outcome outcome = receive_into(op, &from, &length, &received);
    if (outcome != SUCCESS) {
        return outcome;
    }
    PyObject *sender = make_address(op->handle->engine, &from, length);
    return done(sender != NULL ? Py_BuildValue("nN", received, sender) : NULL, result);
}

/* Accepting. */

/* Return an accepted connection that nobody took; NULL without an exception if there is none. */
static PyObject *
take_kept(Handle *handle)
{
    PyObject *list = handle_kept(handle);
    if (list == NULL || PyList_GET_SIZE(list) == 0) {
        return NULL;
    }
    PyObject *accepted = Py_NewRef(PyList_GET_ITEM(list, 0));
    if (PyList_SetSlice(list, 0, 1, NULL) < 0) {
        Py_CLEAR(accepted);
    }
    return accepted;
}

/* Return whether this errno of accept(2) concerns only the connection that it was about to return: its client has left
   early, or an error was pending on it. The listener still works, so the caller takes the next connection. */
static bool
is_of_this_connection(int number)
{
    switch (number) {
    case ECONNABORTED: case ECONNRESET: case EPROTO: case EPERM: case ENETDOWN: case ENETUNREACH: case EHOSTDOWN:
    case EHOSTUNREACH: case ENONET: case ENOPROTOOPT: case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

/* Raise Exhausted: the system has no room, and no event reports when there is room again. */
static Outcome
exhausted(Handle *handle, int number, const char *text)
{
    PyObject *error = PyObject_CallFunction(handle->engine->state->exhausted_error, "is", number, text);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return FAILURE;
}

/* Attach an accepted descriptor. A failure closes it. */
static Outcome
admit(Handle *listener, int fd, PyObject *address, PyObject **result)
{
    Handle *handle = NULL;
    if (address != NULL) {
        handle = listener->engine->calls->admit(listener->engine, fd, NULL, listener->family, listener->armed & DRAINS);
    }
    if (handle != NULL) {
        handle->armed |= listener->armed & STREAM;
    }
    if (handle == NULL) {
        PyObject *error = error_take();
        Py_XDECREF(address);
        descriptor_drop(fd);
        error_put(error);
        return FAILURE;
    }
    PyObject *accepted = PyTuple_Pack(2, handle, address);
    if (accepted == NULL) {
        PyObject *error = error_take();
        if (handle_close_at_once(handle) < 0) {
            PyErr_Clear();
        }
        error_put(error);
    }
    Py_DECREF(handle);
    Py_DECREF(address);
    return done(accepted, result);
}

/* Return the socket object of a connection. `accepted` is the result of _socket.socket._accept(). */
static PyObject *
sock_of_accepted(State *state, PyObject *accepted)
{
    int fd = (int)PyLong_AsLong(PyTuple_GET_ITEM(accepted, 0));
    PyObject *sock = sock_of(state, fd);
    if (sock == NULL) {
        descriptor_drop(fd);
    }
    return sock;
}

static Outcome
accept_through_sock(Handle *listener, PyObject **result)
{
    State *state = listener->engine->state;
    PyObject *sock = handle_sock(listener);
    PyObject *pair = sock != NULL ? PyObject_CallOneArg(state->base_accept, sock) : NULL;
    Py_XDECREF(sock);
    if (pair == NULL) {
        return outcome_of_call(listener, READING, NULL, result);
    }
    PyObject *handle = NULL, *accepted = NULL;
    sock = sock_of_accepted(state, pair);
    if (sock != NULL) {
        handle = call(state, (PyObject *)listener->engine, NAME_ATTACH, sock, NULL, NULL);
    }
    if (handle != NULL) {
        accepted = PyTuple_Pack(2, handle, PyTuple_GET_ITEM(pair, 1));
        if (accepted == NULL) {
            PyObject *error = error_take();
            if (handle_close_at_once((Handle *)handle) < 0) {
                PyErr_Clear();
            }
            error_put(error);
        }
    }
    Py_XDECREF(handle);
    Py_XDECREF(sock);
    Py_DECREF(pair);
    return done(accepted, result);
}

static Outcome
attempt_accept(Operation *op, PyObject **result)
{
    Handle *listener = op->handle;
    PyObject *accepted = take_kept(listener);
    if (accepted != NULL || PyErr_Occurred()) {
        return done(accepted, result);
    }
    if (!family_is_known(listener->family)) {
        return accept_through_sock(listener, result);
    }
    for (int tried = 0; tried < ACCEPTS_MAX; tried++) {
        struct sockaddr_storage peer;
        socklen_t length = sizeof peer;
        int fd;
        RETRY_ON_EINTR(fd, accept4(listener->fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (fd >= 0) {
            return admit(listener, fd, make_address(listener->engine, &peer, length), result);
        }
        int number = errno;
        if (would_block(number)) {
            return BLOCKED;
        }
        if (number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM) {
            return exhausted(listener, number, strerror(number));
        }
        if (!is_of_this_connection(number)) {
            return system_error();
        }
    }
    return exhausted(listener, ECONNABORTED, "64 connections in a row were lost before they were accepted");
}

/* Sending. */

static Outcome
send_piece(Handle *handle, const char *data, size_t size, Py_ssize_t *sent)
{
    int fd = handle->fd;
    if (fd < 0) { /* closed while the previous piece was being sent */
        PyErr_SetNone(handle->engine->state->closed_error);
        return FAILURE;
    }
    WITHOUT_GIL_IF(handle->engine->shared && size > MUCH, handle,
                   RETRY_ON_EINTR(*sent, send(fd, data, size, MSG_NOSIGNAL)));
    if (*sent >= 0) {
        return SUCCESS;
    }
    return would_block(errno) ? BLOCKED : handle_failed(handle, WRITING, errno);
}

static Outcome
attempt_send(Operation *op, PyObject **result)
{
    Py_buffer view;
    Py_ssize_t sent;
    if (PyObject_GetBuffer(op->argument, &view, PyBUF_SIMPLE) < 0) {
        return FAILURE;
    }
    Outcome outcome = send_piece(op->handle, view.buf, (size_t)view.len, &sent);
    PyBuffer_Release(&view);
    return outcome == SUCCESS ? done_count(sent, result) : outcome;
}

/* Keep the bytes of a sendall in place until it ends: a memoryview prevents its object from being resized. */
static int
hold_buffer(Operation *op)
{
    if (op->begun || PyBytes_CheckExact(op->argument)) {
        return 0;
    }
    PyObject *view = PyMemoryView_FromObject(op->argument);
    if (view == NULL) {
        return -1;
    }
    if (!PyBuffer_IsContiguous(PyMemoryView_GET_BUFFER(view), 'C')) {
        PyErr_SetString(PyExc_TypeError, "sendall() needs a C-contiguous buffer");
        Py_DECREF(view);
        return -1;
    }
    op->begun = 1;
    Py_SETREF(op->argument, view);
    return 0;
}

static Outcome
attempt_sendall(Operation *op, PyObject **result)
{
    Py_buffer view;
    if (hold_buffer(op) < 0 || PyObject_GetBuffer(op->argument, &view, PyBUF_SIMPLE) < 0) {
        return FAILURE;
    }
    Outcome outcome;
    int pieces = 0;
    do {
        Py_ssize_t sent;
        outcome = send_piece(op->handle, (char *)view.buf + op->count, (size_t)view.len - op->count, &sent);
        if (outcome != SUCCESS) {
            break;
        }
        op->count += (uint64_t)sent;
        if ((Py_ssize_t)op->count == view.len) {
            break;
        }
        outcome = AGAIN;
    } while (++pieces < PIECES_MAX && ++streak < STREAK_MAX);
    PyBuffer_Release(&view);
    return outcome == SUCCESS ? done_none(result) : outcome;
}

static Outcome
attempt_sendto(Operation *op, PyObject **result)
{
    PyObject *data = PyTuple_GET_ITEM(op->argument, 0);
    PyObject *address = PyTuple_GET_ITEM(op->argument, 1);
    PyObject *flags = PyLong_FromLong(MSG_NOSIGNAL);
    PyObject *returned = flags != NULL ? call_sock(op->handle, NAME_SENDTO, data, flags, address) : NULL;
    Py_XDECREF(flags);
    Outcome outcome = outcome_of_call(op->handle, WRITING, returned, result);
    if (outcome == BLOCKED && op->handle->family == AF_UNIX) {
        /* The receiver's queue is full. Events report only our own buffer, which is not full. */
        return exhausted(op->handle, EAGAIN, strerror(EAGAIN));
    }
    return outcome;
}

/* Call sendfile(2) with SIGPIPE blocked. It has no MSG_NOSIGNAL, and Python ignores SIGPIPE only until a program
   enables it again. */
static ssize_t
sendfile_without_sigpipe(int to, int from, off_t *offset, size_t count)
{
    sigset_t pipe, masked;
    ssize_t sent;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &masked);
    RETRY_ON_EINTR(sent, sendfile(to, from, offset, count));
    int number = errno;
    if (sent < 0 && number == EPIPE && !sigismember(&masked, SIGPIPE)) {
        struct timespec at_once = {0, 0};
        (void)sigtimedwait(&pipe, NULL, &at_once);
    }
    pthread_sigmask(SIG_SETMASK, &masked, NULL);
    errno = number;
    return sent;
}

static Outcome
attempt_sendfile(Operation *op, PyObject **result)
{
    int from;
    long long at;
    Py_ssize_t count, sent;
    if (!PyArg_ParseTuple(op->argument, "iLn:sendfile", &from, &at, &count)) {
        return FAILURE;
    }
    int to = op->handle->fd;
    off_t offset = (off_t)at;
    WITHOUT_GIL_IF(true, op->handle, sent = sendfile_without_sigpipe(to, from, &offset, (size_t)count));
    int number = errno;
    if (sent >= 0) {
        return done_count(sent, result);
    }
    if (would_block(number)) {
        return BLOCKED;
    }
    if (number == EINVAL || number == ESPIPE || number == ENOSYS || number == EOPNOTSUPP) {
        PyErr_Format(op->handle->engine->state->unsupported_error, "sendfile cannot send this file: %s", strerror(number));
        return FAILURE;
    }
    return handle_failed(op->handle, WRITING, number);
}

/* Connecting, and waiting for readiness. */

/* Get the address of one end of a connection, as the kernel has it. Returns false if it has none. */
static bool
name_of(int (*ask)(int, struct sockaddr *, socklen_t *), int fd, struct sockaddr_storage *name)
{
    socklen_t length = sizeof *name;
    memset(name, 0, sizeof *name);
    return ask(fd, (struct sockaddr *)name, &length) == 0;
}

/* Return whether connect(2) will choose the local port. */
static bool
may_get_any_port(Handle *handle)
{
    struct sockaddr_storage here;
    if (!(handle->armed & STREAM) || !name_of(getsockname, handle->fd, &here)) {
        return false;
    }
    if (here.ss_family == AF_INET) {
        return ((struct sockaddr_in *)&here)->sin_port == 0;
    }
    return here.ss_family == AF_INET6 && ((struct sockaddr_in6 *)&here)->sin6_port == 0;
}

/* Return whether the socket is connected to itself. TCP allows this if nobody listens at the address and the kernel has
   chosen that very port for the socket. */
static bool
is_its_own_peer(Handle *handle)
{
    struct sockaddr_storage here, there;
    return name_of(getsockname, handle->fd, &here) && name_of(getpeername, handle->fd, &there) &&
           memcmp(&here, &there, sizeof here) == 0;
}

/* Connect. Once begun, later attempts call connect(2) again to learn the state. `count`: it chooses the local port. */
static Outcome
attempt_connect(Operation *op, PyObject **result)
{
    Handle *handle = op->handle;
    if (op->begun) {
        int failure = handle->failure != 0 ? handle->failure : pending_error(handle);
        if (failure != 0) {
            return handle_failed(handle, WRITING, failure);
        }
    } else {
        op->count = may_get_any_port(handle);
    }
    PyObject *returned = call_sock(handle, NAME_CONNECT_EX, op->argument, NULL, NULL);
    if (returned == NULL) {
        return handle_failed_in_python(handle, WRITING);
    }
    int number = (int)PyLong_AsLong(returned);
    Py_DECREF(returned);
    if (number == -1 && PyErr_Occurred()) {
        return FAILURE;
    }
    if (number == 0 || (op->begun && number == EISCONN)) {
        if (op->count && is_its_own_peer(handle)) {
            return handle_failed(handle, WRITING, ECONNREFUSED);
        }
        handle_begin_anew(handle);
        return done_none(result);
    }
    if (number == EAGAIN) { /* a UNIX listener's queue is full: no connect is in progress, and no event follows */
        return exhausted(handle, number, strerror(number));
    }
    if (number == EINPROGRESS || number == EALREADY || number == EINTR) {
        if (!op->begun) {
            handle_begin_anew(handle);
        }
        op->begun = 1;
        return BLOCKED;
    }
    op->begun = 1;
    return handle_failed(handle, WRITING, number);
}

static Outcome
wait_for(Handle *handle, short events, PyObject **result)
{
    struct pollfd look = {.fd = handle->fd, .events = events};
    int found;
    RETRY_ON_EINTR(found, poll(&look, 1, 0));
    if (found < 0) {
        return system_error();
    }
    return found == 0 ? BLOCKED : done_none(result);
}

static Outcome
attempt_wait_readable(Operation *op, PyObject **result)
{
    PyObject *list = handle_kept(op->handle);
    if (list != NULL && PyList_GET_SIZE(list) > 0) {
        return done_none(result);
    }
    return PyErr_Occurred() ? FAILURE : wait_for(op->handle, POLLIN, result);
}

static Outcome
attempt_wait_writable(Operation *op, PyObject **result)
{
    return wait_for(op->handle, POLLOUT, result);
}

static Outcome
attempt_nothing(Operation *op, PyObject **result)
{
    return done(Py_NewRef(op->argument), result);
}

Outcome
attempt(Operation *op, PyObject **result)
{
    static Outcome (*const attempts[])(Operation *, PyObject **) = {
        [RECV] = attempt_recv,
        [RECV_INTO] = attempt_recv_into,
        [RECVFROM] = attempt_recvfrom,
        [RECVFROM_INTO] = attempt_recvfrom_into,
        [ACCEPT] = attempt_accept,
        [WAIT_READABLE] = attempt_wait_readable,
        [NOTHING] = attempt_nothing,
        [SEND] = attempt_send,
        [SENDALL] = attempt_sendall,
        [SENDTO] = attempt_sendto,
        [SENDFILE] = attempt_sendfile,
        [CONNECT] = attempt_connect,
        [WAIT_WRITABLE] = attempt_wait_writable,
    };
    return attempts[op->kind](op, result);
}
