/* What poll() is to return, and how it is made to. */

#ifndef POLLERS_NATIVE_FINISHED_H
#define POLLERS_NATIVE_FINISHED_H

#include "poller.h"

/* Calls of an engine, as engine.h says. */
void poller_queue(Handle *handle, int way);
void poller_finish(Handle *handle, int way);

/* Make poll() return soon. -1 and errno: the poller cannot be told. */
int poller_wake(Poller *poller);

/* Return the waiters of what has finished, and forget them. Those of operations that were dropped since are not among
   them. */
PyObject *poller_take_finished(Poller *poller);

/* Take the first handle out of the list. Runs code of others. */
void poller_unqueue_first(Poller *poller);

#endif
