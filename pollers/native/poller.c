/* The poller: waits for edges, tries again what is parked, returns what has finished.

   An edge names its handle by descriptor and socket, so it never reaches another one of the same number. Wake-ups
   and signals come through a socket pair, since signal.set_wakeup_fd writes single bytes, which an eventfd refuses. */

#include "native.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <netinet/in.h>
#include <structmember.h>
#include <time.h>
#include <unistd.h>

/* Short receives are taken for an empty socket: a FIN that came with the data, or an urgent mark inside it, makes that
   wrong, and no second edge would tell (tcp(7), epoll(7)). So both are asked for. */
#define ALWAYS ((uint32_t)(EPOLLET | EPOLLRDHUP | EPOLLPRI))

/* The wake-up descriptor's event. No handle has descriptor 2^32 - 1. */
#define WAKEUP UINT64_C(0xffffffff)

/* poll() may return early, and epoll_wait takes an int of milliseconds. */
#define WAIT_MAX_S 86400.0

/* Refusals. */

void
poller_forked_error(Poller *poller)
{
    PyErr_Format(PyExc_RuntimeError,
                 "this epoll poller was made in process %ld; after a fork, use it there, "
                 "or make a new poller and new sockets here",
                 (long)poller->pid);
}

static int
check(Poller *poller)
{
    if (poller->forked) {
        poller_forked_error(poller);
    } else if (poller->shut) {
        PyErr_SetString(PyExc_RuntimeError, "this epoll poller has been shut down");
    } else {
        return 0;
    }
    return -1;
}

/* Handles. */

