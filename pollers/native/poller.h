/* The record of a poller: an engine that leads from descriptors to handles.

   Knows the records of engine and handle. Must not know what is done with them. */

#ifndef POLLERS_NATIVE_POLLER_H
#define POLLERS_NATIVE_POLLER_H

#include "handle.h"

typedef struct Poller {
    Engine engine;           /* what handles know of it */
    PyObject *module;        /* whose state is the engine's; kept to the end */
    PyObject *weakrefs;
    struct Poller *next, *previous; /* in State.pollers */

    Handle **handles;        /* by descriptor; strong, NULL where nothing is attached */
    int handles_size;
    int attached;
    Handle *finished_first;  /* handles with a way that poll() is to return; each is a strong reference */
    Handle *finished_last;

    Py_ssize_t polls, events, wakeups;
    int epoll_fd, wake_receiver, wake_sender;
    int waiting;             /* how many are in epoll_wait, without the GIL */
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

/* Whether it may be used; -1 and an exception: it may not. */
int poller_check(Poller *poller);

void poller_enlist(Poller *poller);
void poller_delist(Poller *poller);

/* In the child: the parent's pollers, and what goes on at their handles, are the parent's. */
void pollers_after_fork(State *state);

#endif
