/* The end of a handle, and connections that were accepted for nobody. */

#ifndef POLLERS_NATIVE_CLOSING_H
#define POLLERS_NATIVE_CLOSING_H

#include "operation.h"

/* The connections that were accepted for somebody who did not take them: a list, borrowed. NULL: there are none; maybe
   with an exception. */
PyObject *handle_kept(Handle *handle);

/* Put a connection that nobody took back, for the next accept. Called where errors cannot be raised. */
void handle_keep(Handle *handle, PyObject *accepted);

/* Close it, and make no attempt first for who waits. */
int handle_close_at_once(Handle *handle);

/* As handle_close_at_once(), but return the open socket. In the middle of an attempt the descriptor is the attempt's: who
   detaches gets another one for the same socket. */
PyObject *handle_detach_at_once(Handle *handle);

/* Somebody else has closed its descriptor, or taken it over: close it, but for the descriptor. */
void handle_displace(Handle *handle);

/* An attempt is over: close what was to be closed meanwhile. */
void handle_close_late(Handle *handle);

#endif
