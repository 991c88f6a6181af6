# Read by every CMake build of the workspace (.cargo/config.toml); changes libxaac's only.
#
# libxaac asks its caller for 57 MB per encoder and writes zeros over all of it, of which AAC-LC then uses 2 %.
# Its caller, xaac-rs, hands it zeroed pages, so the writing does nothing but make them resident.
if(CMAKE_SOURCE_DIR MATCHES "/libxaac$")
  set(CMAKE_C_FLAGS_INIT "-include ${CMAKE_CURRENT_LIST_DIR}/lazy_zero.h")
endif()
