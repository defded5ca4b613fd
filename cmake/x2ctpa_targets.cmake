# x2ctpa_module(<name> [LIGHT] SOURCES ... [LOOPS ...] USES <lower modules> [PRIVATE <libraries>])
# LIGHT: it arranges work and leaves the inner loops to LibTorch, to another module or to its sources
# in LOOPS, so optimising it hard would cost a third of its compile time and gain nothing.
# One static library per module. Every module reuses core's precompiled header (ATen, fmt, std). It
# leaves torch/nn out: the compiler reads the whole header for every file, and most need no layers.

include(x2ctpa_fmt_first)
x2ctpa_fmt_first("${PROJECT_BINARY_DIR}/fmt_first")

add_library(x2ctpa_flags INTERFACE)
target_include_directories(x2ctpa_flags INTERFACE
  "$<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/fmt_first>"
  "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:include>")
target_compile_features(x2ctpa_flags INTERFACE cxx_std_20)
target_compile_options(x2ctpa_flags INTERFACE
  "$<BUILD_INTERFACE:-Wall;-Wextra;-Wno-unused-parameter;-Wno-missing-field-initializers;-Winvalid-pch>")
# GCC 12 sees overflows and overlapping copies in the standard library's own `"literal" +
# std::string()` (GCC bugs 105329 and 105651), here and there as inlining goes.
target_compile_options(x2ctpa_flags INTERFACE
  "$<BUILD_INTERFACE:$<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-stringop-overflow;-Wno-array-bounds;-Wno-restrict>>")
target_link_libraries(x2ctpa_flags INTERFACE LibTorch::LibTorch OpenMP::OpenMP_CXX fmt::fmt spdlog::spdlog)
if(X2CTPA_SANITIZE)
  target_compile_options(x2ctpa_flags INTERFACE -fsanitize=address,undefined -fno-omit-frame-pointer)
  # Sanitized, GCC takes members of the standard library's std::regex for unset (GCC bug 105562).
  target_compile_options(x2ctpa_flags INTERFACE
    "$<BUILD_INTERFACE:$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>>")
  target_link_options(x2ctpa_flags INTERFACE -fsanitize=address,undefined)
endif()
if(X2CTPA_FUZZ)
  # Branches and comparisons tell libFuzzer what an input reached.
  target_compile_options(x2ctpa_flags INTERFACE "$<BUILD_INTERFACE:-fsanitize=fuzzer-no-link>")
endif()

# x2ctpa_use_itk(<target>): ITK's headers and libraries; see cmake/itk_for_clang.h.
function(x2ctpa_use_itk target)
  target_include_directories(${target} SYSTEM PRIVATE ${ITK_INCLUDE_DIRS})
  target_link_libraries(${target} PRIVATE ${ITK_LIBRARIES})
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    target_compile_options(${target} PRIVATE "SHELL:-include ${PROJECT_SOURCE_DIR}/cmake/itk_for_clang.h")
  endif()
endfunction()

function(x2ctpa_use_precompiled_header target)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -fpch-preprocess)
  endif()
  # Programs would be compiled with -fPIE, and the header was made with -fPIC.
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIC)
  target_precompile_headers(${target} REUSE_FROM x2ctpa_core)
endfunction()

# Unity batches, precompiled header, folders: as every source of the project is compiled.
function(x2ctpa_compile target)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(${target} PUBLIC x2ctpa_flags)
  if(X2CTPA_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 12)
  endif()
  if(NOT target STREQUAL "x2ctpa_core")
    x2ctpa_use_precompiled_header(${target})
  endif()
endfunction()

function(x2ctpa_module name)
  cmake_parse_arguments(ARG "LIGHT" "" "SOURCES;LOOPS;USES;PRIVATE" ${ARGN})
  add_library(x2ctpa_${name} STATIC ${ARG_SOURCES})
  add_library(x2ctpa::${name} ALIAS x2ctpa_${name})
  x2ctpa_compile(x2ctpa_${name})
  foreach(used IN LISTS ARG_USES)
    target_link_libraries(x2ctpa_${name} PUBLIC x2ctpa_${used})
  endforeach()
  target_link_libraries(x2ctpa_${name} PRIVATE ${ARG_PRIVATE})
  if(ARG_LIGHT)
    target_compile_options(x2ctpa_${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  endif()
  if(ARG_LOOPS)
    add_library(x2ctpa_${name}_loops OBJECT ${ARG_LOOPS})
    x2ctpa_compile(x2ctpa_${name}_loops)
    target_sources(x2ctpa_${name} PRIVATE $<TARGET_OBJECTS:x2ctpa_${name}_loops>)
  endif()
endfunction()
