/* The plainest loop around a C model: microseconds of a run, the median of batches of a fifth of a millisecond over two seconds.

   The build defines HEADER, RUN, ARENA_BYTES and FLOATS, the larger of the model's input and output; the model has one of each. */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include HEADER

#define BATCH_US 200.0
#define MOST 20000

static float input[FLOATS], output[FLOATS];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void) {
    static double times[MOST];
    void *arena = malloc(ARENA_BYTES());
    double start, end;
    long batch, i;
    int count = 0;
    if (!arena) return 1;
    for (i = 0; i < FLOATS; i++) input[i] = (float)((i * 7919) % 1000) / 1000;
    start = now();
    for (i = 0; now() < start + 5e5; i++) RUN(input, output, arena);
    batch = (long)(BATCH_US * (double)i / (now() - start)) + 1;
    end = now() + 2e6;
    while (now() < end && count < MOST) {
        double before = now();
        for (i = 0; i < batch; i++) RUN(input, output, arena);
        times[count++] = (now() - before) / (double)batch;
    }
    qsort(times, (size_t)count, sizeof *times, by_size);
    printf("%.6f\n", times[count / 2]);
    return 0;
}
