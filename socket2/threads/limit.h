/* An operation under a timeout: structs, and its steps.

   Knows the slots of a Patience, and of what a deadline depends on, by name. */

#ifndef SOCKET2_LIMIT_H
#define SOCKET2_LIMIT_H

#include "../../pollers/standin.h"
#include "delegation.h"

/* Where the Stepper keeps the thread that a step runs in this OS thread; NULL outside of steps. A step sets it. */
extern _Thread_local PyObject **running_thread __attribute__((tls_model("initial-exec")));

/* The slots of a Thread; from CREW on those of a Scheduler; from KNOWN on of its Interruptions; USELESS of its Timers;
   from DUE on those of a Patience. */
enum {
    LIMIT_SCHEDULER,
    LIMIT_CREW,
    LIMIT_INTERRUPTIONS,
    LIMIT_NOW,
    LIMIT_TIMERS,
    LIMIT_KNOWN,
    LIMIT_RAISED,
    LIMIT_USELESS,
    LIMIT_DUE,
    LIMIT_ERROR,
    LIMIT_EXPIRED,
    LIMIT_ITS_TIMERS,
    LIMIT_QUEUED,
    LIMIT_SECONDS,
    LIMIT_SINCE,
    LIMIT_THREAD,
    LIMIT_SLOTS
};

enum { LIMIT_AWAIT, LIMIT_BEGIN, LIMIT_CLOSE, LIMIT_ENDED_BY, LIMIT_GIVE_UP, LIMIT_LEAVE, LIMIT_THROW, LIMIT_NAMES };

/* What the operations of a module share. Its state begins with this. */
typedef struct {
    PyTypeObject *limited_type;
    PyTypeObject *thread_type;
    PyTypeObject *classes[3]; /* Scheduler, Interruptions, Timers */
    Py_ssize_t offsets[LIMIT_SLOTS];
    PyObject *names[LIMIT_NAMES];
    PyObject *monotonic; /* time.monotonic() */
    struct Limited *free; /* dead operations for reuse, linked by `patience` */
    int free_count;
} Limits;

/* The decorator's object. It makes a Limited, or calls the function in Python. */
typedef struct {
    StandIn standin;
    Limits *limits;
    PyTypeObject *owner; /* the class whose method this is; NULL until the class is made */
} Limiter;

typedef struct Limited {
    PyObject_HEAD
    Limiter *limiter;
    PyObject *patience;
    PyObject *inner;  /* the operation, then its steps, or those of the limit in Python */
    PyObject *thread; /* that awaits it; strong while armed */
    PyObject *since;  /* the scheduler's interruptions.raised when it began */
    double due;
    Phase phase;
    bool armed;    /* its patience has been entered */
    bool replaced; /* by the limit in Python */
    bool excused;
} Limited;

/* Make the first step. */
PySendResult limited_start(Limited *op, PyObject **result);

/* Go on after a step of what is limited. Steals the reference to `value`. */
PySendResult limited_advance(Limited *op, PySendResult outcome, PyObject *value, PyObject **result);

/* End with a value, or with the exception that is set if it is NULL. Steals the reference. */
PySendResult limited_finish(Limited *op, PyObject *value, PyObject **result);

/* Let the method in Python do it, from the start. Return -1 with an exception. */
int limited_become_python(Limited *op);

#endif
