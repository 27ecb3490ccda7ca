#pragma once

/// Sealed blocks of the latent cache on a disk: found again by any request, and
/// by any later process, whose tokens, forms, tenant, model and arithmetic are
/// the same to the bit. What is damaged is not there.
///
/// Taking and giving back tickets is for one thread; a ticket is carried out on
/// any. A store never says a block that is not the one that was asked for.

#include "runtime/kv_store/kv_files.hpp"
#include "runtime/kv_store/kv_index.hpp"

#include <memory>
#include <optional>

namespace troupe {

/// A place in the files that is its holder's alone, or its readers'.
struct kv_ticket {
  uint64_t slot = 0;
  uint64_t serial = 0; ///< Of a write.
  kv_block what;
};

class kv_store {
public:
  /// Finds what is there. Errors as of kv_files::open.
  static result<std::unique_ptr<kv_store>> open(const kv_files_options& x);

  const kv_index& index() const {
    return index_;
  }

  /// Headers that nothing could be made of when it was opened.
  uint64_t num_damaged() const {
    return num_damaged_;
  }

  const std::filesystem::path& path() const {
    return files_->path();
  }

  /// For other threads, which may need it longer than this.
  const std::shared_ptr<kv_files>& files() const {
    return files_;
  }

  /// See kv_index::touch.
  void touch(const kv_key& last) {
    index_.touch(last);
  }

  /// Nothing if it is here, or on its way, or there is no room.
  std::optional<kv_ticket> begin_write(const kv_block& x);
  /// Returns whether it is found from now on.
  bool end_write(const kv_ticket& x, bool ok);

  std::optional<kv_ticket> begin_read(const kv_block& x);
  /// Damaged or failed: it is not found any more.
  void end_read(const kv_ticket& x, kv_outcome how);

  /// Is of no use to anybody: it is not found any more. A ticket to erase it
  /// with; nothing if it was not here, or is being written: end_write() says so
  /// then.
  std::optional<kv_ticket> drop(const kv_key& x);

  // -- all at once, on this thread --------------------------------------------

  /// Whether it is here now. Error: io.
  result<bool> put(const kv_block& x, std::span<const std::byte> bytes);

  /// Whether it is here, and then in `out`.
  bool get(const kv_block& x, std::span<std::byte> out);

private:
  explicit kv_store(std::unique_ptr<kv_files> files)
    : files_(std::move(files)), index_(files_->num_slots()) {
  }

  std::shared_ptr<kv_files> files_;
  kv_index index_;
  uint64_t last_serial_ = 0;
  uint64_t num_damaged_ = 0;
};

} // namespace troupe
