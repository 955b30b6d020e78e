/* The poller: it waits for edges, tries parked operations again, and returns the waiters of those that have finished.

   Wake-ups and signals arrive through a socket pair, since signal.set_wakeup_fd() writes single bytes, which an eventfd
   refuses.
   Knows what an event does to a handle; fills in the calls of an engine. Must not know what an operation is made of. */

#include "epoll.h"
#include "attached.h"
#include "finished.h"
#include "operation.h"
#include "parking.h"
#include "steps.h"

#include <errno.h>
#include <math.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The event data of the wake-up descriptor. No handle has descriptor 2^32 - 1. */
#define WAKEUP UINT64_C(0xffffffff)

/* poll() may return early, and epoll_wait takes an int of milliseconds. */
#define WAIT_MAX_S 86400.0

/* Room for one event per connection that is ready, on the stack of poll(). */
#define EVENTS_MAX 256

/* Waiting. */

static double
now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Wait for events. Returns how many; -1 and an exception on failure. Signal handlers run, then the wait continues. */
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
        if (PyErr_CheckSignals() < 0 || poller_check(poller) < 0) {
            return -1;
        }
        timeout_s = until_s > 0 ? until_s - now_s() : 0;
    }
}

static void
drain_wakeups(Poller *poller)
{
    char bytes[512];
    while (recv(poller->wake_receiver, bytes, sizeof bytes, MSG_DONTWAIT) == (ssize_t)sizeof bytes) {
    }
}

