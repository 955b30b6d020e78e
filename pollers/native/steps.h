/* Operations as Python objects, which `yield from` and `await` step. */

#ifndef POLLERS_NATIVE_STEPS_H
#define POLLERS_NATIVE_STEPS_H

#include "operation.h"

extern PyType_Spec operation_spec;

/* Make an operation. Nothing happens before its first step. It keeps `owner` alive until it ends. */
PyObject *operation_new(Handle *handle, Kind kind, PyObject *argument, Py_ssize_t count, PyObject *owner);

/* Keep a StopIteration in reserve. */
void operations_reserve_stop(State *state);

/* Free the memory of dead operations. */
void operations_free(State *state);

#endif
