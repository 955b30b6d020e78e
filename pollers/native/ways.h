/* The ways of a handle: taken, refused, ended and free again. */

#ifndef POLLERS_NATIVE_WAYS_H
#define POLLERS_NATIVE_WAYS_H

#include "operation.h"

/* Return the object that stands for a way. */
PyObject *handle_direction(Handle *handle, int way);

/* Return what is going on there, for people. */
PyObject *handle_describe(Handle *handle, int way);

/* Set the exception that says why no operation can start here now. */
void handle_refuse(Handle *handle, int way);

/* The way is free again. Lets the waiter go, so it runs code of others. */
void handle_release(Handle *handle, int way);

/* The operation has ended with `error`, which its waiter is yet to be told. Steals the reference. */
void handle_end(Handle *handle, int way, PyObject *error);

/* The operation ends as refused. True: it has ended so; false: it was dropped meanwhile. */
bool handle_end_refused(Handle *handle, int way);

#endif
