/* One attempt at an operation. */

#ifndef POLLERS_NATIVE_ATTEMPTS_H
#define POLLERS_NATIVE_ATTEMPTS_H

#include "operation.h"

/* Make one attempt. SUCCESS and DRAINED set *result, FAILURE sets an exception. An event that arrives during the
   attempt sets handle->ready again. */
Outcome attempt(Operation *op, PyObject **result);

#endif
