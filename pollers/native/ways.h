/* The ways of a handle: an operation takes one, is refused, ends there, and frees it. */

#ifndef POLLERS_NATIVE_WAYS_H
#define POLLERS_NATIVE_WAYS_H

#include "operation.h"

/* Return the Direction object of a way. */
PyObject *handle_direction(Handle *handle, int way);

/* Return what the way is doing, for people. */
PyObject *handle_describe(Handle *handle, int way);

/* Set the exception that says why no operation can start on the way now. */
void handle_refuse(Handle *handle, int way);

/* Free the way. This releases the waiter, so it runs foreign code. */
void handle_release(Handle *handle, int way);

/* End the operation with `error`, which its waiter gets later. Steals the reference. */
void handle_end(Handle *handle, int way, PyObject *error);

/* End the operation with the error of handle_refuse(). Returns false if it was dropped meanwhile. */
bool handle_end_refused(Handle *handle, int way);

#endif
