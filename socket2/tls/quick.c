/* TLS.recv() and TLS.sendall() as methods and operations in C: `quick` is their decorator in layer.py.

   Knows CPython, and which calls are usual; for others it calls the Python function. Must not know what a step does. */

#include "../../pollers/forgotten.h"
#include "records.h"

static const char *const slot_texts[SLOTS] = {
    "_sending", "_receiving", "_engine", "_flowing", "_unsent",   "_read_limit", "_write_limit", "sock",
    "free",     "waiting",    "_free",   "_ended",   "_failure",  "_held",       "_incoming",    "_made",
    "_outgoing", "_ssl",      "_tag",    "hungry",   "pending",   "sealed",
};

static const char *const name_texts[NAMES] = {
    "__await__", "bytes_sent", "close", "limit", "_more", "open", "read", "_read_failed", "_receive", "_receive_failed",
    "_receive_into", "recv", "seal", "_send_failed", "_sendall", "sendall", "throw", "wake", "write", "_write_failed",
};

static const char *const way_texts[] = {"recv", "recv_into", "sendall"};

/* The operation as an object: it behaves like a generator. */

static PySendResult
transfer_am_send(PyObject *self, PyObject *value, PyObject **result)
{
    Transfer *transfer = (Transfer *)self;
    PyObject *yielded;
    *result = NULL;
    switch (transfer->phase) {
    case NEW:
        return may_begin_with(value) ? transfer_start(transfer, result) : PYGEN_ERROR;
    case SUSPENDED:
        transfer->phase = RUNNING;
        PySendResult outcome = PyIter_Send(transfer->inner, value != NULL ? value : Py_None, &yielded);
        return transfer_advance(transfer, outcome, yielded, result);
    case RUNNING:
        (void)check_not_running(RUNNING);
        return PYGEN_ERROR;
    case DONE:
        break;
    }
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

static PyObject *
transfer_iternext(PyObject *self)
{
    PyObject *result;
    PySendResult outcome = transfer_am_send(self, Py_None, &result);
    return as_generator(outcome, result);
}

static PyObject *
transfer_send(PyObject *self, PyObject *value)
{
    PyObject *result;
    PySendResult outcome = transfer_am_send(self, value, &result);
    return as_generator(outcome, result);
}

/* Throw into the inner operation. The arguments begin with it. */
static PyObject *
throw_in(Transfer *transfer, PyObject *const *args, size_t count)
{
    PyObject *result, *value;
    transfer->phase = RUNNING;
    PySendResult outcome = steps_throw(transfer->maker->state->names[THROW], args, count, &value);
    outcome = transfer_advance(transfer, outcome, value, &result);
    return as_generator(outcome, result);
}

static PyObject *
transfer_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Transfer *transfer = (Transfer *)self;
    if (argument_count("throw", count, 1, 3) < 0 || check_not_running(transfer->phase) < 0) {
        return NULL;
    }
    if (transfer->phase != SUSPENDED && transfer_become_python(transfer) < 0) {
        return NULL;
    }
    PyObject *inner = Py_NewRef(transfer->inner);
    PyObject *all[4] = {inner, args[0], count > 1 ? args[1] : NULL, count > 2 ? args[2] : NULL};
    PyObject *result = throw_in(transfer, all, (size_t)count + 1);
    Py_DECREF(inner);
    return result;
}

/* End a suspended operation. A send below tells the exception how much has left. */
static int
stop(Transfer *transfer)
{
    PyObject *inner = Py_NewRef(transfer->inner), *result = NULL;
    if (transfer->replaced || !sends(transfer)) {
        transfer->phase = RUNNING;
        PyObject *closed = call_by_name(inner, transfer->maker->state->names[CLOSE], NULL, NULL, NULL);
        (void)transfer_finish(transfer, closed, &result);
        Py_DECREF(inner);
        Py_XDECREF(result);
        return result != NULL ? 0 : -1;
    }
    result = throw_in(transfer, (PyObject *[]){inner, PyExc_GeneratorExit}, 2);
    Py_DECREF(inner);
    if (result != NULL) {
        Py_DECREF(result);
        PyErr_SetString(PyExc_RuntimeError, "the operation below ignored GeneratorExit");
        return -1;
    }
    if (PyErr_ExceptionMatches(PyExc_GeneratorExit) || PyErr_ExceptionMatches(PyExc_StopIteration)) {
        PyErr_Clear();
        return 0;
    }
    return -1;
}

static PyObject *
transfer_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Transfer *transfer = (Transfer *)self;
    if (check_not_running(transfer->phase) < 0 || (transfer->phase == SUSPENDED && stop(transfer) < 0)) {
        return NULL;
    }
    transfer->phase = DONE;
    Py_RETURN_NONE;
}

