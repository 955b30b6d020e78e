/* The steps of TLS.recv() and TLS.sendall() in C: one record is received or sent, without a Python frame.

   This file has only the usual case: the handshake is over, nobody else uses that direction, a record comes whole, and
   data is encrypted all at once. For all others it runs the same operation in Python, from its start or from where it
   has come to. It knows when a case is usual, and calls the objects of the `ssl` module, which release the GIL:
   meanwhile the lane and the engine's lock are taken. Must not know OpenSSL, sockets, or what an operation looks like
   from outside. */

#include "records.h"

/* A lane, and the lock of an engine: a slot that is empty while somebody has it. The GIL protects it. */

static bool
is_free(const Maker *maker, PyObject *object, int which)
{
    return slot(maker, object, which) != NULL;
}

static void
lock_take(const Maker *maker, PyObject *object, int which)
{
    Py_CLEAR(*slot_at(object, maker->offsets[which])); /* it was None, so no code runs */
}

static void
lock_give(const Maker *maker, PyObject *object, int which)
{
    put(maker, object, which, Py_None);
}

/* Wake all that wait for the lane. If a signal handler raises, before the method has begun perhaps, do it again. */
static int
wake(const Maker *maker, PyObject *lane)
{
    PyObject *name = maker->state->names[WAKE];
    PyObject *woken = call_by_name(lane, name, NULL, NULL, NULL);
    if (woken != NULL) {
        Py_DECREF(woken);
        return 0;
    }
    PyObject *error = error_take();
    woken = call_by_name(lane, name, NULL, NULL, NULL);
    PyErr_Clear();
    Py_XDECREF(woken);
    error_put(error);
    return -1;
}

/* Give the lane back, in the presence of an exception, too. */
static int
leave(Transfer *transfer)
{
    Maker *maker = transfer->maker;
    PyObject *error = error_take();
    PyObject *lane = transfer->lane;
    transfer->lane = NULL;
    lock_give(maker, lane, FREE);
    int status = slot(maker, lane, WAITING) != Py_None ? wake(maker, lane) : 0;
    Py_DECREF(lane);
    if (error != NULL) {
        PyErr_Clear();
        error_put(error);
        return -1;
    }
    return status;
}

static int
unlock(const Maker *maker, PyObject *engine)
{
    State *state = maker->state;
    int status = 0;
    lock_give(maker, engine, ENGINE_FREE);
    if (PyList_GET_SIZE(state->crowd) > 0) {
        PyObject *error = error_take();
        PyObject *told = PyObject_CallNoArgs(state->notify);
        status = told == NULL ? -1 : 0;
        Py_XDECREF(told);
        if (error != NULL) {
            PyErr_Clear();
            error_put(error);
        }
    }
    return status;
}

/* The engine of a stream, if it still has one. Borrowed. */
static PyObject *
engine_of(const Maker *maker, PyObject *stream)
{
    PyObject *engine = slot(maker, stream, ENGINE);
    return engine != NULL && Py_IS_TYPE(engine, maker->engine) ? engine : NULL;
}

static bool
is_empty_bytes(PyObject *object)
{
    return object != NULL && PyBytes_CheckExact(object) && PyBytes_GET_SIZE(object) == 0;
}

static bool
is_empty_tuple(PyObject *object)
{
    return object != NULL && PyTuple_CheckExact(object) && PyTuple_GET_SIZE(object) == 0;
}

/* Call a method of the engine with an error that is set, and with its lock held. */
static PyObject *
after_error(PyObject *engine, PyObject *name, PyObject *before, PyObject *after)
{
    PyObject *error = error_take();
    PyObject *result = before != NULL ? call_by_name(engine, name, before, error, NULL)
                                      : call_by_name(engine, name, error, after, NULL);
    Py_DECREF(error);
    return result;
}

/* Engine.open(). Return data, or None if more ciphertext is needed. Any error makes the engine fail, since what
   OpenSSL has decrypted may be lost. */
