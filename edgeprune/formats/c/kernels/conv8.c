#include "conv.h"

/* Convolution with steps of 8 bits. `add` is what the sums start from, its channels `add_plane` floats apart; it may be `out`, or
   NULL for zero. `table` has room for the mask. */
EP_KERNEL void ep_conv8(const ep_conv *c, const float *in, const float *add, int32_t add_plane, float *out, float *table) {
    ep_conv_all(8, c, in, add, add_plane, out, (ep_word *)(void *)table);
}
