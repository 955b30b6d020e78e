/* The standard library's socket objects, and who owns their descriptors.

   socket.socket is a Python class that derives from a C class. A signal handler may raise inside any Python method, and
   a socket object that dies closes its descriptor, which may belong to another socket by then. So only methods of the C
   class put descriptors into socket objects, take them out and close them. If a finalizer may run in such a call, its
   changes are looked at afterwards.
   Knows the record of a handle. Must not know operations. */

#include "sock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int
socks_learn(State *state)
{
    state->socket_class = (PyTypeObject *)taken_from("socket", "socket");
    state->socket_base = (PyTypeObject *)taken_from("_socket", "socket");
    if (state->socket_class == NULL || state->socket_base == NULL) {
        return -1;
    }
    if (!PyType_Check(state->socket_class) || !PyType_IsSubtype(state->socket_class, state->socket_base)) {
        PyErr_SetString(PyExc_ImportError, "socket.socket is not CPython's socket class");
        return -1;
    }
    state->base_accept = PyObject_GetAttrString((PyObject *)state->socket_base, "_accept");
    state->base_close = PyObject_GetAttrString((PyObject *)state->socket_base, "close");
    state->base_detach = PyObject_GetAttrString((PyObject *)state->socket_base, "detach");
    return state->base_accept != NULL && state->base_close != NULL && state->base_detach != NULL ? 0 : -1;
}

/* Set the attributes that socket.socket keeps in Python, beside the state in C. */
static int
mark(State *state, PyObject *sock, bool closed)
{
    PyObject *none = PyLong_FromLong(0);
    int status = -1;
    if (none != NULL && (closed || PyObject_SetAttr(sock, state->names[NAME_IO_REFS], none) == 0)) {
        status = PyObject_SetAttr(sock, state->names[NAME_CLOSED_MARK], closed ? Py_True : Py_False);
    }
    Py_XDECREF(none);
    return status;
}

void
sock_drop(State *state, PyObject *sock)
{
    PyObject *error = error_take();
    bool is_sock = PyObject_TypeCheck(sock, state->socket_base); /* else pollers/file.py has made it */
    PyObject *fd =
        is_sock ? PyObject_CallOneArg(state->base_detach, sock) : call(state, sock, NAME_DETACH, NULL, NULL, NULL);
    if (fd == NULL || (is_sock && mark(state, sock, true) < 0)) {
        PyErr_WriteUnraisable(sock);
    }
    Py_XDECREF(fd);
    Py_DECREF(sock);
    error_put(error);
}

PyObject *
sock_of(State *state, int fd)
{
    PyObject *nothing = PyTuple_New(0);
    PyObject *number = nothing != NULL ? PyLong_FromLong(fd) : NULL;
    PyObject *keywords = number != NULL ? PyDict_New() : NULL;
    PyObject *sock = NULL;
    if (keywords != NULL && PyDict_SetItem(keywords, PyTuple_GET_ITEM(state->fileno_only, 0), number) == 0) {
        sock = state->socket_base->tp_new(state->socket_class, nothing, NULL);
    }
    if (sock != NULL && (mark(state, sock, false) < 0 || state->socket_base->tp_init(sock, nothing, keywords) < 0)) {
        sock_drop(state, sock);
        sock = NULL;
    }
    Py_XDECREF(keywords);
    Py_XDECREF(number);
    Py_XDECREF(nothing);
    return sock;
}