static int
make_room(Poller *poller, int fd)
{
    if (fd < poller->handles_size) {
        return 0;
    }
    /* Twice what there was, but no more than numbers there are, whatever number somebody calls a descriptor. */
    size_t size = poller->handles_size > 0 ? (size_t)poller->handles_size : 64;
    while (size <= (size_t)fd) {
        size *= 2;
    }
    size = size > INT_MAX ? INT_MAX : size;
    if ((size_t)fd >= size) {
        PyErr_Format(PyExc_OverflowError, "fd %d is more than there can be", fd);
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

static Handle *
handle_at(Poller *poller, int fd)
{
    return fd >= 0 && fd < poller->handles_size ? poller->handles[fd] : NULL;
}

/* Whoever had this number before is closed: somebody else has closed its descriptor, or taken it over. Runs code of
   others. */
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
    return check(poller);
}

/* Attach an open, non-blocking descriptor. Returns a new reference, beside the one of the table. */
Handle *
poller_admit(Poller *poller, int fd, PyObject *sock, int family, bool drains)
{
    uint32_t identity;
    if (check(poller) < 0 || make_room(poller, fd) < 0) {
        return NULL;
    }
    if (sock_identity(fd, &identity) < 0) {
        return (Handle *)PyErr_SetFromErrno(PyExc_OSError);
    }
    Handle *handle = handle_new(poller, fd, identity, sock, family, drains);
    if (handle == NULL) {
        return NULL;
    }
    if (displace(poller, fd, sock) < 0) { /* after what may have run code of others */
        handle->fd = -1;
        Py_DECREF(handle);
        return NULL;
    }
    poller->handles[fd] = (Handle *)Py_NewRef(handle);
    poller->attached++;
    return handle;
}

static int
control(Poller *poller, Handle *handle, int what, int watched)
{
    struct epoll_event event = {
        .events = (uint32_t)watched | ALWAYS,
        .data.u64 = (uint64_t)handle->identity << 32 | (uint32_t)handle->fd,
    };
    return epoll_ctl(poller->epoll_fd, what, handle->fd, &event);
}

/* Report `bit` of this handle from now on, at once if it is true already. -1: an exception that is its operation's. */
int
poller_arm(Poller *poller, Handle *handle, int bit)
{
    int armed = handle->armed & WATCHED;
    int status = control(poller, handle, armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, armed | bit);
    if (status < 0 && !armed && errno == EEXIST) { /* that of a handle which had the same socket */
        status = control(poller, handle, EPOLL_CTL_MOD, bit);
    }
    if (status < 0 && armed && errno == ENOENT) { /* somebody else has closed it, and its registration has gone */
        PyErr_SetNone(poller->state->closed_error);
    } else if (status < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
    }
    if (status < 0) {
        return -1;
    }
    handle->armed |= (uint8_t)bit;
    return 0;
}

/* Have what is true now reported once more. */
void
poller_arm_again(Poller *poller, Handle *handle)
{
    int armed = handle->armed & WATCHED;
    if (armed != 0 && handle->fd >= 0 && !poller->forked) {
        (void)control(poller, handle, EPOLL_CTL_MOD, armed); /* fails where somebody else has closed it */
    }
}

/* Stop reporting a handle that is about to be closed: a descriptor that was dup'ed or inherited would keep its
   registration past close(2). In a forked child the registration is the parent's. */
void
poller_forget(Poller *poller, Handle *handle)
{
    if (handle_at(poller, handle->fd) != handle) {
        return;
    }
    if (handle->armed & WATCHED && !poller->forked) {
        (void)control(poller, handle, EPOLL_CTL_DEL, 0);
    }
    poller->handles[handle->fd] = NULL;
    poller->attached--;
    Py_DECREF(handle);
}

/* Read a number of the standard library's socket: -1 and an exception on failure. */
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

static PyObject *
poller_attach(PyObject *self, PyObject *sock)
{
    Poller *poller = (Poller *)self;
    State *state = poller->state;
    int family, type, proto, fd;
    if (number_of(state, sock, NAME_FAMILY, &family) < 0 || number_of(state, sock, NAME_TYPE, &type) < 0 ||
        number_of(state, sock, NAME_PROTO, &proto) < 0 || check(poller) < 0 || descriptor_of(state, sock, &fd) < 0) {
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
    Handle *handle = poller_admit(poller, fd, sock, family, tcp);
    if (handle != NULL && type == SOCK_STREAM) {
        handle->armed |= STREAM;
    }
    return (PyObject *)handle;
}

/* Wake-ups. */

static int
wake(Poller *poller)
{
    if (poller->woken) {
        return 0;
    }
    poller->woken = true;
    if (poller->waiting == 0) {
        return 0;
    }
    poller->wakeups++;
    ssize_t sent = send(poller->wake_sender, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 && errno != EAGAIN ? -1 : 0; /* EAGAIN: full of wake-ups that were not read yet */
}

static PyObject *
poller_wakeup(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Poller *poller = (Poller *)self;
    if (check(poller) < 0) {
        return NULL;
    }
    if (wake(poller) < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

static void
drain_wakeups(Poller *poller)
{
    char bytes[512];
    while (recv(poller->wake_receiver, bytes, sizeof bytes, MSG_DONTWAIT) == (ssize_t)sizeof bytes) {
    }
}

/* What has finished. */

/* poll() will return this way of the handle. */
void
poller_queue(Poller *poller, Handle *handle, int way)
{
    handle->finished |= 1u << way & 3;
    if (handle->queued) {
        return;
    }
    handle->queued = 1;
    handle->next_finished = NULL;
    Py_INCREF(handle);
    if (poller->finished_first == NULL) {
        poller->finished_first = handle;
    } else {
        poller->finished_last->next_finished = handle;
    }
    poller->finished_last = handle;
}

/* As if an event had ended it. */
void
poller_finish(Poller *poller, Handle *handle, int way)
{
    poller_queue(poller, handle, way);
    (void)wake(poller); /* it fails when the poller has been shut down, and then nobody waits */
}

static void
unqueue_first(Poller *poller)
{
    Handle *handle = poller->finished_first;
    poller->finished_first = handle->next_finished;
    handle->next_finished = NULL;
    handle->queued = 0;
    Py_DECREF(handle);
}

/* Return the waiters of what has finished, and forget them. Those of operations that were dropped since are not among
   them. Lists are made before anything is taken, so that nothing is lost without memory. */
static PyObject *
take_finished(Poller *poller)
{
    Py_ssize_t count = 0, taken = 0;
    for (Handle *handle = poller->finished_first; handle != NULL; handle = handle->next_finished) {
        count += (handle->finished & 1 << READING) != 0;
        count += (handle->finished & 1 << WRITING) != 0;
    }
    PyObject *waiters = PyList_New(count);
    if (waiters == NULL) {
        return NULL;
    }
    while (taken < count && poller->finished_first != NULL) { /* unqueueing may run code of others, which adds to it */
        Handle *handle = poller->finished_first;
        if (handle->finished == 0) {
            unqueue_first(poller);
            continue;
        }
        int way = handle->finished & 1 << WRITING ? WRITING : READING; /* in the order in which they were tried */
        handle->finished &= ~(1u << way) & 3;
        if (handle->waiter[way] != NULL) {
            PyList_SET_ITEM(waiters, taken++, Py_NewRef(handle->waiter[way]));
        }
    }
    while (poller->finished_first != NULL && poller->finished_first->finished == 0) {
        unqueue_first(poller);
    }
    Py_SET_SIZE(waiters, taken); /* the rest is empty */
    return waiters;
}

/* Waiting. */

static double
now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Wait for events; return how many, -1 and an exception on failure. A signal's handler runs, then the wait goes on. */
static int
wait_for_events(Poller *poller, struct epoll_event *events, int limit, double timeout_s)
{
    double until_s = timeout_s > 0 ? now_s() + timeout_s : 0;
    for (;;) {
        int count, number;
        if (timeout_s <= 0 || poller->woken || poller->finished_first != NULL) {
            count = epoll_wait(poller->epoll_fd, events, limit, 0);
            number = errno;
        } else {
            int timeout_ms = (int)ceil(timeout_s * 1000);
            Py_BEGIN_ALLOW_THREADS
            count = epoll_wait(poller->epoll_fd, events, limit, timeout_ms);
            number = errno;
            Py_END_ALLOW_THREADS
        }
        if (count >= 0) {
            return count;
        }
        if (number != EINTR) {
            errno = number;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        if (PyErr_CheckSignals() < 0 || check(poller) < 0) {
            return -1;
        }
        timeout_s = until_s > 0 ? until_s - now_s() : 0;
    }
}

/* Try again what is parked on the handle; false when that raised what is none of an operation's errors. */
static bool
handle_event(Poller *poller, Handle *handle, uint32_t bits)
{
    bool broken = false;
    if (bits & ~(uint32_t)WATCHED) {
        handle->armed &= (uint8_t)~DRAINS; /* the end may be queued behind the data, and no second edge will tell */
    }
    if (bits != EPOLLIN) {
        handle_try_again(handle, WRITING, true, &broken);
    }
    if (!broken && bits != EPOLLOUT) {
        if (handle_leave(handle)) {
            poller_queue(poller, handle, READING);
        } else {
            handle_try_again(handle, READING, true, &broken);
        }
    }
    return !broken;
}

static int
dispatch(Poller *poller, const struct epoll_event *events, int count)
{
    bool broken = false;
    for (int i = 0; i < count; i++) {
        uint64_t name = events[i].data.u64;
        if (name == WAKEUP) {
            drain_wakeups(poller);
            continue;
        }
        Handle *handle = handle_at(poller, (int)(uint32_t)name);
        if (handle == NULL || handle->identity != name >> 32) {
            continue;
        }
        Py_INCREF(handle);
        if (!broken) {
            broken = !handle_event(poller, handle, events[i].events);
        }
        if (broken) { /* edges come once: ask for this one and the rest again */
            poller_arm_again(poller, handle);
        }
        Py_DECREF(handle);
    }
    return broken ? -1 : 0;
}

/* Read poll()'s arguments; *timeout_s is never infinite. */
static int
poll_arguments(PyObject *const *args, Py_ssize_t nargs, double *timeout_s, int *limit)
{
    if (argument_count("poll", nargs, 0, 2) < 0) {
        return -1;
    }
    *timeout_s = WAIT_MAX_S;
    *limit = EVENTS_MAX;
    if (nargs > 0 && args[0] != Py_None) {
        double given = PyFloat_AsDouble(args[0]);
        if (given == -1.0 && PyErr_Occurred()) {
            return -1;
        }
        if (isnan(given)) {
            PyErr_SetString(PyExc_ValueError, "a timeout must not be NaN");
            return -1;
        }
        *timeout_s = given < 0 || given > WAIT_MAX_S ? WAIT_MAX_S : given;
    }
    if (nargs > 1) {
        Py_ssize_t given = PyNumber_AsSsize_t(args[1], NULL);
        if (given == -1 && PyErr_Occurred()) {
            return -1;
        }
        if (given < 1) {
            PyErr_Format(PyExc_ValueError, "the limit must be positive, not %R", args[1]);
            return -1;
        }
        *limit = given < EVENTS_MAX ? (int)given : EVENTS_MAX;
    }
    return 0;
}

static PyObject *
poller_poll(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Poller *poller = (Poller *)self;
    struct epoll_event events[EVENTS_MAX];
    double timeout_s;
    int limit;
    if (check(poller) < 0 || poll_arguments(args, nargs, &timeout_s, &limit) < 0) {
        return NULL;
    }
    operations_reserve_stop(poller->state);
    poller->polls++;
    /* Up before the GIL is let go: whoever wakes us later sees it and writes. */
    poller->waiting++;
    int count = wait_for_events(poller, events, limit, timeout_s);
    poller->waiting--;
    poller->woken = false;
    if (count < 0) {
        return NULL;
    }
    poller->events += count;
    poller->received = 0;
    /* Handlers of signals run here rather than when we have returned: were one to raise there, the list would be lost. */
    if (dispatch(poller, events, count) < 0 || PyErr_CheckSignals() < 0) {
        return NULL;
    }
    return take_finished(poller);
}

/* The rest of the interface. */

static PyObject *
poller_fileno(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Poller *poller = (Poller *)self;
    if (poller->epoll_fd < 0) {
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed epoll object");
        return NULL;
    }
    return PyLong_FromLong(poller->epoll_fd);
}

static PyObject *
poller_wakeup_fileno(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(((Poller *)self)->wake_sender);
}

static PyObject *
poller_stats(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Poller *poller = (Poller *)self;
    int parked = 0;
    for (int fd = 0; fd < poller->handles_size; fd++) {
        Handle *handle = poller->handles[fd];
        if (handle != NULL) {
            parked += (handle->state[READING] == PARKED) + (handle->state[WRITING] == PARKED);
        }
    }
    return PyObject_CallFunction(poller->state->stats_class, "iinnn", poller->attached, parked, poller->polls,
                                 poller->events, poller->wakeups);
}

static void
close_own_descriptors(Poller *poller)
{
    int *const descriptors[] = {&poller->wake_receiver, &poller->wake_sender, &poller->epoll_fd};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(descriptors); i++) {
        if (*descriptors[i] >= 0) {
            (void)close(*descriptors[i]);
            *descriptors[i] = -1;
        }
    }
}

static PyObject *
poller_shutdown(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Poller *poller = (Poller *)self;
    if (!poller->shut) {
        for (int fd = 0; fd < poller->handles_size; fd++) { /* closing runs code of others: look afresh each time */
            Handle *handle = poller->handles[fd];
            if (handle != NULL && handle_close(handle) < 0) {
                PyErr_WriteUnraisable(self);
            }
        }
        poller->shut = true;
        close_own_descriptors(poller);
    }
    return take_finished(poller);
}

static PyObject *
poller_share(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Poller *poller = (Poller *)self;
    if (check(poller) < 0) {
        return NULL;
    }
    poller->shared = true;
    Py_RETURN_NONE;
}

static PyObject *
poller_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<native epoll poller, %d handles>", ((Poller *)self)->attached);
}

static PyObject *
get_name(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    return PyUnicode_InternFromString("epoll");
}

static PyObject *
get_streak(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(streak);
}

static int
set_streak(PyObject *Py_UNUSED(self), PyObject *value, void *Py_UNUSED(closure))
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "a poller always has a streak");
        return -1;
    }
    Py_ssize_t given = PyLong_AsSsize_t(value);
    if (given == -1 && PyErr_Occurred()) {
        return -1;
    }
    streak = given;
    return 0;
}

/* Forks. */

void
pollers_after_fork(State *state)
{
    for (Poller *poller = state->pollers; poller != NULL; poller = poller->next) {
        poller->forked = true;
        for (int fd = 0; fd < poller->handles_size; fd++) {
            Handle *handle = poller->handles[fd];
            if (handle != NULL) {
                handle->state[READING] |= FORKED;
                handle->state[WRITING] |= FORKED;
            }
        }
    }
}

static void
enlist(Poller *poller)
{
    State *state = poller->state;
    poller->previous = NULL;
    poller->next = state->pollers;
    if (state->pollers != NULL) {
        state->pollers->previous = poller;
    }
    state->pollers = poller;
}

static void
delist(Poller *poller)
{
    if (poller->previous != NULL) {
        poller->previous->next = poller->next;
    } else {
        poller->state->pollers = poller->next;
    }
    if (poller->next != NULL) {
        poller->next->previous = poller->previous;
    }
}

/* The type. */

static int
open_descriptors(Poller *poller)
{
    int pair[2];
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKEUP};
    poller->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (poller->epoll_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
        return -1;
    }
    poller->wake_receiver = pair[0];
    poller->wake_sender = pair[1];
    return epoll_ctl(poller->epoll_fd, EPOLL_CTL_ADD, poller->wake_receiver, &event);
}

