#include "ep.h"

/* Fully connected by nonzero weights. Outputs with equally many weights stand together. */
typedef struct {
    const float *values;    /* output after output */
    const void *columns;    /* per weight: the input it reads, 8, 16 or 32 bits */
    const uint16_t *rows;   /* the outputs, in running order */
    const float *bias;      /* in the same order */
    const uint16_t *groups; /* pairs: how many outputs, how many weights each of them has */
    int32_t group_count;
    int32_t places; /* how often the layer is applied */
    int32_t in_step, out_step;
    int32_t stride; /* floats from one output to the next */
    ep_act act;
} ep_sparse_linear;

EP_INLINE int32_t ep_column(const int bits, const void *columns, ptrdiff_t k) {
    return bits == 8    ? ((const uint8_t *)columns)[k]
           : bits == 16 ? ((const uint16_t *)columns)[k]
                        : ((const int32_t *)columns)[k];
}

EP_INLINE void ep_linear_all(const int bits, const ep_sparse_linear *l, const float *in, float *out) {
    for (int32_t place = 0; place < l->places; place++, in += l->in_step, out += l->out_step) {
        const float *bias = l->bias;
        const uint16_t *row = l->rows;
        ptrdiff_t k = 0;
        for (int32_t g = 0; g < l->group_count; g++) {
            const int32_t weights = l->groups[2 * g + 1];
            for (int32_t left = l->groups[2 * g]; left; left--) {
                float sum = *bias++, second = 0.0f, third = 0.0f, fourth = 0.0f;
                const ptrdiff_t end = k + weights;
                for (; k + 4 <= end; k += 4) {
                    sum += l->values[k] * in[ep_column(bits, l->columns, k)];
                    second += l->values[k + 1] * in[ep_column(bits, l->columns, k + 1)];
                    third += l->values[k + 2] * in[ep_column(bits, l->columns, k + 2)];
                    fourth += l->values[k + 3] * in[ep_column(bits, l->columns, k + 3)];
                }
                for (; k < end; k++) {
                    sum += l->values[k] * in[ep_column(bits, l->columns, k)];
                }
                out[(ptrdiff_t)*row++ * l->stride] = ep_apply(l->act, (sum + second) + (third + fourth));
            }
        }
    }
}

/* The numbers in the names are the bits of a column. */
EP_KERNEL void ep_linear8(const ep_sparse_linear *l, const float *in, float *out) { ep_linear_all(8, l, in, out); }

EP_KERNEL void ep_linear16(const ep_sparse_linear *l, const float *in, float *out) { ep_linear_all(16, l, in, out); }

EP_KERNEL void ep_linear32(const ep_sparse_linear *l, const float *in, float *out) { ep_linear_all(32, l, in, out); }
