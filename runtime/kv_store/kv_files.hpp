#pragma once

/// The files of a store: a directory of one identity with files of many slots
/// each, first the headers of all of them, then their blocks. So a start reads
/// headers alone, one behind the other, and a block that comes takes the place
/// of one that goes: nothing is ever copied from file to file.
///
/// Nothing here is trusted: a block is what its header says and its digest
/// confirms, or it is a miss. Writes are not forced to the disk, since what
/// does not arrive there is such a miss, too.

#include "runtime/error.hpp"
#include "runtime/kv_store/kv_record.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace troupe {

struct kv_files_options {
  std::filesystem::path dir; ///< Of stores of any identity. Made if need be.
  uint64_t max_bytes = 0;    ///< Of this store and of those that nobody uses.
  uint64_t block_bytes = 0;
  kv_key identity;
  /// 0: as many as make a file of 1 GiB. Of another number than before
  /// nothing is found.
  uint64_t slots_of_file = 0;
};

enum class kv_outcome : uint8_t {
  whole,
  damaged, ///< What is there is not the block that was asked for.
  busy,    ///< The system has not the means for it at present.
  failed,  ///< The system says that it cannot be read.
};

class kv_files {
public:
  /// Takes the first directory of this identity that no process has, which
  /// stays its own; who does so at once does it in turn. Errors: io;
  /// invalid_input if others may write there, or if not one block has room.
  static result<std::unique_ptr<kv_files>> open(const kv_files_options& x);

  ~kv_files();
  kv_files(const kv_files&) = delete;
  kv_files& operator=(const kv_files&) = delete;

  uint64_t num_slots() const {
    return num_slots_;
  }

  /// Of so many bytes, for blocks of that size.
  static uint64_t num_slots_of(uint64_t max_bytes, uint64_t block_bytes);

  const std::filesystem::path& path() const {
    return path_;
  }

  /// Tells of every header of this store that is whole. Returns how many slots
  /// hold something else. What cannot be read is not there.
  uint64_t
  scan(const std::function<void(uint64_t slot, const kv_record&)>& seen) const;

  /// Puts `bytes` into a slot that nobody reads or writes. From any thread.
  /// Errors: io; overloaded if the system has not the means at present.
  result<void> write(uint64_t slot, const kv_block& what, uint64_t serial,
                     std::span<const std::byte> bytes);

  /// Puts nothing into a slot that nobody writes to and that still has this
  /// block. From any thread. What cannot be written stays.
  void erase(uint64_t slot, const kv_key& what);

  /// Fills `out` if `slot` has that block. From any thread.
  kv_outcome read(uint64_t slot, const kv_block& what,
                  std::span<std::byte> out) const;

private:
  /// A store of another identity or process, which nobody uses.
  struct idle_store {
    std::filesystem::path path;
    uint64_t num_bytes = 0;
    int64_t changed_ns = 0;
  };

  kv_files() = default;

  result<void> take_place(const std::filesystem::path& dir);
  void look_around(const std::filesystem::path& dir);
  void make_room_for_file(uint64_t number);
  void trim() const;
  uint64_t offset_of(uint64_t slot) const;
  std::string file_of(uint64_t slot) const;
  bool read_headers(uint64_t file, std::vector<std::byte>& out) const;

  std::filesystem::path path_;
  kv_key identity_;
  uint64_t max_bytes_ = 0;
  uint64_t block_bytes_ = 0;
  uint64_t slot_bytes_ = 0;
  uint64_t num_slots_ = 0;
  uint64_t slots_of_file_ = 0;
  int dir_ = -1;
  int lock_ = -1;
  std::mutex mutex_;
  std::vector<idle_store> idle_; ///< Guarded; oldest last.
  uint64_t num_files_ = 0;       ///< Guarded; that there may be.
};

} // namespace troupe
