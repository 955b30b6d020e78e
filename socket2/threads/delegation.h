/* What an operation in C needs to run another operation inside its own steps, as `yield from` does.

   Knows CPython through cpython.h and slots.h. Must not know which operation it is, or who waits for what. */

#ifndef SOCKET2_DELEGATION_H
#define SOCKET2_DELEGATION_H

#include "slots.h"

/* Of an operation: not begun, in its step, waiting, ended. */
typedef enum { NEW, RUNNING, SUSPENDED, DONE } Phase;

static const char *const phase_texts[] __attribute__((unused)) = {"not begun", "awaited", "awaited", "ended"};

/* The steps of an operation, as `yield from` and `await` get them. `name` is "__await__". Steals the reference. */
static inline PyObject *
steps_of(PyObject *op, PyObject *name)
{
    if (op == NULL || PyGen_CheckExact(op)) {
        return op;
    }
    PyAsyncMethods *async = Py_TYPE(op)->tp_as_async;
    PyObject *steps = async != NULL && async->am_await != NULL ? async->am_await(op)
                                                               : call_by_name(op, name, NULL, NULL, NULL);
    Py_DECREF(op);
    return steps;
}

/* Throw into the steps, which are the first of the arguments. `name` is "throw". */
static inline PySendResult
steps_throw(PyObject *name, PyObject *const *args, size_t count, PyObject **value)
{
    *value = PyObject_VectorcallMethod(name, args, count, NULL);
    if (*value != NULL) {
        return PYGEN_NEXT;
    }
    if (PyErr_ExceptionMatches(PyExc_StopIteration)) {
        PyObject *stop = error_take();
        if (PyObject_TypeCheck(stop, (PyTypeObject *)PyExc_StopIteration)) {
            PyObject *returned = ((PyStopIterationObject *)stop)->value;
            *value = Py_NewRef(returned != NULL ? returned : Py_None);
            Py_DECREF(stop);
            return PYGEN_RETURN;
        }
        error_put(stop); /* CPython 3.11 had no memory to make the StopIteration */
    }
    return PYGEN_ERROR;
}

/* Return what was yielded, or raise StopIteration with what was returned. Steals the reference to that. */
static inline PyObject *
as_generator(PySendResult outcome, PyObject *result)
{
    if (outcome != PYGEN_RETURN) {
        return result;
    }
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
    Py_DECREF(result);
    return NULL;
}

/* Raise an error if the operation cannot be entered now: it is in its step. */
static inline int
check_not_running(Phase phase)
{
    if (phase == RUNNING) {
        PyErr_SetString(PyExc_ValueError, "operation already executing");
        return -1;
    }
    return 0;
}

/* Put a timeout around the operation, unless it is None. `name` is "limit". Steals the reference to the operation. The
   caller has one to the timeout, too: while the operation was made, foreign code may have set another one. */
static inline PyObject *
under_limit(Method *known, PyObject *name, PyObject *limit, PyObject *op)
{
    if (op == NULL || limit == Py_None) {
        return op;
    }
    PyObject *limited = method_call(known, name, (PyObject *[]){limit, op}, 2);
    Py_DECREF(op);
    return limited;
}

/* Whether the first step of an operation can be made with this value. Otherwise an exception is set. */
static inline bool
may_begin_with(PyObject *value)
{
    if (value != NULL && value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to an operation that has not begun");
        return false;
    }
    return true;
}

/* What `yield from` and `await` take: the operation itself, once. */
static inline PyObject *
taken_once(PyObject *op, Phase phase)
{
    if (phase == NEW) {
        return Py_NewRef(op);
    }
    PyErr_Format(PyExc_RuntimeError, "this operation %s awaited already", phase == DONE ? "has been" : "is being");
    return NULL;
}

#endif
