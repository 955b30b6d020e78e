/* The poller as a Python object. */

#ifndef POLLERS_NATIVE_EPOLL_H
#define POLLERS_NATIVE_EPOLL_H

#include "poller.h"

extern PyType_Spec poller_spec;

#endif
