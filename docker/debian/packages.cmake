# Debian packages: cpack -G DEB in the build directory. flotilla-node, flotilla-tool, libflotilla0, libflotilla-dev.
install(FILES ${CMAKE_SOURCE_DIR}/docker/flotilla.service DESTINATION lib/systemd/system COMPONENT node)
install(FILES ${CMAKE_SOURCE_DIR}/docker/debian/flotilla.yaml DESTINATION share/flotilla COMPONENT node)

set(CPACK_PACKAGE_NAME flotilla)
set(CPACK_PACKAGE_CONTACT "Flotilla maintainers <maintainers@flotilla.invalid>")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_GENERATOR DEB)
set(CPACK_STRIP_FILES OFF) # a core dump from a user's node must be readable
set(CPACK_DEBIAN_COMPRESSION_TYPE gzip)
set(CPACK_COMPONENTS_ALL node tool library development)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS OFF)

set(CPACK_DEBIAN_NODE_PACKAGE_NAME flotilla-node)
set(CPACK_COMPONENT_NODE_DESCRIPTION "replicated log: the node\n A node of a cluster that replicates topics through Raft.")
set(CPACK_DEBIAN_NODE_PACKAGE_SECTION net)
set(CPACK_DEBIAN_NODE_PACKAGE_SUGGESTS flotilla-tool)
set(debian ${CMAKE_SOURCE_DIR}/docker/debian)
set(CPACK_DEBIAN_NODE_PACKAGE_CONTROL_EXTRA "${debian}/postinst;${debian}/prerm;${debian}/postrm")
set(CPACK_DEBIAN_NODE_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_TOOL_PACKAGE_NAME flotilla-tool)
set(CPACK_COMPONENT_TOOL_DESCRIPTION "replicated log: the command-line tool\n Topics, producing, consuming, diagnosis.")
set(CPACK_DEBIAN_TOOL_PACKAGE_SECTION net)

set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libflotilla${PROJECT_VERSION_MAJOR})
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "replicated log: client library\n Producers, consumers and administration in C.")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_GENERATE_SHLIBS ON)

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libflotilla-dev)
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION
    "replicated log: client library, headers\n Header, static library, pkg-config and CMake files of libflotilla.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "libflotilla${PROJECT_VERSION_MAJOR} (= ${PROJECT_VERSION}), libuv1-dev, libprotobuf-c-dev, liblz4-dev, libzstd-dev, zlib1g-dev, libsnappy-dev, libisal-dev")
include(CPack)