static PyObject *
engine_open(Maker *maker, PyObject *engine, PyObject *data, PyObject *wanted)
{
    State *state = maker->state;
    PyObject *incoming = slot(maker, engine, INCOMING), *ssl = slot(maker, engine, SSL);
    Py_ssize_t size = PyBytes_CheckExact(data) ? PyBytes_GET_SIZE(data) : 0;
    if (!is_free(maker, engine, ENGINE_FREE) || slot(maker, engine, HUNGRY) != Py_True || size == 0 ||
        size > SEALED || incoming == NULL || ssl == NULL) {
        return call_by_name(engine, state->names[OPEN], data, wanted, NULL);
    }
    lock_take(maker, engine, ENGINE_FREE);
    Py_INCREF(incoming); /* other OS threads run meanwhile */
    Py_INCREF(ssl);
    PyObject *plain = NULL, *n = NULL;
    PyObject *written = method_call(&state->put, state->names[WRITE], (PyObject *[]){incoming, data}, 2);
    if (written != NULL) {
        Py_DECREF(written);
        n = PyLong_AsSsize_t(wanted) > size ? PyLong_FromSsize_t(size) : Py_NewRef(wanted);
    }
    if (n != NULL) {
        plain = method_call(&state->decrypt, state->names[READ], (PyObject *[]){ssl, n}, 2);
    }
    if (plain == NULL) {
        plain = after_error(engine, state->names[READ_FAILED], NULL, n != NULL ? n : wanted);
    } else {
        PyObject *tag = slot(maker, engine, TAG);
        Py_ssize_t longer = size - (PyBytes_CheckExact(plain) ? PyBytes_GET_SIZE(plain) : 0);
        if (tag == NULL || !PyLong_CheckExact(tag) || PyLong_AsSsize_t(tag) != longer) {
            Py_SETREF(plain, call_by_name(engine, state->names[MORE], plain, n, NULL));
        }
    }
    Py_XDECREF(n);
    Py_DECREF(ssl);
    Py_DECREF(incoming);
    if (unlock(maker, engine) < 0) {
        Py_CLEAR(plain);
    }
    return plain;
}

/* Engine.seal(). Return the records. Any error makes the engine fail, as in engine_open(). */
static PyObject *
engine_seal(Maker *maker, PyObject *engine, PyObject *data, uint32_t size)
{
    State *state = maker->state;
    PyObject *outgoing = slot(maker, engine, OUTGOING), *ssl = slot(maker, engine, SSL);
    if (size > RECORD) {
        return call_by_name(engine, state->names[SEAL], data, NULL, NULL);
    }
    lock_take(maker, engine, ENGINE_FREE);
    Py_INCREF(outgoing);
    Py_INCREF(ssl);
    PyObject *records = NULL;
    PyObject *written = method_call(&state->encrypt, state->names[WRITE], (PyObject *[]){ssl, data}, 2);
    if (written != NULL) {
        put(maker, engine, SEALED_BYTES, written);
        put(maker, engine, HELD, state->zero);
        put(maker, engine, PENDING, Py_False);
        Py_DECREF(written);
        records = method_call(&state->get, state->names[READ], (PyObject *[]){outgoing}, 1);
    }
    if (records == NULL) {
        records = after_error(engine, state->names[WRITE_FAILED], data, NULL);
    }
    Py_DECREF(ssl);
    Py_DECREF(outgoing);
    if (unlock(maker, engine) < 0) {
        Py_CLEAR(records);
    }
    return records;
}

PySendResult
transfer_finish(Transfer *transfer, PyObject *value, PyObject **result)
{
    transfer->phase = DONE;
    Py_CLEAR(transfer->inner);
    Py_CLEAR(transfer->argument);
    if (transfer->lane != NULL && leave(transfer) < 0) {
        Py_CLEAR(value);
    }
    *result = value;
    return value != NULL ? PYGEN_RETURN : PYGEN_ERROR;
}

