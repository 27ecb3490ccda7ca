#include "deploy/company_trace.hpp"

#include "runtime/tracing/span_file.hpp"

#include <cstdio>
#include <filesystem>

namespace troupe {

void add_trace_file(CLI::App& command, std::string& to) {
  command.add_option(
    "--trace", to,
    "Where to write, in the end, what each stream, link and "
    "lane did when (JSON for Perfetto; troupe trace reads it)");
}

company_trace::company_trace(std::string file, std::string node)
  : file_(std::move(file)),
    recorder_(std::make_shared<span_recorder>(std::move(node), *time_)) {
}

std::string company_trace::part_of(const std::string& node) {
  parts_.push_back(file_ + "." + node);
  std::error_code ignored; // what an earlier run has left is none of ours
  std::filesystem::remove(parts_.back(), ignored);
  return parts_.back();
}

result<void> company_trace::finish() {
  std::vector<node_spans> all{recorder_->read()};
  for (auto& part : parts_) {
    auto read = read_spans(part);
    if (!read) {
      std::fprintf(stderr, "the trace lacks a node: %s\n",
                   read.why().message.c_str());
      continue;
    }
    for (auto& x : *read)
      all.push_back(std::move(x));
    std::error_code ignored;
    std::filesystem::remove(part, ignored);
  }
  return write_spans(file_, all);
}

} // namespace troupe
