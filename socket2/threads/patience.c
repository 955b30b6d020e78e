/* Patience.limit() in C: the operation as an object, and its decorator, which deadline.py uses.

   Knows CPython, and which calls are usual; for others it calls the method in Python. Must not know what a step
   does. */

#include "patience.h"
#include "../../pollers/forgotten.h"

#include <pthread.h>

#define FREE_MAX 256

static const char *const slot_texts[LIMIT_SLOTS] = {
    "scheduler", "crew",   "interruptions", "now",    "timers", "known",   "raised", "useless",
    "due",       "_error", "expired",       "timers", "queued", "seconds", "_since", "_thread",
};

static const char *const name_texts[LIMIT_NAMES] = {
    "__await__", "_begin", "close", "_ended_by", "give_up", "leave", "throw",
};

/* The operation as an object: it behaves like a generator. */

static PySendResult
limited_am_send(PyObject *self, PyObject *value, PyObject **result)
{
    Limited *op = (Limited *)self;
    *result = NULL;
    if (op->phase == NEW) {
        return may_begin_with(value) ? limited_start(op, result) : PYGEN_ERROR;
    }
    if (op->phase == SUSPENDED) {
        PyObject *yielded;
        op->phase = RUNNING;
        PySendResult outcome = PyIter_Send(op->inner, value != NULL ? value : Py_None, &yielded);
        return limited_advance(op, outcome, yielded, result);
    }
    if (check_not_running(op->phase) < 0) {
        return PYGEN_ERROR;
    }
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PyObject *
limited_iternext(PyObject *self)
{
    PyObject *result;
    PySendResult outcome = limited_am_send(self, Py_None, &result);
    return as_generator(outcome, result);
}

static PyObject *
limited_send(PyObject *self, PyObject *value)
{
    PyObject *result;
    PySendResult outcome = limited_am_send(self, value, &result);
    return as_generator(outcome, result);
}

static PyObject *
limited_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Limited *op = (Limited *)self;
    if (argument_count("throw", count, 1, 3) < 0 || check_not_running(op->phase) < 0) {
        return NULL;
    }
    if (op->phase != SUSPENDED && limited_become_python(op) < 0) {
        return NULL;
    }
    PyObject *value, *result;
    PyObject *all[4] = {Py_NewRef(op->inner), args[0], count > 1 ? args[1] : NULL, count > 2 ? args[2] : NULL};
    op->phase = RUNNING;
    PySendResult outcome = steps_throw(op->limiter->limits->names[LIMIT_THROW], all, (size_t)count + 1, &value);
    Py_DECREF(all[0]);
    outcome = limited_advance(op, outcome, value, &result);
    return as_generator(outcome, result);
}

/* End what is limited, if it is suspended. */
static int
stop(Limited *op)
{
    PyObject *inner = Py_NewRef(op->inner), *result;
    op->phase = RUNNING;
    PyObject *closed = call_by_name(inner, op->limiter->limits->names[LIMIT_CLOSE], NULL, NULL, NULL);
    Py_DECREF(inner);
    (void)limited_finish(op, closed, &result);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

static PyObject *
limited_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Limited *op = (Limited *)self;
    if (check_not_running(op->phase) < 0 || ((op->phase == NEW || op->phase == SUSPENDED) && stop(op) < 0)) {
        return NULL;
    }
    op->phase = DONE;
    Py_RETURN_NONE;
}

static PyObject *
limited_excuse(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    ((Limited *)self)->excused = true;
    Py_RETURN_NONE;
}

static PyObject *
limited_iter(PyObject *self)
{
    return taken_once(self, ((Limited *)self)->phase);
}

static PyObject *
limited_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<operation Patience.limit, %s>", phase_texts[((Limited *)self)->phase]);
}

static PyObject *
limited_inner(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *inner = ((Limited *)self)->inner;
    return Py_NewRef(inner != NULL ? inner : Py_None);
}

/* Do not report what is limited, either. */
static void
excuse_inner(Limited *op)
{
    PyObject *excused = PyObject_CallMethod(op->inner, "excuse", NULL);
    PyErr_Clear(); /* only operations in C have it */
    Py_XDECREF(excused);
}

static void
limited_finalize(PyObject *self)
{
    Limited *op = (Limited *)self;
    bool is_forgotten = op->phase == NEW && !op->excused && is_dropped(self);
    bool is_new = op->phase == NEW && op->inner != NULL;
    PyObject *error = error_take();
    op->excused = true;
    if (is_forgotten) {
        forgotten_report(self, PyUnicode_FromString("limit"));
    }
    if (is_new && op->phase == NEW) { /* the report runs foreign code, which may have begun or closed it */
        excuse_inner(op);
    } else if (op->phase == SUSPENDED && stop(op) < 0) {
        PyErr_WriteUnraisable(self);
    }
    error_put(error);
}

