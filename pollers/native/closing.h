/* The end of a handle, and accepted connections that nobody took. */

#ifndef POLLERS_NATIVE_CLOSING_H
#define POLLERS_NATIVE_CLOSING_H

#include "operation.h"

/* Return the list of accepted connections that nobody took, borrowed. NULL if there are none, or with an exception. */
PyObject *handle_kept(Handle *handle);

/* Keep a connection that nobody took, for the next accept. Reports errors as unraisable. */
void handle_keep(Handle *handle, PyObject *accepted);

/* Close the handle, without a last attempt for its waiters. */
int handle_close_at_once(Handle *handle);

/* Close the handle as handle_close_at_once() does, but return the open socket. If an attempt is in progress, it keeps
   the descriptor, and the caller gets another descriptor of the same socket. */
PyObject *handle_detach_at_once(Handle *handle);

/* Close the handle but not its descriptor: somebody else has closed that, or taken it over. */
void handle_displace(Handle *handle);

/* Close the descriptor after an attempt, if the handle was closed during it. */
void handle_close_late(Handle *handle);

#endif
