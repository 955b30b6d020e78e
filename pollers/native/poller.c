/* The list of all pollers, and which of them may be used.

   Knows the record of a poller. Must not know events. */

#include "poller.h"

int
poller_check(Poller *poller)
{
    if (poller->forked) {
        engine_forked_error(&poller->engine);
    } else if (poller->shut) {
        PyErr_SetString(PyExc_RuntimeError, "this epoll poller has been shut down");
    } else {
        return 0;
    }
    return -1;
}

void
pollers_after_fork(State *state)
{
    for (Poller *poller = state->pollers; poller != NULL; poller = poller->next) {
        poller->forked = true;
        for (int fd = 0; fd < poller->handles_size; fd++) {
            Handle *handle = poller->handles[fd];
            if (handle != NULL) {
                handle->state[READING] |= FORKED;
                handle->state[WRITING] |= FORKED;
            }
        }
    }
}

void
poller_enlist(Poller *poller)
{
    State *state = poller->engine.state;
    poller->previous = NULL;
    poller->next = state->pollers;
    if (state->pollers != NULL) {
        state->pollers->previous = poller;
    }
    state->pollers = poller;
}

void
poller_delist(Poller *poller)
{
    if (poller->previous != NULL) {
        poller->previous->next = poller->next;
    } else {
        poller->engine.state->pollers = poller->next;
    }
    if (poller->next != NULL) {
        poller->next->previous = poller->previous;
    }
}
