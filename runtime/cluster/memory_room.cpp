#include "runtime/cluster/memory_room.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <sstream>

namespace troupe {

namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

std::optional<uint64_t> number(std::string_view text) {
  uint64_t out = 0;
  auto end = text.data() + text.size();
  auto [last, error] = std::from_chars(text.data(), end, out);
  auto is_whole = last == end || *last == '\n' || *last == ' ';
  return error == std::errc{} && is_whole ? std::optional{out} : std::nullopt;
}

/// The number after `key` at the beginning of a line.
std::optional<uint64_t> value_of(const std::string& text,
                                 std::string_view key) {
  std::istringstream in{text};
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(key)) {
      auto rest = std::string_view{line}.substr(key.size());
      auto at = rest.find_first_not_of(" \t");
      return at == rest.npos ? std::nullopt : number(rest.substr(at));
    }
  return std::nullopt;
}

/// What the process of a /proc/PID/status was promised and has not used, in
/// bytes.
uint64_t promised_in(const std::string& text) {
  auto claimed = value_of(text, "VmData:").value_or(0);
  auto used = value_of(text, "RssAnon:").value_or(0);
  return (claimed - std::min(claimed, used)) * 1024;
}

/// The least of what is known.
std::optional<uint64_t> least(std::optional<uint64_t> a,
                              std::optional<uint64_t> b) {
  return a && b ? std::min(*a, *b) : a ? a : b;
}

/// Where a hierarchy of groups lies, and what its files are called.
struct hierarchy {
  fs::path mount;
  const char* limit;
  const char* usage;
};

/// What is left in `group` and in all that it is in.
std::optional<uint64_t> room_in(const hierarchy& h, fs::path group) {
  std::optional<uint64_t> out;
  group = group.relative_path();
  for (;;) {
    auto dir = h.mount / group;
    out = least(out, room_of({text_of(dir / h.limit), text_of(dir / h.usage),
                              text_of(dir / "memory.stat")}));
    if (group.empty())
      return out;
    group = group.parent_path();
  }
}

/// A line of /proc/self/cgroup: number, controllers, path.
std::optional<uint64_t> room_by_line(const fs::path& root,
                                     const std::string& line) {
  auto first = line.find(':');
  auto second = line.find(':', first + 1);
  if (first == line.npos || second == line.npos)
    return std::nullopt;
  auto controllers = "," + line.substr(first + 1, second - first - 1) + ",";
  auto group = fs::path{line.substr(second + 1)};
  auto mounts = root / "sys/fs/cgroup";
  if (controllers == ",,")
    return room_in({mounts, "memory.max", "memory.current"}, group);
  if (controllers.find(",memory,") == controllers.npos)
    return std::nullopt;
  return room_in(
    {mounts / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"},
    group);
}

} // namespace

std::string bytes_text(uint64_t bytes) {
  char text[32];
  if (bytes < 100'000'000)
    std::snprintf(text, sizeof(text), "%.1f MB",
                  static_cast<double>(bytes) / 1e6);
  else
    std::snprintf(text, sizeof(text), "%.1f GB",
                  static_cast<double>(bytes) / 1e9);
  return text;
}

std::optional<uint64_t> parse_available(std::string_view meminfo) {
  auto kib = value_of(std::string{meminfo}, "MemAvailable:");
  return kib ? std::optional{*kib * 1024} : std::nullopt;
}

std::optional<uint64_t> room_of(const group_memory& x) {
  auto limit = number(x.limit); // "max" is none
  if (!limit)
    return std::nullopt;
  auto used = number(x.usage).value_or(0);
  // Pages of files, which the system drops when somebody needs the memory.
  auto files = value_of(x.stat, "inactive_file ").value_or(0)
               + value_of(x.stat, "active_file ").value_or(0);
  used -= std::min(used, files);
  return *limit - std::min(*limit, used);
}

memory_room::memory_room(bool overcommit, fs::path root)
  : overcommit_(overcommit), root_(std::move(root)) {
}

std::optional<uint64_t> memory_room::available() const {
  auto out = parse_available(text_of(root_ / "proc/meminfo"));
  std::istringstream groups{text_of(root_ / "proc/self/cgroup")};
  for (std::string line; std::getline(groups, line);)
    out = least(out, room_by_line(root_, line));
  if (out)
    *out -= std::min(*out, promised());
  return out;
}

/// Of all processes that run the file that we run, ourselves among them. More
/// than the machine has is no claim of ours: sanitizers reserve as much.
uint64_t memory_room::promised() const {
  std::error_code error;
  auto proc = root_ / "proc";
  auto self = fs::read_symlink(proc / "self/exe", error);
  if (error)
    return 0;
  auto total = value_of(text_of(proc / "meminfo"), "MemTotal:").value_or(0);
  uint64_t out = 0;
  for (auto& entry : fs::directory_iterator{proc, error}) {
    auto name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != name.npos)
      continue;
    std::error_code gone; // or somebody else's
    if (fs::read_symlink(entry.path() / "exe", gone) != self || gone)
      continue;
    auto bytes = promised_in(text_of(entry.path() / "status"));
    out += bytes <= total * 1024 ? bytes : 0;
  }
  return out;
}

result<void> memory_room::check(const std::string& what, uint64_t bytes) const {
  if (overcommit_)
    return {};
  auto there = available();
  if (!there || bytes <= *there)
    return {};
  return failure{errc::out_of_memory,
                 what + " needs " + bytes_text(bytes)
                   + " of memory, and there are " + bytes_text(*there)
                   + "; --allow-overcommit starts nevertheless"};
}

} // namespace troupe
