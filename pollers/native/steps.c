/* The operation: the object that `yield from` and `await` take. It behaves like a generator without being one.

   Nothing happens before its first step. If the attempt would block, it yields its direction, and its next step returns
   the outcome that poll() has found since. While it is suspended, its handle has a borrowed pointer to it. So an
   operation that dies, or into which an exception is thrown, clears that pointer.
   Knows one attempt, the ways of a handle, and how a handle ends. Must not know parking, or pollers. */

#include "steps.h"
#include "../forgotten.h"
#include "attempts.h"
#include "closing.h"
#include "ways.h"

#define FREE_MAX 256

PyObject *
operation_new(Handle *handle, Kind kind, PyObject *argument, Py_ssize_t count, PyObject *owner)
{
    State *state = handle->engine->state;
    Operation *op = state->free;
    if (op != NULL) {
        state->free = (Operation *)op->owner;
        state->free_count--;
        PyObject_Init((PyObject *)op, state->operation_type);
    } else {
        op = PyObject_GC_New(Operation, state->operation_type);
        if (op == NULL) {
            return NULL;
        }
    }
    op->handle = (Handle *)Py_NewRef(handle);
    op->owner = Py_XNewRef(owner);
    op->argument = Py_XNewRef(argument);
    op->count = (uint64_t)(count < BYTES_MAX ? count : BYTES_MAX);
    op->kind = kind;
    op->phase = NEW;
    op->asked = 0;
    op->begun = 0;
    op->tried = 0;
    op->excused = 0;
    PyObject_GC_Track(op);
    return (PyObject *)op;
}

void
operations_free(State *state)
{
    while (state->free != NULL) {
        Operation *op = state->free;
        state->free = (Operation *)op->owner;
        PyObject_GC_Del(op);
    }
    state->free_count = 0;
}

/* End a suspended operation: free its way, and keep an accepted connection. If poll() is making an attempt for it, it
   ends as well, and handle_try_again() handles the outcome of that attempt. */
static void
abandon(Operation *op)
{
    int way = way_of(op->kind);
    Handle *handle = op->handle;
    if (op->tried) {
        op->phase = DONE;
        handle_release(handle, way);
        return;
    }
    PyObject *value = op->argument;
    bool accepted = op->kind == ACCEPT && (handle->state[way] & (FINISHED | FAILED)) == FINISHED;
    op->argument = NULL;
    op->phase = DONE;
    handle_release(handle, way);
    if (accepted) {
        handle_keep(handle, value);
    }
    Py_XDECREF(value);
}

/* Drop an operation that is closed, or into which an exception is thrown. It refuses this during its own step. */
static int
drop(Operation *op)
{
    if (op->phase == RUNNING && !op->tried) {
        PyErr_SetString(PyExc_ValueError, "operation already executing");
        return -1;
    }
    if (op->phase == RUNNING || op->phase == SUSPENDED) {
        abandon(op);
    }
    return 0;
}

/* Set `bytes_sent` of the error that ends a sendall early. */
static void
tell_bytes_sent(Operation *op, PyObject *error)
{
    PyObject *sent = PyLong_FromUnsignedLongLong(op->count);
    if (sent == NULL || PyObject_SetAttr(error, op->handle->engine->state->names[NAME_BYTES_SENT], sent) < 0) {
        PyErr_Clear(); /* a foreign exception class may refuse the attribute; the error itself matters more */
    }
    Py_XDECREF(sent);
}

/* End the operation with the current exception. */
static PySendResult
fail(Operation *op)
{
    PyObject *error = error_take();
    if (op->kind == SENDALL) {
        tell_bytes_sent(op, error);
    }
    operation_let_go(op);
    error_put(error);
    return PYGEN_ERROR;
}

static PySendResult
succeed(Operation *op, PyObject *value, PyObject **result)
{
    operation_let_go(op);
    *result = value;
    return PYGEN_RETURN;
}

