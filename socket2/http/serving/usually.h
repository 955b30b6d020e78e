/* Methods that C does in the usual case. */

#ifndef SOCKET2_USUALLY_H
#define SOCKET2_USUALLY_H

#include "../messages/state.h"

extern PyType_Spec usually_spec;

/* Learn the slots of a class. Return which one it is, -1 with an exception if it is none that is known. */
int learn_class(State *state, PyObject *object);

#endif
