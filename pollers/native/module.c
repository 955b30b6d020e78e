/* The module: its types, what it takes from Python, and what it does after a fork.

   Knows every type of the module, but must not know how any of them works. The GIL protects them all; nothing here is
   safe without it. */

#include "epoll.h"
#include "faces.h"
#include "sock.h"
#include "state.h"
#include "steps.h"

static const char *const name_texts[NAMES] = {
    [NAME_CLOSED_MARK] = "_closed",
    [NAME_IO_REFS] = "_io_refs",
    [NAME_ATTACH] = "attach",
    [NAME_DETACH] = "detach",
    [NAME_BYTES_SENT] = "bytes_sent",
    [NAME_CLOSE] = "close",
    [NAME_CONNECT_EX] = "connect_ex",
    [NAME_FAMILY] = "family",
    [NAME_FILENO] = "fileno",
    [NAME_PROTO] = "proto",
    [NAME_RECVFROM] = "recvfrom",
    [NAME_RECVFROM_INTO] = "recvfrom_into",
    [NAME_SENDTO] = "sendto",
    [NAME_SETBLOCKING] = "setblocking",
    [NAME_TYPE] = "type",
};

static PyObject *
after_fork_in_child(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    pollers_after_fork(PyModule_GetState(module));
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"_after_fork_in_child", after_fork_in_child, METH_NOARGS, PyDoc_STR("Make the parent's pollers refuse calls.")},
    {NULL, NULL, 0, NULL},
};

static int
register_fork_hook(PyObject *module)
{
    int status = -1;
    PyObject *registers = taken_from("os", "register_at_fork");
    PyObject *hook = PyObject_GetAttrString(module, "_after_fork_in_child");
    PyObject *nothing = PyTuple_New(0);
    PyObject *keywords = hook != NULL ? Py_BuildValue("{sO}", "after_in_child", hook) : NULL;
    if (registers != NULL && keywords != NULL && nothing != NULL) {
        PyObject *done = PyObject_Call(registers, nothing, keywords);
        status = done != NULL ? 0 : -1;
        Py_XDECREF(done);
    }
    Py_XDECREF(keywords);
    Py_XDECREF(nothing);
    Py_XDECREF(hook);
    Py_XDECREF(registers);
    return status;
}

static int
make_types(PyObject *module, State *state)
{
    struct {
        PyTypeObject **type;
        PyType_Spec *spec;
    } wanted[] = {
        {&state->poller_type, &poller_spec},
        {&state->handle_type, &handle_spec},
        {&state->writing_type, &writing_spec},
        {&state->operation_type, &operation_spec},
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(wanted); i++) {
        *wanted[i].type = (PyTypeObject *)PyType_FromModuleAndSpec(module, wanted[i].spec, NULL);
        if (*wanted[i].type == NULL) {
            return -1;
        }
    }
    return PyModule_AddType(module, state->poller_type);
}

static int
execute(PyObject *module)
{
    State *state = PyModule_GetState(module);
    struct {
        PyObject **object;
        const char *module, *name;
    } wanted[] = {
        {&state->closed_error, "pollers.operation", "Closed"},
        {&state->busy_error, "pollers.operation", "Busy"},
        {&state->exhausted_error, "pollers.operation", "Exhausted"},
        {&state->stats_class, "pollers.operation", "Stats"},
        {&state->unsupported_error, "io", "UnsupportedOperation"},
        {&state->monotonic, "time", "monotonic"},
        {&state->socketpair, "pollers.pairs", "socketpair"},
        {&state->adopt, "pollers.unbound", "adopt"},
        {&state->ready, "pollers.probe", "ready"},
        {&state->file, "pollers.file", "file"},
        {&state->foreign, "pollers.foreign", "Foreign"},
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(wanted); i++) {
        *wanted[i].object = taken_from(wanted[i].module, wanted[i].name);
        if (*wanted[i].object == NULL) {
            return -1;
        }
    }
    if (names_make(state->names, name_texts, NAMES) < 0) {
        return -1;
    }
    state->fileno_only = PyTuple_Pack(1, state->names[NAME_FILENO]);
    state->spare_stop = PyObject_CallNoArgs(PyExc_StopIteration);
    if (state->fileno_only == NULL || state->spare_stop == NULL || socks_learn(state) < 0) {
        return -1;
    }
    return make_types(module, state) < 0 ? -1 : register_fork_hook(module);
}

static int
traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->poller_type);
    Py_VISIT(state->handle_type);
    Py_VISIT(state->writing_type);
    Py_VISIT(state->operation_type);
    Py_VISIT(state->closed_error);
    Py_VISIT(state->busy_error);
    Py_VISIT(state->exhausted_error);
    Py_VISIT(state->unsupported_error);
    Py_VISIT(state->stats_class);
    Py_VISIT(state->monotonic);
    Py_VISIT(state->socketpair);
    Py_VISIT(state->adopt);
    Py_VISIT(state->ready);
    Py_VISIT(state->file);
    Py_VISIT(state->foreign);
    Py_VISIT(state->socket_class);
    Py_VISIT(state->socket_base);
    Py_VISIT(state->base_accept);
    Py_VISIT(state->base_close);
    Py_VISIT(state->base_detach);
    Py_VISIT(state->fileno_only);
    Py_VISIT(state->spare_stop);
    return 0;
}

static int
clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    if (state->pollers != NULL) {
        return 0; /* pollers hold the module and use its state until they die; they break the cycle themselves */
    }
    operations_free(state); /* before their type is cleared, which knows where their memory begins */
    Py_CLEAR(state->poller_type);
    Py_CLEAR(state->handle_type);
    Py_CLEAR(state->writing_type);
    Py_CLEAR(state->operation_type);
    Py_CLEAR(state->closed_error);
    Py_CLEAR(state->busy_error);
    Py_CLEAR(state->exhausted_error);
    Py_CLEAR(state->unsupported_error);
    Py_CLEAR(state->stats_class);
    Py_CLEAR(state->monotonic);
    Py_CLEAR(state->socketpair);
    Py_CLEAR(state->adopt);
    Py_CLEAR(state->ready);
    Py_CLEAR(state->file);
    Py_CLEAR(state->foreign);
    Py_CLEAR(state->socket_class);
    Py_CLEAR(state->socket_base);
    Py_CLEAR(state->base_accept);
    Py_CLEAR(state->base_close);
    Py_CLEAR(state->base_detach);
    Py_CLEAR(state->fileno_only);
    Py_CLEAR(state->spare_stop);
    names_clear(state->names, NAMES);
    return 0;
}

MODULE_WITH_STATE("pollers._native", "The epoll poller in C: the contract of pollers/operation.py, faster.",
                  sizeof(State), methods);

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
