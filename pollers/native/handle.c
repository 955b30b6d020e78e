/* The handle: a socket, and its two ways for operations to go. Parking, cancelling and closing are here.

   A handle is its own reading direction; the writing direction is a small object in front of the same record. */

#include "native.h"

#include <unistd.h>

static int
bit_of(int way)
{
    return way == READING ? WATCHED_IN : WATCHED_OUT;
}

Handle *
handle_new(Poller *poller, int fd, uint32_t identity, PyObject *sock, int family, bool drains)
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
    handle->identity = identity;
    handle->armed = drains ? DRAINS : 0;
    handle->failure = 0;
    handle->finished = 0;
    handle->outside = 0;
    handle->look_again = 0;
    handle->family = family >= 0 && family < FAMILY_MAX ? (uint16_t)family & FAMILY_MAX : FAMILY_MAX;
    handle->queued = 0;
    handle->made_sock = 0;
    handle->first_sock = 0;
    PyObject_GC_Track(handle);
    return handle;
}

/* What the ways do. */

PyObject *
handle_describe(Handle *handle, int way)
{
    static const char *const idle[WAYS] = {"reading", "writing"};
    Operation *op = handle->operation[way];
    const char *what = op != NULL ? operation_name(op->kind) : idle[way];
    return PyUnicode_FromFormat("%s on fd %d", what, handle->fd < 0 ? -1 : handle->fd);
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
    handle->finished &= ~(1u << way) & 3;
    Py_CLEAR(handle->waiter[way]);
}

/* The operation has ended with `error`, which its waiter is yet to be told. Steals the reference. */
void
handle_end(Handle *handle, int way, PyObject *error)
{
    Operation *op = handle->operation[way];
    if (op == NULL) { /* making the error has run code of others, which has dropped it */
        Py_XDECREF(error);
        return;
    }
    handle->state[way] = FINISHED | FAILED | (handle->state[way] & FOR_GOOD);
    Py_XSETREF(op->argument, error);
}

/* True: it has ended so; false: it was dropped meanwhile. */
static bool
end_refused(Handle *handle, int way)
{
    PyObject *op = Py_NewRef(handle->operation[way]);
    handle_refuse(handle, way);
    PyObject *error = error_take();
    bool ended = (PyObject *)handle->operation[way] == op;
    if (ended) {
        handle_end(handle, way, error);
    } else {
        Py_XDECREF(error);
    }
    Py_DECREF(op);
    return ended;
}

/* An operation in the middle of its attempt belongs to that: nothing else may end it. */
static bool
is_running(Handle *handle, int way)
{
    return handle->operation[way] != NULL && handle->operation[way]->phase == RUNNING;
}

/* What came of an attempt, in the hands of nobody yet. */
typedef struct {
    Outcome outcome;
    PyObject *value; /* its result */
    PyObject *error; /* its exception */
    bool broken;     /* that exception is none of the operation's */
} Tried;

/* Make the attempt for an operation that is parked. Runs code of others, which may drop the operation: `tried` says that
   it may, and then it is no longer RUNNING. */
static Tried
try_for(Operation *op, Handle *handle, int way)
{
    Tried tried = {.value = NULL, .error = NULL, .broken = false};
    op->phase = RUNNING;
    op->tried = 1;
    handle->ready[way] = false; /* now, not after it: another event may come while it lets the GIL go */
    tried.outcome = attempt(op, &tried.value);
    if (tried.outcome != BLOCKED && tried.outcome != DRAINED) {
        handle->ready[way] = true;
    }
    if (tried.outcome == FAILURE) {
        tried.error = error_take();
        tried.broken = !PyErr_GivenExceptionMatches(tried.error, PyExc_Exception);
    }
    return tried;
}

/* Why an operation ends all the same whose attempt did not end it: it was asked to, or its handle was closed meanwhile.
   NULL: it does not. Runs code of others. */
