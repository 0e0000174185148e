/* What the delegate knows of a model: which operators it takes, and what the maps are that those read. */
#ifndef EP_DELEGATE_GRAPH_H
#define EP_DELEGATE_GRAPH_H

#include "api.h"

/* One column of a matrix, or one channel of a map, as a channel of another map seen through cuts and borders: its element (y, x)
   is the source's (y * down + top, x * across + left), and zero outside of it. */
typedef struct {
    int channel, top, left;
} ep_seen;

typedef struct {
    int source; /* a tensor */
    int down, across;
    int count;
    ep_seen *seen;
} ep_view;

/* One nonzero weight of a convolution, by what it reads of the view's source. */
typedef struct {
    int out, channel, top, left;
    float value;
} ep_weight;

typedef struct {
    int source, down, across;
    int count;
    ep_weight *weights;
} ep_layer;

typedef struct {
    TfLiteContext *context;
    int *producer; /* per tensor: the node that makes it, or -1 */
    const unsigned char *inside; /* per node: whether cuts and borders that it makes may be looked through */
} ep_graph;

int ep_code(const ep_graph *g, int node, TfLiteNode **found);

/* The operator that fills a tensor is DENSIFY: the tensor that it reads, or the tensor itself. */
int ep_stored(const ep_graph *g, int tensor);

/* Whether the operator is one whose nonzeros are multiplied here, with a weight that pays. */
int ep_is_layer(const ep_graph *g, int node);

/* Whether the operator only cuts, pads, joins or picks channels of a map by constants. */
int ep_is_view(const ep_graph *g, int node);

/* What a map is, looked at through views. Returns 0 where that is not one source at one stride. Free `seen` then. */
int ep_look(const ep_graph *g, int tensor, ep_view *view);

/* The nonzeros of a layer over maps or, for `vector`, over vectors: top and left are 0. Returns 0 where it cannot be one. */
int ep_read_layer(const ep_graph *g, int node, ep_layer *layer);

int ep_act_of(int activation); /* whether it is one of those the kernels apply */

#endif
