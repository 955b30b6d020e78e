/* The record of an operation: what it is for, how far it has come, and what it keeps alive.

   Knows the handle's record. Must not know how an operation is attempted, or who waits for it. */

#ifndef POLLERS_NATIVE_OPERATION_H
#define POLLERS_NATIVE_OPERATION_H

#include "handle.h"

/* Operations that may finish at once, one after the other, before the next one lets other threads run first. */
#define STREAK_MAX 64

/* Those that did, in a row, in this OS thread: it runs one waiter at a time. */
extern _Thread_local Py_ssize_t streak __attribute__((tls_model("initial-exec")));

typedef enum {
    RECV,
    RECV_INTO,
    RECVFROM,
    RECVFROM_INTO,
    ACCEPT,
    WAIT_READABLE,
    NOTHING,                 /* a receive of no bytes: `argument` is its result */
    SEND,
    SENDALL,
    SENDTO,
    SENDFILE,
    CONNECT,
    WAIT_WRITABLE,
} Kind;

typedef enum { NEW, RUNNING, SUSPENDED, DONE } Phase;

/* What an attempt comes to. DRAINED: a success after which there is nothing left. AGAIN: a part of it is done, and others
   should run. */
typedef enum { SUCCESS, DRAINED, BLOCKED, FAILURE, AGAIN } Outcome;

/* More than any memory holds; a larger number of bytes is taken for it. */
#define BYTES_MAX (((Py_ssize_t)1 << 52) - 1)

/* What `yield from` and `await` take. It is most of what a parked thread costs, hence the bits. */
typedef struct Operation {
    PyObject_HEAD
    Handle *handle;          /* strong, until it dies */
    PyObject *owner;         /* kept alive until the end; or NULL. With `asked` the tuple of it and an error */
    PyObject *argument;      /* then its result, or with FAILED the error */
    uint64_t count : 52;     /* bytes to receive; SENDALL: bytes sent; CONNECT: whether it chooses the local port */
    uint64_t kind : 4;
    uint64_t phase : 2;
    uint64_t asked : 1;      /* to end with that error, if the attempt that is under way does not end it */
    uint64_t tried : 1;      /* RUNNING: it is not its own step that makes the attempt */
    uint64_t begun : 1;      /* CONNECT: connect(2) was called; SENDALL: `argument` is a view of our own */
} Operation;

static inline int way_of(Kind kind) { return kind >= SEND ? WRITING : READING; }

/* An operation in the middle of its attempt belongs to that: nothing else may end it. */
static inline bool
is_running(const Handle *handle, int way)
{
    return handle->operation[way] != NULL && handle->operation[way]->phase == RUNNING;
}

const char *operation_name(Kind kind);

/* Let go of what it kept alive; what an attempt works with, when that is over. Runs code of others. */
void operation_let_go(Operation *op);

/* Cancelled in the middle of an attempt: have it end with `error` if that does not end it. The first one counts. */
int operation_ask(Operation *op, PyObject *error);

/* The attempt is over: return the error that was asked for meanwhile, or NULL. */
PyObject *operation_take_asked(Operation *op);

#endif