/* Try the parked operations of a handle again. Returns false after an exception that belongs to no operation. */
static bool
handle_event(Handle *handle, uint32_t bits)
{
    bool broken = false;
    if (bits & ~(uint32_t)WATCHED) {
        handle->armed &= (uint8_t)~DRAINS; /* the end may be queued behind the data, and no second edge follows */
    }
    if (bits != EPOLLIN) {
        handle_try_again(handle, WRITING, true, &broken);
    }
    if (!broken && bits != EPOLLOUT) {
        if (handle_leave(handle)) {
            poller_queue(handle, READING);
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
            broken = !handle_event(handle, events[i].events);
        }
        if (broken) { /* each edge is reported once, so request this one and the rest again */
            poller_arm_again(handle);
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
    if (poller_check(poller) < 0 || poll_arguments(args, nargs, &timeout_s, &limit) < 0) {
        return NULL;
    }
    operations_reserve_stop(poller->engine.state);
    poller->polls++;
    /* Set this before the GIL is released: an OS thread that wakes us later then sees it and writes. */
    poller->waiting++;
    int count = wait_for_events(poller, events, limit, timeout_s);
    poller->waiting--;
    poller->watched = poller->woken = false;
    if (count < 0) {
        return NULL;
    }
    poller->events += count;
    poller->engine.received = 0;
    /* Run signal handlers here. If one raised after we have returned, the list would be lost. */
    if (dispatch(poller, events, count) < 0 || PyErr_CheckSignals() < 0) {
        return NULL;
    }
    return poller_take_finished(poller);
}

/* The rest of the interface. */

static PyObject *
poller_wakeup(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Poller *poller = (Poller *)self;
    if (poller_check(poller) < 0) {
        return NULL;
    }
    if (poller_wake(poller) < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

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
poller_watch(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Poller *poller = (Poller *)self;
    if (poller_check(poller) < 0) {
        return NULL;
    }
    poller->watched = true;
    return PyBool_FromLong(!poller->woken && poller->finished_first == NULL);
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
    return PyObject_CallFunction(poller->engine.state->stats_class, "iinnn", poller->attached, parked, poller->polls,
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
        for (int fd = 0; fd < poller->handles_size; fd++) { /* a close runs foreign code: reread the table each time */
            Handle *handle = poller->handles[fd];
            if (handle != NULL && handle_close(handle) < 0) {
                PyErr_WriteUnraisable(self);
            }
        }
        poller->shut = true;
        close_own_descriptors(poller);
    }
    return poller_take_finished(poller);
}

static PyObject *
poller_share(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Poller *poller = (Poller *)self;
    if (poller_check(poller) < 0) {
        return NULL;
    }
    poller->engine.shared = true;
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
        PyErr_SetString(PyExc_AttributeError, "the streak of a poller cannot be deleted");
        return -1;
    }
    Py_ssize_t given = PyLong_AsSsize_t(value);
    if (given == -1 && PyErr_Occurred()) {
        return -1;
    }
    streak = given;
    return 0;
}

/* The clock and the sockets: these are the standard library's own functions, so that a caller which keeps one calls no
   code of ours. */

static PyObject *
get_own(PyObject *self, void *closure)
{
    PyObject **own = (PyObject **)((char *)((Poller *)self)->engine.state + (size_t)closure);
    return Py_NewRef(*own);
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

static const EngineCalls calls = {
    .admit = poller_admit,
    .arm = poller_arm,
    .arm_again = poller_arm_again,
    .forget = poller_forget,
    .queue = poller_queue,
    .finish = poller_finish,
};

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
    poller->engine.calls = &calls;
    poller->engine.state = PyModule_GetState(module);
    poller->epoll_fd = poller->wake_receiver = poller->wake_sender = -1;
    poller->engine.pid = getpid();
    streak = 0;
    poller_enlist(poller);
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
    Py_VISIT(poller->engine.kept);
    for (int fd = 0; fd < poller->handles_size; fd++) {
        Py_VISIT(poller->handles[fd]);
    }
    for (Handle *handle = poller->finished_first; handle != NULL; handle = handle->next_finished) {
        Py_VISIT(handle);
    }
    return 0;
}

/* This does not clear the module, since every remaining handle uses its state. */
static int
poller_clear(PyObject *self)
{
    Poller *poller = (Poller *)self;
    Py_CLEAR(poller->engine.kept);
    for (int fd = 0; fd < poller->handles_size; fd++) {
        if (poller->handles[fd] != NULL) {
            poller->attached--;
            Py_CLEAR(poller->handles[fd]);
        }
    }
    while (poller->finished_first != NULL) {
        poller_unqueue_first(poller);
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
    poller_delist(poller);
    close_own_descriptors(poller); /* without a ResourceWarning: an OS thread and its poller may just end */
    Py_CLEAR(poller->engine.spare);
    Py_CLEAR(poller->engine.host);
    PyMem_Free(poller->handles);
    Py_DECREF(poller->module);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef poller_methods[] = {
    {"attach", poller_attach, METH_O, PyDoc_STR("Take over a socket for good and return its handle.")},
    {"poll", (PyCFunction)(void (*)(void))poller_poll, METH_FASTCALL,
     PyDoc_STR("Return the waiters whose operations have finished. Waits for the first one.")},
    {"wakeup", poller_wakeup, METH_NOARGS, PyDoc_STR("Make poll() return soon.")},
    {"wakeup_fileno", poller_wakeup_fileno, METH_NOARGS, PyDoc_STR("Return a descriptor for signal.set_wakeup_fd().")},
    {"fileno", poller_fileno, METH_NOARGS, PyDoc_STR("Return the epoll descriptor.")},
    {"watch", poller_watch, METH_NOARGS, PyDoc_STR("Let another event loop wait for the descriptor.")},
    {"stats", poller_stats, METH_NOARGS, PyDoc_STR("Return the poller's counters.")},
    {"share", poller_share, METH_NOARGS, PyDoc_STR("Let several OS threads use the poller from now on.")},
    {"shutdown", poller_shutdown, METH_NOARGS, PyDoc_STR("Close all handles. Returns their waiters.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef poller_attributes[] = {
    {"name", get_name, NULL, PyDoc_STR("The system call that it waits in: 'epoll'."), NULL},
    {"streak", get_streak, set_streak, PyDoc_STR("How many operations in a row have finished without a wait."), NULL},
    {"now", get_own, NULL, PyDoc_STR("time.monotonic."), (void *)offsetof(State, monotonic)},
    {"socket", get_own, NULL, PyDoc_STR("socket.socket."), (void *)offsetof(State, socket_class)},
    {"socketpair", get_own, NULL, PyDoc_STR("Make two connected sockets."), (void *)offsetof(State, socketpair)},
    {"adopt", get_own, NULL, PyDoc_STR("pollers.adopt."), (void *)offsetof(State, adopt)},
    {"ready", get_own, NULL, PyDoc_STR("pollers.ready."), (void *)offsetof(State, ready)},
    {"file", get_own, NULL, PyDoc_STR("pollers.file.file."), (void *)offsetof(State, file)},
    {"foreign", get_own, NULL, PyDoc_STR("pollers.foreign.Foreign."), (void *)offsetof(State, foreign)},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef poller_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Poller, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot poller_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("A poller over epoll(7), in C. See pollers.operation.Poller.")},
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
