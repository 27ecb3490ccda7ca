#include "runtime/kv_store/kv_store.hpp"

#include <algorithm>

namespace troupe {

result<std::unique_ptr<kv_store>> kv_store::open(const kv_files_options& x) {
  auto files = kv_files::open(x);
  if (!files)
    return files.why();
  std::unique_ptr<kv_store> out{new kv_store{std::move(*files)}};
  out->num_damaged_ = out->files_->scan([&](auto slot, const kv_record& y) {
    out->index_.add(slot, y.what, y.serial);
    out->last_serial_ = std::max(out->last_serial_, y.serial);
  });
  out->index_.arrange();
  return out;
}

std::optional<kv_ticket> kv_store::begin_write(const kv_block& x) {
  auto slot = index_.begin_write(x);
  if (!slot)
    return std::nullopt;
  return kv_ticket{*slot, ++last_serial_, x};
}

bool kv_store::end_write(const kv_ticket& x, bool ok) {
  return index_.end_write(x.slot, ok);
}

std::optional<kv_ticket> kv_store::begin_read(const kv_block& x) {
  auto slot = index_.begin_read(x.key);
  if (!slot)
    return std::nullopt;
  return kv_ticket{*slot, 0, x};
}

void kv_store::end_read(const kv_ticket& x, kv_outcome how) {
  index_.end_read(x.slot, how == kv_outcome::whole || how == kv_outcome::busy);
}

std::optional<kv_ticket> kv_store::drop(const kv_key& x) {
  auto slot = index_.drop(x);
  if (!slot)
    return std::nullopt;
  kv_ticket out{*slot, 0, {}};
  out.what.key = x;
  return out;
}

result<bool> kv_store::put(const kv_block& x,
                           std::span<const std::byte> bytes) {
  auto ticket = begin_write(x);
  if (!ticket)
    return index_.has(x.key);
  auto ok = files_->write(ticket->slot, x, ticket->serial, bytes);
  end_write(*ticket, bool(ok));
  if (!ok)
    return ok.why();
  return true;
}

bool kv_store::get(const kv_block& x, std::span<std::byte> out) {
  auto ticket = begin_read(x);
  if (!ticket)
    return false;
  auto how = files_->read(ticket->slot, x, out);
  end_read(*ticket, how);
  index_.touch(x.key);
  return how == kv_outcome::whole;
}

} // namespace troupe
