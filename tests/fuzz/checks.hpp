#pragma once

/// What all targets ask of the readers.

#include "runtime/error.hpp"
#include "runtime/text/utf8.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <unistd.h>

namespace troupe::fuzz {

/// A refusal says why, in one line. What a file's author wrote may stand in it.
inline void check_sentence(std::string_view why) {
  CHECK(!why.empty());
  CHECK(why.size() < 100'000);
}

template <class T>
void check_refusal(const result<T>& x) {
  if (!x)
    check_sentence(x.why().message);
}

/// A folder for readers that open files; gone with the process that made it.
class scratch_folder {
public:
  scratch_folder() {
    auto name = std::filesystem::temp_directory_path() / "troupe_fuzz_XXXXXX";
    auto text = name.string();
    CHECK(::mkdtemp(text.data()) != nullptr);
    path_ = text;
  }

  ~scratch_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;

  /// Returns where `bytes` are now the content of `name`.
  std::filesystem::path write(const char* name, std::string_view bytes) const {
    auto path = path_ / name;
    std::ofstream out{path, std::ios::binary | std::ios::trunc};
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    out.close();
    CHECK(out.good());
    return path;
  }

  const std::filesystem::path& path() const {
    return path_;
  }

private:
  std::filesystem::path path_;
};

/// As bytes.
inline std::span<const std::byte> bytes_of(std::string_view x) {
  return std::as_bytes(std::span{x.data(), x.size()});
}

} // namespace troupe::fuzz
