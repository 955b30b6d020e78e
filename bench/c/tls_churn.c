/* The load generator for short connections, over TLS: needs --certificate FILE, the server's certificate.
 *
 * With --resume, each connection but a client's first one resumes the session of the one before.
 */
#define TRANSPORT "tls_transport.h"
#include "churn.c"
