# Run by CPack over what it is about to pack: what Debian wants otherwise than `make install` has it. The time it names is
# SOURCE_DATE_EPOCH where that is set.
set(root "${CPACK_TEMPORARY_DIRECTORY}")
set(docs "${root}/usr/share/doc/serin")
set(version "${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}")
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(REMOVE "${docs}/LICENSE") # the text is in /usr/share/common-licenses
file(WRITE "${docs}/changelog.Debian" "serin (${version}) unstable; urgency=medium

  * What has changed is in CHANGELOG.md.

 -- ${CPACK_PACKAGE_CONTACT}  ${date}
")
file(CHMOD "${docs}/changelog.Debian" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
file(GLOB pages "${root}/usr/share/man/man*/*.[15]")
foreach(path IN LISTS pages ITEMS "${docs}/changelog.Debian")
    execute_process(COMMAND gzip -9n "${path}" COMMAND_ERROR_IS_FATAL ANY)
endforeach()
