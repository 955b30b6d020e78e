/* The handle and its directions as Python objects. A handle is its own reading direction; the writing direction is a
   small object that refers to it.

   Knows everything that can be done with a handle. Must not know how the poller gets events. */

#include "faces.h"
#include "calls.h"
#include "closing.h"
#include "reasons.h"
#include "parking.h"
#include "sock.h"
#include "ways.h"

Handle *
handle_new(Engine *engine, int fd, uint32_t identity, PyObject *sock, int family, bool drains)
{
    Handle *handle = PyObject_GC_New(Handle, engine->state->handle_type);
    if (handle == NULL) {
        return NULL;
    }
    handle->engine = (Engine *)Py_NewRef(engine);
    handle->sock = Py_XNewRef(sock);
    handle->writing = NULL;
    handle->next_finished = NULL;
    for (int way = 0; way < WAYS; way++) {
        handle->waiter[way] = NULL;
        handle->operation[way] = NULL;
        handle->state[way] = IDLE;
        handle->ready[way] = true;
    }
    handle->fd = fd;
    handle->identity = identity;
    handle->armed = drains ? DRAINS : 0;
    handle->failure = 0;
    handle->finished = 0;
    handle->outside = 0;
    handle->look_again = 0;
    handle->family = family >= 0 && family < FAMILY_MAX ? (uint16_t)family & FAMILY_MAX : FAMILY_MAX;
    handle->queued = 0;
    handle->made_sock = 0;
    handle->first_sock = 0;
    PyObject_GC_Track(handle);
    return handle;
}

/* The methods of both directions. */

static PyObject *
waiter_of(Handle *handle, int way)
{
    return Py_NewRef(handle->waiter[way] != NULL ? handle->waiter[way] : Py_None);
}

static PyObject *
error_of(Handle *handle, int way)
{
    return Py_NewRef(handle->state[way] & FAILED ? handle->operation[way]->argument : Py_None);
}

static PyObject *
represent(Handle *handle, int way)
{
    PyObject *what = handle_describe(handle, way);
    if (what == NULL) {
        return NULL;
    }
    PyObject *text = PyUnicode_FromFormat("<%U, state %d>", what, handle->state[way]);
    Py_DECREF(what);
    return text;
}

static PyObject *
is_over(Handle *handle, int way)
{
    bool finished = handle->state[way] & (FINISHED | PASSING);
    return PyBool_FromLong(finished && !is_running(handle, way) && !(handle->finished & 1u << way));
}

#define FACE(face, type, handle_of, way)                                                                              \
    static PyObject *face##_park(PyObject *self, PyObject *waiter)                                                    \
    {                                                                                                                 \
        return handle_park(handle_of(self), way, waiter);                                                             \
    }                                                                                                                 \
    static PyObject *face##_cancel(PyObject *self, PyObject *error)                                                   \
    {                                                                                                                 \
        return handle_cancel(handle_of(self), way, error);                                                            \
    }                                                                                                                 \
    static PyObject *face##_describe(PyObject *self, PyObject *Py_UNUSED(ignored))                                    \
    {                                                                                                                 \
        return handle_describe(handle_of(self), way);                                                                 \
    }                                                                                                                 \
    static PyObject *face##_fileno(PyObject *self, PyObject *Py_UNUSED(ignored))                                      \
    {                                                                                                                 \
        int fd = handle_of(self)->fd;                                                                                 \
        return PyLong_FromLong(fd < 0 ? -1 : fd);                                                                     \
    }                                                                                                                 \
    static PyObject *face##_repr(PyObject *self) { return represent(handle_of(self), way); }                          \
    static PyObject *face##_waiter(PyObject *self, void *Py_UNUSED(closure)) { return waiter_of(handle_of(self), way); } \
    static PyObject *face##_error(PyObject *self, void *Py_UNUSED(closure)) { return error_of(handle_of(self), way); } \
    static PyObject *face##_over(PyObject *self, void *Py_UNUSED(closure)) { return is_over(handle_of(self), way); }

