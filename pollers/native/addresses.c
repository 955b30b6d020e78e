/* Addresses as the standard library has them, from what the kernel writes. */

#include "native.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

/* Other families are left to the standard library's socket. */
bool
family_is_known(int family)
{
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

/* The text of an internet address. The last one is remembered: a thousand connections of one proxy share it. */
static PyObject *
host_text(Poller *poller, int family, const void *address, size_t size)
{
    char text[INET6_ADDRSTRLEN];
    if (poller->host != NULL && poller->host_family == family && memcmp(poller->host_address, address, size) == 0) {
        return Py_NewRef(poller->host);
    }
    if (inet_ntop(family, address, text, sizeof text) == NULL) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    PyObject *host = PyUnicode_FromString(text);
    if (host != NULL) {
        poller->host_family = family;
        memcpy(poller->host_address, address, size);
        Py_XSETREF(poller->host, Py_NewRef(host));
    }
    return host;
}

static PyObject *
make_inet(Poller *poller, const struct sockaddr_in *address)
{
    PyObject *host = host_text(poller, AF_INET, &address->sin_addr, sizeof address->sin_addr);
    return host == NULL ? NULL : Py_BuildValue("Ni", host, (int)ntohs(address->sin_port));
}

static PyObject *
make_inet6(Poller *poller, const struct sockaddr_in6 *address)
{
    PyObject *host = host_text(poller, AF_INET6, &address->sin6_addr, sizeof address->sin6_addr);
    if (host == NULL) {
        return NULL;
    }
    return Py_BuildValue("NiII", host, (int)ntohs(address->sin6_port), (unsigned int)ntohl(address->sin6_flowinfo),
                         (unsigned int)address->sin6_scope_id);
}

static PyObject *
make_unix(const struct sockaddr_un *address, socklen_t length)
{
    size_t offset = offsetof(struct sockaddr_un, sun_path);
    size_t size = length > offset ? length - offset : 0;
    if (size > sizeof address->sun_path) {
        size = sizeof address->sun_path;
    }
    if (size > 0 && address->sun_path[0] == '\0') { /* Linux: an abstract name, which may hold zeros */
        return PyBytes_FromStringAndSize(address->sun_path, (Py_ssize_t)size);
    }
    return PyUnicode_DecodeFSDefaultAndSize(address->sun_path, (Py_ssize_t)strnlen(address->sun_path, size));
}

/* Return the address that the kernel wrote `length` bytes of; None when it told none. */
PyObject *
make_address(Poller *poller, const struct sockaddr_storage *address, socklen_t length)
{
    if (length == 0) {
        Py_RETURN_NONE;
    }
    switch (address->ss_family) {
    case AF_INET:
        return make_inet(poller, (const struct sockaddr_in *)address);
    case AF_INET6:
        return make_inet6(poller, (const struct sockaddr_in6 *)address);
    case AF_UNIX:
        return make_unix((const struct sockaddr_un *)address, length);
    default:
        PyErr_Format(PyExc_OSError, "an address of family %d from a socket of another", address->ss_family);
        return NULL;
    }
}
