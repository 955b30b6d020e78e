/* The record of a poller: an engine with a table of handles by descriptor.

   Knows the records of engine and handle. Must not know what is done with them. */

#ifndef POLLERS_NATIVE_POLLER_H
#define POLLERS_NATIVE_POLLER_H

#include "handle.h"

typedef struct Poller {
    Engine engine;           /* the part that handles know */
    PyObject *module;        /* the module that has the engine's state; kept to the end */
    PyObject *weakrefs;
    struct Poller *next, *previous; /* in State.pollers */

    Handle **handles;        /* by descriptor; strong references, or NULL */
    int handles_size;
    int attached;
    Handle *finished_first;  /* handles with a waiter that poll() is to return; strong references */
    Handle *finished_last;

    Py_ssize_t polls, events, wakeups;
    int epoll_fd, wake_receiver, wake_sender;
    int waiting;             /* how many OS threads are in epoll_wait(2) without the GIL */
    bool watched;            /* another loop waits for the descriptor */
    bool woken, shut, forked;
} Poller;

static inline Poller *
poller_of(const Handle *handle)
{
    return (Poller *)handle->engine;
}

static inline Handle *
handle_at(const Poller *poller, int fd)
{
    return fd >= 0 && fd < poller->handles_size ? poller->handles[fd] : NULL;
}

/* Return 0 if the poller may be used, else -1 and an exception. */
int poller_check(Poller *poller);

void poller_enlist(Poller *poller);
void poller_delist(Poller *poller);

/* Mark all pollers and their handles in a forked child: they belong to the parent. */
void pollers_after_fork(State *state);

#endif
