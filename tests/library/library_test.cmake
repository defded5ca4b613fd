# Installs the library, builds docs/example against it, and runs it on a tiny model.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${ARGN}\nended with ${result}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")
run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${WORK}/prefix" --component library)
run("${CMAKE_COMMAND}" -S "${SOURCE}/docs/example" -B "${WORK}/build" -G "${GENERATOR}"
  "-DCMAKE_PREFIX_PATH=${WORK}/prefix" "-DCMAKE_CXX_COMPILER=${CXX}")
run("${CMAKE_COMMAND}" --build "${WORK}/build")

run("${MAKE_MODEL}" "${WORK}/model" "${WORK}/xray.png")
run("${WORK}/build/generate" "${WORK}/model" "${WORK}/xray.png" "${WORK}/volume.nii.gz")
run("${PROGRAM}" info "${WORK}/volume.nii.gz")
foreach(expected "SYNTHETIC" "16")
  if(NOT output MATCHES "${expected}")
    message(FATAL_ERROR "info says nothing of ${expected}:\n${output}")
  endif()
endforeach()

# An error reaches the caller with its exit code.
execute_process(COMMAND "${WORK}/build/generate" "${WORK}/nothing" "${WORK}/xray.png" "${WORK}/x.nii.gz"
  RESULT_VARIABLE result ERROR_VARIABLE output)
if(NOT result EQUAL 2 OR NOT output MATCHES "nothing does not exist")
  message(FATAL_ERROR "expected exit code 2 and the folder's name, found ${result}: ${output}")
endif()
