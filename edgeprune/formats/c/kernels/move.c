#include "ep.h"

/* Elements along any number of axes, up to eight. */
typedef struct {
    int32_t axes;
    int32_t size[8], in[8], out[8]; /* floats from one element to the next, axis by axis */
} ep_moves;

/* Copies elements to where other strides put them: permutations, windows, reshapes of what is not in one piece. */
EP_KERNEL void ep_move(const ep_moves *m, const float *in, float *out) {
    int32_t at[8] = {0};
    const int32_t last = m->axes - 1;
    for (;;) {
        for (int32_t i = 0; i < m->size[last]; i++) {
            out[(ptrdiff_t)i * m->out[last]] = in[(ptrdiff_t)i * m->in[last]];
        }
        int32_t axis = last - 1;
        for (; axis >= 0; axis--) {
            in += m->in[axis], out += m->out[axis];
            if (++at[axis] < m->size[axis]) {
                break;
            }
            in -= (ptrdiff_t)m->in[axis] * m->size[axis], out -= (ptrdiff_t)m->out[axis] * m->size[axis];
            at[axis] = 0;
        }
        if (axis < 0) {
            return;
        }
    }
}
