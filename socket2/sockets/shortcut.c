/* shortcut() of threads/native.py in C: a method of Socket that only calls the handle's method, without a Python frame.

   Knows where a Socket keeps its handle, and when a call needs more than the handle and the timeout of its direction.
   In that case, and for any unusual call, it calls the Python function that it replaces. It reads slots without locks,
   under the GIL.
   Must not know threads, or what the handle's method does. */

#include "../../pollers/standin.h"
#include "../threads/delegation.h"

/* The slots of a Socket; from READING on those of a Setup. */
enum { HANDLE, SETUP, READING, WRITING, SLOTS };

static const char *const slot_texts[SLOTS] = {"_handle", "_setup", "reading", "writing"};

typedef struct {
    StandIn standin;
    PyTypeObject *owner; /* the class whose method this is; NULL until the class is made */
    PyTypeObject *setup; /* the class of what is in SETUP; NULL until then, too */
    PyObject *name;      /* its name, and that of the handle's method; likewise */
    PyObject *limit;     /* "limit"; likewise */
    Method of_handle;
    Method of_patience;
    bool sends; /* it takes bytes; the function refuses other objects */
    Py_ssize_t offsets[SLOTS];
} Shortcut;

/* The timeout of a socket's direction, None if there is none; NULL if the function must look for it. Borrowed. */
static PyObject *
limit_of(const Shortcut *shortcut, PyObject *sock)
{
    PyObject *setup = *slot_at(sock, shortcut->offsets[SETUP]);
    if (setup == Py_None || setup == NULL || !Py_IS_TYPE(setup, shortcut->setup)) {
        return setup == Py_None ? setup : NULL;
    }
    return *slot_at(setup, shortcut->offsets[shortcut->sends ? WRITING : READING]);
}

static PyObject *
call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *keywords)
{
    Shortcut *shortcut = (Shortcut *)self;
    if (PyVectorcall_NARGS(nargsf) == 2 && keywords == NULL && shortcut->owner != NULL &&
        PyObject_TypeCheck(args[0], shortcut->owner)) {
        PyObject *handle = *slot_at(args[0], shortcut->offsets[HANDLE]);
        PyObject *limit = limit_of(shortcut, args[0]);
        bool is_rule = !shortcut->sends || PyObject_CheckBuffer(args[1]);
        if (handle != NULL && handle != Py_None && limit != NULL && is_rule) {
            Py_INCREF(handle);
            Py_INCREF(limit); /* the argument may run foreign code, and so may end both */
            PyObject *all[] = {handle, args[1], args[0]};
            PyObject *op = method_call(&shortcut->of_handle, shortcut->name, all, 3);
            op = under_limit(&shortcut->of_patience, shortcut->limit, limit, op);
            Py_DECREF(limit);
            Py_DECREF(handle);
            return op;
        }
    }
    return PyObject_Vectorcall(shortcut->standin.function, args, nargsf, keywords);
}

/* __set_name__(): now the class exists, and so do its slots. */
static PyObject *
set_name(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Shortcut *shortcut = (Shortcut *)self;
    if (count != 2 || !PyType_Check(args[0]) || !PyUnicode_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "__set_name__() takes a class and a name");
        return NULL;
    }
    PyTypeObject *owner = (PyTypeObject *)args[0];
    PyObject *setup = taken_from("socket2.sockets.setup", "Setup");
    if (setup == NULL) {
        return NULL;
    }
    Py_XSETREF(shortcut->setup, (PyTypeObject *)setup);
    for (int which = 0; which < SLOTS; which++) {
        PyTypeObject *type = which < READING ? owner : shortcut->setup;
        shortcut->offsets[which] = slot_offset(type, slot_texts[which]);
        if (shortcut->offsets[which] < 0) {
            return NULL;
        }
    }
    Py_XSETREF(shortcut->limit, PyUnicode_InternFromString("limit"));
    if (shortcut->limit == NULL) {
        return NULL;
    }
    PyObject *name = Py_NewRef(args[1]);
    PyUnicode_InternInPlace(&name); /* the method cache compares names by identity */
    shortcut->sends = PyUnicode_CompareWithASCIIString(name, "send") == 0 ||
                      PyUnicode_CompareWithASCIIString(name, "sendall") == 0;
    Py_XSETREF(shortcut->name, name);
    Py_XSETREF(shortcut->owner, (PyTypeObject *)Py_NewRef(owner));
    Py_RETURN_NONE;
}

static PyObject *
shortcut_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    return standin_new(type, args, keywords, "Shortcut", call);
}

static PyObject *
shortcut_getattro(PyObject *self, PyObject *name)
{
    static const char *const own[] = {"__class__", NULL};
    return standin_attribute(self, name, own);
}

static PyObject *
shortcut_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<shortcut of %R>", ((StandIn *)self)->function);
}

static int
shortcut_traverse(PyObject *self, visitproc visit, void *arg)
{
    Shortcut *shortcut = (Shortcut *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(shortcut->standin.function);
    Py_VISIT(shortcut->owner);
    Py_VISIT(shortcut->setup);
    Py_VISIT(shortcut->of_handle.type);
    Py_VISIT(shortcut->of_handle.method);
    Py_VISIT(shortcut->of_patience.type);
    Py_VISIT(shortcut->of_patience.method);
    return 0;
}

static int
shortcut_clear(PyObject *self)
{
    Shortcut *shortcut = (Shortcut *)self;
    Py_CLEAR(shortcut->setup);
    Py_CLEAR(shortcut->owner); /* it keeps the function, because it may still be called */
    Py_CLEAR(shortcut->name);
    Py_CLEAR(shortcut->limit);
    Py_CLEAR(shortcut->of_handle.type);
    Py_CLEAR(shortcut->of_handle.method);
    Py_CLEAR(shortcut->of_patience.type);
    Py_CLEAR(shortcut->of_patience.method);
    return 0;
}

static void
shortcut_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    shortcut_clear(self);
    standin_free(self);
}

static PyMethodDef shortcut_methods[] = {
    {"__set_name__", (PyCFunction)(void (*)(void))set_name, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot shortcut_slots[] = {
    {Py_tp_new, shortcut_new},
    STANDIN_SLOTS,
    {Py_tp_getattro, shortcut_getattro},
    {Py_tp_repr, shortcut_repr},
    {Py_tp_traverse, shortcut_traverse},
    {Py_tp_clear, shortcut_clear},
    {Py_tp_dealloc, shortcut_dealloc},
    {Py_tp_methods, shortcut_methods},
    {0, NULL},
};

static PyType_Spec shortcut_spec = {
    .name = "socket2._shortcut.Shortcut",
    .basicsize = sizeof(Shortcut),
    .flags = STANDIN_FLAGS,
    .slots = shortcut_slots,
};

static int
execute(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &shortcut_spec, NULL);
    int status = type != NULL ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return status;
}

static PyModuleDef_Slot slots[] = {MODULE_SLOTS(execute)};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "socket2._shortcut",
    .m_doc = PyDoc_STR("Methods that only call their handle's, in C."),
    .m_size = 0,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__shortcut(void)
{
    return PyModuleDef_Init(&definition);
}
