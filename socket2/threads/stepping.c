/* _step() and _step_shared() of stepping.py in C. Every step of a thread goes through here.

   This file has only the usual case: run a thread to its next wait, and park it there. The methods of the Stepper
   handle everything else: the end of a thread, an interruption, an object that the thread cannot be parked on. It knows
   the slots of a Thread and a Stepper, and park(). It must not know sockets. It runs with the GIL held, so slots need no
   lock. As in Python, what members share is changed under the lock. */

#include "patience.h"

/* The slots of a Thread, and from CURRENT on those of a Stepper. */
enum { SCHEDULER, CORO, CONTEXT, ERRORS, WAITING_ON, CURRENT, TAKEN, SLOTS };

static const char *const slot_texts[SLOTS] = {"scheduler", "_coro",   "_context", "_errors",
                                              "waiting_on", "current", "taken"};

enum {
    ACQUIRE,
    BEFORE_INTERRUPTION,
    END,
    END_AFTER_ALL,
    GO_ON,
    INTERRUPTIONS,
    IS_REFUSED,
    MISLED,
    PARK,
    PARK_AFTER_ALL,
    REFUSE,
    RELEASE,
    STEPPERS_SCHEDULER,
    NAMES
};

static const char *const name_texts[NAMES] = {
    "acquire", "before_interruption", "_end",           "_end_after_all", "_go_on",  "interruptions", "is_refused",
    "_misled", "park",                "_park_after_all", "_refuse",        "release", "scheduler",
};

typedef struct {
    Limits limits; /* the first: patience.c knows only this */
    PyTypeObject *thread_type;
    PyTypeObject *stepper_type;
    Py_ssize_t offsets[SLOTS];
    Method park;
    PyObject *lock;
    PyObject *names[NAMES]; /* interned, because CPython finds attributes fastest by the identity of their names */
} State;

static PyObject **
slot(const State *state, PyObject *object, int which)
{
    return slot_at(object, state->offsets[which]);
}

static void
put(const State *state, PyObject *object, int which, PyObject *value)
{
    PyObject **place = slot(state, object, which);
    Py_XSETREF(*place, Py_NewRef(value));
}

static bool
is_none(const State *state, PyObject *object, int which)
{
    return *slot(state, object, which) == Py_None;
}

