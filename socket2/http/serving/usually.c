/* The decorator `usually`: a stand-in for a method, and which function in C does which method.

   Knows the classes and their slots by name. Must not know what the functions do. */

#include "usually.h"
#include "../../../pollers/standin.h"
#include "../messages/serverside.h"
#include "answering.h"

/* The classes, with their slots in the order of state.h. */
static const struct {
    const char *name;
    const char *slots[CLASS_SLOTS];
} known[CLASSES] = {
    [REQUEST_HEAD] = {"RequestHead",
                      {"block", "body", "expects_continue", "host", "keep_alive", "method", "minor", "origin", "raw",
                       "raw_target", "upgrade", "usual"}},
    [LIMITS] = {"Limits", {"head_bytes", "head_fields", "target_bytes", "send_s", "send_rate"}},
    [WRITTEN] = {"Written", {"block", "closes", "connection", "has_date", "has_host", "length", "usual"}},
    [INCOMING] = {"Incoming", {"limits"}},
    [SERVER_SIDE] = {"ServerSide",
                     {"answered", "_before", "_checker", "closing", "_continued", "incoming", "limits", "_out",
                      "received_all", "request", "status"}},
    [EXCHANGE] = {"Exchange", {"limits", "now", "sent", "side", "silence", "stopping"}},
    [SILENCE] = {"Silence", {"until"}},
    [EVENT] = {"Event", {"_set"}},
};

/* Does a method, whose arguments begin with the object. Returns NULL without an exception if the function must. */
typedef PyObject *(*Way)(State *state, PyObject *const *args, Py_ssize_t count);

static const struct {
    const char *name;
    int class;
    Way way;
} ways[] = {
    {"take", SERVER_SIDE, side_take},
    {"whole", SERVER_SIDE, side_whole},
    {"go_on", SERVER_SIDE, side_go_on},
    {"_begin_answer", EXCHANGE, exchange_begin_answer},
};

typedef struct {
    StandIn standin;
    State *state;
    PyObject *module; /* it has the state */
    PyTypeObject *owner; /* NULL until the class is made */
    Way way;
} Usually;

static PyObject *
usually_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *keywords)
{
    Usually *usually = (Usually *)self;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    if (keywords == NULL && count > 0 && usually->owner != NULL && Py_IS_TYPE(args[0], usually->owner)) {
        PyObject *result = usually->way(usually->state, args, count);
        if (result != NULL || PyErr_Occurred()) {
            return result;
        }
    }
    return PyObject_Vectorcall(usually->standin.function, args, nargsf, keywords);
}

int
learn_class(State *state, PyObject *object)
{
    PyTypeObject *type = (PyTypeObject *)object;
    for (int which = 0; PyType_Check(object) && which < CLASSES; which++) {
        Class *class = &state->classes[which];
        int count = 0;
        if (strcmp(type->tp_name, known[which].name) != 0) {
            continue;
        }
        while (count < CLASS_SLOTS && known[which].slots[count] != NULL) {
            count++;
        }
        Py_CLEAR(class->type);
        if (slots_learn(type, known[which].slots, class->at, count) < 0) {
            return -1;
        }
        class->type = (PyTypeObject *)Py_NewRef(type);
        return which;
    }
    PyErr_Format(PyExc_TypeError, "not a known class: %R", object);
    return -1;
}

/* __set_name__(): now the class exists, and so do its slots. */
static PyObject *
usually_set_name(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Usually *usually = (Usually *)self;
    if (argument_count("__set_name__", count, 2, 2) < 0) {
        return NULL;
    }
    int class = learn_class(usually->state, args[0]);
    for (size_t which = 0; class >= 0 && which < Py_ARRAY_LENGTH(ways); which++) {
        if (ways[which].class == class && PyUnicode_Check(args[1]) &&
            PyUnicode_CompareWithASCIIString(args[1], ways[which].name) == 0) {
            usually->way = ways[which].way;
            Py_XSETREF(usually->owner, (PyTypeObject *)Py_NewRef(args[0]));
            Py_RETURN_NONE;
        }
    }
    if (class >= 0) {
        PyErr_Format(PyExc_TypeError, "C does not do the method %R", args[1]);
    }
    return NULL;
}

static PyObject *
usually_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    Usually *usually = (Usually *)standin_new(type, args, keywords, "usually", usually_call);
    if (usually != NULL) {
        usually->module = Py_XNewRef(PyType_GetModule(type));
        usually->state = PyType_GetModuleState(type);
    }
    return (PyObject *)usually;
}

static PyObject *
usually_getattro(PyObject *self, PyObject *name)
{
    static const char *const own[] = {"__class__", NULL};
    return standin_attribute(self, name, own);
}

static PyObject *
usually_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<usually %R>", ((StandIn *)self)->function);
}

static int
usually_traverse(PyObject *self, visitproc visit, void *arg)
{
    Usually *usually = (Usually *)self;
    Py_VISIT(usually->module);
    Py_VISIT(usually->owner);
    Py_VISIT(usually->standin.function);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static int
usually_clear(PyObject *self)
{
    Py_CLEAR(((Usually *)self)->owner); /* it keeps the rest, because it may still be called */
    return 0;
}

static void
usually_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    usually_clear(self);
    Py_CLEAR(((Usually *)self)->module);
    standin_free(self);
}

static PyMethodDef usually_methods[] = {
    {"__set_name__", (PyCFunction)(void (*)(void))usually_set_name, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot usually_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("A method that C does in the usual case.")},
    {Py_tp_new, usually_new},
    STANDIN_SLOTS,
    {Py_tp_getattro, usually_getattro},
    {Py_tp_repr, usually_repr},
    {Py_tp_traverse, usually_traverse},
    {Py_tp_clear, usually_clear},
    {Py_tp_dealloc, usually_dealloc},
    {Py_tp_methods, usually_methods},
    {0, NULL},
};

PyType_Spec usually_spec = {
    .name = "socket2._http.usually",
    .basicsize = sizeof(Usually),
    .flags = STANDIN_FLAGS,
    .slots = usually_slots,
};
