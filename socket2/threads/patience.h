/* The decorator of Patience.limit(), as a part of the module whose state begins with Limits.

   Knows the structs of limit.h. */

#ifndef SOCKET2_PATIENCE_H
#define SOCKET2_PATIENCE_H

#include "limit.h"

/* Add the decorator to the module. Return -1 with an exception on failure. */
int limits_execute(PyObject *module, Limits *limits);

int limits_traverse(Limits *limits, visitproc visit, void *arg);

void limits_clear(Limits *limits);

#endif
