#include "deploy/api_key_flags.hpp"

#include "deploy/private_file.hpp"
#include "runtime/http/api_keys.hpp"

#include <cstdlib>

namespace troupe {

namespace {

constexpr const char* variable = "TROUPE_API_KEY";
constexpr size_t max_file_bytes = 1 << 20;

} // namespace

void api_key_flags::add_to(CLI::App& command) {
  command
    .add_option("--api-key", keys,
                "Key that requests must carry; may be repeated. Every process "
                "of this machine can see it: prefer a file or TROUPE_API_KEY")
    ->allow_extra_args(false);
  command.add_option("--api-key-file", file,
                     "File of such keys, one a line, that nobody else may "
                     "read");
}

result<std::vector<std::string>> api_key_flags::read() const {
  std::vector<std::string> all;
  auto add = [&all](std::string_view source,
                    std::string_view text) -> result<void> {
    auto found = http::parse_api_keys(source, text);
    if (!found)
      return found.why();
    all.insert(all.end(), found->begin(), found->end());
    return {};
  };
  for (const auto& key : keys)
    if (auto ok = add("--api-key", key); !ok)
      return ok.why();
  if (const auto* text = std::getenv(variable))
    if (auto ok = add(variable, text); !ok)
      return ok.why();
  if (file.empty())
    return all;
  auto text = read_private_file(file, max_file_bytes);
  if (!text)
    return text.why();
  if (auto ok = add(file, *text); !ok)
    return ok.why();
  return all;
}

} // namespace troupe
