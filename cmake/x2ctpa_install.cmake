# `cmake --install`: the program; headers, static libraries and a package for find_package(x2ctpa),
# which docs/library.md describes. The commands stay out of it: they are the program.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(_package "${CMAKE_INSTALL_LIBDIR}/cmake/x2ctpa")
set(_modules core imaging data models diffusion metrics training inference evaluation)

# CMake would leave out the folder of LibTorch where it lies in this project, as .venv does.
get_filename_component(_libtorch "${LIBTORCH_c10_LIBRARY}" DIRECTORY)
set_target_properties(x2ctpa PROPERTIES INSTALL_RPATH "\$ORIGIN/../${CMAKE_INSTALL_LIBDIR};${_libtorch}")
install(TARGETS x2ctpa RUNTIME COMPONENT program)
# Where the program finds experiments by name; the build folder has them in the same place.
install(DIRECTORY "${PROJECT_SOURCE_DIR}/configs" DESTINATION share/x2ctpa COMPONENT program)
file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/share/x2ctpa")
file(CREATE_LINK "${PROJECT_SOURCE_DIR}/configs" "${PROJECT_BINARY_DIR}/share/x2ctpa/configs" SYMBOLIC)
if(TARGET x2ctpa_cuda)
  set_target_properties(x2ctpa_cuda PROPERTIES INSTALL_RPATH "${_libtorch}")
  foreach(_component program library)
    install(TARGETS x2ctpa_cuda LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT ${_component})
  endforeach()
endif()

set(_targets x2ctpa_flags)
set_target_properties(x2ctpa_flags PROPERTIES EXPORT_NAME flags)
foreach(_module IN LISTS _modules)
  set_target_properties(x2ctpa_${_module} PROPERTIES EXPORT_NAME ${_module})
  list(APPEND _targets x2ctpa_${_module})
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/x2ctpa/${_module}"
          DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/x2ctpa" COMPONENT library)
endforeach()
install(TARGETS ${_targets} EXPORT x2ctpaTargets ARCHIVE COMPONENT library)
install(EXPORT x2ctpaTargets NAMESPACE x2ctpa:: DESTINATION "${_package}" COMPONENT library)

# What the package finds LibTorch by: the folder of this build.
get_filename_component(X2CTPA_LIBTORCH_ROOT "${LIBTORCH_INCLUDE_DIR}" DIRECTORY)
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/x2ctpaConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/x2ctpaConfig.cmake" INSTALL_DESTINATION "${_package}"
  PATH_VARS CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/x2ctpaConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/x2ctpaConfig.cmake" "${PROJECT_BINARY_DIR}/x2ctpaConfigVersion.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/FindLibTorch.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/x2ctpa_dependencies.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/x2ctpa_fmt_first.cmake"
        DESTINATION "${_package}" COMPONENT library)
