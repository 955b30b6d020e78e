/* Addresses as the standard library has them. */

#ifndef POLLERS_NATIVE_ADDRESSES_H
#define POLLERS_NATIVE_ADDRESSES_H

#include "engine.h"

#include <sys/socket.h>

/* Other families are left to the standard library's socket. */
bool family_is_known(int family);

/* Return the address that the kernel wrote `length` bytes of; None when it told none. */
PyObject *make_address(Engine *engine, const struct sockaddr_storage *address, socklen_t length);

#endif
