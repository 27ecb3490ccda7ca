#pragma once

/// Runs the blocks of a kernel one after the other, the threads of a block as
/// fibers, and looks for what would be wrong on a GPU: an access outside of
/// what a kernel was given, two accesses that no barrier orders, shared memory
/// that is read before it is written, a barrier that some threads do not
/// reach. The first fault ends the launch and is what launch() returns.

#include "tests/cuda_on_host/fiber.hpp"
#include "tests/cuda_on_host/shadow.hpp"

#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace troupe::kernels::on_host {

/// Which block, or thread of a block, runs first.
enum class order { ascending, descending, shuffled };

struct launch_shape {
  uint32_t x = 1, y = 1, z = 1; ///< Blocks.
  uint32_t threads = 32;        ///< Of a block: a multiple of 32, at most 256.
  uint32_t shared_bytes = 0;    ///< Given at launch.
};

struct block_place {
  uint32_t x = 0, y = 0, z = 0;
};

class machine {
public:
  static constexpr uint32_t warp_size = 32;
  static constexpr uint32_t max_threads = 256;
  static constexpr uint32_t max_shared_bytes = 227 << 10; ///< Of Hopper.
  static constexpr uint32_t max_side = 65535; ///< Of a grid, in y and z.

  /// That of this thread of the host.
  static machine& here();

  /// Of all launches to come.
  void set_order(order how, uint64_t seed = 0) {
    order_ = how;
    seed_ = seed;
  }

  /// Calls `thread` once for each thread and returns the first fault; empty:
  /// none.
  std::string launch(const launch_shape& shape,
                     const std::function<void()>& thread);

  // -- what threads ask for ---------------------------------------------------

  uint32_t thread_index() const {
    return current_;
  }

  const block_place& block_index() const {
    return block_;
  }

  const launch_shape& shape() const {
    return shape_;
  }

  void sync_block();
  void sync_warp();

  /// Every thread of a warp gives bytes; once all have, the last one calls
  /// work(all given, all results). Returns this thread's result.
  template <class In, class Out, class Work>
  Out exchange(const char* what, const In& in, Work work) {
    static_assert(sizeof(In) <= slot_bytes && sizeof(Out) <= slot_bytes);
    auto& w = arrive(what);
    auto round = w.rounds % 2;
    std::memcpy(w.given[round][current_ % warp_size], &in, sizeof(In));
    if (++w.arrived == warp_size) {
      In all[warp_size];
      Out results[warp_size];
      for (uint32_t i = 0; i < warp_size; ++i)
        std::memcpy(static_cast<void*>(&all[i]), w.given[round][i], sizeof(In));
      work(static_cast<const In*>(all), static_cast<Out*>(results));
      for (uint32_t i = 0; i < warp_size; ++i)
        std::memcpy(w.results[round][i], &results[i], sizeof(Out));
      w.arrived = 0;
      ++w.rounds;
    } else {
      wait_for_round(w, what);
    }
    Out out;
    std::memcpy(&out, w.results[round][current_ % warp_size], sizeof(Out));
    return out;
  }

  /// Claims shared memory that the kernel names at `place`: the same for every
  /// thread.
  std::byte* static_shared(const void* place, uint32_t bytes);

  /// The shared memory of the launch.
  std::byte* dynamic_shared(uint32_t offset, uint64_t bytes);

  void on_read(const void* p, uint32_t bytes, bool is_shared);
  void on_write(const void* p, uint32_t bytes);
  void on_add(const void* p, uint32_t bytes);

  /// Ends the launch; `why` is completed by who and where.
  [[noreturn]] void fail(const std::string& why);

private:
  static constexpr size_t slot_bytes = 64;

  struct warp {
    const char* doing = nullptr;
    uint32_t arrived = 0;
    uint64_t rounds = 0;
    uint64_t barriers = 0;
    std::byte given[2][warp_size][slot_bytes];
    std::byte results[2][warp_size][slot_bytes];
  };

  struct named_part {
    const void* place;
    uint32_t offset;
  };

  struct stopped {};

  static void run_thread(void* self);
  void run_block(const std::function<void()>& thread);
  void start_block();
  uint32_t next_in_order(uint32_t i, uint32_t count, uint64_t salt) const;
  warp& arrive(const char* what);
  void wait_for_round(warp& w, const char* what);
  void pause();
  moment now() const;
  std::string place() const;
  touched& record_of(uintptr_t address);

  order order_ = order::ascending;
  uint64_t seed_ = 0;
  uint64_t launch_ = 0;
  launch_shape shape_;
  block_place block_;
  uint64_t block_number_ = 0;
  uint32_t current_ = 0;
  uint64_t steps_ = 0; ///< Grows whenever a thread gets somewhere.
  uint32_t at_barrier_ = 0;
  uint64_t barriers_ = 0;
  const std::function<void()>* thread_ = nullptr;
  std::vector<std::unique_ptr<fiber>> fibers_;
  std::vector<warp> warps_;
  std::vector<const char*> waits_for_; ///< By thread.
  std::vector<std::byte> shared_;
  std::vector<named_part> named_;
  uint32_t named_bytes_ = 0;
  shadow shadow_; ///< Of all memory but this block's own:
  std::vector<touched> shared_shadow_;
  std::string fault_;
};

} // namespace troupe::kernels::on_host
