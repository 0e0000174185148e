/* Runs one C model on an emulated Cortex-M without an operating system: the start-up code, and what c_runner.c is on Linux.

   Over semihosting it reads the model's inputs as float32 from the file `inputs`, writes the first run's outputs to `outputs`, then
   counts the instructions of EP_RUNS runs and writes the number to `counted`: qemu's -icount shift=0 makes an instruction last a
   nanosecond, and the board's SysTick counts one in EP_TICK of them.

   The build defines EP_HEADER, EP_RUN, EP_ARENA, EP_SEVERAL (0 or 1), EP_INPUTS and EP_OUTPUTS: the numbers of floats. */
#include <stddef.h>
#include <stdint.h>

#include EP_HEADER

#define EP_RUNS 16
#define EP_TICK 40 /* 25 MHz */
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

static const size_t input_sizes[] = {EP_INPUTS}, output_sizes[] = {EP_OUTPUTS};
static float input_values[EP_INPUT_FLOATS], output_values[EP_OUTPUT_FLOATS];
static unsigned char arena[EP_ARENA];
static volatile uint32_t wraps;

extern char ep_stack[];
void ep_start(void);
void ep_tick(void);
void ep_fault(void);

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    ep_stack, (void *)ep_start, (void *)ep_fault, (void *)ep_fault, (void *)ep_fault, (void *)ep_fault, (void *)ep_fault, 0, 0, 0, 0,
    (void *)ep_fault, (void *)ep_fault, 0, (void *)ep_fault, (void *)ep_tick,
};

static int ask(int operation, const void *arguments) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void leave(int status) {
    const uint32_t arguments[2] = {0x20026, (uint32_t)status}; /* the application is done */
    ask(0x20, arguments);
    for (;;) continue;
}

static int open_file(const char *name, size_t length, int mode) {
    const uintptr_t arguments[3] = {(uintptr_t)name, (uintptr_t)mode, length};
    int file = ask(0x01, arguments);
    if (file < 0) leave(2);
    return file;
}

/* Both give the number of bytes that are left to do. */
static void transfer(int operation, int file, void *data, size_t bytes) {
    const uintptr_t arguments[3] = {(uintptr_t)file, (uintptr_t)data, bytes};
    if (ask(operation, arguments)) leave(3);
}

static void close_file(int file) {
    const uintptr_t arguments[1] = {(uintptr_t)file};
    ask(0x02, arguments);
}

void ep_tick(void) { wraps++; }

void ep_fault(void) { leave(4); }

static int run(void) {
#if EP_SEVERAL
    const float *in[COUNT(input_sizes)];
    float *out[COUNT(output_sizes)];
    size_t i, at;
    for (i = at = 0; i < COUNT(input_sizes); at += input_sizes[i++]) in[i] = input_values + at;
    for (i = at = 0; i < COUNT(output_sizes); at += output_sizes[i++]) out[i] = output_values + at;
    return EP_RUN(in, out, arena);
#else
    return EP_RUN(input_values, output_values, arena);
#endif
}

/* Ticks so far, of a counter of 24 bits that falls. */
static uint64_t ticks(void) {
    uint32_t before, value;
    do {
        before = wraps;
        value = REGISTER(0xE000E018);
    } while (before != wraps);
    return (uint64_t)before * 0x1000000u + (0xFFFFFFu - value);
}

static void count(void) {
    char digits[21];
    size_t at = sizeof digits;
    uint64_t start, found;
    int i, file;
    REGISTER(0xE000E014) = 0xFFFFFF;
    REGISTER(0xE000E018) = 0;
    REGISTER(0xE000E010) = 7; /* on, by the processor's clock, with its interrupt */
    while (!REGISTER(0xE000E018)) continue; /* it is zero until it has begun */
    start = ticks();
    for (i = 0; i < EP_RUNS; i++) run();
    found = (ticks() - start) * EP_TICK / EP_RUNS;
    do {
        digits[--at] = (char)('0' + found % 10);
        found /= 10;
    } while (found);
    file = open_file("counted", 7, 4);
    transfer(0x05, file, digits + at, sizeof digits - at);
    close_file(file);
}

void ep_start(void) {
    int file;
    REGISTER(0xE000ED88) |= 0xF00000; /* the floating-point unit is off until it is asked for */
    __asm__ volatile("dsb\n\tisb");
    file = open_file("inputs", 6, 1);
    transfer(0x06, file, input_values, sizeof input_values);
    close_file(file);
    if (run()) leave(5);
    file = open_file("outputs", 7, 5);
    transfer(0x05, file, output_values, sizeof output_values);
    close_file(file);
    count();
    leave(0);
}
