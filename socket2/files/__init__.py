"""Files: waiting for any descriptor, pipes and terminals as byte streams, and files on a disk.

A descriptor may be shared with other processes, and so may its O_NONBLOCK flag. So this room never changes the flag of
a descriptor that it was given. It knows what to do when a read would block. It does not know what is written in a file,
or which process is at the other end of a pipe.

Read `waitable` first: waiting for a descriptor that stays somebody else's. `fdstream` makes a byte stream of a
descriptor, and `standard` has the streams that the program was started with. `disk` reads and writes files that cannot
be waited for, in OS threads.
"""
