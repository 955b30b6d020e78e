/* Written and usual_head() in C, for whole answers whose length is known, and for fields that do not frame them.

   It refuses nothing. What it does not take, Python looks at from the start, and says what is wrong. Fields are taken
   only from objects that run no foreign code, so they are the same when they are measured and when they are copied.
   Knows how Written keeps fields. Must not know connections. */

#include "outgoing.h"
#include "syntax.h"

#define LENGTH_DIGITS 18
#define LENGTH_FIELD "content-length: "

/* The fields that a program gives. */
typedef struct {
    PyObject *given; /* a Written, or a dict, list or tuple */
    Py_ssize_t size; /* of their lines */
    Py_ssize_t length; /* what they say about the length of the body, or -1 */
    bool has_date, has_host;
} Fields;

/* Get the octets of bytes, or of a str in Latin-1. */
static bool
octets_of(PyObject *object, Text *text)
{
    if (PyBytes_CheckExact(object)) {
        *text = (Text){PyBytes_AS_STRING(object), (size_t)PyBytes_GET_SIZE(object)};
        return true;
    }
    if (!PyUnicode_CheckExact(object) || !PyUnicode_IS_COMPACT(object) ||
        PyUnicode_KIND(object) != PyUnicode_1BYTE_KIND) {
        return false;
    }
    *text = (Text){(const char *)PyUnicode_1BYTE_DATA(object), (size_t)PyUnicode_GET_LENGTH(object)};
    return true;
}

/* Move to the next field. Return 1 if there is one, 0 if not, -1 if Python must look at them. */
static int
next_field(PyObject *given, Py_ssize_t *at, Text *name, Text *value)
{
    PyObject *key, *text;
    if (PyDict_CheckExact(given)) {
        if (!PyDict_Next(given, at, &key, &text)) {
            return 0;
        }
    } else {
        if (*at >= PySequence_Fast_GET_SIZE(given)) {
            return 0;
        }
        PyObject *pair = PySequence_Fast_GET_ITEM(given, (*at)++);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2) {
            return -1;
        }
        key = PyTuple_GET_ITEM(pair, 0);
        text = PyTuple_GET_ITEM(pair, 1);
    }
    if (!octets_of(key, name) || !octets_of(text, value)) {
        return -1;
    }
    *value = stripped(*value);
    return 1;
}

static bool
is_length(Text name)
{
    return EQUALS(name, "content-length");
}

static bool
note_length(Fields *fields, Text value)
{
    const char *end = value.at + value.size;
    if (fields->length >= 0 || value.size == 0 || value.size > LENGTH_DIGITS || behind(value.at, end, DIGIT) != end) {
        return false;
    }
    fields->length = 0;
    for (const char *at = value.at; at < end; at++) {
        fields->length = fields->length * 10 + (*at - '0');
    }
    return true;
}

/* Measure one field. Return false if it is malformed, or frames the message in another way than by its length. */
static bool
measure_field(Fields *fields, Text name, Text value)
{
    if (name.size == 0 || behind(name.at, name.at + name.size, TOKEN) != name.at + name.size ||
        behind(value.at, value.at + value.size, VALUE) != value.at + value.size) {
        return false;
    }
    if (is_length(name)) {
        return note_length(fields, value);
    }
    if (EQUALS(name, "connection") || EQUALS(name, "transfer-encoding")) {
        return false;
    }
    fields->has_date = fields->has_date || EQUALS(name, "date");
    fields->has_host = fields->has_host || EQUALS(name, "host");
    fields->size += (Py_ssize_t)(name.size + value.size) + 4;
    return true;
}

static bool
measure_written(const State *state, Fields *fields)
{
    PyObject *block = get(state, WRITTEN, fields->given, WRITTEN_BLOCK);
    PyObject *length = get(state, WRITTEN, fields->given, WRITTEN_LENGTH);
    if (block == NULL || !PyBytes_CheckExact(block) || length == NULL ||
        get(state, WRITTEN, fields->given, WRITTEN_USUAL) != Py_True) {
        return false;
    }
    fields->size = PyBytes_GET_SIZE(block);
    fields->length = counted(length);
    fields->has_date = get(state, WRITTEN, fields->given, WRITTEN_HAS_DATE) == Py_True;
    return length == Py_None || fields->length >= 0;
}

/* Measure the fields. Return false if Python must look at them. */
static bool
measure(const State *state, Fields *fields)
{
    if (is_of(state, fields->given, WRITTEN)) {
        return measure_written(state, fields);
    }
    if (!PyDict_CheckExact(fields->given) && !PyList_CheckExact(fields->given) && !PyTuple_CheckExact(fields->given)) {
        return false;
    }
    Text name, value;
    Py_ssize_t at = 0;
    int more;
    while ((more = next_field(fields->given, &at, &name, &value)) > 0) {
        if (!measure_field(fields, name, value)) {
            return false;
        }
    }
    return more == 0;
}

static char *
copy(char *to, const char *from, size_t size)
{
    memcpy(to, from, size);
    return to + size;
}

