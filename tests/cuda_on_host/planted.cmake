# Kernels with one fault each, which the host has to find: a copy of a header
# in which some words are others, before the right one in the includes.

function(troupe_planted_kernel name header)
  set(target cuda_planted_${name})
  add_executable(${target} cuda_on_host/planted_main.cpp
    cuda_on_host/device.cpp $<TARGET_OBJECTS:cuda_machine>)
  target_compile_definitions(${target} PRIVATE TROUPE_CUDA_ON_HOST)
  target_compile_options(${target} PRIVATE -ffp-contract=off -O1)
  target_link_libraries(${target} PRIVATE kernels GTest::gtest)
  if(ARGC GREATER 2)
    set(path kernels/cuda/${header})
    file(READ ${PROJECT_SOURCE_DIR}/${path} text)
    string(REPLACE "${ARGV2}" "${ARGV3}" planted "${text}")
    if(planted STREQUAL text)
      message(FATAL_ERROR "${path} has no \"${ARGV2}\" to plant a fault in")
    endif()
    file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/planted/${name}/${path}
      CONTENT "${planted}" @ONLY)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
      ${PROJECT_SOURCE_DIR}/${path})
    target_include_directories(${target} BEFORE PRIVATE
      ${CMAKE_CURRENT_BINARY_DIR}/planted/${name})
  endif()
  add_test(NAME ${target} COMMAND ${target})
  set_tests_properties(${target} PROPERTIES LABELS unit TIMEOUT 300)
endfunction()

troupe_planted_kernel(missing_barrier product_kernels.hpp
  "      load_weight(job, first_col, k);
      sync_block();" "      load_weight(job, first_col, k);")
troupe_planted_kernel(wrong_fragment product_kernels.hpp
  "first + lane_index() / 4 + 8 * (r % 2)"
  "first + lane_index() / 4 + 8 * (r / 2)")
troupe_planted_kernel(long_tail product_kernels.hpp
  "if (m < job.count && n < num_outputs)" "if (m < job.count)")
troupe_planted_kernel(order_of_block product_kernels.hpp
  "for (uint32_t at = 0; at < end; at += 16) {"
  "for (uint32_t i = 0; i < end; i += 16) {
      auto at = block_index().x % 2 ? (end - 1) / 16 * 16 - i : i;")
# As it is: nothing may be found.
troupe_planted_kernel(none product_kernels.hpp)
set_tests_properties(cuda_planted_none PROPERTIES WILL_FAIL TRUE)
