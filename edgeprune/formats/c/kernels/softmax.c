#include "ep.h"
#include "view.h"

#include <math.h>

/* Over the view's last axis; with `log`, the logarithm of it. */
EP_KERNEL void ep_softmax(const ep_view *v, int32_t log, const float *in, float *out) {
    EP_EACH(v) {
        const float *from = in + EP_AT(v, in);
        float *to = out + EP_AT(v, out);
        const ptrdiff_t next = v->in[3], step = v->out[3];
        float largest = from[0], total = 0.0f;
        for (int32_t i = 1; i < v->size[3]; i++) {
            largest = from[i * next] > largest ? from[i * next] : largest;
        }
        for (int32_t i = 0; i < v->size[3]; i++) {
            to[i * step] = from[i * next] - largest;
            total += expf(to[i * step]);
        }
        const float shift = log ? logf(total) : 0.0f;
        for (int32_t i = 0; i < v->size[3]; i++) {
            to[i * step] = log ? to[i * step] - shift : expf(to[i * step]) / total;
        }
    }
}
