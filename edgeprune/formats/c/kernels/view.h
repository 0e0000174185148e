/* Elements of up to four axes, each axis so many floats from one to the next. */
#ifndef EP_VIEW_H
#define EP_VIEW_H

#include "ep.h"

typedef struct {
    int32_t size[4];
    int32_t in[4], other[4], out[4];
} ep_view;

/* Runs the statement that follows for every place of the first three axes; EP_AT: floats to it. */
#define EP_EACH(v)                                                                                                                  \
    for (int32_t i0 = 0; i0 < (v)->size[0]; i0++)                                                                                   \
        for (int32_t i1 = 0; i1 < (v)->size[1]; i1++)                                                                               \
            for (int32_t i2 = 0; i2 < (v)->size[2]; i2++)

#define EP_AT(s, axes) ((ptrdiff_t)i0 * (s)->axes[0] + (ptrdiff_t)i1 * (s)->axes[1] + (ptrdiff_t)i2 * (s)->axes[2])

#endif
