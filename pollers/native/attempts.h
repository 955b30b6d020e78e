/* One attempt at an operation. */

#ifndef POLLERS_NATIVE_ATTEMPTS_H
#define POLLERS_NATIVE_ATTEMPTS_H

#include "operation.h"

/* A success sets *result, FAILURE an exception. An event that comes meanwhile sets handle->ready again. */
Outcome attempt(Operation *op, PyObject **result);

#endif