static PyObject *
poller_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) > 0 || (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0)) {
        PyErr_SetString(PyExc_TypeError, "a poller takes no arguments");
        return NULL;
    }
    PyObject *module = PyType_GetModule(type);
    if (module == NULL) {
        return NULL;
    }
    Poller *poller = (Poller *)type->tp_alloc(type, 0); /* all zeros */
    if (poller == NULL) {
        return NULL;
    }
    poller->module = Py_NewRef(module);
    poller->state = PyModule_GetState(module);
    poller->epoll_fd = poller->wake_receiver = poller->wake_sender = -1;
    poller->pid = getpid();
    streak = 0;
    enlist(poller);
    if (open_descriptors(poller) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_CLEAR(poller);
    }
    return (PyObject *)poller;
}

static int
poller_traverse(PyObject *self, visitproc visit, void *arg)
{
    Poller *poller = (Poller *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(poller->module);
    Py_VISIT(poller->kept);
    for (int fd = 0; fd < poller->handles_size; fd++) {
        Py_VISIT(poller->handles[fd]);
    }
    for (Handle *handle = poller->finished_first; handle != NULL; handle = handle->next_finished) {
        Py_VISIT(handle);
    }
    return 0;
}

/* Not the module: whatever still has a handle uses its state. */
static int
poller_clear(PyObject *self)
{
    Poller *poller = (Poller *)self;
    Py_CLEAR(poller->kept);
    for (int fd = 0; fd < poller->handles_size; fd++) {
        if (poller->handles[fd] != NULL) {
            poller->attached--;
            Py_CLEAR(poller->handles[fd]);
        }
    }
    while (poller->finished_first != NULL) {
        unqueue_first(poller);
    }
    return 0;
}

static void
poller_dealloc(PyObject *self)
{
    Poller *poller = (Poller *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (poller->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    poller_clear(self);
    delist(poller);
    close_own_descriptors(poller); /* silently: an OS thread may end without a word, and its poller with it */
    Py_CLEAR(poller->spare);
    Py_CLEAR(poller->host);
    PyMem_Free(poller->handles);
    Py_DECREF(poller->module);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef poller_methods[] = {
    {"attach", poller_attach, METH_O, PyDoc_STR("Take over a socket for good; return its handle.")},
    {"poll", (PyCFunction)(void (*)(void))poller_poll, METH_FASTCALL,
     PyDoc_STR("Return the waiters whose operation has finished; wait for the first.")},
    {"wakeup", poller_wakeup, METH_NOARGS, PyDoc_STR("Make poll() return soon.")},
    {"wakeup_fileno", poller_wakeup_fileno, METH_NOARGS, PyDoc_STR("A descriptor for signal.set_wakeup_fd.")},
    {"fileno", poller_fileno, METH_NOARGS, PyDoc_STR("The epoll descriptor.")},
    {"stats", poller_stats, METH_NOARGS, PyDoc_STR("The poller's counters.")},
    {"share", poller_share, METH_NOARGS, PyDoc_STR("From now on several OS threads use it.")},
    {"shutdown", poller_shutdown, METH_NOARGS, PyDoc_STR("Close what is attached; return whose operations this has ended.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef poller_attributes[] = {
    {"name", get_name, NULL, PyDoc_STR("What the kernel calls it."), NULL},
    {"streak", get_streak, set_streak, PyDoc_STR("Operations that finished at once, in a row."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef poller_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Poller, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot poller_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("epoll(7), in C: the contract of pollers.operation.Poller.")},
    {Py_tp_new, poller_new},
    {Py_tp_dealloc, poller_dealloc},
    {Py_tp_traverse, poller_traverse},
    {Py_tp_clear, poller_clear},
    {Py_tp_repr, poller_repr},
    {Py_tp_methods, poller_methods},
    {Py_tp_getset, poller_attributes},
    {Py_tp_members, poller_members},
    {0, NULL},
};

PyType_Spec poller_spec = {
    .name = "pollers._native.Native",
    .basicsize = sizeof(Poller),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = poller_slots,
};
