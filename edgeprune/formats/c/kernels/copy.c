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