#define FACE_METHODS(face)                                                                                            \
    {"park", face##_park, METH_O, PyDoc_STR("Wait for the operation just yielded. True: it has finished.")},          \
        {"cancel", face##_cancel, METH_O, PyDoc_STR("Give up the wait. True: it has ended with the error.")},         \
        {"describe", face##_describe, METH_NOARGS, PyDoc_STR("Return what this direction is doing, for people.")},    \
        {"fileno", face##_fileno, METH_NOARGS, PyDoc_STR("Return the descriptor, or -1 if it is closed.")}

#define FACE_ATTRIBUTES(face)                                                                                         \
    {"waiter", face##_waiter, NULL, PyDoc_STR("The waiter that was given to park(), or None."), NULL},                \
        {"over", face##_over, NULL, PyDoc_STR("Whether it has finished, and poll() will not return its waiter."), NULL},  \
        {"error", face##_error, NULL, PyDoc_STR("The error that a finished operation will raise, or None."), NULL}

static inline Handle *
itself(PyObject *self)
{
    return (Handle *)self;
}

static inline Handle *
handle_behind(PyObject *self)
{
    return ((Writing *)self)->handle;
}

FACE(reading, Handle, itself, READING)
FACE(writing, Writing, handle_behind, WRITING)

/* The writing direction. */

static int
writing_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Writing *)self)->handle);
    return 0;
}

static void
writing_dealloc(PyObject *self)
{
    Handle *handle = handle_behind(self);
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (handle->writing == (Writing *)self) {
        handle->writing = NULL;
    }
    PyObject_GC_Del(self);
    Py_DECREF(handle);
    Py_DECREF(type);
}

static PyMethodDef writing_methods[] = {
    FACE_METHODS(writing),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef writing_attributes[] = {
    FACE_ATTRIBUTES(writing),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot writing_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("The writing direction of a handle.")},
    {Py_tp_dealloc, writing_dealloc},
    {Py_tp_traverse, writing_traverse},
    {Py_tp_repr, writing_repr},
    {Py_tp_methods, writing_methods},
    {Py_tp_getset, writing_attributes},
    {0, NULL},
};

PyType_Spec writing_spec = {
    .name = "pollers._native.Writing",
    .basicsize = sizeof(Writing),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = writing_slots,
};

/* The handle. */

static PyObject *
close_method(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return handle_close((Handle *)self) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
detach_method(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Handle *handle = (Handle *)self;
    if (handle->fd >= 0 && handle_settle(handle) < 0) {
        return NULL;
    }
    return handle_detach_at_once(handle);
}

static PyObject *
get_way(PyObject *self, void *way)
{
    return handle_direction((Handle *)self, way == NULL ? READING : WRITING);
}

static PyObject *
get_sock(PyObject *self, void *Py_UNUSED(closure))
{
    return handle_sock((Handle *)self);
}

static int
handle_traverse(PyObject *self, visitproc visit, void *arg)
{
    Handle *handle = (Handle *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(handle->engine);
    Py_VISIT(handle->sock);
    Py_VISIT(handle->waiter[READING]);
    Py_VISIT(handle->waiter[WRITING]);
    return 0;
}

static int
handle_clear(PyObject *self)
{
    Handle *handle = (Handle *)self;
    Py_CLEAR(handle->waiter[READING]);
    Py_CLEAR(handle->waiter[WRITING]);
    /* This does not clear the socket object, which would close the descriptor that the handle still refers to. */
    return 0;
}

/* Warn if nobody has closed the handle. A socket object warns itself; a descriptor without one is closed here. */
static void
handle_finalize(PyObject *self)
{
    Handle *handle = (Handle *)self;
    if (handle->fd < 0 || handle->sock != NULL) {
        return;
    }
    PyObject *error = error_take();
    if (PyErr_ResourceWarning(self, 1, "unclosed socket: %R", self) < 0) {
        PyErr_WriteUnraisable(self);
    }
    if (handle_close(handle) < 0) {
        PyErr_WriteUnraisable(self);
    }
    error_put(error);
}

static void
handle_dealloc(PyObject *self)
{
    Handle *handle = (Handle *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return;
    }
    PyObject_GC_UnTrack(self);
    handle_clear(self);
    Py_CLEAR(handle->sock);
    Py_DECREF(handle->engine);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

#define CALL(name, text) {#name, (PyCFunction)(void (*)(void))name##_method, METH_FASTCALL, PyDoc_STR(text)},

static PyMethodDef handle_methods[] = {
    FOR_EACH_CALL(CALL)
    {"told", (PyCFunction)(void (*)(void))told_method, METH_FASTCALL,
     PyDoc_STR("Report the outcome of a direct call on `sock`. Returns the error to raise for it, or None.")},
    {"close", close_method, METH_NOARGS, PyDoc_STR("End both operations with Closed, unregister and close.")},
    {"detach", detach_method, METH_NOARGS, PyDoc_STR("End both operations with Closed and return the open socket.")},
    FACE_METHODS(reading),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef handle_attributes[] = {
    {"reading", get_way, NULL, PyDoc_STR("The reading direction: the handle itself."), NULL},
    {"writing", get_way, NULL, PyDoc_STR("The writing direction."), &writing_spec},
    {"sock", get_sock, NULL, PyDoc_STR("The non-blocking socket. The handle owns it."), NULL},
    FACE_ATTRIBUTES(reading),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot handle_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("A socket as its poller knows it. It is its own reading direction.")},
    {Py_tp_dealloc, handle_dealloc},
    {Py_tp_finalize, handle_finalize},
    {Py_tp_traverse, handle_traverse},
    {Py_tp_clear, handle_clear},
    {Py_tp_repr, reading_repr},
    {Py_tp_methods, handle_methods},
    {Py_tp_getset, handle_attributes},
    {0, NULL},
};

PyType_Spec handle_spec = {
    .name = "pollers._native.Handle",
    .basicsize = sizeof(Handle),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = handle_slots,
};
