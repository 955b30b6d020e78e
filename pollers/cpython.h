/* What every part in C needs of CPython: exceptions as objects, interned names, calls by name, modules.

   Knows CPython and its versions. Must not know sockets, pollers, threads, or any class of ours. All functions are
   small and `static inline`, since each part is a separate extension module and links with no other. */

#ifndef POLLERS_CPYTHON_H
#define POLLERS_CPYTHON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <structmember.h>

/* Exceptions as objects, which CPython itself offers since 3.12. */

/* Take the current exception; NULL if there is none. */
static inline PyObject *
error_take(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(error, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return error;
#endif
}

/* Make `error` the current exception; NULL clears it. Steals the reference. */
static inline void
error_put(PyObject *error)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(error);
#else
    if (error == NULL) {
        PyErr_Clear();
        return;
    }
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(error)), error, PyException_GetTraceback(error));
#endif
}

/* Interned names of attributes, made once. The interpreter finds an attribute fastest by the identity of its name. */

static inline int
names_make(PyObject **names, const char *const *texts, int count)
{
    for (int name = 0; name < count; name++) {
        names[name] = PyUnicode_InternFromString(texts[name]);
        if (names[name] == NULL) {
            return -1;
        }
    }
    return 0;
}

static inline void
names_clear(PyObject **names, int count)
{
    for (int name = 0; name < count; name++) {
        Py_CLEAR(names[name]);
    }
}

/* Call a method with the arguments before the first NULL. */
static inline PyObject *
call_by_name(PyObject *object, PyObject *name, PyObject *first, PyObject *second, PyObject *third)
{
    PyObject *args[] = {object, first, second, third};
    size_t count = 1;
    while (count < Py_ARRAY_LENGTH(args) && args[count] != NULL) {
        count++;
    }
    return PyObject_VectorcallMethod(name, args, count, NULL);
}

/* Import a module and return its attribute `name`. */
static inline PyObject *
taken_from(const char *module, const char *name)
{
    PyObject *found = NULL;
    PyObject *imported = PyImport_ImportModule(module);
    if (imported != NULL) {
        found = PyObject_GetAttrString(imported, name);
        Py_DECREF(imported);
    }
    return found;
}

static inline int
argument_count(const char *name, Py_ssize_t given, Py_ssize_t least, Py_ssize_t most)
{
    if (given >= least && given <= most) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "%s() takes from %zd to %zd positional arguments, not %zd", name, least, most, given);
    return -1;
}

static inline int
no_keywords(const char *name, PyObject *keywords)
{
    if (keywords == NULL || PyDict_GET_SIZE(keywords) == 0) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "%s() takes no keyword arguments", name);
    return -1;
}

/* The slots of every module of ours: `execute` fills it. Several interpreters that share one GIL may load it. The GIL
   protects all its data. */
#ifdef Py_mod_multiple_interpreters
#define FOR_INTERPRETERS {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED},
#else
#define FOR_INTERPRETERS
#endif
#ifdef Py_mod_gil
#define WITH_GIL {Py_mod_gil, Py_MOD_GIL_USED},
#else
#define WITH_GIL
#endif
#define MODULE_SLOTS(execute) {Py_mod_exec, execute}, FOR_INTERPRETERS WITH_GIL {0, NULL}

/* Define a module with a state. The part provides execute(), traverse() and clear(). */
#define MODULE_WITH_STATE(name, text, size, functions)                                                                \
    static void release(void *module) { clear(module); }                                                              \
    static PyModuleDef_Slot slots[] = {MODULE_SLOTS(execute)};                                                        \
    static struct PyModuleDef definition = {                                                                          \
        PyModuleDef_HEAD_INIT,                                                                                        \
        .m_name = name,                                                                                               \
        .m_doc = PyDoc_STR(text),                                                                                     \
        .m_size = size,                                                                                               \
        .m_methods = functions,                                                                                       \
        .m_slots = slots,                                                                                             \
        .m_traverse = traverse,                                                                                       \
        .m_clear = clear,                                                                                             \
        .m_free = release,                                                                                            \
    }

#endif
