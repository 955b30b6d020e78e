/* The handle: a socket, and its two ways for operations to go. Parking, cancelling and closing are here.

   A handle is its own reading direction; the writing direction is a small object in front of the same record. */

#include "native.h"

#include <errno.h>
#include <unistd.h>

static int
bit_of(int way)
{
    return way == READING ? WATCHED_IN : WATCHED_OUT;
}

Handle *
handle_new(Poller *poller, int fd, PyObject *sock, int family, bool drains)
{
    Handle *handle = PyObject_GC_New(Handle, poller->state->handle_type);
    if (handle == NULL) {
        return NULL;
    }
    handle->poller = (Poller *)Py_NewRef(poller);
    handle->sock = Py_XNewRef(sock);
    handle->writing = NULL;
    handle->next_finished = NULL;
    for (int way = 0; way < WAYS; way++) {
        handle->waiter[way] = NULL;
        handle->operation[way] = NULL;
        handle->state[way] = IDLE;
        handle->ready[way] = true;
    }
    handle->fd = fd;
    handle->generation = ++poller->generation;
    handle->armed = drains ? DRAINS : 0;
    handle->finished = 0;
    handle->family = (uint16_t)family & 0x1fff;
    handle->queued = 0;
    handle->made_sock = 0;
    handle->first_sock = 0;
    PyObject_GC_Track(handle);
    return handle;
}

/* The standard library's socket. */

/* Make the standard library's socket for our descriptor. */
static PyObject *
wrap(Handle *handle)
{
    State *state = handle->poller->state;
    PyObject *fd = PyLong_FromLong(handle->fd);
    PyObject *sock = fd != NULL ? PyObject_Vectorcall(state->socket_class, &fd, 0, state->fileno_only) : NULL;
    Py_XDECREF(fd);
    return sock;
}

/* Take the descriptor out of a socket object, which would otherwise close it. */
static void
unwrap(State *state, PyObject *sock)
{
    PyObject *error = error_take();
    PyObject *fd = call(state, sock, NAME_DETACH, NULL, NULL, NULL);
    if (fd == NULL) {
        PyErr_WriteUnraisable(sock);
    }
    Py_XDECREF(fd);
    Py_DECREF(sock);
    error_put(error);
}

PyObject *
handle_sock(Handle *handle)
{
    if (handle->sock == NULL) {
        State *state = handle->poller->state;
        int fd = handle->fd;
        if (fd < 0) {
            PyErr_SetNone(state->closed_error);
            return NULL;
        }
        PyObject *sock = wrap(handle);
        if (sock == NULL) {
            return NULL;
        }
        PyObject *done = call(state, sock, NAME_SETBLOCKING, Py_False, NULL, NULL);
        if (done == NULL) {
            unwrap(state, sock);
            return NULL;
        }
        Py_DECREF(done);
        if (handle->fd != fd || handle->sock != NULL) { /* a signal handler was here */
            unwrap(state, sock);
            return handle_sock(handle);
        }
        handle->sock = sock;
        handle->first_sock = !handle->made_sock;
        handle->made_sock = 1;
    }
    return Py_NewRef(handle->sock);
}

/* A connection that begins to wait gives up the socket object that was made to set it up, so that an idle one has not
   to pay for a setsockopt() at its start. Only the first, and only when nobody else holds it. */
static void
give_up_first_sock(Handle *handle)
{
    if (handle->sock != NULL && Py_REFCNT(handle->sock) == 1) {
        PyObject *sock = handle->sock;
        handle->sock = NULL;
        handle->first_sock = 0;
        unwrap(handle->poller->state, sock);
    }
}

/* What the ways do. */

PyObject *
handle_describe(Handle *handle, int way)
{
    static const char *const idle[WAYS] = {"reading", "writing"};
    Operation *op = handle->operation[way];
    return PyUnicode_FromFormat("%s on fd %d", op != NULL ? operation_name(op->kind) : idle[way], handle->fd);
}

/* Set the exception that says why no operation can start here now. */
void
handle_refuse(Handle *handle, int way)
{
    State *module = handle->poller->state;
    if (handle->state[way] & FORKED) {
        poller_forked_error(handle->poller);
    } else if (handle->state[way] & CLOSED) {
        PyErr_SetNone(module->closed_error);
    } else {
        PyObject *what = handle_describe(handle, way);
        if (what != NULL) {
            PyErr_Format(module->busy_error, "another thread is %s this socket already: %U",
                         way == READING ? "reading" : "writing", what);
            Py_DECREF(what);
        }
    }
}

