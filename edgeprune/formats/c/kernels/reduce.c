#include "ep.h"
#include "view.h"

/* Reductions of every channel to one number. */

/* The largest, or the sum times `scale`, of a channel's elements at `taps`. */
EP_KERNEL void ep_gather_max(
    const int32_t *taps, int32_t count, int32_t channels, int32_t in_plane, const float *in, float *out, int32_t stride
) {
    for (int32_t c = 0; c < channels; c++) {
        const float *from = in + (ptrdiff_t)c * in_plane;
        float held = from[taps[0]];
        for (int32_t k = 1; k < count; k++) {
            const float x = from[taps[k]];
            held = x > held ? x : held;
        }
        out[(ptrdiff_t)c * stride] = held;
    }
}

/* The mean over the view's last three axes; the first is the channels'. */
EP_KERNEL void ep_mean(const ep_view *v, float scale, const float *in, float *out) {
    for (int32_t c = 0; c < v->size[0]; c++) {
        float total = 0.0f;
        for (int32_t z = 0; z < v->size[1]; z++) {
            for (int32_t y = 0; y < v->size[2]; y++) {
                const float *from = in + (ptrdiff_t)c * v->in[0] + (ptrdiff_t)z * v->in[1] + (ptrdiff_t)y * v->in[2];
                float parts[4] = {0.0f, 0.0f, 0.0f, 0.0f};
                int32_t i = 0;
                for (; i + 4 <= v->size[3]; i += 4) {
                    for (int j = 0; j < 4; j++) {
                        parts[j] += from[(ptrdiff_t)(i + j) * v->in[3]];
                    }
                }
                for (; i < v->size[3]; i++) {
                    parts[0] += from[(ptrdiff_t)i * v->in[3]];
                }
                total += (parts[0] + parts[1]) + (parts[2] + parts[3]);
            }
        }
        out[(ptrdiff_t)c * v->out[0]] = total * scale;
    }
}

/* Means over windows that divide each of the last three axes of `in` into as many places as `out` has there; or their largest. */
EP_INLINE void ep_adaptive_all(const int largest, const ep_view *v, const int32_t *places, const float *in, float *out) {
    for (int32_t c = 0; c < v->size[0]; c++) {
        for (int32_t z = 0; z < places[0]; z++) {
            const int32_t z0 = z * v->size[1] / places[0], z1 = ((z + 1) * v->size[1] + places[0] - 1) / places[0];
            for (int32_t y = 0; y < places[1]; y++) {
                const int32_t y0 = y * v->size[2] / places[1], y1 = ((y + 1) * v->size[2] + places[1] - 1) / places[1];
                for (int32_t x = 0; x < places[2]; x++) {
                    const int32_t x0 = x * v->size[3] / places[2], x1 = ((x + 1) * v->size[3] + places[2] - 1) / places[2];
                    float held = largest ? -FLT_MAX : 0.0f;
                    for (int32_t i = z0; i < z1; i++) {
                        for (int32_t j = y0; j < y1; j++) {
                            const float *row = in + (ptrdiff_t)c * v->in[0] + (ptrdiff_t)i * v->in[1] + (ptrdiff_t)j * v->in[2];
                            for (int32_t k = x0; k < x1; k++) {
                                const float e = row[(ptrdiff_t)k * v->in[3]];
                                held = !largest ? held + e : e > held ? e : held;
                            }
                        }
                    }
                    const float count = largest ? 1.0f : (float)((z1 - z0) * (y1 - y0) * (x1 - x0));
                    out[(ptrdiff_t)c * v->out[0] + (ptrdiff_t)z * v->out[1] + (ptrdiff_t)y * v->out[2] + (ptrdiff_t)x * v->out[3]] =
                        held / count;
                }
            }
        }
    }
}

EP_KERNEL void ep_adaptive(const ep_view *v, const int32_t *places, const float *in, float *out) {
    ep_adaptive_all(0, v, places, in, out);
}

EP_KERNEL void ep_adaptive_max(const ep_view *v, const int32_t *places, const float *in, float *out) {
    ep_adaptive_all(1, v, places, in, out);
}

/* One number for all elements that `over` walks, from each place that `v` walks. */
#define EP_REDUCE(name, start, step, end)                                                                                           \
    EP_KERNEL void name(const ep_view *v, const ep_view *over, float scale, const float *in, float *out) {                          \
        (void)scale;                                                                                                                \
        EP_EACH(v) {                                                                                                                \
            for (int32_t i3 = 0; i3 < v->size[3]; i3++) {                                                                           \
                const float *from = in + EP_AT(v, in) + (ptrdiff_t)i3 * v->in[3];                                                   \
                float held = (start);                                                                                               \
                for (int32_t a = 0; a < over->size[0]; a++) {                                                                       \
                    for (int32_t b = 0; b < over->size[1]; b++) {                                                                   \
                        for (int32_t c = 0; c < over->size[2]; c++) {                                                               \
                            const float *row =                                                                                      \
                                from + (ptrdiff_t)a * over->in[0] + (ptrdiff_t)b * over->in[1] + (ptrdiff_t)c * over->in[2];        \
                            for (int32_t d = 0; d < over->size[3]; d++) {                                                           \
                                const float x = row[(ptrdiff_t)d * over->in[3]];                                                    \
                                held = (step);                                                                                      \
                            }                                                                                                       \
                        }                                                                                                           \
                    }                                                                                                               \
                }                                                                                                                   \
                out[EP_AT(v, out) + (ptrdiff_t)i3 * v->out[3]] = (end);                                                             \
            }                                                                                                                       \
        }                                                                                                                           \
    }

EP_REDUCE(ep_reduce_sum, 0.0f, held + x, held * scale)
EP_REDUCE(ep_reduce_max, *from, x > held ? x : held, held)
EP_REDUCE(ep_reduce_min, *from, x < held ? x : held, held)
