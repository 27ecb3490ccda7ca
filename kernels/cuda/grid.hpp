#pragma once

/// The words that kernels are written in. nvcc takes them from
/// grid_nvcc.hpp; a compiler of the host takes the same words from
/// tests/cuda_on_host/grid.hpp, which has to be included before and finds
/// accesses out of bounds and races:
///
/// - GPU before every function of a kernel;
/// - thread_index(), lane_index(), warp_index(), block_index();
/// - sync_block(), sync_warp(), shuffle(), shuffle_xor(), ballot();
/// - global<T> and shared<T>: memory by element; dynamic_shared<T>() and
///   STATIC_SHARED claim it;
/// - mma_bf16(), mma_e4m3(): tensor cores, by the fragments of PTX.
///
/// A kernel is a struct: its members are the arguments, `num_threads` the size
/// of a block, run() what a thread does.

#include <cstdint>

#ifdef __CUDACC__
#include "kernels/cuda/grid_nvcc.hpp"
#elif !defined(TROUPE_GRID)
#error "kernels are compiled by nvcc, or behind tests/cuda_on_host/grid.hpp"
#endif
