// Functions compiled for several instruction sets, of which the program takes the processor's best.
#pragma once

// Sanitizers cannot run in the resolvers that choose the version; clang knows no such attribute for
// all of its targets.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define X2CTPA_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define X2CTPA_VECTOR_CLONES
#endif