/* Go on with an operation in Python. It gives the lane back, if we hold it. Steals the reference. */
static PySendResult
replace(Transfer *transfer, PyObject *op, PyObject **result)
{
    PyObject *steps = steps_of(op, transfer->maker->state->names[AWAIT]);
    if (steps == NULL) {
        return transfer_finish(transfer, NULL, result);
    }
    Py_CLEAR(transfer->lane);
    transfer->replaced = true;
    Py_XSETREF(transfer->inner, steps);
    PyObject *value;
    PySendResult outcome = PyIter_Send(steps, Py_None, &value);
    return transfer_advance(transfer, outcome, value, result);
}

PyObject *
transfer_in_python(const Transfer *transfer)
{
    PyObject *const *names = transfer->maker->state->names;
    PyObject *stream = transfer->stream, *argument = transfer->argument, *lane = transfer->lane;
    if (sends(transfer)) {
        return call_by_name(stream, names[SENDALL], argument, NULL, NULL);
    }
    if (transfer->maker->way == RECEIVES) {
        return call_by_name(stream, names[RECEIVE], argument, Py_None, lane);
    }
    PyObject *size = PyLong_FromUnsignedLong(transfer->size), *op = NULL;
    if (size != NULL && lane != NULL) {
        op = call_by_name(stream, names[RECEIVE], size, argument, lane);
    } else if (size != NULL) {
        op = call_by_name(stream, names[RECEIVE_INTO], argument, size, NULL);
    }
    Py_XDECREF(size);
    return op;
}

/* Begin an operation of the stream below, and make its first step. */
static PySendResult
begin(Transfer *transfer, PyObject *name, PyObject *argument, PyObject **result)
{
    PyObject *sock = Py_XNewRef(slot(transfer->maker, transfer->stream, SOCK)), *steps = NULL;
    if (sock == NULL) {
        PyErr_SetString(PyExc_AttributeError, "this stream has no `sock`");
    } else {
        steps = steps_of(call_by_name(sock, name, argument, NULL, NULL), transfer->maker->state->names[AWAIT]);
        Py_DECREF(sock);
    }
    PyObject *value = NULL;
    PySendResult outcome = PYGEN_ERROR;
    if (steps != NULL) {
        Py_XSETREF(transfer->inner, steps);
        outcome = PyIter_Send(steps, Py_None, &value);
    }
    return transfer_advance(transfer, outcome, value, result);
}

/* Receive ciphertext, or leave it to Python if there is anything else to do. The lane is held. */
static PySendResult
fill(Transfer *transfer, PyObject **result)
{
    Maker *maker = transfer->maker;
    PyObject *stream = transfer->stream, *engine = engine_of(maker, stream);
    if (engine == NULL || slot(maker, stream, FLOWING) != Py_True || slot(maker, engine, HUNGRY) != Py_True ||
        slot(maker, engine, PENDING) != Py_False || !is_empty_bytes(slot(maker, stream, UNSENT))) {
        return replace(transfer, transfer_in_python(transfer), result);
    }
    return begin(transfer, maker->state->names[RECV], maker->state->room, result);
}

/* Return what the receive returns. Steals the reference to the data. */
static PyObject *
delivered(Transfer *transfer, PyObject *plain)
{
    if (transfer->maker->way == RECEIVES) {
        return plain;
    }
    Py_buffer room; /* asked for again, since foreign code may have released the view */
    PyObject *count = NULL;
    if (PyObject_GetBuffer(transfer->argument, &room, PyBUF_WRITABLE) == 0) {
        Py_ssize_t size = PyBytes_CheckExact(plain) ? PyBytes_GET_SIZE(plain) : 0;
        if (size > 0 && size <= room.len) {
            memcpy(room.buf, PyBytes_AS_STRING(plain), (size_t)size);
        }
        PyBuffer_Release(&room);
        count = PyLong_FromSsize_t(size);
    }
    Py_DECREF(plain);
    return count;
}

