/* Requests in C. */

#ifndef SOCKET2_HEADS_H
#define SOCKET2_HEADS_H

#include "state.h"

/* Return the request that a complete head is. If it is not a usual one, return NULL without an exception: Python must
   look at it. */
PyObject *request_of(const State *state, PyObject *head, PyObject *limits);

#endif
