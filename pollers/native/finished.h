/* The waiters that poll() is to return, and its wake-ups. */

#ifndef POLLERS_NATIVE_FINISHED_H
#define POLLERS_NATIVE_FINISHED_H

#include "poller.h"

/* The calls of an engine: see engine.h. */
void poller_queue(Handle *handle, int way);
void poller_finish(Handle *handle, int way);

/* Make poll() return soon. -1 and errno on failure. */
int poller_wake(Poller *poller);

/* Return the waiters of all finished operations, and forget them. Operations that were dropped since have no waiter. */
PyObject *poller_take_finished(Poller *poller);

/* Take the first handle out of the list. Runs foreign code. */
void poller_unqueue_first(Poller *poller);

#endif
