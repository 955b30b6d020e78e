/* take(), whole() and go_on() of a ServerSide in C.

   They change the object only when nothing can fail any more, or as their twins do. Knows the slots of a ServerSide,
   and that a usual request is one whole head. Must not know the syntax of heads, or what moves the bytes. */

#include "serverside.h"
#include "heads.h"
#include "outgoing.h"

#include <string.h>

#define KEPT_MAX 1024 /* as in serverside.py */

static PyObject *
side_get(const State *state, PyObject *side, int slot)
{
    return get(state, SERVER_SIDE, side, slot);
}

static void
side_put(const State *state, PyObject *side, int slot, PyObject *value)
{
    put(state, SERVER_SIDE, side, slot, value);
}

/* Whether `data` is one whole head, with nothing behind it. */
static bool
is_head(const State *state, PyObject *incoming, const char *data, Py_ssize_t size)
{
    PyObject *limits = get(state, INCOMING, incoming, INCOMING_LIMITS);
    if (size <= 4 || *data == '\r' || memcmp(data + size - 4, "\r\n\r\n", 4) != 0 || !is_of(state, limits, LIMITS) ||
        size - 4 > counted(get(state, LIMITS, limits, LIMITS_HEAD_BYTES))) {
        return false;
    }
    return memmem(data, (size_t)size, "\r\n\r\n", 4) == data + size - 4;
}

/* Begin a request, as ServerSide._started(). Return the request. Steals the reference. */
static PyObject *
started(const State *state, PyObject *side, PyObject *request)
{
    PyObject *raw = get(state, REQUEST_HEAD, request, REQUEST_RAW);
    PyObject *body = get(state, REQUEST_HEAD, request, REQUEST_BODY);
    bool is_kept = PyBytes_GET_SIZE(raw) < KEPT_MAX;
    side_put(state, side, SIDE_REQUEST, request);
    side_put(state, side, SIDE_BEFORE, is_kept ? request : Py_None);
    if (body == state->zero) {
        side_put(state, side, SIDE_RECEIVED_ALL, Py_True);
    } else {
        PyObject *incoming = side_get(state, side, SIDE_INCOMING);
        PyObject *begun = call_by_name(incoming, state->begin_body, body, NULL, NULL);
        if (begun == NULL) {
            Py_DECREF(request);
            return NULL;
        }
        Py_DECREF(begun);
    }
    if (get(state, REQUEST_HEAD, request, REQUEST_KEEP_ALIVE) != Py_True) {
        side_put(state, side, SIDE_CLOSING, Py_True);
    }
    return request;
}

/* Return whether this is a request, with the slots that started() needs. */
static bool
is_request(const State *state, PyObject *request)
{
    if (!is_of(state, request, REQUEST_HEAD)) {
        return false;
    }
    PyObject *raw = get(state, REQUEST_HEAD, request, REQUEST_RAW);
    return raw != NULL && PyBytes_CheckExact(raw) && get(state, REQUEST_HEAD, request, REQUEST_BODY) != NULL;
}

PyObject *
side_take(State *state, PyObject *const *args, Py_ssize_t count)
{
    PyObject *side = args[0], *data = count == 2 ? args[1] : NULL;
    PyObject *incoming = side_get(state, side, SIDE_INCOMING), *checker = side_get(state, side, SIDE_CHECKER);
    if (data == NULL || !PyBytes_CheckExact(data) || !is_of(state, incoming, INCOMING) ||
        checker == NULL || (PyObject *)Py_TYPE(checker) != state->told[CHECKER]) {
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(data);
    PyObject *before = side_get(state, side, SIDE_BEFORE);
    if (is_request(state, before)) {
        PyObject *raw = get(state, REQUEST_HEAD, before, REQUEST_RAW);
        if (PyBytes_GET_SIZE(raw) == size &&
            memcmp(PyBytes_AS_STRING(raw), PyBytes_AS_STRING(data), (size_t)size) == 0) {
            return started(state, side, Py_NewRef(before));
        }
    }
    PyObject *limits = side_get(state, side, SIDE_LIMITS);
    if (limits == NULL || !is_head(state, incoming, PyBytes_AS_STRING(data), size)) {
        return NULL;
    }
    PyObject *request = request_of(state, data, limits);
    return request != NULL ? started(state, side, request) : NULL;
}

PyObject *
side_whole(State *state, PyObject *const *args, Py_ssize_t count)
{
    PyObject *side = args[0], *request = side_get(state, side, SIDE_REQUEST);
    if (count != 4 || !is_of(state, request, REQUEST_HEAD) || side_get(state, side, SIDE_OUT) != Py_None ||
        side_get(state, side, SIDE_CLOSING) != Py_False || state->told[SENT] == NULL ||
        get(state, REQUEST_HEAD, request, REQUEST_USUAL) != Py_True) {
        return NULL;
    }
    PyObject *data = whole_answer(state, args[1], args[2], args[3]);
    if (data != NULL) {
        side_put(state, side, SIDE_OUT, state->told[SENT]);
        side_put(state, side, SIDE_STATUS, args[1]);
        side_put(state, side, SIDE_ANSWERED, Py_True);
    }
    return data;
}

PyObject *
side_go_on(State *state, PyObject *const *args, Py_ssize_t count)
{
    PyObject *side = args[0];
    if (count != 1 || side_get(state, side, SIDE_ANSWERED) != Py_True ||
        side_get(state, side, SIDE_RECEIVED_ALL) != Py_True || side_get(state, side, SIDE_CLOSING) != Py_False) {
        return NULL;
    }
    side_put(state, side, SIDE_REQUEST, Py_None);
    side_put(state, side, SIDE_OUT, Py_None);
    side_put(state, side, SIDE_STATUS, state->zero);
    side_put(state, side, SIDE_RECEIVED_ALL, Py_False);
    side_put(state, side, SIDE_ANSWERED, Py_False);
    side_put(state, side, SIDE_CONTINUED, Py_False);
    return Py_NewRef(Py_True);
}
