/* Heads in C: what the functions of this part know of the Python classes. */

#ifndef SOCKET2_HEADS_H
#define SOCKET2_HEADS_H

#include "../../threads/slots.h"

/* The slots of a RequestHead. */
enum {
    BLOCK,
    BODY,
    EXPECTS_CONTINUE,
    HOST_OF,
    KEEP_ALIVE,
    METHOD,
    MINOR,
    ORIGIN,
    RAW,
    RAW_TARGET,
    UPGRADE,
    USUAL,
    REQUEST_SLOTS
};

/* The slots of Limits. */
enum { HEAD_FIELDS, TARGET_BYTES, LIMIT_SLOTS };

typedef struct {
    PyTypeObject *request; /* RequestHead; NULL before learn() */
    PyTypeObject *limits;
    PyObject *methods; /* a tuple: octets, name, octets, name ... */
    PyObject *one;
    Py_ssize_t of_request[REQUEST_SLOTS];
    Py_ssize_t of_limits[LIMIT_SLOTS];
} State;

/* Return the request that a complete head is; None if Python must look at it; NULL with an exception. */
PyObject *request_of(const State *state, PyObject *head, PyObject *limits);

#endif
