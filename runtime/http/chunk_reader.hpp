#pragma once

/// A body that comes in chunks (RFC 9112, 7.1): what it consists of, wherever
/// the network has cut it. Nothing is kept but the data: extensions and
/// trailers are read up to a limit and dropped, so that no trailer is ever
/// taken for a header.

#include "runtime/error.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace troupe::http {

struct chunk_limits {
  size_t max_data = 8 << 20;       ///< Bytes.
  size_t max_extensions = 4 << 10; ///< Bytes, of all chunks together.
  size_t max_trailers = 8 << 10;   ///< Bytes.
};

class chunk_reader {
public:
  explicit chunk_reader(const chunk_limits& limits = {});

  /// Reads on and appends the data to `to`. Returns how many of `bytes` belong
  /// to the body: all of them unless it ends. A failure with errc::overloaded
  /// is one of the data's size; nothing may be read after a failure.
  result<size_t> read(std::string_view bytes, std::string& to);

  /// The last chunk and its trailers have come.
  bool done() const {
    return at_ == place::end;
  }

private:
  enum class place {
    size,          // hexadecimal digits
    extension,     // what may stand behind them
    size_end,      // LF of the same line
    data,          //
    data_cr,       // the line break behind the data
    data_lf,       //
    trailer_start, // a trailer's first letter, or CR of the empty line
    trailer_name,  //
    trailer_value, //
    trailer_end,   // LF of the same line
    last_lf,       // LF of the empty line
    end
  };

  result<void> step(char c);
  result<void> read_size(char c);
  result<void> read_extension(char c);
  result<void> read_trailer(char c);
  result<void> end_size_line(char c);
  result<void> expect(char c, char wanted, place next);

  const chunk_limits limits_;
  place at_ = place::size;
  uint64_t left_ = 0; ///< Data bytes of this chunk that are still to come.
  size_t num_digits_ = 0;
  size_t num_data_ = 0;
  size_t num_extension_bytes_ = 0;
  size_t num_trailer_bytes_ = 0;
};

} // namespace troupe::http