/* The way is free again. Lets the waiter go, so it runs code of others. */
void
handle_release(Handle *handle, int way)
{
    handle->operation[way] = NULL;
    handle->state[way] &= FOR_GOOD;
    handle->finished &= (uint8_t)~(1 << way);
    Py_CLEAR(handle->waiter[way]);
}

/* The operation has ended with `error`, which its waiter is yet to be told. Steals the reference. */
void
handle_end(Handle *handle, int way, PyObject *error)
{
    handle->state[way] = FINISHED | FAILED | (handle->state[way] & FOR_GOOD);
    Py_XSETREF(handle->operation[way]->argument, error);
}

static void
end_refused(Handle *handle, int way)
{
    handle_refuse(handle, way);
    handle_end(handle, way, error_take());
}

/* An operation in the middle of its attempt belongs to that: nothing else may end it. */
static bool
is_running(Handle *handle, int way)
{
    return handle->operation[way] != NULL && handle->operation[way]->phase == RUNNING;
}

/* After an attempt that did not end the operation: true when it was cancelled with `asked` meanwhile, or its handle was
   closed, and that ended it. */
static bool
ended_meanwhile(Handle *handle, int way, PyObject *asked)
{
    if (handle->state[way] == PARKED && asked == NULL) {
        return false;
    }
    PyObject *error = error_take();
    if (asked != NULL) {
        handle_end(handle, way, Py_NewRef(asked));
    } else {
        end_refused(handle, way);
    }
    error_put(error);
    return true;
}

/* After an event: true when the operation parked here has finished. *broken: an exception is set that is none of the
   operation's, and the operation is parked as before. */
bool
handle_try_again(Handle *handle, int way, bool *broken)
{
    handle->ready[way] = true;
    if (handle->state[way] != PARKED || is_running(handle, way)) {
        return false;
    }
    Operation *op = (Operation *)Py_NewRef(handle->operation[way]);
    PyObject *value = NULL;
    bool finished = true;
    op->phase = RUNNING;
    handle->ready[way] = false; /* now, not after it: another event may come while it lets the GIL go */
    Outcome outcome = attempt(op, &value);
    if (outcome != BLOCKED && outcome != DRAINED) {
        handle->ready[way] = true;
    }
    PyObject *asked = operation_take_asked(op);
    switch (outcome) {
    case SUCCESS:
    case DRAINED:
        handle->state[way] = FINISHED | (handle->state[way] & FOR_GOOD);
        Py_XSETREF(op->argument, value);
        break;
    case AGAIN: /* the waiter's next step goes on with it */
        handle->state[way] = PASSING | (handle->state[way] & FOR_GOOD);
        break;
    case FAILURE:
        if (PyErr_ExceptionMatches(PyExc_Exception)) {
            handle_end(handle, way, error_take());
        } else {
            *broken = true;
            finished = ended_meanwhile(handle, way, asked);
        }
        break;
    case BLOCKED:
        finished = ended_meanwhile(handle, way, asked);
        break;
    }
    op->phase = SUSPENDED;
    Py_XDECREF(asked);
    Py_DECREF(op);
    if (handle->armed & CLOSE_LATE) {
        handle_close_late(handle);
    }
    return finished;
}

/* After an event: true when a stream's receive is parked here, and left to the step of its waiter. Receiving for many in
   a row is what a kernel is fastest at, but what has been received should still be in the cache when it is looked at. */
bool
handle_leave(Handle *handle)
{
    Poller *poller = handle->poller;
    Operation *op = handle->operation[READING];
    if (poller->received < RECEIVED_MAX || handle->state[READING] != PARKED || is_running(handle, READING) ||
        op->kind > RECV_INTO) {
        return false;
    }
    /* Another OS thread may resume its waiter while settle() makes the attempt, unless that keeps the GIL throughout. */
    if (poller->shared && !(op->kind == RECV && op->count <= (uint64_t)SPARE_SIZE)) {
        return false;
    }
    handle->ready[READING] = true;
    handle->state[READING] = PASSING;
    return true;
}

/* The operation is about to be given up: if it was left to the step of its waiter, make the attempt now, since what has
   come is to be delivered. -1: an exception, and it is left as it was. */
