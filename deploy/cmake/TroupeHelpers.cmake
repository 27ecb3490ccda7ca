# Warnings, sanitizers, precompiled headers and the shape of a test target.

add_library(troupe_flags INTERFACE)
target_compile_options(troupe_flags INTERFACE -Wall -Wextra -Werror)
target_include_directories(troupe_flags INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
if(TROUPE_SANITIZE)
  target_compile_options(troupe_flags INTERFACE
    -fsanitize=${TROUPE_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(troupe_flags INTERFACE -fsanitize=${TROUPE_SANITIZE})
endif()

# troupe_library(NAME LIBRARIES...): one static library of every source below
# the current folder.
function(troupe_library name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *.cpp)
  list(FILTER sources EXCLUDE REGEX "_main\\.cpp$")
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC troupe_flags ${ARGN})
endfunction()

# troupe_tests(LABEL FOLDER LIBRARIES...): one executable of the *_test.cpp in
# FOLDER; every test of it carries LABEL.
function(troupe_tests label folder)
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*_test.cpp)
  if(NOT sources)
    return()
  endif()
  string(REPLACE "/" "_" name ${folder}_tests)
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${ARGN} GTest::gtest GTest::gtest_main)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES
    LABELS ${label} TIMEOUT 300
    ENVIRONMENT "SOURCE_DIR=${PROJECT_SOURCE_DIR};BINARY_DIR=${PROJECT_BINARY_DIR}")
endfunction()
