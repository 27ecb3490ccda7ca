#include "actors/disk_jobs.hpp"

#include <utility>

namespace troupe {

disk_jobs::disk_jobs(const keeper& to, std::shared_ptr<kv_io> io)
  : to_(to), io_(std::move(io)) {
}

void disk_jobs::open(const kv_files_options& files) const {
  io_->read([to = to_, files] {
    auto made = kv_store::open(files);
    if (made)
      to.tell(store_opened{std::shared_ptr{std::move(*made)}, ""});
    else
      to.tell(store_opened{nullptr, made.why().message});
  });
}

bool disk_jobs::write(const std::shared_ptr<kv_files>& files,
                      const kv_ticket& ticket, const kernels::host_ptr& bytes,
                      const wish& is_wanted) const {
  auto job = [to = to_, files, ticket, bytes, is_wanted] {
    auto ok = files->write(ticket.slot, ticket.what, ticket.serial,
                           {bytes->data(), bytes->size()});
    if (!*is_wanted)
      files->erase(ticket.slot, ticket.what.key);
    to.tell(ok ? block_written{ticket, ""}
               : block_written{ticket, ok.why().message,
                               ok.why().code == errc::overloaded});
  };
  return io_->write(std::move(job), [to = to_, ticket] {
    to.tell(block_written{ticket, "", false, true});
  });
}

void disk_jobs::erase(const std::shared_ptr<kv_files>& files,
                      const kv_ticket& x) const {
  io_->erase([files, x] { files->erase(x.slot, x.what.key); });
}

bool disk_jobs::read(const std::shared_ptr<kv_files>& files,
                     const kv_ticket& ticket, const kernels::host_ptr& bytes,
                     uint64_t serial, std::optional<uint64_t> slot) const {
  auto job = [to = to_, files, ticket, bytes, serial, slot, time = time_] {
    auto begin = time->now();
    auto how = files->read(ticket.slot, ticket.what,
                           {bytes->data(), bytes->size()});
    std::chrono::duration<double> took = time->now() - begin;
    to.tell(block_read{serial, how, took.count(), bytes, slot});
  };
  return io_->read(std::move(job), [to = to_, serial, slot] {
    to.tell(block_read{serial, kv_outcome::busy, 0, nullptr, slot});
  });
}

void disk_jobs::drop_reads() const {
  io_->drop_reads();
}

void disk_jobs::drop_writes() const {
  io_->drop_writes();
}

} // namespace troupe
