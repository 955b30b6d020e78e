/* The handles of a poller by descriptor, and what epoll watches on each.

   An event carries the descriptor and the identity of its socket, so it never reaches a later socket of that number.
   Knows how handles are made and displaced. Must not know how the poller waits, or what an event does. */

#include "attached.h"
#include "closing.h"
#include "faces.h"
#include "sock.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* We conclude from a short receive that the socket is empty. This is wrong if a FIN came with the data or if an urgent
   mark is inside it, and no second edge follows (tcp(7), epoll(7)). So events for both are always requested. */
#define ALWAYS ((uint32_t)(EPOLLET | EPOLLRDHUP | EPOLLPRI))

static int
make_room(Poller *poller, int fd)
{
    if (fd < poller->handles_size) {
        return 0;
    }
    /* Double the table, but not beyond INT_MAX: the caller may pass any number as a descriptor. */
    size_t size = poller->handles_size > 0 ? (size_t)poller->handles_size : 64;
    while (size <= (size_t)fd) {
        size *= 2;
    }
    size = size > INT_MAX ? INT_MAX : size;
    if ((size_t)fd >= size) {
        PyErr_Format(PyExc_OverflowError, "fd %d is larger than any descriptor", fd);
        return -1;
    }
    Handle **handles = PyMem_Realloc(poller->handles, size * sizeof *handles);
    if (handles == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = (size_t)poller->handles_size; i < size; i++) {
        handles[i] = NULL;
    }
    poller->handles = handles;
    poller->handles_size = (int)size;
    return 0;
}

/* Close the handle that had this number before: somebody else has closed its descriptor, or taken it over. Runs foreign
   code. */
static int
displace(Poller *poller, int fd, PyObject *sock)
{
    Handle *stale;
    while ((stale = handle_at(poller, fd)) != NULL) {
        if (sock != NULL && stale->sock == sock) {
            PyErr_Format(PyExc_ValueError, "fd %d is attached already", fd);
            return -1;
        }
        handle_displace(stale);
    }
    return poller_check(poller);
}

/* Attach an open, non-blocking descriptor. Returns a new reference; the table has its own. */
Handle *
poller_admit(Engine *engine, int fd, PyObject *sock, int family, bool drains)
{
    Poller *poller = (Poller *)engine;
    uint32_t identity;
    if (poller_check(poller) < 0 || make_room(poller, fd) < 0) {
        return NULL;
    }
    if (sock_identity(fd, &identity) < 0) {
        return (Handle *)PyErr_SetFromErrno(PyExc_OSError);
    }
    Handle *handle = handle_new(engine, fd, identity, sock, family, drains);
    if (handle == NULL) {
        return NULL;
    }
    if (displace(poller, fd, sock) < 0) { /* last, since the calls above may have run foreign code */
        handle->fd = -1;
        Py_DECREF(handle);
        return NULL;
    }
    poller->handles[fd] = (Handle *)Py_NewRef(handle);
    poller->attached++;
    return handle;
}

static int
control(const Handle *handle, int what, int watched)
{
    struct epoll_event event = {
        .events = (uint32_t)watched | ALWAYS,
        .data.u64 = (uint64_t)handle->identity << 32 | (uint32_t)handle->fd,
    };
    return epoll_ctl(poller_of(handle)->epoll_fd, what, handle->fd, &event);
}

int
poller_arm(Handle *handle, int bit)
{
    int armed = handle->armed & WATCHED;
    int status = control(handle, armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, armed | bit);
    if (status < 0 && !armed && errno == EEXIST) { /* an earlier handle had the same socket */
        status = control(handle, EPOLL_CTL_MOD, bit);
    }
    if (status < 0 && armed && errno == ENOENT) { /* somebody else has closed it, which removed its registration */
        PyErr_SetNone(handle->engine->state->closed_error);
    } else if (status < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
    }
    if (status < 0) {
        return -1;
    }
    handle->armed |= (uint8_t)bit;
    return 0;
}

void
poller_arm_again(Handle *handle)
{
    int armed = handle->armed & WATCHED;
    if (armed != 0 && handle->fd >= 0 && !poller_of(handle)->forked) {
        (void)control(handle, EPOLL_CTL_MOD, armed); /* it fails if somebody else has closed it */
    }
}

/* Unregistering is explicit, since a duplicated or inherited descriptor would keep the socket registered after
   close(2). In a forked child the registration belongs to the parent. */
void
poller_forget(Handle *handle)
{
    Poller *poller = poller_of(handle);
    if (handle_at(poller, handle->fd) != handle) {
        return;
    }
    if (handle->armed & WATCHED && !poller->forked) {
        (void)control(handle, EPOLL_CTL_DEL, 0);
    }
    poller->handles[handle->fd] = NULL;
    poller->attached--;
    Py_DECREF(handle);
}

/* Read an attribute of a socket object that is a number. -1 and an exception on failure. */
static int
number_of(State *state, PyObject *sock, Name attribute, int *number)
{
    PyObject *value = PyObject_GetAttr(sock, state->names[attribute]);
    long found = value != NULL ? PyLong_AsLong(value) : -1;
    Py_XDECREF(value);
    *number = (int)found;
    return found == -1 && PyErr_Occurred() ? -1 : 0;
}

static int
descriptor_of(State *state, PyObject *sock, int *fd)
{
    PyObject *value = call(state, sock, NAME_FILENO, NULL, NULL, NULL);
    long found = value != NULL ? PyLong_AsLong(value) : -1;
    Py_XDECREF(value);
    *fd = found > INT_MAX ? -1 : (int)found;
    return found == -1 && PyErr_Occurred() ? -1 : 0;
}

PyObject *
poller_attach(PyObject *self, PyObject *sock)
{
    Poller *poller = (Poller *)self;
    State *state = poller->engine.state;
    int family, type, proto, fd;
    if (number_of(state, sock, NAME_FAMILY, &family) < 0 || number_of(state, sock, NAME_TYPE, &type) < 0 ||
        number_of(state, sock, NAME_PROTO, &proto) < 0 || poller_check(poller) < 0 || descriptor_of(state, sock, &fd) < 0) {
        return NULL;
    }
    if (fd < 0) {
        PyErr_SetNone(state->closed_error);
        return NULL;
    }
    PyObject *done = call(state, sock, NAME_SETBLOCKING, Py_False, NULL, NULL);
    if (done == NULL) {
        return NULL;
    }
    Py_DECREF(done);
    bool tcp = (family == AF_INET || family == AF_INET6) && type == SOCK_STREAM && (proto == 0 || proto == IPPROTO_TCP);
    Handle *handle = poller_admit(&poller->engine, fd, sock, family, tcp);
    if (handle != NULL && type == SOCK_STREAM) {
        handle->armed |= STREAM;
    }
    return (PyObject *)handle;
}