/* Yield the direction, so that the caller parks there. */
static PySendResult
suspend(Operation *op, PyObject **result)
{
    int way = way_of(op->kind);
    *result = handle_direction(op->handle, way);
    if (*result == NULL) {
        handle_release(op->handle, way);
        return fail(op);
    }
    op->phase = SUSPENDED;
    if (op->handle->armed & CLOSE_LATE) {
        handle_close_late(op->handle);
    }
    return PYGEN_NEXT;
}

/* Free the way after the attempt that has ended the operation. */
static void
release(Handle *handle, int way)
{
    handle_release(handle, way);
    if (handle->armed & CLOSE_LATE) {
        handle_close_late(handle);
    }
}

/* Make the attempt, on a way that the operation has taken. */
static PySendResult
go(Operation *op, PyObject **result)
{
    Handle *handle = op->handle;
    int way = way_of(op->kind);
    if (handle->ready[way] || op->kind == CONNECT || op->kind == NOTHING) {
        PyObject *value = NULL;
        handle->ready[way] = false; /* before the attempt: it may release the GIL, and an event may arrive */
        switch (attempt(op, &value)) {
        case SUCCESS:
            handle->ready[way] = true;
            /* fall through */
        case DRAINED:
            streak++;
            release(handle, way);
            return succeed(op, value, result);
        case FAILURE:
            handle->ready[way] = true;
            streak++; /* a caller that tries again and again has not waited either */
            release(handle, way);
            return fail(op);
        case BLOCKED:
            break;
        case AGAIN:
            handle->ready[way] = true;
            handle->state[way] = PASSING | (handle->state[way] & FOR_GOOD);
            break;
        }
    }
    return suspend(op, result);
}

static PySendResult
start(Operation *op, PyObject **result)
{
    Handle *handle = op->handle;
    int way = way_of(op->kind);
    if (handle->state[way] != IDLE) {
        handle_refuse(handle, way);
        return fail(op);
    }
    /* Take the way before the attempt, since an attempt can run foreign code. */
    op->phase = RUNNING;
    handle->operation[way] = op;
    if (streak >= STREAK_MAX) {
        handle->state[way] = PASSING;
        return suspend(op, result);
    }
    handle->state[way] = OFFERED;
    return go(op, result);
}

/* Raise the error of an operation that was resumed before it has finished. */
static PySendResult
refused(Operation *op, int way, uint8_t state)
{
    if (state & PASSING) { /* closed or forked while other threads ran */
        handle_refuse(op->handle, way);
    } else {
        PyObject *what = handle_describe(op->handle, way);
        if (what != NULL) {
            PyErr_Format(PyExc_RuntimeError, "resumed before it has finished: %U", what);
            Py_DECREF(what);
        }
    }
    handle_release(op->handle, way);
    return fail(op);
}

static PySendResult
resume(Operation *op, PyObject **result)
{
    Handle *handle = op->handle;
    int way = way_of(op->kind);
    uint8_t state = handle->state[way];
    op->phase = RUNNING; /* foreign code may run from here on, and must not end the operation a second time */
    if (state == PASSING) {
        handle->state[way] = OFFERED;
        handle->finished &= ~(1u << way) & 3;
        Py_CLEAR(handle->waiter[way]);
        return go(op, result);
    }
    if (!(state & FINISHED)) {
        return refused(op, way, state);
    }
    PyObject *value = op->argument;
    op->argument = NULL;
    handle_release(handle, way);
    if (state & FAILED) {
        PyErr_SetObject((PyObject *)Py_TYPE(value), value);
        Py_DECREF(value);
        return fail(op);
    }
    return succeed(op, value, result);
}

/* Refuse a second await. The first one continues. */
static PyObject *
refuse_again(Operation *op)
{
    PyErr_Format(PyExc_RuntimeError, "this operation %s awaited already", op->phase == DONE ? "has been" : "is being");
    return NULL;
}

/* `yield from` and `await` call this first. Before the first step it may be called again, since some callers do
   that. */
static PyObject *
operation_iter(PyObject *self)
{
    Operation *op = (Operation *)self;
    return op->phase == NEW ? Py_NewRef(self) : refuse_again(op);
}

