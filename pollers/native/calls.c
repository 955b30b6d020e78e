/* The methods of a handle that make operations. They check the arguments; the system call waits for the first step.

   Knows how operations are made. Must not know how they are stepped, or what a handle is made of. */

#include "calls.h"
#include "steps.h"

static int
not_negative(Py_ssize_t n, PyObject *given)
{
    if (n >= 0) {
        return 0;
    }
    if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "the number of bytes to receive must not be negative: %R", given);
    }
    return -1;
}

/* Return the number of bytes that `given` stands for; -1 and an exception if it is not a valid number. */
static Py_ssize_t
length(PyObject *given)
{
    Py_ssize_t n = PyNumber_AsSsize_t(given, PyExc_OverflowError);
    return not_negative(n, given) < 0 ? -1 : n;
}

/* Return how many bytes to receive into `buffer`: `given`, or its length if that is 0, as in the standard library. */
static Py_ssize_t
room(PyObject *buffer, PyObject *given)
{
    Py_buffer view;
    Py_ssize_t n = given != NULL ? PyNumber_AsSsize_t(given, NULL) : 0;
    if (n == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (PyObject_GetBuffer(buffer, &view, PyBUF_FULL_RO) < 0) {
        return -1;
    }
    Py_ssize_t size = view.len;
    bool readonly = view.readonly;
    PyBuffer_Release(&view);
    if (readonly) {
        PyErr_SetString(PyExc_TypeError, "the buffer must be writable");
        return -1;
    }
    if (not_negative(n, given) < 0) {
        return -1;
    }
    if (n > size) {
        PyErr_Format(PyExc_ValueError, "the buffer has room for %zd bytes, not %R", size, given);
        return -1;
    }
    return n != 0 ? n : size;
}

static PyObject *
nothing_to_receive(Handle *handle, PyObject *result, PyObject *owner)
{
    PyObject *op = result != NULL ? operation_new(handle, NOTHING, result, 0, owner) : NULL;
    Py_XDECREF(result);
    return op;
}

PyObject *
recv_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("recv", nargs, 1, 2) < 0) {
        return NULL;
    }
    Py_ssize_t n = length(args[0]);
    PyObject *owner = nargs > 1 ? args[1] : NULL;
    if (n < 0) {
        return NULL;
    }
    if (n == 0) {
        return nothing_to_receive((Handle *)self, PyBytes_FromStringAndSize(NULL, 0), owner);
    }
    return operation_new((Handle *)self, RECV, NULL, n, owner);
}

PyObject *
recv_into_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("recv_into", nargs, 1, 3) < 0) {
        return NULL;
    }
    Py_ssize_t n = room(args[0], nargs > 1 ? args[1] : NULL);
    PyObject *owner = nargs > 2 ? args[2] : NULL;
    if (n < 0) {
        return NULL;
    }
    if (n == 0) {
        return nothing_to_receive((Handle *)self, PyLong_FromLong(0), owner);
    }
    return operation_new((Handle *)self, RECV_INTO, args[0], n, owner);
}

PyObject *
recvfrom_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("recvfrom", nargs, 1, 2) < 0) {
        return NULL;
    }
    Py_ssize_t n = length(args[0]);
    return n < 0 ? NULL : operation_new((Handle *)self, RECVFROM, NULL, n, nargs > 1 ? args[1] : NULL);
}

PyObject *
recvfrom_into_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("recvfrom_into", nargs, 1, 3) < 0) {
        return NULL;
    }
    Py_ssize_t n = room(args[0], nargs > 1 ? args[1] : NULL);
    return n < 0 ? NULL : operation_new((Handle *)self, RECVFROM_INTO, args[0], n, nargs > 2 ? args[2] : NULL);
}

PyObject *
accept_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("accept", nargs, 0, 1) < 0) {
        return NULL;
    }
    return operation_new((Handle *)self, ACCEPT, NULL, 0, nargs > 0 ? args[0] : NULL);
}

PyObject *
wait_readable_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("wait_readable", nargs, 0, 1) < 0) {
        return NULL;
    }
    return operation_new((Handle *)self, WAIT_READABLE, NULL, 0, nargs > 0 ? args[0] : NULL);
}

PyObject *
send_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("send", nargs, 1, 2) < 0) {
        return NULL;
    }
    return operation_new((Handle *)self, SEND, args[0], 0, nargs > 1 ? args[1] : NULL);
}

PyObject *
sendall_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("sendall", nargs, 1, 2) < 0) {
        return NULL;
    }
    return operation_new((Handle *)self, SENDALL, args[0], 0, nargs > 1 ? args[1] : NULL);
}

/* Make an operation with several arguments, which it keeps in a tuple. */
static PyObject *
with_arguments(PyObject *self, Kind kind, PyObject *const *args, Py_ssize_t count, PyObject *owner)
{
    PyObject *arguments = PyTuple_New(count);
    if (arguments == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyTuple_SET_ITEM(arguments, i, Py_NewRef(args[i]));
    }
    PyObject *op = operation_new((Handle *)self, kind, arguments, 0, owner);
    Py_DECREF(arguments);
    return op;
}

PyObject *
sendto_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("sendto", nargs, 2, 3) < 0) {
        return NULL;
    }
    return with_arguments(self, SENDTO, args, 2, nargs > 2 ? args[2] : NULL);
}

PyObject *
sendfile_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("sendfile", nargs, 3, 4) < 0) {
        return NULL;
    }
    return with_arguments(self, SENDFILE, args, 3, nargs > 3 ? args[3] : NULL);
}

PyObject *
connect_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("connect", nargs, 1, 2) < 0) {
        return NULL;
    }
    return operation_new((Handle *)self, CONNECT, args[0], 0, nargs > 1 ? args[1] : NULL);
}

PyObject *
wait_writable_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (argument_count("wait_writable", nargs, 0, 1) < 0) {
        return NULL;
    }
    return operation_new((Handle *)self, WAIT_WRITABLE, NULL, 0, nargs > 0 ? args[0] : NULL);
}
