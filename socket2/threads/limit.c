/* Patience.limit() of deadline.py in C: an operation that runs another one, and sets its deadline if that has to wait.

   Most operations need no wait, or end long before their deadline. So this file sets and takes back a deadline that
   only this OS thread uses, if the heap of timers need not change. The methods of Patience handle everything else.
   It knows the slots of a Patience, and of what a deadline depends on. It runs with the GIL held, and a change has no
   call of Python in it, so no signal handler runs in between. If several OS threads serve the scheduler, changes need
   the lock, and Python makes them. Must not know sockets, or what is limited. */

#include "limit.h"

#include <time.h>

#define SWEEP_MIN 64 /* as in timers.py */

_Thread_local PyObject **running_thread;

static PyObject *
slot(const Limits *limits, PyObject *object, int which)
{
    return *slot_at(object, limits->offsets[which]);
}

static void
put(const Limits *limits, PyObject *object, int which, PyObject *value)
{
    PyObject **place = slot_at(object, limits->offsets[which]);
    Py_XSETREF(*place, Py_NewRef(value));
}

static bool
is_a(const Limits *limits, PyObject *object, int slots_from)
{
    static const int classes[LIMIT_SLOTS] = {[LIMIT_CREW] = 0, [LIMIT_KNOWN] = 1, [LIMIT_USELESS] = 2};
    return object != NULL && Py_IS_TYPE(object, limits->classes[classes[slots_from]]);
}

/* The scheduler of the operation's thread, if one OS thread serves it, else NULL. Borrowed. */
static PyObject *
own_scheduler(const Limits *limits, PyObject *thread)
{
    PyObject *scheduler = slot(limits, thread, LIMIT_SCHEDULER);
    return is_a(limits, scheduler, LIMIT_CREW) && slot(limits, scheduler, LIMIT_CREW) == Py_None ? scheduler : NULL;
}

/* The interruptions of a scheduler, if none is on its way or pending in any thread, else NULL. Borrowed. */
static PyObject *
calm(const Limits *limits, PyObject *scheduler)
{
    PyObject *interruptions = slot(limits, scheduler, LIMIT_INTERRUPTIONS);
    PyObject *known = is_a(limits, interruptions, LIMIT_KNOWN) ? slot(limits, interruptions, LIMIT_KNOWN) : NULL;
    return known != NULL && PyDict_CheckExact(known) && PyDict_GET_SIZE(known) == 0 ? interruptions : NULL;
}

/* The timers of a scheduler, if they are those of the patience and count what is useless, else NULL. Borrowed. */
static PyObject *
shared_timers(const Limits *limits, PyObject *scheduler, PyObject *patience, long *useless)
{
    PyObject *timers = slot(limits, scheduler, LIMIT_TIMERS);
    if (timers != slot(limits, patience, LIMIT_ITS_TIMERS) || !is_a(limits, timers, LIMIT_USELESS)) {
        return NULL;
    }
    PyObject *count = slot(limits, timers, LIMIT_USELESS);
    int overflow = 0;
    *useless = count != NULL && PyLong_CheckExact(count) ? PyLong_AsLongAndOverflow(count, &overflow) : -1;
    return *useless >= 0 ? timers : NULL;
}

/* Set the deadline if its entry in the heap can stay as it is. Return 0 if not; -1 with an exception. */
static int
arm_quickly(const Limits *limits, const Limited *op)
{
    PyObject *scheduler = own_scheduler(limits, op->thread), *patience = op->patience;
    PyObject *queued = slot(limits, patience, LIMIT_QUEUED);
    long useless;
    if (scheduler == NULL || slot(limits, patience, LIMIT_THREAD) != Py_None || queued == NULL ||
        !PyFloat_CheckExact(queued) || op->due < PyFloat_AS_DOUBLE(queued)) {
        return 0;
    }
    PyObject *timers = shared_timers(limits, scheduler, patience, &useless);
    if (timers == NULL || (slot(limits, patience, LIMIT_DUE) == Py_None && useless == 0)) {
        return 0;
    }
    PyObject *due = PyFloat_FromDouble(op->due);
    PyObject *fewer = slot(limits, patience, LIMIT_DUE) == Py_None ? PyLong_FromLong(useless - 1) : NULL;
    if (due == NULL || PyErr_Occurred()) {
        Py_XDECREF(due);
        return -1;
    }
    if (fewer != NULL) {
        put(limits, timers, LIMIT_USELESS, fewer);
        Py_DECREF(fewer);
    }
    put(limits, patience, LIMIT_EXPIRED, Py_False);
    put(limits, patience, LIMIT_SINCE, op->since);
    put(limits, patience, LIMIT_THREAD, op->thread);
    put(limits, patience, LIMIT_DUE, due);
    Py_DECREF(due);
    return 1;
}

