# Warnings, sanitizers, precompiled headers and the shape of a test target.

add_library(troupe_flags INTERFACE)
target_compile_options(troupe_flags INTERFACE
  "$<BUILD_INTERFACE:-Wall;-Wextra;-Werror>")
target_include_directories(troupe_flags INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
  $<INSTALL_INTERFACE:include/troupe>)
target_compile_features(troupe_flags INTERFACE $<INSTALL_INTERFACE:cxx_std_20>)
if(TROUPE_PLANTED)
  target_compile_definitions(troupe_flags INTERFACE
    $<BUILD_INTERFACE:TROUPE_PLANTED>)
endif()
if(TROUPE_SANITIZE)
  # Said to the whole folder, which comes before what a target says: it may
  # take some of it back.
  add_compile_options(-fsanitize=${TROUPE_SANITIZE} -fno-sanitize-recover=all)
  # Instrumented code makes GCC 12 see uninitialised values where none are, and
  # frames of coroutines freed by another function than made them.
  target_compile_options(troupe_flags INTERFACE
    -fno-omit-frame-pointer
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
    $<$<CXX_COMPILER_ID:GNU>:-Wno-mismatched-new-delete>
    # Not of use here, and Clang 14 writes what the assembler refuses.
    $<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=function>)
  foreach(kind address thread)
    if(CMAKE_CXX_COMPILER_ID STREQUAL Clang AND TROUPE_SANITIZE MATCHES ${kind})
      string(TOUPPER ${kind} word) # as g++ says it
      target_compile_definitions(troupe_flags INTERFACE __SANITIZE_${word}__)
    endif()
  endforeach()
  target_link_options(troupe_flags INTERFACE -fsanitize=${TROUPE_SANITIZE})
  if(TROUPE_SANITIZE MATCHES thread)
    # g++ warns of the fences in Asio, which it does not follow.
    target_compile_options(troupe_flags INTERFACE
      $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
  endif()
endif()

# troupe_library(NAME LIBRARIES...): one static library of every source below
# the current folder.
function(troupe_library name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *.cpp)
  list(FILTER sources EXCLUDE REGEX "_main\\.cpp$")
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC troupe_flags ${ARGN})
  if(NOT name STREQUAL kernels) # loops whose speed is not to depend on others
    troupe_group(${name} ${sources})
  endif()
endfunction()

# Tests find both by themselves (tests/places.hpp) where they are started by
# hand.
set(test_environment
  "SOURCE_DIR=${PROJECT_SOURCE_DIR}" "BINARY_DIR=${PROJECT_BINARY_DIR}"
  "XDG_CACHE_HOME=${PROJECT_BINARY_DIR}/cache") # of the binary they start
# UCX patches madvise as it is loaded, and ThreadSanitizer does not survive a
# hook that runs after a thread's end.
if(TROUPE_SANITIZE STREQUAL "thread")
  list(APPEND test_environment "UCX_MEM_EVENTS=n")
endif()

# What a test says that has several threads, of its own or of what it uses.
set(words_of_threads "std::(j?thread|async|future|promise|atomic)|_threads|\
/(http_client|openai_fixture|scripted_service)\\.hpp")

# troupe_keep_threaded(LIST): leaves the sources that have threads. To
# ThreadSanitizer the others would only be slow.
function(troupe_keep_threaded list)
  set(kept "")
  foreach(source ${${list}})
    file(STRINGS ${source} found REGEX "${words_of_threads}" LIMIT_COUNT 1)
    if(NOT found STREQUAL "")
      list(APPEND kept ${source})
    endif()
  endforeach()
  set(${list} "${kept}" PARENT_SCOPE)
endfunction()

# troupe_discover(BINARY LIST LABEL FILTER ALONE): tests that ctest knows, and
# whether others may run beside them.
function(troupe_discover name list label filter alone)
  # Without values: some of them are addresses, other ones in every run.
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST NO_PRETTY_VALUES
    TEST_LIST ${list} TEST_FILTER ${filter}
    PROPERTIES LABELS ${label} TIMEOUT 300 RUN_SERIAL ${alone})
endfunction()

