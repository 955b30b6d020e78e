/* What a handle knows of its poller: where it keeps what handles share, and which calls it takes.

   A poller's record begins with this one, and the poller fills in the calls. Knows the module's state, and that there
   are handles. Must not know how events come. */

#ifndef POLLERS_NATIVE_ENGINE_H
#define POLLERS_NATIVE_ENGINE_H

#include "state.h"

#include <sys/types.h>

/* Receives of no more than this go through the engine's spare bytes object, so that their result has its exact size
   without a second allocation, and a wait for more than there is costs no memory. They keep the GIL. */
#define SPARE_SIZE ((Py_ssize_t)1 << 16)

typedef struct Engine Engine;
typedef struct Handle Handle;

typedef struct {
    /* Attach an open, non-blocking descriptor. Returns a new reference, beside the engine's own. */
    Handle *(*admit)(Engine *engine, int fd, PyObject *sock, int family, bool drains);
    /* Report `bit` from now on, at once if it is true already. -1: an exception that is its operation's. */
    int (*arm)(Handle *handle, int bit);
    /* Have what is true now reported once more. */
    void (*arm_again)(Handle *handle);
    /* Stop reporting a handle that is about to be closed. */
    void (*forget)(Handle *handle);
    /* poll() will return this way of the handle. */
    void (*queue)(Handle *handle, int way);
    /* As if an event had ended it: poll() will return it soon. */
    void (*finish)(Handle *handle, int way);
} EngineCalls;

struct Engine {
    PyObject_HEAD
    const EngineCalls *calls;
    State *state;
    PyObject *kept;          /* {handle: [(handle, address)]}: accepted, and taken by nobody yet; or NULL */
    PyObject *spare;         /* a bytes object that small receives go through; ours alone, or NULL */
    PyObject *host;          /* the text of host_address: many connections come from few addresses; or NULL */
    unsigned char host_address[16];
    int host_family;
    Py_ssize_t received;     /* bytes, since poll() had its events */
    pid_t pid;
    bool shared;             /* by several OS threads */
};

/* Set the exception for a use in another process than its own. */
void engine_forked_error(Engine *engine);

#endif
