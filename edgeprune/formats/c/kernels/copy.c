#include "ep.h"
#include "view.h"

EP_KERNEL void ep_fill(float *out, int32_t count, float value) {
    for (int32_t i = 0; i < count; i++) {
        out[i] = value;
    }
}

EP_KERNEL void ep_copy(const ep_view *v, const float *in, float *out) {
    EP_EACH(v) {
        const float *from = in + EP_AT(v, in);
        float *to = out + EP_AT(v, out);
        if (v->in[3] == 1 && v->out[3] == 1) {
            for (int32_t i = 0; i < v->size[3]; i++) {
                to[i] = from[i];
            }
        } else {
            for (int32_t i = 0; i < v->size[3]; i++) {
                to[(ptrdiff_t)i * v->out[3]] = from[(ptrdiff_t)i * v->in[3]];
            }
        }
    }
}

/* Output channel j is input channel index[j], or zero where that is -1. The channels are the view's second axis. */
EP_KERNEL void ep_select(const ep_view *v, const int32_t *index, const float *in, float *out) {
    EP_EACH(v) {
        const int32_t channel = index[i1];
        const float *from = in + (ptrdiff_t)i0 * v->in[0] + (ptrdiff_t)channel * v->in[1] + (ptrdiff_t)i2 * v->in[2];
        float *to = out + EP_AT(v, out);
        for (int32_t i = 0; i < v->size[3]; i++) {
            to[(ptrdiff_t)i * v->out[3]] = channel < 0 ? 0.0f : from[(ptrdiff_t)i * v->in[3]];
        }
    }
}

/* Between two neighbours along the view's second axis: output i is the input's low[i] times 1 - share[i] plus high[i]'s share. */
EP_KERNEL void ep_blend(const ep_view *v, const int32_t *low, const int32_t *high, const float *share, const float *in, float *out) {
    EP_EACH(v) {
        const float *base = in + (ptrdiff_t)i0 * v->in[0] + (ptrdiff_t)i2 * v->in[2];
        const float *from = base + (ptrdiff_t)low[i1] * v->in[1], *next = base + (ptrdiff_t)high[i1] * v->in[1];
        float *to = out + EP_AT(v, out);
        for (int32_t i = 0; i < v->size[3]; i++) {
            const ptrdiff_t k = (ptrdiff_t)i * v->in[3];
            to[(ptrdiff_t)i * v->out[3]] = from[k] * (1.0f - share[i1]) + next[k] * share[i1];
        }
    }
}