static int
make_non_blocking(State *state, PyObject *sock)
{
    PyObject *done = call(state, sock, NAME_SETBLOCKING, Py_False, NULL, NULL);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

PyObject *
handle_sock(Handle *handle)
{
    State *state = handle->engine->state;
    while (handle->sock == NULL) {
        int fd = handle->fd;
        if (fd < 0) {
            PyErr_SetNone(state->closed_error);
            return NULL;
        }
        PyObject *sock = sock_of(state, fd);
        if (sock == NULL) {
            return NULL;
        }
        if (make_non_blocking(state, sock) < 0) {
            sock_drop(state, sock);
            return NULL;
        }
        if (handle->fd != fd || handle->sock != NULL) { /* a finalizer has changed the handle */
            sock_drop(state, sock);
            continue;
        }
        handle->sock = sock;
        handle->first_sock = !handle->made_sock;
        handle->made_sock = 1;
    }
    return Py_NewRef(handle->sock);
}

PyObject *
sock_of_duplicate(Handle *handle)
{
    State *state = handle->engine->state;
    int fd = fcntl(handle->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    PyObject *sock = sock_of(state, fd);
    if (sock == NULL) {
        (void)close(fd); /* it does not wait, since the other descriptor stays open */
        return NULL;
    }
    if (make_non_blocking(state, sock) < 0) {
        sock_discard(state, sock);
        return NULL;
    }
    return sock;
}

void
sock_give_up(Handle *handle)
{
    if (handle->sock != NULL && Py_REFCNT(handle->sock) == 1) {
        PyObject *sock = handle->sock;
        handle->sock = NULL;
        handle->first_sock = 0;
        sock_drop(handle->engine->state, sock);
    }
}

/* Return whether files of socket.makefile() are still open. The last of them closes the socket. */
static bool
has_files(State *state, PyObject *sock)
{
    PyObject *count = PyObject_GetAttr(sock, state->names[NAME_IO_REFS]);
    long files = count != NULL ? PyLong_AsLong(count) : 0;
    Py_XDECREF(count);
    PyErr_Clear();
    return files > 0;
}

/* The identity of a file that is no socket has this bit, so that it never equals that of a socket. */
#define NO_SOCKET ((uint32_t)1 << 31)

int
sock_identity(int fd, uint32_t *identity)
{
#ifdef SO_COOKIE
    uint64_t cookie;
    socklen_t size = sizeof cookie;
    if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0) {
        *identity = (uint32_t)cookie & ~NO_SOCKET;
        return 0;
    }
    if (errno != ENOPROTOOPT && errno != ENOTSOCK) {
        return -1;
    }
#endif
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return -1;
    }
    *identity = ((uint32_t)status.st_ino & ~NO_SOCKET) | (S_ISSOCK(status.st_mode) ? 0 : NO_SOCKET);
    return 0;
}

bool
sock_is_ours(Handle *handle, int fd)
{
    uint32_t identity;
    return sock_identity(fd, &identity) == 0 && identity == handle->identity;
}

/* Switch SO_LINGER off, since it makes close(2) wait for the peer even if the socket is non-blocking. The kernel still
   sends the data that it has taken. A linger time of 0 seconds stays: it resets the connection without a wait. */
static void
stop_lingering(int fd)
{
    struct linger linger;
    socklen_t size = sizeof linger;
    if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0 && linger.l_onoff != 0 && linger.l_linger != 0) {
        linger.l_onoff = 0;
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
}

/* Close a descriptor without the GIL. Keeps the current exception. */
static void
descriptor_close(int fd)
{
    Py_BEGIN_ALLOW_THREADS
    (void)close(fd);
    Py_END_ALLOW_THREADS
}

void
descriptor_drop(int fd)
{
    stop_lingering(fd);
    descriptor_close(fd);
}

void
sock_discard(State *state, PyObject *sock)
{
    PyObject *error = error_take();
    PyObject *done = PyObject_CallOneArg(state->base_close, sock);
    if (done == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(done);
    Py_DECREF(sock);
    error_put(error);
}

static PyObject *
close_object(State *state, PyObject *sock)
{
    if (!Py_IS_TYPE(sock, state->socket_class)) { /* a subclass may do more */
        return call(state, sock, NAME_CLOSE, NULL, NULL, NULL);
    }
    if (mark(state, sock, true) < 0) {
        return NULL;
    }
    return has_files(state, sock) ? Py_NewRef(Py_None) : PyObject_CallOneArg(state->base_close, sock);
}

int
sock_close(Handle *handle, int fd)
{
    State *state = handle->engine->state;
    bool ours = sock_is_ours(handle, fd);
    PyObject *sock = handle->sock;
    if (ours && !(handle->armed & DETACHED)) {
        stop_lingering(fd);
    }
    if (sock == NULL) {
        if (ours) {
            descriptor_close(fd);
        }
        return 0;
    }
    Py_INCREF(sock);
    if (!ours) {
        sock_drop(state, sock);
        return 0;
    }
    PyObject *done = close_object(state, sock);
    if (done == NULL && PyErr_ExceptionMatches(PyExc_OSError)) { /* it is closed nevertheless */
        PyErr_Clear();
        done = Py_NewRef(Py_None);
    }
    Py_DECREF(sock);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}
