/* The waiters that poll() is to return, and its wake-ups.

   Knows the records of poller and handle. Must not know how an operation has finished. */

#include "finished.h"

#include <errno.h>
#include <sys/socket.h>

int
poller_wake(Poller *poller)
{
    if (poller->woken) {
        return 0;
    }
    poller->woken = true;
    if (poller->waiting == 0 && !poller->watched) {
        return 0;
    }
    poller->wakeups++;
    ssize_t sent = send(poller->wake_sender, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 && errno != EAGAIN ? -1 : 0; /* EAGAIN: it is full of wake-ups that nobody has read yet */
}

/* Make poll() return the waiter of this way. */
void
poller_queue(Handle *handle, int way)
{
    Poller *poller = poller_of(handle);
    handle->finished |= 1u << way & 3;
    if (handle->queued) {
        return;
    }
    handle->queued = 1;
    handle->next_finished = NULL;
    Py_INCREF(handle);
    if (poller->finished_first == NULL) {
        poller->finished_first = handle;
    } else {
        poller->finished_last->next_finished = handle;
    }
    poller->finished_last = handle;
}

void
poller_finish(Handle *handle, int way)
{
    poller_queue(handle, way);
    (void)poller_wake(poller_of(handle)); /* it fails only after a shutdown, when nobody waits */
}

void
poller_unqueue_first(Poller *poller)
{
    Handle *handle = poller->finished_first;
    poller->finished_first = handle->next_finished;
    handle->next_finished = NULL;
    handle->queued = 0;
    Py_DECREF(handle);
}

/* The list is made before any waiter is taken, so that none is lost if there is no memory. */
PyObject *
poller_take_finished(Poller *poller)
{
    Py_ssize_t count = 0, taken = 0;
    for (Handle *handle = poller->finished_first; handle != NULL; handle = handle->next_finished) {
        count += (handle->finished & 1 << READING) != 0;
        count += (handle->finished & 1 << WRITING) != 0;
    }
    PyObject *waiters = PyList_New(count);
    if (waiters == NULL) {
        return NULL;
    }
    while (taken < count && poller->finished_first != NULL) { /* unqueueing may run foreign code that adds handles */
        Handle *handle = poller->finished_first;
        if (handle->finished == 0) {
            poller_unqueue_first(poller);
            continue;
        }
        int way = handle->finished & 1 << WRITING ? WRITING : READING; /* in the order of their attempts */
        handle->finished &= ~(1u << way) & 3;
        if (handle->waiter[way] != NULL) {
            PyList_SET_ITEM(waiters, taken++, Py_NewRef(handle->waiter[way]));
        }
    }
    while (poller->finished_first != NULL && poller->finished_first->finished == 0) {
        poller_unqueue_first(poller);
    }
    Py_SET_SIZE(waiters, taken); /* the remaining slots are empty */
    return waiters;
}
