/* A receive from a TLS stream or a send to it: structs, and their steps.

   Knows the slots of a TLS stream, its Lane and its Engine by name. */

#ifndef SOCKET2_RECORDS_H
#define SOCKET2_RECORDS_H

#include "../../pollers/standin.h"
#include "../threads/delegation.h"

#define BLOCK (1 << 16) /* as in carrier.py */
#define RECORD (1 << 14) /* as in ciphertext.py */
#define SEALED (RECORD + 256 + 5)
#define ROOM (BLOCK / RECORD * SEALED) /* as in carrier.py */

/* The slots of a stream; from FREE on those of a lane; from ENGINE_FREE on those of an engine. */
enum {
    SENDING,
    RECEIVING,
    ENGINE,
    FLOWING,
    UNSENT,
    READ_LIMIT,
    WRITE_LIMIT,
    SOCK,
    FREE,
    WAITING,
    ENGINE_FREE,
    ENDED,
    FAILURE,
    HELD,
    INCOMING,
    MADE,
    OUTGOING,
    SSL,
    TAG,
    HUNGRY,
    PENDING,
    SEALED_BYTES,
    SLOTS
};

enum {
    AWAIT,
    BYTES_SENT,
    CLOSE,
    LIMIT,
    MORE,
    OPEN,
    READ,
    READ_FAILED,
    RECEIVE,
    RECEIVE_FAILED,
    RECEIVE_INTO,
    RECV,
    SEAL,
    SEND_FAILED,
    SENDALL,
    SENDALL_BELOW,
    THROW,
    WAKE,
    WRITE,
    WRITE_FAILED,
    NAMES
};

#define FREE_MAX 256

typedef struct {
    PyTypeObject *transfer_type;
    PyTypeObject *lane_type;
    PyObject *crowd;
    PyObject *notify;
    PyObject *block; /* as ints */
    PyObject *room;
    PyObject *empty; /* bytes */
    PyObject *zero;
    Method put;        /* of a MemoryBIO: write() */
    Method get;        /* read() */
    Method decrypt;    /* of an _SSLSocket: read() */
    Method encrypt;    /* write() */
    Method limit;      /* of a Patience: limit() */
    PyObject *names[NAMES];
    struct Transfer *free; /* dead operations for reuse, linked by `stream` */
    int free_count;
} State;

/* What a method does. */
typedef enum { RECEIVES, RECEIVES_INTO, SENDS } Way;

/* The decorator's object. It makes a Transfer if it can, else it calls the function in Python. */
typedef struct {
    StandIn standin;
    State *state;
    PyTypeObject *owner;  /* the class whose method this is; NULL until the class is made */
    PyTypeObject *engine; /* the class of its engines; NULL until the first call, since it imports `ssl` */
    Way way;
    Py_ssize_t offsets[SLOTS];
} Maker;

typedef struct Transfer {
    PyObject_HEAD
    Maker *maker;
    PyObject *stream;
    PyObject *argument; /* the number of bytes to receive; or the buffer or the data, from the first step on a view */
    PyObject *inner;    /* the steps of the operation below, or of the one in Python; else NULL */
    PyObject *lane;     /* while it has that; else NULL */
    uint32_t size;      /* the most bytes to receive, or how many to send */
    Phase phase : 8;
    bool replaced; /* by the operation in Python, whose steps are `inner` and which gives the lane back */
    bool excused;
} Transfer;

static inline PyObject *
slot(const Maker *maker, PyObject *object, int which)
{
    return *slot_at(object, maker->offsets[which]);
}

static inline void
put(const Maker *maker, PyObject *object, int which, PyObject *value)
{
    PyObject **place = slot_at(object, maker->offsets[which]);
    if (*place != value) {
        Py_XSETREF(*place, Py_NewRef(value));
    }
}

static inline bool
sends(const Transfer *transfer)
{
    return transfer->maker->way == SENDS;
}

/* Return the operation in Python, which does the same. A receive that has the lane hands it over. */
PyObject *transfer_in_python(const Transfer *transfer);

/* Make the first step. */
PySendResult transfer_start(Transfer *transfer, PyObject **result);

/* Go on after a step of the inner operation. Steals the reference to `value`. */
PySendResult transfer_advance(Transfer *transfer, PySendResult outcome, PyObject *value, PyObject **result);

/* End with a value, or with the exception that is set if it is NULL. Steals the reference. */
PySendResult transfer_finish(Transfer *transfer, PyObject *value, PyObject **result);

/* Make the operation in Python, from the start, without stepping it. Return -1 with an exception. */
int transfer_become_python(Transfer *transfer);

#endif
