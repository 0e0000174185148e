#include "ep.h"

/* Planes for kernels that read a window: copies with a border, and for strides, every stride-th place by itself.

   Made plane p holds, of channel channels[p], the places phase + i * stride of each axis; what lies between and around is `fill`. */
typedef struct {
    const uint16_t *channels;
    const uint8_t *phases; /* per made plane: (z * stride[1] + y) * stride[2] + x; NULL: all 0 */
    int32_t planes;
    int32_t size[3];   /* of the input, its last axis last */
    int32_t stride[3]; /* how many places further the next one is */
    int32_t in_plane, in_slab, in_pitch;
    int32_t front; /* floats of border before the first made plane */
    int32_t plane, slab, pitch;
    float fill;
} ep_planes;

EP_KERNEL void ep_split(const ep_planes *s, const float *in, float *out) {
    const int32_t step = s->stride[2];
    float *to = out;
    for (float *end = out + s->front; to < end; to++) {
        *to = s->fill;
    }
    for (int32_t p = 0; p < s->planes; p++) {
        const int32_t phase = s->phases ? s->phases[p] : 0;
        const int32_t x0 = phase % step, y0 = phase / step % s->stride[1], z0 = phase / step / s->stride[1];
        const int32_t count = (s->size[2] - x0 + step - 1) / step;
        const float *channel = in + (ptrdiff_t)s->channels[p] * s->in_plane;
        float *const plane = out + s->front + (ptrdiff_t)p * s->plane;
        for (int32_t z = z0, slabs = 0; z < s->size[0]; z += s->stride[0], slabs++) {
            float *const slab = plane + (ptrdiff_t)slabs * s->slab;
            for (; to < slab; to++) {
                *to = s->fill;
            }
            for (int32_t y = y0, rows = 0; y < s->size[1]; y += s->stride[1], rows++) {
                const float *from = channel + (ptrdiff_t)z * s->in_slab + (ptrdiff_t)y * s->in_pitch + x0;
                float *const row = slab + (ptrdiff_t)rows * s->pitch;
                for (; to < row; to++) {
                    *to = s->fill;
                }
                if (step == 1) {
                    for (int32_t x = 0; x < count; x++) {
                        to[x] = from[x];
                    }
                } else if (step == 2) {
                    for (int32_t x = 0; x < count; x++) {
                        to[x] = from[2 * x];
                    }
                } else {
                    for (int32_t x = 0; x < count; x++) {
                        to[x] = from[x * step];
                    }
                }
                to += count;
            }
        }
        for (float *end = plane + s->plane; to < end; to++) {
            *to = s->fill;
        }
    }
}
