/* parse_request() in C, for usual requests only: a known method, a path, HTTP/1.1, one Host, no Expect and no Upgrade.

   It refuses nothing. What it does not take, Python looks at from the start, and says what is wrong. What it takes must
   be what Python makes of the same head: whoever reads a length or a host in another way can be tricked.
   Knows the slots of a RequestHead. Must not know connections, or responses. */

#include "heads.h"
#include "syntax.h"

#define LENGTH_DIGITS 18 /* fit into 63 bits */

/* What the fields say about the message. */
typedef struct {
    Text host;
    Py_ssize_t body; /* its length, or CHUNKED */
    bool has_host, has_length, is_chunked, closes;
} Framing;

enum { CHUNKED = -1 };

/* A name or an IPv6 address, perhaps with a port. Others may be hosts, too. */
static bool
is_usual_host(Text host)
{
    const char *at = host.at, *end = at + host.size;
    if (SKIP(&at, end, "[")) {
        const char *first = at;
        while (at < end && ((*at >= '0' && *at <= ':') || (*at >= 'a' && *at <= 'f') || *at == '.')) {
            at++;
        }
        if (at == first || !SKIP(&at, end, "]")) {
            return false;
        }
    } else {
        at = behind(at, end, HOST);
    }
    if (SKIP(&at, end, ":")) {
        return end - at <= 5 && behind(at, end, DIGIT) == end;
    }
    return at == end;
}

static bool
note_length(Framing *framing, Text value)
{
    const char *end = value.at + value.size;
    if (framing->has_length || framing->is_chunked || value.size == 0 || value.size > LENGTH_DIGITS ||
        behind(value.at, end, DIGIT) != end) {
        return false;
    }
    for (const char *at = value.at; at < end; at++) {
        framing->body = framing->body * 10 + (*at - '0');
    }
    return framing->has_length = true;
}

static bool
note_coding(Framing *framing, Text value)
{
    while (value.size > 0 && *value.at == ' ') { /* with a tab it is not chunked */
        value.at++;
        value.size--;
    }
    while (value.size > 0 && value.at[value.size - 1] == ' ') {
        value.size--;
    }
    if (framing->has_length || framing->is_chunked || !EQUALS(value, "chunked")) {
        return false;
    }
    framing->body = CHUNKED;
    return framing->is_chunked = true;
}

static void
note_connection(Framing *framing, Text value)
{
    const char *end = value.at + value.size;
    for (const char *at = value.at, *comma; at <= end; at = comma + 1) {
        comma = at < end ? memchr(at, ',', (size_t)(end - at)) : NULL;
        comma = comma != NULL ? comma : end;
        Text element = stripped((Text){at, (size_t)(comma - at)});
        framing->closes = framing->closes || EQUALS(element, "close");
    }
}

/* Note what a field says about the message. Return false if Python must look at it. */
static bool
note(Framing *framing, Text name, Text value)
{
    switch (name.size) {
    case 4:
        if (EQUALS(name, "host")) {
            bool is_first = !framing->has_host;
            framing->host = stripped(value);
            framing->has_host = true;
            return is_first && is_usual_host(framing->host);
        }
        return true;
    case 6:
        return !EQUALS(name, "expect");
    case 7:
        return !EQUALS(name, "upgrade");
    case 10:
        if (EQUALS(name, "connection")) {
            note_connection(framing, value);
        }
        return true;
    case 14:
        return !EQUALS(name, "content-length") || note_length(framing, stripped(value));
    case 17:
        return !EQUALS(name, "transfer-encoding") || note_coding(framing, value);
    default:
        return true;
    }
}

/* Return whether these are at most `most` usual fields, and nothing behind them. */
static bool
note_all(Framing *framing, const char *at, const char *end, Py_ssize_t most)
{
    Text name, value;
    Line line;
    while ((line = next_line(&at, end, &name, &value)) == FIELD) {
        if (--most < 0 || !note(framing, name, value)) {
            return false;
        }
    }
    return line == LAST && at == end && framing->has_host;
}

