/* Addresses in the form that the standard library uses. */

#ifndef POLLERS_NATIVE_SOCKADDR_H
#define POLLERS_NATIVE_SOCKADDR_H

#include "engine.h"

#include <sys/socket.h>

/* Return whether make_address() knows the family. The standard library's socket handles all others. */
bool family_is_known(int family);

/* Return the address of `length` bytes that the kernel has written; None if it has written none. */
PyObject *make_address(Engine *engine, const struct sockaddr_storage *address, socklen_t length);

#endif
