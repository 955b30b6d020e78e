/* How connections end: Handle.told() of pollers/readiness/handle.py in C.

   The kernel reports only once why a connection has ended, to the first call that asks. Later calls get EPIPE or an end
   of stream. So the first call notes the error in the handle, and the later ones look for that note.
   Knows the record of a handle. Must not know which call got the error, or what its operation does then. */

#include "reasons.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Return whether this errno means that the whole connection has ended. */
static bool
ends(int number)
{
    switch (number) {
    case ECONNABORTED: case ECONNREFUSED: case ECONNRESET: case EHOSTDOWN: case EHOSTUNREACH: case ENETDOWN:
    case ENETRESET: case ENETUNREACH: case ENONET: case EPROTO: case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

int
pending_error(Handle *handle)
{
    int pending = 0;
    socklen_t size = sizeof pending;
    return getsockopt(handle->fd, SOL_SOCKET, SO_ERROR, &pending, &size) < 0 ? errno : pending;
}

static bool
no_peer(int number)
{
    return number == EPIPE || number == ESHUTDOWN;
}

/* Return whether a call without the GIL in another OS thread may have got the error and not noted it yet. The attempt
   is then made again after that call. */
static bool
may_be_told(Handle *handle)
{
    if (handle->outside == 0 || handle->failure != 0) {
        return false;
    }
    handle->look_again = 1;
    return true;
}

/* The call that ran without the GIL notes its error before any other OS thread gets the GIL. */
void
handle_look_again(Handle *handle)
{
    handle->look_again = 0;
    handle->ready[READING] = handle->ready[WRITING] = true;
    handle_arm_again(handle);
}

int
handle_told(Handle *handle, int number)
{
    if (!(handle->armed & STREAM)) {
        return number;
    }
    if (ends(number)) {
        handle->failure = (uint8_t)number;
    } else if (number == 0) {
        if (handle->failure != 0 && !(handle->armed & ENDED)) {
            return handle->failure;
        }
        handle->armed |= ENDED;
    } else if (no_peer(number)) {
        int pending = handle->failure == 0 && handle->fd >= 0 ? pending_error(handle) : 0;
        if (ends(pending)) {
            handle->failure = (uint8_t)pending;
        }
        if (handle->failure != 0 && !(handle->armed & TOLD)) {
            return handle->failure;
        }
    }
    return number;
}

Outcome
handle_failed(Handle *handle, int way, int number)
{
    if (no_peer(number) && may_be_told(handle)) {
        return BLOCKED;
    }
    number = handle_told(handle, number);
    if (way == WRITING && ends(number)) {
        handle->armed |= TOLD;
    }
    errno = number;
    PyErr_SetFromErrno(PyExc_OSError);
    return FAILURE;
}

Outcome
handle_ended(Handle *handle)
{
    if (handle->armed & STREAM && !(handle->armed & ENDED) && may_be_told(handle)) {
        return BLOCKED;
    }
    int number = handle_told(handle, 0);
    if (number == 0) {
        return SUCCESS;
    }
    errno = number;
    PyErr_SetFromErrno(PyExc_OSError);
    return FAILURE;
}

/* Return the errno of an exception; 0 if it has none. */
static int
number_of(PyObject *error)
{
    if (!PyObject_TypeCheck(error, (PyTypeObject *)PyExc_OSError)) {
        return 0;
    }
    PyObject *number = ((PyOSErrorObject *)error)->myerrno;
    int overflow = 0;
    long value = number != NULL && PyLong_Check(number) ? PyLong_AsLongAndOverflow(number, &overflow) : 0;
    if (value <= 0 && PyObject_TypeCheck(error, (PyTypeObject *)PyExc_BrokenPipeError)) {
        return EPIPE;
    }
    return value > 0 && value <= UINT8_MAX && overflow == 0 ? (int)value : 0;
}

Outcome
handle_failed_in_python(Handle *handle, int way)
{
    PyObject *error = error_take();
    int number = number_of(error);
    if (no_peer(number) && may_be_told(handle)) {
        Py_DECREF(error);
        return BLOCKED;
    }
    int amounts_to = number != 0 ? handle_told(handle, number) : 0;
    if (way == WRITING && ends(amounts_to)) {
        handle->armed |= TOLD;
    }
    if (amounts_to == number) {
        error_put(error);
        return FAILURE;
    }
    Py_DECREF(error);
    errno = amounts_to;
    PyErr_SetFromErrno(PyExc_OSError);
    return FAILURE;
}

void
handle_begin_anew(Handle *handle)
{
    handle->failure = 0;
    handle->armed &= (uint8_t)~(ENDED | TOLD);
}

PyObject *
told_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("told", nargs, 0, 1) < 0) {
        return NULL;
    }
    PyObject *error = nargs > 0 ? args[0] : Py_None;
    int number = error != Py_None ? number_of(error) : 0;
    if (error != Py_None && number == 0) {
        return Py_NewRef(error);
    }
    int amounts_to = handle_told((Handle *)self, number);
    if (amounts_to == number) {
        return Py_NewRef(error);
    }
    return PyObject_CallFunction(PyExc_OSError, "is", amounts_to, strerror(amounts_to));
}
