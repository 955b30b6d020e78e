/* The load generator for echo servers, over TLS: needs --certificate FILE, the server's certificate. */
#define TRANSPORT "tls_transport.h"
#include "load.c"