static int
settle(Handle *handle)
{
    bool broken = false;
    if (handle->state[READING] != PASSING || handle->waiter[READING] == NULL || is_running(handle, READING) ||
        handle->operation[READING]->kind > RECV_INTO) {
        return 0;
    }
    handle->state[READING] = PARKED;
    if (!handle_try_again(handle, READING, &broken) && handle->state[READING] == PARKED) {
        handle->state[READING] = PASSING; /* poll() has returned its waiter */
    }
    return broken ? -1 : 0;
}

static PyObject *
park(Handle *handle, int way, PyObject *waiter)
{
    if (handle->first_sock) {
        give_up_first_sock(handle);
    }
    streak = 0;
    uint8_t state = handle->state[way];
    if (state & (FINISHED | PASSING)) {
        Py_RETURN_TRUE;
    }
    if (!(state & OFFERED)) {
        PyObject *what = handle_describe(handle, way);
        if (what != NULL) {
            PyErr_Format(PyExc_RuntimeError, "nothing to wait for: %U", what);
            Py_DECREF(what);
        }
        return NULL;
    }
    if (state != OFFERED) { /* closed in between */
        end_refused(handle, way);
        Py_RETURN_TRUE;
    }
    if (!(handle->armed & bit_of(way)) && poller_arm(handle->poller, handle, bit_of(way)) < 0) {
        handle_end(handle, way, error_take());
        Py_RETURN_TRUE;
    }
    handle->state[way] = PARKED;
    while (handle->ready[way]) { /* an event has come since the attempt, in another OS thread, and none will again */
        bool broken = false;
        bool finished = handle_try_again(handle, way, &broken);
        if (broken) {
            return NULL;
        }
        if (finished) {
            Py_RETURN_TRUE;
        }
    }
    Py_XSETREF(handle->waiter[way], Py_NewRef(waiter));
    Py_RETURN_FALSE;
}

static PyObject *
cancel(Handle *handle, int way, PyObject *error)
{
    if (!PyExceptionInstance_Check(error)) {
        PyErr_Format(PyExc_TypeError, "an operation is cancelled with an exception, not %R", error);
        return NULL;
    }
    if (way == READING && settle(handle) < 0) {
        return NULL;
    }
    uint8_t state = handle->state[way];
    if (!(state & (OFFERED | PARKED | PASSING))) {
        Py_RETURN_FALSE;
    }
    if (is_running(handle, way)) {
        return operation_ask(handle->operation[way], error) < 0 ? NULL : Py_NewRef(Py_False);
    }
    handle_end(handle, way, Py_NewRef(error));
    return PyBool_FromLong(!(state & PASSING)); /* which is resumed anyway */
}

static PyObject *
waiter_of(Handle *handle, int way)
{
    return Py_NewRef(handle->waiter[way] != NULL ? handle->waiter[way] : Py_None);
}

static PyObject *
error_of(Handle *handle, int way)
{
    return Py_NewRef(handle->state[way] & FAILED ? handle->operation[way]->argument : Py_None);
}

static PyObject *
represent(Handle *handle, int way)
{
    PyObject *what = handle_describe(handle, way);
    if (what == NULL) {
        return NULL;
    }
    PyObject *text = PyUnicode_FromFormat("<%U, state %d>", what, handle->state[way]);
    Py_DECREF(what);
    return text;
}

/* From now on Closed; an operation in flight ends so, and the next poll() returns it. */
static void
close_way(Handle *handle, int way)
{
    bool parked = handle->state[way] == PARKED && !is_running(handle, way);
    handle->state[way] |= CLOSED;
    if (parked) {
        end_refused(handle, way);
        poller_finish(handle->poller, handle, way);
    }
}

/* The two faces. */

#define FACE(face, type, handle_of, way)                                                                              \
    static PyObject *face##_park(PyObject *self, PyObject *waiter) { return park(handle_of(self), way, waiter); }     \
    static PyObject *face##_cancel(PyObject *self, PyObject *error) { return cancel(handle_of(self), way, error); }   \
    static PyObject *face##_describe(PyObject *self, PyObject *Py_UNUSED(ignored))                                    \
    {                                                                                                                 \
        return handle_describe(handle_of(self), way);                                                                 \
    }                                                                                                                 \
    static PyObject *face##_fileno(PyObject *self, PyObject *Py_UNUSED(ignored))                                      \
    {                                                                                                                 \
        return PyLong_FromLong(handle_of(self)->fd);                                                                  \
    }                                                                                                                 \
    static PyObject *face##_repr(PyObject *self) { return represent(handle_of(self), way); }                          \
    static PyObject *face##_waiter(PyObject *self, void *Py_UNUSED(closure)) { return waiter_of(handle_of(self), way); } \
    static PyObject *face##_error(PyObject *self, void *Py_UNUSED(closure)) { return error_of(handle_of(self), way); }

