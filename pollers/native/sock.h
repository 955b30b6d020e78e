/* The standard library's socket objects, and how descriptors are closed. */

#ifndef POLLERS_NATIVE_SOCK_H
#define POLLERS_NATIVE_SOCK_H

#include "handle.h"

/* Get the parts of Python's socket classes that this part needs. */
int socks_learn(State *state);

/* Return the handle's socket object. */
PyObject *handle_sock(Handle *handle);

/* Make a socket object for an open descriptor. The object owns the descriptor then. */
PyObject *sock_of(State *state, int fd);

/* Return a socket object for another descriptor of the same socket. */
PyObject *sock_of_duplicate(Handle *handle);

/* Take the descriptor out of a socket object, which would otherwise close it. */
void sock_drop(State *state, PyObject *sock);

/* Free the handle's socket object when its connection begins to wait, so that an idle connection does not keep an
   object that only a setsockopt() at its start needed. This applies to the first object, and only if nobody else has
   it. */
void sock_give_up(Handle *handle);

/* Close the handle's socket, whose descriptor was `fd`. The descriptor is closed only if it still belongs to that
   socket. Does not wait. */
int sock_close(Handle *handle, int fd);

/* Get a number that tells the socket behind a descriptor from all others: the low bits of SO_COOKIE, or of the inode if
   the kernel has no cookies. -1 and errno if there is no socket. */
int sock_identity(int fd, uint32_t *identity);

/* Return whether the descriptor `fd`, which is or was the handle's, still belongs to its socket. */
bool sock_is_ours(Handle *handle, int fd);

/* Close a socket object that we made and whose descriptor nobody else knows. */
void sock_discard(State *state, PyObject *sock);

/* Close an accepted descriptor that nobody gets. Keeps the current exception. */
void descriptor_drop(int fd);

#endif
