#pragma once

/// --trace FILE: what the nodes of a company record, in one file in the end.
/// Nodes of this machine that were started with it write parts of their own
/// beside it; their clocks are one.

#include "runtime/clock.hpp"
#include "runtime/error.hpp"
#include "runtime/tracing/span_recorder.hpp"

#include <CLI/CLI.hpp>

#include <memory>

namespace troupe {

/// Adds --trace.
void add_trace_file(CLI::App& command, std::string& to);

class company_trace {
public:
  /// `node` is the one of this process.
  company_trace(std::string file, std::string node);

  const std::shared_ptr<span_recorder>& recorder() const {
    return recorder_;
  }

  /// Where another node of this machine is to write its part.
  std::string part_of(const std::string& node);

  /// Once all have ended: writes the file, and takes the parts into it. One
  /// that is not there is named on standard error. Error: io.
  result<void> finish();

private:
  const std::string file_;
  std::vector<std::string> parts_;
  std::unique_ptr<clock> time_ = std::make_unique<system_clock>();
  std::shared_ptr<span_recorder> recorder_; ///< By time_.
};

} // namespace troupe
