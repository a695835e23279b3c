# The Debian package: `cpack -G DEB` in the folder of a build, or `make package`.
set(debian ${CMAKE_CURRENT_SOURCE_DIR}/debian)
install(FILES ${debian}/serin.yaml DESTINATION /etc/serin COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES ${debian}/copyright DESTINATION ${docs} COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES ${debian}/lintian RENAME serin DESTINATION share/lintian/overrides COMPONENT debian EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME serin)
set(CPACK_PACKAGE_CONTACT "Serin maintainers <maintainers@serin.invalid>" CACHE STRING "Who answers for packages")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "reverse proxy that rolls bad releases back by itself")
set(CPACK_PACKAGE_DESCRIPTION "Serin sends a small share of the traffic to the new version of a site,
judges it on the answers that users get while they get them, and shifts all
traffic back to the last good version when the new one is bad.
.
It speaks HTTP/1.1 and HTTP/2 with TLS, has a dashboard, an API, Prometheus
metrics and incident reports, and keeps its state in one file.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION httpd)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# What is linked is found by itself; libcurl is loaded when there is something to call.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser, init-system-helpers (>= 1.52), libcurl4 (>= 7.85)")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/conffiles "/etc/serin/serin.yaml\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_BINARY_DIR}/conffiles ${debian}/postinst ${debian}/prerm ${debian}/postrm)

# DESTDIR, so that the prefix is /usr for whatever is written at installation.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_INSTALL_CMAKE_PROJECTS "${CMAKE_BINARY_DIR};serin;ALL;/" "${CMAKE_BINARY_DIR};serin;debian;/")
set(CPACK_COMPONENTS_ALL Unspecified)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_SOURCE_DIR}/debian_files.cmake)
set(CPACK_OUTPUT_CONFIG_FILE ${CMAKE_BINARY_DIR}/CPackConfig.cmake)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_SOURCE_GENERATOR "")
include(CPack)
