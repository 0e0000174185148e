#include "ep.h"
#include "view.h"

#include <math.h>

EP_KERNEL void ep_pow(const ep_view *v, ep_act act, const float *in, const float *other, float *out) {
    EP_EACH(v) {
        const float *x = in + EP_AT(v, in), *y = other + EP_AT(v, other);
        float *to = out + EP_AT(v, out);
        for (int32_t i = 0; i < v->size[3]; i++) {
            to[(ptrdiff_t)i * v->out[3]] = ep_apply(act, powf(x[(ptrdiff_t)i * v->in[3]], y[(ptrdiff_t)i * v->other[3]]));
        }
    }
}