#define FACE_METHODS(face)                                                                                            \
    {"park", face##_park, METH_O, PyDoc_STR("Wait for the operation just yielded; True: it is finished.")},           \
        {"cancel", face##_cancel, METH_O, PyDoc_STR("Give up the wait; True: it has ended with the error.")},         \
        {"describe", face##_describe, METH_NOARGS, PyDoc_STR("Return what is going on here, for people.")},           \
        {"fileno", face##_fileno, METH_NOARGS, PyDoc_STR("The descriptor, -1 when closed.")}

#define FACE_ATTRIBUTES(face)                                                                                         \
    {"waiter", face##_waiter, NULL, PyDoc_STR("Who waits, as given to park(); None when nobody does."), NULL},        \
        {"error", face##_error, NULL, PyDoc_STR("What a finished operation will raise, or None."), NULL}

static inline Handle *
itself(PyObject *self)
{
    return (Handle *)self;
}

static inline Handle *
handle_behind(PyObject *self)
{
    return ((Writing *)self)->handle;
}

FACE(reading, Handle, itself, READING)
FACE(writing, Writing, handle_behind, WRITING)

/* Return the object that stands for a way. */
PyObject *
handle_direction(Handle *handle, int way)
{
    if (way == READING) {
        return Py_NewRef(handle);
    }
    if (handle->writing == NULL) {
        Writing *writing = PyObject_GC_New(Writing, handle->poller->state->writing_type);
        if (writing == NULL) {
            return NULL;
        }
        writing->handle = (Handle *)Py_NewRef(handle);
        PyObject_GC_Track(writing);
        if (handle->writing == NULL) { /* the allocation may have run code that was faster */
            handle->writing = writing;
        }
        return (PyObject *)writing;
    }
    return Py_NewRef(handle->writing);
}

static int
writing_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Writing *)self)->handle);
    return 0;
}

static void
writing_dealloc(PyObject *self)
{
    Handle *handle = handle_behind(self);
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (handle->writing == (Writing *)self) {
        handle->writing = NULL;
    }
    PyObject_GC_Del(self);
    Py_DECREF(handle);
    Py_DECREF(type);
}

static PyMethodDef writing_methods[] = {
    FACE_METHODS(writing),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef writing_attributes[] = {
    FACE_ATTRIBUTES(writing),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot writing_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("The writing direction of a handle.")},
    {Py_tp_dealloc, writing_dealloc},
    {Py_tp_traverse, writing_traverse},
    {Py_tp_repr, writing_repr},
    {Py_tp_methods, writing_methods},
    {Py_tp_getset, writing_attributes},
    {0, NULL},
};

PyType_Spec writing_spec = {
    .name = "pollers._native.Writing",
    .basicsize = sizeof(Writing),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = writing_slots,
};

/* The end. */

/* Put a connection that nobody took back, for the next accept. Called where errors cannot be raised. */
void
handle_keep(Handle *handle, PyObject *accepted)
{
    PyObject *error = error_take();
    Poller *poller = handle->poller;
    PyObject *list = NULL;
    bool kept = false;
    if (handle->fd >= 0 && (poller->kept != NULL || (poller->kept = PyDict_New()) != NULL)) {
        list = PyDict_GetItemWithError(poller->kept, (PyObject *)handle);
        if (list != NULL) {
            kept = PyList_Append(list, accepted) == 0;
        } else if (!PyErr_Occurred() && (list = PyList_New(0)) != NULL) {
            kept = PyList_Append(list, accepted) == 0 && PyDict_SetItem(poller->kept, (PyObject *)handle, list) == 0;
            Py_DECREF(list);
        }
    }
    if (kept) {
        handle->ready[READING] = true;
    } else {
        if (PyErr_Occurred()) {
            PyErr_WriteUnraisable((PyObject *)handle);
        }
        if (handle_close((Handle *)PyTuple_GET_ITEM(accepted, 0)) < 0) {
            PyErr_WriteUnraisable((PyObject *)handle);
        }
    }
    error_put(error);
}

/* Close the connections that were kept for a listener which is no more. */
static void
drop_kept(Handle *handle)
{
    PyObject *kept = handle->poller->kept;
    PyObject *list = kept != NULL ? PyDict_GetItemWithError(kept, (PyObject *)handle) : NULL;
    if (list == NULL) {
        PyErr_Clear();
        return;
    }
    Py_INCREF(list);
    if (PyDict_DelItem(kept, (PyObject *)handle) < 0) {
        PyErr_WriteUnraisable((PyObject *)handle);
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        Handle *connection = (Handle *)PyTuple_GET_ITEM(PyList_GET_ITEM(list, i), 0);
        if (handle_close(connection) < 0) {
            PyErr_WriteUnraisable((PyObject *)connection);
        }
    }
    Py_DECREF(list);
}

/* End both operations and unregister; return the descriptor, which is still open. */
static int
leave(Handle *handle)
{
    int fd = handle->fd;
    close_way(handle, READING);
    close_way(handle, WRITING);
    poller_forget(handle->poller, handle);
    handle->fd = -1;
    drop_kept(handle);
    return fd;
}

static int
close_socket(Handle *handle, int fd)
{
    if (handle->sock == NULL) {
        return close_descriptor(fd);
    }
    PyObject *done = call(handle->poller->state, handle->sock, NAME_CLOSE, NULL, NULL, NULL);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

/* A descriptor is not closed in the middle of an attempt: the attempt would go on with its successor. */
static bool
in_flight(Handle *handle)
{
    return is_running(handle, READING) || is_running(handle, WRITING);
}

int
handle_close(Handle *handle)
{
    int status = 0;
    Py_INCREF(handle); /* the poller may hold the last reference */
    if (handle->fd >= 0 && settle(handle) < 0) {
        PyErr_WriteUnraisable((PyObject *)handle);
    }
    if (handle->fd < 0) {
        Py_DECREF(handle);
        return 0;
    }
    int fd = leave(handle);
    if (in_flight(handle)) {
        handle->generation = (uint32_t)fd;
        handle->armed |= CLOSE_LATE;
    } else {
        status = close_socket(handle, fd);
    }
    Py_DECREF(handle);
    return status;
}

/* An attempt is over: close what was to be closed meanwhile. */
void
handle_close_late(Handle *handle)
{
    if (in_flight(handle)) {
        return;
    }
    handle->armed &= (uint8_t)~CLOSE_LATE;
    PyObject *error = error_take();
    if (close_socket(handle, (int)handle->generation) < 0) {
        PyErr_WriteUnraisable((PyObject *)handle);
    }
    error_put(error);
}

static PyObject *
close_method(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return handle_close((Handle *)self) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
detach_method(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Handle *handle = (Handle *)self;
    PyObject *sock = NULL;
    if (handle->fd >= 0 && settle(handle) < 0) {
        return NULL;
    }
    if (handle->fd < 0) {
        PyErr_SetNone(handle->poller->state->closed_error);
    } else {
        sock = handle_sock(handle);
    }
    if (sock != NULL) {
        leave(handle);
        Py_CLEAR(handle->sock);
    }
    return sock;
}

/* The operations: check the arguments, make an awaitable. */

static int
not_negative(Py_ssize_t n, PyObject *given)
{
    if (n >= 0) {
        return 0;
    }
    if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "the number of bytes to receive must not be negative, not %R", given);
    }
    return -1;
}

/* How many bytes `given` asks for; -1 and an exception if it is no such number. */
static Py_ssize_t
length(PyObject *given)
{
    Py_ssize_t n = PyNumber_AsSsize_t(given, NULL); /* too large becomes the largest, and that has no room later */
    return not_negative(n, given) < 0 ? -1 : n;
}

/* How many bytes to receive into `buffer`, as the standard library counts: 0 is all of it. */
static Py_ssize_t
room(PyObject *buffer, PyObject *given)
{
    Py_buffer view;
    Py_ssize_t n = given != NULL ? PyNumber_AsSsize_t(given, NULL) : 0;
    if (n == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (PyObject_GetBuffer(buffer, &view, PyBUF_FULL_RO) < 0) {
        return -1;
    }
    Py_ssize_t size = view.len;
    bool readonly = view.readonly;
    PyBuffer_Release(&view);
    if (readonly) {
        PyErr_SetString(PyExc_TypeError, "a writable buffer is needed");
        return -1;
    }
    if (not_negative(n, given) < 0) {
        return -1;
    }
    if (n > size) {
        PyErr_Format(PyExc_ValueError, "the buffer has %zd bytes, not %R", size, given);
        return -1;
    }
    return n != 0 ? n : size;
}

static PyObject *
nothing_to_receive(Handle *handle, PyObject *result, PyObject *owner)
{
    PyObject *op = result != NULL ? operation_new(handle, NOTHING, result, 0, owner) : NULL;
    Py_XDECREF(result);
    return op;
}

static PyObject *
recv_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("recv", nargs, 1, 2) < 0) {
        return NULL;
    }
    Py_ssize_t n = length(args[0]);
    PyObject *owner = nargs > 1 ? args[1] : NULL;
    if (n < 0) {
        return NULL;
    }
    if (n == 0) {
        return nothing_to_receive((Handle *)self, PyBytes_FromStringAndSize(NULL, 0), owner);
    }
    return operation_new((Handle *)self, RECV, NULL, n, owner);
}

static PyObject *
recv_into_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("recv_into", nargs, 1, 3) < 0) {
        return NULL;
    }
    Py_ssize_t n = room(args[0], nargs > 1 ? args[1] : NULL);
    PyObject *owner = nargs > 2 ? args[2] : NULL;
    if (n < 0) {
        return NULL;
    }
    if (n == 0) {
        return nothing_to_receive((Handle *)self, PyLong_FromLong(0), owner);
    }
    return operation_new((Handle *)self, RECV_INTO, args[0], n, owner);
}

