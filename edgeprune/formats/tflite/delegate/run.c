/* The steps of a plan, run. */
#define EP_MODEL
#include "plan.h"

#include "conv16.c"
#include "conv32.c"
#include "conv8.c"
#include "linear.c"

static float *first(const ep_plan *p, int value) { return p->buffers[p->values[value].buffer] + p->values[value].front; }

/* Channels last, as the runtime has them, to planes. */
static void load(const ep_plan *p, const ep_value *v, const float *in) {
    float *const out = p->buffers[v->buffer] + v->front;
    if (v->pitch != v->width) {
        ep_zero(out - v->front, v->floats);
    }
    for (int y = 0; y < v->height; y++) {
        for (int x = 0; x < v->width; x++, in += v->channels) {
            float *to = out + (ptrdiff_t)y * v->pitch + x;
            for (int c = 0; c < v->channels; c++) {
                to[(ptrdiff_t)c * v->plane] = in[c];
            }
        }
    }
}

static void store(const ep_plan *p, const ep_value *v, float *out) {
    const float *const in = p->buffers[v->buffer] + v->front;
    for (int y = 0; y < v->height; y++) {
        for (int x = 0; x < v->width; x++, out += v->channels) {
            const float *from = in + (ptrdiff_t)y * v->pitch + x;
            for (int c = 0; c < v->channels; c++) {
                out[c] = from[(ptrdiff_t)c * v->plane];
            }
        }
    }
}

/* The planes that a strided convolution reads. What lies outside of the map stays the zero that it was made with. */
static void make_cuts(const ep_plan *p, const ep_job *job) {
    const float *const in = first(p, job->from);
    const ptrdiff_t pitch = (ptrdiff_t)job->down * p->values[job->from].pitch;
    const int step = job->across;
    for (int i = 0; i < job->cut_count; i++) {
        const ep_cut *cut = &job->cuts[i];
        const float *from = in + cut->from;
        float *to = job->planes + cut->to;
        for (int row = 0; row < cut->rows; row++, from += pitch, to += job->cut_pitch) {
            if (step == 2) {
                for (int k = 0; k < cut->count; k++) {
                    to[k] = from[2 * k];
                }
            } else {
                for (int k = 0; k < cut->count; k++) {
                    to[k] = from[k * step];
                }
            }
        }
    }
}

static void convolve(const ep_plan *p, const ep_job *job) {
    const ep_value *to = &p->values[job->to];
    float *const out = first(p, job->to);
    const float *in = first(p, job->from), *add = job->add < 0 ? NULL : first(p, job->add);
    const int32_t add_plane = job->add < 0 ? 0 : p->values[job->add].plane;
    if (job->cuts) {
        make_cuts(p, job);
        in = job->planes;
    }
    ep_zero(out - to->front, to->front);
    if (job->bits == 8) {
        ep_conv8(&job->conv, in, add, add_plane, out, p->table);
    } else if (job->bits == 16) {
        ep_conv16(&job->conv, in, add, add_plane, out, p->table);
    } else {
        ep_conv32(&job->conv, in, add, add_plane, out, p->table);
    }
}

static void multiply(const ep_plan *p, const ep_job *job) {
    const ep_conv *c = &job->conv;
    const ep_sparse_linear l = {c->values, c->steps, c->rows, c->bias, c->groups, c->group_count, 1, 0, 0, 1, job->act};
    if (job->bits == 8) {
        ep_linear8(&l, first(p, job->from), first(p, job->to));
    } else if (job->bits == 16) {
        ep_linear16(&l, first(p, job->from), first(p, job->to));
    } else {
        ep_linear32(&l, first(p, job->from), first(p, job->to));
    }
}

static void add_up(const ep_plan *p, const ep_job *job) {
    const ep_value *v = &p->values[job->to];
    const float *a = first(p, job->from) - v->front, *b = job->add < 0 ? NULL : first(p, job->add) - v->front;
    float *out = first(p, job->to) - v->front;
    for (int i = 0; i < v->floats; i++) {
        out[i] = ep_apply(job->act, b ? a[i] + b[i] : a[i]);
    }
}

static void average(const ep_plan *p, const ep_job *job) {
    const ep_value *v = &p->values[job->from];
    const float *plane = first(p, job->from);
    float *out = first(p, job->to);
    for (int c = 0; c < v->channels; c++, plane += v->plane) {
        ep_vec sums = EP_ALL(0.0f);
        float total = 0.0f, parts[EP_LANES];
        /* Borders are zero: whole vectors may be summed. */
        const int span = (v->height - 1) * v->pitch + v->width;
        int i = 0;
        for (; i + EP_LANES <= span; i += EP_LANES) {
            sums += EP_LOAD(plane + i);
        }
        EP_STORE(parts, sums);
        for (int k = 0; k < EP_LANES; k++) {
            total += parts[k];
        }
        for (; i < span; i++) {
            total += plane[i];
        }
        out[c] = total / (float)(v->height * v->width);
    }
}

static size_t size_of(const ep_value *v) { return (size_t)v->channels * (size_t)v->height * (size_t)v->width; }

void ep_run(const ep_plan *p, const TfLiteContext *context, const TfLiteIntArray *outputs) {
    for (int example = 0; example < p->batch; example++) {
        for (int v = 0; v < p->value_count && v < p->input_count; v++) {
            const ep_value *value = &p->values[v];
            if (value->buffer >= 0) {
                load(p, value, (const float *)context->tensors[value->tensor].data + (size_t)example * size_of(value));
            }
        }
        for (int i = 0; i < p->job_count; i++) {
            const ep_job *job = &p->jobs[i];
            switch (job->kind) {
            case EP_STEP_CONV: convolve(p, job); break;
            case EP_STEP_VECTOR: multiply(p, job); break;
            case EP_STEP_MEAN: average(p, job); break;
            default: add_up(p, job); break;
            }
        }
        for (int i = 0; i < outputs->size; i++) {
            for (int v = 0; v < p->value_count; v++) {
                const ep_value *value = &p->values[v];
                if (value->tensor == outputs->data[i]) {
                    store(p, value, (float *)context->tensors[value->tensor].data + (size_t)example * size_of(value));
                }
            }
        }
    }
}
