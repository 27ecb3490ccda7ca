#include "runtime/cluster/state_store.hpp"

#include "runtime/file_descriptor.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace troupe {

namespace {

namespace fs = std::filesystem;

constexpr const char* file_name = "cluster_state";
constexpr const char* lock_name = "lock";
constexpr size_t max_bytes = 64u << 20;

failure failed(const fs::path& what, const char* how) {
  return {errc::io, what.string() + ": " + how + ": " + std::strerror(errno)};
}

class system_files final : public state_files {
public:
  result<void> lock(const fs::path& dir) override {
    if (auto ok = create(dir); !ok)
      return ok;
    auto path = dir / lock_name;
    file_descriptor fd{
      ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    if (fd.get() < 0)
      return failed(path, "cannot be opened");
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK)
        return failure{errc::refused,
                       dir.string()
                         + " is the state of a cluster whose first "
                           "node runs; it can be that of one alone"};
      return failed(path, "cannot be locked");
    }
    lock_ = std::move(fd);
    return {};
  }

  result<std::optional<std::vector<std::byte>>>
  read(const fs::path& file) override {
    file_descriptor fd{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
    if (fd.get() < 0 && errno == ENOENT)
      return std::optional<std::vector<std::byte>>{};
    if (fd.get() < 0)
      return failed(file, "cannot be read");
    std::vector<std::byte> out;
    std::byte part[4096];
    for (;;) {
      auto n = ::read(fd.get(), part, sizeof part);
      if (n < 0)
        return failed(file, "cannot be read");
      if (n == 0)
        return std::optional{std::move(out)};
      out.insert(out.end(), part, part + n);
      if (out.size() > max_bytes)
        return failure{errc::io, file.string() + " is larger than any state"};
    }
  }

  result<void> write(const fs::path& file,
                     std::span<const std::byte> bytes) override {
    file_descriptor fd{
      ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (fd.get() < 0)
      return failed(file, "cannot be written");
    if (!write_all(fd.get(), bytes, 0))
      return failed(file, "cannot be written");
    return {};
  }

  result<void> flush(const fs::path& file_or_dir) override {
    file_descriptor fd{::open(file_or_dir.c_str(), O_RDONLY | O_CLOEXEC)};
    if (fd.get() < 0 || ::fsync(fd.get()) != 0)
      return failed(file_or_dir, "cannot be flushed to the disk");
    return {};
  }

  result<void> rename(const fs::path& from, const fs::path& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0)
      return failed(to, "cannot be replaced");
    return {};
  }

private:
  /// With all above it, so that they are there after a crash.
  result<void> create(const fs::path& dir) {
    std::error_code error;
    auto above = fs::absolute(dir).lexically_normal().parent_path();
    if (fs::exists(dir, error) || above == dir)
      return {};
    if (auto ok = create(above); !ok)
      return ok;
    if (!fs::create_directory(dir, error))
      return {}; // who opens what is in it says why
    return flush(above);
  }

  file_descriptor lock_;
};

class memory_store : public state_store {
public:
  const std::optional<cluster_state>& last() const override {
    return last_;
  }

  result<void> compare_and_set(uint64_t seen, cluster_state next) override {
    if (seen != (last_ ? last_->revision : 0))
      return failure{errc::refused, "the state of the cluster is another one"};
    next.revision = seen + 1;
    if (auto ok = keep(next); !ok)
      return ok;
    last_ = std::move(next);
    return {};
  }

protected:
  virtual result<void> keep(const cluster_state&) {
    return {};
  }

  std::optional<cluster_state> last_;
};

class file_store final : public memory_store {
public:
  file_store(const fs::path& dir, std::unique_ptr<state_files> files)
    : dir_(dir), file_(dir / file_name), files_(std::move(files)) {
  }

  result<void> open() {
    if (auto ok = files_->lock(dir_); !ok)
      return ok;
    auto bytes = files_->read(file_);
    if (!bytes)
      return bytes.why();
    if (!*bytes)
      return {};
    auto state = decode_cluster_state(**bytes);
    if (!state)
      return failure{state.why().code,
                     file_.string() + " " + state.why().message};
    last_ = std::move(*state);
    return {};
  }

private:
  result<void> keep(const cluster_state& x) override {
    auto beside = file_;
    beside += ".new";
    auto bytes = encode(x);
    if (auto ok = files_->write(beside, bytes); !ok)
      return ok;
    if (auto ok = files_->flush(beside); !ok)
      return ok;
    if (auto ok = files_->rename(beside, file_); !ok)
      return ok;
    return files_->flush(dir_);
  }

  const fs::path dir_;
  const fs::path file_;
  const std::unique_ptr<state_files> files_;
};

} // namespace

std::unique_ptr<state_store> make_memory_store() {
  return std::make_unique<memory_store>();
}

std::unique_ptr<state_files> make_state_files() {
  return std::make_unique<system_files>();
}

result<std::unique_ptr<state_store>>
open_state_dir(const fs::path& dir, std::unique_ptr<state_files> files) {
  auto out = std::make_unique<file_store>(dir, std::move(files));
  if (auto ok = out->open(); !ok)
    return ok.why();
  return std::unique_ptr<state_store>{std::move(out)};
}

} // namespace troupe