# troupe_tests(LABEL FOLDER LIBRARIES...): one executable of the *_test.cpp in
# FOLDER; every test of it carries LABEL.
function(troupe_tests label folder)
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*_test.cpp)
  if(TROUPE_SANITIZE STREQUAL "thread")
    troupe_keep_threaded(sources)
  endif()
  if(NOT sources)
    return()
  endif()
  string(REPLACE "/" "_" name ${folder}_tests)
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${ARGN} GTest::gtest GTest::gtest_main)
  target_precompile_headers(${name} PRIVATE <gtest/gtest.h>)
  if(name MATCHES "unit_(runtime|actors|deploy)_tests")
    troupe_group(${name} ${sources})
  endif()
  # What is tested is optimised; compiling the tests takes longer than running
  # them, but for those that compute or simulate themselves.
  set(level -O0)
  if(name MATCHES "kernels|golden|cluster|actors|cuda")
    set(level -O1)
  endif()
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:${level}>)
  if(TROUPE_SANITIZE MATCHES undefined)
    # It is the tested code whose behaviour has to be defined; each check and
    # each line number of the tests costs as much as the test itself.
    target_compile_options(${name} PRIVATE -fno-sanitize=undefined)
  endif()
  if(TROUPE_SANITIZE)
    target_compile_options(${name} PRIVATE -g0)
  endif()
  # Clusters judge silence by the clock: they get the machine to themselves.
  # Simulated ones have a clock of their own.
  set(any_company "Simulate.*:*/OverlapTable.*")
  if(label STREQUAL cluster)
    troupe_discover(${name} ${name}_TESTS ${label} "${any_company}" FALSE)
    troupe_discover(${name} ${name}_ALONE ${label} "-${any_company}" TRUE)
  else()
    troupe_discover(${name} ${name}_TESTS ${label} "*" FALSE)
  endif()
  # The properties above cannot hold lists, so the environment comes after.
  set(script ${CMAKE_CURRENT_BINARY_DIR}/${name}_environment.cmake)
  file(CONFIGURE OUTPUT ${script} @ONLY CONTENT [[
foreach(test IN LISTS @name@_TESTS @name@_ALONE)
  set_tests_properties("${test}" PROPERTIES ENVIRONMENT "@test_environment@")
endforeach()
]])
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${script})
endfunction()

# troupe_client_test(LABEL SCRIPT): runs SCRIPT against a server on the nano
# model, in the Python environment that deploy/test makes.
function(troupe_client_test label script)
  get_filename_component(name ${script} NAME_WE)
  add_test(NAME ${name} COMMAND
    ${PROJECT_SOURCE_DIR}/build/venv/bin/python -B
    ${CMAKE_CURRENT_SOURCE_DIR}/cluster/with_server.py
    ${CMAKE_CURRENT_SOURCE_DIR}/${script})
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT 300
    RUN_SERIAL TRUE ENVIRONMENT "SOURCE_DIR=${PROJECT_SOURCE_DIR};BINARY_DIR=${PROJECT_BINARY_DIR}")
endfunction()

# troupe_script_test(LABEL SCRIPT): runs SCRIPT, which needs Python alone and
# starts the binary itself.
function(troupe_script_test label script)
  get_filename_component(name ${script} NAME_WE)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  add_test(NAME ${name} COMMAND
    Python3::Interpreter -B ${CMAKE_CURRENT_SOURCE_DIR}/${script})
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT 300
    RUN_SERIAL TRUE ENVIRONMENT "SOURCE_DIR=${PROJECT_SOURCE_DIR};BINARY_DIR=${PROJECT_BINARY_DIR}")
endfunction()

# troupe_header_checks(): one translation unit for every header of runtime and
# kernels that has no source of its own name to prove that it stands alone.
function(troupe_header_checks)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
    ${PROJECT_SOURCE_DIR}/kernels/*.hpp ${PROJECT_SOURCE_DIR}/runtime/*.hpp)
  set(units "")
  foreach(header ${headers})
    string(REGEX REPLACE "\\.hpp$" ".cpp" source ${header})
    if(NOT EXISTS ${PROJECT_SOURCE_DIR}/${source}
       AND NOT header MATCHES "^kernels/(cpu|cuda)/")
      string(MAKE_C_IDENTIFIER ${header} name)
      set(unit ${CMAKE_CURRENT_BINARY_DIR}/headers/${name}.cpp)
      file(CONFIGURE OUTPUT ${unit} CONTENT "#include \"@header@\"\n" @ONLY)
      list(APPEND units ${unit})
    endif()
  endforeach()
  add_library(header_checks OBJECT ${units})
  target_link_libraries(header_checks PRIVATE runtime)
  target_compile_options(header_checks PRIVATE -O0 -g0)
endfunction()