static PySendResult
operation_am_send(PyObject *self, PyObject *sent, PyObject **result)
{
    Operation *op = (Operation *)self;
    *result = NULL;
    switch ((Phase)op->phase) {
    case NEW:
        if (sent != NULL && sent != Py_None) {
            PyErr_SetString(PyExc_TypeError, "can't send non-None value to an operation that has not begun");
            return PYGEN_ERROR;
        }
        return start(op, result);
    case SUSPENDED:
        return resume(op, result);
    case RUNNING:
        PyErr_SetString(PyExc_ValueError, "operation already executing");
        return PYGEN_ERROR;
    case DONE:
        break;
    }
    *result = Py_NewRef(Py_None); /* as a generator does; operation_iter() has refused a second await before */
    return PYGEN_RETURN;
}

/* Keep a StopIteration in reserve. */
void
operations_reserve_stop(State *state)
{
    if (state->spare_stop == NULL && !PyErr_Occurred()) {
        state->spare_stop = PyObject_CallNoArgs(PyExc_StopIteration);
        if (state->spare_stop == NULL) {
            PyErr_Clear(); /* try again next time */
        }
    }
}

/* Make the exception that ends an iterator with a result. Received data is not lost if there is no memory for it. */
static PyObject *
make_stop(State *state, PyObject *result)
{
    /* Call the class explicitly: PyErr_SetObject() would unpack a tuple, and raise an exception. */
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
    if (stop == NULL && state->spare_stop != NULL) {
        PyErr_Clear();
        stop = state->spare_stop;
        state->spare_stop = NULL;
        Py_XSETREF(((PyStopIterationObject *)stop)->value, Py_NewRef(result));
    } else {
        operations_reserve_stop(state);
    }
    return stop;
}

/* Raise StopIteration with the result. Steals the reference. */
static PyObject *
stop_with(Operation *op, PyObject *result)
{
    PyObject *stop = make_stop(op->handle->engine->state, result);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    } else if (op->kind == ACCEPT && result != Py_None) {
        handle_keep(op->handle, result);
    }
    Py_DECREF(result);
    return NULL;
}

static PyObject *
operation_iternext(PyObject *self)
{
    PyObject *result;
    PySendResult status = operation_am_send(self, Py_None, &result);
    if (status != PYGEN_RETURN) {
        return result;
    }
    if (result == Py_None) { /* no exception is needed: the iterator just ends */
        Py_DECREF(result);
        return NULL;
    }
    return stop_with((Operation *)self, result);
}

static PyObject *
operation_send(PyObject *self, PyObject *sent)
{
    PyObject *result;
    PySendResult status = operation_am_send(self, sent, &result);
    return status == PYGEN_RETURN ? stop_with((Operation *)self, result) : result;
}

/* Make the arguments of throw() the current exception: (error), or (type, value, traceback) as Python passes them. */
static int
set_thrown(PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *type = args[0];
    PyObject *value = nargs > 1 && args[1] != Py_None ? args[1] : NULL;
    PyObject *traceback = nargs > 2 && args[2] != Py_None ? args[2] : NULL;
    if (traceback != NULL && !PyTraceBack_Check(traceback)) {
        PyErr_SetString(PyExc_TypeError, "throw() third argument must be a traceback object");
        return -1;
    }
    PyObject *error;
    if (PyExceptionInstance_Check(type) && value == NULL) {
        error = Py_NewRef(type);
    } else if (PyExceptionClass_Check(type) && value != NULL && PyObject_TypeCheck(value, (PyTypeObject *)type)) {
        error = Py_NewRef(value);
    } else if (PyExceptionClass_Check(type)) {
        error = value != NULL ? PyObject_CallOneArg(type, value) : PyObject_CallNoArgs(type);
        if (error == NULL) {
            return -1;
        }
    } else {
        PyErr_SetString(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException");
        return -1;
    }
    if (!PyExceptionInstance_Check(error)) {
        PyErr_Format(PyExc_TypeError, "calling %R did not return an exception", type);
        Py_DECREF(error);
        return -1;
    }
    if (traceback != NULL) {
        PyException_SetTraceback(error, traceback);
    }
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_DECREF(error);
    return 0;
}

static PyObject *
operation_throw(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    Operation *op = (Operation *)self;
    if (argument_count("throw", nargs, 1, 3) < 0) {
        return NULL;
    }
    if (drop(op) < 0) {
        return NULL;
    }
    set_thrown(args, nargs); /* an exception is set in any case */
    fail(op);
    return NULL;
}

static PyObject *
operation_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Operation *op = (Operation *)self;
    if (drop(op) < 0) {
        return NULL;
    }
    operation_let_go(op);
    Py_RETURN_NONE;
}

