/* The ways of a handle: what each is doing, why it refuses another operation, and how it is freed.

   Knows the records of handle and operation. Must not know attempts, waits or the close of a handle. */

#include "ways.h"

PyObject *
handle_describe(Handle *handle, int way)
{
    static const char *const idle[WAYS] = {"reading", "writing"};
    Operation *op = handle->operation[way];
    const char *what = op != NULL ? operation_name(op->kind) : idle[way];
    return PyUnicode_FromFormat("%s on fd %d", what, handle->fd < 0 ? -1 : handle->fd);
}

void
handle_refuse(Handle *handle, int way)
{
    State *module = handle->engine->state;
    if (handle->state[way] & FORKED) {
        engine_forked_error(handle->engine);
    } else if (handle->state[way] & CLOSED) {
        PyErr_SetNone(module->closed_error);
    } else {
        PyObject *what = handle_describe(handle, way);
        if (what != NULL) {
            PyErr_Format(module->busy_error, "another thread is %s this socket already: %U",
                         way == READING ? "reading" : "writing", what);
            Py_DECREF(what);
        }
    }
}

void
handle_release(Handle *handle, int way)
{
    handle->operation[way] = NULL;
    handle->state[way] &= FOR_GOOD;
    handle->finished &= ~(1u << way) & 3;
    Py_CLEAR(handle->waiter[way]);
}

void
handle_end(Handle *handle, int way, PyObject *error)
{
    Operation *op = handle->operation[way];
    if (op == NULL) { /* making the error has run foreign code, which has dropped the operation */
        Py_XDECREF(error);
        return;
    }
    if (error != NULL) { /* it is another thread's, and knows nothing of the exception that this one is handling */
        PyException_SetContext(error, NULL);
    }
    handle->state[way] = FINISHED | FAILED | (handle->state[way] & FOR_GOOD);
    Py_XSETREF(op->argument, error);
}

bool
handle_end_refused(Handle *handle, int way)
{
    PyObject *op = Py_NewRef(handle->operation[way]);
    handle_refuse(handle, way);
    PyObject *error = error_take();
    bool ended = (PyObject *)handle->operation[way] == op;
    if (ended) {
        handle_end(handle, way, error);
    } else {
        Py_XDECREF(error);
    }
    Py_DECREF(op);
    return ended;
}

PyObject *
handle_direction(Handle *handle, int way)
{
    if (way == READING) {
        return Py_NewRef(handle);
    }
    if (handle->writing == NULL) {
        Writing *writing = PyObject_GC_New(Writing, handle->engine->state->writing_type);
        if (writing == NULL) {
            return NULL;
        }
        writing->handle = (Handle *)Py_NewRef(handle);
        PyObject_GC_Track(writing);
        if (handle->writing == NULL) { /* the allocation may have run code that has made one */
            handle->writing = writing;
        }
        return (PyObject *)writing;
    }
    return Py_NewRef(handle->writing);
}
