/* The methods of a handle that make operations. */

#ifndef POLLERS_NATIVE_CALLS_H
#define POLLERS_NATIVE_CALLS_H

#include "../cpython.h"

#define FOR_EACH_CALL(do)                                                                                             \
    do(recv, "Receive 1 to n bytes. Returns b'' at the end of the stream.")                                           \
    do(recv_into, "Receive up to n bytes into a buffer. Returns how many; 0 is the end of the stream.")               \
    do(recvfrom, "Receive one datagram. Returns it and its sender's address.")                                        \
    do(recvfrom_into, "Receive one datagram into a buffer. Returns the bytes stored and the sender's address.")       \
    do(accept, "Accept a connection. Returns its handle and the peer's address.")                                     \
    do(wait_readable, "Wait until a receive or an accept would not block.")                                           \
    do(send, "Send some of the data. Returns how many bytes the kernel took.")                                        \
    do(sendall, "Send all of the data.")                                                                              \
    do(sendto, "Send one datagram to a numeric address.")                                                             \
    do(sendfile, "Send up to count bytes of a file, from an offset on.")                                              \
    do(connect, "Connect to a numeric address.")                                                                      \
    do(wait_writable, "Wait until a send would not block.")
#define DECLARE_CALL(name, text) PyObject *name##_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs);
FOR_EACH_CALL(DECLARE_CALL)

#endif
