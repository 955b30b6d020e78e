/* The record of a handle: a socket and its two ways, one for reading and one for writing.

   Knows its engine, and that each way has at most one operation. Must not know what an operation is made of, or what is
   done with a handle. The GIL protects it. An attempt may release the GIL for a large copy or a wait for a disk. Its
   operation is RUNNING then: nobody else ends it, and a cancel or a close of its handle waits for the attempt. */

#ifndef POLLERS_NATIVE_HANDLE_H
#define POLLERS_NATIVE_HANDLE_H

#include "engine.h"

#include <stdint.h>
#include <sys/epoll.h>

/* The two ways of a handle; they index its arrays. */
enum { READING, WRITING, WAYS };

/* The states of a way: see pollers/operation.py. */
enum {
    IDLE = 0,
    OFFERED = 1,
    PARKED = 2,
    FINISHED = 8,
    CLOSED = 16,
    FORKED = 32,
    FAILED = 64,
    PASSING = 128,
    FOR_GOOD = CLOSED | FORKED, /* the bits that stay when an operation ends */
};

/* Bits of Handle.armed.
   WATCHED_IN, WATCHED_OUT: epoll watches for this.
   DRAINS: a short receive has emptied the socket (attempts.py).
   CLOSE_LATE: the handle was closed during an attempt; its descriptor is closed after that.
   STREAM: a stream socket.
   ENDED, TOLD: a receive has returned the end of the stream, a send has raised why it ended (attempts.py).
   DETACHED: the socket lives on with another descriptor. */
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

/* The largest values that the bit fields of Handle can hold. */
#define OUTSIDE_MAX 15
#define FAMILY_MAX 63

typedef struct Writing Writing;

/* A handle is its own reading direction (handle.reading is the handle), so an idle connection needs no object for that.
   The writing direction is a small object that exists only while something refers to it. */
struct Handle {
    PyObject_HEAD
    Engine *engine;          /* strong; never NULL, even while garbage is cleared: operations rely on it */
    PyObject *sock;          /* the standard library's socket, made on demand; or NULL */
    Writing *writing;        /* borrowed; it clears this field when it dies; or NULL */
    Handle *next_finished;
    PyObject *waiter[WAYS];  /* the waiter that was given to park(), or NULL */
    struct Operation *operation[WAYS]; /* borrowed; it clears this field when it dies; NULL if the way is free */
    int fd;                  /* negative: closed or detached; with CLOSE_LATE the complement of the descriptor */
    uint32_t identity;       /* tells its socket from others that have or had the same descriptor */
    uint8_t state[WAYS];
    bool ready[WAYS];        /* false: an attempt is known to block until the next event */
    uint8_t armed;
    uint8_t failure;         /* the errno that has ended the connection, once the kernel has reported it; or 0 */
    uint16_t finished : 2;   /* bits 1 << way: poll() is to return its waiter */
    uint16_t outside : 4;    /* how many attempts have released the GIL; at most OUTSIDE_MAX */
    uint16_t look_again : 1; /* after one of them, both ways are to be tried again */
    uint16_t family : 6;     /* FAMILY_MAX: this one or a higher one */
    uint16_t queued : 1;     /* it is in the poller's list of finished handles */
    uint16_t made_sock : 1;  /* we have made a socket object before */
    uint16_t first_sock : 1; /* `sock` is the first one that we made */
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
