# x2ctpa_embed(<target> <symbol> <text file>...)
# Compiles text files, one behind the other, into <target> as
# `extern const char* const x2ctpa::<symbol>`.
function(x2ctpa_embed target symbol)
  set(content "")
  foreach(file IN LISTS ARGN)
    file(READ "${file}" part)
    string(APPEND content "${part}")
  endforeach()
  set(source "${CMAKE_CURRENT_BINARY_DIR}/embedded_${symbol}.cpp")
  file(CONFIGURE OUTPUT "${source}" @ONLY CONTENT [[
namespace x2ctpa {
extern const char* const @symbol@;
const char* const @symbol@ = R"x2ctpa(@content@)x2ctpa";
}  // namespace x2ctpa
]])
  target_sources(${target} PRIVATE "${source}")
  set_source_files_properties("${source}" PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${ARGN})
endfunction()
