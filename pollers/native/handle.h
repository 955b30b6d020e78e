/* The record of a handle: a socket, and its two ways for operations to go.

   Knows its engine, and that each way has at most one operation. Must not know what an operation is made of, or what is
   done with a handle. The GIL protects it. Where an attempt lets the GIL go, for a call that copies much or waits for a
   disk, its operation is RUNNING: nobody else ends it, and a cancel or a close of its handle waits until it is over. */

#ifndef POLLERS_NATIVE_HANDLE_H
#define POLLERS_NATIVE_HANDLE_H

#include "engine.h"

#include <stdint.h>
#include <sys/epoll.h>

/* The two ways of a handle; they index its arrays. */
enum { READING, WRITING, WAYS };

/* The states of a way, as pollers/operation.py has them. */
enum {
    IDLE = 0,
    OFFERED = 1,
    PARKED = 2,
    FINISHED = 8,
    CLOSED = 16,
    FORKED = 32,
    FAILED = 64,
    PASSING = 128, /* not attempted yet: others first */
    FOR_GOOD = CLOSED | FORKED, /* what an operation's end leaves */
};

/* Bits of Handle.armed: what epoll watches; DRAINS: a short receive has emptied the socket (attempts.py); CLOSE_LATE: the
   handle was closed in the middle of an attempt, and its descriptor is to be closed after that; STREAM: a stream socket;
   ENDED, TOLD: a receive has returned its end, a send has raised why it ended (attempts.py); DETACHED: its socket lives on
   behind another descriptor. */
enum {
    WATCHED_IN = EPOLLIN,
    WATCHED_OUT = EPOLLOUT,
    WATCHED = EPOLLIN | EPOLLOUT,
    DRAINS = 2,
    CLOSE_LATE = 8,
    STREAM = 16,
    ENDED = 32,
    TOLD = 64,
    DETACHED = 128,
};

/* As many as Handle has room for. */
#define OUTSIDE_MAX 15
#define FAMILY_MAX 63

typedef struct Writing Writing;

/* It is its own reading direction, so an idle connection needs no object for that: handle.reading is the handle. The
   writing direction is a small object that is there while somebody looks at it. */
struct Handle {
    PyObject_HEAD
    Engine *engine;          /* strong; never NULL, not even when garbage is cleared: operations rely on it */
    PyObject *sock;          /* the standard library's socket, made when it is asked for; or NULL */
    Writing *writing;        /* borrowed; it takes itself away when it dies; or NULL */
    Handle *next_finished;
    PyObject *waiter[WAYS];  /* who waits, or NULL */
    struct Operation *operation[WAYS]; /* borrowed; it takes itself away when it dies; NULL when the way is free */
    int fd;                  /* negative: closed or detached; with CLOSE_LATE the complement of the descriptor */
    uint32_t identity;       /* tells its socket from others that have or had the same descriptor */
    uint8_t state[WAYS];
    bool ready[WAYS];        /* false: known to block until the next event */
    uint8_t armed;
    uint8_t failure;         /* the errno of what has ended the connection, once the kernel has told; or 0 */
    uint16_t finished : 2;   /* bits 1 << way: poll() is to return it */
    uint16_t outside : 4;    /* attempts that have let the GIL go; no more than OUTSIDE_MAX */
    uint16_t look_again : 1; /* when one of them is over, both ways are to be tried again */
    uint16_t family : 6;     /* FAMILY_MAX: that or a higher one */
    uint16_t queued : 1;     /* in the poller's list of finished ones */
    uint16_t made_sock : 1;  /* we have made a socket object once */
    uint16_t first_sock : 1; /* and that is the one here */
};

struct Writing {
    PyObject_HEAD
    Handle *handle;
};

/* The calls of its engine. */

static inline int
handle_arm(Handle *handle, int bit)
{
    return handle->engine->calls->arm(handle, bit);
}

static inline void
handle_arm_again(Handle *handle)
{
    handle->engine->calls->arm_again(handle);
}

static inline void
handle_forget(Handle *handle)
{
    handle->engine->calls->forget(handle);
}

static inline void
handle_queue(Handle *handle, int way)
{
    handle->engine->calls->queue(handle, way);
}

static inline void
handle_finish(Handle *handle, int way)
{
    handle->engine->calls->finish(handle, way);
}

#endif
