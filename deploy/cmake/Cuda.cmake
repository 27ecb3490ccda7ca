# The CUDA module: kernels/cuda/*.cu as a shared object that the program opens
# when it is asked for a GPU. Needs nvcc, and no GPU.

set(TROUPE_CUDA AUTO CACHE STRING "Build the CUDA module: ON, OFF or AUTO, \
which is whether nvcc is found")
set_property(CACHE TROUPE_CUDA PROPERTY STRINGS AUTO ON OFF)
set(TROUPE_CUDA_ARCHITECTURES "80;90a" CACHE STRING "GPUs it is built for")

find_program(TROUPE_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin
             NO_CACHE)
if(TROUPE_CUDA STREQUAL "AUTO")
  # What sanitizers are for runs on the host (tests/cuda_on_host).
  set(has_cuda OFF)
  if(TROUPE_NVCC AND NOT TROUPE_SANITIZE AND NOT TROUPE_PLANTED)
    set(has_cuda ON)
  endif()
else()
  set(has_cuda ${TROUPE_CUDA})
endif()
message(STATUS "CUDA module: ${has_cuda}")
if(NOT has_cuda)
  return()
endif()

if(NOT CMAKE_CUDA_COMPILER)
  set(CMAKE_CUDA_COMPILER ${TROUPE_NVCC})
endif()
# Kernels alone are told of architectures: the probe of CMake needs none.
set(CMAKE_CUDA_ARCHITECTURES OFF)
set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
if(NOT DEFINED CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()
enable_language(CUDA)

file(GLOB cuda_sources CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu)
add_library(troupe_cuda MODULE ${cuda_sources})
set(architectures "")
set(names "")
foreach(arch IN LISTS TROUPE_CUDA_ARCHITECTURES)
  list(APPEND architectures
    "SHELL:-gencode arch=compute_${arch},code=sm_${arch}")
  list(APPEND names sm_${arch})
endforeach()
list(JOIN names " " names)
# Fused multiply-add only where it is written: bits that do not depend on how a
# compiler sees a loop.
# CMake of Debian 12 knows no C++20 of nvcc's: it is said by hand.
target_compile_options(troupe_cuda PRIVATE ${architectures} -std=c++20
  -fmad=false
  --expt-relaxed-constexpr -lineinfo -Xcompiler=-Wall)
target_compile_definitions(troupe_cuda PRIVATE
  TROUPE_CUDA_ARCHITECTURES="${names}")
target_include_directories(troupe_cuda PRIVATE ${PROJECT_SOURCE_DIR})
# Copies of its own of what it needs from kernels: nothing else is shown.
add_dependencies(troupe_cuda kernels)
target_link_libraries(troupe_cuda PRIVATE $<TARGET_FILE:kernels>
  Threads::Threads)
target_link_options(troupe_cuda PRIVATE LINKER:--exclude-libs,ALL
  LINKER:--no-undefined)
set_target_properties(troupe_cuda PROPERTIES
  LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/kernels
  CUDA_RUNTIME_LIBRARY Static
  CUDA_STANDARD_REQUIRED OFF
  CUDA_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden)
install(TARGETS troupe_cuda LIBRARY DESTINATION lib/troupe)
