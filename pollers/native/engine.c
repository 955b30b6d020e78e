/* The errors of an engine, for parts that do not know its poller.

   Knows the engine's record. Must not know handles or pollers. */

#include "engine.h"

void
engine_forked_error(Engine *engine)
{
    PyErr_Format(PyExc_RuntimeError,
                 "this epoll poller was made in process %ld; after a fork, use it there, "
                 "or make a new poller and new sockets here",
                 (long)engine->pid);
}
