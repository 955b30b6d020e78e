/* The state of the module: the Python objects that it uses, and the data that all its objects share. Each interpreter
   has one.

   Knows CPython. Must not know what a poller, a handle or an operation is made of. */

#ifndef POLLERS_NATIVE_STATE_H
#define POLLERS_NATIVE_STATE_H

#include "../cpython.h"

typedef enum {
    NAME_CLOSED_MARK,
    NAME_IO_REFS,
    NAME_ATTACH,
    NAME_DETACH,
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

/* No global variable holds an object, since there may be several interpreters. */
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
    PyObject *monotonic, *socketpair, *adopt, *ready, *file, *foreign; /* they are methods of a poller */
    PyTypeObject *socket_class; /* socket.socket, in Python */
    PyTypeObject *socket_base;  /* _socket.socket, in C */
    PyObject *base_accept, *base_close, *base_detach; /* methods of socket_base */
    PyObject *fileno_only;   /* ("fileno",): the keyword of socket.socket() */
    PyObject *spare_stop;    /* a StopIteration for use without memory; NULL after use, until it is made again */
    PyObject *names[NAMES];
    struct Poller *pollers;  /* all pollers, for the fork hook; each leaves when it dies */
    struct Operation *free;  /* dead operations for reuse, linked by `owner` */
    int free_count;
} State;

/* Call a method with the arguments before the first NULL. */
static inline PyObject *
call(State *state, PyObject *object, Name name, PyObject *first, PyObject *second, PyObject *third)
{
    return call_by_name(object, state->names[name], first, second, third);
}

#endif
