/* The record of an operation: its kind, its progress, and the objects that it keeps alive.

   Knows the handle's record. Must not know how an operation is attempted, or who waits for it. */

#ifndef POLLERS_NATIVE_OPERATION_H
#define POLLERS_NATIVE_OPERATION_H

#include "handle.h"

/* How many operations in a row may finish without a wait before the next one lets other threads run. */
#define STREAK_MAX 64

/* How many in a row have done so in this OS thread, which runs one waiter at a time. */
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

/* The outcome of an attempt. DRAINED: a success that has emptied the socket. AGAIN: a part is done, and other threads
   should run before the rest. */
typedef enum { SUCCESS, DRAINED, BLOCKED, FAILURE, AGAIN } Outcome;

/* More bytes than any memory has. A larger number is reduced to this. */
#define BYTES_MAX (((Py_ssize_t)1 << 52) - 1)

/* The object that `yield from` and `await` take. It is most of what a parked thread costs, so it uses bit fields. */
typedef struct Operation {
    PyObject_HEAD
    Handle *handle;          /* strong, until the operation dies */
    PyObject *owner;         /* kept alive until the end; or NULL. With `asked` a tuple of it and an error */
    PyObject *argument;      /* the argument, then the result, or with FAILED the error */
    uint64_t count : 52;     /* bytes to receive; SENDALL: bytes sent; CONNECT: whether it chooses the local port */
    uint64_t kind : 4;
    uint64_t phase : 2;
    uint64_t asked : 1;      /* cancelled during an attempt: it ends with that error unless the attempt ends it */
    uint64_t tried : 1;      /* RUNNING: the attempt is made for it, not by its own step */
    uint64_t excused : 1;    /* it is not reported as forgotten, or has been finalized */
    uint64_t begun : 1;      /* CONNECT: connect(2) was called; SENDALL: `argument` is a memoryview that we made */
} Operation;

static inline int way_of(Kind kind) { return kind >= SEND ? WRITING : READING; }

/* Return whether an attempt is in progress on that way. Nothing else may end its operation then. */
static inline bool
is_running(const Handle *handle, int way)
{
    return handle->operation[way] != NULL && handle->operation[way]->phase == RUNNING;
}

const char *operation_name(Kind kind);

/* Release the objects that the operation keeps alive, or after the attempt if one uses them. Runs foreign code. */
void operation_let_go(Operation *op);

/* Cancel during an attempt: the operation ends with `error` unless the attempt ends it. The first error counts. */
int operation_ask(Operation *op, PyObject *error);

/* After the attempt, return the error of such a cancel, or NULL. */
PyObject *operation_take_asked(Operation *op);

#endif