/* Call a method with the arguments before the first NULL, and drop its result. Return -1 if it raises, else 0. */
static int
tell(const State *state, PyObject *object, int name, PyObject *first, PyObject *second, PyObject *third)
{
    PyObject *result = call_by_name(object, state->names[name], first, second, third);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

/* Release the lock. If `status` is -1, keep the exception that is set, and return -1. */
static int
release_lock(const State *state, int status)
{
    PyObject *error = status < 0 ? error_take() : NULL;
    int released = tell(state, state->lock, RELEASE, NULL, NULL, NULL);
    if (error != NULL) {
        PyErr_Clear();
        error_put(error);
    }
    return status < 0 ? status : released;
}

static int
before_interruption(const State *state, PyObject *scheduler, PyObject *thread)
{
    PyObject *interruptions = PyObject_GetAttr(scheduler, state->names[INTERRUPTIONS]);
    int status = interruptions == NULL ? -1 : tell(state, interruptions, BEFORE_INTERRUPTION, thread, NULL, NULL);
    Py_XDECREF(interruptions);
    return status;
}

static int
prepare(const State *state, PyObject *stepper, PyObject *scheduler, PyObject *thread)
{
    if (!is_none(state, thread, ERRORS) && before_interruption(state, scheduler, thread) < 0) {
        return -1;
    }
    put(state, thread, WAITING_ON, Py_None);
    put(state, stepper, CURRENT, thread);
    return 0;
}

/* Run the thread in its context to its next wait or its end. */
static PySendResult
resume(const State *state, PyObject *thread, PyObject **result)
{
    PySendResult outcome = PYGEN_ERROR;
    PyObject *coro = Py_XNewRef(*slot(state, thread, CORO));
    PyObject *context = Py_XNewRef(*slot(state, thread, CONTEXT));
    *result = NULL;
    if (coro == NULL || context == NULL) {
        PyErr_SetString(PyExc_AttributeError, "a slot of the thread was deleted");
    } else if (PyContext_Enter(context) == 0) {
        outcome = PyIter_Send(coro, Py_None, result);
        if (PyContext_Exit(context) < 0) {
            Py_CLEAR(*result);
            outcome = PYGEN_ERROR;
        }
    }
    Py_XDECREF(context);
    Py_XDECREF(coro);
    return outcome;
}

/* Call a method with the thread, another argument, and the exception that is set, as in an `except` block. */
static int
tell_of_error(const State *state, PyObject *stepper, int name, PyObject *thread, PyObject *second)
{
    PyObject *error = error_take();
    PyObject *outer = PyErr_GetHandledException();
    PyErr_SetHandledException(error);
    int status = tell(state, stepper, name, thread, second, error);
    PyErr_SetHandledException(outer);
    Py_XDECREF(outer);
    Py_DECREF(error);
    return status;
}

/* A signal handler has raised. Have the stepper complete the change, then keep the handler's exception. Return -1. */
static int
do_after_all(const State *state, PyObject *stepper, int name, PyObject *thread, PyObject *second, PyObject *third)
{
    PyObject *error = error_take();
    (void)tell(state, stepper, name, thread, second, third);
    PyErr_Clear();
    error_put(error);
    return -1;
}

/* End the thread, with `result`, or with the exception that is set if `result` is NULL. */
static int
end(const State *state, PyObject *stepper, PyObject *thread, PyObject *result)
{
    PyObject *steps = Py_XNewRef(*slot(state, thread, CORO));
    PyObject *error = NULL;
    int status;
    if (result != NULL) {
        status = tell(state, stepper, END, thread, result, Py_None);
    } else {
        error = error_take();
        error_put(Py_NewRef(error));
        status = tell_of_error(state, stepper, END, thread, Py_None);
    }
    if (status < 0) {
        PyObject *raised = error_take();
        if (error == NULL) {
            error = PyObject_CallOneArg(PyExc_StopIteration, result);
        }
        error_put(raised);
        if (error != NULL) {
            do_after_all(state, stepper, END_AFTER_ALL, thread, steps, error);
        }
    }
    Py_XDECREF(error);
    Py_XDECREF(steps);
    return status;
}

static int
park_on(State *state, PyObject *stepper, PyObject *thread, PyObject *waiting)
{
    PyObject *finished = method_call(&state->park, state->names[PARK], (PyObject *[]){waiting, thread}, 2);
    if (finished == NULL) {
        return -1;
    }
    put(state, thread, WAITING_ON, waiting);
    int status = 0;
    if (finished != Py_False || !is_none(state, thread, ERRORS)) {
        status = tell(state, stepper, GO_ON, thread, waiting, finished);
    }
    Py_DECREF(finished);
    return status;
}

/* Whether the exception that is set is to be raised in the thread: see is_refused() in Python. It stays set. */
static bool
is_refused(const State *state, PyObject *stepper, PyObject *thread, PyObject *waiting)
{
    PyObject *error = error_take();
    PyObject *answer = call_by_name(stepper, state->names[IS_REFUSED], thread, waiting, error);
    bool refused = answer == Py_True;
    PyErr_Clear();
    Py_XDECREF(answer);
    error_put(error);
    return refused;
}

static int
park(State *state, PyObject *stepper, PyObject *thread, PyObject *waiting, bool shared)
{
    if (shared && tell(state, state->lock, ACQUIRE, NULL, NULL, NULL) < 0) {
        return do_after_all(state, stepper, PARK_AFTER_ALL, thread, waiting, NULL);
    }
    int status = park_on(state, stepper, thread, waiting);
    bool refused = status < 0 && is_refused(state, stepper, thread, waiting);
    if (shared) {
        status = release_lock(state, status);
    }
    return refused ? tell_of_error(state, stepper, REFUSE, thread, waiting) : status;
}

static int
run(State *state, PyObject *stepper, PyObject *thread, bool shared)
{
    PyObject *result;
    PySendResult outcome = resume(state, thread, &result);
    int status;
    if (outcome == PYGEN_NEXT) {
        put(state, stepper, CURRENT, Py_None);
        status = park(state, stepper, thread, result, shared);
    } else {
        status = end(state, stepper, thread, outcome == PYGEN_RETURN ? result : NULL);
    }
    Py_XDECREF(result);
    return status;
}

/* Check the arguments of a step. Return the Stepper's scheduler, or NULL with an exception. */
static PyObject *
scheduler_of(const State *state, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !PyObject_TypeCheck(args[0], state->stepper_type)) {
        PyErr_SetString(PyExc_TypeError, "a step takes a Stepper and what to step");
        return NULL;
    }
    return PyObject_GetAttr(args[0], state->names[STEPPERS_SCHEDULER]);
}

/* Return 1 if the thread belongs to this scheduler; 0 if to another, which has been told; -1 with an exception. */
static int
is_ours(const State *state, PyObject *stepper, PyObject *scheduler, PyObject *thread)
{
    if (!PyObject_TypeCheck(thread, state->thread_type)) {
        PyErr_Format(PyExc_TypeError, "only threads can be stepped, not %R", thread);
        return -1;
    }
    if (*slot(state, thread, SCHEDULER) == scheduler) {
        return 1;
    }
    return tell(state, stepper, MISLED, thread, NULL, NULL);
}

