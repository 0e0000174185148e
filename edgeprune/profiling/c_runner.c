/* Times one C model: a program of its own, built with the model and run on the device that is measured.

       c_runner INPUTS OUTPUTS WARMUP

   INPUTS holds the model's inputs as float32, one after the other; its outputs of the first run go to OUTPUTS. It says one line of
   JSON when it is warm, then answers every line `run SECONDS MOST` with the nanoseconds of each sample, and every line `repeat RUNS`
   when so many are done, until its input ends. A sample is a run, or as many `together` as the clock is fine enough for.

   The build defines EP_HEADER, EP_RUN, EP_ARENA_BYTES, EP_SEVERAL (0 or 1), EP_INPUTS and EP_OUTPUTS: the numbers of floats.
   With EP_OPS, the number of calls of ep_mark in the model, it answers every line `ops RUNS` with the nanoseconds that so many runs
   spent after each call. */
#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include EP_HEADER

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define WARMUP_NS 500000000LL
#define PATIENCE 10
#define LEAST_SAMPLE_NS 5000
#define MOST_TOGETHER 1000
#ifndef EP_COUNTERS /* of whole processors, in microjoules; AMD's are called the same */
#define EP_COUNTERS "/sys/class/powercap/intel-rapl:%d/energy_uj"
#endif

static const size_t input_sizes[] = {EP_INPUTS}, output_sizes[] = {EP_OUTPUTS};
static float *inputs[COUNT(input_sizes)], *outputs[COUNT(output_sizes)];
static void *arena;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int run(void) {
#if EP_SEVERAL
    return EP_RUN((const float *const *)inputs, outputs, arena);
#else
    return EP_RUN(inputs[0], outputs[0], arena);
#endif
}

#ifdef EP_OPS
static int64_t spent[EP_OPS], last;
static int current = -1;

void ep_mark(int op);
void ep_mark(int op) {
    int64_t t = now();
    if (current >= 0) spent[current] += t - last;
    current = op;
    last = t;
}

static void time_ops(long runs) {
    int i;
    memset(spent, 0, sizeof spent);
    while (runs-- > 0) {
        run();
        ep_mark(-1);
    }
    printf("{\"ops\": [");
    for (i = 0; i < EP_OPS; i++) printf(i ? ",%ld" : "%ld", (long)spent[i]);
    printf("]}\n");
    fflush(stdout);
}
#endif

static int fail(const char *what) {
    printf("{\"error\": \"%s\"}\n", what);
    return 1;
}

/* A line of /proc/self/status in bytes; -1 where the system has none. */
static long memory(const char *name) {
    char line[256];
    long found = -1;
    FILE *status = fopen("/proc/self/status", "r");
    if (!status) return -1;
    while (fgets(line, sizeof line, status))
        if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':') found = strtol(line + strlen(name) + 1, NULL, 10) * 1024;
    fclose(status);
    return found;
}

/* Starts the kernel's count of the peak afresh. */
static int forget_peak(void) {
    FILE *clear = fopen("/proc/self/clear_refs", "w");
    int done = clear && fputs("5", clear) >= 0;
    if (clear) done &= !fclose(clear);
    return done;
}

static int read_inputs(const char *path) {
    size_t i;
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    for (i = 0; i < COUNT(input_sizes); i++) {
        inputs[i] = malloc(input_sizes[i] * sizeof(float));
        if (!inputs[i] || fread(inputs[i], sizeof(float), input_sizes[i], file) != input_sizes[i]) return 0;
    }
    return !fclose(file);
}

static int write_outputs(const char *path) {
    size_t i;
    FILE *file = fopen(path, "wb");
    if (!file) return 0;
    for (i = 0; i < COUNT(output_sizes); i++)
        if (fwrite(outputs[i], sizeof(float), output_sizes[i], file) != output_sizes[i]) return 0;
    return !fclose(file);
}

static void warm_up(long runs) {
    int64_t start = now();
    long done = 0;
    while (runs) {
        int64_t spent;
        run();
        done++;
        spent = now() - start;
        if ((done >= runs && spent >= WARMUP_NS) || spent >= PATIENCE * WARMUP_NS) break;
    }
}

static int64_t sample(long together) {
    int64_t before = now();
    while (together-- > 0) run();
    return now() - before;
}

