#include "ep.h"

#include <math.h>

/* Recurrent layers over a sequence from a state of zeros. `driven`[steps][gates * units] is what the inputs give already. */
typedef struct {
    const float *weight, *bias; /* of the recurrence: [gates * units][units] */
    int32_t steps, units, reverse;
} ep_cells;

EP_INLINE float ep_gate(float x) {
    const float small = expf(-fabsf(x));
    return x >= 0.0f ? 1.0f / (1.0f + small) : small / (1.0f + small);
}

/* What the recurrence adds to row `row`. */
EP_INLINE float ep_fed(const ep_cells *c, const float *state, int32_t row) {
    float sum = c->bias[row];
    for (int32_t i = 0; i < c->units; i++) {
        sum += c->weight[(ptrdiff_t)row * c->units + i] * state[i];
    }
    return sum;
}

/* Gates in the order input, forget, cell, output. `memory` has room for two floats a unit. */
EP_KERNEL void ep_lstm(const ep_cells *c, const float *driven, float *out, float *memory) {
    float *const state = memory, *const cell = memory + c->units;
    ep_zero(memory, 2 * (ptrdiff_t)c->units);
    for (int32_t step = 0; step < c->steps; step++) {
        const ptrdiff_t t = c->reverse ? c->steps - 1 - step : step;
        const float *x = driven + t * 4 * c->units;
        float *to = out + t * c->units;
        for (int32_t u = 0; u < c->units; u++) {
            const float i = ep_gate(x[u] + ep_fed(c, state, u));
            const float f = ep_gate(x[c->units + u] + ep_fed(c, state, c->units + u));
            const float g = tanhf(x[2 * c->units + u] + ep_fed(c, state, 2 * c->units + u));
            const float o = ep_gate(x[3 * c->units + u] + ep_fed(c, state, 3 * c->units + u));
            cell[u] = f * cell[u] + i * g;
            to[u] = o * tanhf(cell[u]);
        }
        for (int32_t u = 0; u < c->units; u++) {
            state[u] = to[u];
        }
    }
}

/* Gates in the order reset, update, new. `memory` has room for one float a unit. */
EP_KERNEL void ep_gru(const ep_cells *c, const float *driven, float *out, float *memory) {
    float *const state = memory;
    ep_zero(memory, c->units);
    for (int32_t step = 0; step < c->steps; step++) {
        const ptrdiff_t t = c->reverse ? c->steps - 1 - step : step;
        const float *x = driven + t * 3 * c->units;
        float *to = out + t * c->units;
        for (int32_t u = 0; u < c->units; u++) {
            const float r = ep_gate(x[u] + ep_fed(c, state, u));
            const float z = ep_gate(x[c->units + u] + ep_fed(c, state, c->units + u));
            const float n = tanhf(x[2 * c->units + u] + r * ep_fed(c, state, 2 * c->units + u));
            to[u] = (1.0f - z) * n + z * state[u];
        }
        for (int32_t u = 0; u < c->units; u++) {
            state[u] = to[u];
        }
    }
}

/* Row i of the table for every number i of the input; a number beyond it is taken as the nearest one there is. */
EP_KERNEL void ep_embedding(const float *table, int32_t rows, int32_t width, int32_t count, const float *in, float *out) {
    for (int32_t i = 0; i < count; i++) {
        const float last = (float)(rows - 1);
        const int32_t row = in[i] > 0.0f ? (in[i] < last ? (int32_t)in[i] : rows - 1) : 0;
        for (int32_t j = 0; j < width; j++) {
            out[(ptrdiff_t)i * width + j] = table[(ptrdiff_t)row * width + j];
        }
    }
}
