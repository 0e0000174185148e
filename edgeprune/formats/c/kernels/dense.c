#include "ep.h"

/* Fully connected, every weight there: weight[rows][columns]. */
typedef struct {
    const float *weight, *bias;
    int32_t rows, columns;
    int32_t places; /* how often the layer is applied */
    int32_t in_step, out_step;
    int32_t stride; /* floats from one output to the next */
    ep_act act;
} ep_dense_linear;

EP_INLINE float ep_dot(const float *w, const float *x, int32_t n) {
    ep_vec sum[4] = {EP_ALL(0.0f), EP_ALL(0.0f), EP_ALL(0.0f), EP_ALL(0.0f)};
    int32_t k = 0;
    for (; k + 4 * EP_LANES <= n; k += 4 * EP_LANES) {
        EP_UNROLL for (int j = 0; j < 4; j++) { sum[j] += EP_LOAD(w + k + j * EP_LANES) * EP_LOAD(x + k + j * EP_LANES); }
    }
    for (; k + EP_LANES <= n; k += EP_LANES) {
        sum[0] += EP_LOAD(w + k) * EP_LOAD(x + k);
    }
    float parts[EP_LANES], total = 0.0f;
    EP_STORE(parts, (sum[0] + sum[1]) + (sum[2] + sum[3]));
    for (int j = 0; j < EP_LANES; j++) {
        total += parts[j];
    }
    for (; k < n; k++) {
        total += w[k] * x[k];
    }
    return total;
}

EP_KERNEL void ep_dense(const ep_dense_linear *l, const float *in, float *out) {
    for (int32_t place = 0; place < l->places; place++, in += l->in_step, out += l->out_step) {
        for (int32_t row = 0; row < l->rows; row++) {
            const float sum = l->bias[row] + ep_dot(l->weight + (ptrdiff_t)row * l->columns, in, l->columns);
            out[(ptrdiff_t)row * l->stride] = ep_apply(l->act, sum);
        }
    }
}
