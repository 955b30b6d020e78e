/* Addresses in the form that the standard library uses, made from the kernel's.

   Knows an engine, which remembers the last host. Must not know handles or operations. */

#include "sockaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

bool
family_is_known(int family)
{
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

/* Return the text of an internet address. The engine remembers the last one: many connections of one proxy share it. */
static PyObject *
host_text(Engine *engine, int family, const void *address, size_t size)
{
    char text[INET6_ADDRSTRLEN];
    if (engine->host != NULL && engine->host_family == family && memcmp(engine->host_address, address, size) == 0) {
        return Py_NewRef(engine->host);
    }
    if (inet_ntop(family, address, text, sizeof text) == NULL) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    PyObject *host = PyUnicode_FromString(text);
    if (host != NULL) {
        engine->host_family = family;
        memcpy(engine->host_address, address, size);
        Py_XSETREF(engine->host, Py_NewRef(host));
    }
    return host;
}

static PyObject *
make_inet(Engine *engine, const struct sockaddr_in *address)
{
    PyObject *host = host_text(engine, AF_INET, &address->sin_addr, sizeof address->sin_addr);
    return host == NULL ? NULL : Py_BuildValue("Ni", host, (int)ntohs(address->sin_port));
}

static PyObject *
make_inet6(Engine *engine, const struct sockaddr_in6 *address)
{
    PyObject *host = host_text(engine, AF_INET6, &address->sin6_addr, sizeof address->sin6_addr);
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
    if (size > 0 && address->sun_path[0] == '\0') { /* an abstract name of Linux, which may contain zeros */
        return PyBytes_FromStringAndSize(address->sun_path, (Py_ssize_t)size);
    }
    return PyUnicode_DecodeFSDefaultAndSize(address->sun_path, (Py_ssize_t)strnlen(address->sun_path, size));
}

PyObject *
make_address(Engine *engine, const struct sockaddr_storage *address, socklen_t length)
{
    if (length == 0) {
        Py_RETURN_NONE;
    }
    switch (address->ss_family) {
    case AF_INET:
        return make_inet(engine, (const struct sockaddr_in *)address);
    case AF_INET6:
        return make_inet6(engine, (const struct sockaddr_in6 *)address);
    case AF_UNIX:
        return make_unix((const struct sockaddr_un *)address, length);
    default:
        PyErr_Format(PyExc_OSError, "the socket has an address of another family: %d", address->ss_family);
        return NULL;
    }
}
