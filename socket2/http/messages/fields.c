/* Fields.raw in C. Knows lines. Must not know what fields mean, or which are well-formed: others have checked them. */

#include "fields.h"
#include "syntax.h"

/* Return new bytes in lower case. */
static PyObject *
lowered(Text text)
{
    PyObject *made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)text.size);
    if (made != NULL) {
        lower(PyBytes_AS_STRING(made), text);
    }
    return made;
}

static PyObject *
pair_of(Text name, Text value)
{
    PyObject *first = lowered(name), *second = PyBytes_FromStringAndSize(value.at, (Py_ssize_t)value.size);
    PyObject *pair = first != NULL && second != NULL ? PyTuple_Pack(2, first, second) : NULL;
    Py_XDECREF(first);
    Py_XDECREF(second);
    return pair;
}

static int
append(PyObject *pairs, Text line)
{
    const char *colon = memchr(line.at, ':', line.size);
    if (colon == NULL) {
        return 0;
    }
    Text name = {line.at, (size_t)(colon - line.at)};
    Text value = {colon + 1, line.size - name.size - 1};
    PyObject *pair = pair_of(name, stripped(value));
    int status = pair != NULL ? PyList_Append(pairs, pair) : -1;
    Py_XDECREF(pair);
    return status;
}

PyObject *
fields_of(PyObject *block)
{
    char *at;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(block, &at, &size) < 0) {
        return NULL;
    }
    PyObject *pairs = PyList_New(0);
    const char *end = at + size;
    while (pairs != NULL && at < end) {
        char *stop = memmem(at, (size_t)(end - at), "\r\n", 2);
        stop = stop != NULL ? stop : (char *)end;
        if (append(pairs, (Text){at, (size_t)(stop - at)}) < 0) {
            Py_CLEAR(pairs);
        }
        at = stop + 2;
    }
    return pairs;
}