static PyObject *
recvfrom_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("recvfrom", nargs, 1, 2) < 0) {
        return NULL;
    }
    Py_ssize_t n = length(args[0]);
    return n < 0 ? NULL : operation_new((Handle *)self, RECVFROM, NULL, n, nargs > 1 ? args[1] : NULL);
}

static PyObject *
recvfrom_into_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("recvfrom_into", nargs, 1, 3) < 0) {
        return NULL;
    }
    Py_ssize_t n = room(args[0], nargs > 1 ? args[1] : NULL);
    return n < 0 ? NULL : operation_new((Handle *)self, RECVFROM_INTO, args[0], n, nargs > 2 ? args[2] : NULL);
}

static PyObject *
accept_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("accept", nargs, 0, 1) < 0) {
        return NULL;
    }
    return operation_new((Handle *)self, ACCEPT, NULL, 0, nargs > 0 ? args[0] : NULL);
}

static PyObject *
wait_readable_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("wait_readable", nargs, 0, 1) < 0) {
        return NULL;
    }
    return operation_new((Handle *)self, WAIT_READABLE, NULL, 0, nargs > 0 ? args[0] : NULL);
}

static PyObject *
send_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("send", nargs, 1, 2) < 0) {
        return NULL;
    }
    return operation_new((Handle *)self, SEND, args[0], 0, nargs > 1 ? args[1] : NULL);
}

