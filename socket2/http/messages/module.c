/* The module socket2._heads: heads in C, as functions.

   Knows CPython, and the slots of the classes by name. Must not know the syntax or the rules of a head. */

#include "heads.h"
#include "syntax.h"

static const char *const request_texts[REQUEST_SLOTS] = {
    "block", "body", "expects_continue", "host",       "keep_alive", "method",
    "minor", "origin", "raw",            "raw_target", "upgrade",    "usual",
};

static const char *const limit_texts[LIMIT_SLOTS] = {"head_fields", "target_bytes"};

/* Return a dict of bytes and str as a tuple of its keys and values. */
static PyObject *
flattened(PyObject *methods)
{
    PyObject *flat = PyTuple_New(2 * PyDict_GET_SIZE(methods)), *key, *value;
    Py_ssize_t at = 0, index = 0;
    while (flat != NULL && PyDict_Next(methods, &at, &key, &value)) {
        if (!PyBytes_CheckExact(key) || !PyUnicode_CheckExact(value)) {
            PyErr_SetString(PyExc_TypeError, "the methods must be a dict of bytes and str");
            Py_CLEAR(flat);
            break;
        }
        PyTuple_SET_ITEM(flat, index++, Py_NewRef(key));
        PyTuple_SET_ITEM(flat, index++, Py_NewRef(value));
    }
    return flat;
}

static PyObject *
learn(PyObject *module, PyObject *args)
{
    State *state = PyModule_GetState(module);
    PyTypeObject *request, *limits;
    PyObject *methods;
    if (!PyArg_ParseTuple(args, "O!O!O!:learn", &PyType_Type, &request, &PyType_Type, &limits, &PyDict_Type,
                          &methods)) {
        return NULL;
    }
    Py_CLEAR(state->request);
    if (slots_learn(request, request_texts, state->of_request, REQUEST_SLOTS) < 0 ||
        slots_learn(limits, limit_texts, state->of_limits, LIMIT_SLOTS) < 0) {
        return NULL;
    }
    PyObject *flat = flattened(methods);
    if (flat == NULL) {
        return NULL;
    }
    Py_XSETREF(state->methods, flat);
    Py_XSETREF(state->limits, (PyTypeObject *)Py_NewRef(limits));
    Py_XSETREF(state->request, (PyTypeObject *)Py_NewRef(request));
    Py_RETURN_NONE;
}

static PyObject *
request(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    return argument_count("request", count, 2, 2) < 0 ? NULL
                                                      : request_of(PyModule_GetState(module), args[0], args[1]);
}

static PyObject *
is_request(PyObject *Py_UNUSED(module), PyObject *head)
{
    char *octets;
    Py_ssize_t size;
    return PyBytes_AsStringAndSize(head, &octets, &size) < 0 ? NULL
                                                             : PyBool_FromLong(request_is_well_formed(octets, (size_t)size));
}

static PyObject *
is_response(PyObject *Py_UNUSED(module), PyObject *head)
{
    char *octets;
    Py_ssize_t size;
    return PyBytes_AsStringAndSize(head, &octets, &size) < 0
               ? NULL
               : PyBool_FromLong(response_is_well_formed(octets, (size_t)size));
}

static PyMethodDef functions[] = {
    {"learn", learn, METH_VARARGS, PyDoc_STR("Learn the classes: learn(RequestHead, Limits, methods of paths).")},
    {"request", (PyCFunction)(void (*)(void))request, METH_FASTCALL,
     PyDoc_STR("Return the request that a complete head is, None if that is not usual: request(head, limits).")},
    {"is_request", is_request, METH_O, PyDoc_STR("Whether a complete head of a request is well-formed.")},
    {"is_response", is_response, METH_O, PyDoc_STR("Whether a complete head of a response is well-formed.")},
    {NULL, NULL, 0, NULL},
};

static int
execute(PyObject *module)
{
    State *state = PyModule_GetState(module);
    state->one = PyLong_FromLong(1);
    return state->one != NULL ? 0 : -1;
}

static int
traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->request);
    Py_VISIT(state->limits);
    Py_VISIT(state->methods);
    return 0;
}

static int
clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->request);
    Py_CLEAR(state->limits);
    Py_CLEAR(state->methods);
    Py_CLEAR(state->one);
    return 0;
}

MODULE_WITH_STATE("socket2._heads", "Heads of HTTP in C. socket2/http/messages/heads.py has the same in Python.",
                  sizeof(State), functions);

PyMODINIT_FUNC
PyInit__heads(void)
{
    return PyModuleDef_Init(&definition);
}
