#include "runtime/kv_store/kv_files.hpp"

#include "runtime/file_descriptor.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace troupe {

namespace {

constexpr uint64_t page = 4096;

/// A file has about so many bytes of blocks, and at most so many of them: few
/// files for a start, and none so large that to lose one is to lose much.
constexpr uint64_t file_bytes = uint64_t{1} << 30;
constexpr uint64_t max_slots_of_file = 16'384;

/// Processes that use one identity in one directory.
constexpr int max_places = 64;

constexpr auto lock_name = "lock";

/// Others have what there is of it, and may give it back.
bool passes(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM
         || error == EAGAIN || error == EINTR;
}

failure cannot(const std::string& what, const std::filesystem::path& path,
               int error) {
  return {passes(error) ? errc::overloaded : errc::io,
          path.string() + " cannot be " + what + ": " + std::strerror(error)};
}

kv_outcome outcome_of(int error) {
  return passes(error) ? kv_outcome::busy : kv_outcome::failed;
}

uint64_t round_up(uint64_t x, uint64_t to) {
  return (x + to - 1) / to * to;
}

/// Ours, and nobody else may write there.
result<file_descriptor> open_private_dir(const std::filesystem::path& path) {
  file_descriptor out;
  for (int i = 0; i < max_places; ++i) {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
      return cannot("made", path, errno);
    out = file_descriptor{
      ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK)};
    if (out.get() >= 0 || errno != ENOENT)
      break; // else somebody has removed it in between
  }
  struct stat about {};
  if (out.get() < 0 || ::fstat(out.get(), &about) != 0)
    return cannot("opened", path, errno);
  if (about.st_uid != ::geteuid())
    return failure{errc::invalid_input,
                   path.string() + " belongs to somebody else"};
  if ((about.st_mode & 022) != 0)
    return failure{errc::invalid_input,
                   path.string()
                     + " can be written by others; chmod 700 would close it"};
  return out;
}

bool is_ours(const std::string& name) {
  return name == lock_name || name.starts_with("blocks-");
}

/// "<16 digits of an identity>-<number>".
bool is_store(const std::string& name) {
  auto dash = name.find('-');
  auto digits = "0123456789abcdef";
  return dash == 16 && name.find_first_not_of(digits) == dash
         && name.size() > dash + 1
         && name.find_first_not_of("0123456789", dash + 1) == name.npos;
}

