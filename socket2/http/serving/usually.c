/* The module socket2._http, and its decorator `usually`, for methods that C does in the usual case.

   Knows which function in C does which method. Must not know what they do. */

#include "../../../pollers/standin.h"
#include "../messages/fields.h"
#include "../messages/heads.h"
#include "../messages/outgoing.h"
#include "../messages/serverside.h"
#include "../messages/syntax.h"
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

static const char *const told_texts[TOLD] = {"methods", "status_line", "date_line", "sent", "checker"};

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

/* Learn the slots of a class. Return which one it is, -1 with an exception if it is none that is known. */
static int
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

static PyType_Spec usually_spec = {
    .name = "socket2._http.usually",
    .basicsize = sizeof(Usually),
    .flags = STANDIN_FLAGS,
    .slots = usually_slots,
};

/* The module. */

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
execute(PyObject *module)
{
    State *state = PyModule_GetState(module);
    state->begin_body = PyUnicode_InternFromString("begin_body");
    state->zero = PyLong_FromLong(0);
    state->one = PyLong_FromLong(1);
    state->lines = PyDict_New();
    PyObject *type = PyType_FromModuleAndSpec(module, &usually_spec, NULL);
    if (state->begin_body == NULL || state->zero == NULL || state->one == NULL || state->lines == NULL ||
        type == NULL || PyModule_AddType(module, (PyTypeObject *)type) < 0) {
        Py_XDECREF(type);
        return -1;
    }
    Py_DECREF(type);
    return 0;
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
