# build/PRESET/tests/yaml_json: a YAML file as JSON, for plays.
add_executable(yaml_json ${PROJECT_SOURCE_DIR}/tests/support/yaml_json.c)
target_compile_options(yaml_json PRIVATE ${SERIN_WARNINGS})
target_link_libraries(yaml_json PRIVATE PkgConfig::YAML PkgConfig::JANSSON)
set_target_properties(yaml_json PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
