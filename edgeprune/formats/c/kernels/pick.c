#include "ep.h"
#include "view.h"

/* Floats to the current place of the view's first three axes, the place along `axis` replaced by `at`. */
#define EP_PICKED(v, axis, at)                                                                                                      \
    ((ptrdiff_t)((axis) == 0 ? (at) : i0) * (v)->in[0] + (ptrdiff_t)((axis) == 1 ? (at) : i1) * (v)->in[1] +                        \
     (ptrdiff_t)((axis) == 2 ? (at) : i2) * (v)->in[2])

/* Along `axis`, output place j is input place index[j], or zero where that is -1. */
EP_KERNEL void ep_select(const ep_view *v, int32_t axis, const int32_t *index, const float *in, float *out) {
    EP_EACH(v) {
        float *to = out + EP_AT(v, out);
        if (axis == 3) {
            const float *from = in + EP_AT(v, in);
            for (int32_t i = 0; i < v->size[3]; i++) {
                to[(ptrdiff_t)i * v->out[3]] = index[i] < 0 ? 0.0f : from[(ptrdiff_t)index[i] * v->in[3]];
            }
        } else {
            const int32_t at = index[axis == 0 ? i0 : axis == 1 ? i1 : i2];
            const float *from = in + EP_PICKED(v, axis, at < 0 ? 0 : at);
            for (int32_t i = 0; i < v->size[3]; i++) {
                to[(ptrdiff_t)i * v->out[3]] = at < 0 ? 0.0f : from[(ptrdiff_t)i * v->in[3]];
            }
        }
    }
}

/* Along `axis`, output place j is 1 - share[j] of input place low[j] and share[j] of input place high[j]. */
EP_KERNEL void ep_blend(
    const ep_view *v, int32_t axis, const int32_t *low, const int32_t *high, const float *share, const float *in, float *out
) {
    EP_EACH(v) {
        float *to = out + EP_AT(v, out);
        for (int32_t i = 0; i < v->size[3]; i++) {
            const int32_t j = axis == 0 ? i0 : axis == 1 ? i1 : axis == 2 ? i2 : i;
            const ptrdiff_t from = EP_PICKED(v, axis, low[j]) + (ptrdiff_t)(axis == 3 ? low[j] : i) * v->in[3];
            const ptrdiff_t next = EP_PICKED(v, axis, high[j]) + (ptrdiff_t)(axis == 3 ? high[j] : i) * v->in[3];
            to[(ptrdiff_t)i * v->out[3]] = in[from] * (1.0f - share[j]) + in[next] * share[j];
        }
    }
}
