/* Operations as objects of Python's: made, and stepped by `yield from` and `await`. */

#ifndef POLLERS_NATIVE_STEPS_H
#define POLLERS_NATIVE_STEPS_H

#include "operation.h"

extern PyType_Spec operation_spec;

/* Nothing happens before its first step. The owner is kept alive until its end. */
PyObject *operation_new(Handle *handle, Kind kind, PyObject *argument, Py_ssize_t count, PyObject *owner);

/* Have a StopIteration in reserve. */
void operations_reserve_stop(State *state);

/* Free the memory of those that ended. */
void operations_free(State *state);

#endif
