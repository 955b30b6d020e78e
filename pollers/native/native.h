/* What the parts of the native poller know of each other.

   A poller leads from descriptors to handles; a handle has two ways, reading and writing, and each way at most one
   operation; an operation is the awaitable that a waiter steps. attempts.c makes the system calls, addresses.c makes
   addresses. Everything here runs with the GIL held, unless it says otherwise, and it is the GIL that protects it: the
   module does not declare itself safe without. Where an attempt lets the GIL go, for a call that copies much or waits
   for a disk, its operation is RUNNING: nobody else ends it, and a cancel or a close of its handle waits until it is over. */

#ifndef POLLERS_NATIVE_H
#define POLLERS_NATIVE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* The two ways of a handle; they index its arrays. */
enum { READING, WRITING, WAYS };

/* The states of a way, as pollers/operation.py has them. */
enum {
    IDLE = 0,
    OFFERED = 1,
    PARKED = 2,
    FINISHED = 8,
    CLOSED = 16,
    FORKED = 32,
    FAILED = 64,
    PASSING = 128, /* not attempted yet: others first */
    FOR_GOOD = CLOSED | FORKED, /* what an operation's end leaves */
};

/* Bits of Handle.armed: what epoll watches; DRAINS: a short receive has emptied the socket (attempts.py); CLOSE_LATE: the
   handle was closed in the middle of an attempt, and its descriptor is to be closed after that; STREAM: a stream socket;
   ENDED, TOLD: a receive has returned its end, a send has raised why it ended (attempts.py); DETACHED: its socket lives on
   behind another descriptor. */
enum {
    WATCHED_IN = EPOLLIN,
    WATCHED_OUT = EPOLLOUT,
    WATCHED = EPOLLIN | EPOLLOUT,
    DRAINS = 2,
    CLOSE_LATE = 8,
    STREAM = 16,
    ENDED = 32,
    TOLD = 64,
    DETACHED = 128,
};

/* As many as Handle has room for. */
#define OUTSIDE_MAX 15
#define FAMILY_MAX 63

/* Operations that may finish at once, one after the other, before the next one lets other threads run first. */
#define STREAK_MAX 64

/* Room for one event per connection that is ready, on the stack of poll(). */
#define EVENTS_MAX 256

/* Receives of no more than this go through the poller's spare bytes object, so that their result has its exact size
   without a second allocation, and a wait for more than there is costs no memory. They keep the GIL. */
#define SPARE_SIZE ((Py_ssize_t)1 << 16)

/* When poll() has received so many bytes, it leaves what else has come to the steps of those who wait for it. */
#define RECEIVED_MAX (64 << 10)

typedef struct Poller Poller;
typedef struct Handle Handle;
typedef struct Writing Writing;
typedef struct Operation Operation;

/* Names of attributes, made once: the interpreter finds methods by the identity of their names. */
typedef enum {
    NAME_CLOSED_MARK,
    NAME_IO_REFS,
    NAME_ATTACH,
    NAME_BYTES_SENT,
    NAME_CLOSE,
    NAME_CONNECT_EX,
    NAME_FAMILY,
    NAME_FILENO,
    NAME_PROTO,
    NAME_RECVFROM,
    NAME_RECVFROM_INTO,
    NAME_SENDTO,
    NAME_SETBLOCKING,
    NAME_TYPE,
    NAMES,
} Name;

/* The module's state. No C global holds an object: there may be several interpreters. */
typedef struct {
    PyTypeObject *poller_type;
    PyTypeObject *handle_type;
    PyTypeObject *writing_type;
    PyTypeObject *operation_type;
    PyObject *closed_error;
    PyObject *busy_error;
    PyObject *exhausted_error;
    PyObject *unsupported_error;
    PyObject *stats_class;
    PyTypeObject *socket_class; /* socket.socket, in Python */
    PyTypeObject *socket_base;  /* _socket.socket, in C */
    PyObject *base_accept, *base_close, *base_detach; /* methods of that */
    PyObject *fileno_only;   /* ("fileno",): the keywords for it */
    PyObject *spare_stop;    /* a StopIteration for when there is no memory for one; NULL once used, for a while */
    PyObject *names[NAMES];
    Poller *pollers;         /* all there are, for the fork hook; they leave when they die */
    Operation *free;         /* dead operations, to be used again; linked by `owner` */
    int free_count;
} State;

struct Poller {
    PyObject_HEAD
    PyObject *module;        /* whose state is `state`; kept to the end */
    State *state;
    PyObject *weakrefs;
    Poller *next, *previous; /* in State.pollers */

