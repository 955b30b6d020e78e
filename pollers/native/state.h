/* What the module has taken from Python, and what all its objects share: one record for each interpreter.

   Knows CPython. Must not know what a poller, a handle or an operation is made of. */

#ifndef POLLERS_NATIVE_STATE_H
#define POLLERS_NATIVE_STATE_H

#include "../cpython.h"

typedef enum {
    NAME_CLOSED_MARK,
    NAME_IO_REFS,
    NAME_ATTACH,
    NAME_BYTES_SENT,
    NAME_CLOSE,
    NAME_CONNECT_EX,
    NAME_FAMILY,
    NAME_FILENO,
    NAME_PROTO,
    NAME_RECVFROM,
    NAME_RECVFROM_INTO,
    NAME_SENDTO,
    NAME_SETBLOCKING,
    NAME_TYPE,
    NAMES,
} Name;

/* No C global holds an object: there may be several interpreters. */
typedef struct {
    PyTypeObject *poller_type;
    PyTypeObject *handle_type;
    PyTypeObject *writing_type;
    PyTypeObject *operation_type;
    PyObject *closed_error;
    PyObject *busy_error;
    PyObject *exhausted_error;
    PyObject *unsupported_error;
    PyObject *stats_class;
    PyObject *monotonic, *socketpair, *adopt, *ready; /* functions that a poller has as its own */
    PyTypeObject *socket_class; /* socket.socket, in Python */
    PyTypeObject *socket_base;  /* _socket.socket, in C */
    PyObject *base_accept, *base_close, *base_detach; /* methods of that */
    PyObject *fileno_only;   /* ("fileno",): the keywords for it */
    PyObject *spare_stop;    /* a StopIteration for when there is no memory for one; NULL once used, for a while */
    PyObject *names[NAMES];
    struct Poller *pollers;  /* all there are, for the fork hook; they leave when they die */
    struct Operation *free;  /* dead operations, to be used again; linked by `owner` */
    int free_count;
} State;

/* Call a method with the arguments before the first NULL. */
static inline PyObject *
call(State *state, PyObject *object, Name name, PyObject *first, PyObject *second, PyObject *third)
{
    return call_by_name(object, state->names[name], first, second, third);
}

#endif
