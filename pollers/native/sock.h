/* The standard library's socket objects, and the ends of descriptors. */

#ifndef POLLERS_NATIVE_SOCK_H
#define POLLERS_NATIVE_SOCK_H

#include "handle.h"

/* Take from Python what is needed of its sockets. */
int socks_learn(State *state);

/* Return the handle's socket object. */
PyObject *handle_sock(Handle *handle);

/* Make a socket object for an open descriptor, which is the object's from then on. */
PyObject *sock_of(State *state, int fd);

/* Return a socket object for another descriptor of the same socket. */
PyObject *sock_of_duplicate(Handle *handle);

/* Take the descriptor out of a socket object, which would otherwise close it. */
void sock_drop(State *state, PyObject *sock);

/* A connection that begins to wait gives up the socket object that was made to set it up, so that an idle one has not
   to pay for a setsockopt() at its start. Only the first, and only when nobody else holds it. */
void sock_give_up(Handle *handle);

/* Close the handle's socket, whose descriptor was `fd`; the descriptor only while it is of that socket. Does not wait. */
int sock_close(Handle *handle, int fd);

/* What tells the socket behind a descriptor from all others: most of a number that no other of this machine has had, or
   where there is none the inode's. -1 and errno: there is no socket. */
int sock_identity(int fd, uint32_t *identity);

/* Whether the descriptor `fd`, which is or was the handle's, still leads to its socket: nobody else has closed it. */
bool sock_is_ours(Handle *handle, int fd);

/* Close a socket object of our own making, whose descriptor nobody else knows. */
void sock_discard(State *state, PyObject *sock);

/* Close a socket that was just accepted and that nobody gets. Leaves the exception that is set. */
void descriptor_drop(int fd);

#endif
