# x2ctpa_fmt_first(<folder>)
# The wheel's include folder carries another fmt than the one that spdlog was built with. This makes a
# folder that holds the distribution's fmt alone, to go before it.
function(x2ctpa_fmt_first folder)
  get_target_property(include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
  list(GET include 0 include)
  file(MAKE_DIRECTORY "${folder}")
  file(CREATE_LINK "${include}/fmt" "${folder}/fmt" SYMBOLIC)
endfunction()
