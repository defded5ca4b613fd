# Finds LibTorch in a PyPI wheel or in a LibTorch archive, without the wheel's own
# TorchConfig.cmake, which demands a whole CUDA toolkit even for CPU programs.
#
# Input:   LIBTORCH_ROOT       folder that holds include/ and lib/ (default: the wheel in .venv)
# Targets: LibTorch::LibTorch
#          LibTorch::cuda      its CUDA libraries, where headers of CUDA and NCCL are found; else
#                              LibTorch_CUDA_MISSING says what is missing

if(NOT LIBTORCH_ROOT)
  file(GLOB _libtorch_wheels "${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch")
  list(GET _libtorch_wheels 0 _libtorch_default)
endif()
set(LIBTORCH_ROOT "${LIBTORCH_ROOT}" CACHE PATH "LibTorch folder (include/, lib/); empty: the wheel in .venv")
set(_libtorch_root "${LIBTORCH_ROOT}")
if(NOT _libtorch_root)
  set(_libtorch_root "${_libtorch_default}")
endif()

find_path(LIBTORCH_INCLUDE_DIR torch/csrc/api/include/torch/torch.h
          PATHS "${_libtorch_root}/include" NO_DEFAULT_PATH NO_CACHE)
foreach(_name torch torch_cpu c10 torch_cuda c10_cuda)
  find_library(LIBTORCH_${_name}_LIBRARY ${_name} PATHS "${_libtorch_root}/lib" NO_DEFAULT_PATH NO_CACHE)
endforeach()

set(LibTorch_VERSION "")
if(LIBTORCH_INCLUDE_DIR AND EXISTS "${LIBTORCH_INCLUDE_DIR}/torch/headeronly/version.h")
  set(_version_header "${LIBTORCH_INCLUDE_DIR}/torch/headeronly/version.h")
elseif(LIBTORCH_INCLUDE_DIR)
  set(_version_header "${LIBTORCH_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h")
endif()
if(_version_header AND EXISTS "${_version_header}")
  file(STRINGS "${_version_header}" _version_line REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9;]+" "" _version_parts "${_version_line}")
  string(REPLACE ";" "." LibTorch_VERSION "${_version_parts}")
endif()

set(_required LIBTORCH_INCLUDE_DIR LIBTORCH_torch_cpu_LIBRARY LIBTORCH_c10_LIBRARY)
set(_remedy "Run scripts/setup.sh, or give -DLIBTORCH_ROOT=/path/to/libtorch.")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch REQUIRED_VARS ${_required} VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "${_remedy}")

# The wheel brings the GNU OpenMP library that LibTorch runs on. FindOpenMP takes it, so that the
# program has one OpenMP library, and CMake does not warn of two in the run path.
find_library(OpenMP_gomp_LIBRARY NAMES libgomp.so.1 PATHS "${_libtorch_root}/lib" NO_DEFAULT_PATH)

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  foreach(_name torch_cpu c10)
    add_library(LibTorch::${_name} SHARED IMPORTED)
    set_target_properties(LibTorch::${_name} PROPERTIES IMPORTED_LOCATION "${LIBTORCH_${_name}_LIBRARY}"
                          IMPORTED_NO_SONAME OFF)
  endforeach()
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    "${LIBTORCH_INCLUDE_DIR}" "${LIBTORCH_INCLUDE_DIR}/torch/csrc/api/include")
  target_link_libraries(LibTorch::LibTorch INTERFACE LibTorch::torch_cpu LibTorch::c10)
endif()

# What is only compiled and linked with CUDA needs the headers of two wheels beside torch; the other
# libraries that libtorch_cuda is linked with are needed at run time alone.
file(GLOB _cuda_includes "${_libtorch_root}/../nvidia/*/include")
find_path(LIBTORCH_CUDART_INCLUDE_DIR cuda_runtime_api.h PATHS ${_cuda_includes} /usr/local/cuda/include NO_CACHE)
find_path(LIBTORCH_NCCL_INCLUDE_DIR nccl.h PATHS ${_cuda_includes} /usr/local/cuda/include NO_CACHE)
set(LibTorch_CUDA_MISSING "")
foreach(_part LIBTORCH_torch_cuda_LIBRARY LIBTORCH_c10_cuda_LIBRARY LIBTORCH_CUDART_INCLUDE_DIR
              LIBTORCH_NCCL_INCLUDE_DIR)
  if(NOT ${_part})
    set(LibTorch_CUDA_MISSING "${_part} was not found. scripts/setup.sh --nccl or --cuda installs what it needs.")
  endif()
endforeach()
if(LibTorch_FOUND AND NOT LibTorch_CUDA_MISSING AND NOT TARGET LibTorch::cuda)
  add_library(LibTorch::cuda INTERFACE IMPORTED)
  target_include_directories(LibTorch::cuda SYSTEM INTERFACE "${CMAKE_CURRENT_LIST_DIR}/cuda_handles"
    "${LIBTORCH_CUDART_INCLUDE_DIR}" "${LIBTORCH_NCCL_INCLUDE_DIR}")
  # Loading these libraries registers their kernels, so they stay also where no symbol is used.
  target_link_libraries(LibTorch::cuda INTERFACE LibTorch::LibTorch
    "-Wl,--no-as-needed" "${LIBTORCH_torch_cuda_LIBRARY}" "${LIBTORCH_c10_cuda_LIBRARY}" "-Wl,--as-needed")
endif()
