/* Whole answers in C. */

#ifndef SOCKET2_OUTGOING_H
#define SOCKET2_OUTGOING_H

#include "state.h"

/* Return an answer with its head and body. If it is not a usual one, return NULL without an exception: Python must look
   at it. It changes nothing of the connection. */
PyObject *whole_answer(State *state, PyObject *status, PyObject *given, PyObject *body);

/* Return the Written of fields that a program gives. If they are not usual ones, return NULL without an exception. */
PyObject *written_of(const State *state, PyObject *given);

#endif
