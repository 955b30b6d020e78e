/* The end of a handle: its operations end, it leaves its poller, and its socket is closed once no attempt uses it.

   This part also handles accepted connections that nobody took: it keeps them for the next accept, or closes them.
   Knows the ways of a handle, its socket object and its engine. Must not know attempts: parking.c makes an attempt that
   was left to a waiter's step before it calls this part. */

#include "closing.h"
#include "sock.h"
#include "ways.h"

/* Accepted connections that nobody took. */

PyObject *
handle_kept(Handle *handle)
{
    PyObject *kept = handle->engine->kept;
    return kept != NULL ? PyDict_GetItemWithError(kept, (PyObject *)handle) : NULL;
}

void
handle_keep(Handle *handle, PyObject *accepted)
{
    PyObject *error = error_take();
    Engine *engine = handle->engine;
    PyObject *list = NULL;
    bool kept = false;
    if (handle->fd >= 0 && (engine->kept != NULL || (engine->kept = PyDict_New()) != NULL)) {
        list = PyDict_GetItemWithError(engine->kept, (PyObject *)handle);
        if (list != NULL) {
            kept = PyList_Append(list, accepted) == 0;
        } else if (!PyErr_Occurred() && (list = PyList_New(0)) != NULL) {
            kept = PyList_Append(list, accepted) == 0 && PyDict_SetItem(engine->kept, (PyObject *)handle, list) == 0;
            Py_DECREF(list);
        }
    }
    if (kept) {
        handle->ready[READING] = true;
    } else {
        if (PyErr_Occurred()) {
            PyErr_WriteUnraisable((PyObject *)handle);
        }
        if (handle_close_at_once((Handle *)PyTuple_GET_ITEM(accepted, 0)) < 0) {
            PyErr_WriteUnraisable((PyObject *)handle);
        }
    }
    error_put(error);
}

/* Close the connections that were kept for a listener that is being closed. */
static void
drop_kept(Handle *handle)
{
    PyObject *list = handle_kept(handle);
    if (list == NULL) {
        PyErr_Clear();
        return;
    }
    Py_INCREF(list);
    if (PyDict_DelItem(handle->engine->kept, (PyObject *)handle) < 0) {
        PyErr_WriteUnraisable((PyObject *)handle);
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        Handle *connection = (Handle *)PyTuple_GET_ITEM(PyList_GET_ITEM(list, i), 0);
        if (handle_close_at_once(connection) < 0) {
            PyErr_WriteUnraisable((PyObject *)connection);
        }
    }
    Py_DECREF(list);
}

/* The end. */

/* Mark the way as closed. An operation in flight ends with Closed, and the next poll() returns its waiter. */
static void
close_way(Handle *handle, int way)
{
    bool parked = handle->state[way] == PARKED && !is_running(handle, way);
    handle->state[way] |= CLOSED;
    if (parked && handle_end_refused(handle, way)) {
        handle_finish(handle, way);
    }
}

/* End both operations and unregister. Returns the descriptor, which is still open, or -1 if foreign code was faster. */
static int
leave(Handle *handle)
{
    close_way(handle, READING);
    close_way(handle, WRITING);
    int fd = handle->fd;
    if (fd >= 0) {
        handle_forget(handle);
        handle->fd = -1;
        drop_kept(handle);
    }
    return fd < 0 ? -1 : fd;
}

/* Return whether an attempt is in progress. Its descriptor must stay open: otherwise the attempt could continue with
   another socket that gets the same number. */
static bool
in_flight(Handle *handle)
{
    return handle->outside > 0 || is_running(handle, READING) || is_running(handle, WRITING);
}

static void
close_late(Handle *handle, int fd)
{
    handle->fd = ~fd;
    handle->armed |= CLOSE_LATE;
}

/* Close the socket whose descriptor was `fd`, as soon as no attempt uses it. */
static int
close_left(Handle *handle, int fd)
{
    if (fd < 0) {
        return 0;
    }
    if (in_flight(handle)) {
        close_late(handle, fd);
        return 0;
    }
    return sock_close(handle, fd);
}

int
handle_close_at_once(Handle *handle)
{
    int status = 0;
    Py_INCREF(handle); /* the poller may hold the last reference */
    if (handle->fd >= 0) {
        status = close_left(handle, leave(handle));
    }
    Py_DECREF(handle);
    return status;
}

void
handle_displace(Handle *handle)
{
    Py_INCREF(handle);
    if (leave(handle) >= 0 && handle->sock != NULL) {
        sock_drop(handle->engine->state, Py_NewRef(handle->sock));
    }
    Py_DECREF(handle);
}

void
handle_close_late(Handle *handle)
{
    if (in_flight(handle)) {
        return;
    }
    int fd = ~handle->fd;
    handle->fd = -1;
    handle->armed &= (uint8_t)~CLOSE_LATE;
    PyObject *error = error_take();
    if (sock_close(handle, fd) < 0) {
        PyErr_WriteUnraisable((PyObject *)handle);
    }
    error_put(error);
}

PyObject *
handle_detach_at_once(Handle *handle)
{
    State *state = handle->engine->state;
    bool shared = handle->fd >= 0 && in_flight(handle);
    PyObject *sock = shared ? sock_of_duplicate(handle) : handle_sock(handle);
    if (sock == NULL) {
        return NULL;
    }
    int fd = leave(handle);
    if (fd < 0) { /* foreign code was faster */
        if (shared) {
            sock_discard(state, sock);
        } else {
            Py_DECREF(sock);
        }
        PyErr_SetNone(state->closed_error);
        return NULL;
    }
    if (!shared) {
        Py_CLEAR(handle->sock);
        return sock;
    }
    handle->armed |= DETACHED;
    if (close_left(handle, fd) < 0) {
        PyErr_WriteUnraisable((PyObject *)handle);
    }
    return sock;
}
