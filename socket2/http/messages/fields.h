/* The lines of a head as names and values, in C. */

#ifndef SOCKET2_FIELDS_H
#define SOCKET2_FIELDS_H

#include "../../../pollers/cpython.h"

/* Return the fields of checked lines as a list of pairs: names in lower case, and values without blanks around them. A
   line without a colon is no field. */
PyObject *fields_of(PyObject *block);

#endif
