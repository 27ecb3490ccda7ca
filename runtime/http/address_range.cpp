#include "runtime/http/address_range.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include <arpa/inet.h>

namespace troupe::http {

namespace {

constexpr ip_bytes mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr unsigned mapped_bits = 96;
constexpr unsigned network_bits = 64; ///< Of IPv6, what one machine has.

bool is_v4(const ip_bytes& x) {
  return address_range{mapped, mapped_bits}.contains(x);
}

std::optional<ip_bytes> parse(const std::string& text) {
  ip_bytes out = mapped;
  if (inet_pton(AF_INET, text.c_str(), out.data() + mapped_bits / 8) == 1)
    return out;
  if (inet_pton(AF_INET6, text.c_str(), out.data()) == 1)
    return out;
  return std::nullopt;
}

std::string render(int family, const uint8_t* bytes) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(family, bytes, text, sizeof text);
  return text;
}

} // namespace

bool address_range::contains(const ip_bytes& x) const {
  auto whole = bits / 8;
  if (!std::equal(x.begin(), x.begin() + whole, first.begin()))
    return false;
  return bits % 8 == 0 || (x[whole] ^ first[whole]) >> (8 - bits % 8) == 0;
}

result<address_range> parse_address_range(std::string_view text) {
  auto wrong = failure{errc::invalid_input,
                       "'" + std::string{text.substr(0, 64)}
                         + "' is no IP address and no range such as "
                           "10.0.0.0/8"};
  auto slash = text.find('/');
  auto first = parse(std::string{text.substr(0, slash)});
  if (!first)
    return wrong;
  address_range out{*first, 128};
  if (slash == text.npos)
    return out;
  auto length = text.substr(slash + 1);
  unsigned bits = 0;
  auto [end, ec] = std::from_chars(length.data(), length.data() + length.size(),
                                   bits);
  auto before = text.find(':') == text.npos ? mapped_bits : 0;
  if (ec != std::errc{} || end != length.data() + length.size()
      || bits > 128 - before)
    return wrong;
  out.bits = before + bits;
  return out;
}

std::vector<address_range> loopback_ranges() {
  return {*parse_address_range("127.0.0.0/8"), *parse_address_range("::1")};
}

std::string origin_of(const ip_bytes& x) {
  if (is_v4(x))
    return render(AF_INET, x.data() + mapped_bits / 8);
  auto network = x;
  std::fill(network.begin() + network_bits / 8, network.end(), 0);
  return render(AF_INET6, network.data()) + "/64";
}

} // namespace troupe::http
