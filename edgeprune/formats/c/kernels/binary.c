#include "ep.h"
#include "view.h"

EP_KERNEL void ep_add(const ep_view *v, ep_act act, const float *in, const float *other, float *out) {
    EP_EACH(v) {
        const float *x = in + EP_AT(v, in), *y = other + EP_AT(v, other);
        float *to = out + EP_AT(v, out);
        for (int32_t i = 0; i < v->size[3]; i++) {
            to[(ptrdiff_t)i * v->out[3]] = ep_apply(act, x[(ptrdiff_t)i * v->in[3]] + y[(ptrdiff_t)i * v->other[3]]);
        }
    }
}

EP_KERNEL void ep_mul(const ep_view *v, ep_act act, const float *in, const float *other, float *out) {
    EP_EACH(v) {
        const float *x = in + EP_AT(v, in), *y = other + EP_AT(v, other);
        float *to = out + EP_AT(v, out);
        for (int32_t i = 0; i < v->size[3]; i++) {
            to[(ptrdiff_t)i * v->out[3]] = ep_apply(act, x[(ptrdiff_t)i * v->in[3]] * y[(ptrdiff_t)i * v->other[3]]);
        }
    }
}

/* x * scale + shift; the view's `other` axes step through both. */
EP_KERNEL void ep_affine(const ep_view *v, ep_act act, const float *scale, const float *shift, const float *in, float *out) {
    EP_EACH(v) {
        const float *x = in + EP_AT(v, in), *s = scale + EP_AT(v, other), *t = shift + EP_AT(v, other);
        float *to = out + EP_AT(v, out);
        for (int32_t i = 0; i < v->size[3]; i++) {
            const ptrdiff_t k = (ptrdiff_t)i * v->other[3];
            to[(ptrdiff_t)i * v->out[3]] = ep_apply(act, x[(ptrdiff_t)i * v->in[3]] * s[k] + t[k]);
        }
    }
}
