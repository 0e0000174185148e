#include "ep.h"
#include "view.h"

#include <math.h>

/* Layer norm over the view's last axis. `absent` channels are part of the statistics though they are not stored. */
typedef struct {
    const float *weight, *bias;
    const uint8_t *counted; /* which channels are part of the statistics; NULL: all */
    int32_t count;          /* of those, the absent ones included */
    int32_t centred;        /* 0: the mean is taken as 0 */
    float eps;
    float absent, absent_mean, absent_spread; /* how many, their mean, their squared distances from it */
} ep_statistics;

EP_KERNEL void ep_layer_norm(const ep_view *v, const ep_statistics *s, const float *in, float *out) {
    EP_EACH(v) {
        const float *from = in + EP_AT(v, in);
        float *to = out + EP_AT(v, out);
        float mean = 0.0f, spread = 0.0f;
        if (s->centred) {
            float total = s->absent * s->absent_mean;
            for (int32_t i = 0; i < v->size[3]; i++) {
                total += s->counted && !s->counted[i] ? 0.0f : from[(ptrdiff_t)i * v->in[3]];
            }
            mean = total / (float)s->count;
        }
        for (int32_t i = 0; i < v->size[3]; i++) {
            const float x = from[(ptrdiff_t)i * v->in[3]] - mean;
            spread += s->counted && !s->counted[i] ? 0.0f : x * x;
        }
        spread += s->absent_spread + s->absent * (s->absent_mean - mean) * (s->absent_mean - mean);
        const float scale = 1.0f / sqrtf(spread / (float)s->count + s->eps);
        for (int32_t i = 0; i < v->size[3]; i++) {
            to[(ptrdiff_t)i * v->out[3]] = (from[(ptrdiff_t)i * v->in[3]] - mean) * scale * s->weight[i] + s->bias[i];
        }
    }
}

/* Each place's channels, the last axis, divided by their length. */
EP_KERNEL void ep_normalize(const ep_view *v, float eps, const float *in, float *out) {
    EP_EACH(v) {
        const float *from = in + EP_AT(v, in);
        float *to = out + EP_AT(v, out);
        float squares = 0.0f;
        for (int32_t i = 0; i < v->size[3]; i++) {
            const float x = from[(ptrdiff_t)i * v->in[3]];
            squares += x * x;
        }
        const float length = sqrtf(squares) > eps ? sqrtf(squares) : eps;
        for (int32_t i = 0; i < v->size[3]; i++) {
            to[(ptrdiff_t)i * v->out[3]] = from[(ptrdiff_t)i * v->in[3]] / length;
        }
    }
}

EP_INLINE float ep_total(const ep_view *v, const float *channel, float mean, int squared) {
    float total = 0.0f;
    for (int32_t z = 0; z < v->size[1]; z++) {
        for (int32_t y = 0; y < v->size[2]; y++) {
            const float *row = channel + (ptrdiff_t)z * v->in[1] + (ptrdiff_t)y * v->in[2];
            float part = 0.0f;
            for (int32_t x = 0; x < v->size[3]; x++) {
                const float d = row[(ptrdiff_t)x * v->in[3]] - mean;
                part += squared ? d * d : d;
            }
            total += part;
        }
    }
    return total;
}

/* Groups of `each` channels, the first axis, over all their places. */
EP_KERNEL void ep_group_norm(
    const ep_view *v, int32_t each, float eps, const float *weight, const float *bias, const float *in, float *out
) {
    const float count = (float)each * (float)v->size[1] * (float)v->size[2] * (float)v->size[3];
    for (int32_t first = 0; first < v->size[0]; first += each) {
        float mean = 0.0f, spread = 0.0f;
        for (int32_t c = first; c < first + each; c++) {
            mean += ep_total(v, in + (ptrdiff_t)c * v->in[0], 0.0f, 0);
        }
        mean /= count;
        for (int32_t c = first; c < first + each; c++) {
            spread += ep_total(v, in + (ptrdiff_t)c * v->in[0], mean, 1);
        }
        const float scale = 1.0f / sqrtf(spread / count + eps);
        for (int32_t c = first; c < first + each; c++) {
            for (int32_t z = 0; z < v->size[1]; z++) {
                for (int32_t y = 0; y < v->size[2]; y++) {
                    for (int32_t x = 0; x < v->size[3]; x++) {
                        const ptrdiff_t from = (ptrdiff_t)c * v->in[0] + (ptrdiff_t)z * v->in[1] + (ptrdiff_t)y * v->in[2] +
                                               (ptrdiff_t)x * v->in[3];
                        const ptrdiff_t to = (ptrdiff_t)c * v->out[0] + (ptrdiff_t)z * v->out[1] + (ptrdiff_t)y * v->out[2] +
                                             (ptrdiff_t)x * v->out[3];
                        out[to] = (in[from] - mean) * scale * weight[c] + bias[c];
                    }
                }
            }
        }
    }
}
