/* What an Exchange does for most answers, in C. */

#ifndef SOCKET2_ANSWERING_H
#define SOCKET2_ANSWERING_H

#include "../messages/state.h"

/* Do Exchange._begin_answer(). Return NULL without an exception if Python must do it. */
PyObject *exchange_begin_answer(State *state, PyObject *const *args, Py_ssize_t count);

#endif
