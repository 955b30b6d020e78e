/* The report of an operation that was dropped before its first step. pollers/forgotten.py writes it.

   Knows CPython by cpython.h. Must not know what an operation is: each part that has operations calls this from their
   tp_finalize. */

#ifndef POLLERS_FORGOTTEN_H
#define POLLERS_FORGOTTEN_H

#include "cpython.h"

/* Whether somebody has just dropped the last reference to `op`. If not, the garbage collector has found it. Then, or
   if an exception is on its way, it was perhaps not forgotten. Call this in tp_finalize. */
static inline bool
is_dropped(PyObject *op)
{
    return Py_REFCNT(op) == 1 && !PyErr_Occurred();
}

/* Call a function of pollers/forgotten.py, in tp_finalize. At the end of the interpreter it does nothing. */
static inline void
forgotten_call(PyObject *op, const char *function, PyObject *first, PyObject *second)
{
    PyObject *name = PyUnicode_FromString("pollers.forgotten");
    PyObject *module = name != NULL ? PyImport_GetModule(name) : NULL;
    PyObject *result = NULL;
    Py_XDECREF(name);
    if (module != NULL) {
        result = PyObject_CallMethod(module, function, second != NULL ? "OO" : "(O)", first, second);
        Py_DECREF(module);
    }
    if (result == NULL && PyErr_Occurred()) {
        PyErr_WriteUnraisable(op); /* also the RuntimeWarning itself, if a filter makes it an error */
    }
    Py_XDECREF(result);
}

/* Report `op`, whose name is `name`. Steals the reference to the name, which is NULL if there is an exception. */
static inline void
forgotten_report(PyObject *op, PyObject *name)
{
    if (name == NULL) {
        PyErr_WriteUnraisable(op);
        return;
    }
    forgotten_call(op, "report", op, name);
    Py_DECREF(name);
}

#endif
