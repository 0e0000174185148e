#include "ep.h"
#include "view.h"

/* A function of an element x of `in` and an element y of `other`. */
#define EP_BINARY(name, expression)                                                                                                 \
    EP_KERNEL void name(const ep_view *v, ep_act act, const float *in, const float *other, float *out) {                            \
        EP_EACH(v) {                                                                                                                \
            const float *from = in + EP_AT(v, in), *second = other + EP_AT(v, other);                                               \
            float *to = out + EP_AT(v, out);                                                                                        \
            for (int32_t i = 0; i < v->size[3]; i++) {                                                                              \
                const float x = from[(ptrdiff_t)i * v->in[3]], y = second[(ptrdiff_t)i * v->other[3]];                              \
                to[(ptrdiff_t)i * v->out[3]] = ep_apply(act, (expression));                                                         \
            }                                                                                                                       \
        }                                                                                                                           \
    }

EP_BINARY(ep_add, x + y)
EP_BINARY(ep_mul, x *y)
EP_BINARY(ep_div, x / y)
EP_BINARY(ep_min, x < y ? x : y)
EP_BINARY(ep_max, x > y ? x : y)
/* x where it is positive, x * y elsewhere. */
EP_BINARY(ep_prelu, x >= 0.0f ? x : x * y)

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
