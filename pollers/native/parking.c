/* Operations that wait: parked, tried again after an event, cancelled, or ended by the close of their handle.

   Knows one attempt, the ways of a handle, and its close. Must not know operations as objects of Python's, or how events
   come: its engine reports them, and is told of what has finished. */

#include "parking.h"
#include "attempts.h"
#include "closing.h"
#include "sock.h"
#include "ways.h"

/* When poll() has received so many bytes, it leaves what else has come to the steps of those who wait for it. */
#define RECEIVED_MAX (64 << 10)

static int
bit_of(int way)
{
    return way == READING ? WATCHED_IN : WATCHED_OUT;
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
            handle_queue(handle, way);
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

/* Receiving for many in a row is what a kernel is fastest at, but what has been received should still be in the cache when
   it is looked at. */
bool
handle_leave(Handle *handle)
{
    Engine *engine = handle->engine;
    Operation *op = handle->operation[READING];
    if (engine->received < RECEIVED_MAX || handle->state[READING] != PARKED || is_running(handle, READING) ||
        op->kind > RECV_INTO) {
        return false;
    }
    /* Another OS thread may resume its waiter while settle() makes the attempt, unless that keeps the GIL throughout. */
    if (engine->shared && !(op->kind == RECV && op->count <= (uint64_t)SPARE_SIZE)) {
        return false;
    }
    handle->ready[READING] = true;
    handle->state[READING] = PASSING;
    return true;
}

int
handle_settle(Handle *handle)
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

PyObject *
handle_park(Handle *handle, int way, PyObject *waiter)
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
        handle_end_refused(handle, way);
        Py_RETURN_TRUE;
    }
    if (!(handle->armed & bit_of(way)) && handle_arm(handle, bit_of(way)) < 0) {
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
            handle_arm_again(handle);
            return NULL; /* it is parked all the same, and the next event ends it */
        }
        if (finished) {
            Py_CLEAR(handle->waiter[way]);
            Py_RETURN_TRUE;
        }
    }
    Py_RETURN_FALSE;
}

PyObject *
handle_cancel(Handle *handle, int way, PyObject *error)
{
    if (!PyExceptionInstance_Check(error)) {
        PyErr_Format(PyExc_TypeError, "an operation is cancelled with an exception, not %R", error);
        return NULL;
    }
    if (way == READING && handle_settle(handle) < 0) {
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

int
handle_close(Handle *handle)
{
    Py_INCREF(handle); /* the poller may hold the last reference */
    if (handle->fd >= 0 && handle_settle(handle) < 0) {
        PyErr_WriteUnraisable((PyObject *)handle);
    }
    int status = handle_close_at_once(handle);
    Py_DECREF(handle);
    return status;
}