static PySendResult
received(Transfer *transfer, PyObject *data, PyObject **result)
{
    Maker *maker = transfer->maker;
    PyObject *engine = Py_XNewRef(engine_of(maker, transfer->stream)), *plain = NULL;
    if (engine == NULL) {
        PyErr_SetString(PyExc_AttributeError, "this stream has lost its engine");
    } else {
        PyObject *most = Py_NewRef(transfer->argument);
        if (maker->way == RECEIVES_INTO) {
            Py_SETREF(most, PyLong_FromUnsignedLong(transfer->size));
        }
        plain = most != NULL ? engine_open(maker, engine, data, most) : NULL;
        Py_XDECREF(most);
        Py_DECREF(engine);
    }
    Py_DECREF(data);
    if (plain == NULL) {
        return transfer_advance(transfer, PYGEN_ERROR, NULL, result);
    }
    if (plain != Py_None) {
        return transfer_finish(transfer, delivered(transfer, plain), result);
    }
    Py_DECREF(plain);
    if (slot(maker, transfer->lane, WAITING) != Py_None && wake(maker, transfer->lane) < 0) {
        return transfer_advance(transfer, PYGEN_ERROR, NULL, result);
    }
    return fill(transfer, result);
}

/* All records have left. */
static PySendResult
sent(Transfer *transfer, PyObject *nothing, PyObject **result)
{
    Maker *maker = transfer->maker;
    PyObject *stream = transfer->stream;
    PyObject *engine = engine_of(maker, stream);
    PyObject *sealed = engine != NULL ? slot(maker, engine, SEALED_BYTES) : NULL;
    Py_DECREF(nothing);
    put(maker, stream, UNSENT, maker->state->empty);
    if (sealed != NULL && PyLong_AsSsize_t(sealed) != (Py_ssize_t)transfer->size) {
        PyObject *name = maker->state->names[SENDALL];
        PyObject *op = call_by_name(stream, name, transfer->argument, transfer->lane, sealed);
        return replace(transfer, op, result);
    }
    return transfer_finish(transfer, Py_NewRef(Py_None), result);
}

/* Keep of the records what has not left when `error` ended the send below. In C, no signal handler can raise before
   this is done: records that leave twice would break the stream. */
static void
keep_unsent(const Transfer *transfer, PyObject *error)
{
    const Maker *maker = transfer->maker;
    PyObject *records = slot(maker, transfer->stream, UNSENT);
    PyObject *count = PyObject_GetAttr(error, maker->state->names[BYTES_SENT]);
    Py_ssize_t sent = count != NULL && PyLong_Check(count) ? PyLong_AsSsize_t(count) : 0;
    PyErr_Clear();
    Py_XDECREF(count);
    if (records == NULL || !PyBytes_CheckExact(records) || sent <= 0 || sent > PyBytes_GET_SIZE(records)) {
        return;
    }
    PyObject *rest = PySequence_GetSlice(records, sent, PyBytes_GET_SIZE(records));
    PyErr_Clear();
    if (rest != NULL) {
        put(maker, transfer->stream, UNSENT, rest);
        Py_DECREF(rest);
    }
}

/* An exception has ended the receive or the send; it is set. */
static PySendResult
failed(Transfer *transfer, PyObject **result)
{
    Maker *maker = transfer->maker;
    State *state = maker->state;
    Py_CLEAR(transfer->inner);
    if (transfer->lane == NULL || (!sends(transfer) && !PyErr_ExceptionMatches(PyExc_Exception))) {
        return transfer_finish(transfer, NULL, result);
    }
    PyObject *error = error_take();
    if (sends(transfer)) {
        keep_unsent(transfer, error);
    }
    PyObject *op = call_by_name(transfer->stream, state->names[sends(transfer) ? SEND_FAILED : RECEIVE_FAILED], error,
                                NULL, NULL);
    if (!sends(transfer)) {
        Py_DECREF(error);
        return replace(transfer, op, result); /* it may send an alert, and raises the error */
    }
    if (op != NULL) {
        Py_DECREF(op);
        error_put(error);
    } else {
        Py_DECREF(error);
    }
    return transfer_finish(transfer, NULL, result);
}

