# cmake --install: the binary, the static libraries, the headers that a program
# needs to embed them, and a package for find_package(troupe).
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/troupe)
set(header_dir ${CMAKE_INSTALL_INCLUDEDIR}/troupe)

install(TARGETS troupe_flags schemas kernels runtime actors
  EXPORT troupeTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/troupe)
install(EXPORT troupeTargets NAMESPACE troupe:: DESTINATION ${package_dir})
install(DIRECTORY kernels runtime DESTINATION ${header_dir}
  FILES_MATCHING PATTERN "*.hpp"
  PATTERN "kernels/*/*" EXCLUDE
  PATTERN "runtime/http/connection.hpp" EXCLUDE
  PATTERN "ucx_*" EXCLUDE)
install(FILES actors/company.hpp DESTINATION ${header_dir}/actors)

configure_file(deploy/cmake/troupeConfig.cmake.in troupeConfig.cmake COPYONLY)
write_basic_package_version_file(troupeConfigVersion.cmake
  COMPATIBILITY ExactVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/troupeConfig.cmake
  ${PROJECT_BINARY_DIR}/troupeConfigVersion.cmake
  deploy/cmake/FindCAF.cmake
  DESTINATION ${package_dir})
