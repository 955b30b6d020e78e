/* once.py in C: operations that are awaited once, and functions that make them.

   An Operation stands before the generator that makes its steps and hands it out to the first who awaits; from then on
   the interpreter drives that generator itself, without a frame or a call in between. Knows neither sockets nor
   pollers. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <structmember.h>

typedef struct {
    PyObject_HEAD
    PyObject *steps; /* the generator; NULL when it was cleared as garbage */
    bool taken;
} Operation;

static PyObject *
operation_new(PyTypeObject *type, PyObject *steps)
{
    Operation *op = PyObject_GC_New(Operation, type);
    if (op != NULL) {
        op->steps = Py_NewRef(steps);
        op->taken = false;
        PyObject_GC_Track(op);
    }
    return (PyObject *)op;
}

static PyObject *
operation_make(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *steps;
    if (keywords != NULL && PyDict_GET_SIZE(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "Once() takes no keyword arguments");
        return NULL;
    }
    return PyArg_ParseTuple(args, "O:Once", &steps) ? operation_new(type, steps) : NULL;
}

static PyObject *
operation_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *keywords)
{
    if (PyVectorcall_NARGS(nargsf) != 1 || (keywords != NULL && PyTuple_GET_SIZE(keywords) > 0)) {
        PyErr_SetString(PyExc_TypeError, "Once() takes one argument");
        return NULL;
    }
    return operation_new((PyTypeObject *)type, args[0]);
}

/* Whether the generator has come to its end; -1 and an exception when it cannot be told. */
static int
has_ended(PyObject *steps)
{
    PyObject *frame = steps != NULL ? PyObject_GetAttrString(steps, "gi_frame") : Py_NewRef(Py_None);
    int ended = frame == NULL ? -1 : frame == Py_None;
    Py_XDECREF(frame);
    return ended;
}

static PyObject *
operation_iter(PyObject *self)
{
    Operation *op = (Operation *)self;
    if (!op->taken && op->steps != NULL) {
        op->taken = true;
        return Py_NewRef(op->steps);
    }
    int ended = has_ended(op->steps);
    if (ended >= 0) {
        PyErr_SetString(PyExc_RuntimeError, ended ? "this operation has been awaited already"
                                                  : "this operation is being awaited already");
    }
    return NULL;
}

static PyObject *
operation_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Operation *op = (Operation *)self;
    op->taken = true;
    return op->steps != NULL ? PyObject_CallMethod(op->steps, "close", NULL) : Py_NewRef(Py_None);
}

static PyObject *
operation_repr(PyObject *self)
{
    Operation *op = (Operation *)self;
    const char *how = "not begun";
    PyObject *name = op->steps != NULL ? PyObject_GetAttrString(op->steps, "__qualname__") : PyUnicode_FromString("");
    int ended = name != NULL && op->taken ? has_ended(op->steps) : 0;
    if (name == NULL || ended < 0) {
        Py_XDECREF(name);
        return NULL;
    }
    if (op->taken) {
        how = ended ? "ended" : "awaited";
    }
    PyObject *text = PyUnicode_FromFormat("<operation %S, %s>", name, how);
    Py_DECREF(name);
    return text;
}

static int
operation_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Operation *)self)->steps);
    return 0;
}

static int
operation_clear(PyObject *self)
{
    Py_CLEAR(((Operation *)self)->steps);
    return 0;
}

static void
operation_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, operation_dealloc) /* operations wrap operations, as deep as somebody likes */
    operation_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

static PyMethodDef operation_methods[] = {
    {"close", operation_close, METH_NOARGS, PyDoc_STR("Drop it before its first step, on purpose.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot operation_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("What `yield from` and `await` take, once.")},
    {Py_tp_new, operation_make},
    {Py_tp_dealloc, operation_dealloc},
    {Py_tp_traverse, operation_traverse},
    {Py_tp_clear, operation_clear},
    {Py_tp_repr, operation_repr},
    {Py_tp_methods, operation_methods},
    {Py_tp_iter, operation_iter},
    {Py_am_await, operation_iter},
    {0, NULL},
};

static PyType_Spec operation_spec = {
    .name = "pollers._once.Once",
    .basicsize = sizeof(Operation),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = operation_slots,
};

/* What the decorator makes of a generator function. */

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyTypeObject *operation_type;
    PyObject *function;
} Maker;

static PyObject *
maker_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *keywords)
{
    Maker *maker = (Maker *)self;
    PyObject *steps = PyObject_Vectorcall(maker->function, args, nargsf, keywords);
    if (steps == NULL) {
        return NULL;
    }
    PyObject *op = operation_new(maker->operation_type, steps);
    Py_DECREF(steps);
    return op;
}

