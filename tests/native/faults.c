/* A library to preload: accept4(2) first fails with the errno numbers that FAULTS_ACCEPT4 lists, one per call, and
   reports this on stderr. After that it makes the system call. */

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