PyDoc_STRVAR(step_doc, "step($module, stepper, threads, /)\n--\n\n"
                       "Run each thread to its next wait, or to its end.");

static PyObject *
step(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    State *state = PyModule_GetState(module);
    PyObject *scheduler = scheduler_of(state, args, count);
    PyObject *threads = scheduler != NULL ? PyObject_GetIter(args[1]) : NULL;
    PyObject *thread, **outer = running_thread;
    int status = 0;
    if (threads != NULL) {
        running_thread = slot(state, args[0], CURRENT);
    }
    while (threads != NULL && status == 0 && (thread = PyIter_Next(threads)) != NULL) {
        status = is_ours(state, args[0], scheduler, thread);
        if (status > 0) {
            status = prepare(state, args[0], scheduler, thread);
            if (status == 0) {
                status = run(state, args[0], thread, false);
            }
        }
        Py_DECREF(thread);
    }
    running_thread = outer;
    Py_XDECREF(threads);
    Py_XDECREF(scheduler);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static int
prepare_shared(const State *state, PyObject *stepper, PyObject *scheduler, PyObject *thread)
{
    if (tell(state, state->lock, ACQUIRE, NULL, NULL, NULL) < 0) {
        return -1;
    }
    int status = prepare(state, stepper, scheduler, thread);
    if (status == 0) {
        put(state, stepper, TAKEN, Py_None);
    }
    return release_lock(state, status);
}

PyDoc_STRVAR(step_shared_doc, "step_shared($module, stepper, thread, /)\n--\n\n"
                              "Step one thread while other OS threads serve the scheduler, too.");

static PyObject *
step_shared(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    State *state = PyModule_GetState(module);
    PyObject *scheduler = scheduler_of(state, args, count);
    if (scheduler == NULL) {
        return NULL;
    }
    PyObject *stepper = args[0], *thread = args[1], **outer = running_thread;
    running_thread = slot(state, stepper, CURRENT);
    int status = is_ours(state, stepper, scheduler, thread);
    if (status > 0) {
        status = prepare_shared(state, stepper, scheduler, thread);
        if (status == 0) {
            status = run(state, stepper, thread, true);
        }
        put(state, stepper, CURRENT, Py_None);
    }
    running_thread = outer;
    Py_DECREF(scheduler);
    return status < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef methods[] = {
    {"step", (PyCFunction)(void (*)(void))step, METH_FASTCALL, step_doc},
    {"step_shared", (PyCFunction)(void (*)(void))step_shared, METH_FASTCALL, step_shared_doc},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject *
type_from(const char *module, const char *name)
{
    PyObject *found = taken_from(module, name);
    if (found != NULL && !PyType_Check(found)) {
        PyErr_Format(PyExc_ImportError, "%s.%s is not a type", module, name);
        Py_CLEAR(found);
    }
    return (PyTypeObject *)found;
}

static int
execute(PyObject *module)
{
    State *state = PyModule_GetState(module);
    state->thread_type = type_from("socket2.threads.thread", "Thread");
    state->stepper_type = type_from("socket2.threads.stepping", "Stepper");
    state->lock = taken_from("socket2.threads.lock", "lock");
    if (state->thread_type == NULL || state->stepper_type == NULL || state->lock == NULL) {
        return -1;
    }
    if (names_make(state->names, name_texts, NAMES) < 0) {
        return -1;
    }
    for (int which = 0; which < SLOTS; which++) {
        PyTypeObject *type = which >= CURRENT ? state->stepper_type : state->thread_type;
        state->offsets[which] = slot_offset(type, slot_texts[which]);
        if (state->offsets[which] < 0) {
            return -1;
        }
    }
    return limits_execute(module, &state->limits);
}

static int
traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->thread_type);
    Py_VISIT(state->stepper_type);
    Py_VISIT(state->park.type);
    Py_VISIT(state->park.method);
    Py_VISIT(state->lock);
    return limits_traverse(&state->limits, visit, arg);
}

static int
clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->thread_type);
    Py_CLEAR(state->stepper_type);
    Py_CLEAR(state->park.type);
    Py_CLEAR(state->park.method);
    Py_CLEAR(state->lock);
    names_clear(state->names, NAMES);
    limits_clear(&state->limits);
    return 0;
}

MODULE_WITH_STATE("socket2._stepping", "The steps of threads in C. socket2/threads/stepping.py has the same in Python.",
                  sizeof(State), methods);

PyMODINIT_FUNC
PyInit__stepping(void)
{
    return PyModuleDef_Init(&definition);
}
