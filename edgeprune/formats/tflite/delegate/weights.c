#include "plan.h"

#include <stdlib.h>
#include <string.h>

static int by_row(const void *a, const void *b) {
    const ep_weight *x = a, *y = b;
    return x->out != y->out ? (x->out > y->out) - (x->out < y->out) : (x->top > y->top) - (x->top < y->top);
}

/* Whether planes are read where they lie: every place of the output is the same place of the source, and no tap leaves the border. */
static int direct(const ep_plan *p, const ep_layer *l, const ep_value *from, const ep_value *to) {
    if (l->down != 1 || l->across != 1 || from->height != to->height || from->width != to->width) {
        return 0;
    }
    for (int i = 0; i < l->count; i++) {
        if (abs(l->weights[i].top) > p->border || abs(l->weights[i].left) > p->border) {
            return 0;
        }
    }
    return 1;
}

typedef struct {
    int begin, count;
} ep_span;

/* Which of the places `first`, first + step, ..., so many of them, lie from 0 up to `size`. */
static ep_span inside(int first, int step, int places, int size) {
    const int begin = first < 0 ? (-first + step - 1) / step : 0;
    int end = first < size ? (size - first + step - 1) / step : 0;
    end = end < places ? end : places;
    return (ep_span){begin, end > begin ? end - begin : 0};
}

int ep_place_weights(const ep_plan *p, ep_layer *l, ep_job *job) {
    const ep_value *from = &p->values[job->from], *to = &p->values[job->to];
    if (direct(p, l, from, to)) {
        for (int i = 0; i < l->count; i++) {
            ep_weight *w = &l->weights[i];
            w->top = w->channel * from->plane + w->top * from->pitch + w->left;
        }
        return 1;
    }
    int rows[2] = {0, 0}, columns[2] = {0, 0};
    for (int i = 0; i < l->count; i++) {
        const int y = ep_floor_div(l->weights[i].top, l->down), x = ep_floor_div(l->weights[i].left, l->across);
        rows[0] = i && rows[0] < y ? rows[0] : y, rows[1] = i && rows[1] > y ? rows[1] : y;
        columns[0] = i && columns[0] < x ? columns[0] : x, columns[1] = i && columns[1] > x ? columns[1] : x;
    }
    if (columns[1] - columns[0] > to->pitch - to->width && to->height > 1) {
        return 0;
    }
    job->down = l->down, job->across = l->across;
    const int height = to->height + rows[1] - rows[0], width = to->width + columns[1] - columns[0];
    job->cut_pitch = to->height > 1 ? to->pitch : width;
    job->cut_plane = ep_rounded(height * job->cut_pitch);
    const int phases = l->down * l->across, channels = from->channels;
    int *number = malloc((size_t)channels * (size_t)phases * sizeof *number);
    job->cuts = malloc(((size_t)channels * (size_t)phases + 1) * sizeof *job->cuts);
    if (!number || !job->cuts) {
        free(number);
        return 0;
    }
    memset(number, -1, (size_t)channels * (size_t)phases * sizeof *number);
    for (int i = 0; i < l->count; i++) {
        ep_weight *w = &l->weights[i];
        const int y = ep_floor_div(w->top, l->down), x = ep_floor_div(w->left, l->across);
        const int row = w->top - y * l->down, column = w->left - x * l->across;
        int *plane = &number[(w->channel * l->down + row) * l->across + column];
        if (*plane < 0) {
            const int top = row + rows[0] * l->down, left = column + columns[0] * l->across;
            const ep_span down = inside(top, l->down, height, from->height), across = inside(left, l->across, width, from->width);
            job->cuts[job->cut_count] = (ep_cut){
                w->channel * from->plane + (top + down.begin * l->down) * from->pitch + left + across.begin * l->across,
                job->cut_count * job->cut_plane + down.begin * job->cut_pitch + across.begin, down.count, across.count
            };
            *plane = job->cut_count++;
        }
        w->top = *plane * job->cut_plane + (y - rows[0]) * job->cut_pitch + x - columns[0];
    }
    free(number);
    job->planes = calloc((size_t)job->cut_count * (size_t)job->cut_plane + (size_t)to->pitch + EP_TILE * EP_GRAIN, sizeof(float));
    return job->planes != NULL;
}

void ep_place_single(const ep_value *from, ep_layer *l) {
    int kept = 0;
    for (int i = 0; i < l->count; i++) {
        ep_weight w = l->weights[i];
        if (w.top >= 0 && w.top < from->height && w.left >= 0 && w.left < from->width) {
            w.top = w.channel * from->plane + w.top * from->pitch + w.left;
            l->weights[kept++] = w;
        }
    }
    l->count = kept;
}

int ep_order_weights(ep_layer *l, ep_job *job, const float *bias) {
    const int outs = job->conv.row_count, n = l->count;
    qsort(l->weights, (size_t)n, sizeof *l->weights, by_row);
    int *begin = calloc((size_t)outs + 1, sizeof *begin);
    float *values = malloc(((size_t)n + 1) * sizeof *values), *biases = malloc((size_t)outs * sizeof *biases);
    int32_t *steps = malloc(((size_t)n + 1) * sizeof *steps), *starts = malloc((size_t)outs * sizeof *starts);
    uint16_t *rows = malloc((size_t)outs * 3 * sizeof *rows);
    job->owned[0] = values, job->owned[1] = steps, job->owned[2] = starts, job->owned[3] = rows, job->owned[4] = biases;
    if (!begin || !values || !biases || !steps || !starts || !rows) {
        free(begin);
        return 0;
    }
    int longest = 0;
    for (int i = 0; i < n; i++) {
        begin[l->weights[i].out + 1]++;
    }
    for (int o = 0; o < outs; o++) {
        longest = ep_most(longest, begin[o + 1]);
        begin[o + 1] += begin[o];
    }
    int done = 0, made = 0, started = 0, largest = 0;
    uint16_t *groups = rows + outs;
    for (int each = 0; each <= longest && longest <= UINT16_MAX; each++) {
        int members = 0;
        for (int o = 0; o < outs; o++) {
            if (begin[o + 1] - begin[o] != each) {
                continue;
            }
            members++;
            rows[done] = (uint16_t)o;
            biases[done++] = bias ? bias[o] : 0.0f;
            for (int k = 0; k < each; k++) {
                const ep_weight *w = &l->weights[begin[o] + k];
                values[made] = w->value;
                steps[made] = job->kind == EP_STEP_VECTOR ? w->top : k + 1 < each ? w[1].top - w->top : 0;
                largest = ep_most(largest, steps[made++]);
            }
            if (each) {
                starts[started++] = l->weights[begin[o]].top;
            }
        }
        if (members) {
            groups[2 * job->conv.group_count] = (uint16_t)members;
            groups[2 * job->conv.group_count++ + 1] = (uint16_t)each;
        }
    }
    free(begin);
    job->weights = n;
    job->bits = largest <= UINT8_MAX ? 8 : largest <= UINT16_MAX ? 16 : 32;
    for (int i = 0; i < n && job->bits < 32; i++) {
        if (job->bits == 8) {
            ((uint8_t *)(void *)steps)[i] = (uint8_t)steps[i];
        } else {
            uint16_t narrow = (uint16_t)steps[i];
            memcpy((char *)steps + 2 * (size_t)i, &narrow, sizeof narrow);
        }
    }
    job->conv.values = values, job->conv.steps = steps, job->conv.starts = starts;
    job->conv.rows = rows, job->conv.bias = biases, job->conv.groups = groups;
    return longest <= UINT16_MAX;
}
