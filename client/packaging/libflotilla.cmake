# What others build against: libflotilla.so, libflotilla.a, the header, and how pkg-config and CMake find them. Both
# libraries hold everything of ours that the client needs and show nothing but flotilla.h.
include(GNUInstallDirs)
set(FLOTILLA_PUBLIC_SYMBOLS "flotilla_[a-z]*") # not flotilla__*, the messages
set(libflotilla_objects $<TARGET_OBJECTS:flotilla_client> $<TARGET_OBJECTS:proto> $<TARGET_OBJECTS:messages>)
set_target_properties(flotilla_client proto messages PROPERTIES POSITION_INDEPENDENT_CODE ON)

file(WRITE ${CMAKE_BINARY_DIR}/libflotilla.map "FLOTILLA_0 { global: ${FLOTILLA_PUBLIC_SYMBOLS}; local: *; };\n")
add_library(flotilla_shared SHARED ${libflotilla_objects})
set_target_properties(flotilla_shared PROPERTIES OUTPUT_NAME flotilla LINKER_LANGUAGE C VERSION ${PROJECT_VERSION} SOVERSION
                                                 ${PROJECT_VERSION_MAJOR})
target_link_options(flotilla_shared PRIVATE -Wl,--version-script=${CMAKE_BINARY_DIR}/libflotilla.map)
if(NOT FLOTILLA_SANITIZE) # whose runtime only programs have
  target_link_options(flotilla_shared PRIVATE -Wl,--no-undefined)
endif()
target_link_libraries(
  flotilla_shared PRIVATE PkgConfig::UV PkgConfig::PROTOBUF_C PkgConfig::LZ4 PkgConfig::ZSTD PkgConfig::ZLIB
                          ${SNAPPY_LIBRARY} ${ISAL_LIBRARY} Threads::Threads)

# An archive has no such thing as a hidden symbol: its members are joined first, and the rest made local.
set(joined ${CMAKE_BINARY_DIR}/libflotilla.o)
add_custom_command(
  OUTPUT ${CMAKE_BINARY_DIR}/libflotilla.a
  COMMAND ${CMAKE_LINKER} -r -o ${joined} ${libflotilla_objects}
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=${FLOTILLA_PUBLIC_SYMBOLS} --remove-section=.gnu.lto_*
          --remove-section=.gnu.debuglto_* ${joined}
  COMMAND ${CMAKE_COMMAND} -E rm -f ${CMAKE_BINARY_DIR}/libflotilla.a
  COMMAND ${CMAKE_AR} qcs ${CMAKE_BINARY_DIR}/libflotilla.a ${joined}
  DEPENDS flotilla_client proto messages ${libflotilla_objects}
  COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(flotilla_static ALL DEPENDS ${CMAKE_BINARY_DIR}/libflotilla.a)

configure_file(client/packaging/flotilla.pc.in flotilla.pc @ONLY)
include(CMakePackageConfigHelpers)
configure_package_config_file(client/packaging/flotilla-config.cmake.in flotilla-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/flotilla
                              PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(flotilla-config-version.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS flotilla_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library
                                        NAMELINK_COMPONENT development)
install(FILES ${CMAKE_BINARY_DIR}/libflotilla.a DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(FILES client/include/flotilla.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(FILES ${CMAKE_BINARY_DIR}/flotilla.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
install(FILES ${CMAKE_BINARY_DIR}/flotilla-config.cmake ${CMAKE_BINARY_DIR}/flotilla-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/flotilla COMPONENT development)
