#include "tests/fuzz/target.hpp"

#include "runtime/tracing/layer_picture.hpp"
#include "runtime/tracing/overlap.hpp"
#include "runtime/tracing/span_costs.hpp"
#include "runtime/tracing/span_file.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void trace_file(input x) {
  static const scratch_folder folder;
  auto read = read_spans(folder.write("it.json", x));
  check_refusal(read);
  if (!read)
    return;
  auto all = whole_part(std::move(*read));
  to_string(measure_overlap(all));
  to_string(learn_costs(all).parameters());
  if (auto layer = choose_layer(all, 0))
    draw_layer(all, *layer);
}

} // namespace troupe::fuzz
