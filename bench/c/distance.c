/* How far apart two cores are: the time one cache line needs to go there and back, in nanoseconds.
 *
 * Knows threads and atomics only. A request goes from core to core, so its cost depends on this distance. In a
 * virtual machine the distance changes from minute to minute, when the host moves a virtual core. Prints
 * "distance NS", the best of several batches, so that preemption does not count.
 *
 * distance CORE CORE
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TRIPS = 10000, BATCHES = 6 };

static _Alignas(128) atomic_int ball;

static void pin(int core)
{
    cpu_set_t cores;

    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    if (sched_setaffinity(0, sizeof cores, &cores) < 0) {
        perror("sched_setaffinity");
        exit(1);
    }
}

static void hit(int from, int to)
{
    while (atomic_load_explicit(&ball, memory_order_acquire) != from)
        continue;
    atomic_store_explicit(&ball, to, memory_order_release);
}

static void *answer(void *core)
{
    pin(*(int *)core);
    for (int i = 0; i < TRIPS * BATCHES; i++)
        hit(1, 0);
    return NULL;
}

static double batch_ns(void)
{
    struct timespec begun, ended;

    clock_gettime(CLOCK_MONOTONIC, &begun);
    for (int i = 0; i < TRIPS; i++)
        hit(0, 1);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    return ((double)(ended.tv_sec - begun.tv_sec) * 1e9 + (double)(ended.tv_nsec - begun.tv_nsec)) / TRIPS;
}

int main(int argc, char **argv)
{
    int there = argc == 3 ? atoi(argv[2]) : 0;
    double least = 1e18;
    pthread_t other;

    if (argc != 3) {
        fprintf(stderr, "usage: distance CORE CORE\n");
        return 2;
    }
    pin(atoi(argv[1]));
    if (pthread_create(&other, NULL, answer, &there) != 0) {
        fprintf(stderr, "distance: no thread\n");
        return 1;
    }
    for (int i = 0; i < BATCHES; i++) {
        double took = batch_ns();
        least = took < least ? took : least;
    }
    pthread_join(other, NULL);
    printf("distance %.0f\n", least);
    return 0;
}
