/* Which handles a poller has, and what epoll watches of them. */

#ifndef POLLERS_NATIVE_ATTACHED_H
#define POLLERS_NATIVE_ATTACHED_H

#include "poller.h"

/* Calls of an engine, as engine.h says. */
Handle *poller_admit(Engine *engine, int fd, PyObject *sock, int family, bool drains);
int poller_arm(Handle *handle, int bit);
void poller_arm_again(Handle *handle);
void poller_forget(Handle *handle);

/* A method of the poller: take over a socket. */
PyObject *poller_attach(PyObject *self, PyObject *sock);

#endif