/* Set the deadline: the operation has to wait. */
static int
arm(Limited *op)
{
    const Limits *limits = op->limiter->limits;
    int done = arm_quickly(limits, op);
    if (done == 0) {
        PyObject *due = PyFloat_FromDouble(op->due);
        PyObject *entered = due == NULL ? NULL : call_by_name(op->patience, limits->names[LIMIT_BEGIN], op->thread, due,
                                                              op->since);
        Py_XDECREF(due);
        if (entered == NULL) {
            return -1;
        }
        Py_SETREF(op->patience, entered);
    }
    op->armed = done >= 0;
    if (done < 0) {
        return -1;
    }
    Py_INCREF(op->thread);
    return 0;
}

/* Take the deadline back. Return false if Python must do that. */
static bool
disarm_quickly(const Limits *limits, const Limited *op)
{
    PyObject *scheduler = own_scheduler(limits, op->thread), *patience = op->patience;
    long useless;
    if (scheduler == NULL || calm(limits, scheduler) == NULL || slot(limits, patience, LIMIT_ERROR) != Py_None ||
        slot(limits, patience, LIMIT_THREAD) != op->thread) {
        return false;
    }
    PyObject *timers = shared_timers(limits, scheduler, patience, &useless);
    if (timers == NULL || useless + 1 >= SWEEP_MIN || slot(limits, patience, LIMIT_DUE) == Py_None ||
        slot(limits, patience, LIMIT_QUEUED) == Py_None) {
        return false;
    }
    PyObject *more = PyLong_FromLong(useless + 1);
    if (more == NULL) {
        PyErr_Clear();
        return false;
    }
    put(limits, timers, LIMIT_USELESS, more);
    put(limits, patience, LIMIT_DUE, Py_None);
    put(limits, patience, LIMIT_THREAD, Py_None);
    Py_DECREF(more);
    return true;
}

/* A method of the patience has raised. Its use ends, and the exception stays. */
static void
give_up(Limited *op)
{
    PyObject *error = error_take();
    PyObject *done = call_by_name(op->patience, op->limiter->limits->names[LIMIT_GIVE_UP], NULL, NULL, NULL);
    PyErr_Clear();
    Py_XDECREF(done);
    error_put(error);
}

/* Raise `raised` in the place of `error`, as `raise ... from None` in an `except` block. Steals both references. */
static void
raise_instead(PyObject *raised, PyObject *error)
{
    if (raised == error) {
        Py_DECREF(raised);
        error_put(error);
        return;
    }
    PyObject *outer = PyErr_GetHandledException();
    PyErr_SetHandledException(error);
    PyErr_SetObject((PyObject *)Py_TYPE(raised), raised);
    PyErr_SetHandledException(outer);
    Py_XDECREF(outer);
    PyException_SetCause(raised, NULL);
    Py_DECREF(raised);
    Py_DECREF(error);
}

/* Take the deadline back after the exception that is set. It may become a TimeoutError. */
static void
leave_by_error(Limited *op)
{
    PyObject *error = error_take();
    PyObject *raised = call_by_name(op->patience, op->limiter->limits->names[LIMIT_ENDED_BY], error, NULL, NULL);
    if (raised != NULL) {
        raise_instead(raised, error);
        return;
    }
    Py_DECREF(error);
    give_up(op);
}

static int
leave(Limited *op)
{
    const Limits *limits = op->limiter->limits;
    if (disarm_quickly(limits, op)) {
        return 0;
    }
    PyObject *left = call_by_name(op->patience, limits->names[LIMIT_LEAVE], Py_None, NULL, NULL);
    if (left == NULL) {
        give_up(op);
        return -1;
    }
    Py_DECREF(left);
    return 0;
}