    Handle **handles;        /* by descriptor; strong, NULL where nothing is attached */
    int handles_size;
    int attached;
    Handle *finished_first;  /* handles with a way that poll() is to return; each is a strong reference */
    Handle *finished_last;
    PyObject *kept;          /* {handle: [(handle, address)]}: accepted, and taken by nobody yet; or NULL */

    PyObject *spare;         /* a bytes object that small receives go through; ours alone, or NULL */
    PyObject *host;          /* the text of host_address: many connections come from few addresses; or NULL */
    unsigned char host_address[16];
    int host_family;

    Py_ssize_t polls, events, wakeups;
    Py_ssize_t received;     /* bytes, since poll() had its events */
    int epoll_fd, wake_receiver, wake_sender;
    pid_t pid;
    int waiting;             /* how many are in epoll_wait, without the GIL */
    bool woken, shut, forked, shared;
};

/* A socket. It is its own reading direction, so an idle connection needs no object for that: handle.reading is the
   handle. The writing direction is a small object that is there while somebody looks at it. */
struct Handle {
    PyObject_HEAD
    Poller *poller;          /* strong; never NULL, not even when garbage is cleared: operations rely on it */
    PyObject *sock;          /* the standard library's socket, made when it is asked for; or NULL */
    Writing *writing;        /* borrowed; it takes itself away when it dies; or NULL */
    Handle *next_finished;
    PyObject *waiter[WAYS];  /* who waits, or NULL */
    Operation *operation[WAYS]; /* borrowed; it takes itself away when it dies; NULL when the way is free */
    int fd;                  /* negative: closed or detached; with CLOSE_LATE the complement of the descriptor */
    uint32_t identity;       /* tells its socket from others that have or had the same descriptor */
    uint8_t state[WAYS];
    bool ready[WAYS];        /* false: known to block until the next event */
    uint8_t armed;
    uint8_t failure;         /* the errno of what has ended the connection, once the kernel has told; or 0 */
    uint16_t finished : 2;   /* bits 1 << way: poll() is to return it */
    uint16_t outside : 4;    /* attempts that have let the GIL go; no more than OUTSIDE_MAX */
    uint16_t look_again : 1; /* when one of them is over, both ways are to be tried again */
    uint16_t family : 6;     /* FAMILY_MAX: that or a higher one */
    uint16_t queued : 1;     /* in the poller's list of finished ones */
    uint16_t made_sock : 1;  /* we have made a socket object once */
    uint16_t first_sock : 1; /* and that is the one here */
};

struct Writing {
    PyObject_HEAD
    Handle *handle;
};

typedef enum {
    RECV,
    RECV_INTO,
    RECVFROM,
    RECVFROM_INTO,
    ACCEPT,
    WAIT_READABLE,
    NOTHING,                 /* a receive of no bytes: `argument` is its result */
    SEND,
    SENDALL,
    SENDTO,
    SENDFILE,
    CONNECT,
    WAIT_WRITABLE,
} Kind;

typedef enum { NEW, RUNNING, SUSPENDED, DONE } Phase;

/* More than any memory holds; a larger number of bytes is taken for it. */
#define BYTES_MAX (((Py_ssize_t)1 << 52) - 1)

/* What `yield from` and `await` take. It is most of what a parked thread costs, hence the bits. */
struct Operation {
    PyObject_HEAD
    Handle *handle;          /* strong, until it dies */
    PyObject *owner;         /* kept alive until the end; or NULL. With `asked` the tuple of it and an error */
    PyObject *argument;      /* then its result, or with FAILED the error */
    uint64_t count : 52;     /* bytes to receive; SENDALL: bytes sent; CONNECT: whether it chooses the local port */
    uint64_t kind : 4;
    uint64_t phase : 2;
    uint64_t asked : 1;      /* to end with that error, if the attempt that is under way does not end it */
    uint64_t tried : 1;      /* RUNNING: it is not its own step that makes the attempt */
    uint64_t begun : 1;      /* CONNECT: connect(2) was called; SENDALL: `argument` is a view of our own */
};

/* DRAINED: a success after which there is nothing left. AGAIN: a part of it is done, and others should run. */
typedef enum { SUCCESS, DRAINED, BLOCKED, FAILURE, AGAIN } Outcome;

/* Operations that finished at once, in a row, in this OS thread: it runs one waiter at a time. */
extern _Thread_local Py_ssize_t streak __attribute__((tls_model("initial-exec")));

