/* The handles of a poller, and what epoll watches on each. */

#ifndef POLLERS_NATIVE_ATTACHED_H
#define POLLERS_NATIVE_ATTACHED_H

#include "poller.h"

/* The calls of an engine: see engine.h. */
Handle *poller_admit(Engine *engine, int fd, PyObject *sock, int family, bool drains);
int poller_arm(Handle *handle, int bit);
void poller_arm_again(Handle *handle);
void poller_forget(Handle *handle);

/* The poller's method attach(). */
PyObject *poller_attach(PyObject *self, PyObject *sock);

#endif
