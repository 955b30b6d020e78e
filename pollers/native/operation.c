/* Functions on an operation's record that do not depend on who steps or ends it.

   Knows the records of operation and handle. Must not know attempts, waits, or operations as Python objects. */

#include "operation.h"

_Thread_local Py_ssize_t streak;

static const char *const names[] = {
    [RECV] = "recv",
    [RECV_INTO] = "recv_into",
    [RECVFROM] = "recvfrom",
    [RECVFROM_INTO] = "recvfrom_into",
    [ACCEPT] = "accept",
    [WAIT_READABLE] = "wait_readable",
    [NOTHING] = "recv",
    [SEND] = "send",
    [SENDALL] = "sendall",
    [SENDTO] = "sendto",
    [SENDFILE] = "sendfile",
    [CONNECT] = "connect",
    [WAIT_WRITABLE] = "wait_writable",
};

const char *
operation_name(Kind kind)
{
    return names[kind];
}

int
operation_ask(Operation *op, PyObject *error)
{
    if (op->asked) {
        return 0;
    }
    PyObject *pair = PyTuple_Pack(2, op->owner != NULL ? op->owner : Py_None, error);
    if (pair == NULL) {
        return -1;
    }
    op->asked = 1;
    Py_XSETREF(op->owner, pair);
    return 0;
}

PyObject *
operation_take_asked(Operation *op)
{
    if (!op->asked) {
        return NULL;
    }
    PyObject *error = Py_NewRef(PyTuple_GET_ITEM(op->owner, 1));
    op->asked = 0;
    Py_SETREF(op->owner, Py_NewRef(PyTuple_GET_ITEM(op->owner, 0)));
    return error;
}

void
operation_let_go(Operation *op)
{
    op->phase = DONE;
    if (op->tried) {
        return;
    }
    Py_CLEAR(op->argument);
    Py_CLEAR(op->owner);
}