static PyObject *
transfer_excuse(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    ((Transfer *)self)->excused = true;
    Py_RETURN_NONE;
}

static PyObject *
transfer_iter(PyObject *self)
{
    return taken_once(self, ((Transfer *)self)->phase);
}

static PyObject *
transfer_repr(PyObject *self)
{
    Transfer *transfer = (Transfer *)self;
    return PyUnicode_FromFormat("<operation TLS.%s, %s>", way_texts[transfer->maker->way],
                                phase_texts[transfer->phase]);
}

static PyObject *
transfer_inner(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *inner = ((Transfer *)self)->inner;
    return Py_NewRef(inner != NULL ? inner : Py_None);
}

static void
transfer_finalize(PyObject *self)
{
    Transfer *transfer = (Transfer *)self;
    bool is_forgotten = transfer->phase == NEW && !transfer->excused && is_dropped(self);
    transfer->excused = true;
    if (is_forgotten) {
        forgotten_report(self, PyUnicode_FromString(way_texts[transfer->maker->way]));
    } else if (transfer->phase == SUSPENDED) {
        PyObject *error = error_take();
        if (stop(transfer) < 0) {
            PyErr_WriteUnraisable(self);
        }
        error_put(error);
    }
}

static int
transfer_traverse(PyObject *self, visitproc visit, void *arg)
{
    Transfer *transfer = (Transfer *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(transfer->maker);
    Py_VISIT(transfer->stream);
    Py_VISIT(transfer->argument);
    Py_VISIT(transfer->inner);
    Py_VISIT(transfer->lane); /* so a Lane finds the thread that has it, too */
    return 0;
}

static int
transfer_clear(PyObject *self)
{
    Transfer *transfer = (Transfer *)self;
    if (transfer->phase != RUNNING) {
        transfer->phase = DONE; /* its finalizer has ended it */
        Py_CLEAR(transfer->lane);
        Py_CLEAR(transfer->inner);
        Py_CLEAR(transfer->argument);
    }
    return 0;
}

/* Keep the memory of a dead operation for the next one, and let its maker go. */
static void
keep(Transfer *transfer)
{
    Maker *maker = transfer->maker;
    State *state = maker->state;
    if (state->free_count < FREE_MAX && !transfer->excused) { /* CPython finalizes an object once */
        transfer->stream = (PyObject *)state->free;
        state->free = transfer;
        state->free_count++;
    } else {
        PyObject_GC_Del(transfer);
    }
    Py_DECREF(maker);
}

static void
transfer_dealloc(PyObject *self)
{
    Transfer *transfer = (Transfer *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (transfer->phase != DONE && PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* the report keeps it */
    }
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, transfer_dealloc)
    Py_CLEAR(transfer->lane);
    Py_CLEAR(transfer->inner);
    Py_CLEAR(transfer->argument);
    Py_CLEAR(transfer->stream);
    keep(transfer);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

static PyMethodDef transfer_methods[] = {
    {"send", transfer_send, METH_O, PyDoc_STR("Like send() of a generator.")},
    {"throw", (PyCFunction)(void (*)(void))transfer_throw, METH_FASTCALL, PyDoc_STR("Like throw() of a generator.")},
    {"close", transfer_close, METH_NOARGS, PyDoc_STR("Drop the operation on purpose.")},
    {"excuse", transfer_excuse, METH_NOARGS, PyDoc_STR("Do not report it if nobody awaits it.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef transfer_attributes[] = {
    {"gi_yieldfrom", transfer_inner, NULL, PyDoc_STR("The next link of the chain of coroutines."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot transfer_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("A receive from a TLS stream or a send to it, for `yield from` and `await`.")},
    {Py_tp_dealloc, transfer_dealloc},
    {Py_tp_finalize, transfer_finalize},
    {Py_tp_traverse, transfer_traverse},
    {Py_tp_clear, transfer_clear},
    {Py_tp_repr, transfer_repr},
    {Py_tp_methods, transfer_methods},
    {Py_tp_getset, transfer_attributes},
    {Py_tp_iter, transfer_iter},
    {Py_tp_iternext, transfer_iternext},
    {Py_am_await, transfer_iter},
    {Py_am_send, transfer_am_send},
    {0, NULL},
};

static PyType_Spec transfer_spec = {
    .name = "pollers.Operation",
    .basicsize = sizeof(Transfer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = transfer_slots,
};

/* The decorator. */

static int
learn(Maker *maker, PyTypeObject *type, int from, int to)
{
    return slots_learn(type, slot_texts + from, maker->offsets + from, to - from);
}

/* Learn the slots of an engine. Only now, because importing that imports `ssl`, and a stream has done it. */
static int
learn_engine(Maker *maker)
{
    PyObject *type = taken_from("socket2.tls.engine", "Engine");
    if (type == NULL || learn(maker, (PyTypeObject *)type, ENGINE_FREE, SLOTS) < 0) {
        Py_XDECREF(type);
        return -1;
    }
    Py_XSETREF(maker->engine, (PyTypeObject *)type); /* another OS thread may have done the same meanwhile */
    return 0;
}

static PyObject *
transfer_new(Maker *maker, PyObject *stream, PyObject *argument, Py_ssize_t size)
{
    State *state = maker->state;
    Transfer *transfer = state->free;
    if (transfer != NULL) {
        state->free = (Transfer *)transfer->stream;
        state->free_count--;
        PyObject_Init((PyObject *)transfer, state->transfer_type);
    } else {
        transfer = PyObject_GC_New(Transfer, state->transfer_type);
        if (transfer == NULL) {
            return NULL;
        }
    }
    transfer->maker = (Maker *)Py_NewRef(maker);
    transfer->stream = Py_NewRef(stream);
    transfer->argument = Py_NewRef(argument);
    transfer->inner = transfer->lane = NULL;
    transfer->size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    transfer->phase = NEW;
    transfer->replaced = transfer->excused = false;
    PyObject_GC_Track(transfer);
    return (PyObject *)transfer;
}

/* How many bytes an object has, if it is bytes, a bytearray or a memoryview, else -1. The first step looks again. */
static Py_ssize_t
bytes_in(PyObject *object)
{
    Py_buffer view;
    if (PyBytes_CheckExact(object)) {
        return PyBytes_GET_SIZE(object);
    }
    if (!(PyByteArray_CheckExact(object) || PyMemoryView_Check(object)) ||
        PyObject_GetBuffer(object, &view, PyBUF_SIMPLE) < 0) {
        PyErr_Clear(); /* the function raises it */
        return -1;
    }
    Py_ssize_t size = view.len;
    PyBuffer_Release(&view);
    return size;
}

/* How many bytes to receive or to send, -1 if these arguments are not usual. */
static Py_ssize_t
size_of(const Maker *maker, PyObject *const *args, Py_ssize_t count)
{
    if (maker->way == SENDS) {
        Py_ssize_t size = count == 1 ? bytes_in(args[0]) : -1;
        return size > 0 && size <= BLOCK ? size : -1;
    }
    if (maker->way == RECEIVES && count == 0) {
        return BLOCK;
    }
    PyObject *wanted = args[count - 1];
    Py_ssize_t n = PyLong_CheckExact(wanted) ? PyLong_AsSsize_t(wanted) : -1;
    PyErr_Clear();
    if (maker->way == RECEIVES) {
        return count == 1 && n > 0 ? n : -1;
    }
    Py_ssize_t room = (count == 1 || count == 2) && !PyBytes_CheckExact(args[0]) ? bytes_in(args[0]) : -1;
    if (count == 1 || (count == 2 && wanted == Py_None)) {
        n = room;
    }
    return n > 0 && n <= room && !(PyMemoryView_Check(args[0]) && PyMemoryView_GET_BUFFER(args[0])->readonly) ? n : -1;
}

static PyObject *
maker_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *keywords)
{
    Maker *maker = (Maker *)self;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    if (keywords == NULL && maker->owner != NULL && (count > 1 || (count == 1 && maker->way == RECEIVES)) &&
        PyObject_TypeCheck(args[0], maker->owner)) {
        PyObject *engine = slot(maker, args[0], ENGINE);
        if (maker->engine == NULL && learn_engine(maker) < 0) {
            return NULL;
        }
        PyObject *limit = slot(maker, args[0], maker->way == SENDS ? WRITE_LIMIT : READ_LIMIT);
        Py_ssize_t size = size_of(maker, args + 1, count - 1);
        if (engine != NULL && Py_IS_TYPE(engine, maker->engine) && limit != NULL && size > 0) {
            Py_INCREF(limit); /* the garbage collector may run foreign code, which may end it */
            PyObject *op = transfer_new(maker, args[0], count > 1 ? args[1] : maker->state->block, size);
            op = under_limit(&maker->state->limit, maker->state->names[LIMIT], limit, op);
            Py_DECREF(limit);
            return op;
        }
    }
    return PyObject_Vectorcall(maker->standin.function, args, nargsf, keywords);
}

/* __set_name__(): now the class exists, and so do its slots. */
static PyObject *
maker_set_name(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Maker *maker = (Maker *)self;
    if (count != 2 || !PyType_Check(args[0]) || !PyUnicode_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "__set_name__() takes a class and a name");
        return NULL;
    }
    for (Way way = RECEIVES; way <= SENDS; way++) {
        if (PyUnicode_CompareWithASCIIString(args[1], way_texts[way]) == 0) {
            maker->way = way;
        }
    }
    if (learn(maker, (PyTypeObject *)args[0], 0, FREE) < 0 ||
        learn(maker, maker->state->lane_type, FREE, ENGINE_FREE) < 0) {
        return NULL;
    }
    Py_XSETREF(maker->owner, (PyTypeObject *)Py_NewRef(args[0]));
    Py_RETURN_NONE;
}

static PyObject *
maker_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    Maker *maker = (Maker *)standin_new(type, args, keywords, "quick", maker_call);
    if (maker != NULL) {
        maker->state = PyType_GetModuleState(type);
    }
    return (PyObject *)maker;
}

static PyObject *
maker_getattro(PyObject *self, PyObject *name)
{
    static const char *const own[] = {"__class__", NULL};
    return standin_attribute(self, name, own);
}

static PyObject *
maker_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<quick %R>", ((StandIn *)self)->function);
}

static int
maker_traverse(PyObject *self, visitproc visit, void *arg)
{
    Maker *maker = (Maker *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(maker->standin.function);
    Py_VISIT(maker->owner);
    Py_VISIT(maker->engine);
    return 0;
}

static int
maker_clear(PyObject *self)
{
    Py_CLEAR(((Maker *)self)->owner); /* it keeps the rest, because its operations may still run */
    return 0;
}

static void
maker_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    maker_clear(self);
    Py_CLEAR(((Maker *)self)->engine);
    standin_free(self);
}

static PyMethodDef maker_methods[] = {
    {"__set_name__", (PyCFunction)(void (*)(void))maker_set_name, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot maker_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("A method of TLS that returns operations.")},
    {Py_tp_new, maker_new},
    STANDIN_SLOTS,
    {Py_tp_getattro, maker_getattro},
    {Py_tp_repr, maker_repr},
    {Py_tp_traverse, maker_traverse},
    {Py_tp_clear, maker_clear},
    {Py_tp_dealloc, maker_dealloc},
    {Py_tp_methods, maker_methods},
    {0, NULL},
};

static PyType_Spec maker_spec = {
    .name = "socket2._records.quick",
    .basicsize = sizeof(Maker),
    .flags = STANDIN_FLAGS,
    .slots = maker_slots,
};

/* The module. */

static int
execute(PyObject *module)
{
    State *state = PyModule_GetState(module);
    if (names_make(state->names, name_texts, NAMES) < 0) {
        return -1;
    }
    state->transfer_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &transfer_spec, NULL);
    state->lane_type = (PyTypeObject *)taken_from("socket2.tls.lane", "Lane");
    state->crowd = taken_from("socket2.tls.latch", "crowd");
    state->notify = taken_from("socket2.tls.latch", "notify");
    state->block = PyLong_FromLong(BLOCK);
    state->room = PyLong_FromLong(ROOM);
    state->empty = PyBytes_FromStringAndSize(NULL, 0);
    state->zero = PyLong_FromLong(0);
    if (state->transfer_type == NULL || state->lane_type == NULL || state->crowd == NULL || state->notify == NULL ||
        state->block == NULL || state->room == NULL || state->empty == NULL || state->zero == NULL) {
        return -1;
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &maker_spec, NULL);
    int status = type != NULL ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return status;
}

/* Call a function for each object that the state has, except the names. */
#define EACH_OBJECT(state, call)                                                                                      \
    call(state->transfer_type);                                                                                       \
    call(state->lane_type);                                                                                           \
    call(state->crowd);                                                                                               \
    call(state->notify);                                                                                              \
    call(state->block);                                                                                               \
    call(state->room);                                                                                                \
    call(state->empty);                                                                                               \
    call(state->zero);                                                                                                \
    call(state->put.type);                                                                                            \
    call(state->put.method);                                                                                          \
    call(state->get.type);                                                                                            \
    call(state->get.method);                                                                                          \
    call(state->decrypt.type);                                                                                        \
    call(state->decrypt.method);                                                                                      \
    call(state->encrypt.type);                                                                                        \
    call(state->encrypt.method);                                                                                      \
    call(state->limit.type);                                                                                          \
    call(state->limit.method)

static int
traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    EACH_OBJECT(state, Py_VISIT);
    return 0;
}

static int
clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    EACH_OBJECT(state, Py_CLEAR);
    names_clear(state->names, NAMES);
    while (state->free != NULL) {
        Transfer *transfer = state->free;
        state->free = (Transfer *)transfer->stream;
        PyObject_GC_Del(transfer);
    }
    state->free_count = 0;
    return 0;
}

MODULE_WITH_STATE("socket2._records", "Records of TLS in C. socket2/tls/layer.py has the same in Python.", sizeof(State),
                  NULL);

PyMODINIT_FUNC
PyInit__records(void)
{
    return PyModuleDef_Init(&definition);
}