static PyObject *
operation_excuse(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    ((Operation *)self)->excused = 1;
    Py_RETURN_NONE;
}

static void
operation_finalize(PyObject *self)
{
    Operation *op = (Operation *)self;
    bool is_forgotten = op->phase == NEW && !op->excused && is_dropped(self);
    op->excused = 1;
    if (is_forgotten) {
        forgotten_report(self, PyUnicode_FromString(operation_name(op->kind)));
    }
}

static PyObject *
operation_repr(PyObject *self)
{
    Operation *op = (Operation *)self;
    static const char *const phases[] = {"not begun", "running", "suspended", "ended"};
    return PyUnicode_FromFormat("<operation %s on fd %d, %s>", operation_name(op->kind), op->handle->fd, phases[op->phase]);
}

static int
operation_traverse(PyObject *self, visitproc visit, void *arg)
{
    Operation *op = (Operation *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(op->handle);
    Py_VISIT(op->owner);
    Py_VISIT(op->argument);
    return 0;
}

static int
operation_clear(PyObject *self)
{
    Operation *op = (Operation *)self;
    if (op->phase == RUNNING) {
        return 0; /* its caller has a reference, so it cannot be garbage */
    }
    if (op->phase == SUSPENDED) {
        abandon(op);
    }
    operation_let_go(op);
    return 0;
}

static void
operation_dealloc(PyObject *self)
{
    Operation *op = (Operation *)self;
    Handle *handle = op->handle;
    State *state = handle->engine->state;
    PyTypeObject *type = Py_TYPE(self);
    if (op->phase == NEW && PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* the report keeps it */
    }
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, operation_dealloc) /* an owner may be an operation, which has an owner, and so on */
    if (op->phase == SUSPENDED) {
        PyObject *error = error_take();
        abandon(op);
        error_put(error);
    }
    operation_let_go(op);
    if (state->free_count < FREE_MAX && !op->excused) { /* CPython finalizes an object once */
        op->owner = (PyObject *)state->free;
        state->free = op;
        state->free_count++;
    } else {
        PyObject_GC_Del(op);
    }
    Py_DECREF(handle); /* not earlier: the last reference may free the poller, too */
    Py_DECREF(type);
    Py_TRASHCAN_END
}

static PyMethodDef operation_methods[] = {
    {"send", operation_send, METH_O, PyDoc_STR("Like send() of a generator.")},
    {"throw", (PyCFunction)(void (*)(void))operation_throw, METH_FASTCALL, PyDoc_STR("Like throw() of a generator.")},
    {"close", operation_close, METH_NOARGS, PyDoc_STR("Drop the operation on purpose.")},
    {"excuse", operation_excuse, METH_NOARGS, PyDoc_STR("Do not report it if nobody awaits it.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot operation_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("One operation on a socket, for `yield from` and `await`.")},
    {Py_tp_dealloc, operation_dealloc},
    {Py_tp_finalize, operation_finalize},
    {Py_tp_traverse, operation_traverse},
    {Py_tp_clear, operation_clear},
    {Py_tp_repr, operation_repr},
    {Py_tp_methods, operation_methods},
    {Py_tp_iter, operation_iter},
    {Py_tp_iternext, operation_iternext},
    {Py_am_await, operation_iter},
    {Py_am_send, operation_am_send},
    {0, NULL},
};

PyType_Spec operation_spec = {
    .name = "pollers.Operation",
    .basicsize = sizeof(Operation),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = operation_slots,
};
