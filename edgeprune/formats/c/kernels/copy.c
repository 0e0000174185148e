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