static int
limited_traverse(PyObject *self, visitproc visit, void *arg)
{
    Limited *op = (Limited *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(op->limiter);
    Py_VISIT(op->patience);
    Py_VISIT(op->inner);
    if (op->armed) {
        Py_VISIT(op->thread);
    }
    return 0;
}

static int
limited_clear(PyObject *self)
{
    Limited *op = (Limited *)self;
    if (op->phase != RUNNING) {
        op->phase = DONE; /* its finalizer has ended it */
        Py_CLEAR(op->inner);
    }
    return 0;
}

static void
limited_dealloc(PyObject *self)
{
    Limited *op = (Limited *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (op->phase != DONE && PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* the report keeps it */
    }
    PyObject_GC_UnTrack(self);
    Limiter *limiter = op->limiter;
    Limits *limits = limiter->limits;
    Py_CLEAR(op->inner);
    Py_CLEAR(op->since);
    Py_CLEAR(op->patience);
    if (limits->free_count < FREE_MAX && !op->excused) { /* CPython finalizes an object once */
        op->patience = (PyObject *)limits->free;
        limits->free = op;
        limits->free_count++;
    } else {
        PyObject_GC_Del(op);
    }
    Py_DECREF(limiter);
    Py_DECREF(type);
}

static PyMethodDef limited_methods[] = {
    {"send", limited_send, METH_O, PyDoc_STR("Like send() of a generator.")},
    {"throw", (PyCFunction)(void (*)(void))limited_throw, METH_FASTCALL, PyDoc_STR("Like throw() of a generator.")},
    {"close", limited_close, METH_NOARGS, PyDoc_STR("Drop the operation on purpose.")},
    {"excuse", limited_excuse, METH_NOARGS, PyDoc_STR("Do not report it if nobody awaits it.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef limited_attributes[] = {
    {"gi_yieldfrom", limited_inner, NULL, PyDoc_STR("The next link of the chain of coroutines."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot limited_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("An operation under a timeout, for `yield from` and `await`.")},
    {Py_tp_dealloc, limited_dealloc},
    {Py_tp_finalize, limited_finalize},
    {Py_tp_traverse, limited_traverse},
    {Py_tp_clear, limited_clear},
    {Py_tp_repr, limited_repr},
    {Py_tp_methods, limited_methods},
    {Py_tp_getset, limited_attributes},
    {Py_tp_iter, limited_iter},
    {Py_tp_iternext, limited_iternext},
    {Py_am_await, limited_iter},
    {Py_am_send, limited_am_send},
    {0, NULL},
};

static PyType_Spec limited_spec = {
    .name = "pollers.Operation",
    .basicsize = sizeof(Limited),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = limited_slots,
};

/* The decorator. */

static PyObject *
limited_new(Limiter *limiter, PyObject *patience, PyObject *inner)
{
    Limits *limits = limiter->limits;
    Limited *op = limits->free;
    if (op != NULL) {
        limits->free = (Limited *)op->patience;
        limits->free_count--;
        PyObject_Init((PyObject *)op, limits->limited_type);
    } else {
        op = PyObject_GC_New(Limited, limits->limited_type);
        if (op == NULL) {
            return NULL;
        }
    }
    op->limiter = (Limiter *)Py_NewRef(limiter);
    op->patience = Py_NewRef(patience);
    op->inner = Py_NewRef(inner);
    op->thread = op->since = NULL;
    op->phase = NEW;
    op->armed = op->replaced = op->excused = false;
    PyObject_GC_Track(op);
    return (PyObject *)op;
}

static PyObject *
limiter_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *keywords)
{
    Limiter *limiter = (Limiter *)self;
    if (keywords == NULL && PyVectorcall_NARGS(nargsf) == 2 && limiter->owner != NULL &&
        PyObject_TypeCheck(args[0], limiter->owner)) {
        return limited_new(limiter, args[0], args[1]);
    }
    return PyObject_Vectorcall(limiter->standin.function, args, nargsf, keywords);
}

/* Learn the slots from `from` on, up to `to`, of a class. */
static int
learn(Limits *limits, PyTypeObject *type, int from, int to)
{
    for (int which = from; which < to; which++) {
        limits->offsets[which] = slot_offset(type, slot_texts[which]);
        if (limits->offsets[which] < 0) {
            return -1;
        }
    }
    return 0;
}

/* __set_name__(): now the class exists, and so do its slots. */
static PyObject *
limiter_set_name(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Limiter *limiter = (Limiter *)self;
    if (count != 2 || !PyType_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "__set_name__() takes a class and a name");
        return NULL;
    }
    if (learn(limiter->limits, (PyTypeObject *)args[0], LIMIT_DUE, LIMIT_SLOTS) < 0) {
        return NULL;
    }
    Py_XSETREF(limiter->owner, (PyTypeObject *)Py_NewRef(args[0]));
    Py_RETURN_NONE;
}

static PyObject *
limiter_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    Limiter *limiter = (Limiter *)standin_new(type, args, keywords, "limiter", limiter_call);
    if (limiter != NULL) {
        limiter->limits = PyType_GetModuleState(type);
    }
    return (PyObject *)limiter;
}

static PyObject *
limiter_getattro(PyObject *self, PyObject *name)
{
    static const char *const own[] = {"__class__", NULL};
    return standin_attribute(self, name, own);
}

static PyObject *
limiter_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<limiter %R>", ((StandIn *)self)->function);
}

static int
limiter_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Limiter *)self)->standin.function);
    Py_VISIT(((Limiter *)self)->owner);
    return 0;
}

