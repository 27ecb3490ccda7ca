#include "runtime/cost/rates_table.hpp"

#include "runtime/duration.hpp"
#include "runtime/formatted.hpp"
#include "runtime/toml/table_reader.hpp"

#include <cmath>

namespace troupe {

void read_rates(table_reader& in, device_rates& out) {
  in.read_positive("narrow_flops", out.narrow_flops);
  in.read_positive("wide_flops", out.wide_flops);
  in.read_positive("attention_flops", out.attention_flops);
  in.read_positive("bytes_per_second", out.bytes_per_second);
  in.read_positive("copied_per_second", out.copied_per_second);
  read_seconds(in, "per_kernel", out.per_kernel);
}

void read_seconds(table_reader& in, std::string_view key, double& out) {
  std::chrono::nanoseconds span{-1};
  in.read(key, span);
  if (span.count() >= 0)
    out = std::chrono::duration<double>(span).count();
}

std::string to_toml(const device_rates& x) {
  auto line = [](const char* key, double value) {
    return formatted("%s = %.3e\n", key, value);
  };
  std::chrono::nanoseconds each{std::llround(x.per_kernel * 1e9)};
  return line("narrow_flops", x.narrow_flops) + line("wide_flops", x.wide_flops)
         + line("attention_flops", x.attention_flops)
         + line("bytes_per_second", x.bytes_per_second)
         + line("copied_per_second", x.copied_per_second) + "per_kernel = \""
         + render_duration(each) + "\"\n";
}

} // namespace troupe
