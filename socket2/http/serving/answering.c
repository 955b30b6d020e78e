/* Exchange._begin_answer() in C: makes a whole answer, and begins the time that the client may take to receive it.

   Knows the slots of an Exchange. Must not know what an answer looks like, or send it. */

#include "answering.h"
#include "../messages/serverside.h"

static PyObject *
exchange_get(const State *state, PyObject *exchange, int slot)
{
    return get(state, EXCHANGE, exchange, slot);
}

/* Whether the server stops, or Python must find out. */
static bool
may_stop(const State *state, PyObject *stopping)
{
    return stopping != Py_None &&
           (!is_of(state, stopping, EVENT) || get(state, EVENT, stopping, EVENT_SET) != Py_False);
}

/* Set how long a send of `size` bytes may last. Return -1 with an exception. */
static int
begin_time(const State *state, PyObject *exchange, PyObject *limits, Py_ssize_t size)
{
    PyObject *send_s = get(state, LIMITS, limits, LIMITS_SEND_S);
    PyObject *send_rate = get(state, LIMITS, limits, LIMITS_SEND_RATE);
    if (send_s == Py_None) {
        return 0;
    }
    PyObject *now = PyObject_CallNoArgs(exchange_get(state, exchange, EXCHANGE_NOW));
    if (now == NULL) {
        return -1;
    }
    double until = PyFloat_AsDouble(now);
    Py_DECREF(now);
    until += PyFloat_AsDouble(send_s) + (double)size / PyFloat_AsDouble(send_rate);
    PyObject *value = PyErr_Occurred() ? NULL : PyFloat_FromDouble(until);
    if (value == NULL) {
        return -1;
    }
    put(state, SILENCE, exchange_get(state, exchange, EXCHANGE_SILENCE), SILENCE_UNTIL, value);
    Py_DECREF(value);
    return 0;
}

PyObject *
exchange_begin_answer(State *state, PyObject *const *args, Py_ssize_t count)
{
    PyObject *exchange = args[0];
    PyObject *side = exchange_get(state, exchange, EXCHANGE_SIDE);
    PyObject *limits = exchange_get(state, exchange, EXCHANGE_LIMITS);
    PyObject *stopping = exchange_get(state, exchange, EXCHANGE_STOPPING);
    if (count != 4 || !is_of(state, side, SERVER_SIDE) || !is_of(state, limits, LIMITS) || stopping == NULL ||
        may_stop(state, stopping) || exchange_get(state, exchange, EXCHANGE_NOW) == NULL ||
        !is_of(state, exchange_get(state, exchange, EXCHANGE_SILENCE), SILENCE) ||
        get(state, SERVER_SIDE, side, SIDE_RECEIVED_ALL) != Py_True) {
        return NULL;
    }
    PyObject *data = side_whole(state, (PyObject *[]){side, args[1], args[2], args[3]}, 4);
    if (data == NULL) {
        return NULL;
    }
    PyObject *size = PyLong_FromSsize_t(PyBytes_GET_SIZE(args[3]));
    if (size != NULL) {
        put(state, EXCHANGE, exchange, EXCHANGE_SENT, size);
        Py_DECREF(size);
    }
    if (size == NULL || begin_time(state, exchange, limits, PyBytes_GET_SIZE(data)) < 0) {
        Py_CLEAR(data);
    }
    return data;
}
