/* ${model}: written by edgeprune ${version}.

${interface}

   One sample a call, batch axis left out, channels first. The caller gives the memory: an arena of ${model}_arena_bytes() bytes
   (${arena_bytes}; at its fullest step the model holds ${lower_bound}), of any alignment and with any content. in, out and the arena must
   not overlap. Nothing else is written: calls with arenas of their own may run at the same time. */
#ifndef ${MODEL}_H
#define ${MODEL}_H

#include <stddef.h>

#define ${MODEL}_VERSION "${version}"
#define ${MODEL}_ARENA_BYTES ${arena_bytes}
${macros}

#ifdef __cplusplus
extern "C" {
#endif

size_t ${model}_arena_bytes(void);

/* Returns 0, or 1 when a pointer is missing: nothing was written then. */
int ${model}_run(${signature});

#ifdef __cplusplus
}
#endif

#endif
