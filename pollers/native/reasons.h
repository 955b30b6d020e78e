/* Why a connection has ended, for every call that asks: the kernel reports it only once. */

#ifndef POLLERS_NATIVE_REASONS_H
#define POLLERS_NATIVE_REASONS_H

#include "operation.h"

/* Return the pending error of the socket as an errno. The kernel reports it only once. */
int pending_error(Handle *handle);

/* Return the errno to raise for the kernel's `number`; 0 stands for the end of the stream. */
int handle_told(Handle *handle, int number);

/* Handle a call that failed with `number`: set the exception for it. BLOCKED if the reason is not known yet. */
Outcome handle_failed(Handle *handle, int way, int number);

/* The same for the exception that is set. */
Outcome handle_failed_in_python(Handle *handle, int way);

/* Handle a receive that returned nothing. SUCCESS: this is the end of the stream. FAILURE, with an exception: an error
   has ended the stream, and the kernel has reported it to another call. BLOCKED: it is not known yet. */
Outcome handle_ended(Handle *handle);

/* After a call without the GIL, which may have learned the error: let operations that could not know it try again. */
void handle_look_again(Handle *handle);

/* Forget how the last connection ended: there is a new one, or one in progress. */
void handle_begin_anew(Handle *handle);

/* The handle's method told(). */
PyObject *told_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs);

#endif
