#pragma once

/// What the keeper has done on the store's threads, so that nobody ever waits
/// for a disk: a part of the keeper, which hears what has come of each.

#include "actors/protocol.hpp"
#include "runtime/kv_store/kv_io.hpp"

#include <atomic>

namespace troupe {

class disk_jobs {
public:
  disk_jobs(const keeper& to, std::shared_ptr<kv_io> io);

  uint32_t num_threads() const {
    return io_->num_threads();
  }

  /// It hears store_opened.
  void open(const kv_files_options& files) const;

  /// Whether what is to be written is still wanted.
  using wish = std::shared_ptr<const std::atomic<bool>>;

  /// It hears block_written. False: too many wait, and it hears nothing. What
  /// is not wanted any more does not stay there, even if nobody hears.
  bool write(const std::shared_ptr<kv_files>& files, const kv_ticket& ticket,
             const kernels::host_ptr& bytes, const wish& is_wanted) const;

  /// Before anything else is written: the next process is not to find it
  /// either.
  void erase(const std::shared_ptr<kv_files>& files, const kv_ticket& x) const;

  /// It hears block_read, with these. False as above.
  bool read(const std::shared_ptr<kv_files>& files, const kv_ticket& ticket,
            const kernels::host_ptr& bytes, uint64_t serial,
            std::optional<uint64_t> slot) const;

  /// What waits. It hears of each as of one that was not done.
  void drop_reads() const;
  void drop_writes() const;

private:
  weak_handle<keeper> to_;
  std::shared_ptr<kv_io> io_;
  /// Of threads that may outlive this.
  std::shared_ptr<const clock> time_ = std::make_shared<system_clock>();
};

} // namespace troupe