PySendResult
transfer_advance(Transfer *transfer, PySendResult outcome, PyObject *value, PyObject **result)
{
    if (outcome == PYGEN_NEXT) {
        transfer->phase = SUSPENDED;
        *result = value;
        return PYGEN_NEXT;
    }
    if (transfer->replaced) {
        return transfer_finish(transfer, outcome == PYGEN_RETURN ? value : NULL, result);
    }
    if (outcome == PYGEN_ERROR) {
        return failed(transfer, result);
    }
    return sends(transfer) ? sent(transfer, value, result) : received(transfer, value, result);
}

/* Keep the buffer or the data where it is, with as many bytes as now. Return false if it has changed too much. */
static bool
hold(Transfer *transfer)
{
    if (transfer->maker->way == RECEIVES || PyBytes_CheckExact(transfer->argument)) {
        return true;
    }
    PyObject *view = PyMemoryView_FromObject(transfer->argument);
    if (view == NULL) {
        PyErr_Clear(); /* Python raises it again */
        return false;
    }
    const Py_buffer *bytes = PyMemoryView_GET_BUFFER(view);
    bool is_usual = PyBuffer_IsContiguous(bytes, 'C') && bytes->ndim == 1 && bytes->format != NULL &&
                    strcmp(bytes->format, "B") == 0 && bytes->len > 0 &&
                    (sends(transfer) ? bytes->len <= BLOCK : !bytes->readonly);
    if (!is_usual) {
        Py_DECREF(view);
        return false;
    }
    if (sends(transfer) || (Py_ssize_t)transfer->size > bytes->len) {
        transfer->size = (uint32_t)bytes->len;
    }
    Py_SETREF(transfer->argument, view);
    return true;
}

/* Take the lane, if this is the usual case. */
static bool
enter(Transfer *transfer)
{
    Maker *maker = transfer->maker;
    PyObject *stream = transfer->stream, *engine = engine_of(maker, stream);
    PyObject *lane = slot(maker, stream, sends(transfer) ? SENDING : RECEIVING);
    if (engine == NULL || lane == NULL || !Py_IS_TYPE(lane, maker->state->lane_type) ||
        slot(maker, stream, FLOWING) != Py_True || !is_free(maker, lane, FREE) ||
        !is_empty_bytes(slot(maker, stream, UNSENT))) {
        return false;
    }
    if (!sends(transfer)) {
        if (slot(maker, engine, HUNGRY) != Py_True || slot(maker, engine, PENDING) != Py_False) {
            return false;
        }
    } else if (!is_free(maker, engine, ENGINE_FREE) || slot(maker, engine, FAILURE) != Py_None ||
               slot(maker, engine, ENDED) != Py_False || !is_empty_tuple(slot(maker, engine, MADE)) ||
               slot(maker, engine, OUTGOING) == NULL || slot(maker, engine, SSL) == NULL) {
        return false;
    }
    lock_take(maker, lane, FREE);
    transfer->lane = Py_NewRef(lane);
    return true;
}

PySendResult
transfer_start(Transfer *transfer, PyObject **result)
{
    Maker *maker = transfer->maker;
    transfer->phase = RUNNING;
    if (!hold(transfer) || !enter(transfer)) {
        return replace(transfer, transfer_in_python(transfer), result);
    }
    if (!sends(transfer)) {
        return fill(transfer, result);
    }
    PyObject *engine = Py_NewRef(slot(maker, transfer->stream, ENGINE));
    put(maker, engine, SEALED_BYTES, maker->state->zero);
    PyObject *records = engine_seal(maker, engine, transfer->argument, transfer->size);
    Py_DECREF(engine);
    if (records == NULL) {
        return transfer_advance(transfer, PYGEN_ERROR, NULL, result);
    }
    put(maker, transfer->stream, UNSENT, records);
    PySendResult outcome = begin(transfer, maker->state->names[SENDALL_BELOW], records, result);
    Py_DECREF(records);
    return outcome;
}

int
transfer_become_python(Transfer *transfer)
{
    Maker *maker = transfer->maker;
    transfer->inner = steps_of(transfer_in_python(transfer), maker->state->names[AWAIT]);
    if (transfer->inner == NULL) {
        transfer->phase = DONE;
        return -1;
    }
    transfer->replaced = true;
    return 0;
}