static PyObject *
sendall_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("sendall", nargs, 1, 2) < 0) {
        return NULL;
    }
    return operation_new((Handle *)self, SENDALL, args[0], 0, nargs > 1 ? args[1] : NULL);
}

/* Operations with several arguments keep them in a tuple. */
static PyObject *
with_arguments(PyObject *self, Kind kind, PyObject *const *args, Py_ssize_t count, PyObject *owner)
{
    PyObject *arguments = PyTuple_New(count);
    if (arguments == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyTuple_SET_ITEM(arguments, i, Py_NewRef(args[i]));
    }
    PyObject *op = operation_new((Handle *)self, kind, arguments, 0, owner);
    Py_DECREF(arguments);
    return op;
}

static PyObject *
sendto_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("sendto", nargs, 2, 3) < 0) {
        return NULL;
    }
    return with_arguments(self, SENDTO, args, 2, nargs > 2 ? args[2] : NULL);
}

static PyObject *
sendfile_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("sendfile", nargs, 3, 4) < 0) {
        return NULL;
    }
    return with_arguments(self, SENDFILE, args, 3, nargs > 3 ? args[3] : NULL);
}

static PyObject *
connect_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("connect", nargs, 1, 2) < 0) {
        return NULL;
    }
    return operation_new((Handle *)self, CONNECT, args[0], 0, nargs > 1 ? args[1] : NULL);
}

