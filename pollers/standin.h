/* An object that stands for a Python function. It binds as a method does, and has the function's attributes.

   Knows CPython by cpython.h. Must not know what a stand-in does when it is called. The part that defines one decides
   this, and its struct begins with a StandIn. */

#ifndef POLLERS_STANDIN_H
#define POLLERS_STANDIN_H

#include "cpython.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *function; /* kept to the end, since it may still be called */
} StandIn;

/* Make a stand-in. `name` is the name of the type, for errors. `args` contains only the function. */
static inline PyObject *
standin_new(PyTypeObject *type, PyObject *args, PyObject *keywords, const char *name, vectorcallfunc vectorcall)
{
    PyObject *function;
    if (no_keywords(name, keywords) < 0 || !PyArg_UnpackTuple(args, name, 1, 1, &function)) {
        return NULL;
    }
    StandIn *standin = (StandIn *)type->tp_alloc(type, 0);
    if (standin != NULL) {
        standin->vectorcall = vectorcall;
        standin->function = Py_NewRef(function);
    }
    return (PyObject *)standin;
}

/* Free a stand-in, after all its other fields were released. */
static inline void
standin_free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_DECREF(((StandIn *)self)->function);
    type->tp_free(self);
    Py_DECREF(type);
}

static inline PyObject *
standin_get(PyObject *self, PyObject *object, PyObject *Py_UNUSED(type))
{
    return object == NULL || object == Py_None ? Py_NewRef(self) : PyMethod_New(self, object);
}

/* Return an attribute of the function, or one of the stand-in itself if `own` lists it. `own` ends with NULL. */
static inline PyObject *
standin_attribute(PyObject *self, PyObject *name, const char *const *own)
{
    PyObject *function = ((StandIn *)self)->function;
    if (PyUnicode_CompareWithASCIIString(name, "__wrapped__") == 0) {
        return Py_NewRef(function);
    }
    for (; *own != NULL; own++) {
        if (PyUnicode_CompareWithASCIIString(name, *own) == 0) {
            return PyObject_GenericGetAttr(self, name);
        }
    }
    return PyObject_GetAttr(function, name);
}

static PyMemberDef standin_members[] __attribute__((unused)) = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(StandIn, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

#define STANDIN_SLOTS                                                                                                 \
    {Py_tp_call, PyVectorcall_Call}, {Py_tp_descr_get, standin_get}, {Py_tp_members, standin_members}

#define STANDIN_FLAGS                                                                                                 \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |            \
     Py_TPFLAGS_IMMUTABLETYPE)

#endif