static PyObject *
maker_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *function;
    if (keywords != NULL && PyDict_GET_SIZE(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "once() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O:once", &function)) {
        return NULL;
    }
    PyTypeObject **operation_type = PyType_GetModuleState(type);
    Maker *maker = (Maker *)type->tp_alloc(type, 0);
    if (maker != NULL) {
        maker->vectorcall = maker_call;
        maker->operation_type = (PyTypeObject *)Py_NewRef(*operation_type);
        maker->function = Py_NewRef(function);
    }
    return (PyObject *)maker;
}

static PyObject *
maker_get(PyObject *self, PyObject *object, PyObject *Py_UNUSED(type))
{
    return object == NULL || object == Py_None ? Py_NewRef(self) : PyMethod_New(self, object);
}

/* Its name, its text and all else that is asked of a function are the function's. */
static PyObject *
maker_getattro(PyObject *self, PyObject *name)
{
    static const char *const own[] = {"__class__", "__call__", "__get__", "__reduce__", "__reduce_ex__"};
    PyObject *function = ((Maker *)self)->function;
    if (PyUnicode_CompareWithASCIIString(name, "__wrapped__") == 0) {
        return Py_NewRef(function);
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(own); i++) {
        if (PyUnicode_CompareWithASCIIString(name, own[i]) == 0) {
            return PyObject_GenericGetAttr(self, name);
        }
    }
    return PyObject_GetAttr(function, name);
}

static PyObject *
maker_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<operations of %R>", ((Maker *)self)->function);
}

/* As functions are pickled and copied: by their name. */
static PyObject *
maker_reduce(PyObject *self, PyObject *Py_UNUSED(protocol))
{
    return PyObject_GetAttrString(((Maker *)self)->function, "__qualname__");
}

static int
maker_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Maker *)self)->operation_type);
    Py_VISIT(((Maker *)self)->function);
    return 0;
}

/* No tp_clear: it keeps its function to the end, since somebody may still call it; a cycle goes through that. */
static void
maker_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_DECREF(((Maker *)self)->function);
    Py_DECREF(((Maker *)self)->operation_type);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef maker_methods[] = {
    {"__reduce__", maker_reduce, METH_NOARGS, NULL},
    {"__reduce_ex__", maker_reduce, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef maker_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Maker, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot maker_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("A function whose generators are handed out as operations.")},
    {Py_tp_new, maker_new},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, maker_get},
    {Py_tp_getattro, maker_getattro},
    {Py_tp_repr, maker_repr},
    {Py_tp_traverse, maker_traverse},
    {Py_tp_dealloc, maker_dealloc},
    {Py_tp_methods, maker_methods},
    {Py_tp_members, maker_members},
    {0, NULL},
};

static PyType_Spec maker_spec = {
    .name = "pollers._once.once",
    .basicsize = sizeof(Maker),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = maker_slots,
};

/* The module. Its state is the type of operations. */

static int
execute(PyObject *module)
{
    PyTypeObject **operation_type = PyModule_GetState(module);
    *operation_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &operation_spec, NULL);
    if (*operation_type == NULL || PyModule_AddType(module, *operation_type) < 0) {
        return -1;
    }
    (*operation_type)->tp_vectorcall = operation_vectorcall;
    PyObject *maker_type = PyType_FromModuleAndSpec(module, &maker_spec, NULL);
    int status = maker_type != NULL ? PyModule_AddType(module, (PyTypeObject *)maker_type) : -1;
    Py_XDECREF(maker_type);
    return status;
}

static int
traverse(PyObject *module, visitproc visit, void *arg)
{
    PyTypeObject **operation_type = PyModule_GetState(module);
    Py_VISIT(*operation_type);
    return 0;
}

static int
clear(PyObject *module)
{
    PyTypeObject **operation_type = PyModule_GetState(module);
    Py_CLEAR(*operation_type);
    return 0;
}

static void
release(void *module)
{
    clear(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED}, /* under one GIL */
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_USED}, /* who is the first to await is settled without a lock */
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pollers._once",
    .m_doc = PyDoc_STR("Operations that are awaited once: pollers/once.py, faster."),
    .m_size = sizeof(PyTypeObject *),
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = release,
};

PyMODINIT_FUNC
PyInit__once(void)
{
    return PyModuleDef_Init(&definition);
}
