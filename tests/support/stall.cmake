# libserin_stall.so, loaded before serin by plays of a disk that hangs.
add_library(serin_stall MODULE ${PROJECT_SOURCE_DIR}/tests/support/stall.c)
target_compile_options(serin_stall PRIVATE ${SERIN_WARNINGS} -fno-sanitize=all)
target_link_libraries(serin_stall PRIVATE ${CMAKE_DL_LIBS})
set_target_properties(serin_stall PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