static int
limiter_clear(PyObject *self)
{
    Py_CLEAR(((Limiter *)self)->owner); /* it keeps the function, because its operations may still run */
    return 0;
}

static void
limiter_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    limiter_clear(self);
    standin_free(self);
}

static PyMethodDef limiter_methods[] = {
    {"__set_name__", (PyCFunction)(void (*)(void))limiter_set_name, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot limiter_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("The method of Patience that limits operations.")},
    {Py_tp_new, limiter_new},
    STANDIN_SLOTS,
    {Py_tp_getattro, limiter_getattro},
    {Py_tp_repr, limiter_repr},
    {Py_tp_traverse, limiter_traverse},
    {Py_tp_clear, limiter_clear},
    {Py_tp_dealloc, limiter_dealloc},
    {Py_tp_methods, limiter_methods},
    {0, NULL},
};

static PyType_Spec limiter_spec = {
    .name = "socket2._stepping.limiter",
    .basicsize = sizeof(Limiter),
    .flags = STANDIN_FLAGS,
    .slots = limiter_slots,
};

/* The module's part. */

static void
forget_thread(void)
{
    running_thread = NULL; /* a forked child has no thread until its own loop runs one */
}

int
limits_execute(PyObject *module, Limits *limits)
{
    static const struct {
        const char *module, *name;
        int from, to;
    } known[] = {
        {"socket2.threads.scheduler", "Scheduler", LIMIT_CREW, LIMIT_KNOWN},
        {"socket2.threads.cancellation", "Interruptions", LIMIT_KNOWN, LIMIT_USELESS},
        {"socket2.threads.timers", "Timers", LIMIT_USELESS, LIMIT_DUE},
    };
    static bool forgets;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(known); i++) {
        limits->classes[i] = (PyTypeObject *)taken_from(known[i].module, known[i].name);
        if (limits->classes[i] == NULL || learn(limits, limits->classes[i], known[i].from, known[i].to) < 0) {
            return -1;
        }
    }
    limits->thread_type = (PyTypeObject *)taken_from("socket2.threads.thread", "Thread");
    limits->monotonic = taken_from("time", "monotonic");
    if (limits->thread_type == NULL || limits->monotonic == NULL ||
        learn(limits, limits->thread_type, LIMIT_SCHEDULER, LIMIT_CREW) < 0 ||
        names_make(limits->names, name_texts, LIMIT_NAMES) < 0) {
        return -1;
    }
    if (!forgets && pthread_atfork(NULL, NULL, forget_thread) == 0) {
        forgets = true;
    }
    limits->limited_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &limited_spec, NULL);
    PyObject *type = limits->limited_type != NULL ? PyType_FromModuleAndSpec(module, &limiter_spec, NULL) : NULL;
    int status = type != NULL ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return status;
}

int
limits_traverse(Limits *limits, visitproc visit, void *arg)
{
    Py_VISIT(limits->limited_type);
    Py_VISIT(limits->thread_type);
    Py_VISIT(limits->monotonic);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(limits->classes); i++) {
        Py_VISIT(limits->classes[i]);
    }
    return 0;
}

void
limits_clear(Limits *limits)
{
    Py_CLEAR(limits->limited_type);
    Py_CLEAR(limits->thread_type);
    Py_CLEAR(limits->monotonic);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(limits->classes); i++) {
        Py_CLEAR(limits->classes[i]);
    }
    names_clear(limits->names, LIMIT_NAMES);
    while (limits->free != NULL) {
        Limited *op = limits->free;
        limits->free = (Limited *)op->patience;
        PyObject_GC_Del(op);
    }
    limits->free_count = 0;
}
