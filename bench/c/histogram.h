/* Counts durations in buckets of less than 1 % width, in constant memory: no allocation per request.
 *
 * Knows numbers only. Log-linear: 128 equal buckets for every power of two, as in HdrHistogram.
 */
#include <stdint.h>

enum { BUCKET_BITS = 7, BUCKETS_PER_OCTAVE = 1 << BUCKET_BITS, OCTAVES = 64 - BUCKET_BITS + 1 };

struct histogram {
    uint64_t count, max;
    uint64_t buckets[OCTAVES * BUCKETS_PER_OCTAVE];
};

static unsigned bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < BUCKETS_PER_OCTAVE)
        return (unsigned)value;
    shift = 63u - (unsigned)__builtin_clzll(value) - BUCKET_BITS;
    return (shift + 1) * BUCKETS_PER_OCTAVE + (unsigned)((value >> shift) - BUCKETS_PER_OCTAVE);
}

static double middle_of(unsigned bucket)
{
    unsigned octave = bucket / BUCKETS_PER_OCTAVE, step = bucket % BUCKETS_PER_OCTAVE;

    if (octave == 0)
        return step;
    return ((double)(step + BUCKETS_PER_OCTAVE) + 0.5) * (double)(1ull << (octave - 1));
}

static void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->buckets[bucket_of(value)]++;
    if (value > histogram->max)
        histogram->max = value;
}

/* Returns the value that the given share of all values, 0 to 1, does not exceed; 0 if there are none. */
static double histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t rank = (uint64_t)(share * (double)histogram->count), seen = 0;

    for (unsigned bucket = 0; bucket < OCTAVES * BUCKETS_PER_OCTAVE; bucket++) {
        seen += histogram->buckets[bucket];
        if (seen > rank) {
            double middle = middle_of(bucket);
            return middle < (double)histogram->max ? middle : (double)histogram->max;
        }
    }
    return (double)histogram->max;
}
