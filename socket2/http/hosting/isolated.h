/* A coroutine in a context of its own. */

#ifndef SOCKET2_ISOLATED_H
#define SOCKET2_ISOLATED_H

#include "../messages/state.h"

extern PyType_Spec isolated_spec;

#endif