static long runs_together(void) {
    int64_t least = sample(1);
    int i;
    for (i = 0; i < 2; i++) {
        int64_t one = least < LEAST_SAMPLE_NS ? sample(1) : least;
        if (one < least) least = one;
    }
    if (least * MOST_TOGETHER <= LEAST_SAMPLE_NS) return MOST_TOGETHER;
    return (long)((LEAST_SAMPLE_NS + least - 1) / least);
}

/* Microjoules that all processors have counted up to now; -1 where none does. */
static long long energy(void) {
    char path[64 + sizeof EP_COUNTERS];
    long long found = -1, each;
    int i;
    for (i = 0; i < 8; i++) {
        FILE *counter;
        sprintf(path, EP_COUNTERS, i);
        if (!(counter = fopen(path, "r"))) break;
        if (fscanf(counter, "%lld", &each) == 1) found = (found < 0 ? 0 : found) + each;
        fclose(counter);
    }
    return found;
}

/* Printed when all are taken: printing would push the model out of the caches. */
static void answer(double seconds, long most, long together) {
    int64_t *taken = malloc((size_t)most * sizeof *taken), end;
    long long before = energy(), after;
    long i, count = 0;
    if (!taken) {
        fail("there is no memory for the samples");
        fflush(stdout);
        return;
    }
    end = now() + (int64_t)(seconds * 1e9);
    while (count < most) {
        taken[count++] = sample(together);
        if (now() >= end) break;
    }
    after = energy();
    printf("{\"energy_uj\": %lld, \"samples\": [", before < 0 || after < before ? -1 : after - before);
    for (i = 0; i < count; i++) printf(i ? ",%ld" : "%ld", (long)taken[i]);
    printf("]}\n");
    fflush(stdout);
    free(taken);
}

int main(int count, char **words) {
    int64_t start, loaded, first, clock = -1;
    long before, anonymous, known, together;
    char line[128];
    size_t i;
    if (count != 4) return fail("it takes INPUTS OUTPUTS WARMUP");
    if (!read_inputs(words[1])) return fail("the inputs cannot be read");
    for (i = 0; i < COUNT(output_sizes); i++)
        if (!(outputs[i] = calloc(output_sizes[i], sizeof(float)))) return fail("there is no memory for the outputs");
    known = forget_peak();
    before = memory("VmRSS");
    anonymous = memory("RssAnon");
    start = now();
    if (!(arena = malloc(EP_ARENA_BYTES()))) return fail("there is no memory for the arena");
    loaded = now();
    if (run()) return fail("the model refuses its arguments");
    first = now();
    if (!write_outputs(words[2])) return fail("the outputs cannot be written");
    warm_up(strtol(words[3], NULL, 10));
    together = runs_together();
    for (i = 0; i < 100; i++) {
        int64_t a = now(), b = now();
        if (clock < 0 || b - a < clock) clock = b - a;
    }
    known = known && memory("VmHWM") >= 0 && anonymous >= 0;
    printf("{\"load_ms\": %.6f, \"first_run_ms\": %.6f, \"clock_ms\": %.6f, \"together\": %ld, \"arena_bytes\": %lu, \"memory\": ",
           (double)(loaded - start) / 1e6, (double)(first - loaded) / 1e6, (double)clock / 1e6, together, (unsigned long)EP_ARENA_BYTES());
    if (known)
        printf("{\"peak_bytes\": %ld, \"before_bytes\": %ld, \"increase_bytes\": %ld, \"anonymous_bytes\": %ld, "
               "\"anonymous_increase_bytes\": %ld}}\n",
               memory("VmHWM"), before, memory("VmHWM") - before, memory("RssAnon"), memory("RssAnon") - anonymous);
    else
        printf("null}\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        double seconds;
        long most;
        if (sscanf(line, "run %lf %ld", &seconds, &most) == 2) answer(seconds, most, together);
#ifdef EP_OPS
        if (sscanf(line, "ops %ld", &most) == 1) time_ops(most);
#endif
        if (sscanf(line, "repeat %ld", &most) == 1) {
            while (most-- > 0) run();
            printf("{\"done\": true}\n");
            fflush(stdout);
        }
    }
    return 0;
}
