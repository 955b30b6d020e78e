/* Access to objects of Python classes: the offsets of slots, and methods that are looked up once.

   Knows CPython through cpython.h. Must not know a class by name. */

#ifndef SOCKET2_SLOTS_H
#define SOCKET2_SLOTS_H

#include "../../pollers/cpython.h"

/* Return the offset of the slot `name` in objects of this class. Return -1 with an exception if it has no such slot. */
static inline Py_ssize_t
slot_offset(PyTypeObject *type, const char *name)
{
    Py_ssize_t offset = -1;
    PyObject *found = PyObject_GetAttrString((PyObject *)type, name);
    if (found == NULL) {
        return -1;
    }
    PyMemberDescrObject *member = (PyMemberDescrObject *)found;
    if (Py_IS_TYPE(found, &PyMemberDescr_Type) && member->d_member->type == T_OBJECT_EX) {
        offset = member->d_member->offset;
    } else {
        PyErr_Format(PyExc_TypeError, "%s.%s is not a slot", type->tp_name, name);
    }
    Py_DECREF(found);
    return offset;
}

/* Learn the offsets of several slots. */
static inline int
slots_learn(PyTypeObject *type, const char *const *names, Py_ssize_t *offsets, int count)
{
    for (int which = 0; which < count; which++) {
        offsets[which] = slot_offset(type, names[which]);
        if (offsets[which] < 0) {
            return -1;
        }
    }
    return 0;
}

static inline PyObject **
slot_at(PyObject *object, Py_ssize_t offset)
{
    return (PyObject **)((char *)object + offset);
}

/* A method, cached for the class that was seen last. An immutable class has no version here, since its methods cannot
   change. Any other gets another version when they do, and 0 if CPython does not follow them. */
typedef struct {
    PyTypeObject *type; /* NULL if nothing is cached */
    PyObject *method;
    unsigned int version;
} Method;

static inline unsigned int
method_version(PyTypeObject *type)
{
    return PyType_HasFeature(type, Py_TPFLAGS_IMMUTABLETYPE) ? 0 : type->tp_version_tag;
}

static inline int
method_learn(Method *known, PyObject *name, PyTypeObject *type)
{
    bool is_immutable = PyType_HasFeature(type, Py_TPFLAGS_IMMUTABLETYPE);
    if (!is_immutable && (type->tp_dictoffset != 0 || type->tp_getattro != PyObject_GenericGetAttr)) {
        return 0; /* each object may have its own */
    }
    PyObject *method = PyObject_GetAttr((PyObject *)type, name); /* this gives the class its version */
    if (method == NULL) {
        return -1;
    }
    bool is_followed = is_immutable || method_version(type) != 0;
    if (is_followed && PyType_HasFeature(Py_TYPE(method), Py_TPFLAGS_METHOD_DESCRIPTOR)) {
        Py_XSETREF(known->method, Py_NewRef(method));
        Py_XSETREF(known->type, (PyTypeObject *)Py_NewRef(type));
        known->version = method_version(type);
    }
    Py_DECREF(method);
    return 0;
}

/* Call the method `name` of the first argument with the others. */
static inline PyObject *
method_call(Method *known, PyObject *name, PyObject *const *args, size_t count)
{
    PyTypeObject *type = Py_TYPE(args[0]);
    if (type != known->type || known->version != method_version(type)) {
        if (method_learn(known, name, type) < 0) {
            return NULL;
        }
        if (type != known->type || known->version != method_version(type)) {
            return PyObject_VectorcallMethod(name, args, count, NULL);
        }
    }
    return PyObject_Vectorcall(known->method, args, count, NULL);
}

#endif