static inline int way_of(Kind kind) { return kind >= SEND ? WRITING : READING; }

/* attempts.c: a success sets *result, FAILURE an exception. An event that comes meanwhile sets handle->ready again. */
Outcome attempt(Operation *op, PyObject **result);

/* endings.c */
int pending_error(Handle *handle);
int handle_told(Handle *handle, int number);
Outcome handle_failed(Handle *handle, int way, int number);
Outcome handle_failed_in_python(Handle *handle, int way);
Outcome handle_ended(Handle *handle);
void handle_look_again(Handle *handle);
void handle_begin_anew(Handle *handle);
PyObject *told_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs);

/* addresses.c */
bool family_is_known(int family);
PyObject *make_address(Poller *poller, const struct sockaddr_storage *address, socklen_t length);

/* operation.c */
extern PyType_Spec operation_spec;
PyObject *operation_new(Handle *handle, Kind kind, PyObject *argument, Py_ssize_t count, PyObject *owner);
const char *operation_name(Kind kind);
void operations_free(State *state);
void operations_reserve_stop(State *state);
void operation_let_go(Operation *op);
int operation_ask(Operation *op, PyObject *error);
PyObject *operation_take_asked(Operation *op);

/* handle.c */
extern PyType_Spec handle_spec, writing_spec;
Handle *handle_new(Poller *poller, int fd, uint32_t identity, PyObject *sock, int family, bool drains);
PyObject *handle_direction(Handle *handle, int way);
PyObject *handle_describe(Handle *handle, int way);
int handle_close(Handle *handle);
void handle_close_late(Handle *handle);
void handle_displace(Handle *handle);
void handle_refuse(Handle *handle, int way);
void handle_release(Handle *handle, int way);
void handle_end(Handle *handle, int way, PyObject *error);
bool handle_leave(Handle *handle);
bool handle_try_again(Handle *handle, int way, bool queue, bool *broken);
void handle_keep(Handle *handle, PyObject *accepted);

/* sock.c */
int socks_learn(State *state);
PyObject *handle_sock(Handle *handle);
PyObject *sock_of(State *state, int fd);
PyObject *sock_of_duplicate(Handle *handle);
void sock_drop(State *state, PyObject *sock);
void sock_give_up(Handle *handle);
int sock_close(Handle *handle, int fd);
int sock_identity(int fd, uint32_t *identity);
bool sock_is_ours(Handle *handle, int fd);
void sock_discard(State *state, PyObject *sock);
void descriptor_drop(int fd);

/* calls.c */
#define FOR_EACH_CALL(do)                                                                                             \
    do(recv, "Receive 1 to n bytes; b'' at the end of the stream.")                                                   \
    do(recv_into, "Receive into a buffer; return how many bytes.")                                                    \
    do(recvfrom, "Receive a datagram and its sender.")                                                                \
    do(recvfrom_into, "Receive a datagram into a buffer; return its length there and its sender.")                    \
    do(accept, "Take a connection: its handle and the peer's address.")                                               \
    do(wait_readable, "Wait until a receive or an accept would not block.")                                           \
    do(send, "Send some of the data; return how many bytes the kernel took.")                                         \
    do(sendall, "Send all of the data.")                                                                              \
    do(sendto, "Send one datagram to a numeric address.")                                                             \
    do(sendfile, "Send up to count bytes of a file from an offset on.")                                               \
    do(connect, "Connect to a numeric address.")                                                                      \
    do(wait_writable, "Wait until a send would not block.")
#define DECLARE_CALL(name, text) PyObject *name##_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
FOR_EACH_CALL(DECLARE_CALL)

/* poller.c */
extern PyType_Spec poller_spec;
Handle *poller_admit(Poller *poller, int fd, PyObject *sock, int family, bool drains);
int poller_arm(Poller *poller, Handle *handle, int bit);
void poller_arm_again(Poller *poller, Handle *handle);
void poller_forget(Poller *poller, Handle *handle);
void poller_queue(Poller *poller, Handle *handle, int way);
void poller_finish(Poller *poller, Handle *handle, int way);
void poller_forked_error(Poller *poller);
void pollers_after_fork(State *state);

/* module.c */
PyObject *call(State *state, PyObject *object, Name name, PyObject *first, PyObject *second, PyObject *third);
PyObject *error_take(void);
void error_put(PyObject *error);
int argument_count(const char *name, Py_ssize_t given, Py_ssize_t least, Py_ssize_t most);
PyObject *taken_from(const char *module, const char *name);

#endif
