/* Handles as objects of Python's, with their two directions. */

#ifndef POLLERS_NATIVE_FACES_H
#define POLLERS_NATIVE_FACES_H

#include "handle.h"

extern PyType_Spec handle_spec, writing_spec;

/* Its descriptor is open, and not closed with it should that fail. */
Handle *handle_new(Engine *engine, int fd, uint32_t identity, PyObject *sock, int family, bool drains);

#endif
