# Finds LibTorch in a PyPI wheel or in a LibTorch archive, without the wheel's own
# TorchConfig.cmake, which demands a whole CUDA toolkit even for CPU programs.
#
# Input:   LIBTORCH_ROOT       folder that holds include/ and lib/ (default: the wheel in .venv)
#          X2CTPA_CUDA         also link the CUDA libraries of the wheel
# Targets: LibTorch::LibTorch

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
if(X2CTPA_CUDA)
  list(APPEND _required LIBTORCH_torch_cuda_LIBRARY LIBTORCH_c10_cuda_LIBRARY)
  # What libtorch_cuda itself needs (cuBLAS, cuDNN, NCCL, ...) lies in wheels beside torch. The CPU
  # set-up has libtorch_cuda without them.
  file(GLOB _cuda_wheel_libs "${_libtorch_root}/../nvidia/*/lib")
  file(GLOB _cuda_wheel_includes "${_libtorch_root}/../nvidia/*/include")
  if(EXISTS "${_libtorch_root}/version.py")
    file(GLOB LIBTORCH_CUDA_WHEELS "${_libtorch_root}/../nvidia/*/lib/libcublas.so*")
    list(APPEND _required LIBTORCH_CUDA_WHEELS)
  endif()
endif()
set(_remedy "Run scripts/setup.sh, or give -DLIBTORCH_ROOT=/path/to/libtorch.")
if(X2CTPA_CUDA)
  set(_remedy "Run scripts/setup.sh --cuda, or give -DLIBTORCH_ROOT=/path/to/libtorch.")
endif()
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
  # The CUDA libraries register their kernels when loaded: nothing calls a symbol of theirs, so
  # the linker would drop them.
  if(X2CTPA_CUDA)
    target_link_libraries(LibTorch::LibTorch INTERFACE
      "-Wl,--no-as-needed" "${LIBTORCH_torch_cuda_LIBRARY}" "${LIBTORCH_c10_cuda_LIBRARY}" "-Wl,--as-needed")
    target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE ${_cuda_wheel_includes})
    foreach(_dir IN LISTS _cuda_wheel_libs)
      target_link_options(LibTorch::LibTorch INTERFACE "-Wl,-rpath-link,${_dir}")
    endforeach()
  endif()
endif()