/// Nothing if another process has it, or it is none. ENOENT: it is gone.
file_descriptor lock_store(const std::filesystem::path& path) {
  file_descriptor out{::open((path / lock_name).c_str(),
                             O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (out.get() < 0 || ::flock(out.get(), LOCK_EX | LOCK_NB) != 0)
    return file_descriptor{-1};
  // Whoever had it may have removed it with all the store meanwhile.
  struct stat about {};
  if (::fstat(out.get(), &about) == 0 && about.st_nlink > 0)
    return out;
  errno = ENOENT;
  return file_descriptor{-1};
}

/// Waits until nobody else looks for a place there: who looks around has the
/// locks of stores that are not its own for a moment. Where no directory can be
/// locked, whoever meets another one takes a further place.
void wait_for_turn(const file_descriptor& root) {
  while (::flock(root.get(), LOCK_EX) != 0 && errno == EINTR) {
  }
}

} // namespace

result<std::unique_ptr<kv_files>> kv_files::open(const kv_files_options& x) {
  std::unique_ptr<kv_files> out{new kv_files};
  out->identity_ = x.identity;
  out->max_bytes_ = x.max_bytes;
  out->block_bytes_ = x.block_bytes;
  out->slot_bytes_ = round_up(x.block_bytes, page);
  out->num_slots_ = num_slots_of(x.max_bytes, x.block_bytes);
  if (out->num_slots_ == 0)
    return failure{errc::invalid_input, "a cache of "
                                          + std::to_string(x.max_bytes)
                                          + " bytes has no room for a block of "
                                          + std::to_string(x.block_bytes)};
  out->slots_of_file_ = x.slots_of_file > 0
                          ? x.slots_of_file
                          : std::clamp<uint64_t>(file_bytes / out->slot_bytes_,
                                                 8, max_slots_of_file);
  std::error_code ignored;
  if (x.dir.has_parent_path())
    std::filesystem::create_directories(x.dir.parent_path(), ignored);
  auto root = open_private_dir(x.dir);
  if (!root)
    return root.why();
  wait_for_turn(*root);
  if (auto ok = out->take_place(x.dir); !ok)
    return ok.why();
  out->look_around(x.dir);
  out->trim();
  return out;
}

uint64_t kv_files::num_slots_of(uint64_t max_bytes, uint64_t block_bytes) {
  auto with_header = round_up(block_bytes, page) + kv_record::header_bytes;
  // The headers of a file fill whole pages.
  return max_bytes < page ? 0 : (max_bytes - page) / with_header;
}

kv_files::~kv_files() {
  if (dir_ >= 0)
    ::close(dir_);
  if (lock_ >= 0)
    ::close(lock_);
}

result<void> kv_files::take_place(const std::filesystem::path& dir) {
  auto name = to_string(identity_).substr(0, 16);
  int num_gone = 0;
  for (int i = 0; i < max_places; ++i) {
    auto path = dir / (name + "-" + std::to_string(i));
    if (auto ok = open_private_dir(path); !ok)
      return ok.why();
    auto lock = lock_store(path);
    if (lock.get() < 0 && errno == ENOENT && ++num_gone < max_places) {
      --i; // somebody has removed it; it is made anew
      continue;
    }
    if (lock.get() < 0 && errno != EWOULDBLOCK)
      return cannot("locked", path, errno);
    if (lock.get() < 0)
      continue;
    auto opened = open_private_dir(path); // that of the lock
    if (!opened)
      return opened.why();
    path_ = path;
    dir_ = opened->release();
    lock_ = lock.release();
    return {};
  }
  return failure{errc::io, dir.string() + " is in use by too many processes"};
}

/// Finds stores that nobody uses; they share the room.
void kv_files::look_around(const std::filesystem::path& dir) {
  std::error_code error;
  for (std::filesystem::directory_iterator i{dir, error}, end;
       !error && i != end; i.increment(error)) {
    auto& path = i->path();
    if (!is_store(path.filename().string()) || path == path_)
      continue;
    auto lock = lock_store(path);
    struct stat about {};
    if (lock.get() < 0 || ::fstat(lock.get(), &about) != 0)
      continue;
    idle_store x{path, 0,
                 about.st_mtim.tv_sec * 1'000'000'000 + about.st_mtim.tv_nsec};
    std::error_code gone;
    for (std::filesystem::directory_iterator j{path, gone}; !gone && j != end;
         j.increment(gone))
      if (::lstat(j->path().c_str(), &about) == 0)
        x.num_bytes += uint64_t(about.st_blocks) * 512;
    idle_.push_back(x);
  }
  std::ranges::sort(idle_, std::greater{}, &idle_store::changed_ns);
  // Of who used a store last its lock tells.
  ::futimens(lock_, nullptr);
}

/// Idle stores go, oldest first, when this one needs their room.
void kv_files::make_room_for_file(uint64_t number) {
  std::lock_guard guard{mutex_};
  num_files_ = std::max(num_files_, number + 1);
  auto own = std::min(max_bytes_, num_files_ * slots_of_file_
                                    * (slot_bytes_ + kv_record::header_bytes));
  auto others = [this] {
    uint64_t out = 0;
    for (auto& x : idle_)
      out += x.num_bytes;
    return out;
  };
  while (!idle_.empty() && own + others() > max_bytes_) {
    auto path = std::move(idle_.back().path);
    idle_.pop_back();
    auto lock = lock_store(path);
    if (lock.get() < 0)
      continue; // somebody came back
    std::error_code error;
    for (std::filesystem::directory_iterator i{path, error}, end;
         !error && i != end; i.increment(error))
      if (is_ours(i->path().filename().string()))
        ::unlink(i->path().c_str());
    ::rmdir(path.c_str());
  }
}

/// Cuts off what was beyond a bound that was larger once.
void kv_files::trim() const {
  auto last = num_slots_ / slots_of_file_;
  auto rest = num_slots_ % slots_of_file_;
  std::error_code error;
  for (std::filesystem::directory_iterator i{path_, error}, end;
       !error && i != end; i.increment(error)) {
    auto name = i->path().filename().string();
    uint64_t number = 0;
    if (std::sscanf(name.c_str(), "blocks-%08lu", &number) != 1)
      continue;
    if (number > last || (number == last && rest == 0)) {
      ::unlink(i->path().c_str());
    } else if (struct stat about{};
               number == last && ::lstat(i->path().c_str(), &about) == 0
               && S_ISREG(about.st_mode)
               && uint64_t(about.st_size) > offset_of(num_slots_)) {
      if (::truncate(i->path().c_str(), off_t(offset_of(num_slots_))) != 0)
        ::unlink(i->path().c_str());
    }
  }
}

uint64_t kv_files::offset_of(uint64_t slot) const {
  return round_up(slots_of_file_ * kv_record::header_bytes, page)
         + slot % slots_of_file_ * slot_bytes_;
}

std::string kv_files::file_of(uint64_t slot) const {
  char out[24];
  std::snprintf(out, sizeof out, "blocks-%08lu", slot / slots_of_file_);
  return out;
}

bool kv_files::read_headers(uint64_t file, std::vector<std::byte>& out) const {
  auto in = open_at(dir_, file_of(file * slots_of_file_), O_RDONLY);
  out.resize(slots_of_file_ * kv_record::header_bytes);
  auto n = in.get() < 0 ? 0 : read_some(in.get(), out, 0);
  out.resize(n / kv_record::header_bytes * kv_record::header_bytes);
  return !out.empty();
}

uint64_t kv_files::scan(
  const std::function<void(uint64_t slot, const kv_record&)>& seen) const {
  uint64_t num_damaged = 0;
  std::vector<std::byte> headers;
  for (uint64_t first = 0; first < num_slots_; first += slots_of_file_) {
    if (!read_headers(first / slots_of_file_, headers))
      continue;
    auto all = std::span<const std::byte>{headers};
    for (auto slot = first; !all.empty() && slot < num_slots_; ++slot) {
      auto bytes = all.first(kv_record::header_bytes);
      all = all.subspan(kv_record::header_bytes);
      auto is_zero = [](auto b) { return b == std::byte{}; };
      if (std::ranges::all_of(bytes, is_zero))
        continue;
      auto x = read_header(bytes);
      if (x && x->identity == identity_ && x->num_bytes == block_bytes_)
        seen(slot, *x);
      else
        ++num_damaged;
    }
  }
  return num_damaged;
}

result<void> kv_files::write(uint64_t slot, const kv_block& what,
                             uint64_t serial,
                             std::span<const std::byte> bytes) {
  CHECK(slot < num_slots_ && bytes.size() == block_bytes_);
  auto name = file_of(slot);
  auto out = open_at(dir_, name, O_RDWR);
  if (out.get() < 0 && errno == ENOENT) {
    make_room_for_file(slot / slots_of_file_);
    out = open_at(dir_, name, O_RDWR | O_CREAT);
  }
  if (out.get() < 0)
    return cannot("written", path_ / name, errno);
  auto header
    = write_header({identity_, what, bytes.size(), serial, digest_of(bytes)});
  auto header_at = slot % slots_of_file_ * kv_record::header_bytes;
  // What was there is no block any more before all of the new one is.
  if (!write_all(out.get(), bytes, offset_of(slot))
      || !write_all(out.get(), header, header_at))
    return cannot("written", path_ / name, errno);
  return {};
}

void kv_files::erase(uint64_t slot, const kv_key& what) {
  auto file = open_at(dir_, file_of(slot), O_RDWR);
  kv_record::header header;
  auto at = slot % slots_of_file_ * kv_record::header_bytes;
  if (file.get() < 0 || read_some(file.get(), header, at) != header.size())
    return;
  auto x = read_header(header);
  if (x && x->what.key == what)
    static_cast<void>(write_all(file.get(), kv_record::header{}, at));
}

kv_outcome kv_files::read(uint64_t slot, const kv_block& what,
                          std::span<std::byte> out) const {
  CHECK(slot < num_slots_ && out.size() == block_bytes_);
  auto in = open_at(dir_, file_of(slot), O_RDONLY);
  if (in.get() < 0)
    return errno == ENOENT || errno == ELOOP ? kv_outcome::damaged
                                             : outcome_of(errno);
  kv_record::header header;
  auto header_at = slot % slots_of_file_ * kv_record::header_bytes;
  errno = 0;
  auto is_there = read_some(in.get(), header, header_at) == header.size()
                  && read_some(in.get(), out, offset_of(slot)) == out.size();
  if (!is_there)
    return errno == 0 ? kv_outcome::damaged : outcome_of(errno);
  auto x = read_header(header);
  auto is_right = x && x->identity == identity_ && x->what == what
                  && x->num_bytes == out.size() && x->bytes == digest_of(out);
  return is_right ? kv_outcome::whole : kv_outcome::damaged;
}

} // namespace troupe
