/* Operations that wait: they are parked, tried again after an event, cancelled, or ended by the close of their handle.

   Knows one attempt, the ways of a handle, and its close. Must not know operations as Python objects, or how the engine
   gets events. The engine reports events to this part, and this part reports finished operations to the engine. */

#include "parking.h"
#include "attempts.h"
#include "closing.h"
#include "sock.h"
#include "ways.h"

/* After poll() has received this many bytes, it leaves the remaining receives to the steps of their waiters. */
#define RECEIVED_MAX (64 << 10)

static int
bit_of(int way)
{
    return way == READING ? WATCHED_IN : WATCHED_OUT;
}

/* The outcome of an attempt, before it is given to the operation. */
typedef struct {
    Outcome outcome;
    PyObject *value; /* its result */
    PyObject *error; /* its exception */
    bool broken;     /* the exception does not belong to the operation */
} Tried;

/* Make the attempt for a parked operation. Runs foreign code, which may drop the operation: `tried` allows that. It is
   no longer RUNNING then. */
static Tried
try_for(Operation *op, Handle *handle, int way)
{
    Tried tried = {.value = NULL, .error = NULL, .broken = false};
    op->phase = RUNNING;
    op->tried = 1;
    handle->ready[way] = false; /* before the attempt: it may release the GIL, and another event may arrive */
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

/* Return the error of a cancel or a close during the attempt, if the attempt has not ended the operation. NULL if there
   is none. Runs foreign code. */
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

/* Discard the outcome: the operation was dropped during the attempt, so nobody waits for it. */
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
        /* From here on, foreign code and other OS threads see the operation as ended and queued, or as parked. */
        PyObject *end = tried.value != NULL ? tried.value : why != NULL ? Py_NewRef(why) : NULL;
        uint8_t state = end == tried.value ? FINISHED : FINISHED | FAILED;
        if (end == NULL && tried.error != NULL && !tried.broken) {
            end = tried.error;
            tried.error = NULL;
            state = FINISHED | FAILED;
        }
        if (tried.outcome == AGAIN) { /* the waiter's next step continues it */
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

/* Many receives in a row are fastest for the kernel. But the data should still be in the cache when its waiter reads
   it. */
bool
handle_leave(Handle *handle)
{
    Engine *engine = handle->engine;
    Operation *op = handle->operation[READING];
    if (engine->received < RECEIVED_MAX || handle->state[READING] != PARKED || is_running(handle, READING) ||
        op->kind > RECV_INTO) {
        return false;
    }
    /* If handle_settle() released the GIL during its attempt, another OS thread could resume the waiter. */
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
    if (state != OFFERED) { /* closed since it was yielded */
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
        /* Another OS thread has got an event since the attempt. There will be no second edge. */
        bool broken = false;
        bool finished = handle_try_again(handle, way, false, &broken);
        if (broken) {
            handle_arm_again(handle);
            return NULL; /* it is parked nevertheless, and the next event ends it */
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
        PyErr_Format(PyExc_TypeError, "cancel() takes an exception, not %R", error);
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
    return PyBool_FromLong(!(state & PASSING)); /* a PASSING operation is resumed anyway */
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
