/* once.py in C: operations that are awaited once, and functions that make them.

   A Once holds the generator that makes its steps, and gives it to the first await. From then on the interpreter drives
   that generator itself, without a frame or a call in between. The GIL decides which await is the first, so there is no
   lock. Knows CPython. Must not know sockets or pollers. */

#include "forgotten.h"
#include "standin.h"

typedef struct {
    PyObject_HEAD
    PyObject *steps; /* the generator; NULL after it was cleared as garbage */
    bool taken;
    bool excused; /* it is not reported as forgotten */
} Once;

static PyObject *
once_new(PyTypeObject *type, PyObject *steps)
{
    Once *op = PyObject_GC_New(Once, type);
    if (op != NULL) {
        op->steps = Py_NewRef(steps);
        op->taken = false;
        op->excused = false;
        PyObject_GC_Track(op);
    }
    return (PyObject *)op;
}

static PyObject *
once_make(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *steps;
    if (no_keywords("Once", keywords) < 0 || !PyArg_ParseTuple(args, "O:Once", &steps)) {
        return NULL;
    }
    return once_new(type, steps);
}

static PyObject *
once_vectorcall(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *keywords)
{
    if (PyVectorcall_NARGS(nargsf) != 1 || (keywords != NULL && PyTuple_GET_SIZE(keywords) > 0)) {
        PyErr_SetString(PyExc_TypeError, "Once() takes one argument");
        return NULL;
    }
    return once_new((PyTypeObject *)type, args[0]);
}

/* Return whether the generator has ended; -1 and an exception on failure. */
static int
has_ended(PyObject *steps)
{
    PyObject *frame = steps != NULL ? PyObject_GetAttrString(steps, "gi_frame") : Py_NewRef(Py_None);
    int ended = frame == NULL ? -1 : frame == Py_None;
    Py_XDECREF(frame);
    return ended;
}

static PyObject *
once_iter(PyObject *self)
{
    Once *op = (Once *)self;
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
once_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Once *op = (Once *)self;
    if (!op->taken && op->steps != NULL && PyGen_Check(op->steps)) {
        forgotten_call(self, "excuse_arguments", op->steps, NULL);
    }
    op->taken = true;
    return op->steps != NULL ? PyObject_CallMethod(op->steps, "close", NULL) : Py_NewRef(Py_None);
}

static PyObject *
once_repr(PyObject *self)
{
    Once *op = (Once *)self;
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

static PyObject *
once_excuse(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    ((Once *)self)->excused = true;
    Py_RETURN_NONE;
}

static void
once_finalize(PyObject *self)
{
    Once *op = (Once *)self;
    if (op->taken || op->steps == NULL || !PyGen_Check(op->steps)) {
        return;
    }
    bool is_forgotten = !op->excused && is_dropped(self);
    PyObject *error = error_take();
    PyObject *steps = Py_NewRef(op->steps); /* the report runs foreign code, which may close the operation */
    if (is_forgotten) {
        forgotten_report(self, PyObject_GetAttrString(steps, "__qualname__"));
    }
    forgotten_call(self, "excuse_arguments", steps, NULL);
    Py_DECREF(steps);
    error_put(error);
}

static int
once_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Once *)self)->steps);
    return 0;
}

static int
once_clear(PyObject *self)
{
    Py_CLEAR(((Once *)self)->steps);
    return 0;
}

static void
once_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (!((Once *)self)->taken && PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* the report keeps it */
    }
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, once_dealloc) /* operations can wrap operations to any depth */
    once_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

static PyMethodDef once_methods[] = {
    {"close", once_close, METH_NOARGS, PyDoc_STR("Drop the operation on purpose before its first step.")},
    {"excuse", once_excuse, METH_NOARGS, PyDoc_STR("Do not report it if nobody awaits it.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot once_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("An operation. `yield from` and `await` take it once.")},
    {Py_tp_new, once_make},
    {Py_tp_dealloc, once_dealloc},
    {Py_tp_finalize, once_finalize},
    {Py_tp_traverse, once_traverse},
    {Py_tp_clear, once_clear},
    {Py_tp_repr, once_repr},
    {Py_tp_methods, once_methods},
    {Py_tp_iter, once_iter},
    {Py_am_await, once_iter},
    {0, NULL},
};

static PyType_Spec once_spec = {
    .name = "pollers.Operation",
    .basicsize = sizeof(Once),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = once_slots,
};

/* The base of operations in Python that make their steps when they are awaited. It reports those that never are. */

typedef struct {
    PyObject_HEAD
    PyObject *pending; /* None once it is awaited */
    bool excused;
} Lazy;

static PyObject *
lazy_excuse(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    ((Lazy *)self)->excused = true;
    Py_RETURN_NONE;
}

static void
lazy_finalize(PyObject *self)
{
    Lazy *op = (Lazy *)self;
    if (op->pending != Py_None && op->pending != NULL && !op->excused && is_dropped(self)) {
        forgotten_report(self, PyObject_GetAttrString(self, "name"));
    }
}

static int
lazy_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Lazy *)self)->pending);
    return 0;
}

