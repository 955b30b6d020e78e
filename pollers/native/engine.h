/* What a handle knows of its poller: the data that handles share, and the calls of the poller.

   A poller's record begins with this one, and the poller fills in the calls. Knows the module's state, and that there
   are handles. Must not know how the poller gets events. */

#ifndef POLLERS_NATIVE_ENGINE_H
#define POLLERS_NATIVE_ENGINE_H

#include "state.h"

#include <sys/types.h>

/* Receives of up to this many bytes go through the engine's spare bytes object. Their result then has its exact size
   without a second allocation, and a receive that waits needs no memory. They keep the GIL. */
#define SPARE_SIZE ((Py_ssize_t)17 << 12) /* 64 KB in records of TLS fit */

typedef struct Engine Engine;
typedef struct Handle Handle;

typedef struct {
    /* Attach an open, non-blocking descriptor. Returns a new reference; the engine has its own. */
    Handle *(*admit)(Engine *engine, int fd, PyObject *sock, int family, bool drains);
    /* Report `bit` from now on, at once if it is true already. -1 and an exception, which ends the operation. */
    int (*arm)(Handle *handle, int bit);
    /* Report once more what is true now. */
    void (*arm_again)(Handle *handle);
    /* Stop reporting a handle that is about to be closed. */
    void (*forget)(Handle *handle);
    /* Make poll() return the waiter of this way. */
    void (*queue)(Handle *handle, int way);
    /* The same, and wake poll(). */
    void (*finish)(Handle *handle, int way);
} EngineCalls;

struct Engine {
    PyObject_HEAD
    const EngineCalls *calls;
    State *state;
    PyObject *kept;          /* {handle: [(handle, address)]}: accepted connections that nobody took; or NULL */
    PyObject *spare;         /* a bytes object for small receives, with no other reference; or NULL */
    PyObject *host;          /* the text of host_address: many connections come from few addresses; or NULL */
    unsigned char host_address[16];
    int host_family;
    Py_ssize_t received;     /* bytes received since poll() got its events */
    pid_t pid;
    bool shared;             /* several OS threads use it */
};

/* Set the exception for a use outside the process that made the engine. */
void engine_forked_error(Engine *engine);

#endif
