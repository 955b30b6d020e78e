/* Operations that wait: they are parked, tried again after an event, cancelled, or closed. */

#ifndef POLLERS_NATIVE_PARKING_H
#define POLLERS_NATIVE_PARKING_H

#include "handle.h"

/* Wait for the operation that was just yielded on that way. Returns True if it has finished. */
PyObject *handle_park(Handle *handle, int way, PyObject *waiter);

/* Give up the wait. Returns True if the operation has ended with the error. */
PyObject *handle_cancel(Handle *handle, int way, PyObject *error);

/* Try the parked operation again after an event. Returns true if it has finished; with `queue` poll() is to return its
   waiter. *broken: an exception is set that does not belong to the operation. */
bool handle_try_again(Handle *handle, int way, bool queue, bool *broken);

/* After an event, leave a parked receive of a stream to its waiter's next step. Returns true if it did. */
bool handle_leave(Handle *handle);

/* Call this before the operation is given up. If its receive was left to its waiter's step, the attempt is made now, so
   that data that has arrived is delivered. No attempt is made if another socket has taken over the descriptor. -1 and
   an exception: nothing has changed. */
int handle_settle(Handle *handle);

/* Close the handle. Operations in flight end with Closed, and the next poll() returns their waiters. */
int handle_close(Handle *handle);

#endif