static int
lazy_clear(PyObject *self)
{
    Py_CLEAR(((Lazy *)self)->pending);
    return 0;
}

static void
lazy_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    lazy_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef lazy_members[] = {
    {"pending", T_OBJECT_EX, offsetof(Lazy, pending), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef lazy_methods[] = {
    {"excuse", lazy_excuse, METH_NOARGS, PyDoc_STR("Do not report it if nobody awaits it.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot lazy_slots[] = {
    {Py_tp_dealloc, lazy_dealloc},   {Py_tp_finalize, lazy_finalize}, {Py_tp_traverse, lazy_traverse},
    {Py_tp_clear, lazy_clear},       {Py_tp_methods, lazy_methods},   {Py_tp_members, lazy_members},
    {0, NULL},
};

static PyType_Spec lazy_spec = {
    .name = "pollers._once.Lazy",
    .basicsize = sizeof(Lazy),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = lazy_slots,
};

/* The object that the decorator makes from a generator function. */

typedef struct {
    StandIn standin;
    PyTypeObject *once_type;
} Maker;

static PyObject *
maker_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *keywords)
{
    Maker *maker = (Maker *)self;
    PyObject *steps = PyObject_Vectorcall(maker->standin.function, args, nargsf, keywords);
    if (steps == NULL) {
        return NULL;
    }
    PyObject *op = once_new(maker->once_type, steps);
    Py_DECREF(steps);
    return op;
}

static PyObject *
maker_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    Maker *maker = (Maker *)standin_new(type, args, keywords, "once", maker_call);
    if (maker != NULL) {
        PyTypeObject **once_type = PyType_GetModuleState(type);
        maker->once_type = (PyTypeObject *)Py_NewRef(*once_type);
    }
    return (PyObject *)maker;
}

static PyObject *
maker_getattro(PyObject *self, PyObject *name)
{
    static const char *const own[] = {"__class__", "__call__", "__get__", "__reduce__", "__reduce_ex__", NULL};
    return standin_attribute(self, name, own);
}

static PyObject *
maker_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<operations of %R>", ((StandIn *)self)->function);
}

/* Pickle and copy it as functions are: by name. */
static PyObject *
maker_reduce(PyObject *self, PyObject *Py_UNUSED(protocol))
{
    return PyObject_GetAttrString(((StandIn *)self)->function, "__qualname__");
}

static int
maker_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Maker *)self)->once_type);
    Py_VISIT(((StandIn *)self)->function);
    return 0;
}

/* There is no tp_clear, since it keeps its function to the end. A cycle also contains the function, which can break
   it. */
static void
maker_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(((Maker *)self)->once_type);
    standin_free(self);
}

static PyMethodDef maker_methods[] = {
    {"__reduce__", maker_reduce, METH_NOARGS, NULL},
    {"__reduce_ex__", maker_reduce, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot maker_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("A function that returns operations.")},
    {Py_tp_new, maker_new},
    STANDIN_SLOTS,
    {Py_tp_getattro, maker_getattro},
    {Py_tp_repr, maker_repr},
    {Py_tp_traverse, maker_traverse},
    {Py_tp_dealloc, maker_dealloc},
    {Py_tp_methods, maker_methods},
    {0, NULL},
};

static PyType_Spec maker_spec = {
    .name = "pollers._once.once",
    .basicsize = sizeof(Maker),
    .flags = STANDIN_FLAGS,
    .slots = maker_slots,
};

/* The module. Its state is the operation type. */

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
    PyTypeObject **once_type = PyModule_GetState(module);
    *once_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &once_spec, NULL);
    if (*once_type == NULL || PyModule_AddObjectRef(module, "Once", (PyObject *)*once_type) < 0) {
        return -1;
    }
    (*once_type)->tp_vectorcall = once_vectorcall;
    return add_type(module, &lazy_spec) < 0 || add_type(module, &maker_spec) < 0 ? -1 : 0;
}

static int
traverse(PyObject *module, visitproc visit, void *arg)
{
    PyTypeObject **once_type = PyModule_GetState(module);
    Py_VISIT(*once_type);
    return 0;
}

static int
clear(PyObject *module)
{
    PyTypeObject **once_type = PyModule_GetState(module);
    Py_CLEAR(*once_type);
    return 0;
}

MODULE_WITH_STATE("pollers._once", "Operations that are awaited once: pollers/once.py, faster.",
                  sizeof(PyTypeObject *), NULL);

PyMODINIT_FUNC
PyInit__once(void)
{
    return PyModuleDef_Init(&definition);
}
