/* The module socket2._http: its functions and types.

   Knows what the parts offer. Must not know how they do it. */

#include "../messages/fields.h"
#include "../messages/heads.h"
#include "../messages/outgoing.h"
#include "../messages/syntax.h"
#include "../serving/usually.h"
#include "isolated.h"

static const char *const told_texts[TOLD] = {"methods", "status_line", "date_line", "sent", "checker", "steps"};

static PyObject *
learn(PyObject *module, PyObject *class)
{
    return learn_class(PyModule_GetState(module), class) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
tell(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    State *state = PyModule_GetState(module);
    if (argument_count("tell", count, 2, 2) < 0) {
        return NULL;
    }
    for (int which = 0; PyUnicode_Check(args[0]) && which < TOLD; which++) {
        if (PyUnicode_CompareWithASCIIString(args[0], told_texts[which]) == 0) {
            Py_XSETREF(state->told[which], Py_NewRef(args[1]));
            Py_CLEAR(state->date); /* another function may make another one */
            Py_RETURN_NONE;
        }
    }
    PyErr_Format(PyExc_TypeError, "nobody asks for %R", args[0]);
    return NULL;
}

static PyObject *
request(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (argument_count("request", count, 2, 2) < 0) {
        return NULL;
    }
    PyObject *made = request_of(PyModule_GetState(module), args[0], args[1]);
    return made != NULL || PyErr_Occurred() ? made : Py_NewRef(Py_None);
}

static PyObject *
written(PyObject *module, PyObject *given)
{
    PyObject *made = written_of(PyModule_GetState(module), given);
    return made != NULL || PyErr_Occurred() ? made : Py_NewRef(Py_None);
}

static PyObject *
pairs(PyObject *Py_UNUSED(module), PyObject *block)
{
    return fields_of(block);
}

static PyObject *
is_well_formed(PyObject *head, bool (*check)(const char *, size_t))
{
    char *octets;
    Py_ssize_t size;
    return PyBytes_AsStringAndSize(head, &octets, &size) < 0 ? NULL : PyBool_FromLong(check(octets, (size_t)size));
}

static PyObject *
is_request(PyObject *Py_UNUSED(module), PyObject *head)
{
    return is_well_formed(head, request_is_well_formed);
}

static PyObject *
is_response(PyObject *Py_UNUSED(module), PyObject *head)
{
    return is_well_formed(head, response_is_well_formed);
}

static PyMethodDef functions[] = {
    {"learn", learn, METH_O, PyDoc_STR("Learn the slots of a class.")},
    {"tell", (PyCFunction)(void (*)(void))tell, METH_FASTCALL, PyDoc_STR("Pass an object by name: tell(name, object).")},
    {"request", (PyCFunction)(void (*)(void))request, METH_FASTCALL,
     PyDoc_STR("Return the request that a complete head is, None if that is not usual: request(head, limits).")},
    {"written", written, METH_O, PyDoc_STR("Return the Written of fields, None if they are not usual.")},
    {"pairs", pairs, METH_O, PyDoc_STR("Return the names and values in the checked lines of a head.")},
    {"is_request", is_request, METH_O, PyDoc_STR("Whether a complete head of a request is well-formed.")},
    {"is_response", is_response, METH_O, PyDoc_STR("Whether a complete head of a response is well-formed.")},
    {NULL, NULL, 0, NULL},
};

static int
add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int status = type != NULL ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return status;
}

static int
execute(PyObject *module)
{
    State *state = PyModule_GetState(module);
    state->begin_body = PyUnicode_InternFromString("begin_body");
    state->zero = PyLong_FromLong(0);
    state->one = PyLong_FromLong(1);
    state->lines = PyDict_New();
    state->close = PyUnicode_InternFromString("close");
    state->throw = PyUnicode_InternFromString("throw");
    if (state->begin_body == NULL || state->zero == NULL || state->one == NULL || state->lines == NULL ||
        state->close == NULL || state->throw == NULL) {
        return -1;
    }
    return add_type(module, &usually_spec) < 0 || add_type(module, &isolated_spec) < 0 ? -1 : 0;
}

static int
traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    for (int which = 0; which < CLASSES; which++) {
        Py_VISIT(state->classes[which].type);
    }
    for (int which = 0; which < TOLD; which++) {
        Py_VISIT(state->told[which]);
    }
    Py_VISIT(state->lines);
    return 0;
}

static int
clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    for (int which = 0; which < CLASSES; which++) {
        Py_CLEAR(state->classes[which].type);
    }
    for (int which = 0; which < TOLD; which++) {
        Py_CLEAR(state->told[which]);
    }
    Py_CLEAR(state->lines);
    Py_CLEAR(state->date);
    Py_CLEAR(state->begin_body);
    Py_CLEAR(state->close);
    Py_CLEAR(state->throw);
    Py_CLEAR(state->one);
    Py_CLEAR(state->zero);
    return 0;
}

MODULE_WITH_STATE("socket2._http", "HTTP in C: usual heads and answers. socket2/http has the same in Python.",
                  sizeof(State), functions);

PyMODINIT_FUNC
PyInit__http(void)
{
    return PyModuleDef_Init(&definition);
}
