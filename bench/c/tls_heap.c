/* How much of its heap a program uses. Preloaded into it, this answers each line on stdin with a line on stdout:
 * `heap BYTES`, what malloc() has given out and not got back.
 *
 * Knows glibc. Private memory says less: it has the gaps between the blocks, too, and these differ from time to time.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void *answer(void *unused)
{
    char line[64];
    while (read(STDIN_FILENO, line, sizeof line) > 0) {
        struct mallinfo2 heap = mallinfo2();
        dprintf(STDOUT_FILENO, "heap %zu\n", heap.uordblks + heap.hblkhd);
    }
    return unused;
}

__attribute__((constructor)) static void begin(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, answer, NULL) != 0)
        perror("pthread_create");
}
