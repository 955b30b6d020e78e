/* Operations that wait: parked, tried again after an event, cancelled, closed. */

#ifndef POLLERS_NATIVE_PARKING_H
#define POLLERS_NATIVE_PARKING_H

#include "handle.h"

/* Wait for the operation just offered on that way; True: it is finished. */
PyObject *handle_park(Handle *handle, int way, PyObject *waiter);

/* Give up the wait; True: it has ended with the error. */
PyObject *handle_cancel(Handle *handle, int way, PyObject *error);

/* After an event: true when the operation parked here has finished; with `queue` poll() is to return it. *broken: an
   exception is set that is none of the operation's. */
bool handle_try_again(Handle *handle, int way, bool queue, bool *broken);

/* After an event: true when a stream's receive is parked here, and left to the step of its waiter. */
bool handle_leave(Handle *handle);

/* The operation is about to be given up: if it was left to the step of its waiter, make the attempt now, since what has
   come is to be delivered; but not from a socket that has got the descriptor of ours. -1: an exception, and it is left as
   it was. */
int handle_settle(Handle *handle);

/* From now on Closed; operations in flight end so, and the next poll() returns them. */
int handle_close(Handle *handle);

#endif
