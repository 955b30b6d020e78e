/* Isolated of isolated.py in C: each step of a coroutine runs in the context of its application.

   Knows contexts of CPython, and that a coroutine is stepped by send(), throw() and close(). Must not know applications
   or connections. */

#include "isolated.h"
#include "../../threads/delegation.h"

typedef struct {
    PyObject_HEAD
    State *state;
    PyObject *module; /* it has the state */
    PyObject *steps;  /* NULL after it was cleared as garbage */
    PyObject *context;
} Isolated;

static PyObject *
isolated_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    State *state = PyType_GetModuleState(type);
    PyObject *made;
    if (no_keywords("Isolated", keywords) < 0 || !PyArg_UnpackTuple(args, "Isolated", 1, 1, &made)) {
        return NULL;
    }
    if (state->told[STEPS] == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "nobody has said what the steps of an awaitable are");
        return NULL;
    }
    PyObject *steps = PyCoro_CheckExact(made) ? Py_NewRef(made) : PyObject_CallOneArg(state->told[STEPS], made);
    PyObject *context = steps != NULL ? PyContext_CopyCurrent() : NULL;
    Isolated *isolated = context != NULL ? (Isolated *)type->tp_alloc(type, 0) : NULL;
    if (isolated == NULL) {
        Py_XDECREF(steps);
        Py_XDECREF(context);
        return NULL;
    }
    isolated->module = Py_XNewRef(PyType_GetModule(type));
    isolated->state = state;
    isolated->steps = steps;
    isolated->context = context;
    return (PyObject *)isolated;
}

/* Enter the context, and return the steps. NULL with an exception if they cannot run. */
static PyObject *
enter(Isolated *isolated)
{
    if (isolated->steps == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this coroutine is garbage");
        return NULL;
    }
    return PyContext_Enter(isolated->context) == 0 ? Py_NewRef(isolated->steps) : NULL;
}

/* Leave it again. Return -1 with an exception on failure. */
static int
leave(Isolated *isolated, PyObject *steps)
{
    Py_DECREF(steps);
    PyObject *error = error_take();
    int status = PyContext_Exit(isolated->context);
    if (error != NULL) {
        error_put(error); /* more important than that the context was changed by foreign code */
    }
    return status;
}

static PySendResult
isolated_am_send(PyObject *self, PyObject *value, PyObject **result)
{
    Isolated *isolated = (Isolated *)self;
    PyObject *steps = enter(isolated);
    *result = NULL;
    if (steps == NULL) {
        return PYGEN_ERROR;
    }
    PySendResult outcome = PyIter_Send(steps, value != NULL ? value : Py_None, result);
    if (leave(isolated, steps) < 0) {
        Py_CLEAR(*result);
        return PYGEN_ERROR;
    }
    return outcome;
}

static PyObject *
isolated_send(PyObject *self, PyObject *value)
{
    PyObject *result;
    PySendResult outcome = isolated_am_send(self, value, &result);
    return as_generator(outcome, result);
}

static PyObject *
isolated_iternext(PyObject *self)
{
    return isolated_send(self, Py_None);
}

/* Call a method of the coroutine. */
static PyObject *
call_inside(Isolated *isolated, PyObject *name, PyObject *const *args, Py_ssize_t count)
{
    PyObject *steps = enter(isolated), *all[4] = {steps};
    if (steps == NULL) {
        return NULL;
    }
    for (Py_ssize_t index = 0; index < count; index++) {
        all[index + 1] = args[index];
    }
    PyObject *result = PyObject_VectorcallMethod(name, all, (size_t)count + 1, NULL);
    if (leave(isolated, steps) < 0) {
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *
isolated_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Isolated *isolated = (Isolated *)self;
    if (argument_count("throw", count, 1, 3) < 0) {
        return NULL;
    }
    return call_inside(isolated, isolated->state->throw, args, count);
}

static PyObject *
isolated_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Isolated *isolated = (Isolated *)self;
    return call_inside(isolated, isolated->state->close, NULL, 0);
}

static PyObject *
isolated_inner(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *steps = ((Isolated *)self)->steps;
    return Py_NewRef(steps != NULL ? steps : Py_None);
}

static PyObject *
isolated_frame(PyObject *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    Py_RETURN_NONE;
}

static int
isolated_traverse(PyObject *self, visitproc visit, void *arg)
{
    Isolated *isolated = (Isolated *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(isolated->module);
    Py_VISIT(isolated->context);
    Py_VISIT(isolated->steps);
    return 0;
}

static int
isolated_clear(PyObject *self)
{
    Py_CLEAR(((Isolated *)self)->steps); /* it keeps the rest, because the steps may still run in it */
    return 0;
}

static void
isolated_dealloc(PyObject *self)
{
    Isolated *isolated = (Isolated *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, isolated_dealloc)
    Py_CLEAR(isolated->steps);
    Py_CLEAR(isolated->context);
    Py_CLEAR(isolated->module);
    type->tp_free(self);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

static PyMethodDef isolated_methods[] = {
    {"send", isolated_send, METH_O, PyDoc_STR("Like send() of a coroutine.")},
    {"throw", (PyCFunction)(void (*)(void))isolated_throw, METH_FASTCALL, PyDoc_STR("Like throw() of a coroutine.")},
    {"close", isolated_close, METH_NOARGS, PyDoc_STR("Like close() of a coroutine.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef isolated_attributes[] = {
    {"cr_await", isolated_inner, NULL, PyDoc_STR("The next link of the chain of coroutines."), NULL},
    {"cr_frame", isolated_frame, NULL, PyDoc_STR("None: it has no frame of its own."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot isolated_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("A coroutine in a context of its own, for `yield from`.")},
    {Py_tp_new, isolated_new},
    {Py_tp_dealloc, isolated_dealloc},
    {Py_tp_traverse, isolated_traverse},
    {Py_tp_clear, isolated_clear},
    {Py_tp_methods, isolated_methods},
    {Py_tp_getset, isolated_attributes},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, isolated_iternext},
    {Py_am_send, isolated_am_send},
    {0, NULL},
};

PyType_Spec isolated_spec = {
    .name = "socket2._http.Isolated",
    .basicsize = sizeof(Isolated),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = isolated_slots,
};
