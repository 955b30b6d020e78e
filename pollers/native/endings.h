/* What the kernel tells of a connection's end, told to all who ask. */

#ifndef POLLERS_NATIVE_ENDINGS_H
#define POLLERS_NATIVE_ENDINGS_H

#include "operation.h"

/* The errno that is pending on the socket, which is told once. */
int pending_error(Handle *handle);

/* Return what the kernel's `number` amounts to; 0 stands for the end of the stream. */
int handle_told(Handle *handle, int number);

/* A call has failed with `number`: set the exception for what that amounts to. BLOCKED: it is not known yet. */
Outcome handle_failed(Handle *handle, int way, int number);

/* As handle_failed(), of the exception that is set. */
Outcome handle_failed_in_python(Handle *handle, int way);

/* A receive has returned nothing: SUCCESS, that is the end of the stream; FAILURE, with the exception for what has ended
   it, as somebody else was told; BLOCKED, it is not known yet. */
Outcome handle_ended(Handle *handle);

/* A call without the GIL is over, which may have been told: who could not know yet tries again. */
void handle_look_again(Handle *handle);

/* There is another connection, or one under way: what ended an earlier attempt is no matter of its. */
void handle_begin_anew(Handle *handle);

/* A method of the handle: told(). */
PyObject *told_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs);

#endif
