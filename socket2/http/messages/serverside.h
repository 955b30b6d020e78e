/* What a ServerSide does for most requests, in C. */

#ifndef SOCKET2_SERVERSIDE_H
#define SOCKET2_SERVERSIDE_H

#include "state.h"

/* Each does a method of ServerSide, whose arguments begin with the object. It returns NULL without an exception if
   Python must do the method; then nothing has changed. */
PyObject *side_take(State *state, PyObject *const *args, Py_ssize_t count);
PyObject *side_whole(State *state, PyObject *const *args, Py_ssize_t count);
PyObject *side_go_on(State *state, PyObject *const *args, Py_ssize_t count);

#endif
