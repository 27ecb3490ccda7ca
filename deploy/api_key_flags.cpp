#include "deploy/api_key_flags.hpp"

#include "deploy/private_file.hpp"
#include "runtime/http/api_keys.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace troupe {

namespace {

constexpr std::string_view flag = "--api-key";
constexpr const char* variable = "TROUPE_API_KEY";
constexpr size_t max_file_bytes = 1 << 20;

} // namespace

void api_key_flags::add_to(CLI::App& command) {
  command
    .add_option("--api-key", keys,
                "Key that requests must carry; may be repeated. Whoever lists "
                "processes while this one starts can see it: prefer a file or "
                "TROUPE_API_KEY")
    ->allow_extra_args(false);
  command.add_option("--api-key-file", file,
                     "File of such keys, one a line, that nobody else may "
                     "read");
  command.add_flag("--metrics-without-key", open_metrics,
                   "Let everybody read /metrics");
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

std::vector<std::string> take_arguments(int count, char** args) {
  std::vector<std::string> out(args, args + count);
  for (int i = 0; i < count; ++i) {
    std::string_view arg = out[i];
    auto* secret = arg == flag && i + 1 < count ? args[i + 1]
                   : arg.starts_with(std::string{flag} + "=")
                     ? args[i] + flag.size() + 1
                     : nullptr;
    if (secret)
      std::fill_n(secret, std::strlen(secret), '*');
  }
  return out;
}

} // namespace troupe
