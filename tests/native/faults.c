/* A library to preload.

   accept4(2) first fails with the errno numbers that FAULTS_ACCEPT4 lists, one per call, and reports this on stderr.
   After that it makes the system call.
   FAULTS_SEND names two descriptors. When a send(2) has failed with ECONNRESET, it writes a byte to the first one, and
   returns when it has read one from the second. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *rest;

int
accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    if (rest == NULL) {
        rest = getenv("FAULTS_ACCEPT4");
    }
    if (rest != NULL && *rest != '\0') {
        char *end;
        errno = (int)strtol(rest, &end, 10);
        rest = *end == ',' ? end + 1 : end;
        fprintf(stderr, "accept4: %d\n", errno);
        return -1;
    }
    return (int)syscall(SYS_accept4, fd, address, length, flags);
}

ssize_t
send(int fd, const void *data, size_t size, int flags)
{
    ssize_t sent = syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
    const char *pipes = getenv("FAULTS_SEND");
    int failed, go;
    if (sent < 0 && errno == ECONNRESET && pipes != NULL && sscanf(pipes, "%d,%d", &failed, &go) == 2) {
        char byte = 0;
        if (write(failed, &byte, 1) != 1 || read(go, &byte, 1) != 1) {
            perror("send");
        }
        errno = ECONNRESET;
    }
    return sent;
}
