/* ${model}: written by edgeprune ${version}. The interface is in the header. */
#include "${header}"

#define EP_MODEL
${kernels}
${body}
${note}
