/* What the HTTP part in C knows of the classes in Python: their slots, and a few of their functions.

   Knows CPython, and the names of slots. It learns a class when Python passes it, so it imports nothing. */

#ifndef SOCKET2_HTTP_STATE_H
#define SOCKET2_HTTP_STATE_H

#include "../../threads/slots.h"

#include <time.h>

#define CLASS_SLOTS 12

typedef struct {
    PyTypeObject *type; /* NULL before it is learned */
    Py_ssize_t at[CLASS_SLOTS];
} Class;

enum { REQUEST_HEAD, LIMITS, WRITTEN, INCOMING, SERVER_SIDE, EXCHANGE, SILENCE, EVENT, CLASSES };

/* The slots of each class. */
enum {
    REQUEST_BLOCK,
    REQUEST_BODY,
    REQUEST_EXPECTS_CONTINUE,
    REQUEST_HOST,
    REQUEST_KEEP_ALIVE,
    REQUEST_METHOD,
    REQUEST_MINOR,
    REQUEST_ORIGIN,
    REQUEST_RAW,
    REQUEST_RAW_TARGET,
    REQUEST_UPGRADE,
    REQUEST_USUAL
};
enum { LIMITS_HEAD_BYTES, LIMITS_HEAD_FIELDS, LIMITS_TARGET_BYTES, LIMITS_SEND_S, LIMITS_SEND_RATE };
enum {
    WRITTEN_BLOCK,
    WRITTEN_CLOSES,
    WRITTEN_CONNECTION,
    WRITTEN_HAS_DATE,
    WRITTEN_HAS_HOST,
    WRITTEN_LENGTH,
    WRITTEN_USUAL
};
enum { INCOMING_LIMITS };
enum {
    SIDE_ANSWERED,
    SIDE_BEFORE,
    SIDE_CHECKER,
    SIDE_CLOSING,
    SIDE_CONTINUED,
    SIDE_INCOMING,
    SIDE_LIMITS,
    SIDE_OUT,
    SIDE_RECEIVED_ALL,
    SIDE_REQUEST,
    SIDE_STATUS
};
enum { EXCHANGE_LIMITS, EXCHANGE_NOW, EXCHANGE_SENT, EXCHANGE_SIDE, EXCHANGE_SILENCE, EXCHANGE_STOPPING };
enum { SILENCE_UNTIL };
enum { EVENT_SET };

/* What Python has passed besides. */
enum { METHODS, STATUS_LINE, DATE_LINE, SENT, CHECKER, STEPS, TOLD };

typedef struct {
    Class classes[CLASSES];
    PyObject *told[TOLD]; /* NULL before they are told */
    PyObject *begin_body, *close, *throw; /* names */
    PyObject *zero, *one;
    PyObject *lines;      /* a dict: status lines of answers that have a body, None for others */
    PyObject *date;       /* the Date field, with its end, */
    time_t second;        /* and of when it is */
} State;

static inline PyObject *
get(const State *state, int class, PyObject *object, int slot)
{
    return *slot_at(object, state->classes[class].at[slot]);
}

/* Set a slot. The value before may run foreign code when it ends. */
static inline void
put(const State *state, int class, PyObject *object, int slot, PyObject *value)
{
    Py_XSETREF(*slot_at(object, state->classes[class].at[slot]), Py_NewRef(value));
}

static inline bool
is_of(const State *state, PyObject *object, int class)
{
    return object != NULL && Py_IS_TYPE(object, state->classes[class].type);
}

/* Return a number that is not negative, -1 if it is none, or too large to count. */
static inline Py_ssize_t
counted(PyObject *number)
{
    Py_ssize_t value = number != NULL && PyLong_Check(number) ? PyLong_AsSsize_t(number) : -1;
    if (value < 0) {
        PyErr_Clear();
        return -1;
    }
    return value;
}

#endif