/* Return the name of a method for paths, NULL if it is none. Borrowed. */
static PyObject *
method_of(const State *state, Text octets)
{
    PyObject *methods = state->told[METHODS], *known, *name;
    Py_ssize_t at = 0;
    while (PyDict_Next(methods, &at, &known, &name)) {
        if ((size_t)PyBytes_GET_SIZE(known) == octets.size &&
            memcmp(PyBytes_AS_STRING(known), octets.at, octets.size) == 0) {
            return name;
        }
    }
    return NULL;
}

/* Set a slot of a new request. Steals the reference; NULL is an error. */
static bool
set(const State *state, PyObject *request, int slot, PyObject *value)
{
    *slot_at(request, state->classes[REQUEST_HEAD].at[slot]) = value;
    return value != NULL;
}

static PyObject *
bytes_of(const char *at, const char *end)
{
    return PyBytes_FromStringAndSize(at, end - at);
}

static PyObject *
made(const State *state, PyObject *head, PyObject *method, Text target, const char *block, const Framing *framing)
{
    PyTypeObject *type = state->classes[REQUEST_HEAD].type;
    PyObject *request = type->tp_alloc(type, 0);
    if (request == NULL) {
        return NULL;
    }
    const char *end = PyBytes_AS_STRING(head) + PyBytes_GET_SIZE(head);
    bool is_head = PyUnicode_CompareWithASCIIString(method, "HEAD") == 0;
    set(state, request, REQUEST_METHOD, Py_NewRef(method));
    set(state, request, REQUEST_MINOR, Py_NewRef(state->one));
    set(state, request, REQUEST_ORIGIN, Py_NewRef(Py_True));
    set(state, request, REQUEST_RAW, Py_NewRef(head));
    set(state, request, REQUEST_KEEP_ALIVE, Py_NewRef(framing->closes ? Py_False : Py_True));
    set(state, request, REQUEST_EXPECTS_CONTINUE, Py_NewRef(Py_False));
    set(state, request, REQUEST_UPGRADE, Py_NewRef(Py_None));
    set(state, request, REQUEST_USUAL, Py_NewRef(is_head ? Py_False : Py_True));
    if (!set(state, request, REQUEST_RAW_TARGET, bytes_of(target.at, target.at + target.size)) ||
        !set(state, request, REQUEST_BLOCK, bytes_of(block, end)) ||
        !set(state, request, REQUEST_BODY, PyLong_FromSsize_t(framing->body)) ||
        !set(state, request, REQUEST_HOST, bytes_of(framing->host.at, framing->host.at + framing->host.size))) {
        Py_DECREF(request);
        return NULL;
    }
    return request;
}

PyObject *
request_of(const State *state, PyObject *head, PyObject *limits)
{
    if (state->classes[REQUEST_HEAD].type == NULL || state->told[METHODS] == NULL || !PyBytes_CheckExact(head) ||
        !is_of(state, limits, LIMITS)) {
        return NULL;
    }
    const char *at = PyBytes_AS_STRING(head), *end = at + PyBytes_GET_SIZE(head);
    const char *blank = behind(at, end, TOKEN);
    PyObject *method = method_of(state, (Text){at, (size_t)(blank - at)});
    at = blank;
    if (method == NULL || !SKIP(&at, end, " ") || at == end || *at != '/') {
        return NULL;
    }
    Text target = {at, (size_t)(behind(at, end, PATH) - at)};
    at += target.size;
    const char *block = at + sizeof " HTTP/1.1" - 1;
    Framing framing = {.body = 0};
    if ((Py_ssize_t)target.size > counted(get(state, LIMITS, limits, LIMITS_TARGET_BYTES)) ||
        !SKIP(&at, end, " HTTP/1.1\r\n") ||
        !note_all(&framing, at, end, counted(get(state, LIMITS, limits, LIMITS_HEAD_FIELDS)))) {
        return NULL;
    }
    return made(state, head, method, target, block, &framing);
}
