// ITK as Debian and Ubuntu package it refuses every compiler but the one that it was built with, by
// a header that asks nothing else of it. It takes clang for GCC here.
#pragma once

#pragma push_macro("__clang__")
#pragma push_macro("__GNUC__")
#undef __clang__
#undef __GNUC__
#define __GNUC__ 12
#include <itk_compiler_detection.h>
#pragma pop_macro("__GNUC__")
#pragma pop_macro("__clang__")
