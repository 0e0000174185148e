/* What a delegated part of a model runs: values as planes in memory, and steps in running order. */
#ifndef EP_DELEGATE_PLAN_H
#define EP_DELEGATE_PLAN_H

#include "conv.h"
#include "graph.h"

/* Channels as planes: rows `pitch` floats apart, whose ends are zero and serve the next row as its border, too. A vector is planes
   of one element. */
typedef struct {
    int tensor, channels, height, width;
    int pitch, plane, front, floats;
    int last_read; /* the last step that reads it */
    int buffer;
} ep_value;

enum { EP_STEP_LOAD, EP_STEP_CONV, EP_STEP_VECTOR, EP_STEP_ADD, EP_STEP_MEAN, EP_STEP_ACT };

/* A plane that holds every so many rows and columns of one of the source's, from a phase on: where the first of its elements that
   exist is read and written, how many rows of them there are, and how many a row has. */
typedef struct {
    int from, to, rows, count;
} ep_cut;

typedef struct {
    int kind;
    int to, from, add; /* values; add: -1 for none */
    ep_act act;
    ep_conv conv;
    int bits, weights;
    void *owned[5]; /* values, steps, starts, rows and groups, bias: until they are packed */
    ep_cut *cuts;   /* planes that are made first, or NULL where the source is read as it is */
    float *planes;
    int cut_count, down, across;
    int cut_pitch, cut_plane;
} ep_job;

typedef struct {
    int batch;
    int border;
    int value_count, input_count, job_count; /* values that are loaded come first */
    ep_value *values;
    ep_job *jobs;
    int buffer_count;
    float **buffers;
    int *buffer_floats;
    float *table;
    void *packed;
} ep_plan;

static inline int ep_floor_div(int a, int b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

static inline int ep_most(int a, int b) { return a > b ? a : b; }

/* Floats of a plane, so that the kernels run over whole vectors. */
static inline int ep_rounded(int n) { return (n + EP_GRAIN - 1) / EP_GRAIN * EP_GRAIN; }

/* weights.c: a layer's weights as the kernels read them */

/* Turns what a weight reads into floats from the first place of its plane: into `top`. 0 where that cannot be done. */
int ep_place_weights(const ep_plan *plan, ep_layer *layer, ep_job *job);

/* The same where one place is made: weights read elements of the source, those that lie in it. */
void ep_place_single(const ep_value *from, ep_layer *layer);

/* Packs the weights in the order in which the kernels run through them: outputs with equally many stand together. 0 where memory
   ends or an output has too many. */
int ep_order_weights(ep_layer *layer, ep_job *job, const float *bias);

/* plan.c */

/* The plan of these nodes, for the shapes that tensors have now; NULL where memory ends or a node cannot be done. */
ep_plan *ep_plan_of(const ep_graph *g, const TfLiteDelegateParams *params);

/* Takes over how many examples the inputs hold now; 0 where their maps have another size. */
int ep_plan_resize(ep_plan *plan, const TfLiteContext *context);

int ep_plan_makes(const ep_plan *plan, int tensor);

void ep_plan_free(ep_plan *plan);

void ep_run(const ep_plan *plan, const TfLiteContext *context, const TfLiteIntArray *outputs);

#endif