static char *
copy_bytes(char *to, PyObject *bytes)
{
    return copy(to, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
}

/* Copy the lines of fields that were measured, with names in lower case. */
static char *
copy_fields(const State *state, char *to, const Fields *fields)
{
    if (is_of(state, fields->given, WRITTEN)) {
        return copy_bytes(to, get(state, WRITTEN, fields->given, WRITTEN_BLOCK));
    }
    Text name, value;
    Py_ssize_t at = 0;
    while (next_field(fields->given, &at, &name, &value) > 0) {
        if (is_length(name)) {
            continue;
        }
        to = lower(to, name);
        to = copy(to, ": ", 2);
        to = copy(to, value.at, value.size);
        to = copy(to, "\r\n", 2);
    }
    return to;
}

/* Return the status line of answers that have a body; None for others; NULL if Python must look at it. Borrowed. */
static PyObject *
line_of(State *state, PyObject *status)
{
    if (!PyLong_CheckExact(status)) {
        return NULL;
    }
    PyObject *line = PyDict_GetItemWithError(state->lines, status);
    if (line == NULL && !PyErr_Occurred()) {
        Py_ssize_t number = counted(status);
        PyObject *made = PyObject_CallOneArg(state->told[STATUS_LINE], status);
        if (made != NULL && (number < 200 || number == 204 || number == 304)) {
            Py_SETREF(made, Py_NewRef(Py_None));
        }
        if (made != NULL && PyDict_SetItem(state->lines, status, made) == 0) {
            line = PyDict_GetItemWithError(state->lines, status);
        }
        Py_XDECREF(made);
    }
    PyErr_Clear(); /* Python raises it again */
    return line;
}

/* Return the Date field of now, NULL if Python must make it. Borrowed. */
static PyObject *
date_of(State *state)
{
    time_t now = time(NULL);
    if (state->date == NULL || now != state->second) {
        PyObject *date = PyObject_CallNoArgs(state->told[DATE_LINE]);
        if (date == NULL || !PyBytes_CheckExact(date)) {
            Py_XDECREF(date);
            PyErr_Clear();
            return NULL;
        }
        Py_XSETREF(state->date, date);
        state->second = now;
    }
    return state->date;
}

PyObject *
whole_answer(State *state, PyObject *status, PyObject *given, PyObject *body)
{
    if (state->told[STATUS_LINE] == NULL || state->told[DATE_LINE] == NULL || !PyBytes_CheckExact(body)) {
        return NULL;
    }
    PyObject *line = line_of(state, status), *date = date_of(state); /* from here on, nothing runs Python */
    Fields fields = {.given = given, .length = -1};
    Py_ssize_t length = PyBytes_GET_SIZE(body);
    if (date == NULL || line == NULL || line == Py_None || !PyBytes_CheckExact(line) || !measure(state, &fields) ||
        (fields.length >= 0 && fields.length != length)) {
        return NULL;
    }
    char digits[LENGTH_DIGITS + 3];
    int digit_count = snprintf(digits, sizeof digits, "%zd\r\n", length);
    Py_ssize_t size = PyBytes_GET_SIZE(line) + fields.size + (Py_ssize_t)sizeof LENGTH_FIELD - 1 + digit_count +
                      (fields.has_date ? 0 : PyBytes_GET_SIZE(date)) + 2;
    if (length > PY_SSIZE_T_MAX - size) {
        return NULL;
    }
    PyObject *whole = PyBytes_FromStringAndSize(NULL, size + length);
    if (whole == NULL) {
        PyErr_Clear();
        return NULL;
    }
    char *to = copy_bytes(PyBytes_AS_STRING(whole), line);
    to = copy_fields(state, to, &fields);
    to = copy(to, LENGTH_FIELD, sizeof LENGTH_FIELD - 1);
    to = copy(to, digits, (size_t)digit_count);
    to = fields.has_date ? to : copy_bytes(to, date);
    to = copy(to, "\r\n", 2);
    copy_bytes(to, body);
    return whole;
}

/* Set a slot of a new object. Steals the reference; NULL is an error. */
static bool
set(const State *state, PyObject *written, int slot, PyObject *value)
{
    *slot_at(written, state->classes[WRITTEN].at[slot]) = value;
    return value != NULL;
}

PyObject *
written_of(const State *state, PyObject *given)
{
    PyTypeObject *type = state->classes[WRITTEN].type;
    Fields fields = {.given = given, .length = -1};
    if (type == NULL || is_of(state, given, WRITTEN) || !measure(state, &fields)) {
        return NULL;
    }
    PyObject *block = PyBytes_FromStringAndSize(NULL, fields.size);
    if (block == NULL) {
        return NULL;
    }
    copy_fields(state, PyBytes_AS_STRING(block), &fields);
    PyObject *written = type->tp_alloc(type, 0);
    if (written == NULL) {
        Py_DECREF(block);
        return NULL;
    }
    set(state, written, WRITTEN_BLOCK, block);
    set(state, written, WRITTEN_CLOSES, Py_NewRef(Py_False));
    set(state, written, WRITTEN_HAS_DATE, Py_NewRef(fields.has_date ? Py_True : Py_False));
    set(state, written, WRITTEN_HAS_HOST, Py_NewRef(fields.has_host ? Py_True : Py_False));
    set(state, written, WRITTEN_USUAL, Py_NewRef(Py_True));
    if (!set(state, written, WRITTEN_CONNECTION, PyList_New(0)) ||
        !set(state, written, WRITTEN_LENGTH,
             fields.length < 0 ? Py_NewRef(Py_None) : PyLong_FromSsize_t(fields.length))) {
        Py_CLEAR(written);
    }
    return written;
}
