/* Handles as Python objects, with their two directions. */

#ifndef POLLERS_NATIVE_FACES_H
#define POLLERS_NATIVE_FACES_H

#include "handle.h"

extern PyType_Spec handle_spec, writing_spec;

/* Make a handle for an open descriptor. A failure leaves the descriptor open. */
Handle *handle_new(Engine *engine, int fd, uint32_t identity, PyObject *sock, int family, bool drains);

#endif