static PyObject *
ended_meanwhile(const Tried *tried, Operation *op, Handle *handle, int way)
{
    PyObject *why = operation_take_asked(op);
    if (tried->outcome != BLOCKED && !tried->broken) {
        Py_CLEAR(why);
    } else if (why == NULL && op->phase == RUNNING && handle->state[way] != PARKED) {
        handle_refuse(handle, way);
        why = error_take();
    }
    return why;
}

/* It was dropped in the middle of the attempt: nobody is to be told what came of it. */
static void
nobody_told(Tried *tried, Operation *op, Handle *handle)
{
    if (tried->value != NULL && op->kind == ACCEPT) {
        handle_keep(handle, tried->value);
    }
    Py_CLEAR(tried->value);
    if (!tried->broken) {
        Py_CLEAR(tried->error);
    }
    operation_let_go(op);
}

/* After an event: true when the operation parked here has finished; with `queue` poll() is to return it. *broken: an
   exception is set that is none of the operation's. */
bool
handle_try_again(Handle *handle, int way, bool queue, bool *broken)
{
    handle->ready[way] = true;
    if (handle->state[way] != PARKED || is_running(handle, way)) {
        return false;
    }
    Operation *op = (Operation *)Py_NewRef(handle->operation[way]);
    PyObject *old = NULL;
    bool finished = false;
    Tried tried = try_for(op, handle, way);
    PyObject *why = ended_meanwhile(&tried, op, handle, way);
    op->tried = 0;
    if (op->phase != RUNNING) {
        nobody_told(&tried, op, handle);
    } else {
        /* Whoever looks from here on, in the code of others or in another OS thread, sees it ended and queued, or parked. */
        PyObject *end = tried.value != NULL ? tried.value : why != NULL ? Py_NewRef(why) : NULL;
        uint8_t state = end == tried.value ? FINISHED : FINISHED | FAILED;
        if (end == NULL && tried.error != NULL && !tried.broken) {
            end = tried.error;
            tried.error = NULL;
            state = FINISHED | FAILED;
        }
        if (tried.outcome == AGAIN) { /* the waiter's next step goes on with it */
            finished = true;
            handle->state[way] = PASSING | (handle->state[way] & FOR_GOOD);
        } else if (end != NULL) {
            finished = true;
            handle->state[way] = state | (handle->state[way] & FOR_GOOD);
            old = op->argument;
            op->argument = end;
        }
        op->phase = SUSPENDED;
        if (finished && queue) {
            poller_queue(handle->poller, handle, way);
        }
    }
    Py_XDECREF(old);
    Py_XDECREF(why);
    Py_DECREF(op);
    if (handle->armed & CLOSE_LATE) {
        handle_close_late(handle);
    }
    if (tried.broken) {
        error_put(tried.error);
        *broken = true;
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
   come is to be delivered; but not from a socket that has got the descriptor of ours. -1: an exception, and it is left as
   it was. */
static int
settle(Handle *handle)
{
    bool broken = false;
    if (handle->state[READING] != PASSING || handle->waiter[READING] == NULL || is_running(handle, READING) ||
        handle->operation[READING]->kind > RECV_INTO || !sock_is_ours(handle, handle->fd)) {
        return 0;
    }
    handle->state[READING] = PARKED;
    if (!handle_try_again(handle, READING, false, &broken) && handle->state[READING] == PARKED) {
        handle->state[READING] = PASSING; /* poll() has returned its waiter */
    }
    return broken ? -1 : 0;
}

static PyObject *
park(Handle *handle, int way, PyObject *waiter)
{
    if (handle->first_sock) {
        sock_give_up(handle);
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
    Py_XSETREF(handle->waiter[way], Py_NewRef(waiter));
    while (handle->ready[way] && handle->state[way] == PARKED && !is_running(handle, way)) {
        /* An event has come since the attempt, in another OS thread, and none will again. */
        bool broken = false;
        bool finished = handle_try_again(handle, way, false, &broken);
        if (broken) {
            poller_arm_again(handle->poller, handle);
            return NULL; /* it is parked all the same, and the next event ends it */
        }
        if (finished) {
            Py_CLEAR(handle->waiter[way]);
            Py_RETURN_TRUE;
        }
    }
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
    if (parked && end_refused(handle, way)) {
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
        int fd = handle_of(self)->fd;                                                                                 \
        return PyLong_FromLong(fd < 0 ? -1 : fd);                                                                     \
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

/* End both operations and unregister; return the descriptor, which is still open; -1: code of others was faster. */
static int
leave(Handle *handle)
{
    close_way(handle, READING);
    close_way(handle, WRITING);
    int fd = handle->fd;
    if (fd >= 0) {
        poller_forget(handle->poller, handle);
        handle->fd = -1;
        drop_kept(handle);
    }
    return fd < 0 ? -1 : fd;
}

/* A descriptor is not closed in the middle of an attempt: the attempt would go on with its successor. */
static bool
in_flight(Handle *handle)
{
    return handle->outside > 0 || is_running(handle, READING) || is_running(handle, WRITING);
}

static void
close_late(Handle *handle, int fd)
{
    handle->fd = ~fd;
    handle->armed |= CLOSE_LATE;
}

/* Close the socket whose descriptor was `fd`, as soon as that may be. */
static int
close_left(Handle *handle, int fd)
{
    if (fd < 0) {
        return 0;
    }
    if (in_flight(handle)) {
        close_late(handle, fd);
        return 0;
    }
    return sock_close(handle, fd);
}

int
handle_close(Handle *handle)
{
    int status = 0;
    Py_INCREF(handle); /* the poller may hold the last reference */
    if (handle->fd >= 0 && settle(handle) < 0) {
        PyErr_WriteUnraisable((PyObject *)handle);
    }
    if (handle->fd >= 0) {
        status = close_left(handle, leave(handle));
    }
    Py_DECREF(handle);
    return status;
}

/* Somebody else has closed its descriptor, or taken it over: close it, but for the descriptor. */
void
handle_displace(Handle *handle)
{
    Py_INCREF(handle);
    if (leave(handle) >= 0 && handle->sock != NULL) {
        sock_drop(handle->poller->state, Py_NewRef(handle->sock));
    }
    Py_DECREF(handle);
}

/* An attempt is over: close what was to be closed meanwhile. */
void
handle_close_late(Handle *handle)
{
    if (in_flight(handle)) {
        return;
    }
    int fd = ~handle->fd;
    handle->fd = -1;
    handle->armed &= (uint8_t)~CLOSE_LATE;
    PyObject *error = error_take();
    if (sock_close(handle, fd) < 0) {
        PyErr_WriteUnraisable((PyObject *)handle);
    }
    error_put(error);
}

static PyObject *
close_method(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return handle_close((Handle *)self) < 0 ? NULL : Py_NewRef(Py_None);
}

/* In the middle of an attempt the descriptor is the attempt's: who detaches gets another one for the same socket. */
static PyObject *
detach_method(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Handle *handle = (Handle *)self;
    State *state = handle->poller->state;
    if (handle->fd >= 0 && settle(handle) < 0) {
        return NULL;
    }
    bool shared = handle->fd >= 0 && in_flight(handle);
    PyObject *sock = shared ? sock_of_duplicate(handle) : handle_sock(handle);
    if (sock == NULL) {
        return NULL;
    }
    int fd = leave(handle);
    if (fd < 0) { /* code of others was faster */
        if (shared) {
            sock_discard(state, sock);
        } else {
            Py_DECREF(sock);
        }
        PyErr_SetNone(state->closed_error);
        return NULL;
    }
    if (!shared) {
        Py_CLEAR(handle->sock);
        return sock;
    }
    handle->armed |= DETACHED;
    if (close_left(handle, fd) < 0) {
        PyErr_WriteUnraisable(self);
    }
    return sock;
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

#define CALL(name, text) {#name, (PyCFunction)(void (*)(void))name##_method, METH_FASTCALL, PyDoc_STR(text)},

static PyMethodDef handle_methods[] = {
    FOR_EACH_CALL(CALL)
    {"told", (PyCFunction)(void (*)(void))told_method, METH_FASTCALL,
     PyDoc_STR("Return what an error, or with None the end of the stream, of a call made on `sock` amounts to.")},
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