PySendResult
limited_finish(Limited *op, PyObject *value, PyObject **result)
{
    if (op->armed) {
        PyObject *thread = op->thread;
        if (value == NULL) {
            leave_by_error(op);
        } else if (leave(op) < 0) {
            Py_CLEAR(value);
        }
        op->armed = false;
        Py_DECREF(thread);
    }
    op->phase = DONE;
    *result = value;
    return value != NULL ? PYGEN_RETURN : PYGEN_ERROR;
}

PySendResult
limited_advance(Limited *op, PySendResult outcome, PyObject *value, PyObject **result)
{
    while (outcome == PYGEN_NEXT && !op->armed && !op->replaced && arm(op) < 0) {
        PyObject *error = error_take(); /* it ends with this, as if its wait had raised it */
        Py_DECREF(value);
        outcome = steps_throw(op->limiter->limits->names[LIMIT_THROW], (PyObject *[]){op->inner, error}, 2, &value);
        Py_DECREF(error);
    }
    if (outcome == PYGEN_NEXT) {
        op->phase = SUSPENDED;
        *result = value;
        return PYGEN_NEXT;
    }
    return limited_finish(op, outcome == PYGEN_RETURN ? value : NULL, result);
}

int
limited_become_python(Limited *op)
{
    PyObject *args[] = {op->patience, op->inner != NULL ? op->inner : Py_None};
    PyObject *limited = PyObject_Vectorcall(op->limiter->standin.function, args, 2, NULL);
    PyObject *steps = steps_of(limited, op->limiter->limits->names[LIMIT_AWAIT]);
    if (steps == NULL) {
        op->phase = DONE;
        return -1;
    }
    Py_XSETREF(op->inner, steps);
    op->replaced = true;
    return 0;
}

/* Return the scheduler's time in seconds; -1 with an exception on failure. */
static double
time_of(const Limits *limits, PyObject *scheduler)
{
    PyObject *clock = Py_XNewRef(slot(limits, scheduler, LIMIT_NOW));
    if (clock == limits->monotonic) { /* without a float for it */
        struct timespec now;
        Py_DECREF(clock);
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)((int64_t)now.tv_sec * 1000000000 + now.tv_nsec) / 1e9;
    }
    if (clock == NULL) {
        PyErr_SetString(PyExc_AttributeError, "this scheduler has no clock");
        return -1;
    }
    PyObject *now = PyObject_CallNoArgs(clock);
    double seconds = now != NULL ? PyFloat_AsDouble(now) : -1;
    Py_XDECREF(now);
    Py_DECREF(clock);
    return seconds;
}

/* Note who begins the operation, and when. Return 0 if this is not the usual case; -1 with an exception. */
static int
note_start(const Limits *limits, Limited *op)
{
    PyObject *thread = running_thread != NULL ? *running_thread : NULL;
    PyObject *seconds = slot(limits, op->patience, LIMIT_SECONDS);
    if (thread == NULL || !PyObject_TypeCheck(thread, limits->thread_type) || seconds == NULL ||
        !PyFloat_CheckExact(seconds) || PyFloat_AS_DOUBLE(seconds) == 0) {
        return 0;
    }
    PyObject *scheduler = own_scheduler(limits, thread);
    PyObject *interruptions = scheduler != NULL ? calm(limits, scheduler) : NULL;
    PyObject *since = interruptions != NULL ? slot(limits, interruptions, LIMIT_RAISED) : NULL;
    if (since == NULL) {
        return 0;
    }
    op->thread = thread; /* it runs this step, so it stays alive */
    op->since = Py_NewRef(since);
    double now = time_of(limits, scheduler);
    op->due = now + PyFloat_AS_DOUBLE(seconds);
    return now < 0 && PyErr_Occurred() ? -1 : 1;
}

PySendResult
limited_start(Limited *op, PyObject **result)
{
    const Limits *limits = op->limiter->limits;
    op->phase = RUNNING;
    int usual = note_start(limits, op);
    if (usual > 0) {
        op->inner = steps_of(op->inner, limits->names[LIMIT_AWAIT]);
    }
    if (usual < 0 || (usual == 0 && limited_become_python(op) < 0) || op->inner == NULL) {
        return limited_finish(op, NULL, result);
    }
    PyObject *value;
    PySendResult outcome = PyIter_Send(op->inner, Py_None, &value);
    return limited_advance(op, outcome, value, result);
}
