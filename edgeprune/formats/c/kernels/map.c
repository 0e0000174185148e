#include "ep.h"
#include "view.h"

#include <math.h>

/* One function of each element; `a` and `b` are its settings where it has any. */
#define EP_MAP(name, expression)                                                                                                    \
    EP_KERNEL void name(const ep_view *v, float a, float b, const float *in, float *out) {                                          \
        (void)a, (void)b;                                                                                                           \
        EP_EACH(v) {                                                                                                                \
            const float *from = in + EP_AT(v, in);                                                                                  \
            float *to = out + EP_AT(v, out);                                                                                        \
            for (int32_t i = 0; i < v->size[3]; i++) {                                                                              \
                const float x = from[(ptrdiff_t)i * v->in[3]];                                                                      \
                to[(ptrdiff_t)i * v->out[3]] = (expression);                                                                        \
            }                                                                                                                       \
        }                                                                                                                           \
    }

EP_INLINE float ep_sigmoid_of(float x) {
    /* exp of a negative number only: no overflow at either end. */
    const float small = expf(-fabsf(x));
    return x >= 0.0f ? 1.0f / (1.0f + small) : small / (1.0f + small);
}

EP_INLINE float ep_softplus_of(float x) { return (x > 0.0f ? x : 0.0f) + log1pf(expf(-fabsf(x))); }

EP_MAP(ep_map_relu, x > 0.0f ? x : 0.0f)
EP_MAP(ep_map_relu6, ep_clamp(x, 0.0f, 6.0f))
EP_MAP(ep_map_clip, ep_clamp(x, a, b))
EP_MAP(ep_map_leaky_relu, x >= 0.0f ? x : a * x)
EP_MAP(ep_map_elu, x > 0.0f ? x : a * expm1f(x))
EP_MAP(ep_map_sigmoid, ep_sigmoid_of(x))
EP_MAP(ep_map_hard_sigmoid, ep_clamp(x / 6.0f + 0.5f, 0.0f, 1.0f))
EP_MAP(ep_map_tanh, tanhf(x))
EP_MAP(ep_map_silu, x * ep_sigmoid_of(x))
EP_MAP(ep_map_hard_swish, x * ep_clamp(x / 6.0f + 0.5f, 0.0f, 1.0f))
EP_MAP(ep_map_mish, x * tanhf(ep_softplus_of(x)))
EP_MAP(ep_map_softplus, ep_softplus_of(x))
EP_MAP(ep_map_gelu, x * 0.5f * (1.0f + erff(x * 0.707106781f)))
EP_MAP(ep_map_gelu_tanh, 0.5f * x * (1.0f + tanhf(0.797884561f * (x + 0.044715f * x * x * x))))
EP_MAP(ep_map_abs, fabsf(x))
EP_MAP(ep_map_neg, -x)
EP_MAP(ep_map_exp, expf(x))
EP_MAP(ep_map_sqrt, sqrtf(x))
EP_MAP(ep_map_reciprocal, 1.0f / x)
EP_MAP(ep_map_pow, powf(x, a))
EP_MAP(ep_map_log, logf(x))
EP_MAP(ep_map_erf, erff(x))
EP_MAP(ep_map_sin, sinf(x))
EP_MAP(ep_map_cos, cosf(x))
EP_MAP(ep_map_floor, floorf(x))
EP_MAP(ep_map_round, rintf(x))
EP_MAP(ep_map_sign, (float)((x > 0.0f) - (x < 0.0f)))
EP_MAP(ep_map_threshold, x > a ? x : b)
EP_MAP(ep_map_softsign, x / (1.0f + fabsf(x)))
EP_MAP(ep_map_hard_shrink, fabsf(x) > a ? x : 0.0f)
EP_MAP(ep_map_soft_shrink, x > a ? x - a : x < -a ? x + a : 0.0f)