static PyObject *
wait_writable_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("wait_writable", nargs, 0, 1) < 0) {
        return NULL;
    }
    return operation_new((Handle *)self, WAIT_WRITABLE, NULL, 0, nargs > 0 ? args[0] : NULL);
}

/* The type. */

static PyObject *
get_way(PyObject *self, void *way)
{
    return handle_direction((Handle *)self, way == NULL ? READING : WRITING);
}

static PyObject *
get_sock(PyObject *self, void *Py_UNUSED(closure))
{
    return handle_sock((Handle *)self);
}

static int
handle_traverse(PyObject *self, visitproc visit, void *arg)
{
    Handle *handle = (Handle *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(handle->poller);
    Py_VISIT(handle->sock);
    Py_VISIT(handle->waiter[READING]);
    Py_VISIT(handle->waiter[WRITING]);
    return 0;
}

static int
handle_clear(PyObject *self)
{
    Handle *handle = (Handle *)self;
    Py_CLEAR(handle->waiter[READING]);
    Py_CLEAR(handle->waiter[WRITING]);
    /* Not the socket object: it would close the descriptor that the handle still names. */
    return 0;
}

/* Nobody has closed it. A socket object says so itself; a bare descriptor is closed here. */
static void
handle_finalize(PyObject *self)
{
    Handle *handle = (Handle *)self;
    if (handle->fd < 0 || handle->sock != NULL) {
        return;
    }
    PyObject *error = error_take();
    if (PyErr_ResourceWarning(self, 1, "unclosed socket: %R", self) < 0) {
        PyErr_WriteUnraisable(self);
    }
    if (handle_close(handle) < 0) {
        PyErr_WriteUnraisable(self);
    }
    error_put(error);
}

static void
handle_dealloc(PyObject *self)
{
    Handle *handle = (Handle *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    handle_clear(self);
    Py_CLEAR(handle->sock);
    Py_DECREF(handle->poller);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

#define OPERATION(name, text) \
    {#name, (PyCFunction)(void (*)(void))name##_method, METH_FASTCALL, PyDoc_STR(text)}

static PyMethodDef handle_methods[] = {
    OPERATION(recv, "Receive 1 to n bytes; b'' at the end of the stream."),
    OPERATION(recv_into, "Receive into a buffer; return how many bytes."),
    OPERATION(recvfrom, "Receive a datagram and its sender."),
    OPERATION(recvfrom_into, "Receive a datagram into a buffer; return its length there and its sender."),
    OPERATION(accept, "Take a connection: its handle and the peer's address."),
    OPERATION(wait_readable, "Wait until a receive or an accept would not block."),
    OPERATION(send, "Send some of the data; return how many bytes the kernel took."),
    OPERATION(sendall, "Send all of the data."),
    OPERATION(sendto, "Send one datagram to a numeric address."),
    OPERATION(sendfile, "Send up to count bytes of a file from an offset on."),
    OPERATION(connect, "Connect to a numeric address."),
    OPERATION(wait_writable, "Wait until a send would not block."),
    {"close", close_method, METH_NOARGS, PyDoc_STR("End both operations with Closed, unregister, close.")},
    {"detach", detach_method, METH_NOARGS, PyDoc_STR("As close, but give the open socket back.")},
    FACE_METHODS(reading),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef handle_attributes[] = {
    {"reading", get_way, NULL, PyDoc_STR("The reading direction: the handle itself."), NULL},
    {"writing", get_way, NULL, PyDoc_STR("The writing direction."), &writing_spec},
    {"sock", get_sock, NULL, PyDoc_STR("The standard library's socket; owned by the handle."), NULL},
    FACE_ATTRIBUTES(reading),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot handle_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("A socket as its poller knows it, and its own reading direction.")},
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_finalize, handle_finalize},
    {Py_tp_traverse, handle_traverse},
    {Py_tp_clear, handle_clear},
    {Py_tp_repr, reading_repr},
    {Py_tp_methods, handle_methods},
    {Py_tp_getset, handle_attributes},
    {0, NULL},
};

PyType_Spec handle_spec = {
    .name = "pollers._native.Handle",
    .basicsize = sizeof(Handle),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = handle_slots,
};
