/* The part of TFLite's C interface that a delegate needs, as the runtimes lay it out: fields nobody here reads are kept for their
   room. Fields are only ever added at the end of TfLiteContext and TfLiteRegistration. */
#ifndef EP_TFLITE_API_H
#define EP_TFLITE_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;

enum { kTfLiteFloat32 = 1, kTfLiteInt32 = 2 };
enum { kTfLiteMmapRo = 1 };
enum { kTfLiteDimDense = 0, kTfLiteDimSparseCSR = 1 };
enum { kTfLitePaddingSame = 1, kTfLitePaddingValid = 2 };
enum { kTfLiteActNone, kTfLiteActRelu, kTfLiteActReluN1To1, kTfLiteActRelu6 };

enum { kTfLiteDelegateFlagsAllowDynamicTensors = 1, kTfLiteDelegateFlagsRequirePropagatedShapes = 2 };

/* Builtin operators. */
enum {
    EP_ADD = 0,
    EP_CONCATENATION = 2,
    EP_CONV_2D = 3,
    EP_FULLY_CONNECTED = 9,
    EP_RELU = 19,
    EP_RELU6 = 21,
    EP_PAD = 34,
    EP_GATHER = 36,
    EP_MEAN = 40,
    EP_STRIDED_SLICE = 45,
    EP_DENSIFY = 124
};

typedef struct {
    int size;
    int data[];
} TfLiteIntArray;

typedef struct {
    int format;
    int dense_size;
    TfLiteIntArray *array_segments;
    TfLiteIntArray *array_indices;
} TfLiteDimensionMetadata;

typedef struct {
    TfLiteIntArray *traversal_order;
    TfLiteIntArray *block_map;
    TfLiteDimensionMetadata *dim_metadata;
    int dim_metadata_size;
} TfLiteSparsity;

typedef struct TfLiteDelegate TfLiteDelegate;
typedef struct TfLiteContext TfLiteContext;
typedef struct TfLiteNode TfLiteNode;

typedef struct {
    int type;
    void *data;
    TfLiteIntArray *dims;
    struct {
        float scale;
        int32_t zero_point;
    } params;
    int allocation_type;
    size_t bytes;
    const void *allocation;
    const char *name;
    TfLiteDelegate *delegate;
    int buffer_handle;
    bool data_is_stale;
    bool is_variable;
    struct {
        int type;
        void *params;
    } quantization;
    TfLiteSparsity *sparsity;
    const TfLiteIntArray *dims_signature;
} TfLiteTensor;

struct TfLiteNode {
    TfLiteIntArray *inputs;
    TfLiteIntArray *outputs;
    TfLiteIntArray *intermediates;
    TfLiteIntArray *temporaries;
    void *user_data;
    void *builtin_data;
    const void *custom_initial_data;
    int custom_initial_data_size;
    TfLiteDelegate *delegate;
    bool might_have_side_effect;
};

typedef struct {
    void *(*init)(TfLiteContext *, const char *, size_t);
    void (*free)(TfLiteContext *, void *);
    TfLiteStatus (*prepare)(TfLiteContext *, TfLiteNode *);
    TfLiteStatus (*invoke)(TfLiteContext *, TfLiteNode *);
    const char *(*profiling_string)(const TfLiteContext *, const TfLiteNode *);
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *registration_external;
    void *async_kernel;
    uint64_t inplace_operator;
} TfLiteRegistration;

struct TfLiteContext {
    size_t tensors_size;
    TfLiteStatus (*GetExecutionPlan)(TfLiteContext *, TfLiteIntArray **);
    TfLiteTensor *tensors;
    void *impl_;
    TfLiteStatus (*ResizeTensor)(TfLiteContext *, TfLiteTensor *, TfLiteIntArray *);
    void (*ReportError)(TfLiteContext *, const char *, ...);
    TfLiteStatus (*AddTensors)(TfLiteContext *, int, int *);
    TfLiteStatus (*GetNodeAndRegistration)(TfLiteContext *, int, TfLiteNode **, TfLiteRegistration **);
    TfLiteStatus (*ReplaceNodeSubsetsWithDelegateKernels)(
        TfLiteContext *, TfLiteRegistration, const TfLiteIntArray *, TfLiteDelegate *
    );
};

typedef struct {
    TfLiteDelegate *delegate;
    TfLiteIntArray *nodes_to_replace;
    TfLiteIntArray *input_tensors;
    TfLiteIntArray *output_tensors;
} TfLiteDelegateParams;

struct TfLiteDelegate {
    void *data_;
    TfLiteStatus (*Prepare)(TfLiteContext *, TfLiteDelegate *);
    void *CopyFromBufferHandle, *CopyToBufferHandle, *FreeBufferHandle;
    int64_t flags;
    void *opaque_delegate_builder;
};

/* What operators are set to, up to the last field that is read here. */
typedef struct {
    int padding, stride_width, stride_height, activation, dilation_width, dilation_height;
} TfLiteConvParams;

typedef struct {
    int activation, weights_format;
    bool keep_num_dims;
} TfLiteFullyConnectedParams;

typedef struct {
    int activation;
} TfLiteAddParams;

typedef struct {
    int axis, activation;
} TfLiteConcatenationParams;

typedef struct {
    int axis, batch_dims;
} TfLiteGatherParams;

typedef struct {
    int begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask;
} TfLiteStridedSliceParams;

#endif
